//! `Dropout`: sets values to 0 at random while training.

use super::{Backward, Forward, Kind, Layer, LayerError, Outline, Reads, Setup};
use crate::{
    config::proto::{LayerParameter, Phase},
    kernels::{
        dropout::{Keep, apply_mask, drop_values, drop_values_once, mask_words},
        elementwise::copy,
    },
    tensor::Shape,
};

/// The row of `Dropout`.
pub const KIND: Kind = Kind {
    name: "Dropout",
    summary: "sets values to 0 at random in training",
    settings: &["dropout_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Each value is 0 with probability `dropout_ratio` in TRAIN; what stays is scaled so that means stay. TEST: y = x.
///
/// y = m * x / (1 - ratio), m = 0 or 1       dE/dx = m / (1 - ratio) * dE/dy
///
/// Which values go depends on the seed, the layer's name, the pass and the position only.
///
/// Shapes: bottom any, top the same. Params: none.
/// Reference: Srivastava et al. 2014. Differs from Caffe: other random numbers; a ratio of 0 is taken.
struct Dropout {
    scale: f32,
    keep: Keep,
    drops: bool,
    /// Whether the mask is kept for a backward pass, and the mask: a bit for each value.
    backward: bool,
    mask: Vec<u32>,
}

fn from_config(config: &LayerParameter, setup: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let ratio = config.dropout_param.unwrap_or_default().dropout_ratio();
    if !(0.0..1.0).contains(&ratio) {
        let message = format!("dropout_ratio must be at least 0 and below 1, found {ratio}");
        return Err(LayerError::setting("dropout_param.dropout_ratio", message));
    }
    Ok(Box::new(Dropout {
        scale: 1.0 / (1.0 - ratio),
        keep: Keep::with_probability(1.0 - f64::from(ratio)),
        drops: setup.phase == Phase::Train,
        backward: setup.backward,
        mask: Vec::new(),
    }))
}

impl Layer for Dropout {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let words = if self.drops && self.backward { mask_words(bottoms[0].count()) } else { 0 };
        self.mask.resize(words, 0);
        let outline = Outline::of([bottoms[0].clone()]).reads(Reads::NOTHING);
        Ok(if self.drops { outline } else { outline.alias() })
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let (x, y) = (pass.bottoms[0].data, &mut *pass.tops[0].data);
        match self.backward {
            true => drop_values(x, self.scale, self.keep, pass.draw, y, &mut self.mask),
            false => drop_values_once(x, self.scale, self.keep, pass.draw, y),
        }
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let Some(diff) = &mut pass.bottom_diffs[0] else { return };
        match self.drops {
            false => copy(pass.tops[0].diff, diff),
            true => apply_mask(pass.tops[0].diff, self.scale, &self.mask, diff),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, refusal};

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'Dropout'", &[(&[5, 7], Values::Any)]),
        Case::new("type: 'Dropout' dropout_param { dropout_ratio: 0.3 }", &[(&[5, 7], Values::Any)]),
        Case::new("type: 'Dropout'", &[(&[5], Values::Any)]).test(),
    ];

    #[test]
    fn values_stay_scaled_or_go() {
        let x = [1.0; 1000];
        let y = &forward("type: 'Dropout' dropout_param { dropout_ratio: 0.75 }", &[(&[1000], &x)])[0];
        let kept = y.iter().filter(|&&v| v == 4.0).count();
        assert!((200..300).contains(&kept) && y.iter().all(|&v| v == 0.0 || v == 4.0));
        assert_eq!(forward("type: 'Dropout' dropout_param { dropout_ratio: 0 }", &[(&[1000], &x)])[0], x);
    }

    #[test]
    fn bad_ratios_are_refused() {
        for ratio in ["1", "-0.5", "nan"] {
            let refused =
                refusal(&format!("type: 'Dropout' dropout_param {{ dropout_ratio: {ratio} }}"), &[&[1]]);
            assert!(refused.starts_with("dropout_ratio must be at least 0 and below 1, found"), "{refused}");
        }
    }
}
