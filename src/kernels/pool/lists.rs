//! Which rows of a plane are made of which, and in what bands planes are gone over.

use std::ops::Range;

use super::{Axis, Pool, for_reaching_rows, for_rows};
use crate::kernels::{
    scratch,
    simd::rows::{Row, Term},
};

/// For each row of outputs the rows of inputs that its windows meet, in order; or, back, for each row of inputs the rows of outputs
/// whose windows hold it. With each comes a number.
#[derive(Clone, Copy)]
pub struct Lists<'a> {
    rows: &'a [Row],
    /// Rows of the other side, and the bits of their numbers.
    pub terms: &'a [Term],
}

impl Lists<'_> {
    /// Of nothing.
    pub const NONE: Self = Self { rows: &[], terms: &[] };

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
            let (rows, terms) = bytemuck::cast_slice_mut::<f32, u32>(lent).split_at_mut(4 * count);
            let rows: &mut [Row] = bytemuck::cast_slice_mut(rows);
            let terms: &mut [Term] = bytemuck::cast_slice_mut(terms);
            let mut n = 0;
            for (row, of) in rows.iter_mut().enumerate() {
                let add = |from: usize, tap: usize| {
                    terms[n] = [from as u32, number(tap).to_bits()];
                    n += 1;
                };
                if back {
                    for_reaching_rows(outer, row, add)
                } else {
                    for_rows(outer, row, add)
                }
                *of = [n as u32, 1, 0, 1];
            }
            find_alike(rows, terms);
            f(Lists { rows, terms })
        })
    }

    /// Those of some rows, and the first of their terms.
    pub fn of(&self, rows: &Range<usize>) -> (&[Row], usize) {
        (&self.rows[rows.clone()], begin(self.rows, rows.start))
    }
}

/// The first term of a row.
fn begin(rows: &[Row], row: usize) -> usize {
    row.checked_sub(1).map_or(0, |before| rows[before][0] as usize)
}

/// Notes of each row how many from it on are alike: their terms are as many, with the same numbers, and as far apart; or how many pairs
/// of rows are, of two terms and one, or of one and the same.
fn find_alike(rows: &mut [Row], terms: &[Term]) {
    for height in [2, 1] {
        for row in (height..(rows.len() + 1).saturating_sub(height)).rev() {
            let before = row - height;
            let [start, middle] = [begin(rows, before), begin(rows, row)];
            let (these, next) = (&terms[start..middle], &terms[middle..rows[row + height - 1][0] as usize]);
            let pair = |row: usize, terms: &[Term]| match terms {
                [_, _, _] => rows[row][0] as usize - begin(rows, row) == 2,
                [a, b] => a[0] == b[0] && rows[row][0] as usize - begin(rows, row) == 1,
                _ => false,
            };
            let grow = these.first().zip(next.first()).and_then(|(a, b)| b[0].checked_sub(a[0])).unwrap_or(0);
            let [_, alike, advance, of] = rows[row];
            if these.len() == next.len()
                && (height == 1 || pair(before, these) && pair(row, next))
                && these.iter().zip(next).all(|(a, b)| (a[0] + grow, a[1]) == (b[0], b[1]))
                && rows[before][1] == 1
                && (alike == 1 || (advance, of) == (grow, height as u32))
            {
                rows[before] = [rows[before][0], alike + 1, grow, height as u32];
            }
        }
    }
}

/// The outermost of the axes that choose rows, and the product of the sizes of those between it and the rows.
pub fn outermost(outer: &[Axis], size: impl Fn(&Axis) -> usize) -> (Axis, usize) {
    match outer {
        [] => (Axis { input: 1, output: 1, kernel: 1, stride: 1, pad: 0 }, 1),
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
