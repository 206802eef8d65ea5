//! Which blobs may share memory: those that are not alive at the same time.
//!
//! Time counts the steps of a training iteration: the forward passes of layers 0, 1, ... L-1, then the backward
//! passes of L-1, ... 1, 0. A value lives from the step that makes it to the last that reads it.

use std::ops::RangeInclusive;

/// A value that needs memory.
#[derive(Clone, Debug)]
pub struct Value {
    /// How many elements.
    pub len: usize,
    /// First and last step at which it is alive.
    pub alive: RangeInclusive<usize>,
}

/// Where values are kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// For each value, its slot.
    pub slots: Vec<usize>,
    /// For each slot, how many elements.
    pub sizes: Vec<usize>,
}

/// Puts values into slots: the largest first, each into the slot of the nearest size that is free while it lives.
pub fn plan(values: &[Value]) -> Layout {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(values[i].len), i));
    let mut layout = Layout { slots: vec![0; values.len()], sizes: Vec::new() };
    let mut tenants: Vec<Vec<usize>> = Vec::new();
    for i in order {
        let free = |slot: &Vec<usize>| slot.iter().all(|&j| !overlap(&values[i].alive, &values[j].alive));
        // Slots were opened in order of size, so the last free one fits best.
        let slot = tenants.iter().rposition(free).unwrap_or_else(|| {
            tenants.push(Vec::new());
            layout.sizes.push(values[i].len);
            tenants.len() - 1
        });
        tenants[slot].push(i);
        layout.slots[i] = slot;
    }
    layout
}

fn overlap(a: &RangeInclusive<usize>, b: &RangeInclusive<usize>) -> bool {
    a.start() <= b.end() && b.start() <= a.end()
}

/// The values of blobs and their diffs, with how long each lives.
pub(in crate::net) struct Lives {
    /// All of them.
    pub values: Vec<Value>,
    /// For each blob, the place of its values among them.
    pub data: Vec<usize>,
    /// For each blob, the place of its diff.
    pub diff: Vec<Option<usize>>,
    /// The step after the last.
    pub last: usize,
}

impl Lives {
    /// Of so many blobs, in so many steps.
    pub fn new(blobs: usize, last: usize) -> Self {
        Self { values: Vec::new(), data: vec![0; blobs], diff: vec![None; blobs], last }
    }

    /// Adds a value and gives its place.
    pub fn add(&mut self, len: usize, alive: RangeInclusive<usize>) -> usize {
        self.values.push(Value { len, alive });
        self.values.len() - 1
    }

    /// A blob's values live until this step at least.
    pub fn extend(&mut self, blob: usize, until: usize) {
        let alive = &mut self.values[self.data[blob]].alive;
        *alive = *alive.start()..=until.max(*alive.end());
    }

    /// Makes the diffs of two blobs one value: if neither has one, one of `len` elements that is made at a step.
    pub fn unite(&mut self, a: usize, b: usize, len: usize, made: usize) {
        let both = [self.diff[a], self.diff[b]];
        let one = both[0].or(both[1]).unwrap_or_else(|| self.add(len, made..=made));
        for other in both.into_iter().flatten().filter(|&other| other != one) {
            let (start, end) = self.values[other].alive.clone().into_inner();
            let alive = &mut self.values[one].alive;
            *alive = start.min(*alive.start())..=end.max(*alive.end());
            // Nothing is left of it.
            self.values[other].len = 0;
            self.diff.iter_mut().filter(|d| **d == Some(other)).for_each(|d| *d = Some(one));
        }
        (self.diff[a], self.diff[b]) = (Some(one), Some(one));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(len: usize, alive: RangeInclusive<usize>) -> Value {
        Value { len, alive }
    }

    #[test]
    fn values_apart_in_time_share_a_slot() {
        let layout = plan(&[value(10, 0..=1), value(8, 1..=2), value(9, 2..=3), value(3, 3..=4)]);
        assert_eq!(layout.slots, [0, 1, 0, 1]);
        assert_eq!(layout.sizes, [10, 8]);
    }

    #[test]
    fn no_two_values_share_memory_at_one_time() {
        let values: Vec<Value> =
            (0..60).map(|i| value((i * 37) % 50 + 1, (i * 7) % 40..=(i * 7) % 40 + i % 9)).collect();
        let layout = plan(&values);
        for i in 0..values.len() {
            assert!(layout.sizes[layout.slots[i]] >= values[i].len);
            for j in 0..i {
                assert!(layout.slots[i] != layout.slots[j] || !overlap(&values[i].alive, &values[j].alive));
            }
        }
        assert!(layout.sizes.iter().sum::<usize>() < values.iter().map(|v| v.len).sum());
    }

    #[test]
    fn united_diffs_are_one_value() {
        let mut lives = Lives::new(4, 9);
        lives.values = vec![value(5, 3..=4), value(5, 6..=6)];
        lives.diff = vec![Some(0), Some(1), None, Some(1)];
        lives.unite(2, 0, 5, 7);
        lives.unite(2, 1, 5, 7);
        assert_eq!(lives.diff, [Some(0); 4]);
        assert_eq!((lives.values[0].alive.clone(), lives.values[1].len), (3..=6, 0));
        lives.diff = vec![None; 4];
        lives.unite(0, 1, 5, 7);
        assert_eq!(lives.diff, [Some(2), Some(2), None, None]);
        assert_eq!(lives.values[2].alive, 7..=7);
    }
}
