//! Transposes and copies of lines, block by block in registers.

use super::{Epilogue, Isa, Job, LINE, Lines, MatMut, Simd, begins_line, limits::SQUARE};

/// `out[k * width + i] = data[i * stride + k]` for `i < count`, and 0 for i from `count` to `width`; `out` is as
/// many groups of `width` values as it holds.
///
/// # Panics
/// When `count` exceeds `width`, or a line reaches outside `data`.
pub fn interleave(isa: Isa, data: &[f32], stride: usize, count: usize, width: usize, out: &mut [f32]) {
    let depth = out.len() / width.max(1);
    if depth == 0 {
        return;
    }
    assert!(count <= width, "{count} lines in groups of {width}");
    assert!(count == 0 || (count - 1) * stride + depth <= data.len(), "lines reach outside");
    isa.run(Interleave { data, stride, count, width, out: &mut out[..depth * width] });
}

struct Interleave<'a> {
    data: &'a [f32],
    stride: usize,
    count: usize,
    width: usize,
    out: &'a mut [f32],
}

impl Job for Interleave<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Interleave { data, stride, count, width, out } = self;
        let depth = out.len() / width;
        let mut square = [0.0; SQUARE];
        // The last lines first: their registers may run over into the first values of the group after it.
        for i in (0..width).step_by(S::LANES).rev() {
            let rows = count.saturating_sub(i).min(S::LANES);
            for k in (0..depth).step_by(S::LANES) {
                let cols = S::LANES.min(depth - k);
                let from = Lines { at: data.as_ptr().wrapping_add(i * stride + k), stride };
                // A register may run over into the groups after it, which are written later.
                let inside = (k + cols - 1) * width + i + S::LANES <= out.len();
                // SAFETY: `interleave` checked that `rows` lines of `depth` values lie inside `data` from line `i`
                // on; registers are stored to `out` only where they end inside, else to the square.
                unsafe {
                    if inside {
                        simd.transpose(from, rows, cols, out.as_mut_ptr().add(k * width + i), width);
                    } else {
                        simd.transpose(from, rows, cols, square.as_mut_ptr(), S::LANES);
                    }
                }
                if !inside {
                    for (group, values) in
                        out[k * width..].chunks_exact_mut(width).zip(square.chunks_exact(S::LANES))
                    {
                        let lanes = (width - i).min(S::LANES);
                        simd.write_first(&mut group[i..i + lanes], simd.read(values));
                    }
                }
            }
        }
    }
}

/// `out[k * width + i] = data[k * stride + i]` for `i < count`, and 0 for i from `count` to `width`; `out` is as many
/// groups of `width` values as it holds.
///
/// # Panics
/// When `count` exceeds `width`, or a line reaches outside `data`.
pub fn copy_lines(isa: Isa, data: &[f32], stride: usize, count: usize, width: usize, out: &mut [f32]) {
    let depth = out.len() / width.max(1);
    if depth == 0 {
        return;
    }
    assert!(count <= width, "{count} values in groups of {width}");
    assert!((depth - 1) * stride + count <= data.len(), "lines reach outside");
    isa.run(CopyLines { data, stride, count, width, out: &mut out[..depth * width] });
}

struct CopyLines<'a> {
    data: &'a [f32],
    stride: usize,
    count: usize,
    width: usize,
    out: &'a mut [f32],
}

impl Job for CopyLines<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let CopyLines { data, stride, count, width, out } = self;
        for (k, group) in out.chunks_exact_mut(width).enumerate() {
            let from = data.as_ptr().wrapping_add(k * stride);
            for i in (0..width).step_by(S::LANES) {
                let (valid, lanes) = (count.saturating_sub(i).min(S::LANES), S::LANES.min(width - i));
                // SAFETY: `copy_lines` checked that `count` values of each line lie inside `data`; `lanes` values of
                // the group follow `i`.
                unsafe {
                    let v = if valid == S::LANES {
                        simd.load(from.wrapping_add(i))
                    } else {
                        simd.load_first(from.wrapping_add(i), valid)
                    };
                    if lanes == S::LANES {
                        simd.store(group.as_mut_ptr().add(i), v);
                    } else {
                        simd.store_first(group.as_mut_ptr().add(i), lanes, v);
                    }
                }
            }
        }
    }
}

/// What [`transpose`] reads, and how it writes.
#[derive(Clone, Copy, Debug)]
pub struct Transposed<'a> {
    /// Distance between the lines read.
    pub stride: usize,
    /// Whether to add to what `out` holds, or else overwrite it.
    pub add: bool,
    /// What happens to the rows before they are stored.
    pub epilogue: Epilogue<'a>,
}

/// `out[i][k] (+)= data[k * stride + i]`, then the epilogue.
///
/// # Panics
/// When `out` has more rows than lines or the epilogue has settings, or a line reaches outside `data`.
pub fn transpose(isa: Isa, data: &[f32], how: Transposed<'_>, mut out: MatMut<'_>) {
    if out.rows() == 0 || out.cols() == 0 {
        return;
    }
    assert!((out.cols() - 1) * how.stride + out.rows() <= data.len(), "lines reach outside");
    assert!(how.epilogue.serves(out.rows()), "settings of the epilogue are too few");
    // By reference: a copy would be read in wider pieces than it was just written, and wait for all stores before.
    isa.run(Transpose { data, how: &how, out: &mut out });
}

struct Transpose<'a, 'c> {
    data: &'a [f32],
    how: &'a Transposed<'a>,
    out: &'a mut MatMut<'c>,
}

impl Job for Transpose<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Transpose { data, how: &Transposed { stride, add, ref epilogue }, out } = self;
        let (n, depth) = (out.rows(), out.cols());
        let mut out = out.block(0..n, 0..depth);
        let mut square = [0.0; SQUARE];
        for k in (0..depth).step_by(S::LANES) {
            let rows = S::LANES.min(depth - k);
            for i in (0..n).step_by(S::LANES) {
                let cols = S::LANES.min(n - i);
                let from = Lines { at: data.as_ptr().wrapping_add(k * stride + i), stride };
                // SAFETY: `transpose` checked that all lines lie inside `data`; a square of registers fits.
                unsafe { simd.transpose(from, rows, cols, square.as_mut_ptr(), S::LANES) };
                for (j, values) in square.chunks_exact(S::LANES).take(cols).enumerate() {
                    let (row, settings) = (&mut out.row(i + j)[k..k + rows], epilogue.row(i + j));
                    let mut old = simd.splat(settings.bias);
                    // SAFETY: both have `rows` values.
                    unsafe {
                        if add {
                            old = simd.add(old, simd.load_first(row.as_ptr(), rows));
                        }
                        let [sum] = settings.finish(simd, [simd.add(old, simd.load(values.as_ptr()))]);
                        simd.store_first(row.as_mut_ptr(), rows, sum);
                    }
                }
            }
        }
    }
}

/// `out[i][k] = data[k * stride + i]`, bit for bit. If it is `far`, whole lines of `out` are written past the caches.
///
/// # Panics
/// When `out` has more rows than lines have values, or a line reaches outside `data`.
pub fn transpose_copy(isa: Isa, data: &[f32], stride: usize, mut out: MatMut<'_>, far: bool) {
    if out.rows() == 0 || out.cols() == 0 {
        return;
    }
    assert!((out.cols() - 1) * stride + out.rows() <= data.len(), "lines reach outside");
    let far = far && begins_line(out.as_mut_ptr()) && out.stride().is_multiple_of(LINE);
    isa.run(TransposeCopy { data, stride, out, far });
}

struct TransposeCopy<'a> {
    data: &'a [f32],
    stride: usize,
    out: MatMut<'a>,
    /// Whether rows of `out` begin with a line of the cache, and whole ones are written past the caches.
    far: bool,
}

impl Job for TransposeCopy<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let whole = if self.far { self.lines(simd) } else { 0 };
        let (n, depth, pitch) = (self.out.rows(), self.out.cols() - whole, self.out.stride());
        if depth == 0 {
            return;
        }
        let (rows, cols) = (S::LANES.min(depth), S::LANES.min(n));
        let (data, out) =
            (self.data[whole * self.stride..].as_ptr(), self.out.as_mut_ptr().wrapping_add(whole));
        let mut square = [0.0; SQUARE];
        // The last squares go back over the ones before, so that none is a part.
        for k in (0..depth).step_by(S::LANES).map(|k| k.min(depth - rows)) {
            for i in (0..n).step_by(S::LANES).map(|i| i.min(n - cols)) {
                // SAFETY: `transpose_copy` checked that all lines lie inside `data`; `rows` values of `cols` rows of `out` follow.
                unsafe {
                    let from = Lines { at: data.add(k * self.stride + i), stride: self.stride };
                    let to = out.add(i * pitch + k);
                    if rows == S::LANES {
                        simd.transpose(from, rows, cols, to, pitch);
                        continue;
                    }
                    simd.transpose(from, rows, cols, square.as_mut_ptr(), S::LANES);
                    for (j, values) in square.chunks_exact(S::LANES).take(cols).enumerate() {
                        simd.store_first(to.add(j * pitch), rows, simd.load(values.as_ptr()));
                    }
                }
            }
        }
    }
}

impl TransposeCopy<'_> {
    /// Fills the lines that rows of `out` have whole, past the caches, and returns how many columns these are.
    #[inline(always)]
    fn lines<S: Simd>(&mut self, simd: S) -> usize {
        let (n, pitch, whole) = (self.out.rows(), self.out.stride(), self.out.cols() / LINE * LINE);
        let (data, out) = (self.data.as_ptr(), self.out.as_mut_ptr());
        // A line of each of some rows.
        let mut made = [0.0; SQUARE];
        for k in (0..whole).step_by(LINE) {
            for i in (0..n).step_by(S::LANES) {
                let cols = S::LANES.min(n - i);
                // SAFETY: `transpose_copy` checked that all lines lie inside `data`; a line of `cols` rows of `out` follows, which begins
                // one of the cache.
                unsafe {
                    for part in (0..LINE).step_by(S::LANES) {
                        let at = data.add((k + part) * self.stride + i);
                        let from = Lines { at, stride: self.stride };
                        simd.transpose(from, S::LANES, cols, made.as_mut_ptr().add(part), LINE);
                    }
                    for (j, line) in made.chunks_exact(LINE).take(cols).enumerate() {
                        for part in (0..LINE).step_by(S::LANES) {
                            let to = out.add((i + j) * pitch + k + part);
                            simd.stream(to, simd.load(line.as_ptr().add(part)));
                        }
                    }
                }
            }
        }
        simd.fence();
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Buffer;

    fn numbers(len: usize) -> Vec<f32> {
        (1..=len).map(|v| v as f32).collect()
    }

    #[test]
    fn lines_interleave_with_zeros_behind() {
        for isa in Isa::all() {
            let lanes = isa.lanes();
            let widths = [(1, 1), (3, 3), (lanes - 1, lanes), (lanes + 1, 2 * lanes), (0, lanes)];
            let uneven = [(lanes + 1, lanes + 1), (lanes + 2, lanes + 5), (3 * lanes - 1, 3 * lanes - 1)];
            for (count, width) in widths.into_iter().chain(uneven) {
                for depth in [1, 2, lanes - 1, lanes, 2 * lanes + 3] {
                    let stride = depth + 2;
                    let data = numbers(count * stride);
                    let mut out = vec![f32::NAN; depth * width];
                    interleave(isa, &data, stride, count, width, &mut out);
                    let want = |k: usize, i: usize| if i < count { data[i * stride + k] } else { 0.0 };
                    let mut copied = vec![f32::NAN; count * depth];
                    copy_lines(isa, &data, stride, depth, depth, &mut copied);
                    for k in 0..depth {
                        (0..width).for_each(|i| {
                            assert_eq!(out[k * width + i], want(k, i), "{count} {width} {depth}")
                        });
                        (0..count).for_each(|i| assert_eq!(copied[i * depth + k], want(k, i)));
                    }
                }
            }
        }
    }

    #[test]
    fn copies_are_transposed() {
        for isa in Isa::all() {
            for (n, depth) in [(1, 1), (5, 3), (3, 20), (20, 3), (17, 33), (16, 16), (31, 9), (19, 48)] {
                let mut data = numbers(depth * (n + 1));
                data[0] = -0.0;
                // Rows that begin lines of the cache or not, and whether that is made use of.
                let pitches =
                    [(depth + 2, false), (depth + 2, true), ((depth + 2).next_multiple_of(LINE), true)];
                for (pitch, far) in pitches {
                    let mut out = Buffer::zeroed(n * pitch);
                    out.fill(0.5);
                    transpose_copy(isa, &data, n + 1, MatMut::new(&mut out, n, depth, pitch), far);
                    for (at, value) in out.iter().enumerate() {
                        let (i, k) = (at / pitch, at % pitch);
                        let want = if k < depth { data[k * (n + 1) + i] } else { 0.5 };
                        assert_eq!(value.to_bits(), want.to_bits(), "{n} {depth} {pitch}: {i} {k}");
                    }
                }
            }
        }
    }

    #[test]
    fn transposed_lines_are_added() {
        for isa in Isa::all() {
            for (n, depth) in [(1, 1), (5, 3), (17, 33), (16, 16)] {
                let data = numbers(depth * (n + 1));
                let standards = Epilogue::standards_for_tests(n);
                for standards in [None, Some(&standards[..])] {
                    let mut out = vec![0.5; n * depth];
                    let epilogue = Epilogue { standards, relu: standards.is_some(), ..Epilogue::default() };
                    let how = Transposed { stride: n + 1, add: true, epilogue };
                    transpose(isa, &data, how, MatMut::new(&mut out, n, depth, depth));
                    (0..n * depth).for_each(|at| {
                        let sum = 0.5 + data[at % depth * (n + 1) + at / depth];
                        assert_eq!(out[at], epilogue.plain(at / depth, sum));
                    });
                }
            }
        }
    }
}
