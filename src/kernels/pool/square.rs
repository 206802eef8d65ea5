//! The largest of the windows that most nets have, two by two or three by three that move by two, straight from the plane: nothing is
//! copied to scratch. A tap beyond the plane meets what its neighbour meets.

use super::{Axis, Pool};
use crate::kernels::{
    scratch,
    simd::{
        Isa, Job, Simd,
        squares::{Squares, largest_of_squares, registers},
    },
};

/// Whether windows are of a size that this was compiled for.
pub fn fits(pool: &Pool) -> bool {
    let of = |a: &Axis| (a.kernel, a.stride, a.pad);
    matches!(&pool.axes[..], [y, x] if of(y) == of(x) && matches!(of(x), (2, 2, 0) | (3, 2, 0 | 1)))
}

/// Whether outputs are about three in five lanes or more; only where it [`fits`].
pub fn fills(isa: Isa, pool: &Pool) -> bool {
    5 * pool.outputs() >= 3 * isa.lanes() * registers(isa.lanes(), sides(pool))
}

/// Rows and columns of inputs and of outputs.
fn sides(pool: &Pool) -> [[usize; 2]; 2] {
    let (rows, columns) = (pool.axes[0], pool.axes[1]);
    [[rows.input, columns.input], [rows.output, columns.output]]
}

/// How it is done; only where it [`fits`].
pub fn ready(isa: Isa, pool: &Pool) -> Squares {
    Squares::new(isa.lanes(), [pool.axes[1].kernel, pool.axes[1].pad], sides(pool))
}

/// The largest values of the first planes, as many as `y` has, and, where `taps` is not empty, their taps; only where it [`fits`].
pub fn largest(isa: Isa, pool: &Pool, how: &Squares, x: &[f32], y: &mut [f32], taps: &mut [u8]) {
    scratch::lend(pool.inputs() + isa.lanes(), |spare| match (pool.axes[1].kernel, pool.axes[1].pad) {
        (2, _) => Largest::<2, 0> { how, x, y, taps, spare }.by(isa),
        (_, 0) => Largest::<3, 0> { how, x, y, taps, spare }.by(isa),
        _ => Largest::<3, 1> { how, x, y, taps, spare }.by(isa),
    });
}

struct Largest<'a, const SIZE: usize, const PAD: usize> {
    how: &'a Squares,
    x: &'a [f32],
    y: &'a mut [f32],
    taps: &'a mut [u8],
    spare: &'a mut [f32],
}

impl<const SIZE: usize, const PAD: usize> Largest<'_, SIZE, PAD> {
    fn by(self, isa: Isa) {
        if self.taps.is_empty() {
            isa.run(Taking::<_, false>(self))
        } else {
            isa.run(Taking::<_, true>(self))
        }
    }
}

/// With taps or without.
struct Taking<L, const TAKE: bool>(L);

impl<const SIZE: usize, const PAD: usize, const TAKE: bool> Job for Taking<Largest<'_, SIZE, PAD>, TAKE> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Largest { how, x, y, taps, spare } = self.0;
        largest_of_squares::<S, SIZE, PAD, TAKE>(simd, how, x, (y, taps), spare);
    }
}
