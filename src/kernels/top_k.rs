//! The largest values along an axis, and where they are.

use super::parallel::{CHUNK, for_chunks_mut2};

/// A blob seen as `outer x len x inner`, of which the `k` largest along the middle axis are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopKDims {
    /// Product of the axes before.
    pub outer: usize,
    /// Values to choose from.
    pub len: usize,
    /// Product of the axes behind.
    pub inner: usize,
    /// How many are wanted, at most `len`.
    pub k: usize,
}

impl TopKDims {
    /// How many values are found: `outer x k x inner`.
    pub fn found(&self) -> usize {
        self.outer * self.k * self.inner
    }
}

/// The `k` largest, largest first, and their places along the axis; of equal values the last counts as the largest.
/// Both results are `outer x k x inner`.
pub fn top_k(dims: &TopKDims, x: &[f32], values: &mut [f32], places: &mut [u32]) {
    let TopKDims { outer, len, inner, k } = *dims;
    assert!(x.len() == outer * len * inner && values.len() == dims.found() && places.len() == dims.found());
    if k == 1 {
        for_chunks_mut2(values, places, (CHUNK / len).max(1), |start, mut values, mut places| {
            let mut at = start;
            while !values.is_empty() {
                // As far as the run of positions goes.
                let run = (inner - at % inner).min(values.len());
                let (now, values_left) = std::mem::take(&mut values).split_at_mut(run);
                let (now_places, places_left) = std::mem::take(&mut places).split_at_mut(run);
                largest(&x[at / inner * len * inner + at % inner..], dims, now, now_places);
                (values, places, at) = (values_left, places_left, at + run);
            }
        });
        return;
    }
    let row = k * inner;
    for_chunks_mut2(values, places, (CHUNK / (len * inner).max(1)).max(1) * row, |start, values, places| {
        let rows = values.chunks_exact_mut(row).zip(places.chunks_exact_mut(row));
        for (o, (values, places)) in (start / row.max(1)..).zip(rows) {
            let x = &x[o * len * inner..][..len * inner];
            (0..inner).for_each(|position| {
                insert_all(&x[position..], dims, &mut values[position..], &mut places[position..])
            });
        }
    });
}

/// The largest at each of `values.len()` positions that lie side by side; `x` begins at the first of them.
fn largest(x: &[f32], dims: &TopKDims, values: &mut [f32], places: &mut [u32]) {
    let run = values.len();
    values.copy_from_slice(&x[..run]);
    places.fill(0);
    for place in 1..dims.len {
        let x = &x[place * dims.inner..][..run];
        for ((value, at), &x) in values.iter_mut().zip(places.iter_mut()).zip(x) {
            let larger = x >= *value;
            *value = if larger { x } else { *value };
            *at = if larger { place as u32 } else { *at };
        }
    }
}

/// The `k` largest at one position, kept in order while the values are gone through; steps are `inner` long.
fn insert_all(x: &[f32], dims: &TopKDims, values: &mut [f32], places: &mut [u32]) {
    let step = dims.inner;
    for (place, &value) in x.iter().step_by(step).take(dims.len).enumerate() {
        let mut at = place.min(dims.k - 1);
        let full = place >= dims.k;
        if full && (value < values[at * step] || value.is_nan()) {
            continue;
        }
        while at > 0 && value >= values[(at - 1) * step] {
            values[at * step] = values[(at - 1) * step];
            places[at * step] = places[(at - 1) * step];
            at -= 1;
        }
        values[at * step] = value;
        places[at * step] = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_sorting() {
        for (outer, len, inner) in [(1, 1, 1), (3, 5, 1), (2, 7, 4), (1, 3, 40_000), (5000, 10, 1), (0, 3, 2)]
        {
            let x: Vec<f32> = (0..outer * len * inner).map(|i| ((i * 37) % 11) as f32).collect();
            for k in [1, 2, 3].into_iter().filter(|&k| k <= len) {
                let dims = TopKDims { outer, len, inner, k };
                let (mut values, mut places) = (vec![f32::NAN; dims.found()], vec![u32::MAX; dims.found()]);
                top_k(&dims, &x, &mut values, &mut places);
                for i in 0..outer * inner {
                    let (o, p) = (i / inner, i % inner);
                    let mut all: Vec<_> =
                        (0..len).map(|c| (x[(o * len + c) * inner + p], c as u32)).collect();
                    all.sort_by(|a, b| b.partial_cmp(a).unwrap());
                    for (j, want) in all[..k].iter().enumerate() {
                        let at = (o * k + j) * inner + p;
                        assert_eq!((values[at], places[at]), *want, "{dims:?}");
                    }
                }
            }
        }
    }
}
