//! Softmax where classes lie side by side: what is read again is near, one row or, of few classes, some.

use super::{
    super::simd::{
        Asked, Each, Job, MOST_LANES, Own, Renew, Simd, Sums, each, exp_below_0, fold_rows, renew, sum_terms,
    },
    Wanted,
};

/// Registers that are folded side by side.
const TOGETHER: usize = 4;
/// The most classes of rows whose largest, and whose sums, are found some at a time.
const SHORT: usize = 32;
/// The most values of rows that are worked on together.
const MOST: usize = TOGETHER * SHORT * MOST_LANES;

/// Softmax of the rows of `y`.
pub struct Shares<'a> {
    pub classes: usize,
    pub x: &'a [f32],
    pub y: &'a mut [f32],
}

impl Job for Shares<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if self.classes <= SHORT {
            return self.short(simd);
        }
        for (x, y) in self.x.chunks_exact(self.classes).zip(self.y.chunks_exact_mut(self.classes)) {
            let max = across::<S, true>(simd, largest(simd, x, y.as_ptr()));
            each(simd, [x], [&mut *y], Asked::NOTHING, Share { minus: -max });
            let sum = across::<S, false>(simd, sum_terms(simd, [], [&*y], None, Total)[0]);
            renew(simd, [], [y], Asked::NOTHING, Own(Scaled { scale: 1.0 / sum }));
        }
    }
}

impl Shares<'_> {
    /// Blocks of as many rows as there are lanes, some together.
    #[inline(always)]
    fn short<S: Simd>(self, simd: S) {
        let block = self.classes * S::LANES;
        let mut rows = [0.0; SHORT * MOST_LANES];
        for (i, row) in rows[..block].chunks_exact_mut(self.classes).enumerate() {
            row.fill(f32::from_bits(i as u32));
        }
        let blocks = Blocks { classes: self.classes, rows: &rows[..block] };
        let wide = TOGETHER * block;
        for (x, y) in self.x.chunks(wide).zip(self.y.chunks_mut(wide)) {
            let whole = x.len().next_multiple_of(block);
            if whole == x.len() {
                blocks.shares(simd, x, y);
            } else {
                // Rows of zeros are as good as any.
                let (mut x_end, mut y_end) = ([0.0; MOST], [0.0; MOST]);
                x_end[..x.len()].copy_from_slice(x);
                blocks.shares(simd, &x_end[..whole], &mut y_end[..whole]);
                y.copy_from_slice(&y_end[..y.len()]);
            }
        }
    }
}

/// Blocks of as many rows as there are lanes, and for each value of one the number of its row, as bits.
struct Blocks<'a> {
    classes: usize,
    rows: &'a [f32],
}

impl Blocks<'_> {
    /// Softmax of up to [`TOGETHER`] blocks, step by step: what was just written across lines is not read at once.
    #[inline(always)]
    fn shares<S: Simd>(&self, simd: S, x: &[f32], y: &mut [f32]) {
        let (rows, block) = (self.rows, self.rows.len());
        let mut of_rows = [[0.0; MOST_LANES]; TOGETHER];
        for (minus, x) in of_rows.iter_mut().zip(x.chunks_exact(block)) {
            let max = fold_rows::<S, true>(simd, x, self.classes);
            simd.write_first(minus, simd.mul(max, simd.splat(-1.0)));
        }
        for ((minus, x), y) in of_rows.iter().zip(x.chunks_exact(block)).zip(y.chunks_exact_mut(block)) {
            let asked = Asked { reads: [], writes: [y.as_ptr().wrapping_add(TOGETHER * block)] };
            each(simd, [x, rows], [y], asked, ShareOfRow { minus });
        }
        for (scale, y) in of_rows.iter_mut().zip(y.chunks_exact(block)) {
            let sum = fold_rows::<S, false>(simd, y, self.classes);
            simd.write_first(scale, simd.div(simd.splat(1.0), sum));
        }
        for (scale, y) in of_rows.iter().zip(y.chunks_exact_mut(block)) {
            renew(simd, [rows], [y], Asked::NOTHING, ScaledOfRow { scale });
        }
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

/// The same with what the row's number finds.
#[derive(Clone, Copy)]
struct ShareOfRow<'a> {
    minus: &'a [f32; MOST_LANES],
}

impl Each<2, 1> for ShareOfRow<'_> {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [x, row]: [S::V; 2]) -> [S::V; 1] {
        [exp_below_0(simd, simd.add(x, simd.pick(simd.read(self.minus), row)))]
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

/// The same with what the row's number finds.
#[derive(Clone, Copy)]
struct ScaledOfRow<'a> {
    scale: &'a [f32; MOST_LANES],
}

impl Renew<1, 1> for ScaledOfRow<'_> {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [row]: [S::V; 1], [share]: [S::V; 1]) -> [S::V; 1] {
        [simd.mul(share, simd.pick(simd.read(self.scale), row))]
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

/// The gradient of the rows of `dx`.
pub struct Slopes<'a> {
    pub classes: usize,
    pub y: &'a [f32],
    pub dy: &'a [f32],
    pub dx: &'a mut [f32],
}

impl Job for Slopes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let rows = self.y.chunks_exact(self.classes).zip(self.dy.chunks_exact(self.classes));
        for (dx, (y, dy)) in self.dx.chunks_exact_mut(self.classes).zip(rows) {
            let [dot] = sum_terms(simd, [], [y, dy], Some(dx.as_ptr()), Dot);
            let minus_dot = -across::<S, false>(simd, dot);
            each(simd, [y, dy], [dx], Asked::NOTHING, Slope { minus_dot });
        }
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
