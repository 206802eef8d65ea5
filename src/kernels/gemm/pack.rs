//! Copies of blocks in the order in which the micro-kernel reads them.

use std::ops::Range;

use super::Matrix;
use crate::kernels::parallel;
use crate::kernels::simd::{self, Isa};

/// `len` cut into ranges of at most `most`, as equal as can be, the longer first.
///
/// Equal tiles waste nothing: 50 rows for tiles of 14 are 13, 13, 12 and 12 rows.
pub fn panels(len: usize, most: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    (0..len.div_ceil(most)).map(move |i| panel_start(len, most, i)..panel_start(len, most, i + 1))
}

/// Where panel number `index` of [`panels`] starts.
pub fn panel_start(len: usize, most: usize, index: usize) -> usize {
    let count = len.div_ceil(most).max(1);
    index * (len / count) + index.min(len % count)
}

/// Panels of rows that are packed together, or in one task: many where rows lie side by side, so that what is read at a time is long.
const GROUP: usize = 16;
const SMALL_GROUP: usize = 2;

/// Packs a block of A: for each panel of rows, for each k, one value a row.
pub fn rows(isa: Isa, a: &Matrix<'_>, rows: Range<usize>, depth: Range<usize>, out: &mut [f32]) {
    let (m, k) = (rows.len(), depth.len());
    for group in 0..group_count(isa, a, m) {
        let start = group_start(isa, a, m, group);
        let out = &mut out[start * k..group_start(isa, a, m, group + 1) * k];
        pack_group(isa, a, &rows, &depth, group, out);
    }
}

/// [`rows`] for all threads.
pub fn rows_parallel(isa: Isa, a: &Matrix<'_>, rows: Range<usize>, depth: Range<usize>, out: &mut [f32]) {
    let (m, k) = (rows.len(), depth.len());
    let first = |group| group_start(isa, a, m, group) * k;
    parallel::for_parts(&mut out[..m * k], 0..group_count(isa, a, m), &first, &|group, out| {
        pack_group(isa, a, &rows, &depth, group, out);
    });
}

/// Panels of a group.
fn group_len(a: &Matrix<'_>) -> usize {
    if a.row_stride == 1 { GROUP } else { SMALL_GROUP }
}

/// Groups of panels of `m` rows.
fn group_count(isa: Isa, a: &Matrix<'_>, m: usize) -> usize {
    m.div_ceil(isa.tile_rows()).div_ceil(group_len(a))
}

/// The first of `m` rows of group number `group`, which is `m` after the last.
fn group_start(isa: Isa, a: &Matrix<'_>, m: usize, group: usize) -> usize {
    panel_start(m, isa.tile_rows(), (group * group_len(a)).min(m.div_ceil(isa.tile_rows())))
}

/// Packs one group of panels.
fn pack_group(
    isa: Isa,
    a: &Matrix<'_>,
    rows: &Range<usize>,
    depth: &Range<usize>,
    group: usize,
    out: &mut [f32],
) {
    let (m, k) = (rows.len(), depth.len());
    let (start, len) = (group_start(isa, a, m, group), group_len(a));
    let panels = group * len..m.div_ceil(isa.tile_rows()).min((group + 1) * len);
    let first = (rows.start + start) * a.row_stride + depth.start * a.col_stride;
    if a.row_stride == 1 && k > 0 {
        let mut bounds = [0; GROUP + 1];
        let bounds = &mut bounds[..=panels.len()];
        for (bound, panel) in bounds.iter_mut().zip(panels.start..) {
            *bound = panel_start(m, isa.tile_rows(), panel) - start;
        }
        return simd::copy_groups(isa, &a.data[first..], a.col_stride, bounds, out);
    }
    for panel in panels {
        let panel = panel_start(m, isa.tile_rows(), panel) - start
            ..panel_start(m, isa.tile_rows(), panel + 1) - start;
        let first = first + panel.start * a.row_stride;
        let lines = Lines { first, count: panel.len(), stride: a.row_stride, step: a.col_stride };
        lines.pack(isa, a.data, panel.len(), &mut out[panel.start * k..panel.end * k]);
    }
}

/// Packs a block of B: for each panel of columns, for each k, one value a column, zeros to full registers.
pub fn columns(isa: Isa, b: &Matrix<'_>, depth: Range<usize>, cols: Range<usize>, out: &mut [f32]) {
    let k = depth.len();
    if b.col_stride == 1 && k > 0 && !cols.is_empty() {
        let data = &b.data[depth.start * b.row_stride + cols.start..];
        let width = cols.len().next_multiple_of(isa.lanes());
        return simd::copy_panels(isa, data, b.row_stride, k, 0..cols.len(), &mut out[..width * k]);
    }
    for j in (0..cols.len()).step_by(isa.tile_cols()) {
        let count = isa.tile_cols().min(cols.len() - j);
        let width = count.next_multiple_of(isa.lanes());
        let first = depth.start * b.row_stride + (cols.start + j) * b.col_stride;
        let lines = Lines { first, count, stride: b.col_stride, step: b.row_stride };
        lines.pack(isa, b.data, width, &mut out[j * k..(j + width) * k]);
    }
}

/// Rows of A or columns of B: `count` lines `stride` apart, whose values are `step` apart.
struct Lines {
    first: usize,
    count: usize,
    stride: usize,
    step: usize,
}

impl Lines {
    /// `out[k * width + i] = data[first + i * stride + k * step]`, and 0 for i from `count` on.
    fn pack(&self, isa: Isa, data: &[f32], width: usize, out: &mut [f32]) {
        let Lines { first, count, stride, step } = *self;
        if out.is_empty() {
            return;
        }
        let data = &data[first..];
        if step == 1 {
            simd::interleave(isa, data, stride, count, width, out);
        } else if stride == 1 {
            simd::copy_lines(isa, data, step, count, width, out);
        } else {
            for (k, group) in out.chunks_exact_mut(width).enumerate() {
                let line = data[(k * step).min(data.len())..].iter().step_by(stride.max(1));
                group[..count].iter_mut().zip(line).for_each(|(o, &v)| *o = v);
                group[count..].fill(0.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_are_equal_and_cover() {
        let cut = |len, most| panels(len, most).collect::<Vec<_>>();
        assert_eq!(cut(50, 14), [0..13, 13..26, 26..38, 38..50]);
        assert!(cut(0, 14).is_empty());
        assert_eq!(cut(15, 14), [0..8, 8..15]);
    }
}
