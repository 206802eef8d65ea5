//! The windows that most nets have, two by two or three by three that move by two: their largest values or their means, straight from
//! the plane, and back to it. Nothing but what a mean's gradient is divided by goes through scratch.

use super::{Axis, Pool};
use crate::kernels::{
    scratch,
    simd::{
        Divisors, Isa, Job, Simd,
        copy::{Layout, Over, copy},
        folds::{Fold, Largest, Mean},
        spread::spread_by_two,
        squares::{Squares, fold_squares, registers},
    },
};

/// About how many shares of gradients are made at a time.
const BAND: usize = 2048;

/// Whether windows are of a size that this was compiled for.
pub fn fits(pool: &Pool) -> bool {
    let of = |a: &Axis| (a.kernel, a.stride, a.pad);
    matches!(&pool.axes[..], [y, x] if of(y) == of(x) && matches!(of(x), (2, 2, 0) | (3, 2, 0 | 1)))
}

/// Whether outputs are about three in five lanes or more; only where it [`fits`].
pub fn fills(isa: Isa, pool: &Pool) -> bool {
    5 * pool.outputs() >= 3 * isa.lanes() * registers(isa.lanes(), sides(pool))
}

/// Whether windows [`fits`] and few lanes are idle when inputs ask outputs.
pub fn spreads(isa: Isa, pool: &Pool) -> bool {
    fits(pool) && {
        let columns = pool.axes[1];
        let idle = 2 * columns.output + 2 * 3usize.saturating_sub(columns.kernel) < isa.lanes();
        !idle && columns.input.div_ceil(2) <= columns.output + 1
    }
}

/// Whether means pay that way, too: with registers of eight lanes, whose picks take several instructions, only where rows are long.
pub fn means_pay(isa: Isa, pool: &Pool) -> bool {
    fits(pool) && (isa.lanes() > 8 || pool.axes[1].output >= 3 * isa.lanes())
}

/// Rows and columns of inputs and of outputs; only where it [`fits`].
pub fn sides(pool: &Pool) -> [[usize; 2]; 2] {
    let (rows, columns) = (pool.axes[0], pool.axes[1]);
    [[rows.input, columns.input], [rows.output, columns.output]]
}

/// How it is done; only where it [`fits`].
pub fn ready(isa: Isa, pool: &Pool) -> Squares {
    Squares::new(isa.lanes(), [pool.axes[1].kernel, pool.axes[1].pad], sides(pool))
}

/// The largest values of the first planes, as many as `y` has, and, where `taps` is not empty, their taps; only where it [`fits`].
pub fn largest(isa: Isa, pool: &Pool, how: &Squares, x: &[f32], y: &mut [f32], taps: &mut [u8]) {
    if taps.is_empty() {
        fold(isa, pool, how, x, Largest::<false>(taps), y);
    } else {
        fold(isa, pool, how, x, Largest::<true>(taps), y);
    }
}

/// The means of the first planes, as many as `y` has: sums over `norms`; only where it [`fits`].
pub fn means(isa: Isa, pool: &Pool, how: &Squares, norms: Divisors<'_>, x: &[f32], y: &mut [f32]) {
    fold(isa, pool, how, x, Mean(norms), y);
}

/// What `fold` makes of the first planes, as many as `y` has.
fn fold<F: Fold>(isa: Isa, pool: &Pool, how: &Squares, x: &[f32], fold: F, y: &mut [f32]) {
    scratch::lend(2 * (pool.inputs() + isa.lanes()), |spare| match (pool.axes[1].kernel, pool.axes[1].pad) {
        (2, _) => isa.run(Folding::<_, 2, 0> { how, x, fold, y, spare }),
        (_, 0) => isa.run(Folding::<_, 3, 0> { how, x, fold, y, spare }),
        _ => isa.run(Folding::<_, 3, 1> { how, x, fold, y, spare }),
    });
}

struct Folding<'a, F, const SIZE: usize, const PAD: usize> {
    how: &'a Squares,
    x: &'a [f32],
    fold: F,
    y: &'a mut [f32],
    spare: &'a mut [f32],
}

impl<F: Fold, const SIZE: usize, const PAD: usize> Job for Folding<'_, F, SIZE, PAD> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { how, x, fold, y, spare } = self;
        fold_squares::<S, _, SIZE, PAD>(simd, how, x, fold, y, spare);
    }
}

/// dx of the first planes, as many as it has, given dy of the means, and what each is divided by; only where it [`spreads`].
pub fn means_backward(isa: Isa, pool: &Pool, norms: Divisors<'_>, dy: &[f32], dx: &mut [f32]) {
    let planes = (BAND / pool.outputs()).max(1);
    scratch::lend(planes * pool.outputs(), |shares| match (pool.axes[1].kernel, pool.axes[1].pad) {
        (2, _) => isa.run(Spreading::<2, 0> { pool, norms, planes, shares, dy, dx }),
        (_, 0) => isa.run(Spreading::<3, 0> { pool, norms, planes, shares, dy, dx }),
        _ => isa.run(Spreading::<3, 1> { pool, norms, planes, shares, dy, dx }),
    });
}

struct Spreading<'a, const SIZE: usize, const PAD: usize> {
    pool: &'a Pool,
    norms: Divisors<'a>,
    /// How many planes go together.
    planes: usize,
    shares: &'a mut [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl<const SIZE: usize, const PAD: usize> Job for Spreading<'_, SIZE, PAD> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { pool, norms, planes, shares, dy, dx } = self;
        let (inputs, outputs) = (pool.inputs(), pool.outputs());
        for (dx, dy) in dx.chunks_mut(planes * inputs).zip(dy.chunks(planes * outputs)) {
            let layout = Layout::whole_planes(dx.len() / inputs, outputs);
            copy::<S, true, false>(simd, layout, (dy, Over(norms)), shares);
            let shares = &shares[..dx.len() / inputs * outputs];
            spread_by_two::<S, SIZE, PAD, false>(simd, sides(pool), shares, &[], dx);
        }
    }
}
