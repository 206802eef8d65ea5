//! Lines cut into groups and panels.

use std::ops::Range;

use super::{Isa, Job, Simd};

/// Lines that are asked for ahead: together they keep as many requests under way as a core can.
const AHEAD: usize = 4;

/// Cuts lines at `bounds`, which begin at 0, are at most a register apart, and end where the lines do: of each line number k value
/// `bounds[p] + i` goes to `out[bounds[p] * depth + k * (bounds[p + 1] - bounds[p]) + i]`, where `out` has room for `depth` lines.
///
/// Lines are asked for ahead: they may be short and far apart.
///
/// # Panics
/// When bounds do not ascend or are too far apart, or a line reaches outside `data`.
pub fn copy_groups(isa: Isa, data: &[f32], stride: usize, bounds: &[usize], out: &mut [f32]) {
    let len = bounds.last().copied().unwrap_or(0);
    if len == 0 || out.len() < len {
        return;
    }
    let depth = out.len() / len;
    assert!(bounds.windows(2).all(|b| b[0] <= b[1] && b[1] - b[0] <= isa.lanes()), "groups {bounds:?}");
    assert!((depth - 1) * stride + len <= data.len(), "lines reach outside");
    isa.run(CopyGroups { data, stride, depth, bounds, out });
}

struct CopyGroups<'a> {
    data: &'a [f32],
    stride: usize,
    depth: usize,
    bounds: &'a [usize],
    out: &'a mut [f32],
}

impl Job for CopyGroups<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let CopyGroups { data, stride, depth, bounds, out } = self;
        let len = bounds[bounds.len() - 1];
        for k in 0..depth {
            let from = data.as_ptr().wrapping_add(k * stride);
            for at in (0..len).step_by(S::LANES) {
                simd.prefetch(from.wrapping_add(AHEAD * stride + at));
            }
            for group in bounds.windows(2) {
                let (start, count) = (group[0], group[1] - group[0]);
                // SAFETY: `copy_groups` checked that bounds ascend from line to line's end, that lines lie inside `data`, and so
                // `depth` groups as wide as all bounds inside `out`.
                unsafe {
                    let values = simd.load_first(from.wrapping_add(start), count);
                    simd.store_first(out.as_mut_ptr().add(start * depth + k * count), count, values);
                }
            }
        }
    }
}

/// Columns `cols` of panels of two registers, the last as wide as the columns of all need, of which `out` has `depth` rows:
/// for the panel at column j, `width` wide, `out[j * depth + k * width + i] = data[k * stride + j + i - cols.start]`, and 0
/// to the end of the last register.
///
/// Lines are read from end to end, but for what does not fill a panel, and asked for some lines ahead: they may be short
/// and far apart.
///
/// # Panics
/// When a line reaches outside `data`, or `out` is too short.
pub fn copy_panels(isa: Isa, data: &[f32], stride: usize, depth: usize, cols: Range<usize>, out: &mut [f32]) {
    if depth == 0 || cols.is_empty() {
        return;
    }
    assert!((depth - 1) * stride + cols.len() <= data.len(), "lines reach outside");
    let all = out.len() / depth / isa.lanes() * isa.lanes();
    assert!(cols.end <= all, "out is too short");
    isa.run(CopyPanels { data, stride, depth, cols, all, out });
}

struct CopyPanels<'a> {
    data: &'a [f32],
    stride: usize,
    depth: usize,
    cols: Range<usize>,
    /// Columns of all panels.
    all: usize,
    out: &'a mut [f32],
}

impl Job for CopyPanels<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let wide = 2 * S::LANES;
        let Range { start, end } = self.cols;
        let head = start.next_multiple_of(wide).min(end);
        let tail = (end - end % wide).max(head);
        for col in (start - start % S::LANES..head).step_by(S::LANES) {
            self.copy_register(simd, col);
        }
        for first in (0..self.depth).step_by(AHEAD) {
            // As many lines together as are asked for: a panel is then written in pieces that are not too short.
            let last = (first + AHEAD).min(self.depth);
            for j in (head..tail).step_by(wide) {
                for k in first..last {
                    // SAFETY: `copy_panels` checked that lines lie inside `data`, and all panels inside `out`.
                    unsafe {
                        let from = self.data.as_ptr().add(k * self.stride + j - start);
                        let to = self.out.as_mut_ptr().add(j * self.depth + k * wide);
                        simd.prefetch(from.wrapping_add(AHEAD * self.stride));
                        simd.prefetch(from.wrapping_add(AHEAD * self.stride + S::LANES));
                        simd.store(to, simd.load(from));
                        simd.store(to.add(S::LANES), simd.load(from.add(S::LANES)));
                    }
                }
            }
        }
        for col in (tail..end).step_by(S::LANES) {
            self.copy_register(simd, col);
        }
    }
}

impl CopyPanels<'_> {
    /// Copies what all lines have of the register at column `col`, which must be something, and zeros behind.
    #[inline(always)]
    fn copy_register<S: Simd>(&mut self, simd: S, col: usize) {
        let first = self.cols.start.saturating_sub(col);
        let (ours, behind) = ((first, (self.cols.end - col).min(S::LANES)), (first, S::LANES));
        let (lane, panel) = (col % (2 * S::LANES), col - col % (2 * S::LANES));
        let width = (2 * S::LANES).min(self.all - panel);
        let mut from = self.data.as_ptr().wrapping_add(col).wrapping_sub(self.cols.start);
        let mut to = self.out.as_mut_ptr().wrapping_add(panel * self.depth + lane);
        for _ in 0..self.depth {
            // SAFETY: `copy_panels` checked that lines lie inside `data`, and all panels inside `out`.
            unsafe { simd.store_lanes(to, behind, simd.load_lanes(from, ours)) };
            (from, to) = (from.wrapping_add(self.stride), to.wrapping_add(width));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(len: usize) -> Vec<f32> {
        (1..=len).map(|v| v as f32).collect()
    }

    #[test]
    fn lines_are_cut_into_groups() {
        for isa in Isa::all() {
            let lanes = isa.lanes();
            for bounds in [vec![], vec![0], vec![0, 1], vec![0, lanes], vec![0, 3, 3, 3 + lanes, 5 + lanes]] {
                let len = bounds.last().copied().unwrap_or(0);
                for depth in [0, 1, 2, 7] {
                    let data = numbers(depth * (len + 2));
                    let mut out = vec![f32::NAN; depth * len];
                    copy_groups(isa, &data, len + 2, &bounds, &mut out);
                    for group in bounds.windows(2) {
                        for (k, i) in (0..depth).flat_map(|k| (group[0]..group[1]).map(move |i| (k, i))) {
                            let at = group[0] * depth + k * (group[1] - group[0]) + i - group[0];
                            assert_eq!(out[at], data[k * (len + 2) + i], "{bounds:?} {depth}: {k} {i}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn panels_end_in_zeros() {
        for isa in Isa::all() {
            let wide = isa.tile_cols();
            for (depth, cols) in
                [(0, 3), (1, 1), (3, isa.lanes()), (2, wide), (5, 2 * wide + 1), (2, 4 * wide - 1)]
            {
                let stride = cols + 3;
                let data = numbers(depth * stride);
                let mut out = vec![f32::NAN; depth * cols.next_multiple_of(isa.lanes())];
                // In one piece, or two.
                for middle in [0, cols / 3] {
                    out.fill(f32::NAN);
                    copy_panels(isa, &data, stride, depth, 0..middle, &mut out);
                    copy_panels(isa, &data[middle.min(data.len())..], stride, depth, middle..cols, &mut out);
                    for j in (0..cols).step_by(wide) {
                        let width = wide.min(cols - j).next_multiple_of(isa.lanes());
                        for (k, i) in (0..depth).flat_map(|k| (0..width).map(move |i| (k, i))) {
                            let want = if j + i < cols { data[k * stride + j + i] } else { 0.0 };
                            assert_eq!(out[j * depth + k * width + i], want, "{depth} {cols}: {j} {k} {i}");
                        }
                    }
                }
            }
        }
    }
}
