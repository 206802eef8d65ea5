//! `Scale`: y = x * scale, with an array laid over some axes; and a bias if asked for.

use super::{
    Arity, Backward, Follow, Forward, Kind, Layer, LayerError, Outline, ParamOutline, Reads, Setup,
    filler::constant_of, spread::spread,
};
use crate::{
    config::proto::{LayerParameter, ScaleParameter},
    kernels::{affine, channels::Channels},
    tensor::Shape,
};

/// The row of `Scale`.
pub const KIND: Kind = Kind {
    name: "Scale",
    summary: "multiplies by a learned array or by a second bottom, laid over some axes",
    settings: &["scale_param"],
    bottoms: Arity::Between(1, 2),
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Multiplication with an array that covers some axes and is repeated over the others.
///
/// y = x * s (+ b)       dx = dy * s       ds = sum dy * x       db = sum dy
///
/// Shapes: bottom `a x b x c`, s and b of shape `b`, top as the bottom. Params: s, unless it is the second bottom, filled
/// with 1 unless `filler` says otherwise; with `bias_term` also b. Reference: none. Differs from Caffe: no.
struct Scale {
    param: ScaleParameter,
    dims: Channels,
    /// Whether it has a learned factor for each channel, along axis 1.
    by_channel: bool,
    /// Sums of dy * x and dy.
    sums: Vec<[f32; 2]>,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.scale_param.clone().unwrap_or_default();
    Ok(Box::new(Scale { param, dims: Channels::default(), by_channel: false, sums: vec![] }))
}

impl Layer for Scale {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let p = &self.param;
        let (shape, dims) = spread(bottoms, (p.axis(), p.num_axes()), "scale_param")?;
        (self.dims, self.sums) = (dims, vec![[0.0; 2]; dims.channels]);
        self.by_channel =
            bottoms.len() == 1 && bottoms[0].len() > 1 && dims == Channels::of(&bottoms[0], 1, 2);
        let mut params = vec![];
        if bottoms.len() == 1 {
            let filler = p.filler.clone().unwrap_or(constant_of(1.0));
            params.push(ParamOutline::learned(shape.clone(), filler));
        }
        if p.bias_term() {
            params.push(ParamOutline::learned(shape, p.bias_filler.clone().unwrap_or_default()));
        }
        Ok(Outline::of([bottoms[0].clone()]).params(params).reads(Reads::BOTTOMS))
    }

    fn follows(&self) -> Option<Follow> {
        self.by_channel.then_some(Follow::Scale)
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let (scale, bias) = match pass.bottoms {
            [_, scale] => (scale.data, pass.params.first()),
            _ => (pass.params[0], pass.params.get(1)),
        };
        let bias = bias.copied();
        affine::scale(self.dims, scale, bias, pass.bottoms[0].data, pass.tops[0].data);
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let (x, dy) = (pass.bottoms[0].data, pass.tops[0].diff);
        let two = pass.bottoms.len() == 2;
        let scale = if two { pass.bottoms[1].data } else { pass.params[0] };
        let (first, second) = pass.bottom_diffs.split_at_mut(1);
        let dx = first[0].as_deref_mut();
        let wanted = pass.param_diffs.iter().any(Option::is_some) || second.iter().any(Option::is_some);
        match dx {
            Some(dx) if !wanted => return affine::scale(self.dims, scale, None, dy, dx),
            dx => affine::scale_backward(self.dims, scale, [x, dy], dx, &mut self.sums),
        }
        if let [Some(diff)] = second {
            diff.iter_mut().zip(&self.sums).for_each(|(diff, sums)| *diff = sums[0]);
        }
        let learned = if two { &[1][..] } else { &[0, 1] };
        for (diff, &which) in pass.param_diffs.iter_mut().zip(learned) {
            if let Some(diff) = diff {
                diff.iter_mut().zip(&self.sums).for_each(|(diff, sums)| *diff += sums[which]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, forward_with, refusal};

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'Scale' scale_param { bias_term: true }", &[(&[2, 3, 2, 2], Values::Any)]),
        Case::new("type: 'Scale' scale_param { num_axes: -1 bias_term: true }", &[(&[2, 3, 2], Values::Any)]),
        Case::new("type: 'Scale' scale_param { num_axes: 0 }", &[(&[2, 3], Values::Any)]),
        Case::new(
            "type: 'Scale' scale_param { axis: 0 bias_term: true }",
            &[(&[2, 3, 2], Values::Any), (&[2, 3], Values::Any)],
        ),
    ];

    const X: (&[usize], &[f32]) = (&[1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);

    #[test]
    fn arrays_by_hand() {
        assert_eq!(forward_with("type: 'Scale'", 1, &[X], &[&[2.0, -1.0]])[0], [2.0, 4.0, -3.0, -4.0]);
        let text = "type: 'Scale' scale_param { axis: -1 bias_term: true }";
        assert_eq!(forward_with(text, 1, &[X], &[&[2.0, -1.0], &[0.0, 1.0]])[0], [2.0, -1.0, 6.0, -3.0]);
        assert_eq!(forward("type: 'Scale'", &[X, (&[], &[3.0])])[0], [3.0, 6.0, 9.0, 12.0]);
        let text = "type: 'Scale' scale_param { axis: 0 }";
        assert_eq!(forward(text, &[X, (&[1, 2], &[0.0, 1.0])])[0], [0.0, 0.0, 3.0, 4.0]);
    }

    #[test]
    fn bad_settings_are_refused() {
        let x: &[usize] = &[2, 3, 4];
        assert!(refusal("type: 'Scale' scale_param { axis: 3 }", &[x]).contains("axis 3 is out of range"));
        assert!(refusal("type: 'Scale' scale_param { num_axes: 3 }", &[x]).contains("3 axes does not fit"));
        assert!(refusal("type: 'Scale' scale_param { num_axes: -2 }", &[x]).contains("-1 or more, found -2"));
        assert_eq!(
            refusal("type: 'Scale'", &[x, &[4]]),
            "the second bottom (4) does not fit the first (2 x 3 x 4), which has 3 from axis 1 on"
        );
    }
}
