//! Copies of blocks in the order in which the micro-kernel reads them.

use std::ops::Range;

use super::Matrix;
use crate::kernels::simd::Isa;

/// `len` cut into ranges of at most `most`, as equal as can be, the longer first.
///
/// Equal tiles waste nothing: 50 rows for tiles of 14 are 13, 13, 12 and 12 rows.
pub fn panels(len: usize, most: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    let count = len.div_ceil(most);
    let (each, longer) = (len / count.max(1), len % count.max(1));
    (0..count).map(move |i| {
        let start = i * each + i.min(longer);
        start..start + each + usize::from(i < longer)
    })
}

/// Packs a block of A: for each panel of rows, for each k, one value a row.
pub fn rows(isa: Isa, a: &Matrix<'_>, rows: Range<usize>, depth: Range<usize>, out: &mut [f32]) {
    let k = depth.len();
    for panel in panels(rows.len(), isa.tile_rows()) {
        let part = &mut out[panel.start * k..panel.end * k];
        let first = (rows.start + panel.start) * a.row_stride + depth.start * a.col_stride;
        interleave(
            a.data,
            first,
            Lanes { count: panel.len(), stride: a.row_stride },
            a.col_stride,
            panel.len(),
            part,
        );
    }
}

/// Packs a block of B: for each panel of columns, for each k, one value a column, zeros to full registers.
pub fn columns(isa: Isa, b: &Matrix<'_>, depth: Range<usize>, cols: Range<usize>, out: &mut [f32]) {
    let k = depth.len();
    for j in (0..cols.len()).step_by(isa.tile_cols()) {
        let count = isa.tile_cols().min(cols.len() - j);
        let width = count.next_multiple_of(isa.lanes());
        let first = depth.start * b.row_stride + (cols.start + j) * b.col_stride;
        let part = &mut out[j * k..(j + width) * k];
        interleave(b.data, first, Lanes { count, stride: b.col_stride }, b.row_stride, width, part);
    }
}

/// Lines to interleave and the distance between them.
struct Lanes {
    count: usize,
    stride: usize,
}

/// `out[k * width + i] = data[first + i * lanes.stride + k * k_stride]`, and 0 for i from `lanes.count` on.
fn interleave(data: &[f32], first: usize, lanes: Lanes, k_stride: usize, width: usize, out: &mut [f32]) {
    if out.is_empty() {
        return;
    }
    let data = &data[first..];
    if lanes.stride == 1 {
        for (k, group) in out.chunks_exact_mut(width).enumerate() {
            group[..lanes.count].copy_from_slice(&data[k * k_stride..k * k_stride + lanes.count]);
            group[lanes.count..].fill(0.0);
        }
    } else {
        for i in 0..width {
            let line = out[i..].iter_mut().step_by(width);
            if i < lanes.count {
                line.zip(data[i * lanes.stride..].iter().step_by(k_stride.max(1))).for_each(|(o, &v)| *o = v);
            } else {
                line.for_each(|o| *o = 0.0);
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
