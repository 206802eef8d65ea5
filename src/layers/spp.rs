//! `SPP`: pooling on grids of 1, 2, 4, ... cells a side, joined into one row for each image.

use super::{
    Backward, Forward, Kind, Layer, LayerError, Outline, Setup,
    pooler::{Method, Pooler},
};
use crate::{
    config::proto::{LayerParameter, SppParameter, spp_parameter::PoolMethod},
    kernels::{
        elementwise::update,
        pool::{Axis, Pool},
    },
    tensor::Shape,
};

/// The row of `SPP`.
pub const KIND: Kind = Kind {
    name: "SPP",
    summary: "pooling on grids of 1, 2, 4, ... cells a side, joined",
    settings: &["spp_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Spatial pyramid pooling: `pyramid_height` levels, of which level l pools on a grid of 2^l cells along each axis.
///
/// With b cells on a side of n: kernel = stride = ceil(n / b), pad = ceil((kernel * b - n) / 2); y and dx as in `Pooling`.
///
/// Shapes: bottom `N x C x ...`, top `N x (C * sum of cells)`, for each image level by level; one level alone stays
/// `N x C x 1 x ...`. Params: none.
/// Reference: He et al. 2014. Differs from Caffe: any number of axes; STOCHASTIC on the CPU.
struct Spp {
    height: u32,
    method: Method,
    setup: Setup,
    levels: Vec<Level>,
    /// Values of the largest level's top.
    longest: usize,
}

/// A level of the pyramid.
struct Level {
    pooler: Pooler,
    /// Values of an image's top.
    len: usize,
}

/// The method of a pyramid, and the windows of each of its levels over a bottom of this shape, `N x C x ...`.
///
/// # Errors
/// When a level does not fit the bottom.
pub fn pyramid(config: &LayerParameter, bottom: &Shape) -> Result<(Method, Vec<Pool>), LayerError> {
    let param = config.spp_param.unwrap_or_default();
    Ok((method(&param), levels(param.pyramid_height(), bottom)?))
}

/// The windows of each level of so many.
fn levels(height: u32, bottom: &Shape) -> Result<Vec<Pool>, LayerError> {
    let level = |l: u32| {
        let axes = bottom[2..].iter().map(|&n| grid(n, 1 << l)).collect::<Result<Vec<_>, _>>()?;
        Ok(Pool { planes: bottom.count_of(..2), axes })
    };
    (0..height).map(level).collect()
}

fn method(param: &SppParameter) -> Method {
    match param.pool() {
        PoolMethod::Max => Method::Max,
        PoolMethod::Ave => Method::Mean,
        PoolMethod::Stochastic => Method::Stochastic,
    }
}

fn from_config(config: &LayerParameter, setup: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.spp_param.unwrap_or_default();
    let method = method(&param);
    let height = param.pyramid_height();
    if !(1..=MAX_HEIGHT).contains(&height) {
        let message = format!("pyramid_height must be from 1 to {MAX_HEIGHT}, found {height}");
        return Err(LayerError::setting("spp_param.pyramid_height", message));
    }
    Ok(Box::new(Spp { height, method, setup: *setup, levels: vec![], longest: 0 }))
}

/// The highest pyramid: its lowest level has 2^15 cells a side.
const MAX_HEIGHT: u32 = 16;

/// A grid of `cells` over a side of `input` values.
fn grid(input: usize, cells: usize) -> Result<Axis, LayerError> {
    let kernel = input.div_ceil(cells);
    let pad = (kernel * cells - input).div_ceil(2);
    let axis = if pad < kernel { Axis::fit(input, kernel, kernel, pad, true) } else { None };
    axis.filter(|axis| axis.output == cells).ok_or_else(|| {
        LayerError::setting(
            "spp_param.pyramid_height",
            format!("a grid of {cells} cells does not fit a side of {input}: lower pyramid_height"),
        )
    })
}

impl Layer for Spp {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let bottom = &bottoms[0];
        if bottom.len() < 3 {
            return Err(LayerError::shape(format!(
                "the bottom needs three axes or more (N x C x ...), found {bottom}"
            )));
        }
        self.levels.clear();
        for pool in levels(self.height, bottom)? {
            let len = bottom[1] * pool.outputs();
            self.levels.push(Level { pooler: Pooler::new(self.method, pool, &self.setup, false), len });
        }
        let row: usize = self.levels.iter().map(|l| l.len).sum();
        let top = match self.levels[..] {
            [_] => Shape::new([&bottom[..2], &vec![1; bottom.len() - 2]].concat()),
            _ => Shape::from([bottom[0], row]),
        };
        let reads = self.levels[0].pooler.reads();
        self.longest = self.levels.iter().map(|l| l.len).max().unwrap_or(0) * bottom[0];
        // A level's top and its diff, in the level's own order, and the diff of the bottom.
        Ok(Outline::of([top]).workspace(2 * self.longest + bottom.count()).reads(reads))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let (x, top) = (pass.bottoms[0].data, &mut *pass.tops[0].data);
        let row = self.row();
        if row == 0 {
            return Ok(());
        }
        let mut at = 0;
        for Level { pooler, len } in &mut self.levels {
            let images = top.len() / row;
            let y = &mut pass.workspace[..images * *len];
            pooler.forward(x, y, pass.draw)?;
            for (from, to) in y.chunks_exact(*len).zip(top.chunks_exact_mut(row)) {
                to[at..at + *len].copy_from_slice(from);
            }
            at += *len;
        }
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let Some(dx) = pass.bottom_diffs[0].as_deref_mut() else { return };
        let (x, top) = (pass.bottoms[0].data, &pass.tops[0]);
        let row = self.row();
        if row == 0 {
            return;
        }
        let (y, rest) = pass.workspace.split_at_mut(self.longest);
        let (dy, rest) = rest.split_at_mut(self.longest);
        let mut at = 0;
        for (l, Level { pooler, len }) in self.levels.iter().enumerate() {
            let columns = |from: &[f32], to: &mut [f32]| {
                for (from, to) in from.chunks_exact(row).zip(to.chunks_exact_mut(*len)) {
                    to.copy_from_slice(&from[at..at + len]);
                }
            };
            // Empty where it is not read.
            columns(top.data, y);
            columns(top.diff, dy);
            let images = top.diff.len() / row;
            let (y, dy) = (&y[..images * len], &dy[..images * len]);
            if l == 0 {
                pooler.backward(x, y, dy, dx);
            } else {
                let more = &mut rest[..dx.len()];
                pooler.backward(x, y, dy, more);
                update(more, dx, |more, dx| dx + more);
            }
            at += len;
        }
    }
}

impl Spp {
    /// Values of an image's top.
    fn row(&self) -> usize {
        self.levels.iter().map(|level| level.len).sum()
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, refusal};

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'SPP' spp_param { pyramid_height: 2 pool: AVE }", &[(&[2, 2, 5, 4], Values::Any)]),
        Case::new("type: 'SPP' spp_param { pyramid_height: 3 }", &[(&[2, 2, 7, 8], Values::Distinct)]),
        Case::new(
            "type: 'SPP' spp_param { pyramid_height: 2 pool: STOCHASTIC }",
            &[(&[1, 2, 4, 4], Values::Between(0.1, 1.0))],
        )
        .test(),
    ];

    #[test]
    fn grids_by_hand() {
        let x: Vec<f32> = (0..18).map(|v| v as f32).collect();
        let spp = |settings: &str| {
            let text = format!("type: 'SPP' spp_param {{ {settings} }}");
            forward(&text, &[(&[1, 2, 3, 3], &x)]).remove(0)
        };
        assert_eq!(spp("pyramid_height: 1"), [8.0, 17.0]);
        // 2 x 2 cells of side 2, of which the first begin in the padding.
        assert_eq!(spp("pyramid_height: 2"), [8.0, 17.0, 0.0, 2.0, 6.0, 8.0, 9.0, 11.0, 15.0, 17.0]);
    }

    #[test]
    fn bad_settings_are_refused() {
        let x: &[usize] = &[1, 1, 5, 5];
        assert!(refusal("type: 'SPP'", &[x]).contains("from 1 to 16, found 0"));
        assert!(refusal("type: 'SPP' spp_param { pyramid_height: 3 }", &[x]).contains("a grid of 4 cells"));
        assert!(
            refusal("type: 'SPP' spp_param { pyramid_height: 1 }", &[&[5, 5]]).contains("three axes or more")
        );
    }
}
