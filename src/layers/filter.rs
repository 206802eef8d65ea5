//! `Filter`: passes on the samples that a selector names.

use super::{Arity, Backward, Blob, Forward, Kind, LAST, Layer, LayerError, Outline, Reads, Setup};
use crate::{
    config::proto::LayerParameter,
    kernels::rows::{gather_rows, scatter_rows},
    tensor::Shape,
};

/// The row of `Filter`.
pub const KIND: Kind = Kind {
    name: "Filter",
    summary: "passes on the samples that a selector names",
    bottoms: Arity::AtLeast(2),
    tops: Arity::AtLeast(1),
    no_gradient: &[LAST],
    shaped_by_values: true,
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Of each bottom but the last, the samples at which the last, the selector, is not 0. The gradient of the others is 0.
///
/// Shapes: bottoms `N x ...`, selector `N` (with axes of 1 behind, if any); tops `M x ...`, where M, which may be 0,
/// changes from pass to pass. Params: none.
/// Differs from Caffe: where nothing is selected in the first pass, M is 0 there too.
struct Filter {
    tops: Vec<Shape>,
    /// The samples that are passed on.
    index: Vec<u32>,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let (bottoms, tops) = (config.bottom.len(), config.top.len());
    if tops + 1 != bottoms {
        let message =
            format!("needs a top for each bottom but the last, found {bottoms} bottoms and {tops} tops");
        return Err(LayerError::setting("top", message));
    }
    Ok(Box::new(Filter { tops: Vec::new(), index: Vec::new() }))
}

impl Filter {
    fn select(&mut self, selector: &[f32]) {
        self.index.clear();
        self.index.extend((0u32..).zip(selector).filter(|(_, s)| **s != 0.0).map(|(i, _)| i));
    }
}

impl Layer for Filter {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let [bottoms @ .., selector] = bottoms else { return Err(LayerError::shape("bottoms are missing")) };
        let samples = selector.first().copied().filter(|&n| n == selector.count());
        let samples = samples.ok_or_else(|| {
            LayerError::shape(format!("the selector must have one value for each sample, found {selector}"))
        })?;
        if let Some((i, bottom)) = bottoms.iter().enumerate().find(|(_, b)| b.first() != Some(&samples)) {
            let message = format!("bottom {i} is {bottom}, but the selector is for {samples} samples");
            return Err(LayerError::shape(message));
        }
        self.index.reserve(samples);
        self.tops = bottoms.to_vec();
        Ok(Outline::of(bottoms).reads(Reads::NOTHING))
    }

    fn shapes_now(&mut self, bottoms: &[Blob<'_>]) -> Result<Option<Vec<Shape>>, LayerError> {
        let [.., selector] = bottoms else { return Ok(None) };
        self.select(selector.data);
        let now = |shape: &Shape| Shape::from([&[self.index.len()], &shape[1..]].concat());
        Ok(Some(self.tops.iter().map(now).collect()))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let [bottoms @ .., selector] = pass.bottoms else { unreachable!("arity is checked") };
        self.select(selector.data);
        for (bottom, top) in bottoms.iter().zip(pass.tops.iter_mut()) {
            gather_rows(bottom.data, bottom.shape.count_of(1..), &self.index, top.data);
        }
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        for ((bottom, diff), top) in pass.bottoms.iter().zip(pass.bottom_diffs.iter_mut()).zip(pass.tops) {
            if let Some(diff) = diff {
                scatter_rows(top.diff, bottom.shape.count_of(1..), &self.index, diff);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, forward_with, refusal, refusal_of};

    const SELECTOR: (&[usize], Values) = (&[4], Values::Given(&[0.0, 1.0, 0.0, -2.0]));

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'Filter'", &[(&[4, 3], Values::Any), SELECTOR]),
        Case::new("type: 'Filter'", &[(&[4, 3], Values::Any), (&[4], Values::Any), SELECTOR]).tops(2),
        Case::new("type: 'Filter'", &[(&[2, 3], Values::Any), (&[2], Values::Given(&[0.0, 0.0]))]),
    ];

    #[test]
    fn selected_samples_pass() {
        let x: (&[usize], &[f32]) = (&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let tops =
            forward_with("type: 'Filter'", 2, &[x, (&[3], &[7.0, 8.0, 9.0]), (&[3], &[1.0, 0.0, 0.5])], &[]);
        assert_eq!(tops, [vec![1.0, 2.0, 5.0, 6.0], vec![7.0, 9.0]]);
        assert!(forward("type: 'Filter'", &[x, (&[3, 1], &[0.0; 3])])[0].is_empty());
    }

    #[test]
    fn bad_shapes_are_refused() {
        let selector = refusal("type: 'Filter'", &[&[3, 2], &[3, 2]]);
        assert_eq!(selector, "the selector must have one value for each sample, found 3 x 2");
        let samples = refusal("type: 'Filter'", &[&[3, 2], &[2]]);
        assert_eq!(samples, "bottom 0 is 3 x 2, but the selector is for 2 samples");
        let tops = refusal_of("type: 'Filter'", 2, &[&[3], &[3]]);
        assert_eq!(tops, "needs a top for each bottom but the last, found 2 bottoms and 2 tops");
    }
}
