//! Rows of planes that are sums of other rows, by a list of these for each. Lengths are checked once for many rows, as rows may be
//! shorter than a register.

use super::{Simd, quotient};

/// Values ahead of the last read, and of the last written, whose lines are asked for.
const FAR: usize = 1024;
const AHEAD: usize = 128;

/// A row that is added: its number, and the bits of its weight.
pub type Term = [u32; 2];

/// Where the terms of a row end, that begin where those of the row before do; how many blocks of rows from this one on are alike, by
/// how much the numbers of their terms grow from block to block, and how many rows a block has: 1, or 2, of two terms and one, or one each.
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
                let (terms, row) = (&terms[begin..list[at + 1][0] as usize], [width, line[0], line[1]]);
                match terms.len() {
                    2 => alike::<S, 1, 1, SQUARES, NEAR>(simd, steps, row, terms, from, to),
                    3 => alike::<S, 2, 1, SQUARES, NEAR>(simd, steps, row, terms, from, to),
                    _ => panic!("pairs of two or three terms"),
                }
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

/// What becomes of values while their rows are copied. Must be `#[inline(always)]`.
pub trait Change: Copy {
    /// Panics unless it can be done with `planes` of `values` each.
    fn check(&self, _planes: usize, _values: usize) {}
    /// Of the first `n` lanes of a register: the first is value number `place[0]` of its plane, number `place[1]` of all.
    ///
    /// # Safety
    /// The values are some of those that were checked.
    unsafe fn of<S: Simd>(self, simd: S, v: S::V, place: [usize; 2], n: usize) -> S::V;
}

/// They stay as they are.
#[derive(Clone, Copy)]
pub struct Same;

impl Change for Same {
    #[inline(always)]
    unsafe fn of<S: Simd>(self, _: S, v: S::V, _: [usize; 2], _: usize) -> S::V {
        v
    }
}

/// They are divided by numbers, one for each value of a plane; behind them comes -1 over each.
#[derive(Clone, Copy)]
pub struct Over<'a>(pub [&'a [f32]; 2]);

impl Change for Over<'_> {
    fn check(&self, _: usize, values: usize) {
        assert!(self.0.iter().all(|numbers| values <= numbers.len()), "a number for each value of a plane");
    }

    #[inline(always)]
    unsafe fn of<S: Simd>(self, simd: S, v: S::V, [at, _]: [usize; 2], n: usize) -> S::V {
        // SAFETY: the caller's promise.
        let [number, minus_inverse] = unsafe { load_both(simd, self.0, at, n) };
        quotient(simd, v, number, minus_inverse)
    }
}

/// They are divided by a number; behind it comes -1 over it.
#[derive(Clone, Copy)]
pub struct OverOne(pub [f32; 2]);

impl Change for OverOne {
    #[inline(always)]
    unsafe fn of<S: Simd>(self, simd: S, v: S::V, _: [usize; 2], _: usize) -> S::V {
        let [number, minus_inverse] = self.0;
        quotient(simd, v, simd.splat(number), simd.splat(minus_inverse))
    }
}

/// A register, or its first `n` lanes, of both.
///
/// # Safety
/// So many values are there.
#[inline(always)]
unsafe fn load_both<S: Simd>(simd: S, from: [&[f32]; 2], at: usize, n: usize) -> [S::V; 2] {
    let (a, b) = (from[0].as_ptr(), from[1].as_ptr());
    // SAFETY: the caller's promise.
    unsafe {
        if n == S::LANES {
            [simd.load(a.add(at)), simd.load(b.add(at))]
        } else {
            [simd.load_first(a.add(at), n), simd.load_first(b.add(at), n)]
        }
    }
}

/// Their square roots.
#[derive(Clone, Copy)]
pub struct Root;

impl Change for Root {
    #[inline(always)]
    unsafe fn of<S: Simd>(self, simd: S, v: S::V, _: [usize; 2], _: usize) -> S::V {
        simd.sqrt(v)
    }
}

/// They are divided by numbers, one for each value of all planes, or become 0 where that is 0.
#[derive(Clone, Copy)]
pub struct OverRoot<'a>(pub &'a [f32]);

impl Change for OverRoot<'_> {
    fn check(&self, planes: usize, values: usize) {
        assert!(planes * values <= self.0.len(), "a number for each value");
    }

    #[inline(always)]
    unsafe fn of<S: Simd>(self, simd: S, v: S::V, [_, at]: [usize; 2], n: usize) -> S::V {
        // SAFETY: the caller's promise.
        let [root, _] = unsafe { load_both(simd, [self.0; 2], at, n) };
        simd.where_greater(root, simd.splat(0.0), simd.div(v, root), simd.splat(0.0))
    }
}

/// Copies the rows of some planes, which follow one another, and writes nothing between them. What is read is asked for ahead with
/// `FROM`, and what is written with `TO`. `count` are planes and rows of each, `line` is the distance from row to row of what is read,
/// and of what is written.
///
/// # Panics
/// When a row reaches outside of `from`, or there is no room for one.
#[inline(always)]
pub fn copy<S: Simd, const FROM: bool, const TO: bool>(
    simd: S,
    [planes, count]: [usize; 2],
    width: usize,
    line: [usize; 2],
    (from, change): (&[f32], impl Change),
    to: &mut [f32],
) {
    let rows = planes * count;
    if rows * width == 0 {
        return;
    }
    assert!((rows - 1) * line[0] + width <= from.len(), "a row reaches outside");
    assert!((rows - 1) * line[1] + width <= to.len(), "no room for a row");
    change.check(planes, count * width);
    let (mut from, mut to, mut all) = (from.as_ptr(), to.as_mut_ptr(), 0);
    let whole = width - width % S::LANES;
    for _ in 0..planes {
        for row in 0..count {
            for at in (0..whole).step_by(S::LANES) {
                // SAFETY: all rows lie inside.
                unsafe {
                    ask::<S, FROM, TO>(simd, from.wrapping_add(at), to.wrapping_add(at));
                    let v = simd.load(from.add(at));
                    simd.store(to.add(at), change.of(simd, v, [row * width + at, all + at], S::LANES));
                }
            }
            if whole < width {
                let (at, rest) = (whole, width - whole);
                // SAFETY: all rows lie inside.
                unsafe {
                    ask::<S, FROM, TO>(simd, from.wrapping_add(at), to.wrapping_add(at));
                    let v = simd.load_first(from.add(at), rest);
                    simd.store_first(
                        to.add(at),
                        rest,
                        change.of(simd, v, [row * width + at, all + at], rest),
                    );
                }
            }
            (from, to, all) = (from.wrapping_add(line[0]), to.wrapping_add(line[1]), all + width);
        }
    }
}

/// Asks for what lies ahead of what is read and written.
#[inline(always)]
pub fn ask<S: Simd, const FROM: bool, const TO: bool>(simd: S, from: *const f32, to: *const f32) {
    if FROM {
        simd.prefetch(from.wrapping_add(FAR));
    }
    if TO {
        simd.prefetch_to_write(to.wrapping_add(AHEAD));
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
            let terms: Vec<Term> = (0..13).map(|i| [3 + i * 5 % 7, ((i % 3) as f32).to_bits()]).collect();
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
            ];
            let first = [(1..2, 0), (2..4, 0), (2..4, 1), (4..6, 0), (6..7, 0), (4..6, 1), (6..7, 1)];
            let last = [(7..8, 0), (8..9, 0), (7..8, 1), (8..9, 1), (9..13, 0)];
            let ranges: Vec<_> = first.into_iter().chain(last).collect();
            for width in [1, 3, 8, 16, 19, 40] {
                let (plane, line) = ([401, 760], [41, 60]);
                let rows =
                    Rows { rows: &list, terms: &terms, term: 1, first: 2, planes: 3, plane, line, width };
                let (mut to, mut squares) = (vec![f32::NAN; 2400], vec![f32::NAN; 2400]);
                down::<S, false, true>(simd, &rows, &x, &mut to);
                down::<S, true, false>(simd, &rows, &x, &mut squares);
                let mut want = vec![[f32::NAN; 2]; 2400];
                for (plane, row) in (0..3).flat_map(|plane| (0..12).map(move |row| (plane, row))) {
                    for column in 0..width {
                        let mut sums = [0.0; 2];
                        let (range, more) = ranges[row].clone();
                        for &[from, weight] in &terms[range] {
                            let v = x[plane * 401 + (from as usize + more - 2) * 41 + column];
                            sums[0] += f32::from_bits(weight) * v;
                            sums[1] += f32::from_bits(weight) * v * v;
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

    struct Copies<C>([usize; 3], C, fn(f32, usize) -> f32);

    impl<C: Change> Job for Copies<C> {
        type Output = ();

        /// Each value must be what the function says, given what was copied and its number of all.
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let Self([planes, count, width], change, want) = self;
            let (x, mut to) = (values(), vec![f32::NAN; 400]);
            copy::<S, true, true>(simd, [planes, count], width, [41, 40], (&x[..400], change), &mut to);
            for (i, to) in to.into_iter().enumerate() {
                let (row, column) = (i / 40, i % 40);
                let written = row < planes * count && column < width;
                let want = || want(x[row * 41 + column], row * width + column);
                assert!(if written { to == want() } else { to.is_nan() });
            }
        }
    }

    #[test]
    fn rows_are_copied() {
        // Of each plane, and of all; 0 is one of them.
        let numbers: Vec<f32> = (0..400).map(|i| (i % 9) as f32).collect();
        let minus_inverses: Vec<f32> = numbers.iter().map(|number| -1.0 / (number + 1.0)).collect();
        let divisors: Vec<f32> = numbers.iter().map(|number| number + 1.0).collect();
        for sizes in
            [[1, 0, 3], [0, 2, 3], [1, 2, 0], [1, 1, 1], [1, 5, 7], [3, 3, 3], [2, 1, 16], [4, 2, 37]]
        {
            for isa in Isa::all() {
                isa.run(Copies(sizes, Same, |v, _| v));
                isa.run(Copies(sizes, Root, |v, _| v.sqrt()));
                isa.run(Copies(sizes, OverOne([7.0, -1.0 / 7.0]), |v, _| v / 7.0));
                let over = |v: f32, i: usize| if i.is_multiple_of(9) { 0.0 } else { v / (i % 9) as f32 };
                isa.run(Copies(sizes, OverRoot(&numbers), over));
                // Of the same number in each plane.
                if sizes[1] * sizes[2] == 9 {
                    let over = Over([&divisors[..9], &minus_inverses[..9]]);
                    isa.run(Copies(sizes, over, |v, i| v / (i % 9 + 1) as f32));
                }
            }
        }
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
