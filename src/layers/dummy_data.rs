//! `DummyData`: tops filled without a source.

use super::{
    Arity, Forward, Kind, Layer, LayerError, Outline, Role, Setup, axes,
    filler::{constant_of, fill, place},
};
use crate::{
    config::proto::{BlobShape, DummyDataParameter, FillerParameter, LayerParameter},
    kernels::random::Draw,
    tensor::Shape,
};

/// The row of `DummyData`.
pub const KIND: Kind = Kind {
    name: "DummyData",
    summary: "tops filled with constants or random numbers",
    settings: &["dummy_data_param"],
    bottoms: Arity::Exactly(0),
    tops: Arity::AtLeast(1),
    role: Role::Source,
    ..Kind::usual(from_config)
};

/// Tops filled by fillers; random ones are drawn afresh in each pass.
///
/// Fillers and shapes are given once for all tops or once for each; without a filler tops are 0. Old files give
/// `num`, `channels`, `height` and `width` in place of `shape`. Constants are written in each pass too: a top's
/// memory may serve other blobs in between.
///
/// Shapes: no bottoms; the tops as asked. Params: none. Differs from Caffe: other random numbers.
struct DummyData {
    tops: Vec<(Shape, FillerParameter)>,
}

fn from_config(config: &LayerParameter, setup: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let unset = DummyDataParameter::default();
    let param = config.dummy_data_param.as_ref().unwrap_or(&unset);
    let tops = config.top.len();
    let fillers = match &param.data_filler[..] {
        [] => vec![constant_of(0.0)],
        given => given.to_vec(),
    };
    fits("data_filler", fillers.len(), tops)?;
    let shapes = shapes(param, tops)?;
    let mut filled = Vec::with_capacity(tops);
    for i in 0..tops {
        let (shape, filler) = (&shapes[i % shapes.len()], &fillers[i % fillers.len()]);
        // Filling nothing: so what a filler may object to in this shape shows now, not in a pass.
        fill(filler, shape, Draw::new(setup.seed, "", 0), &mut [])
            .map_err(|e| LayerError::setting(place(config, filler, &e), e.to_string()))?;
        filled.push((shape.clone(), filler.clone()));
    }
    Ok(Box::new(DummyData { tops: filled }))
}

/// The shapes, one or as many as tops, in the new or the old form.
fn shapes(param: &DummyDataParameter, tops: usize) -> Result<Vec<Shape>, LayerError> {
    let sides = [&param.num, &param.channels, &param.height, &param.width];
    if sides.iter().all(|side| side.is_empty()) {
        fits("shape", param.shape.len(), tops)?;
        return param.shape.iter().map(|s| axes::shape_of(s, "dummy_data_param.shape")).collect();
    }
    if !param.shape.is_empty() {
        let message = "both shape and num, channels, height, width are given: keep shape";
        return Err(LayerError::setting("dummy_data_param.shape", message));
    }
    for (name, side) in ["num", "channels", "height", "width"].iter().zip(sides) {
        fits(name, side.len(), tops)?;
    }
    let shape = |i| BlobShape { dim: sides.map(|side| i64::from(side[i % side.len()])).to_vec() };
    (0..tops).map(|i| axes::shape_of(&shape(i), "dummy_data_param.num")).collect()
}

/// Refuses a list that is neither one long nor as long as the tops.
fn fits(name: &str, found: usize, tops: usize) -> Result<(), LayerError> {
    if found == 1 || found == tops {
        return Ok(());
    }
    let message = format!("{name} must be given once or once for each of {tops} tops, found {found}");
    Err(LayerError::setting(format!("dummy_data_param.{name}"), message))
}

impl Layer for DummyData {
    fn outline(&mut self, _: &[Shape]) -> Result<Outline, LayerError> {
        Ok(Outline::of(self.tops.iter().map(|(shape, _)| shape.clone()).collect::<Vec<_>>()))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        for (i, ((shape, filler), top)) in self.tops.iter().zip(pass.tops.iter_mut()).enumerate() {
            fill(filler, shape, pass.draw.part(i), top.data)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{forward_with, refusal};

    #[test]
    fn tops_get_their_own_shapes_and_fillers() {
        let tops = forward_with(
            "type: 'DummyData' dummy_data_param { shape { dim: 2 } shape { dim: 3 }
             data_filler { type: 'constant' value: 1.5 } data_filler { type: 'uniform' min: 2 max: 3 } }",
            2,
            &[],
            &[],
        );
        assert_eq!(tops[0], [1.5, 1.5]);
        assert!(tops[1].iter().all(|v| (2.0..3.0).contains(v)) && tops[1][0] != tops[1][1]);
    }

    #[test]
    fn tops_of_one_filler_differ() {
        let tops = forward_with(
            "type: 'DummyData' dummy_data_param { num: 3 channels: 1 height: 2 height: 4 width: 1
             data_filler { type: 'gaussian' } }",
            2,
            &[],
            &[],
        );
        assert_eq!((tops[0].len(), tops[1].len()), (6, 12));
        assert_ne!(tops[0][..], tops[1][..6]);
    }

    #[test]
    fn without_a_filler_tops_are_zero() {
        assert_eq!(forward_with("type: 'DummyData' dummy_data_param { shape { } }", 1, &[], &[])[0], [0.0]);
    }

    #[test]
    fn bad_settings_are_refused() {
        let refused =
            |settings: &str| refusal(&format!("type: 'DummyData' dummy_data_param {{ {settings} }}"), &[]);
        assert_eq!(refused(""), "shape must be given once or once for each of 1 tops, found 0");
        assert!(refused("shape { dim: 1 } shape { dim: 1 }").contains("found 2"));
        assert!(refused("num: 1 channels: 1 height: 1").contains("width must be given once"));
        assert!(refused("shape { dim: 1 } num: 1").contains("keep shape"));
        assert!(refused("shape { dim: 1 } data_filler { type: 'gausian' }").contains("gausian"));
    }
}
