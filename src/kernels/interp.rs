//! Bilinear interpolation of planes to another size, corners upon corners.
//!
//! A row of the result lies between two rows of the input. These are stretched to the result's width first, each once for all
//! rows that need it; what is left is a sum of two rows. Backward is the same the other way round: a row of the input gets the sum of
//! the rows that lie beside it, and that is folded back to its width.

use super::{
    elementwise::vectorized,
    parallel::{CHUNK, for_chunks_mut},
    scratch,
};

/// Planes that are stretched or shrunk.
#[derive(Clone, Debug, Default)]
pub struct Interp {
    /// How many planes.
    pub planes: usize,
    /// Height and width of a plane of the input.
    pub input: [usize; 2],
    /// Rows and columns that are cut off at the beginning of each plane; what the sides do not reach at its end is cut off, too.
    pub start: usize,
    /// Along the height and along the width.
    pub sides: [Side; 2],
}

/// Where the places of a result lie between those of the input, along one axis.
#[derive(Clone, Debug, Default)]
pub struct Side {
    input: usize,
    /// For each place of the result the place of the input at or before it, and how far behind that it lies, from 0 to 1.
    places: Vec<(u32, f32)>,
    /// For each place of the input, and one more, the first place of the result that lies at or behind it.
    first: Vec<u32>,
}

impl Side {
    /// `output` places over `input`: the first upon the first, the last upon the last, the others evenly between. Neither is 0.
    pub fn aligned(input: usize, output: usize) -> Self {
        let ratio = if output > 1 { (input - 1) as f32 / (output - 1) as f32 } else { 0.0 };
        let place = |i: usize| {
            let exact = ratio * i as f32;
            let at = (exact as usize).min(input - 1);
            (at as u32, exact - at as f32)
        };
        let places: Vec<(u32, f32)> = (0..output).map(place).collect();
        let first = |at: usize| places.partition_point(|&(place, _)| (place as usize) < at) as u32;
        let first = (0..=input).map(first).collect();
        Self { input, places, first }
    }

    /// Places of the result.
    fn output(&self) -> usize {
        self.places.len()
    }

    /// The place of the input behind this one; the last has none but itself.
    fn next(&self, at: usize) -> usize {
        (at + 1).min(self.input - 1)
    }

    /// out = row at the places.
    fn stretch(&self, row: &[f32], out: &mut [f32]) {
        let row = &row[..self.input];
        for (out, &(at, share)) in out.iter_mut().zip(&self.places) {
            let at = at as usize;
            *out = (1.0 - share) * row[at] + share * row[self.next(at)];
        }
    }

    /// The opposite: adds each value to the places that it was made of.
    fn fold(&self, values: &[f32], row: &mut [f32]) {
        for (value, &(at, share)) in values.iter().zip(&self.places) {
            let at = at as usize;
            row[at] += (1.0 - share) * value;
            row[self.next(at)] += share * value;
        }
    }
}

impl Interp {
    /// Values of a plane of the result.
    fn output(&self) -> usize {
        self.sides[0].output() * self.sides[1].output()
    }

    fn check(&self, input: &[f32], output: &[f32]) {
        let [height, width] = self.input;
        assert_eq!((input.len(), output.len()), (self.planes * height * width, self.planes * self.output()));
        assert!(self.start + self.sides[0].input <= height && self.start + self.sides[1].input <= width);
    }

    /// Where row `row` of the part of a plane that counts begins.
    fn row(&self, plane: usize, row: usize) -> usize {
        let [height, width] = self.input;
        (plane * height + self.start + row) * width + self.start
    }

    /// y from x.
    pub fn forward(&self, x: &[f32], y: &mut [f32]) {
        self.check(x, y);
        let [rows, columns] = &self.sides;
        let (height, width) = (rows.output(), columns.output());
        if y.is_empty() {
            return;
        }
        for_chunks_mut(y, (CHUNK / width).max(1) * width, |start, y| {
            scratch::lend(2 * width, |stretched| {
                // The rows of the input that are there in their new width.
                let (mut upper, mut lower) = stretched.split_at_mut(width);
                let mut there = [usize::MAX; 2];
                for (i, y) in (start / width..).zip(y.chunks_exact_mut(width)) {
                    let plane = i / height;
                    let (at, share) = rows.places[i % height];
                    let wanted = [at as usize, rows.next(at as usize)].map(|row| self.row(plane, row));
                    if there[1] == wanted[0] && there[0] != wanted[0] {
                        std::mem::swap(&mut upper, &mut lower);
                        there.swap(0, 1);
                    }
                    if there[0] != wanted[0] {
                        columns.stretch(&x[wanted[0]..], upper);
                        there[0] = wanted[0];
                    }
                    if share == 0.0 {
                        y.copy_from_slice(upper);
                        continue;
                    }
                    if there[1] != wanted[1] {
                        columns.stretch(&x[wanted[1]..], lower);
                        there[1] = wanted[1];
                    }
                    let rest = 1.0 - share;
                    let between = upper.iter().zip(&*lower);
                    vectorized(|| {
                        for (y, (upper, lower)) in y.iter_mut().zip(between) {
                            *y = rest * upper + share * lower;
                        }
                    });
                }
            });
        });
    }

    /// dx from dy.
    pub fn backward(&self, dy: &[f32], dx: &mut [f32]) {
        self.check(dx, dy);
        let [rows, columns] = &self.sides;
        let ([height, width], wide) = (self.input, columns.output());
        if dx.is_empty() {
            return;
        }
        // A row of the input costs as much as the rows of the result that lie beside it.
        let cost = width.max(2 * wide * rows.output().div_ceil(rows.input));
        for_chunks_mut(dx, (CHUNK / cost).max(1) * width, |start, dx| {
            scratch::lend(wide, |sum| {
                for (i, dx) in (start / width..).zip(dx.chunks_exact_mut(width)) {
                    dx.fill(0.0);
                    let (plane, row) = (i / height, i % height);
                    let Some(row) = row.checked_sub(self.start).filter(|&row| row < rows.input) else {
                        continue;
                    };
                    let from = rows.first[row.saturating_sub(1)] as usize;
                    let beside = from..rows.first[row + 1] as usize;
                    if beside.is_empty() {
                        continue;
                    }
                    sum.fill(0.0);
                    for o in beside {
                        let (at, share) = rows.places[o];
                        let upper = if at as usize == row { 1.0 - share } else { 0.0 };
                        let lower = if rows.next(at as usize) == row { share } else { 0.0 };
                        let factor = upper + lower;
                        if factor == 0.0 {
                            continue;
                        }
                        let dy = &dy[plane * self.output() + o * wide..][..wide];
                        let sum = &mut *sum;
                        vectorized(|| sum.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += factor * dy));
                    }
                    columns.fold(sum, &mut dx[self.start..][..columns.input]);
                }
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What place `[h, w]` of the result is made of: places of the input, and their shares.
    fn parts([ih, iw]: [usize; 2], [oh, ow]: [usize; 2], [h, w]: [usize; 2]) -> [([usize; 2], f64); 4] {
        let along = |input: usize, output: usize, i: usize| {
            let ratio = if output > 1 { (input - 1) as f32 / (output - 1) as f32 } else { 0.0 };
            let exact = ratio * i as f32;
            let (at, share) = (exact as usize, f64::from(exact - exact.trunc()));
            [(at, 1.0 - share), (if at < input - 1 { at + 1 } else { at }, share)]
        };
        let (rows, columns) = (along(ih, oh, h), along(iw, ow, w));
        [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(r, c)| ([rows[r].0, columns[c].0], rows[r].1 * columns[c].1))
    }

    #[test]
    fn planes_equal_the_plain_ones() {
        // Planes, the sides of each, where the part that counts begins, its sides, those of the result.
        let sizes = [
            (1, [1, 1], 0, [1, 1], [3, 2]),
            (2, [3, 4], 0, [3, 4], [5, 13]),
            (3, [6, 5], 0, [6, 5], [6, 5]),
            (2, [7, 9], 1, [5, 6], [3, 3]),
            (1, [4, 4], 1, [2, 2], [2, 2]),
            (2, [5, 3], 0, [5, 3], [1, 1]),
            (0, [2, 2], 0, [2, 2], [3, 3]),
            (4, [60, 7], 0, [60, 7], [473, 61]),
            (1, [129, 257], 0, [129, 257], [65, 129]),
        ];
        for (planes, input, start, counts, output) in sizes {
            let sides = [0, 1].map(|d| Side::aligned(counts[d], output[d]));
            let interp = Interp { planes, input, start, sides };
            let (area, result) = (input[0] * input[1], output[0] * output[1]);
            let x: Vec<f32> = (0..planes * area).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
            let dy: Vec<f32> = (0..planes * result).map(|i| ((i * 53) % 97) as f32 / 48.0 - 1.0).collect();
            let (mut want_y, mut want_dx) = (vec![0f64; dy.len()], vec![0f64; x.len()]);
            for (o, want) in want_y.iter_mut().enumerate() {
                let (plane, h, w) = (o / result, o % result / output[1], o % output[1]);
                for ([r, c], share) in parts(counts, output, [h, w]) {
                    let i = plane * area + (start + r) * input[1] + start + c;
                    *want += share * f64::from(x[i]);
                    want_dx[i] += share * f64::from(dy[o]);
                }
            }
            let (mut y, mut dx) = (vec![f32::NAN; dy.len()], vec![f32::NAN; x.len()]);
            interp.forward(&x, &mut y);
            interp.backward(&dy, &mut dx);
            for (got, want) in y.iter().zip(&want_y).chain(dx.iter().zip(&want_dx)) {
                let far = (f64::from(*got) - want).abs();
                assert!(far <= 1e-4 * want.abs().max(1.0), "{got} is not {want}: {input:?} to {output:?}");
            }
        }
    }
}
