//! `ShuffleChannel`: deals the channels of groups out in turns.

use super::{Backward, Forward, Kind, Layer, LayerError, Outline, Reads, Setup};
use crate::{config::proto::LayerParameter, kernels::permute::Permutation, tensor::Shape};

/// The row of `ShuffleChannel`.
pub const KIND: Kind = Kind {
    name: "ShuffleChannel",
    summary: "the first channel of each group, then the second of each, ..., as ShuffleNet has it",
    settings: &["shuffle_channel_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// The least number of axes of a top.
const AXES: usize = 4;

/// Channels of `group` groups in another order: one of each group in turn.
///
/// With g groups of k channels, channel j * g + i of the top is channel i * k + j of the bottom; dx = dy, put back.
///
/// Shapes: bottom `N x C x ...`, where g divides C; top the same, with axes of 1 up to four as in the fork. Params: none.
/// Reference: Zhang et al. 2017 (ShuffleNet). Differs from ShuffleNet's fork: more than four axes.
struct ShuffleChannel {
    group: usize,
    there: Permutation,
    back: Permutation,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let group = config.shuffle_channel_param.unwrap_or_default().group() as usize;
    if group == 0 {
        return Err(LayerError::setting("shuffle_channel_param.group", "group must be 1 or more, found 0"));
    }
    Ok(Box::new(ShuffleChannel { group, there: Permutation::default(), back: Permutation::default() }))
}

impl Layer for ShuffleChannel {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let (bottom, group) = (&bottoms[0], self.group);
        let &[images, channels, ..] = &bottom[..] else {
            return Err(LayerError::shape(format!("the bottom must have 2 axes or more, found {bottom}")));
        };
        if channels % group != 0 {
            let message =
                format!("group {group} does not divide the bottom's {channels} channels ({bottom})");
            return Err(LayerError::setting("shuffle_channel_param.group", message));
        }
        let sides = [images, group, channels / group, bottom.count_of(2..)];
        self.there = Permutation::new(&sides, &[0, 2, 1, 3]);
        self.back = Permutation::back(&sides, &[0, 2, 1, 3]);
        let mut top = bottom.to_vec();
        top.resize(top.len().max(AXES), 1);
        let outline = Outline::of([Shape::from(top)]).reads(Reads::NOTHING);
        Ok(if self.there.is_none() { outline.alias() } else { outline })
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        self.there.apply(pass.bottoms[0].data, pass.tops[0].data);
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        if let Some(diff) = &mut pass.bottom_diffs[0] {
            self.back.apply(pass.tops[0].diff, diff);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, refusal, top_shapes};

    pub const GRADIENT: &[Case] = &[
        Case::new(
            "type: 'ShuffleChannel' shuffle_channel_param { group: 2 }",
            &[(&[2, 6, 2, 1], Values::Any)],
        ),
        Case::new("type: 'ShuffleChannel' shuffle_channel_param { group: 3 }", &[(&[2, 6], Values::Any)]),
        Case::new("type: 'ShuffleChannel'", &[(&[2, 3, 2], Values::Any)]),
    ];

    #[test]
    fn channels_take_turns() {
        let x: Vec<f32> = (0..12).map(|v| v as f32).collect();
        let shuffled = |group: usize, shape: &[usize]| {
            let text = format!("type: 'ShuffleChannel' shuffle_channel_param {{ group: {group} }}");
            forward(&text, &[(shape, &x)]).remove(0)
        };
        assert_eq!(
            shuffled(2, &[2, 6, 1, 1]),
            [0.0, 3.0, 1.0, 4.0, 2.0, 5.0, 6.0, 9.0, 7.0, 10.0, 8.0, 11.0]
        );
        assert_eq!(shuffled(3, &[1, 6, 2]), [0.0, 1.0, 4.0, 5.0, 8.0, 9.0, 2.0, 3.0, 6.0, 7.0, 10.0, 11.0]);
        assert_eq!((shuffled(1, &[1, 12]), shuffled(12, &[1, 12])), (x.clone(), x.clone()));
    }

    #[test]
    fn missing_axes_are_ones() {
        let shape = |bottom: &[usize]| top_shapes("type: 'ShuffleChannel'", 1, &[bottom])[0].to_vec();
        assert_eq!(shape(&[2, 3]), [2, 3, 1, 1]);
        assert_eq!(shape(&[2, 3, 4, 5, 6]), [2, 3, 4, 5, 6]);
    }

    #[test]
    fn bad_groups_are_refused() {
        let shuffle = |group: usize, shape: &[usize]| {
            refusal(&format!("type: 'ShuffleChannel' shuffle_channel_param {{ group: {group} }}"), &[shape])
        };
        assert_eq!(shuffle(0, &[1, 4]), "group must be 1 or more, found 0");
        assert_eq!(shuffle(3, &[1, 4]), "group 3 does not divide the bottom's 4 channels (1 x 4)");
        assert_eq!(shuffle(1, &[4]), "the bottom must have 2 axes or more, found 4");
    }
}
