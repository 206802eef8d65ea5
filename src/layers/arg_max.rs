//! `ArgMax`: where the largest values are.

use super::{Forward, Kind, Layer, LayerError, Outline, Role, Setup, axes};
use crate::{
    config::proto::{ArgMaxParameter, LayerParameter},
    kernels::top_k::{TopKDims, top_k},
    tensor::Shape,
};

/// The row of `ArgMax`.
pub const KIND: Kind = Kind {
    name: "ArgMax",
    summary: "places, or values, of the largest",
    settings: &["argmax_param"],
    role: Role::Measure,
    no_gradient: &[0],
    ..Kind::usual(from_config)
};

/// The `top_k` largest, largest first; of equal values the one behind counts as larger. No gradient.
///
/// With `axis`: along that axis, which becomes `top_k` long; their places or, with `out_max_val`, their values.
/// Without: of all values of a sample; their places and, with `out_max_val`, their values behind.
///
/// Shapes: bottom `N x ...`; top as the bottom but for `axis`, or `N x 1 x top_k`, `N x 2 x top_k` with values (and
/// axes of 1 behind, up to as many as the bottom has). Params: none. Differs from Caffe: no.
struct ArgMax {
    param: ArgMaxParameter,
    dims: TopKDims,
    places: Vec<u32>,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.argmax_param.unwrap_or_default();
    if param.top_k() == 0 {
        return Err(LayerError::setting("argmax_param.top_k", "top_k must be 1 or more, found 0"));
    }
    Ok(Box::new(ArgMax { param, dims: TopKDims::default(), places: Vec::new() }))
}

impl Layer for ArgMax {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let (bottom, k) = (&bottoms[0], self.param.top_k() as usize);
        if bottom.is_empty() {
            return Err(LayerError::shape("the bottom must have an axis, found a scalar"));
        }
        let axis = self.param.axis.map(|a| axes::resolve(bottom, a, "argmax_param.axis")).transpose()?;
        self.dims = match axis {
            Some(axis) => TopKDims {
                outer: bottom.count_of(..axis),
                len: bottom[axis],
                inner: bottom.count_of(axis + 1..),
                k,
            },
            None => TopKDims { outer: bottom[0], len: bottom.count_of(1..), inner: 1, k },
        };
        if k > self.dims.len {
            let message = format!("top_k {k} exceeds the {} values to choose from", self.dims.len);
            return Err(LayerError::setting("argmax_param.top_k", message));
        }
        let top = match axis {
            Some(axis) => [&bottom[..axis], &[k], &bottom[axis + 1..]].concat(),
            None => {
                let mut top = vec![1; bottom.len().max(3)];
                (top[0], top[2]) = (bottom[0], k);
                top[1] = if self.param.out_max_val() { 2 } else { 1 };
                top
            }
        };
        axes::make_room(&mut self.places, self.dims.found());
        Ok(Outline::of([top.into()]).workspace(self.dims.found()))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let (x, top, k) = (pass.bottoms[0].data, &mut *pass.tops[0].data, self.dims.k);
        let values = &mut pass.workspace[..self.dims.found()];
        top_k(&self.dims, x, values, &mut self.places);
        let places = self.places.iter().map(|&p| p as f32);
        match (self.param.axis, self.param.out_max_val()) {
            (_, false) => top.iter_mut().zip(places).for_each(|(top, place)| *top = place),
            (Some(_), true) => top.copy_from_slice(values),
            (None, true) => {
                let found = values.chunks_exact(k).zip(self.places.chunks_exact(k));
                for (top, (values, places)) in top.chunks_exact_mut(2 * k).zip(found) {
                    let (top_places, top_values) = top.split_at_mut(k);
                    top_places.iter_mut().zip(places).for_each(|(top, &place)| *top = place as f32);
                    top_values.copy_from_slice(values);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{forward, refusal, top_shapes};

    fn text(settings: &str) -> String {
        format!("type: 'ArgMax' argmax_param {{ {settings} }}")
    }

    #[test]
    fn places_and_values() {
        let of = |settings: &str| {
            let x: (&[usize], &[f32]) = (&[2, 3], &[5.0, 1.0, 5.0, 2.0, 4.0, 3.0]);
            forward(&text(settings), &[x]).remove(0)
        };
        assert_eq!(of(""), [2.0, 1.0]);
        assert_eq!(of("top_k: 2"), [2.0, 0.0, 1.0, 2.0]);
        assert_eq!(of("top_k: 2 out_max_val: true"), [2.0, 0.0, 5.0, 5.0, 1.0, 2.0, 4.0, 3.0]);
        assert_eq!(of("axis: 1 out_max_val: true"), [5.0, 4.0]);
        assert_eq!(of("axis: 0"), [0.0, 1.0, 0.0]);
        assert_eq!(of("axis: 0 top_k: 2"), [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
    }

    #[test]
    fn shapes_are_as_in_caffe() {
        let shape =
            |settings: &str, bottom: &[usize]| top_shapes(&text(settings), 1, &[bottom]).remove(0).to_vec();
        assert_eq!(shape("top_k: 2", &[5, 7]), [5, 1, 2]);
        assert_eq!(shape("top_k: 2 out_max_val: true", &[5, 7, 2, 3]), [5, 2, 2, 1]);
        assert_eq!(shape("axis: -2 top_k: 2 out_max_val: true", &[5, 7, 2]), [5, 2, 2]);
    }

    #[test]
    fn bad_settings_are_refused() {
        assert_eq!(refusal(&text("top_k: 0"), &[&[1, 2]]), "top_k must be 1 or more, found 0");
        assert_eq!(refusal(&text("top_k: 3"), &[&[4, 2]]), "top_k 3 exceeds the 2 values to choose from");
        assert!(refusal(&text("axis: 2"), &[&[4, 2]]).contains("axis 2 is out of range"));
        assert!(refusal("type: 'ArgMax'", &[&[]]).contains("found a scalar"));
    }
}
