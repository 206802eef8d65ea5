//! `BatchReindex`: picks samples of a batch by number.

use super::{Arity, Backward, Forward, Kind, Layer, LayerError, Outline, Reads, Setup, axes::make_room};
use crate::{
    config::proto::LayerParameter,
    kernels::rows::{gather_rows, scatter_rows},
    tensor::Shape,
};

/// The row of `BatchReindex`.
pub const KIND: Kind = Kind {
    name: "BatchReindex",
    summary: "picks samples by number",
    bottoms: Arity::Exactly(2),
    no_gradient: &[1],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// `y[i] = x[index[i]]`       `dE/dx[j]` = sum of `dE/dy[i]` over the i with `index[i]` = j
///
/// Shapes: bottoms `N x ...` and `M`, top `M x ...`. Params: none. Differs from Caffe: no.
struct BatchReindex {
    samples: usize,
    /// Values of a sample.
    row: usize,
    index: Vec<u32>,
}

fn from_config(_: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    Ok(Box::new(BatchReindex { samples: 0, row: 0, index: Vec::new() }))
}

impl Layer for BatchReindex {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let [x, index] = bottoms else { return Err(LayerError::shape("two bottoms are needed")) };
        if x.is_empty() || index.len() != 1 {
            let message = format!("needs samples and a list of numbers, found bottoms {x} and {index}");
            return Err(LayerError::shape(message));
        }
        (self.samples, self.row) = (x[0], x.count_of(1..));
        make_room(&mut self.index, index[0]);
        Ok(Outline::of([[&index[..], &x[1..]].concat().into()]).reads(Reads::NOTHING))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        for (to, &value) in self.index.iter_mut().zip(pass.bottoms[1].data) {
            // Like Caffe, fractions are cut off.
            let number = value.trunc();
            if !(number >= 0.0 && number < self.samples as f32) {
                let message = format!("index {value} is out of range for {} samples", self.samples);
                return Err(LayerError::value(message));
            }
            *to = number as u32;
        }
        gather_rows(pass.bottoms[0].data, self.row, &self.index, pass.tops[0].data);
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        if let Some(diff) = &mut pass.bottom_diffs[0] {
            scatter_rows(pass.tops[0].diff, self.row, &self.index, diff);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, failure, forward, refusal};

    pub const GRADIENT: &[Case] = &[Case::new(
        "type: 'BatchReindex'",
        &[(&[4, 2, 2], Values::Any), (&[5], Values::Given(&[3.0, 0.0, 3.0, 1.0, 3.0]))],
    )];

    const X: (&[usize], &[f32]) = (&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);

    #[test]
    fn samples_are_picked() {
        let y = forward("type: 'BatchReindex'", &[X, (&[3], &[2.0, 0.0, 2.0])]);
        assert_eq!(y[0], [5.0, 6.0, 1.0, 2.0, 5.0, 6.0]);
        assert!(forward("type: 'BatchReindex'", &[X, (&[0], &[])])[0].is_empty());
    }

    #[test]
    fn bad_input_is_refused() {
        let refused = refusal("type: 'BatchReindex'", &[&[3, 2], &[2, 1]]);
        assert_eq!(refused, "needs samples and a list of numbers, found bottoms 3 x 2 and 2 x 1");
        for index in [3.0, -1.0, f32::NAN] {
            let failed = failure("type: 'BatchReindex'", &[X, (&[1], &[index])]);
            assert_eq!(failed, format!("index {index} is out of range for 3 samples"));
        }
    }
}
