//! Which sample stands at which position of the endless stream that training reads.

use std::sync::{Arc, Mutex, PoisonError};

use super::random::{Draw, Purpose};

/// Maps a position in the stream to a sample: epoch after epoch, in key order or shuffled.
///
/// A shuffled epoch depends on (seed, epoch) alone, so any position can be found without walking to it.
#[derive(Debug)]
pub(crate) struct Order {
    /// Samples per epoch, as runs that a shuffle keeps together: each file of an HDF5 list is one.
    runs: Vec<usize>,
    len: u64,
    shuffle: bool,
    seed: u64,
    skip: u64,
    /// The orders of the epochs in use: workers straddle the end of one and the start of the next.
    epochs: Mutex<Vec<(u64, Arc<[usize]>)>>,
}

impl Order {
    /// `rand_skip`: the stream starts at a random one of the first so many samples, as Caffe has it.
    pub fn new(runs: Vec<usize>, shuffle: bool, rand_skip: usize, seed: u64) -> Self {
        let len = runs.iter().sum::<usize>() as u64;
        let skip = Draw::new(seed, Purpose::Skip, 0).below(rand_skip) as u64;
        Self { runs, len, shuffle, seed, skip, epochs: Mutex::default() }
    }

    /// Samples per epoch.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// The sample at `position`. There must be samples.
    pub fn index(&self, position: u64) -> usize {
        let position = position.wrapping_add(self.skip);
        let at = (position % self.len) as usize;
        if self.shuffle { self.epoch(position / self.len)[at] } else { at }
    }

    fn epoch(&self, epoch: u64) -> Arc<[usize]> {
        let mut kept = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, order)) = kept.iter().find(|(e, _)| *e == epoch) {
            return order.clone();
        }
        let order: Arc<[usize]> = self.shuffled(epoch).into();
        if kept.len() == 2 {
            kept.remove(0);
        }
        kept.push((epoch, order.clone()));
        order
    }

    fn shuffled(&self, epoch: u64) -> Vec<usize> {
        let mut draw = Draw::new(self.seed, Purpose::Order, epoch);
        let mut start = 0;
        let mut runs: Vec<_> = self
            .runs
            .iter()
            .map(|len| {
                start += len;
                start - len..start
            })
            .collect();
        draw.shuffle(&mut runs);
        let mut order = Vec::with_capacity(self.len());
        for run in runs {
            let from = order.len();
            order.extend(run);
            draw.shuffle(&mut order[from..]);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(order: &Order, positions: std::ops::Range<u64>) -> Vec<usize> {
        positions.map(|p| order.index(p)).collect()
    }

    #[test]
    fn key_order_wraps() {
        assert_eq!(take(&Order::new(vec![2, 1], false, 0, 7), 2..8), [2, 0, 1, 2, 0, 1]);
    }

    #[test]
    fn each_epoch_is_a_new_permutation() {
        let order = Order::new(vec![50], true, 0, 7);
        let (a, b) = (take(&order, 0..50), take(&order, 50..100));
        for epoch in [&a, &b] {
            let mut sorted = epoch.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..50).collect::<Vec<_>>());
        }
        assert_ne!(a, b);
        assert_ne!(a, take(&Order::new(vec![50], true, 0, 8), 0..50), "the seed counts");
        let late = Order::new(vec![50], true, 0, 7);
        assert_eq!(take(&late, 50..100), b, "an epoch is found without the one before");
    }

    #[test]
    fn a_shuffle_keeps_runs_together() {
        let order = Order::new(vec![3, 4, 5], true, 0, 1);
        let run = |i: usize| {
            if i < 3 {
                0
            } else if i < 7 {
                1
            } else {
                2
            }
        };
        for epoch in 0..5 {
            let mut runs: Vec<_> = take(&order, 12 * epoch..12 * (epoch + 1)).into_iter().map(run).collect();
            runs.dedup();
            assert_eq!(runs.len(), 3, "{runs:?}");
        }
    }

    #[test]
    fn rand_skip_moves_the_start() {
        let starts: Vec<_> = (0..20).map(|seed| Order::new(vec![9], false, 4, seed).index(0)).collect();
        assert!(starts.iter().all(|&s| s < 4) && starts.iter().any(|&s| s > 0), "{starts:?}");
    }
}
