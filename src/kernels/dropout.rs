//! Masks of bits, drawn by position, and their use: 32 values share a word.

use rand::Rng;

use super::{
    parallel::{CHUNK, for_chunks_mut},
    random::Draw,
    simd::{Isa, Job, Simd},
};

/// Values per word of a mask.
const BITS: usize = u32::BITS as usize;

/// How many words a mask of `len` values has.
pub fn mask_words(len: usize) -> usize {
    len.div_ceil(BITS)
}

/// How likely a value is kept, in steps of 2^-32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep(u64);

impl Keep {
    /// Kept with this probability, from 0 to 1.
    pub fn with_probability(p: f64) -> Self {
        Self((p.clamp(0.0, 1.0) * (1u64 << BITS) as f64).round() as u64)
    }

    /// A word whose bits are 1 with the probability, each by itself.
    ///
    /// Reading the probability's binary digits from the last to the first: a random bit *or* what we have, where
    /// the digit is 1, has probability (1 + p) / 2; *and*, where it is 0, p / 2. Digits after the last 1 change
    /// nothing, so a probability of 1/2 takes one random bit per value.
    #[inline]
    fn word(self, rng: &mut impl Rng) -> u32 {
        let digits = self.0;
        if digits >> BITS != 0 {
            return u32::MAX;
        }
        if digits == 0 {
            return 0;
        }
        (digits.trailing_zeros()..u32::BITS).fold(0, |word, i| {
            let random = rng.next_u32();
            if digits >> i & 1 == 1 { word | random } else { word & random }
        })
    }
}

/// Draws a mask, and y = scale * x where its bit is 1, else 0.
pub fn drop_values(x: &[f32], scale: f32, keep: Keep, draw: Draw, y: &mut [f32], mask: &mut [u32]) {
    assert!(x.len() == y.len() && mask.len() == mask_words(y.len()));
    let words = CHUNK / BITS;
    for_chunks_mut(mask, words, |start, mask| {
        let mut rng = draw.rng(start / words);
        mask.iter_mut().for_each(|word| *word = keep.word(&mut rng));
    });
    apply_mask(x, scale, mask, y);
}

/// As [`drop_values`], without keeping the mask: the same values.
pub fn drop_values_once(x: &[f32], scale: f32, keep: Keep, draw: Draw, y: &mut [f32]) {
    assert_eq!(x.len(), y.len());
    for_chunks_mut(y, CHUNK, |start, y| {
        let mut rng = draw.rng(start / CHUNK);
        let mask: [u32; CHUNK / BITS] = std::array::from_fn(|_| keep.word(&mut rng));
        let x = &x[start..][..y.len()];
        Isa::best().run(Masked { x, scale, mask: &mask, y });
    });
}

/// y = scale * x where the mask's bit is 1, else 0.
pub fn apply_mask(x: &[f32], scale: f32, mask: &[u32], y: &mut [f32]) {
    assert!(x.len() == y.len() && mask.len() == mask_words(y.len()));
    for_chunks_mut(y, CHUNK, |start, y| {
        let (x, mask) = (&x[start..][..y.len()], &mask[start / BITS..]);
        Isa::best().run(Masked { x, scale, mask, y });
    });
}

/// The loop of [`apply_mask`].
struct Masked<'a> {
    x: &'a [f32],
    scale: f32,
    mask: &'a [u32],
    y: &'a mut [f32],
}

impl Job for Masked<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for ((y, x), &word) in self.y.chunks_mut(BITS).zip(self.x.chunks(BITS)).zip(self.mask) {
            for (i, (y, &x)) in (0u32..).zip(y.iter_mut().zip(x)) {
                *y = if word >> i & 1 == 1 { self.scale * x } else { 0.0 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share_of_ones(p: f64) -> f64 {
        let mut rng = Draw::new(3, "mask", 0).rng(0);
        let ones: u32 = (0..10_000).map(|_| Keep::with_probability(p).word(&mut rng).count_ones()).sum();
        f64::from(ones) / 320_000.0
    }

    #[test]
    fn bits_are_as_likely_as_asked() {
        for p in [0.0, 0.1, 0.25, 0.3, 0.5, 0.75, 0.9, 1.0] {
            // Three standard deviations and a little.
            assert!((share_of_ones(p) - p).abs() <= 3.5 * (p * (1.0 - p) / 320_000.0).sqrt(), "{p}");
        }
    }

    #[test]
    fn kept_values_are_scaled_and_the_mask_repeats_them() {
        for n in [0, 1, 31, 32, 33, CHUNK + 7, 3 * CHUNK] {
            let x: Vec<f32> = (0..n).map(|i| 1.0 + i as f32).collect();
            let (mut y, mut again, mut once) = (vec![f32::NAN; n], vec![f32::NAN; n], vec![f32::NAN; n]);
            let mut mask = vec![0; mask_words(n)];
            let (keep, draw) = (Keep::with_probability(0.6), Draw::new(1, "drop", 5));
            drop_values(&x, 2.0, keep, draw, &mut y, &mut mask);
            assert!(y.iter().zip(&x).all(|(&y, &x)| y == 0.0 || y == 2.0 * x));
            assert!(n < 100 || (y.contains(&0.0) && y.iter().any(|&y| y != 0.0)));
            apply_mask(&x, 2.0, &mask, &mut again);
            drop_values_once(&x, 2.0, keep, draw, &mut once);
            assert_eq!(y, again);
            assert_eq!(y, once);
        }
    }

    #[test]
    fn passes_and_chunks_differ() {
        let x = vec![1.0; 2 * CHUNK];
        let drawn = |pass| {
            let mut y = vec![0.0; x.len()];
            drop_values_once(&x, 1.0, Keep::with_probability(0.5), Draw::new(1, "drop", pass), &mut y);
            y
        };
        let first = drawn(0);
        assert_ne!(first, drawn(1));
        assert_ne!(first[..CHUNK], first[CHUNK..]);
    }
}
