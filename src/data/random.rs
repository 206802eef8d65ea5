//! Random numbers as a function of seed, purpose and position, so that neither threads nor a resume change them.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Distribution as _};

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

    /// The chance in the sample at `position` of the stream.
    pub fn of_sample(seed: u64, position: u64) -> Self {
        Self::new(seed, Purpose::Transform, position)
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

    /// A number between 0 and 1 from Beta(alpha, alpha); `alpha` is positive.
    pub fn beta(&mut self, alpha: f32) -> f32 {
        // Of a tiny alpha both gamma variates may vanish: then all of one and nothing of the other is as good.
        Beta::new(alpha, alpha).map_or(1.0, |beta| beta.sample(&mut self.0)).clamp(0.0, 1.0)
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
    fn beta_is_symmetric_and_narrow_when_alpha_is_large() {
        let mut draw = Draw::new(1, Purpose::Transform, 0);
        for (alpha, variance) in [(0.2, 0.25 / 1.4), (1.0, 0.25 / 3.0), (8.0, 0.25 / 17.0)] {
            let values: Vec<f32> = (0..4000).map(|_| draw.beta(alpha)).collect();
            let mean = values.iter().sum::<f32>() / 4000.0;
            let found = values.iter().map(|v| (v - 0.5).powi(2)).sum::<f32>() / 4000.0;
            assert!(
                (mean - 0.5).abs() < 0.03 && (found / variance - 1.0).abs() < 0.15,
                "{alpha}: {mean} {found}"
            );
        }
        assert!((0..1000).all(|_| (0.0..=1.0).contains(&draw.beta(0.01))));
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
