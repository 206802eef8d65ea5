//! Copies of parts of a matrix: bands of columns, and rows by index. Long pieces are copied in parallel.
//!
//! Many rows are one loop, in which those to come are asked for, as `elementwise` does.

use super::{
    elementwise::{FAR, PIECE, Rectified, evaluate_part, vectorized},
    parallel::{CHUNK, for_chunks_mut},
    simd::{Asked, Cut, Each, Isa, Job, LINE, Simd, begins_line, each, each_past, each_piece},
};

/// The columns `start..start + len` of a matrix whose rows are `row` values long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// Length of the matrix's rows.
    pub row: usize,
    /// First column.
    pub start: usize,
    /// Number of columns.
    pub len: usize,
}

/// Copies the band out of `matrix`; `out` has the same number of rows, each as long as the band.
pub fn take_band(matrix: &[f32], band: Band, out: &mut [f32]) {
    let Band { row, start, len } = band;
    if len == 0 || row == 0 {
        return;
    }
    let all = out.len();
    assert_eq!(matrix.len() / row, all / len);
    for_chunks_mut(out, whole_rows(len), |first, out| {
        Pieces { out, apart: len, len, all }.fill([(&matrix[first / len * row + start..], row)], Unchanged);
    });
}

/// [`take_band`] with zeros where `x`, which lies as `out` does, is not above 0.
pub fn take_band_rectified(matrix: &[f32], band: Band, x: &[f32], out: &mut [f32]) {
    let Band { row, start, len } = band;
    if len == 0 || row == 0 {
        return;
    }
    let all = out.len();
    assert_eq!((matrix.len() / row, x.len()), (all / len, all));
    for_chunks_mut(out, whole_rows(len), |first, out| {
        let rows = [(&matrix[first / len * row + start..], row), (&x[first..], len)];
        Pieces { out, apart: len, len, all }.fill(rows, Rectified);
    });
}

/// Copies `values`, with as many rows as `matrix` and each as long as the band, into the band.
pub fn put_band(values: &[f32], band: Band, matrix: &mut [f32]) {
    let Band { row, start, len } = band;
    if len == 0 || row == 0 {
        return;
    }
    let all = values.len();
    assert_eq!(matrix.len() / row, all / len);
    // Chunks hold about CHUNK copied values each, however long the rows are.
    for_chunks_mut(matrix, whole_rows(len) / len * row, |first, matrix| {
        let out = &mut matrix[start..];
        Pieces { out, apart: row, len, all }.fill([(&values[first / row * len..], len)], Unchanged);
    });
}

/// Row `i` of `out` becomes row `index[i]` of `matrix`; rows are `len` values long.
pub fn gather_rows(matrix: &[f32], len: usize, index: &[u32], out: &mut [f32]) {
    assert_eq!(out.len(), index.len() * len);
    copy_rows(out, len, |i| &matrix[index[i] as usize * len..]);
}

/// Row `i` of `out`, `len` values long, becomes what `row(i)` begins with.
pub(super) fn copy_rows<'a>(out: &mut [f32], len: usize, row: impl Fn(usize) -> &'a [f32] + Sync) {
    if len == 0 {
        return;
    }
    let all = out.len();
    for_chunks_mut(out, whole_rows(len), |first, out| {
        fill_rows(Pieces { out, apart: len, len, all }, |i| row(first / len + i));
    });
}

/// Each row of `matrix` becomes the sum of the rows `i` of `values` with its number as `index[i]`, in order of `i`.
pub fn scatter_rows(values: &[f32], len: usize, index: &[u32], matrix: &mut [f32]) {
    scatter(values, len, index, matrix, |rows| rows.fill(0.0));
}

/// As [`scatter_rows`], but the sums are added to what `matrix` holds.
pub fn add_scattered_rows(values: &[f32], len: usize, index: &[u32], matrix: &mut [f32]) {
    scatter(values, len, index, matrix, |_| {});
}

fn scatter(values: &[f32], len: usize, index: &[u32], matrix: &mut [f32], start: impl Fn(&mut [f32]) + Sync) {
    assert_eq!(values.len(), index.len() * len);
    if len == 0 {
        return;
    }
    for_chunks_mut(matrix, whole_rows(len), |first, matrix| {
        start(matrix);
        for (from, &to) in values.chunks_exact(len).zip(index) {
            let to = (to as usize).wrapping_sub(first / len);
            let Some(to) = matrix.chunks_exact_mut(len).nth(to) else { continue };
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        }
    });
}

/// Adds the sums of the columns of `rows` to `sums`, the rows in order.
pub fn add_column_sums(rows: &[f32], sums: &mut [f32]) {
    let n = sums.len();
    // Columns of a task: long enough to vectorize, short enough to stay in the first-level cache.
    let columns = (4 * CHUNK * n / rows.len().max(1)).clamp(256, 4096);
    for_chunks_mut(sums, columns, |start, sums| {
        for row in rows.chunks_exact(n) {
            let row = &row[start..][..sums.len()];
            vectorized(|| sums.iter_mut().zip(row).for_each(|(sum, v)| *sum += v));
        }
    });
}

/// Repeats each row of `rows`, `len` values long, `times` times.
pub fn repeat_rows(rows: &[f32], len: usize, times: usize, out: &mut [f32]) {
    assert_eq!(out.len(), rows.len() * times);
    copy_rows(out, len, |i| &rows[i / times * len..]);
}

/// The opposite: each row becomes the sum of its `times` repetitions in `values`, in order.
pub fn sum_repeated_rows(values: &[f32], len: usize, times: usize, rows: &mut [f32]) {
    assert_eq!(values.len(), rows.len() * times);
    if len == 0 || times == 0 {
        rows.fill(0.0);
        return;
    }
    for_chunks_mut(rows, whole_rows(len), |first, rows| {
        for (i, row) in rows.chunks_exact_mut(len).enumerate() {
            let mut copies = values[(first / len + i) * times * len..][..times * len].chunks_exact(len);
            row.copy_from_slice(copies.next().unwrap_or_default());
            copies.for_each(|copy| row.iter_mut().zip(copy).for_each(|(row, copy)| *row += copy));
        }
    });
}

/// x.
#[derive(Clone, Copy)]
struct Unchanged;

impl Each<1, 1> for Unchanged {
    #[inline(always)]
    fn of<S: Simd>(self, _: S, x: [S::V; 1]) -> [S::V; 1] {
        x
    }
}

/// Where rows go: the first `len` values of rows of `out`, `apart`.
struct Pieces<'a> {
    out: &'a mut [f32],
    apart: usize,
    len: usize,
    /// Values of the rows of all chunks.
    all: usize,
}

impl Pieces<'_> {
    /// Whether short rows are written past the caches: so many that nothing is near when it is read, and whole lines. Long ones are
    /// looked at each by itself.
    fn are_far(&self) -> bool {
        self.all >= FAR
            && self.apart.is_multiple_of(LINE)
            && self.len.is_multiple_of(LINE)
            && begins_line(self.out.as_ptr())
    }

    /// They become f(rows), which each lie as far apart as is said.
    fn fill<const N: usize>(self, rows: [(&[f32], usize); N], f: impl Each<N, 1> + Send + Sync) {
        if self.len <= 2 * CHUNK {
            return Isa::best().run(FillPieces { to: self, rows, f });
        }
        let Self { out, apart, len, all } = self;
        for (i, out) in out.chunks_mut(apart).enumerate() {
            evaluate_part(rows.map(|(row, apart)| &row[i * apart..][..len]), &mut out[..len], all, f);
        }
    }
}

struct FillPieces<'a, F, const N: usize> {
    to: Pieces<'a>,
    rows: [(&'a [f32], usize); N],
    f: F,
}

impl<F: Each<N, 1>, const N: usize> Job for FillPieces<'_, F, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { to, rows, f } = self;
        let far = to.are_far();
        let Pieces { out, apart, len, .. } = to;
        if far {
            for (i, out) in out.chunks_mut(apart).enumerate() {
                each_past(simd, rows.map(|(row, apart)| &row[i * apart..]), &mut out[..len], f);
            }
            return simd.fence();
        }
        let cut = Cut { count: out.len().div_ceil(apart), len, asked: apart };
        let asked = Asked { reads: [], writes: [out.as_ptr().wrapping_add(ahead(len, apart))] };
        each_piece(simd, cut, rows, [(out, apart)], asked, f);
    }
}

/// Rows that follow one another become row(i).
fn fill_rows<'a>(to: Pieces<'_>, row: impl Fn(usize) -> &'a [f32]) {
    if to.len <= 2 * CHUNK {
        return Isa::best().run(FillRows { to, row });
    }
    for (i, out) in to.out.chunks_mut(to.len).enumerate() {
        evaluate_part([&row(i)[..to.len]], out, to.all, Unchanged);
    }
}

struct FillRows<'a, R> {
    to: Pieces<'a>,
    row: R,
}

impl<'b, R: Fn(usize) -> &'b [f32]> Job for FillRows<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { to, row } = self;
        let far = to.are_far();
        let Pieces { out, len, .. } = to;
        for (i, out) in out.chunks_mut(len).enumerate() {
            if far {
                each_past(simd, [row(i)], out, Unchanged);
            } else {
                let asked = Asked { reads: [], writes: [out.as_ptr().wrapping_add(ahead(len, len))] };
                each(simd, [row(i)], [out], asked, Unchanged);
            }
        }
        if far {
            simd.fence();
        }
    }
}

/// How far on what will be written is asked for: some whole rows where these are short.
#[inline(always)]
fn ahead(len: usize, apart: usize) -> usize {
    if len > PIECE { PIECE } else { PIECE.next_multiple_of(apart) }
}

/// The length of a chunk of whole rows: about [`CHUNK`] values, or one row.
fn whole_rows(len: usize) -> usize {
    (CHUNK / len).max(1) * len
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Buffer;

    fn counting(n: usize) -> Vec<f32> {
        (0..n).map(|i| i as f32).collect()
    }

    #[test]
    fn bands_go_out_and_come_back() {
        for (rows, row, start, len) in
            [(3, 7, 2, 4), (1, 5, 0, 5), (2, 4, 1, 0), (0, 3, 1, 1), (700, 50, 49, 1), (2, 40_000, 7, 39_000)]
        {
            let (matrix, band) = (counting(rows * row), Band { row, start, len });
            let mut out = vec![f32::NAN; rows * len];
            take_band(&matrix, band, &mut out);
            for (i, v) in out.iter().enumerate() {
                assert_eq!(*v, matrix[i / len * row + start + i % len]);
            }
            let x: Vec<f32> = (0..rows * len).map(|i| (i % 3) as f32 - 1.0).collect();
            let mut cut = vec![f32::NAN; rows * len];
            take_band_rectified(&matrix, band, &x, &mut cut);
            assert!((0..out.len()).all(|i| cut[i] == if x[i] > 0.0 { out[i] } else { 0.0 }));
            let mut back = vec![-1.0; rows * row];
            put_band(&out, band, &mut back);
            for (i, v) in back.iter().enumerate() {
                let inside = (start..start + len).contains(&(i % row));
                assert_eq!(*v, if inside { matrix[i] } else { -1.0 });
            }
        }
    }

    #[test]
    fn many_lines_go_past_the_caches() {
        // Of short rows and of long ones; the band begins with a line, or within one.
        for (len, start) in [(64, 32), (64, 3), (40_000, 16), (40_000, 1)] {
            let (rows, row) = (FAR.div_ceil(len), len + 48);
            let (matrix, band) = (counting(rows * row), Band { row, start, len });
            let (mut out, mut back) = (Buffer::zeroed(rows * len), Buffer::zeroed(rows * row));
            assert!(Pieces { out: &mut out, apart: len, len, all: rows * len }.are_far());
            take_band(&matrix, band, &mut out);
            assert!(out.chunks(len).zip(matrix.chunks(row)).all(|(out, row)| *out == row[start..][..len]));
            put_band(&out, band, &mut back);
            for (back, row) in back.chunks(row).zip(matrix.chunks(row)) {
                assert!(back[..start].iter().chain(&back[start + len..]).all(|&v| v == 0.0));
                assert_eq!(back[start..][..len], row[start..][..len]);
            }
            let index: Vec<u32> = (0..rows as u32).rev().collect();
            gather_rows(&out, len, &index, &mut back[..rows * len]);
            assert!(back.chunks(len).zip(out.rchunks(len)).all(|(back, out)| back == out));
        }
    }

    #[test]
    fn rows_are_gathered_and_summed_back() {
        for len in [1, 3, 20_000] {
            let index = [2, 0, 2, 4];
            let (matrix, mut out) = (counting(5 * len), vec![f32::NAN; 4 * len]);
            gather_rows(&matrix, len, &index, &mut out);
            assert!(
                out.iter().enumerate().all(|(i, &v)| v == matrix[index[i / len] as usize * len + i % len])
            );
            let mut sums = vec![f32::NAN; 5 * len];
            scatter_rows(&out, len, &index, &mut sums);
            let times = [1.0, 0.0, 2.0, 0.0, 1.0];
            assert!(sums.iter().enumerate().all(|(i, &v)| v == times[i / len] * matrix[i]));
            add_scattered_rows(&out, len, &index, &mut sums);
            assert!(sums.iter().enumerate().all(|(i, &v)| v == 2.0 * times[i / len] * matrix[i]));
        }
    }

    #[test]
    fn columns_are_added_up() {
        for (rows, len) in [(3, 1), (2, 257), (0, 5)] {
            let mut sums = vec![1.0; len];
            add_column_sums(&counting(rows * len), &mut sums);
            let want = |i| 1.0 + (0..rows).map(|r| (r * len + i) as f32).sum::<f32>();
            assert!(sums.iter().enumerate().all(|(i, &v)| v == want(i)));
        }
    }

    #[test]
    fn rows_are_repeated_and_summed_back() {
        for (rows, len, times) in [(2, 3, 3), (5, 1, 1), (2, 20_000, 2), (0, 3, 2), (3, 0, 2)] {
            let (matrix, mut out) = (counting(rows * len), vec![f32::NAN; rows * len * times]);
            repeat_rows(&matrix, len, times, &mut out);
            assert!(out.iter().enumerate().all(|(i, &v)| v == matrix[i / len / times * len + i % len]));
            let mut sums = vec![f32::NAN; rows * len];
            sum_repeated_rows(&out, len, times, &mut sums);
            assert!(sums.iter().zip(&matrix).all(|(&s, &v)| s == times as f32 * v));
        }
    }
}
