//! Rows of planes that are sums of other rows, by a list of these for each. Lengths are checked once for many rows, as rows may be
//! shorter than a register.

use super::Simd;

/// Values ahead of the last read, and of the last written, whose lines are asked for.
const FAR: usize = 1024;
const AHEAD: usize = 128;

/// A row that is added: its number, and the bits of its weight.
pub type Term = [u32; 2];

/// Where the terms of a row end, that begin where those of the row before do; how many blocks of rows from this one on are alike, by
/// how much the numbers of their terms grow from block to block, and how many rows a block has: 1, or 2, of two terms and one.
pub type Row = [u32; 4];

/// Rows of some planes, each a sum of others. A pair of distances is that of what is read, and of what is written.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// The rows of a plane.
    pub rows: &'a [Row],
    /// Terms of rows.
    pub terms: &'a [Term],
    /// The first of the first row.
    pub term: usize,
    /// Number of the first row that there is to read.
    pub first: usize,
    /// How many planes.
    pub planes: usize,
    /// From plane to plane.
    pub plane: [usize; 2],
    /// From row to row.
    pub line: [usize; 2],
    /// Values of a row.
    pub width: usize,
}

impl Rows<'_> {
    /// Where the last row ends of what is read, or written, if row `last` is the last of a plane.
    fn end(&self, side: usize, last: usize) -> usize {
        (self.planes - 1) * self.plane[side] + last * self.line[side] + self.width
    }

    /// Panics unless all rows lie inside of so many values.
    fn check(&self, [read, written]: [usize; 2]) {
        assert!(self.end(1, self.rows.len() - 1) <= written, "no room for a row");
        let (mut first, mut least, mut most, mut left) = (self.term, u32::MAX, 0, self.rows.len());
        while left > 0 {
            let at = self.rows.len() - left;
            let [alike, advance, height] = blocks(self.rows, at);
            for &[row, _] in &self.terms[first..self.rows[at + height - 1][0] as usize] {
                (least, most) = (least.min(row), most.max(row + ((alike - 1) * advance) as u32));
            }
            left -= alike * height;
            first = self.rows[self.rows.len() - left - 1][0] as usize;
        }
        let inside = || least as usize >= self.first && self.end(0, most as usize - self.first) <= read;
        assert!(least == u32::MAX || inside(), "a row reaches outside");
    }
}

/// How many blocks there are that are alike from a row on, by how much the numbers of their terms grow, and how many rows each has.
#[inline(always)]
fn blocks(rows: &[Row], at: usize) -> [usize; 3] {
    let ([_, alike, advance, height], left) = (rows[at].map(|v| v as usize), rows.len() - at);
    if height == 2 && left >= 2 {
        [alike.clamp(1, left / 2), advance, 2]
    } else if height == 2 {
        [1, 0, 1]
    } else {
        [alike.clamp(1, left), advance, 1]
    }
}

/// Makes rows of `to` of those of `from`, or, with `SQUARES`, of their squares, and writes nothing between them. What is read is
/// asked for ahead, unless it is `NEAR`.
///
/// # Panics
/// When a row reaches outside of `from`, or there is no room for one.
#[inline(always)]
pub fn down<S: Simd, const SQUARES: bool, const NEAR: bool>(
    simd: S,
    rows: &Rows<'_>,
    from: &[f32],
    to: &mut [f32],
) {
    if rows.planes * rows.width == 0 || rows.rows.is_empty() {
        return;
    }
    rows.check([from.len(), to.len()]);
    let (from, to) = (from.as_ptr().wrapping_sub(rows.first * rows.line[0]), to.as_mut_ptr());
    let &Rows { rows: list, terms, planes, plane, line, width, .. } = rows;
    let (mut first, mut done) = (rows.term, 0);
    // All rows are gone over, so that no step waits for what the last one found out; those that are alike are made together, of
    // all planes.
    for (at, row) in list.iter().enumerate() {
        let (begin, end) = (first, row[0] as usize);
        first = end;
        if at < done {
            continue;
        }
        let [count, advance, height] = blocks(list, at);
        done = at + count * height;
        let to = to.wrapping_add(at * line[1]);
        let steps = [[planes, plane[0], plane[1]], [count, advance * line[0], height * line[1]]];
        // SAFETY: all rows lie inside, as `check` saw.
        unsafe {
            if height == 2 {
                let terms = &terms[begin..list[at + 1][0] as usize];
                alike::<S, 2, 1, SQUARES, NEAR>(simd, steps, [width, line[0], line[1]], terms, from, to);
                continue;
            }
            let (terms, row) = (&terms[begin..end], [width, line[0], 0]);
            match terms.len() {
                1 => alike::<S, 1, 0, SQUARES, NEAR>(simd, steps, row, terms, from, to),
                2 => alike::<S, 2, 0, SQUARES, NEAR>(simd, steps, row, terms, from, to),
                3 => alike::<S, 3, 0, SQUARES, NEAR>(simd, steps, row, terms, from, to),
                _ => alike::<S, 0, 0, SQUARES, NEAR>(simd, steps, row, terms, from, to),
            }
        }
    }
}

/// Blocks of planes: how many of either, and how far it is from one to the next in what is read and written. A block is a row of `width`
/// values that is the sum of `N` terms, or of as many as are given, which are rows `line` apart; and, `second` behind it, one of `M`, if
/// that is not 0.
///
/// # Safety
/// All rows lie inside.
#[inline(always)]
unsafe fn alike<S: Simd, const N: usize, const M: usize, const SQUARES: bool, const NEAR: bool>(
    simd: S,
    [planes, blocks]: [[usize; 3]; 2],
    [width, line, second]: [usize; 3],
    terms: &[Term],
    mut from: *const f32,
    mut to: *mut f32,
) {
    let (terms, others) = terms.split_at(terms.len() - M);
    let (known, more) = (splat_terms::<S, N>(simd, terms, line), splat_terms::<S, M>(simd, others, line));
    for _ in 0..planes[0] {
        let (mut p, mut q) = (from, to);
        for _ in 0..blocks[0] {
            // SAFETY: the caller's promise.
            unsafe {
                one_row::<S, N, SQUARES, NEAR>(simd, &known, terms, [line, width], p, q);
                if M > 0 {
                    one_row::<S, M, SQUARES, NEAR>(simd, &more, others, [line, width], p, q.add(second));
                }
            }
            (p, q) = (p.wrapping_add(blocks[1]), q.wrapping_add(blocks[2]));
        }
        (from, to) = (from.wrapping_add(planes[1]), to.wrapping_add(planes[2]));
    }
}

/// Where terms begin, and their weights, if their number is known when compiled.
#[inline(always)]
fn splat_terms<S: Simd, const N: usize>(simd: S, terms: &[Term], line: usize) -> ([usize; N], [S::V; N]) {
    let (mut starts, mut weights) = ([0; N], [simd.splat(0.0); N]);
    for i in 0..N {
        starts[i] = terms[i][0] as usize * line;
        weights[i] = simd.splat(f32::from_bits(terms[i][1]));
    }
    (starts, weights)
}

/// A row of `width` values.
///
/// # Safety
/// All rows lie inside.
#[inline(always)]
unsafe fn one_row<S: Simd, const N: usize, const SQUARES: bool, const NEAR: bool>(
    simd: S,
    known: &([usize; N], [S::V; N]),
    terms: &[Term],
    [line, width]: [usize; 2],
    from: *const f32,
    to: *mut f32,
) {
    let rest = width % S::LANES;
    let whole = width - rest;
    // SAFETY: the caller's promise.
    unsafe {
        for at in (0..whole).step_by(S::LANES) {
            let from = from.wrapping_add(at);
            let sum = sum_of::<S, N, SQUARES, NEAR>(simd, known, terms, line, from, S::LANES);
            simd.prefetch_to_write(to.wrapping_add(at + AHEAD));
            simd.store(to.add(at), sum);
        }
        if rest > 0 {
            let from = from.wrapping_add(whole);
            let sum = sum_of::<S, N, SQUARES, NEAR>(simd, known, terms, line, from, rest);
            simd.prefetch_to_write(to.wrapping_add(whole + AHEAD));
            simd.store_first(to.add(whole), rest, sum);
        }
    }
}

/// The sum of a register, or of its first `n` lanes, of each term.
///
/// # Safety
/// So many values are there of each.
#[inline(always)]
unsafe fn sum_of<S: Simd, const N: usize, const SQUARES: bool, const NEAR: bool>(
    simd: S,
    (starts, weights): &([usize; N], [S::V; N]),
    terms: &[Term],
    line: usize,
    from: *const f32,
    n: usize,
) -> S::V {
    let mut sum = simd.splat(0.0);
    for i in 0..if N == 0 { terms.len() } else { N } {
        let (start, weight) = if N == 0 {
            (terms[i][0] as usize * line, simd.splat(f32::from_bits(terms[i][1])))
        } else {
            (starts[i], weights[i])
        };
        let p = from.wrapping_add(start);
        // The first of three is, as a rule, the last of the row before.
        if !NEAR && i + 2 >= N {
            simd.prefetch(p.wrapping_add(FAR));
        }
        // SAFETY: the caller's promise.
        let v = unsafe { if n == S::LANES { simd.load(p) } else { simd.load_first(p, n) } };
        let v = if SQUARES { simd.mul(v, v) } else { v };
        sum = if i == 0 { simd.mul(weight, v) } else { simd.fma(weight, v, sum) };
    }
    sum
}

/// Copies `count` rows of `width` values, and writes nothing between them. `line` is the distance from row to row of what is read,
/// and of what is written, whose lines are asked for ahead unless they are `NEAR`.
///
/// # Panics
/// When a row reaches outside of `from`, or there is no room for one.
#[inline(always)]
pub fn copy<S: Simd, const NEAR: bool>(
    simd: S,
    [count, width]: [usize; 2],
    line: [usize; 2],
    from: &[f32],
    to: &mut [f32],
) {
    if count * width == 0 {
        return;
    }
    assert!((count - 1) * line[0] + width <= from.len(), "a row reaches outside");
    assert!((count - 1) * line[1] + width <= to.len(), "no room for a row");
    let (mut from, mut to) = (from.as_ptr(), to.as_mut_ptr());
    let whole = width - width % S::LANES;
    for _ in 0..count {
        // SAFETY: all rows lie inside.
        unsafe {
            for at in (0..whole).step_by(S::LANES) {
                if !NEAR {
                    simd.prefetch_to_write(to.wrapping_add(at + AHEAD));
                }
                simd.store(to.add(at), simd.load(from.add(at)));
            }
            if whole < width {
                let rest = width - whole;
                if !NEAR {
                    simd.prefetch_to_write(to.wrapping_add(whole + AHEAD));
                }
                simd.store_first(to.add(whole), rest, simd.load_first(from.add(whole), rest));
            }
        }
        (from, to) = (from.wrapping_add(line[0]), to.wrapping_add(line[1]));
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Isa, Job},
        *,
    };

    fn values() -> Vec<f32> {
        (0..2000).map(|i| (i * 37 % 64) as f32).collect()
    }

    struct Down;

    impl Job for Down {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let x = values();
            let terms: Vec<Term> = (0..11).map(|i| [3 + i * 5 % 7, ((i % 3) as f32).to_bits()]).collect();
            // The third row is made as the second, the sixth and seventh as the fourth and fifth.
            let list = [
                [2, 1, 0, 1],
                [4, 2, 1, 1],
                [4, 1, 0, 1],
                [6, 2, 1, 2],
                [7, 1, 0, 1],
                [7, 1, 0, 2],
                [7, 1, 0, 1],
                [11, 9, 1, 1],
            ];
            let ranges =
                [(1..2, 0), (2..4, 0), (2..4, 1), (4..6, 0), (6..7, 0), (4..6, 1), (6..7, 1), (7..11, 0)];
            for width in [1, 3, 8, 16, 19, 40] {
                let (plane, line) = ([401, 480], [41, 60]);
                let rows =
                    Rows { rows: &list, terms: &terms, term: 1, first: 2, planes: 3, plane, line, width };
                let (mut to, mut squares) = (vec![f32::NAN; 1500], vec![f32::NAN; 1500]);
                down::<S, false, true>(simd, &rows, &x, &mut to);
                down::<S, true, false>(simd, &rows, &x, &mut squares);
                let mut want = vec![[f32::NAN; 2]; 1500];
                for (plane, row) in (0..3).flat_map(|plane| (0..8).map(move |row| (plane, row))) {
                    for column in 0..width {
                        let mut sums = [0.0; 2];
                        let (range, more) = ranges[row].clone();
                        for &[from, weight] in &terms[range] {
                            let v = x[plane * 401 + (from as usize + more - 2) * 41 + column];
                            sums[0] += f32::from_bits(weight) * v;
                            sums[1] += f32::from_bits(weight) * v * v;
                        }
                        want[plane * 480 + row * 60 + column] = sums;
                    }
                }
                let equal = |got: f32, want: f32| got == want || got.is_nan() && want.is_nan();
                assert!(want.iter().zip(to).all(|(want, got)| equal(got, want[0])), "{width}");
                assert!(want.iter().zip(squares).all(|(want, got)| equal(got, want[1])), "{width}");
            }
        }
    }

    #[test]
    fn rows_are_summed() {
        Isa::all().for_each(|isa| isa.run(Down));
    }

    struct Copies;

    impl Job for Copies {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let x = values();
            for (count, width) in [(0, 3), (2, 0), (1, 1), (5, 7), (3, 16), (4, 37)] {
                let mut to = vec![f32::NAN; 200];
                copy::<S, false>(simd, [count, width], [41, 40], &x[..200], &mut to);
                for (i, to) in to.into_iter().enumerate() {
                    let (row, column) = (i / 40, i % 40);
                    let written = row < count && column < width;
                    assert!(if written { to == x[row * 41 + column] } else { to.is_nan() });
                }
            }
        }
    }

    #[test]
    fn rows_are_copied() {
        Isa::all().for_each(|isa| isa.run(Copies));
    }

    struct Outside<'a>(Rows<'a>);

    impl Job for Outside<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            down::<S, false, true>(simd, &self.0, &[0.0; 10], &mut [0.0; 10]);
        }
    }

    /// Two rows of three values, the second of which is row `row`.
    fn outside(row: u32, line: [usize; 2]) {
        let (rows, terms) = (&[[1, 1, 0, 1], [2, 1, 0, 1]], &[[0, 0], [row, 0]]);
        let how = Rows { rows, terms, term: 0, first: 0, planes: 1, plane: [0; 2], line, width: 3 };
        Isa::best().run(Outside(how));
    }

    #[test]
    #[should_panic(expected = "a row reaches outside")]
    fn rows_stay_inside() {
        outside(2, [4, 3]);
    }

    #[test]
    #[should_panic(expected = "no room for a row")]
    fn results_stay_inside() {
        outside(1, [4, 8]);
    }
}
