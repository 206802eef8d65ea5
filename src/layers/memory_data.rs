//! `MemoryData`: images and labels that are handed to the net from outside.

use super::{Arity, Forward, Kind, Layer, LayerError, Outline, Role, Setup, axes};
use crate::{
    config::proto::{BlobShape, LayerParameter},
    tensor::Shape,
};

/// The row of `MemoryData`.
pub const KIND: Kind = Kind {
    name: "MemoryData",
    summary: "images and labels handed in from outside",
    settings: &["memory_data_param"],
    bottoms: Arity::Exactly(0),
    tops: Arity::Exactly(2),
    role: Role::Source,
    ..Kind::usual(from_config)
};

/// Tops whose values the caller sets (`cnnctl run --input`); forward leaves them alone, and refuses to run before.
///
/// Shapes: no bottoms; tops `batch_size x channels x height x width` and labels `batch_size`. Params: none.
/// Values are taken as they are: as in Caffe's `Reset`, a `transform_param` does nothing.
/// Differs from Caffe: no.
struct MemoryData {
    shape: Shape,
    fed: bool,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let p = config.memory_data_param.unwrap_or_default();
    let sides = [
        ("batch_size", p.batch_size()),
        ("channels", p.channels()),
        ("height", p.height()),
        ("width", p.width()),
    ];
    if let Some((name, _)) = sides.iter().find(|(_, side)| *side == 0) {
        let message = format!("{name} must be given and not 0");
        return Err(LayerError::setting(format!("memory_data_param.{name}"), message));
    }
    let shape = BlobShape { dim: sides.map(|(_, side)| i64::from(side)).to_vec() };
    let shape = axes::shape_of(&shape, "memory_data_param.batch_size")?;
    Ok(Box::new(MemoryData { shape, fed: false }))
}

impl Layer for MemoryData {
    fn outline(&mut self, _: &[Shape]) -> Result<Outline, LayerError> {
        Ok(Outline::of([self.shape.clone(), [self.shape[0]].into()]))
    }

    fn forward(&mut self, _: &mut Forward<'_>) -> Result<(), LayerError> {
        match self.fed {
            true => Ok(()),
            false => {
                Err(LayerError::value("has no values: they are set from outside, by `cnnctl run --input`"))
            }
        }
    }

    fn fed(&mut self) {
        self.fed = true;
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{refusal_of, top_shapes};

    fn memory(settings: &str) -> String {
        format!("type: 'MemoryData' memory_data_param {{ {settings} }}")
    }

    #[test]
    fn images_and_labels() {
        let tops = top_shapes(&memory("batch_size: 5 channels: 3 height: 4 width: 2"), 2, &[]);
        assert_eq!((&tops[0][..], &tops[1][..]), (&[5, 3, 4, 2][..], &[5][..]));
    }

    #[test]
    fn bad_settings_are_refused() {
        let refused = |text: &str| refusal_of(text, 2, &[]);
        assert_eq!(refused(&memory("batch_size: 5 channels: 3 height: 4")), "width must be given and not 0");
        let large = "batch_size: 4294967295 channels: 4294967295 height: 4294967295 width: 4294967295";
        assert!(refused(&memory(large)).contains("too large"));
    }

    #[test]
    fn a_transform_does_nothing() {
        let settings = memory("batch_size: 1 channels: 1 height: 4 width: 4");
        let tops = top_shapes(&(settings + "transform_param { scale: 2 crop_size: 3 }"), 2, &[]);
        assert_eq!(&tops[0][..], &[1, 1, 4, 4]);
    }
}
