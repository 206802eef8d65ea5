//! Random numbers by position: a function of the seed, who draws, when, and the element; never a shared stream.
//!
//! So a resumed run draws what an unbroken one would, on any number of threads. The generator is ChaCha8, whose
//! stream and position can be set freely.

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::simd::{BLOCK, Isa, chacha8};

/// Names the random numbers of one drawer in one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    key: u64,
    pass: u64,
}

impl Draw {
    /// The numbers of `who` (a layer's name, say) in pass `pass` of a run with this seed.
    pub fn new(seed: u64, who: &str, pass: u64) -> Self {
        // FNV-1a: stable over versions and platforms, which std's hashers do not promise.
        let hash = who
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        Self { key: seed.rotate_left(32) ^ hash, pass }
    }

    /// The numbers of one part of the drawer, for example one top of several.
    pub fn part(&self, i: usize) -> Self {
        Self { key: self.key.wrapping_add((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)), pass: self.pass }
    }

    /// One number for whoever draws by a rule of its own.
    pub fn seed(&self) -> u64 {
        self.key ^ self.pass
    }

    /// A generator for chunk `chunk` of the pass; chunks of up to 2^31 words do not overlap.
    pub fn rng(&self, chunk: usize) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.key);
        rng.set_stream(self.pass);
        rng.set_word_pos((chunk as u128) << 31);
        rng
    }

    /// What [`Draw::rng`] of the chunk gives from its word number `16 * block` on, many words at once.
    pub fn words(&self, chunk: usize, block: usize, out: &mut [u32]) {
        let mut key = [0; 8];
        for (word, bytes) in key.iter_mut().zip(ChaCha8Rng::seed_from_u64(self.key).get_seed().as_chunks().0)
        {
            *word = u32::from_le_bytes(*bytes);
        }
        let blocks = (1 << 31) / BLOCK as u64;
        chacha8(Isa::best(), key, self.pass, chunk as u64 * blocks + block as u64, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng as _;

    #[test]
    fn numbers_depend_on_every_part_of_the_name() {
        let first = |seed, who, pass, chunk| Draw::new(seed, who, pass).rng(chunk).next_u64();
        let all = [
            first(1, "a", 0, 0),
            first(2, "a", 0, 0),
            first(1, "b", 0, 0),
            first(1, "a", 1, 0),
            first(1, "a", 0, 1),
            Draw::new(1, "a", 0).part(1).rng(0).next_u64(),
        ];
        assert!((0..6).all(|i| (0..i).all(|j| all[i] != all[j])));
        assert_eq!(first(1, "a", 0, 0), all[0]);
    }
    #[test]
    fn words_are_those_of_the_generator() {
        let draw = Draw::new(4, "a", 7);
        let (mut rng, mut all, mut later) = (draw.rng(3), [0; 100], [0; 68]);
        draw.words(3, 0, &mut all);
        draw.words(3, 2, &mut later);
        assert!(all.iter().all(|&word| word == rng.next_u32()) && all[32..] == later);
    }
}
