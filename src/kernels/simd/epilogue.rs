//! What happens to rows of values before they are stored: while a register is on its way to memory.
//!
//! The steps are those of `BatchNorm`, `Scale` and `ReLU` one by one, so that no bit changes: weights that take the
//! factors up would round otherwise, and be one more thing to keep up with parameters. The four numbers of a channel
//! lie side by side and are computed anew in each pass.

use std::ops::Range;

use super::{Isa, Job, Simd};

/// A row's mean taken with the other sign, 1 / deviation, scale and bias; see [`standardize`].
pub type Standard = [f32; 4];

/// v = (x - mean) * inverse and v * scale + bias, given a [`Standard`].
#[inline(always)]
pub fn standardize<S: Simd>(simd: S, [minus_mean, inverse, scale, bias]: [S::V; 4], x: S::V) -> [S::V; 2] {
    let v = simd.mul(simd.add(x, minus_mean), inverse);
    [v, simd.fma(v, scale, bias)]
}

/// What happens to rows of values before they are stored, in this order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Added, one value a row.
    pub bias: Option<&'a [f32]>,
    /// By which the sum is standardized, one a row.
    pub standards: Option<&'a [Standard]>,
    /// Whether negative results become 0.
    pub relu: bool,
}

impl<'a> Epilogue<'a> {
    /// Of some of the rows.
    pub fn rows(self, rows: Range<usize>) -> Self {
        let (bias, standards) = (self.bias, self.standards);
        Self {
            bias: bias.map(|bias| &bias[rows.clone()]),
            standards: standards.map(|standards| &standards[rows]),
            ..self
        }
    }

    /// What becomes of 0 in row `row`.
    pub fn of_zero(&self, isa: Isa, row: usize) -> f32 {
        let mut value = [0.0];
        self.rows(row..row + 1).finish_column(isa, &mut value);
        value[0]
    }

    /// Finishes one value a row, from the first row on.
    pub fn finish_column(&self, isa: Isa, values: &mut [f32]) {
        isa.run(Column(self, values));
    }

    /// Finishes the values of the first row.
    pub fn finish_row(&self, isa: Isa, values: &mut [f32]) {
        if self.bias.is_some() || self.standards.is_some() || self.relu {
            isa.run(Line(self.row(0), values));
        }
    }

    /// Whether there are settings for `rows` rows.
    pub(super) fn serves(&self, rows: usize) -> bool {
        self.bias.is_none_or(|bias| bias.len() >= rows)
            && self.standards.is_none_or(|standards| standards.len() >= rows)
    }

    /// The settings of row `row`.
    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> Row<'a> {
        Row {
            bias: self.bias.map_or(0.0, |bias| bias[row]),
            standard: self.standards.map(|standards| &standards[row]),
            relu: self.relu,
        }
    }
}

/// The settings of a row. Numbers, not registers: as many of these would be copied through memory.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    /// To be added, or begun with; 0 if there is none.
    pub bias: f32,
    standard: Option<&'a Standard>,
    relu: bool,
}

impl Row<'_> {
    /// What follows the bias.
    #[inline(always)]
    pub fn finish<S: Simd, const N: usize>(&self, simd: S, mut values: [S::V; N]) -> [S::V; N] {
        if let Some(standard) = self.standard {
            let standard = standard.map(|setting| simd.splat(setting));
            for value in &mut values {
                [_, *value] = standardize(simd, standard, *value);
                if self.relu {
                    *value = rectify(simd, *value);
                }
            }
        } else if self.relu {
            // Zero first: a value that is not a number stays one.
            values.iter_mut().for_each(|value| *value = simd.max(simd.splat(0.0), *value));
        }
        values
    }
}

/// The bits that a rectifier by itself gives, of -0 too.
#[inline(always)]
fn rectify<S: Simd>(simd: S, value: S::V) -> S::V {
    let zero = simd.splat(0.0);
    simd.where_at_most(value, zero, zero, value)
}

struct Line<'a>(Row<'a>, &'a mut [f32]);

impl Job for Line<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let bias = simd.splat(self.0.bias);
        for values in self.1.chunks_mut(S::LANES) {
            let [end] = self.0.finish(simd, [simd.add(simd.read_first(values), bias)]);
            simd.write_first(values, end);
        }
    }
}

struct Column<'a>(&'a Epilogue<'a>, &'a mut [f32]);

impl Job for Column<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (row, value) in self.1.iter_mut().enumerate() {
            let row = self.0.row(row);
            let [end] = row.finish(simd, [simd.splat(*value + row.bias)]);
            simd.write_first(std::slice::from_mut(value), end);
        }
    }
}

#[cfg(test)]
impl Epilogue<'_> {
    /// What becomes of a value of row `row`: the reference twin, for numbers that round nowhere.
    pub(super) fn plain(&self, row: usize, value: f32) -> f32 {
        let mut value = value + self.bias.map_or(0.0, |bias| bias[row]);
        if let Some([minus_mean, inverse, scale, bias]) = self.standards.map(|standards| standards[row]) {
            value = (value + minus_mean) * inverse * scale + bias;
        }
        if self.relu { value.max(0.0) } else { value }
    }

    /// Settings for `rows` rows, small and whole or nearly.
    pub(super) fn standards_for_tests(rows: usize) -> Vec<Standard> {
        (0..rows).map(|row| [row as f32 - 3.0, 0.5, 1.0 - (row % 3) as f32, row as f32 % 5.0 - 2.0]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_goes_through_all_steps() {
        let standards = [[-1.0, 0.5, 3.0, 0.25], [1.0, 2.0, -1.0, -0.0]];
        let all = Epilogue { bias: Some(&[4.0, -1.0]), standards: Some(&standards), relu: true };
        for isa in Isa::all() {
            assert_eq!([0, 1].map(|row| all.of_zero(isa, row)), [1.5 * 3.0 + 0.25, 0.0]);
            assert_eq!([0, 1].map(|row| all.plain(row, 0.0)), [1.5 * 3.0 + 0.25, 0.0]);
            assert_eq!(all.rows(1..2).of_zero(isa, 0).to_bits(), 0.0f32.to_bits());
            let open = Epilogue { relu: false, ..all };
            assert_eq!(open.of_zero(isa, 1).to_bits(), (-0.0f32).to_bits());
            assert_eq!(Epilogue { standards: None, ..all }.of_zero(isa, 0), 4.0);
            assert_eq!(Epilogue { standards: None, ..all }.of_zero(isa, 1), 0.0);
            assert_eq!(Epilogue::default().of_zero(isa, 9), 0.0);
            let none = Epilogue { bias: Some(&[f32::NAN]), ..all };
            assert!(none.of_zero(isa, 0).is_nan() && !none.serves(2) && all.serves(2));
        }
    }
}
