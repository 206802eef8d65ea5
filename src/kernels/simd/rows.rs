//! Rows of planes that are sums of other rows, by a list of these for each. Lengths are checked once for many rows, as rows may be
//! shorter than a register.

use super::{
    Simd,
    copy::{FAR, ask},
};

/// A row that another is made of.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Term {
    /// Its number.
    pub row: u32,
    /// What comes with it: its weight in a sum, or the number of its first tap in the window.
    pub number: f32,
}

/// A row that is made of others, and how many blocks of rows from it on are alike: the same but for where their terms lie.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Where its terms end; they begin where those of the row before end.
    pub end: u32,
    /// Blocks that are alike.
    pub alike: u32,
    /// By how much the rows of their terms grow from block to block.
    pub advance: u32,
    /// Rows of a block: 1, or 2, of two terms and one, or of one and the same.
    pub height: u32,
}

impl Row {
    /// One that is like no other.
    pub const fn alone(end: u32) -> Self {
        Self { end, alike: 1, advance: 0, height: 1 }
    }
}

// SAFETY: numbers of four bytes each, for which all bits are right, so there is nothing between them.
unsafe impl bytemuck::Zeroable for Term {}
// SAFETY: as above.
unsafe impl bytemuck::Pod for Term {}
// SAFETY: as above.
unsafe impl bytemuck::Zeroable for Row {}
// SAFETY: as above.
unsafe impl bytemuck::Pod for Row {}

/// Some rows that follow one another in a list.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// These rows.
    pub rows: &'a [Row],
    /// The terms of all rows of the list.
    pub terms: &'a [Term],
    /// Where those of the first of these rows begin.
    pub term: usize,
}

/// Rows of some planes, each a sum of others. A pair of distances is that of what is read, and of what is written.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// The rows of a plane.
    pub part: Part<'a>,
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
        let Part { rows, terms, term } = self.part;
        assert!(self.end(1, rows.len() - 1) <= written, "no room for a row");
        let (mut first, mut least, mut most, mut at) = (term, u32::MAX, 0, 0);
        while at < rows.len() {
            let Blocks { count, advance, height } = Blocks::from(rows, at);
            for &Term { row, .. } in &terms[first..rows[at + height - 1].end as usize] {
                (least, most) = (least.min(row), most.max(row + ((count - 1) * advance) as u32));
            }
            at += count * height;
            first = rows[at - 1].end as usize;
        }
        let inside = || least as usize >= self.first && self.end(0, most as usize - self.first) <= read;
        assert!(least == u32::MAX || inside(), "a row reaches outside");
    }
}

/// Blocks of rows that are alike, of those that there are.
struct Blocks {
    count: usize,
    /// By how much the rows of their terms grow.
    advance: usize,
    /// Rows of each.
    height: usize,
}

impl Blocks {
    /// Those from row `at` on.
    #[inline(always)]
    fn from(rows: &[Row], at: usize) -> Self {
        let (Row { alike, advance, height, .. }, left) = (rows[at], rows.len() - at);
        let (alike, advance) = (alike as usize, advance as usize);
        match height {
            2 if left >= 2 => Self { count: alike.clamp(1, left / 2), advance, height: 2 },
            2 => Self { count: 1, advance: 0, height: 1 },
            _ => Self { count: alike.clamp(1, left), advance, height: 1 },
        }
    }
}

/// Makes rows of `to` of those of `from`, or, with `SQUARES`, of their squares, and writes nothing between them. What is read is
/// asked for ahead, or, if that is `NEAR`, what is written.
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
    if rows.planes * rows.width == 0 || rows.part.rows.is_empty() {
        return;
    }
    rows.check([from.len(), to.len()]);
    let (from, to) = (from.as_ptr().wrapping_sub(rows.first * rows.line[0]), to.as_mut_ptr());
    let &Rows { part: Part { rows: list, terms, term }, planes, plane, line, width, .. } = rows;
    let (mut begin, mut at) = (term, 0);
    // Those that are alike are made together, of all planes.
    while at < list.len() {
        let Blocks { count, advance, height } = Blocks::from(list, at);
        let (terms, to) = (&terms[begin..list[at + height - 1].end as usize], to.wrapping_add(at * line[1]));
        at += count * height;
        begin = list[at - 1].end as usize;
        let planes = Steps { count: planes, read: plane[0], written: plane[1] };
        let steps = [planes, Steps { count, read: advance * line[0], written: height * line[1] }];
        let block = Block { width, line: line[0], second: line[1] };
        // SAFETY: all rows lie inside, as `check` saw.
        unsafe {
            if height == 2 {
                match terms.len() {
                    2 => alike::<S, 1, 1, SQUARES, NEAR>(simd, steps, block, terms, from, to),
                    3 => alike::<S, 2, 1, SQUARES, NEAR>(simd, steps, block, terms, from, to),
                    _ => panic!("pairs of two or three terms"),
                }
                continue;
            }
            match terms.len() {
                1 => alike::<S, 1, 0, SQUARES, NEAR>(simd, steps, block, terms, from, to),
                2 => alike::<S, 2, 0, SQUARES, NEAR>(simd, steps, block, terms, from, to),
                3 => alike::<S, 3, 0, SQUARES, NEAR>(simd, steps, block, terms, from, to),
                _ => alike::<S, 0, 0, SQUARES, NEAR>(simd, steps, block, terms, from, to),
            }
        }
    }
}

/// How many there are of something, and how far it is from one to the next in what is read and written.
#[derive(Clone, Copy)]
struct Steps {
    count: usize,
    read: usize,
    written: usize,
}

/// One row, or two.
#[derive(Clone, Copy)]
struct Block {
    /// Values of a row.
    width: usize,
    /// From row to row of what is read.
    line: usize,
    /// How far behind the first row the second, if there is one, is written.
    second: usize,
}

/// Blocks of planes. The first row of a block is the sum of `N` terms, or of as many as are given; the second, if `M` is not 0, of `M`.
///
/// # Safety
/// All rows lie inside.
#[inline(always)]
unsafe fn alike<S: Simd, const N: usize, const M: usize, const SQUARES: bool, const NEAR: bool>(
    simd: S,
    [planes, blocks]: [Steps; 2],
    Block { width, line, second }: Block,
    terms: &[Term],
    mut from: *const f32,
    mut to: *mut f32,
) {
    let (terms, others) = terms.split_at(terms.len() - M);
    let (known, more) = (splat_terms::<S, N>(simd, terms, line), splat_terms::<S, M>(simd, others, line));
    for _ in 0..planes.count {
        let (mut p, mut q) = (from, to);
        for _ in 0..blocks.count {
            // SAFETY: the caller's promise.
            unsafe {
                one_row::<S, N, SQUARES, NEAR>(simd, &known, terms, [line, width], p, q);
                if M > 0 {
                    one_row::<S, M, SQUARES, NEAR>(simd, &more, others, [line, width], p, q.add(second));
                }
            }
            (p, q) = (p.wrapping_add(blocks.read), q.wrapping_add(blocks.written));
        }
        (from, to) = (from.wrapping_add(planes.read), to.wrapping_add(planes.written));
    }
}

/// Where terms begin, and their weights, if their number is known when compiled.
#[inline(always)]
fn splat_terms<S: Simd, const N: usize>(simd: S, terms: &[Term], line: usize) -> ([usize; N], [S::V; N]) {
    let (mut starts, mut weights) = ([0; N], [simd.splat(0.0); N]);
    for i in 0..N {
        starts[i] = terms[i].row as usize * line;
        weights[i] = simd.splat(terms[i].number);
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
            ask::<S, false, NEAR>(simd, from, to.wrapping_add(at));
            simd.store(to.add(at), sum);
        }
        if rest > 0 {
            let from = from.wrapping_add(whole);
            let sum = sum_of::<S, N, SQUARES, NEAR>(simd, known, terms, line, from, rest);
            ask::<S, false, NEAR>(simd, from, to.wrapping_add(whole));
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
            (terms[i].row as usize * line, simd.splat(terms[i].number))
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
            let terms: Vec<Term> =
                (0..13).map(|i| Term { row: 3 + i * 5 % 7, number: (i % 3) as f32 }).collect();
            // The third row is made as the second, the sixth and seventh as the fourth and fifth, the tenth and eleventh as the two before.
            let list = [
                [2, 1, 0, 1],
                [4, 2, 1, 1],
                [4, 1, 0, 1],
                [6, 2, 1, 2],
                [7, 1, 0, 1],
                [7, 1, 0, 2],
                [7, 1, 0, 1],
                [8, 2, 1, 2],
                [9, 1, 0, 1],
                [9, 1, 0, 2],
                [9, 1, 0, 1],
                [13, 9, 1, 1],
            ]
            .map(|[end, alike, advance, height]| Row { end, alike, advance, height });
            let first = [(1..2, 0), (2..4, 0), (2..4, 1), (4..6, 0), (6..7, 0), (4..6, 1), (6..7, 1)];
            let last = [(7..8, 0), (8..9, 0), (7..8, 1), (8..9, 1), (9..13, 0)];
            let ranges: Vec<_> = first.into_iter().chain(last).collect();
            for width in [1, 3, 8, 16, 19, 40] {
                let (plane, line) = ([401, 760], [41, 60]);
                let part = Part { rows: &list, terms: &terms, term: 1 };
                let rows = Rows { part, first: 2, planes: 3, plane, line, width };
                let (mut to, mut squares) = (vec![f32::NAN; 2400], vec![f32::NAN; 2400]);
                down::<S, false, true>(simd, &rows, &x, &mut to);
                down::<S, true, false>(simd, &rows, &x, &mut squares);
                let mut want = vec![[f32::NAN; 2]; 2400];
                for (plane, row) in (0..3).flat_map(|plane| (0..12).map(move |row| (plane, row))) {
                    for column in 0..width {
                        let mut sums = [0.0; 2];
                        let (range, more) = ranges[row].clone();
                        for &Term { row, number: weight } in &terms[range] {
                            let v = x[plane * 401 + (row as usize + more - 2) * 41 + column];
                            sums[0] += weight * v;
                            sums[1] += weight * v * v;
                        }
                        want[plane * 760 + row * 60 + column] = sums;
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
        let (rows, terms) = (&[1, 2].map(Row::alone), &[0, row].map(|row| Term { row, number: 0.0 }));
        let part = Part { rows, terms, term: 0 };
        let how = Rows { part, first: 0, planes: 1, plane: [0; 2], line, width: 3 };
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
