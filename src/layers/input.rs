//! `Input`: blobs that are handed to the net from outside.

use super::{Arity, Forward, Kind, Layer, LayerError, Outline, Role, Setup, axes};
use crate::{config::proto::LayerParameter, tensor::Shape};

/// The row of `Input`.
pub const KIND: Kind = Kind {
    name: "Input",
    summary: "blobs handed in from outside",
    settings: &["input_param"],
    bottoms: Arity::Exactly(0),
    tops: Arity::AtLeast(1),
    role: Role::Source,
    ..Kind::usual(from_config)
};

/// Tops whose values the caller sets; forward leaves them alone.
///
/// Shapes: no bottoms; the tops as `shape` says, once for all or once for each. Params: none.
/// Differs from Caffe: a shape must be given.
struct Input {
    tops: Vec<Shape>,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let shapes = config.input_param.as_ref().map_or(&[][..], |p| &p.shape);
    let tops = config.top.len();
    if shapes.len() != 1 && shapes.len() != tops {
        let found = shapes.len();
        let message = format!("shape must be given once or once for each of {tops} tops, found {found}");
        return Err(LayerError::setting("input_param.shape", message));
    }
    let tops = (0..tops).map(|i| axes::shape_of(&shapes[i % shapes.len()], "input_param.shape"));
    Ok(Box::new(Input { tops: tops.collect::<Result<_, _>>()? }))
}

impl Layer for Input {
    fn outline(&mut self, _: &[Shape]) -> Result<Outline, LayerError> {
        Ok(Outline::of(self.tops.clone()))
    }

    fn forward(&mut self, _: &mut Forward<'_>) -> Result<(), LayerError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{forward_with, refusal};

    #[test]
    fn one_shape_serves_all_tops() {
        let tops = forward_with("type: 'Input' input_param { shape { dim: 2 dim: 3 } }", 2, &[], &[]);
        assert_eq!(tops.iter().map(Vec::len).collect::<Vec<_>>(), [6, 6]);
        let two = "type: 'Input' input_param { shape { dim: 2 } shape { } }";
        let tops = forward_with(two, 2, &[], &[]);
        assert_eq!(tops.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn bad_shapes_are_refused() {
        let none = refusal("type: 'Input'", &[]);
        assert_eq!(none, "shape must be given once or once for each of 1 tops, found 0");
        assert!(refusal("type: 'Input' input_param { shape { dim: -2 } }", &[]).contains("dim -2"));
    }
}
