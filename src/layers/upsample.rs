//! `Upsample` of two forks: planes that grow, by the places that a `Pooling` has found or by repetition.

use super::{
    Arity, Backward, Forward, Kind, Layer, LayerError, Outline, Reads, Setup,
    axes::{counted, make_room},
};
use crate::{
    config::proto::{LayerParameter, UpsampleParameter},
    kernels::upsample::{Planes, put, repeat, sum_repeated, take},
    tensor::Shape,
};

/// The row of `Upsample`.
pub const KIND: Kind = Kind {
    name: "Upsample",
    summary: "puts values where a `Pooling` took them (its second top), or repeats them",
    settings: &["upsample_param"],
    bottoms: Arity::Between(1, 2),
    no_gradient: &[1],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Planes that grow.
///
/// With two bottoms, SegNet's: y[mask[i]] = x[i] in each plane, 0 elsewhere; the last of several for one place stays
/// dx[i] = dy[mask[i]]
/// With one, MobileNet-YOLO's: y[h][w] = x[h / `scale`][w / `scale`]       dx = sum dy
///
/// Shapes: bottoms `N x C x h x w`, and the same for the mask, a second top of `Pooling`. Top `N x C x upsample_h x upsample_w`,
/// or else `h scale_h - pad_out_h`, `w scale_w - pad_out_w`, where a padding of true counts 1 and `scale` is that of both, 2
/// unless set. With one bottom only `scale` counts, and must be set. Params: none.
/// Reference: Badrinarayanan et al. 2015 (SegNet). Caffe has none. Differs from the forks: a mask that names a place outside of
/// the plane, which theirs writes beyond on a GPU, is an error; where bottoms change their sizes, so do tops.
struct Upsample {
    size: Size,
    planes: Planes,
    width: usize,
    /// Where each value went, in its plane.
    places: Vec<u32>,
}

/// What the top's size comes from.
#[derive(Clone, Copy, Debug)]
enum Size {
    Given([usize; 2]),
    Scaled {
        scale: [usize; 2],
        less: [usize; 2],
    },
    /// Without a mask.
    Repeated(usize),
}

fn setting(field: &str, message: impl Into<String>) -> LayerError {
    LayerError::setting(format!("upsample_param.{field}"), message)
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.upsample_param.unwrap_or_default();
    let size = Size::of(&param, config.bottom.len() > 1)?;
    Ok(Box::new(Upsample { size, planes: Planes::default(), width: 0, places: vec![] }))
}

impl Size {
    fn of(p: &UpsampleParameter, mask: bool) -> Result<Self, LayerError> {
        let above_1 = |name: &str, value: u32| match value {
            0 | 1 => Err(setting(name, format!("{name} must be 2 or more, found {value}"))),
            _ => Ok(value as usize),
        };
        if !mask {
            let sides = [
                ("scale_h", p.scale_h.is_some()),
                ("scale_w", p.scale_w.is_some()),
                ("upsample_h", p.upsample_h.is_some()),
                ("upsample_w", p.upsample_w.is_some()),
                ("pad_out_h", p.pad_out_h()),
                ("pad_out_w", p.pad_out_w()),
            ];
            if let Some((name, _)) = sides.iter().find(|(_, given)| *given) {
                let message = format!(
                    "{name} needs a second bottom, the mask of a Pooling; with one bottom only scale counts"
                );
                return Err(setting(name, message));
            }
            return match p.scale {
                None => Err(setting(
                    "scale",
                    "scale must be given where there is no second bottom, the mask of a Pooling",
                )),
                Some(0) => Err(setting("scale", "scale must be 1 or more, found 0")),
                Some(scale) => Ok(Size::Repeated(scale as usize)),
            };
        }
        match (p.upsample_h, p.upsample_w) {
            (Some(h), Some(w)) => {
                return Ok(Size::Given([above_1("upsample_h", h)?, above_1("upsample_w", w)?]));
            }
            (Some(_), None) => return Err(setting("upsample_w", "upsample_h needs upsample_w beside it")),
            (None, Some(_)) => return Err(setting("upsample_h", "upsample_w needs upsample_h beside it")),
            (None, None) => {}
        }
        let scale = match (p.scale_h, p.scale_w) {
            (Some(h), Some(w)) if p.scale.is_none() => [above_1("scale_h", h)?, above_1("scale_w", w)?],
            (None, None) => [above_1("scale", p.scale())?; 2],
            (Some(_), None) => return Err(setting("scale_w", "scale_h needs scale_w beside it")),
            (None, Some(_)) => return Err(setting("scale_h", "scale_w needs scale_h beside it")),
            _ => return Err(setting("scale", "give scale, or scale_h with scale_w, not both")),
        };
        let less = [("pad_out_h", p.pad_out_h(), scale[0]), ("pad_out_w", p.pad_out_w(), scale[1])];
        if let Some((name, _, scale)) = less.into_iter().find(|&(_, less, scale)| less && scale != 2) {
            return Err(setting(name, format!("{name} needs a scale of 2, found {scale}")));
        }
        Ok(Size::Scaled { scale, less: less.map(|(_, less, _)| usize::from(less)) })
    }

    /// The length of side `d` of the top, 0 for height, where that of the bottom is `n`.
    fn along(self, d: usize, n: usize) -> usize {
        match self {
            Size::Given(sides) => sides[d],
            Size::Scaled { scale, less } => n.saturating_mul(scale[d]).saturating_sub(less[d]),
            Size::Repeated(scale) => n.saturating_mul(scale),
        }
    }
}

impl Layer for Upsample {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let bottom = &bottoms[0];
        if bottom.len() != 4 {
            return Err(LayerError::shape(format!(
                "the bottom must be N x C x height x width, found {bottom}"
            )));
        }
        if let Some(mask) = bottoms.get(1)
            && mask != bottom
        {
            let message = format!("the mask must have the first bottom's shape {bottom}, found {mask}");
            return Err(LayerError::shape(message));
        }
        let sides = [self.size.along(0, bottom[2]), self.size.along(1, bottom[3])];
        let sides = vec![bottom[0], bottom[1], sides[0], sides[1]];
        let large = sides[2].saturating_mul(sides[3]);
        let top = counted(sides.clone()).filter(|_| u32::try_from(large).is_ok());
        let Some(top) = top else {
            return Err(LayerError::shape(format!("the top would be {}: too large", Shape::from(sides))));
        };
        self.planes = Planes { small: bottom.count_of(2..), large };
        self.width = bottom[3];
        make_room(&mut self.places, if bottoms.len() > 1 { bottom.count() } else { 0 });
        Ok(Outline::of([top]).reads(Reads::NOTHING))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let (x, y) = (pass.bottoms[0].data, &mut *pass.tops[0].data);
        if let Size::Repeated(scale) = self.size {
            repeat(self.width, scale, x, y);
            return Ok(());
        }
        let mask = pass.bottoms[1].data;
        put(self.planes, x, mask, &mut self.places, y).map_err(|at| {
            let (top, small) = (pass.tops[0].shape, self.planes.small.max(1));
            let (place, plane) = (mask[at], at / small);
            LayerError::value(format!(
                "the mask names place {place} in plane {plane}, but the top has planes of {} x {}: its size must be \
                 that of what the Pooling had",
                top[2], top[3]
            ))
        })
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let Some(dx) = &mut pass.bottom_diffs[0] else { return };
        match self.size {
            Size::Repeated(scale) => sum_repeated(self.width, scale, pass.tops[0].diff, dx),
            _ => take(self.planes, pass.tops[0].diff, &self.places, dx),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, failure, forward, refusal, top_shapes};

    const MASK: Values = Values::Given(&[0.0, 3.0, 14.0, 9.0, 1.0, 2.0, 8.0, 15.0]);

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'Upsample'", &[(&[1, 2, 2, 2], Values::Any), (&[1, 2, 2, 2], MASK)]),
        Case::new("type: 'Upsample' upsample_param { scale: 3 }", &[(&[2, 1, 2, 3], Values::Any)]),
    ];

    fn upsample(settings: &str) -> String {
        format!("type: 'Upsample' upsample_param {{ {settings} }}")
    }

    #[test]
    fn values_go_where_the_mask_says() {
        let x: (&[usize], &[f32]) = (&[1, 2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
        let y = forward(&upsample(""), &[x, (&[1, 2, 1, 2], &[5.0, 3.0, 0.0, 7.0])]);
        let planes = [[0.0, 0.0, 0.0, 2.0, 0.0, 1.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 4.0]];
        assert_eq!(y[0], planes.as_flattened());
        // The last stays.
        let y = forward(&upsample("upsample_h: 2 upsample_w: 2"), &[x, (&[1, 2, 1, 2], &[1.0; 4])]);
        assert_eq!(y[0], [0.0, 2.0, 0.0, 0.0, 0.0, 4.0, 0.0, 0.0]);
    }

    #[test]
    fn without_a_mask_values_are_repeated() {
        let x: (&[usize], &[f32]) = (&[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let y = [1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 3.0, 3.0, 4.0, 4.0];
        assert_eq!(forward(&upsample("scale: 2"), &[x])[0], y);
    }

    #[test]
    fn sizes_are_those_of_segnet() {
        let x: &[usize] = &[4, 512, 12, 15];
        let top = |settings: &str| top_shapes(&upsample(settings), 1, &[x, x])[0].to_string();
        assert_eq!(top("scale: 2 upsample_w: 30 upsample_h: 23"), "4 x 512 x 23 x 30");
        assert_eq!(top("scale: 2 pad_out_h: true"), "4 x 512 x 23 x 30");
        assert_eq!(top("scale_h: 3 scale_w: 2 pad_out_w: true"), "4 x 512 x 36 x 29");
        assert_eq!(top(""), "4 x 512 x 24 x 30");
    }

    #[test]
    fn bad_input_is_refused() {
        let x: &[usize] = &[1, 1, 2, 2];
        let refused = |settings: &str| refusal(&upsample(settings), &[x, x]);
        assert_eq!(refused("scale: 1"), "scale must be 2 or more, found 1");
        assert_eq!(refused("upsample_h: 4"), "upsample_h needs upsample_w beside it");
        assert_eq!(refused("scale_w: 4"), "scale_w needs scale_h beside it");
        assert!(refused("scale: 2 scale_h: 2 scale_w: 2").contains("not both"));
        assert_eq!(refused("scale: 3 pad_out_w: true"), "pad_out_w needs a scale of 2, found 3");
        assert!(refused("upsample_h: 4000000000 upsample_w: 4000000000").contains("too large"));
        assert!(refusal(&upsample(""), &[x]).contains("scale must be given"));
        assert!(refusal(&upsample("scale: 2 pad_out_h: true"), &[x]).contains("needs a second bottom"));
        assert_eq!(refusal(&upsample("scale: 0"), &[x]), "scale must be 1 or more, found 0");
        assert!(refusal(&upsample(""), &[x, &[1, 1, 4]]).contains("the first bottom's shape 1 x 1 x 2 x 2"));
        assert!(refusal(&upsample(""), &[&[2, 2], &[2, 2]]).contains("N x C x height x width"));
        for place in [16.0, -1.0, f32::NAN] {
            let mask: (&[usize], &[f32]) = (x, &[0.0, 1.0, place, 2.0]);
            let failed = failure(&upsample(""), &[(x, &[1.0; 4]), mask]);
            assert!(failed.starts_with(&format!("the mask names place {place} in plane 0")), "{failed}");
        }
    }
}
