//! `SmoothL1Loss` of Fast R-CNN: the absolute difference of two blobs, round where it is small.

use super::{Arity, Backward, Forward, Kind, Layer, LayerError, Outline, Reads, Role, Setup};
use crate::{
    config::proto::LayerParameter,
    kernels::smooth_l1::{slope, sum},
    tensor::Shape,
};

/// The row of `SmoothL1Loss`.
pub const KIND: Kind = Kind {
    name: "SmoothL1Loss",
    summary: "absolute difference of two blobs, round where small, maybe weighted (Fast R-CNN, SSD)",
    settings: &["smooth_l1_loss_param"],
    bottoms: Arity::Between(2, 4),
    role: Role::Loss,
    no_gradient: &[2, 3],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// The loss of boxes: of their differences to what they should be.
///
/// d = u (a - b), E = 1/N sum v f(d), f(d) = (`sigma` d)^2 / 2 if |d| < 1 / `sigma`^2, else |d| - 1 / (2 `sigma`^2)
/// dE/da = 1/N v u (`sigma`^2 d if |d| < 1 / `sigma`^2, else the sign of d)       dE/db = -dE/da
///
/// Shapes: bottoms a and b `N x ...`, the same number of values in each sample, and likewise the weights "inside" u and
/// "outside" v, each 1 if it is left out; top one value. Params: none.
/// Reference: Girshick 2015. Caffe has none. Differs from the forks: they have no CPU code; that of the first Fast R-CNN and of SSD,
/// with no v, leaves u out of the gradient, which is the same where u is 0 or 1. Division is by N alone, as in most forks: R-FCN's
/// `loss_param` means nothing here.
struct SmoothL1Loss {
    sigma2: f32,
    samples: usize,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let sigma = config.smooth_l1_loss_param.unwrap_or_default().sigma();
    let sigma2 = sigma * sigma;
    if !(sigma > 0.0 && sigma2.is_normal()) {
        let message = format!("sigma must be above 0, found {sigma}");
        return Err(LayerError::setting("smooth_l1_loss_param.sigma", message));
    }
    Ok(Box::new(SmoothL1Loss { sigma2, samples: 0 }))
}

impl Layer for SmoothL1Loss {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let a = &bottoms[0];
        self.samples = a.first().copied().unwrap_or(1);
        if let Some(b) = bottoms.iter().find(|b| a.first() != b.first() || a.count() != b.count()) {
            let text = format!("the bottoms must have as many samples and values, found {a} and {b}");
            return Err(LayerError::shape(text));
        }
        Ok(Outline::of([Shape::default()]).reads(Reads::BOTTOMS))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let sum = match *pass.bottoms {
            [a, b] => sum(self.sigma2, [a.data, b.data]),
            [a, b, u] => sum(self.sigma2, [a.data, b.data, u.data]),
            [a, b, u, v] => sum(self.sigma2, [a.data, b.data, u.data, v.data]),
            _ => unreachable!("from two to four bottoms"),
        };
        pass.tops[0].data[0] = (sum / self.samples.max(1) as f64) as f32;
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let factor = pass.tops[0].diff[0] / self.samples.max(1) as f32;
        for (diff, factor) in pass.bottom_diffs.iter_mut().zip([factor, -factor]) {
            let Some(diff) = diff else { continue };
            match *pass.bottoms {
                [a, b] => slope(self.sigma2, factor, [a.data, b.data], diff),
                [a, b, u] => slope(self.sigma2, factor, [a.data, b.data, u.data], diff),
                [a, b, u, v] => slope(self.sigma2, factor, [a.data, b.data, u.data, v.data], diff),
                _ => unreachable!("from two to four bottoms"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, refusal};

    const NEAR: Values = Values::Between(-0.3, 0.3);
    const FAR: Values = Values::Between(2.0, 3.0);
    const WEIGHTS: Values = Values::Between(0.7, 1.5);

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'SmoothL1Loss'", &[(&[3, 2, 2], NEAR), (&[3, 4], NEAR)]),
        Case::new("type: 'SmoothL1Loss'", &[(&[3, 2], NEAR), (&[3, 2], FAR), (&[3, 2], WEIGHTS)]),
        Case::new(
            "type: 'SmoothL1Loss' smooth_l1_loss_param { sigma: 3 }",
            &[(&[3, 2], NEAR), (&[3, 2], FAR), (&[3, 2], WEIGHTS), (&[3, 2], WEIGHTS)],
        ),
        Case::new(
            "type: 'SmoothL1Loss' smooth_l1_loss_param { sigma: 0.5 }",
            &[(&[3, 2], NEAR), (&[3, 2], NEAR), (&[3, 2], WEIGHTS), (&[3, 2], WEIGHTS)],
        ),
    ];

    const A: (&[usize], &[f32]) = (&[2, 2], &[1.0, 0.5, -3.0, 0.0]);
    const ZERO: (&[usize], &[f32]) = (&[2, 2], &[0.0; 4]);

    #[test]
    fn by_hand() {
        // 0.5 + 0.125 + 2.5 over two samples.
        assert_eq!(forward("type: 'SmoothL1Loss'", &[A, ZERO])[0], [1.5625]);
        let sigma = "type: 'SmoothL1Loss' smooth_l1_loss_param { sigma: 2 }";
        // The parabola ends at 0.25: 0.875 + 0.375 + 2.875.
        assert_eq!(forward(sigma, &[A, ZERO])[0], [2.0625]);
        let inside: (&[usize], &[f32]) = (&[2, 2], &[1.0, 2.0, 0.0, 1.0]);
        assert_eq!(forward("type: 'SmoothL1Loss'", &[A, ZERO, inside])[0], [0.5]);
        let outside: (&[usize], &[f32]) = (&[2, 2], &[4.0, 1.0, 1.0, 1.0]);
        assert_eq!(forward("type: 'SmoothL1Loss'", &[A, ZERO, inside, outside])[0], [1.25]);
        assert_eq!(forward("type: 'SmoothL1Loss'", &[(&[0, 2], &[]), (&[0, 2], &[])])[0], [0.0]);
    }

    #[test]
    fn bad_input_is_refused() {
        let refused = |bottoms: &[&[usize]]| refusal("type: 'SmoothL1Loss'", bottoms);
        let text = "the bottoms must have as many samples and values, found 2 x 3 and 3 x 2";
        assert_eq!(refused(&[&[2, 3], &[3, 2]]), text);
        assert!(refused(&[&[2, 3], &[2, 3], &[2, 1]]).contains("found 2 x 3 and 2 x 1"));
        for sigma in ["0", "-1", "nan", "1e30"] {
            let text = format!("type: 'SmoothL1Loss' smooth_l1_loss_param {{ sigma: {sigma} }}");
            assert!(refusal(&text, &[&[1, 1], &[1, 1]]).contains("sigma must be above 0"), "{sigma}");
        }
    }
}
