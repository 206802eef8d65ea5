//! `EuclideanLoss`: half the mean square distance of two blobs.

use super::{Arity, Backward, Forward, Kind, Layer, LayerError, Outline, Reads, Role, Setup};
use crate::{
    config::proto::LayerParameter,
    kernels::{elementwise::map2, sums::sum2},
    tensor::Shape,
};

/// The row of `EuclideanLoss`.
pub const KIND: Kind = Kind {
    name: "EuclideanLoss",
    summary: "half the mean square distance of two blobs",
    bottoms: Arity::Exactly(2),
    role: Role::Loss,
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Half the square distance of two blobs, per sample.
///
/// E = 1/(2N) sum (a - b)^2       dE/da = (a - b) / N       dE/db = -dE/da
///
/// Shapes: bottoms `N x ...` twice, the same number of values in each sample; top one value. Params: none.
/// Reference: none. Differs from Caffe: no.
struct EuclideanLoss {
    samples: usize,
}

fn from_config(_: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    Ok(Box::new(EuclideanLoss { samples: 0 }))
}

impl Layer for EuclideanLoss {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let (a, b) = (&bottoms[0], &bottoms[1]);
        self.samples = a.first().copied().unwrap_or(1);
        if a.first() != b.first() || a.count() != b.count() {
            let text = format!("the bottoms must have as many samples and values, found {a} and {b}");
            return Err(LayerError::shape(text));
        }
        Ok(Outline::of([Shape::default()]).reads(Reads::BOTTOMS))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let sum = sum2(pass.bottoms[0].data, pass.bottoms[1].data, |a, b| (a - b) * (a - b));
        pass.tops[0].data[0] = (sum / (2 * self.samples.max(1)) as f64) as f32;
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let scale = pass.tops[0].diff[0] / self.samples.max(1) as f32;
        for (diff, scale) in pass.bottom_diffs.iter_mut().zip([scale, -scale]) {
            let Some(diff) = diff else { continue };
            map2(pass.bottoms[0].data, pass.bottoms[1].data, diff, move |a, b| scale * (a - b));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, refusal};

    pub const GRADIENT: &[Case] =
        &[Case::new("type: 'EuclideanLoss'", &[(&[3, 2, 2], Values::Any), (&[3, 4], Values::Any)])];

    #[test]
    fn by_hand() {
        let a: (&[usize], &[f32]) = (&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(forward("type: 'EuclideanLoss'", &[a, (&[2, 2], &[0.0, 2.0, 0.0, 4.0])])[0], [2.5]);
        assert_eq!(forward("type: 'EuclideanLoss'", &[(&[0, 2], &[]), (&[0, 2], &[])])[0], [0.0]);
    }

    #[test]
    fn unlike_bottoms_are_refused() {
        let text = refusal("type: 'EuclideanLoss'", &[&[2, 3], &[3, 2]]);
        assert_eq!(text, "the bottoms must have as many samples and values, found 2 x 3 and 3 x 2");
    }
}
