//! `Crop`: cuts the first bottom to the size of the second.

use super::{Arity, Backward, Forward, Kind, Layer, LayerError, Outline, Reads, Setup, axes};
use crate::{
    config::proto::LayerParameter,
    kernels::parallel::{CHUNK, for_chunks_mut},
    tensor::Shape,
};

/// The row of `Crop`.
pub const KIND: Kind = Kind {
    name: "Crop",
    summary: "cuts the first bottom to the size of the second",
    settings: &["crop_param"],
    bottoms: Arity::Exactly(2),
    no_gradient: &[1],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Takes a block out of the first bottom: from `axis` on, as large as the second bottom, beginning at `offset`.
///
/// y[i] = x[i + offset]       dx = dy inside the block, 0 outside
///
/// Shapes: bottoms with as many axes, of which the second gives only its shape; top as the first before `axis`, as the
/// second from there on. Params: none. Reference: Long et al. 2015 (FCN). Differs from Caffe: no.
struct Crop {
    axis: i32,
    offset: Vec<u32>,
    block: Block,
}

/// Where the top lies in the bottom.
#[derive(Default)]
struct Block {
    bottom: Shape,
    top: Shape,
    offset: Vec<usize>,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.crop_param.clone().unwrap_or_default();
    Ok(Box::new(Crop { axis: param.axis(), offset: param.offset, block: Block::default() }))
}

impl Layer for Crop {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let [bottom, like] = bottoms else { return Err(LayerError::shape("Crop takes two bottoms")) };
        if like.len() != bottom.len() {
            return Err(LayerError::shape(format!("the bottoms differ in axes: {bottom} and {like}")));
        }
        let from = axes::resolve(bottom, self.axis, "crop_param.axis")?;
        let cut = bottom.len() - from;
        if self.offset.len() > 1 && self.offset.len() != cut {
            let found = self.offset.len();
            let message = format!("give one offset, or one for each of the {cut} cut axes, not {found}");
            return Err(LayerError::setting("crop_param.offset", message));
        }
        let mut offset = vec![0; bottom.len()];
        for (i, offset) in offset[from..].iter_mut().enumerate() {
            let given = self.offset.get(if self.offset.len() == 1 { 0 } else { i });
            *offset = given.map_or(0, |&o| o as usize);
            let (have, want) = (bottom[from + i], like[from + i]);
            if *offset + want > have {
                let axis = from + i;
                let message =
                    format!("offset {offset} and size {want} exceed the bottom's {have} along axis {axis}");
                return Err(LayerError::setting("crop_param.offset", message));
            }
        }
        let top = Shape::new([&bottom[..from], &like[from..]].concat());
        self.block = Block { bottom: bottom.clone(), top: top.clone(), offset };
        Ok(Outline::of([top]).reads(Reads::NOTHING))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let (x, block) = (pass.bottoms[0].data, &self.block);
        let len = block.top.last().copied().unwrap_or(1);
        for_rows(pass.tops[0].data, len, |row, y| {
            let at =
                block.bottom_row(row) * block.bottom.last().unwrap_or(&1) + block.offset.last().unwrap_or(&0);
            y.copy_from_slice(&x[at..][..len]);
        });
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let Some(dx) = &mut pass.bottom_diffs[0] else { return };
        let (dy, block) = (pass.tops[0].diff, &self.block);
        let len = block.top.last().copied().unwrap_or(1);
        let start = block.offset.last().copied().unwrap_or(0);
        for_rows(dx, block.bottom.last().copied().unwrap_or(1), |row, dx| {
            dx.fill(0.0);
            if let Some(row) = block.top_row(row) {
                dx[start..start + len].copy_from_slice(&dy[row * len..][..len]);
            }
        });
    }
}

/// Calls `f(row, values)` for the rows of `out`, `len` values each, many at a time.
fn for_rows(out: &mut [f32], len: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    let len = len.max(1);
    for_chunks_mut(out, len * (CHUNK / len).max(1), |start, part| {
        part.chunks_exact_mut(len).enumerate().for_each(|(i, row)| f(start / len + i, row));
    });
}

impl Block {
    /// The row of the bottom that holds a row of the top.
    fn bottom_row(&self, mut row: usize) -> usize {
        let (mut at, mut stride) = (0, 1);
        for d in (0..self.top.len().saturating_sub(1)).rev() {
            at += (row % self.top[d] + self.offset[d]) * stride;
            (row, stride) = (row / self.top[d], stride * self.bottom[d]);
        }
        at
    }

    /// The row of the top that a row of the bottom holds, if any.
    fn top_row(&self, mut row: usize) -> Option<usize> {
        let (mut at, mut stride) = (0, 1);
        for d in (0..self.top.len().saturating_sub(1)).rev() {
            let i = (row % self.bottom[d]).checked_sub(self.offset[d]).filter(|&i| i < self.top[d])?;
            at += i * stride;
            (row, stride) = (row / self.bottom[d], stride * self.top[d]);
        }
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, refusal};

    pub const GRADIENT: &[Case] = &[
        Case::new(
            "type: 'Crop' crop_param { offset: [1, 2] }",
            &[(&[2, 2, 3, 5], Values::Any), (&[1, 1, 2, 2], Values::Any)],
        ),
        Case::new("type: 'Crop' crop_param { axis: 0 }", &[(&[3, 2], Values::Any), (&[2, 1], Values::Any)]),
    ];

    #[test]
    fn blocks_by_hand() {
        let x: Vec<f32> = (0..12).map(|v| v as f32).collect();
        let crop = |settings: &str, like: &[usize]| {
            let size = vec![0.0; like.iter().product()];
            let text = format!("type: 'Crop' crop_param {{ {settings} }}");
            forward(&text, &[(&[1, 1, 3, 4], &x), (like, &size)]).remove(0)
        };
        assert_eq!(crop("", &[9, 9, 2, 2]), [0.0, 1.0, 4.0, 5.0]);
        assert_eq!(crop("offset: 1", &[1, 1, 2, 2]), [5.0, 6.0, 9.0, 10.0]);
        assert_eq!(crop("offset: 0 offset: 3", &[1, 1, 3, 1]), [3.0, 7.0, 11.0]);
        assert_eq!(crop("axis: -1 offset: 2", &[1, 1, 7, 1]), [2.0, 6.0, 10.0]);
    }

    #[test]
    fn bad_settings_are_refused() {
        let crop =
            |settings: &str, a, b| refusal(&format!("type: 'Crop' crop_param {{ {settings} }}"), &[a, b]);
        assert!(crop("", &[1, 1, 3, 3], &[1, 1, 3]).contains("differ in axes"));
        assert_eq!(
            crop("offset: 2", &[1, 1, 3, 4], &[1, 1, 2, 2]),
            "offset 2 and size 2 exceed the bottom's 3 along axis 2"
        );
        assert!(
            crop("offset: [0, 0, 0]", &[1, 1, 3, 3], &[1, 1, 2, 2]).contains("each of the 2 cut axes, not 3")
        );
        assert!(crop("axis: 4", &[1, 1, 3, 3], &[1, 1, 2, 2]).contains("axis 4 is out of range"));
    }
}
