//! Softmax where classes lie side by side: row by row, or, of few classes, by blocks of rows (`short.rs`), so that what is read again
//! is near.

use super::{
    super::simd::{
        Asked, Each, Job, LINE, MOST_LANES, Own, Simd, Sums, each, exp_below_0, renew, sum_terms, write_past,
    },
    Wanted,
    short::{self, SHORT},
};

/// Registers that are folded side by side.
const TOGETHER: usize = 4;
/// The most values that are made before they are written past the caches.
const MOST: usize = 4096;

/// Softmax of the rows of `y`.
pub struct Shares<'a> {
    pub classes: usize,
    pub x: &'a [f32],
    pub y: &'a mut [f32],
    /// Whether they are written past the caches.
    pub far: bool,
}

impl Job for Shares<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { classes, x, y, far } = self;
        if classes <= SHORT {
            short::shares(simd, classes, x, y);
        } else {
            in_groups(simd, classes, [x], y, far, &LongShares);
        }
    }
}

/// The gradient of the rows of `dx`.
pub struct Slopes<'a> {
    pub classes: usize,
    pub y: &'a [f32],
    pub dy: &'a [f32],
    pub dx: &'a mut [f32],
    /// Whether it is written past the caches.
    pub far: bool,
}

impl Job for Slopes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { classes, y, dy, dx, far } = self;
        if classes <= SHORT {
            short::slopes(simd, classes, [y, dy], dx);
        } else {
            in_groups(simd, classes, [y, dy], dx, far, &LongSlopes);
        }
    }
}

/// Work on a row.
trait Row<const N: usize> {
    /// Makes `out` of `from`, which is as long.
    fn make<S: Simd>(&self, simd: S, from: [&[f32]; N], out: &mut [f32]);
}

/// Makes rows one by one. If they are to be written past the caches, they are made elsewhere, as many as fill whole lines, if that are
/// not too many.
#[inline(always)]
fn in_groups<S: Simd, const N: usize>(
    simd: S,
    classes: usize,
    from: [&[f32]; N],
    out: &mut [f32],
    far: bool,
    work: &impl Row<N>,
) {
    let lines = LINE >> classes.trailing_zeros().min(LINE.trailing_zeros());
    let far = far && lines * classes <= MOST;
    let mut made = [0.0; MOST];
    for (i, out) in out.chunks_mut(lines * classes).enumerate() {
        let group = if far { &mut made[..out.len()] } else { &mut *out };
        for (k, row) in group.chunks_exact_mut(classes).enumerate() {
            work.make(simd, from.map(|from| &from[(i * lines + k) * classes..][..classes]), row);
        }
        if far {
            write_past(simd, &made[..out.len()], out);
        }
    }
    if far {
        simd.fence();
    }
}

/// Softmax of a row. Meanwhile the next row is asked for.
struct LongShares;

impl Row<1> for LongShares {
    #[inline(always)]
    fn make<S: Simd>(&self, simd: S, [x]: [&[f32]; 1], y: &mut [f32]) {
        let max = across::<S, true>(simd, largest(simd, x, y.as_ptr()));
        let next = Asked { reads: [x.as_ptr_range().end], writes: [] };
        each(simd, [x], [&mut *y], next, Share { minus: -max });
        let sum = across::<S, false>(simd, sum_terms(simd, [], [&*y], (None, None), Total)[0]);
        renew(simd, [], [y], Asked::NOTHING, Own(Scaled { scale: 1.0 / sum }));
    }
}

/// The gradient of a row.
struct LongSlopes;

impl Row<2> for LongSlopes {
    #[inline(always)]
    fn make<S: Simd>(&self, simd: S, [y, dy]: [&[f32]; 2], dx: &mut [f32]) {
        let [dot] = sum_terms(simd, [], [y, dy], (Some(dx.as_ptr()), None), Dot);
        let minus_dot = -across::<S, false>(simd, dot);
        each(simd, [y, dy], [dx], Asked::NOTHING, Slope { minus_dot });
    }
}

/// e^(x + minus).
#[derive(Clone, Copy)]
struct Share {
    minus: f32,
}

impl Each<1, 1> for Share {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [x]: [S::V; 1]) -> [S::V; 1] {
        [exp_below_0(simd, simd.add(x, simd.splat(self.minus)))]
    }
}

/// share * scale.
#[derive(Clone, Copy)]
struct Scaled {
    scale: f32,
}

impl Each<1, 1> for Scaled {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [share]: [S::V; 1]) -> [S::V; 1] {
        [simd.mul(share, simd.splat(self.scale))]
    }
}

/// Lanes of the largest values of a row, while as much is asked for where it will be written.
#[inline(always)]
fn largest<S: Simd>(simd: S, x: &[f32], y: *const f32) -> S::V {
    let mut max = [simd.splat(f32::NEG_INFINITY); TOGETHER];
    let mut wide = x.chunks_exact(TOGETHER * S::LANES);
    for (i, x) in wide.by_ref().enumerate() {
        for (r, max) in max.iter_mut().enumerate() {
            simd.prefetch_to_write(y.wrapping_add((i * TOGETHER + r) * S::LANES));
            // What is not a number is passed over.
            *max = simd.max(simd.read(&x[r * S::LANES..]), *max);
        }
    }
    let [a, b, c, d] = max;
    let mut max = simd.max(simd.max(a, b), simd.max(c, d));
    for x in wide.remainder().chunks(S::LANES) {
        let v = simd.first_lanes(x.len(), simd.read_first(x), f32::NEG_INFINITY);
        max = simd.max(v, max);
    }
    max
}

/// The largest, or the sum, of all lanes.
#[inline(always)]
fn across<S: Simd, const LARGEST: bool>(simd: S, mut v: S::V) -> f32 {
    for _ in 0..S::LANES.ilog2() {
        let (even, odd) = simd.unzip(v, v);
        v = if LARGEST { simd.max(even, odd) } else { simd.add(even, odd) };
    }
    let mut lanes = [0.0; MOST_LANES];
    simd.write_first(&mut lanes, v);
    lanes[0]
}

/// The sum of shares.
#[derive(Clone, Copy)]
struct Total;

impl Sums<0, 1, 1> for Total {
    #[inline(always)]
    fn add<S: Simd>(self, simd: S, _: [S::V; 0], [share]: [S::V; 1], [sum]: [S::V; 1]) -> [S::V; 1] {
        [simd.add(sum, share)]
    }
}

/// The sum of y * dy.
#[derive(Clone, Copy)]
struct Dot;

impl Sums<0, 2, 1> for Dot {
    #[inline(always)]
    fn add<S: Simd>(self, simd: S, _: [S::V; 0], [y, dy]: [S::V; 2], [sum]: [S::V; 1]) -> [S::V; 1] {
        [simd.fma(y, dy, sum)]
    }
}

/// y * (dy - dot).
#[derive(Clone, Copy)]
struct Slope {
    minus_dot: f32,
}

impl Each<2, 1> for Slope {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [y, dy]: [S::V; 2]) -> [S::V; 1] {
        [simd.mul(y, simd.add(dy, simd.splat(self.minus_dot)))]
    }
}

/// The gradient of cross entropy in the rows of `dx`; `p` begins with the first, and so does what is wanted.
pub struct Misses<'a> {
    pub classes: usize,
    pub wanted: Wanted<'a>,
    pub p: &'a [f32],
    pub dx: &'a mut [f32],
}

impl Job for Misses<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Misses { classes, wanted, p, dx } = self;
        let Wanted { own, each: other, scale, labels, weights } = wanted;
        let miss = Miss { minus: -other };
        // Of rows within a register, some are done as one, with a factor for each value.
        let rows = if classes <= S::LANES { NEAR / classes } else { 1 };
        let mut factors = [0.0; NEAR + 16];
        let blocks = dx.chunks_mut(rows * classes).zip(p.chunks(rows * classes));
        for ((dx, p), (labels, weights)) in blocks.zip(labels.chunks(rows).zip(weights.chunks(rows))) {
            let asked = Asked { reads: [], writes: [dx.as_ptr_range().end] };
            if classes <= S::LANES {
                // A register of factors runs over into the next row's, which are written later.
                for (row, weight) in weights[..dx.len() / classes].iter().enumerate() {
                    simd.write_first(&mut factors[row * classes..], simd.splat(scale * weight));
                }
                each(simd, [p, &factors], [&mut *dx], asked, miss);
            } else {
                each(simd, [p], [&mut *dx], asked, Even { factor: scale * weights[0], miss });
            }
            for (dx, (&label, weight)) in dx.chunks_exact_mut(classes).zip(labels.iter().zip(weights)) {
                dx[label as usize] -= scale * weight * own;
            }
        }
    }
}

/// Values whose factors are written out.
const NEAR: usize = 1024;

/// factor * (p + minus).
#[derive(Clone, Copy)]
struct Miss {
    minus: f32,
}

impl Each<2, 1> for Miss {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [p, factor]: [S::V; 2]) -> [S::V; 1] {
        [simd.mul(factor, simd.add(p, simd.splat(self.minus)))]
    }
}

/// The same with one factor.
#[derive(Clone, Copy)]
struct Even {
    factor: f32,
    miss: Miss,
}

impl Each<1, 1> for Even {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [p]: [S::V; 1]) -> [S::V; 1] {
        self.miss.of(simd, [p, simd.splat(self.factor)])
    }
}
