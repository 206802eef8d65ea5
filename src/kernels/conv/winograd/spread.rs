//! The input's gradient by the transpose of what the forward pass does: a tile of the output's gradient and the weights, each at
//! the points, multiply to what the tile adds to the input's gradient, which overlaps with what its neighbours add.
//!
//! Without margins the output is smaller than the input, and so has fewer tiles: 4 for 9 where 5 x 5 taps make 8 x 8 of 12 x 12.

use super::outputs::Part;
use super::{Points, Winograd};
use crate::kernels::simd::{self, Epilogue, Grid, Map, MatMut, Target};

impl Winograd {
    /// Height and width of what all tiles of an image make, margins and what is beyond the last outputs included.
    fn spread_size(&self) -> [usize; 2] {
        let (tiles, sides) = ([self.tiles_down(), self.tiles_across()], self.sides());
        [0, 1].map(|axis| tiles[axis] * sides[axis] + self.parts.taps[axis] - 1)
    }

    /// Floats of that for a register of channels.
    pub(super) fn spread_len(&self) -> usize {
        self.spread_size().iter().product::<usize>() * self.isa.lanes()
    }
}

impl Part<'_> {
    /// Adds up the tiles of an image for a register of channels, the first of which is `first` of the products, and writes what
    /// lies inside the margins.
    pub(super) fn spread(
        &self,
        image: usize,
        first: usize,
        plane: &mut [f32],
        (points, products): (&Points, &[f32]),
        c: MatMut<'_>,
    ) {
        let of = self.of;
        let (isa, lanes, [height, width], across) = (of.isa, of.isa.lanes(), of.sides(), of.tiles_across());
        let ([_, pitch], [top, left]) = (of.spread_size(), of.crop);
        plane.fill(0.0);
        for down in 0..of.tiles_down() {
            let from = points.grid((image * of.tiles_down() + down) * across, first);
            let place = down * height * pitch * lanes;
            let to = Grid { first: place, row: pitch * lanes, col: lanes, tile: width * lanes };
            let to = Target::Squares(plane, to);
            simd::transform(isa, of.points, Map::Spread, across, (products, from), to);
        }
        self.store_lines(&plane[(top * pitch + left) * lanes..], pitch, Epilogue::default(), c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::conv::winograd::Pass;
    use crate::kernels::conv::{ConvAxis, ConvDims};
    use crate::kernels::simd::Isa;

    #[test]
    fn outputs_of_fewer_tiles_are_spread() {
        let pass = |batch: usize, input: usize, kernel: usize, pad: usize| {
            let axis = ConvAxis::new(input, kernel, 1, pad, 1).unwrap();
            let dims = ConvDims {
                batch,
                in_channels: 20,
                out_channels: 50,
                group: 1,
                axes: vec![axis, axis].into(),
                place: None,
            };
            Winograd::backward(Isa::best(), &dims).map(|of| of.pass)
        };
        assert_eq!(pass(64, 12, 5, 0), Some(Pass::Spread));
        assert_eq!(pass(16, 14, 3, 0), Some(Pass::Spread));
        assert_eq!(pass(64, 12, 5, 2), Some(Pass::Turned), "as many tiles");
        assert_eq!(pass(64, 77, 5, 0), Some(Pass::Turned), "bands of an image");
    }
}
