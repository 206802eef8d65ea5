//! `Flatten`: one axis of several.

use super::{Backward, Kind, Layer, LayerError, Outline, Reads, Setup, axes};
use crate::{
    config::proto::{FlattenParameter, LayerParameter},
    kernels::elementwise::copy,
    tensor::Shape,
};

/// The row of `Flatten`.
pub const KIND: Kind = Kind {
    name: "Flatten",
    summary: "makes one axis of several",
    settings: &["flatten_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// The same values, with the axes from `axis` through `end_axis` made one.
///
/// Shapes: bottom `N x C x H x W`, top `N x CHW` by default. Params: none. Differs from Caffe: no.
struct Flatten {
    param: FlattenParameter,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    Ok(Box::new(Flatten { param: config.flatten_param.unwrap_or_default() }))
}

impl Layer for Flatten {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let bottom = &bottoms[0];
        let start = axes::resolve(bottom, self.param.axis(), "flatten_param.axis")?;
        let end = axes::resolve(bottom, self.param.end_axis(), "flatten_param.end_axis")? + 1;
        // Like Caffe, an end just before the start inserts an axis of 1.
        if end < start {
            let message = format!("end_axis {} comes before axis {start}", end - 1);
            return Err(LayerError::setting("flatten_param.end_axis", message));
        }
        let top = [&bottom[..start], &[bottom.count_of(start..end)], &bottom[end..]].concat();
        Ok(Outline::of([top.into()]).reads(Reads::NOTHING).alias())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        if let Some(diff) = &mut pass.bottom_diffs[0] {
            copy(pass.tops[0].diff, diff);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, refusal, top_shapes};

    pub const GRADIENT: &[Case] = &[Case::new("type: 'Flatten'", &[(&[2, 3, 2], Values::Any)])];

    #[test]
    fn axes_are_joined() {
        let shape = |settings: &str| {
            top_shapes(&format!("type: 'Flatten' flatten_param {{ {settings} }}"), 1, &[&[2, 3, 4, 5]])
                .remove(0)
        };
        assert_eq!(shape("")[..], [2, 60]);
        assert_eq!(shape("axis: 0")[..], [120]);
        assert_eq!(shape("axis: -3 end_axis: 2")[..], [2, 12, 5]);
        assert_eq!(shape("axis: 2 end_axis: 1")[..], [2, 3, 1, 4, 5]);
        assert_eq!(forward("type: 'Flatten'", &[(&[1, 2, 1], &[5.0, 6.0])])[0], [5.0, 6.0]);
    }

    #[test]
    fn bad_axes_are_refused() {
        let of = |settings: &str| {
            refusal(&format!("type: 'Flatten' flatten_param {{ {settings} }}"), &[&[2, 3, 4]])
        };
        assert!(of("axis: 3").contains("axis 3 is out of range"));
        assert_eq!(of("axis: 2 end_axis: 0"), "end_axis 0 comes before axis 2");
    }
}
