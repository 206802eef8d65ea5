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

/// Makes the diffs of two blobs one value, which may be `new`; gives where it stands in `values`.
pub(in crate::net) fn unite(
    values: &mut Vec<Value>,
    diff: &mut [Option<usize>],
    (a, b): (usize, usize),
    new: impl FnOnce() -> Value,
) -> usize {
    let one = diff[a].or(diff[b]).unwrap_or_else(|| {
        values.push(new());
        values.len() - 1
    });
    for other in [diff[a], diff[b]].into_iter().flatten().filter(|&other| other != one) {
        let (start, end) = (*values[other].alive.start(), *values[other].alive.end());
        let alive = &values[one].alive;
        values[one].alive = start.min(*alive.start())..=end.max(*alive.end());
        // Nothing is left of it.
        values[other].len = 0;
        diff.iter_mut().filter(|d| **d == Some(other)).for_each(|d| *d = Some(one));
    }
    (diff[a], diff[b]) = (Some(one), Some(one));
    one
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
        let new = || value(5, 7..=7);
        let (mut values, mut diff) =
            (vec![value(5, 3..=4), value(5, 6..=6)], vec![Some(0), Some(1), None, Some(1)]);
        assert_eq!(unite(&mut values, &mut diff, (2, 0), new), 0);
        assert_eq!(unite(&mut values, &mut diff, (2, 1), new), 0);
        assert_eq!(diff, [Some(0); 4]);
        assert_eq!((values[0].alive.clone(), values[1].len), (3..=6, 0));
        let mut diff = [None; 2];
        assert_eq!((unite(&mut values, &mut diff, (0, 1), new), diff), (2, [Some(2); 2]));
    }
}
