//! `Axpy`: a * x + y, with a factor for each channel of each image.

use super::{Arity, Backward, Forward, Kind, Layer, LayerError, Outline, Reads, Setup};
use crate::{
    config::proto::LayerParameter,
    kernels::{affine, channels::Channels, elementwise::copy},
    tensor::Shape,
};

/// The row of `Axpy`.
pub const KIND: Kind = Kind {
    name: "Axpy",
    summary: "a * x + y, where a has a factor for each channel of each image, as SENet has it",
    bottoms: Arity::Exactly(3),
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// The second bottom times the first, which has a factor for each channel of each image, plus the third.
///
/// z = a * x + y       da = sum dz * x over a channel of an image       dx = dz * a       dy = dz
///
/// Shapes: bottoms a `N x C`, with axes of 1 behind if there are any, x and y `N x C x ...`; top as x. Params: none.
/// Reference: Hu et al. 2018 (SENet). Differs from SENet's fork: an `a` with other sides than 1 behind `N x C` is refused also where
/// it has not four axes; the fork then reads values of other channels, and beyond the end.
#[derive(Default)]
struct Axpy {
    /// Each channel of each image as a channel of its own.
    dims: Channels,
    /// Sums of dz * x and of dz.
    sums: Vec<[f32; 2]>,
}

fn from_config(_: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    Ok(Box::new(Axpy::default()))
}

impl Layer for Axpy {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let [a, x, y] = bottoms else { return Err(LayerError::shape("Axpy takes three bottoms")) };
        if x != y {
            let message = format!("the second bottom ({x}) and the third ({y}) must have one shape");
            return Err(LayerError::shape(message));
        }
        let fits = x.len() >= 2 && a.len() >= 2 && a[..2] == x[..2] && a[2..].iter().all(|&side| side == 1);
        if !fits {
            let message = format!(
                "the first bottom ({a}) must have a value for each channel of each image of the second ({x}): N x C, or \
                 N x C x 1 x 1"
            );
            return Err(LayerError::shape(message));
        }
        let Channels { images, channels, inner } = Channels::of(x, 1, 2);
        self.dims = Channels { images: 1, channels: images * channels, inner };
        self.sums.resize(self.dims.channels, [0.0; 2]);
        Ok(Outline::of([x.clone()]).reads(Reads::BOTTOMS))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let [a, x, y] = [0, 1, 2].map(|i| pass.bottoms[i].data);
        affine::scale_and_add(self.dims, a, [x, y], pass.tops[0].data);
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let ([a, x], dz) = ([0, 1].map(|i| pass.bottoms[i].data), pass.tops[0].diff);
        let [da, dx, dy] = pass.bottom_diffs else { unreachable!("outlined with three") };
        match (da, dx.as_deref_mut()) {
            (Some(da), dx) => {
                affine::scale_backward(self.dims, a, [x, dz], dx, &mut self.sums);
                da.iter_mut().zip(&self.sums).for_each(|(da, sums)| *da = sums[0]);
            }
            (None, Some(dx)) => affine::scale(self.dims, a, None, dz, dx),
            (None, None) => {}
        }
        if let Some(dy) = dy {
            copy(dz, dy);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, refusal};

    pub const GRADIENT: &[Case] = &[
        Case::new(
            "type: 'Axpy'",
            &[(&[2, 3], Values::Any), (&[2, 3, 2, 2], Values::Any), (&[2, 3, 2, 2], Values::Any)],
        ),
        Case::new(
            "type: 'Axpy'",
            &[(&[2, 3, 1, 1], Values::Any), (&[2, 3, 5], Values::Any), (&[2, 3, 5], Values::Any)],
        ),
        Case::new("type: 'Axpy'", &[(&[4, 3], Values::Any), (&[4, 3], Values::Any), (&[4, 3], Values::Any)]),
    ];

    #[test]
    fn channels_by_hand() {
        let x: &[f32] = &[1.0, 2.0, 3.0, 4.0];
        let of = |a: &[usize], b: &[usize]| {
            forward("type: 'Axpy'", &[(a, &[2.0, -1.0]), (b, x), (b, &[0.5, 0.0, 0.0, 1.0])]).remove(0)
        };
        assert_eq!(of(&[1, 2, 1, 1], &[1, 2, 2]), [2.5, 4.0, -3.0, -3.0]);
        assert_eq!(of(&[2, 1], &[2, 1, 1, 2]), [2.5, 4.0, -3.0, -3.0]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let x: &[usize] = &[2, 3, 4, 4];
        assert_eq!(
            refusal("type: 'Axpy'", &[&[2, 3], x, &[2, 3, 4]]),
            "the second bottom (2 x 3 x 4 x 4) and the third (2 x 3 x 4) must have one shape"
        );
        for a in [&[2, 4][..], &[2, 3, 4], &[2, 3, 1, 4], &[2], &[]] {
            assert!(refusal("type: 'Axpy'", &[a, x, x]).contains("a value for each channel of each image"));
        }
        assert!(refusal("type: 'Axpy'", &[&[2], &[2], &[2]]).contains("N x C"));
    }
}
