//! Which rows of a plane are made of which, and in what bands planes are gone over: several planes, or a part of one,
//! of so many values that what is made of them stays near.
//!
//! For any number of axes the work is the same. Rows, and pairs of rows, that lie alike are noted as one.

use std::ops::Range;

use super::{Axis, Pool, for_reaching_rows, for_rows};
use crate::kernels::{
    scratch,
    simd::rows::{Part, Row, Term},
};

/// For each row of outputs the rows of inputs that its windows meet, in order; or, back, for each row of inputs the rows of outputs
/// whose windows hold it. With each comes a number.
#[derive(Clone, Copy)]
pub struct Lists<'a> {
    rows: &'a [Row],
    terms: &'a [Term],
}

impl Lists<'_> {
    /// Lends `f` the lists, `back` or not; `number(tap)` comes with a row that is number `tap` of a window.
    pub fn lend<R>(
        pool: &Pool,
        back: bool,
        number: impl Fn(usize) -> f32,
        f: impl FnOnce(Lists<'_>) -> R,
    ) -> R {
        let (_, outer) = pool.split();
        let count: usize = outer.iter().map(|a| if back { a.input } else { a.output }).product();
        let met = |a: &Axis| (0..a.output).map(|o| a.window(o).len()).sum::<usize>();
        let len = outer.iter().map(met).product::<usize>();
        scratch::lend(4 * count + 2 * len, |lent| {
            let (rows, terms) = lent.split_at_mut(4 * count);
            let rows: &mut [Row] = bytemuck::cast_slice_mut(rows);
            let terms: &mut [Term] = bytemuck::cast_slice_mut(terms);
            let mut n = 0;
            for (row, of) in rows.iter_mut().enumerate() {
                let add = |from: usize, tap: usize| {
                    terms[n] = Term { row: from as u32, number: number(tap) };
                    n += 1;
                };
                if back {
                    for_reaching_rows(outer, row, add)
                } else {
                    for_rows(outer, row, add)
                }
                *of = Row::alone(n as u32);
            }
            find_alike(rows, terms);
            f(Lists { rows, terms })
        })
    }

    /// Those of some rows.
    pub fn of(&self, rows: &Range<usize>) -> Part<'_> {
        Part { rows: &self.rows[rows.clone()], terms: self.terms, term: begin(self.rows, rows.start) }
    }

    /// The terms of a row.
    pub fn terms(&self, row: usize) -> &[Term] {
        terms_of(self.rows, self.terms, row)
    }
}

/// The first term of a row.
fn begin(rows: &[Row], row: usize) -> usize {
    row.checked_sub(1).map_or(0, |before| rows[before].end as usize)
}

/// The terms of a row.
fn terms_of<'a>(rows: &[Row], terms: &'a [Term], row: usize) -> &'a [Term] {
    &terms[begin(rows, row)..rows[row].end as usize]
}

/// Notes of each row how many blocks of rows from it on are alike: their terms are as many, with the same numbers, and as far apart. A
/// block is a pair of rows, of two terms and one, or of one and the same; or a row.
fn find_alike(rows: &mut [Row], terms: &[Term]) {
    for height in [2, 1] {
        for row in (height..(rows.len() + 1).saturating_sub(height)).rev() {
            let before = row - height;
            let [start, middle, end] = [before, row, row + height].map(|row| begin(rows, row));
            let (these, next) = (&terms[start..middle], &terms[middle..end]);
            let advance =
                these.first().zip(next.first()).and_then(|(a, b)| b.row.checked_sub(a.row)).unwrap_or(0);
            let moved =
                |a: &Term, b: &Term| (a.row + advance, a.number.to_bits()) == (b.row, b.number.to_bits());
            let pairs = || height == 1 || is_pair(rows, terms, before) && is_pair(rows, terms, row);
            let alike =
                these.len() == next.len() && these.iter().zip(next).all(|(a, b)| moved(a, b)) && pairs();
            // They go on what begins at `row`, if that is of the same kind; what is part of something already stays so.
            let Row { alike: count, advance: grows, height: high, .. } = rows[row];
            let goes_on = count == 1 || (grows, high) == (advance, height as u32);
            if alike && rows[before].alike == 1 && goes_on {
                rows[before] = Row { alike: count + 1, advance, height: height as u32, ..rows[before] };
            }
        }
    }
}

/// Whether a row and the next are of two terms and one, or of one and the same.
fn is_pair(rows: &[Row], terms: &[Term], row: usize) -> bool {
    match (terms_of(rows, terms, row), terms_of(rows, terms, row + 1)) {
        ([_, _], [_]) => true,
        ([a], [b]) => a.row == b.row,
        _ => false,
    }
}

/// The outermost of the axes that choose rows, and the product of the sizes of those between it and the rows.
pub fn outermost(outer: &[Axis], size: impl Fn(&Axis) -> usize) -> (Axis, usize) {
    match outer {
        [] => (Axis::ONE, 1),
        [first, rest @ ..] => (*first, rest.iter().map(size).product()),
    }
}

/// How much is done at a time: whole planes, or a band of one.
#[derive(Clone, Copy)]
pub struct Bands {
    planes: usize,
    /// Steps along the outermost axis.
    steps: usize,
    /// Rows that scratch holds at most.
    pub rows: usize,
}

impl Bands {
    /// Of planes of so many steps, of which `rows(n)` rows of scratch hold n, so that scratch has about `most` rows.
    pub fn fit(most: usize, steps: usize, rows: impl Fn(usize) -> usize) -> Self {
        let mut band = steps;
        while band > 1 && rows(band) > most {
            band = band.div_ceil(2);
        }
        let planes = if band == steps { (most / rows(band).max(1)).max(1) } else { 1 };
        Self { planes, steps: band, rows: planes * rows(band) }
    }

    /// Each band of each group of planes: the planes, and the steps.
    pub fn all(self, planes: usize, steps: usize) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let cut = |n: usize, by: usize| (0..n).step_by(by).map(move |i| i..n.min(i + by));
        cut(planes, self.planes)
            .flat_map(move |planes| cut(steps, self.steps).map(move |steps| (planes.clone(), steps)))
    }
}
