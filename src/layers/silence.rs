//! `Silence`: takes bottoms that nobody else wants, so that they are not outputs of the net.

use super::{Arity, Backward, Forward, Kind, Layer, LayerError, Outline, Reads, Setup};
use crate::{config::proto::LayerParameter, kernels::elementwise::apply, tensor::Shape};

/// The row of `Silence`.
pub const KIND: Kind = Kind {
    name: "Silence",
    summary: "takes bottoms that are of no use",
    bottoms: Arity::AtLeast(1),
    tops: Arity::Exactly(0),
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// No tops; the bottoms' gradients are 0.
///
/// Shapes: bottoms any. Params: none. Differs from Caffe: no.
struct Silence;

fn from_config(_: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    Ok(Box::new(Silence))
}

impl Layer for Silence {
    fn outline(&mut self, _: &[Shape]) -> Result<Outline, LayerError> {
        Ok(Outline::of([]).reads(Reads::NOTHING))
    }

    fn forward(&mut self, _: &mut Forward<'_>) -> Result<(), LayerError> {
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        pass.bottom_diffs.iter_mut().flatten().for_each(|diff| apply(diff, |_| 0.0));
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward_with};

    pub const GRADIENT: &[Case] =
        &[Case::new("type: 'Silence'", &[(&[2], Values::Any), (&[3], Values::Any)]).tops(0)];

    #[test]
    fn there_are_no_tops() {
        assert!(forward_with("type: 'Silence'", 0, &[(&[1], &[1.0])], &[]).is_empty());
    }
}
