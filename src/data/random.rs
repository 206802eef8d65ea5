//! Random numbers as a function of seed, purpose and position, so that neither threads nor a resume change them.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// What the numbers are for: equal seeds and positions give unrelated numbers to each purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The order of an epoch; the position is the epoch.
    Order = 1,
    /// The samples skipped at the start; the position is 0.
    Skip = 2,
    /// Crops, flips and the like; the position is the sample's in the stream.
    Transform = 3,
}

/// The numbers of one (seed, purpose, position).
#[derive(Debug)]
pub struct Draw(ChaCha8Rng);

impl Draw {
    pub(crate) fn new(seed: u64, purpose: Purpose, position: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8] = purpose as u8;
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(position);
        Self(rng)
    }

    /// A number in `0..n`; 0 if `n` is 0. Its bias, below `n / 2^64`, is far under what can be seen.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.0.next_u64()) * n as u128) >> 64) as usize
    }

    /// True one time in two.
    pub fn coin(&mut self) -> bool {
        self.0.next_u32() & 1 == 1
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    /// Brings `items` into random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(seed: u64, purpose: Purpose, position: u64) -> usize {
        Draw::new(seed, purpose, position).below(1 << 40)
    }

    #[test]
    fn numbers_depend_on_each_part_and_on_nothing_else() {
        let base = first(1, Purpose::Order, 5);
        assert_eq!(base, first(1, Purpose::Order, 5));
        assert_ne!(base, first(2, Purpose::Order, 5));
        assert_ne!(base, first(1, Purpose::Transform, 5));
        assert_ne!(base, first(1, Purpose::Order, 6));
    }

    #[test]
    fn numbers_are_spread_evenly() {
        let mut draw = Draw::new(3, Purpose::Transform, 0);
        let mut counts = [0; 5];
        let mut heads = 0;
        for _ in 0..5000 {
            counts[draw.below(5)] += 1;
            heads += usize::from(draw.coin());
            assert!((0.0..1.0).contains(&draw.unit()));
        }
        assert!(counts.iter().all(|&c| (900..1100).contains(&c)), "{counts:?}");
        assert!((2350..2650).contains(&heads), "{heads}");
        assert_eq!((draw.below(1), draw.below(0)), (0, 0));
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<usize> = (0..100).collect();
        Draw::new(0, Purpose::Order, 0).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
