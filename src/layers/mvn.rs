//! `MVN`: each image, or each of its channels, to mean 0 and variance 1.

use super::{Backward, Forward, Kind, Layer, LayerError, Outline, Reads, Setup};
use crate::{
    config::proto::LayerParameter,
    kernels::norm::{Moments, Rows, normalize_rows, normalize_rows_backward},
    tensor::Shape,
};

/// The row of `MVN`.
pub const KIND: Kind = Kind {
    name: "MVN",
    summary: "each channel of each image to mean 0 and variance 1",
    settings: &["mvn_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// The least number of axes of a top.
const AXES: usize = 4;

/// Mean-variance normalization of each channel of each image, or of each image with `across_channels`.
///
/// y = (x - mean) / (sqrt(variance) + eps)      dx = (dy - mean dy - y * mean(dy * y)) / (sqrt(variance) + eps)
/// without `normalize_variance`: y = x - mean   dx = dy - mean dy
///
/// The derivative leaves out that eps is not under the root, as Caffe's does: it is exact for eps = 0 only.
///
/// Shapes: bottom `N x C x ...`, top the same, with axes of 1 up to four as in Caffe. Params: none. Reference: none.
/// Differs from Caffe: more than four axes.
struct Mvn {
    across: bool,
    eps: f32,
    rows: Rows,
    moments: Vec<Moments>,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.mvn_param.unwrap_or_default();
    Ok(Box::new(Mvn {
        across: param.across_channels(),
        eps: param.eps(),
        rows: Rows { len: 0, divide: param.normalize_variance() },
        moments: vec![],
    }))
}

impl Layer for Mvn {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let own = if self.across { 1 } else { 2 };
        let mut top = bottoms[0].to_vec();
        top.resize(top.len().max(AXES), 1);
        let top = Shape::from(top);
        self.rows.len = top.count_of(own..);
        self.moments = vec![Moments::default(); top.count_of(..own)];
        let reads = if self.rows.divide { Reads::TOPS } else { Reads::NOTHING };
        Ok(Outline::of([top]).reads(reads))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        normalize_rows(self.rows, self.eps, pass.bottoms[0].data, pass.tops[0].data, &mut self.moments);
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let Some(dx) = &mut pass.bottom_diffs[0] else { return };
        let top = &pass.tops[0];
        normalize_rows_backward(self.rows, self.eps, &self.moments, [top.data, top.diff], dx);
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, top_shapes};

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'MVN'", &[(&[2, 2, 3, 3], Values::Any)]),
        Case::new("type: 'MVN' mvn_param { across_channels: true }", &[(&[2, 3, 2], Values::Any)]),
        Case::new("type: 'MVN' mvn_param { normalize_variance: false }", &[(&[2, 2, 3], Values::Any)]),
    ];

    #[test]
    fn rows_by_hand() {
        let x: (&[usize], &[f32]) = (&[1, 2, 2], &[1.0, 3.0, 5.0, 5.0]);
        assert_eq!(
            forward("type: 'MVN' mvn_param { normalize_variance: false }", &[x])[0],
            [-1.0, 1.0, 0.0, 0.0]
        );
        assert_eq!(forward("type: 'MVN' mvn_param { eps: 1 }", &[x])[0], [-0.5, 0.5, 0.0, 0.0]);
        let text = "type: 'MVN' mvn_param { across_channels: true normalize_variance: false }";
        assert_eq!(forward(text, &[x])[0], [-2.5, -0.5, 1.5, 1.5]);
    }

    #[test]
    fn missing_axes_are_ones() {
        let alone = forward("type: 'MVN' mvn_param { normalize_variance: false }", &[(&[2], &[1.0, 3.0])]);
        assert_eq!(alone[0], [0.0, 0.0]);
        let text = "type: 'MVN' mvn_param { across_channels: true normalize_variance: false }";
        assert_eq!(forward(text, &[(&[2, 2], &[1.0, 3.0, 5.0, 9.0])])[0], [-1.0, 1.0, -2.0, 2.0]);
        assert_eq!(top_shapes("type: 'MVN'", 1, &[&[2, 3]])[0][..], [2, 3, 1, 1]);
    }
}
