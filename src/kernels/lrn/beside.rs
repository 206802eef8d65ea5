//! Neighbours along the rows of planes.

use crate::kernels::simd::{Each, MOST_LANES, Renew, Simd};

/// The sum of values, or of squares, along a row: as many neighbours before as behind, and their column; those of another row do
/// not count.
#[derive(Clone, Copy)]
pub struct Beside<const SQUARES: bool> {
    /// How far away the nearest neighbours are.
    pub nearest: usize,
    pub width: usize,
}

impl<const SQUARES: bool> Beside<SQUARES> {
    /// The sum and one more.
    #[inline(always)]
    fn add<S: Simd>(simd: S, sum: S::V, v: S::V) -> S::V {
        if SQUARES { simd.fma(v, v, sum) } else { simd.add(sum, v) }
    }

    /// The sum and the neighbours of a register, of which the first lies `d` away.
    #[inline(always)]
    fn add_both<S: Simd>(self, simd: S, d: usize, sum: S::V, [before, after, column]: [S::V; 3]) -> S::V {
        let more = Self::add(simd, sum, before);
        let sum = simd.where_greater(column, simd.splat(d as f32 - 0.5), more, sum);
        let more = Self::add(simd, sum, after);
        simd.where_greater(simd.splat(self.width as f32 - d as f32), column, more, sum)
    }
}

impl<const SQUARES: bool, const N: usize> Each<N, 1> for Beside<SQUARES> {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, near: [S::V; N]) -> [S::V; 1] {
        let side = N / 2 - 1;
        let mut sum = if SQUARES { simd.mul(near[side], near[side]) } else { near[side] };
        for d in 1..=side {
            sum = self.add_both(simd, d, sum, [near[side - d], near[side + d], near[N - 1]]);
        }
        [sum]
    }
}

impl<const SQUARES: bool> Renew<3, 1> for Beside<SQUARES> {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, near: [S::V; 3], [sum]: [S::V; 1]) -> [S::V; 1] {
        [self.add_both(simd, self.nearest, sum, near)]
    }
}

/// The lanes that have a neighbour one and two before, and behind, where a register holds whole rows.
#[derive(Clone, Copy)]
pub struct Lanes {
    before: [u32; 2],
    after: [u32; 2],
}

impl Lanes {
    pub fn of(width: usize) -> Self {
        let mut lanes = Self { before: [0; 2], after: [0; 2] };
        let mut column = 0;
        for lane in 0..MOST_LANES {
            for d in [1, 2] {
                lanes.before[d - 1] |= u32::from(column >= d) << lane;
                lanes.after[d - 1] |= u32::from(column + d < width) << lane;
            }
            column = if column + 1 < width { column + 1 } else { 0 };
        }
        lanes
    }
}

/// [`Beside`] where a register holds whole rows.
#[derive(Clone, Copy)]
pub struct Fixed<const SQUARES: bool>(pub Lanes);

impl<const SQUARES: bool, const N: usize> Each<N, 1> for Fixed<SQUARES> {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, near: [S::V; N]) -> [S::V; 1] {
        let side = N / 2;
        let mut sum = if SQUARES { simd.mul(near[side], near[side]) } else { near[side] };
        for d in 1..=side {
            let more = Beside::<SQUARES>::add(simd, sum, near[side - d]);
            sum = simd.where_set(self.0.before[d - 1], more, sum);
            let more = Beside::<SQUARES>::add(simd, sum, near[side + d]);
            sum = simd.where_set(self.0.after[d - 1], more, sum);
        }
        [sum]
    }
}
