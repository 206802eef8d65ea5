//! The gradient of the largest of small windows: a register of inputs adds, in order, what comes from those outputs
//! around it whose byte names it. Gradients outside of a row are read as 0, so bytes need no masks.

use super::{Axis, Pool, square};
use crate::kernels::{
    scratch,
    simd::{
        Isa, Job, Simd,
        spread::{MARGIN, spread_by_two},
    },
};

/// Values ahead of the last written whose lines are asked for.
const AHEAD: usize = 128;

/// The outputs of all planes, and which tap each took.
#[derive(Clone, Copy)]
pub struct Outputs<'a> {
    /// Their gradients.
    pub dy: &'a [f32],
    /// Numbers of the taps in their windows.
    pub taps: &'a [u8],
}

/// Whether windows are such as this is for, and few lanes are idle: else it is cheaper to go by the outputs, and the sooner the larger
/// windows are.
pub fn fits(isa: Isa, pool: &Pool) -> bool {
    let by_one = |a: &Axis| (a.kernel, a.stride, a.pad) == (3, 1, 1);
    matches!(&pool.axes[..], [y, x] if by_one(y) && by_one(x)) || square::spreads(isa, pool)
}

/// dx, of planes from number `first` of all on, = the sum, in order, of each dy of the windows that took it; only where it [`fits`].
pub fn add(isa: Isa, pool: &Pool, Outputs { dy, taps }: Outputs<'_>, dx: &mut [f32], first: usize) {
    let (rows, columns) = (pool.axes[0], pool.axes[1]);
    if columns.stride == 1 {
        isa.run(ByOne { height: rows.input, width: columns.input, dy, taps, dx, first });
        return;
    }
    let sides = square::sides(pool);
    let run = |taps: &[u8], dy: &[f32], dx: &mut [f32]| match (columns.kernel, columns.pad) {
        (2, _) => isa.run(ByTwo::<2, 0> { sides, dy, taps, dx }),
        (_, 0) => isa.run(ByTwo::<3, 0> { sides, dy, taps, dx }),
        _ => isa.run(ByTwo::<3, 1> { sides, dy, taps, dx }),
    };
    let here = first * pool.outputs()..(first + dx.len() / pool.inputs()) * pool.outputs();
    let dy = &dy[here.clone()];
    if here.start >= MARGIN && here.end + MARGIN <= taps.len() {
        run(&taps[here.start - MARGIN..here.end + MARGIN], dy, dx);
    } else {
        scratch::lend((dy.len() + 2 * MARGIN).div_ceil(4), |lent| {
            let copy: &mut [u8] = &mut bytemuck::cast_slice_mut(lent)[..dy.len() + 2 * MARGIN];
            copy[MARGIN..][..dy.len()].copy_from_slice(&taps[here]);
            run(copy, dy, dx);
        });
    }
}

/// Windows of three by three that move by one, with a margin of one. Planes and rows follow one another: what a neighbour took
/// beyond the end of a row, or of a plane, would be in its margin, so it did not take it.
struct ByOne<'a> {
    height: usize,
    width: usize,
    dy: &'a [f32],
    taps: &'a [u8],
    dx: &'a mut [f32],
    first: usize,
}

impl Job for ByOne<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { height, width, dy, taps, dx, first } = self;
        let first = first * height * width;
        for (i, dx) in dx.chunks_mut(S::LANES).enumerate() {
            let at = first + i * S::LANES;
            if at <= width || at + width + 1 + S::LANES > dy.len() {
                dx.iter_mut().zip(at..).for_each(|(dx, at)| *dx = one(width, dy, taps, at));
                continue;
            }
            simd.prefetch_to_write(dx.as_ptr().wrapping_add(AHEAD));
            let mut sum = simd.splat(0.0);
            for row in 0..3 {
                let from = at + row * width - width - 1;
                let (dy, taps) = (&dy[from..][..S::LANES + 2], &taps[from..][..S::LANES + 2]);
                for column in 0..3 {
                    let number = (8 - 3 * row - column) as u8;
                    sum = simd.add_where_byte(sum, simd.read(&dy[column..]), &taps[column..], number);
                }
            }
            simd.write_first(dx, sum);
        }
    }
}

/// The gradient of input `at` of all.
fn one(width: usize, dy: &[f32], taps: &[u8], at: usize) -> f32 {
    let mut sum = 0.0;
    for number in 0..9 {
        let from = (at + number / 3 * width + number % 3).wrapping_sub(width + 1);
        if taps.get(from).is_some_and(|&tap| usize::from(tap) == 8 - number) {
            sum += dy[from];
        }
    }
    sum
}

/// Windows of `SIZE` by `SIZE` that move by two and begin `PAD` before the plane.
struct ByTwo<'a, const SIZE: usize, const PAD: usize> {
    /// Rows and columns of inputs, and of outputs.
    sides: [[usize; 2]; 2],
    dy: &'a [f32],
    /// With a margin around.
    taps: &'a [u8],
    dx: &'a mut [f32],
}

impl<const SIZE: usize, const PAD: usize> Job for ByTwo<'_, SIZE, PAD> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        spread_by_two::<S, SIZE, PAD, true>(simd, self.sides, self.dy, self.taps, self.dx);
    }
}
