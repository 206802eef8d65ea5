//! `Interp`: planes in another size, by bilinear interpolation.

use super::{Arity, Backward, Forward, Kind, Layer, LayerError, Outline, Reads, Setup, axes};
use crate::{
    config::proto::{InterpParameter, LayerParameter},
    kernels::interp::{Interp as Planes, Side},
    tensor::Shape,
};

/// The row of `Interp`.
pub const KIND: Kind = Kind {
    name: "Interp",
    summary: "planes in another size, by bilinear interpolation",
    settings: &["interp_param"],
    bottoms: Arity::Between(1, 2),
    no_gradient: &[1],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Bilinear interpolation whose corners lie upon the bottom's.
///
/// y[i] = (1 - r) x[p] + r x[p + 1] along height and along width, with p + r = i (n - 1) / (m - 1), 0 where m is 1
/// dx: each share of y times dy, where it came from
///
/// Shapes: bottom `N x C x h x w`; n = `h` or `w` + `pad_beg` + `pad_end`, which cut off; top `N x C x m x m`, with one of
/// m = `height` and `width`; m = (n - 1) `zoom_factor` + 1; m = floor((n - 1) / `shrink_factor`) + 1, which both factors together
/// do one after the other, shrinking first; or the sides of a second bottom, which gives nothing else (`use_blob_size: true`
/// says the same in words). Params: none.
/// Reference: Chen et al. 2016 (DeepLab v2), Zhao et al. 2017 (PSPNet). Caffe has none. Differs from
/// these forks: a size that is given in two ways is refused, as by DeepLab; yjxiong's code takes one of them and says nothing.
struct Interp {
    size: Size,
    /// Rows and columns that are cut off at the beginning and at the end.
    cut: [usize; 2],
    planes: Planes,
}

/// What the top's size comes from.
#[derive(Clone, Copy, Debug)]
enum Size {
    Given([usize; 2]),
    /// First divided, then multiplied.
    Factors {
        shrink: usize,
        zoom: usize,
    },
    SecondBottom,
}

/// The longest side.
const LONGEST: usize = 1 << 20;

fn setting(field: &str, message: impl Into<String>) -> LayerError {
    LayerError::setting(format!("interp_param.{field}"), message)
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.interp_param.unwrap_or_default();
    let cut = [("pad_beg", param.pad_beg()), ("pad_end", param.pad_end())].map(|(name, pad)| {
        // As in the forks, a padding can only cut off.
        usize::try_from(-i64::from(pad))
            .map_err(|_| setting(name, format!("{name} must be 0 or less, found {pad}")))
    });
    let [begin, end] = cut;
    let size = Size::of(&param, config.bottom.len() > 1)?;
    Ok(Box::new(Interp { size, cut: [begin?, end?], planes: Planes::default() }))
}

impl Size {
    fn of(param: &InterpParameter, second_bottom: bool) -> Result<Self, LayerError> {
        let at_least_1 = |name: &str, value: i32| match usize::try_from(value) {
            Ok(value) if value > 0 => Ok(value),
            _ => Err(setting(name, format!("{name} must be 1 or more, found {value}"))),
        };
        if param.use_blob_size() && !second_bottom {
            return Err(setting("use_blob_size", "use_blob_size needs a second bottom, which has the size"));
        }
        let factors = param.zoom_factor.is_some() || param.shrink_factor.is_some();
        let sides = match (param.height, param.width) {
            (Some(h), Some(w)) => Some([at_least_1("height", h)?, at_least_1("width", w)?]),
            (Some(_), None) => return Err(setting("width", "height needs width beside it")),
            (None, Some(_)) => return Err(setting("height", "width needs height beside it")),
            (None, None) => None,
        };
        match (sides, factors, second_bottom) {
            (Some(sides), false, false) => Ok(Size::Given(sides)),
            (None, true, false) => Ok(Size::Factors {
                shrink: at_least_1("shrink_factor", param.shrink_factor())?,
                zoom: at_least_1("zoom_factor", param.zoom_factor())?,
            }),
            (None, false, true) => Ok(Size::SecondBottom),
            (None, false, false) => Err(LayerError::setting(
                "interp_param",
                "no size is given: zoom_factor, shrink_factor, height and width, or a second bottom",
            )),
            _ => Err(LayerError::setting(
                "interp_param",
                "give the size in one way, not several: by factors, by height and width, or by a second bottom",
            )),
        }
    }

    /// The length of side `d` of the top, 0 for height, over `n` places.
    fn along(self, d: usize, n: usize, bottoms: &[Shape]) -> usize {
        match self {
            Size::Given(sides) => sides[d],
            Size::Factors { shrink, zoom } => ((n - 1) / shrink).saturating_mul(zoom).saturating_add(1),
            Size::SecondBottom => bottoms.get(1).map_or(0, |like| like[2 + d]),
        }
    }
}

impl Layer for Interp {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        if let Some(other) = bottoms.iter().find(|bottom| bottom.len() != 4) {
            return Err(LayerError::shape(format!(
                "the bottoms must be N x C x height x width, found {other}"
            )));
        }
        let bottom = &bottoms[0];
        let mut output = [0; 2];
        let mut counts = [0; 2];
        for (d, name) in ["height", "width"].into_iter().enumerate() {
            let side = bottom[2 + d];
            let cut = self.cut[0].saturating_add(self.cut[1]);
            counts[d] = side.saturating_sub(cut);
            if counts[d] == 0 {
                let message = format!(
                    "nothing is left of the bottom's {name} {side}: pad_beg and pad_end cut off {cut}"
                );
                return Err(setting("pad_beg", message));
            }
            output[d] = self.size.along(d, counts[d], bottoms);
            if output[d] == 0 || output[d] > LONGEST {
                let message =
                    format!("the top's {name} would be {}: it must be from 1 to {LONGEST}", output[d]);
                return Err(LayerError::setting("interp_param", message));
            }
        }
        let sides = vec![bottom[0], bottom[1], output[0], output[1]];
        let Some(top) = axes::counted(sides.clone()) else {
            return Err(LayerError::shape(format!("the top would be {}: too large", Shape::from(sides))));
        };
        self.planes = Planes {
            planes: bottom.count_of(..2),
            input: [bottom[2], bottom[3]],
            start: self.cut[0],
            sides: [0, 1].map(|d| Side::aligned(counts[d], output[d])),
        };
        Ok(Outline::of([top]).reads(Reads::NOTHING))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        self.planes.forward(pass.bottoms[0].data, pass.tops[0].data);
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        if let Some(diff) = &mut pass.bottom_diffs[0] {
            self.planes.backward(pass.tops[0].diff, diff);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, refusal, top_shapes};

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'Interp' interp_param { height: 5 width: 7 }", &[(&[2, 2, 3, 4], Values::Any)]),
        Case::new(
            "type: 'Interp' interp_param { shrink_factor: 2 pad_beg: -1 pad_end: -1 }",
            &[(&[1, 2, 7, 6], Values::Any)],
        ),
        Case::new("type: 'Interp'", &[(&[1, 2, 2, 3], Values::Any), (&[1, 1, 3, 2], Values::Any)]),
    ];

    fn interp(settings: &str) -> String {
        format!("type: 'Interp' interp_param {{ {settings} }}")
    }

    #[test]
    fn planes_by_hand() {
        let x: (&[usize], &[f32]) = (&[1, 1, 2, 2], &[0.0, 2.0, 4.0, 6.0]);
        let wide = [0.0, 1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 5.0, 6.0];
        assert_eq!(forward(&interp("zoom_factor: 2"), &[x])[0], wide);
        assert_eq!(forward(&interp("height: 3 width: 3"), &[x])[0], wide);
        // One place lies upon the first.
        assert_eq!(forward(&interp("height: 1 width: 2"), &[x])[0], [0.0, 2.0]);
        let y: (&[usize], &[f32]) = (&[1, 1, 3, 3], &wide);
        assert_eq!(forward(&interp("shrink_factor: 2"), &[y])[0], x.1);
        assert_eq!(forward("type: 'Interp'", &[y, x])[0], x.1);
        // The last row and column are cut off.
        assert_eq!(forward(&interp("zoom_factor: 1 pad_end: -1"), &[y])[0], [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(forward(&interp("zoom_factor: 1 pad_beg: -1"), &[y])[0], [3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn sizes_are_those_of_the_forks() {
        let top =
            |settings: &str, bottoms: &[&[usize]]| top_shapes(&interp(settings), 1, bottoms)[0].to_string();
        assert_eq!(top("zoom_factor: 8", &[&[1, 21, 60, 90]]), "1 x 21 x 473 x 713");
        assert_eq!(top("shrink_factor: 2", &[&[1, 3, 1025, 2049]]), "1 x 3 x 513 x 1025");
        assert_eq!(top("shrink_factor: 2", &[&[1, 3, 1024, 2048]]), "1 x 3 x 512 x 1024");
        assert_eq!(top("shrink_factor: 4 zoom_factor: 2", &[&[2, 3, 10, 9]]), "2 x 3 x 5 x 5");
        assert_eq!(top("shrink_factor: 8 pad_beg: -1 pad_end: 0", &[&[2, 1, 322, 322]]), "2 x 1 x 41 x 41");
        assert_eq!(top("use_blob_size: true", &[&[2, 3, 4, 5], &[1, 7, 9, 8]]), "2 x 3 x 9 x 8");
    }

    #[test]
    fn bad_settings_are_refused() {
        let x: &[usize] = &[1, 2, 3, 4];
        let refused = |settings: &str| refusal(&interp(settings), &[x]);
        assert!(refused("").contains("no size is given"));
        assert_eq!(refused("height: 2"), "height needs width beside it");
        assert_eq!(refused("height: 0 width: 1"), "height must be 1 or more, found 0");
        assert_eq!(refused("zoom_factor: -2"), "zoom_factor must be 1 or more, found -2");
        assert!(refused("zoom_factor: 2 height: 2 width: 2").contains("in one way"));
        assert_eq!(refused("zoom_factor: 2 pad_beg: 1"), "pad_beg must be 0 or less, found 1");
        assert_eq!(
            refused("zoom_factor: 2 pad_beg: -1 pad_end: -2"),
            "nothing is left of the bottom's height 3: pad_beg and pad_end cut off 3"
        );
        assert!(refused("zoom_factor: 2 pad_beg: -2147483648").contains("nothing is left"));
        assert!(refused("zoom_factor: 2147483647").contains("the top's height would be"));
        assert!(refused("use_blob_size: true").contains("needs a second bottom"));
        assert!(refusal(&interp("zoom_factor: 2"), &[x, x]).contains("in one way"));
        assert!(refusal("type: 'Interp'", &[x, &[1, 1, 0, 2]]).contains("the top's height would be 0"));
        assert!(
            refusal(&interp("zoom_factor: 2"), &[&[2, 3]]).contains("N x C x height x width, found 2 x 3")
        );
    }
}
