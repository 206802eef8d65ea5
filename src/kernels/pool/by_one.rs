//! Windows of three by three that move by one, with a margin of one: a plane is as large as its outputs, so it is gone over
//! as one long row, and no lane is idle.
//!
//! Largest values are taken along the rows first, then down the columns, where each row's serve three rows of windows.

use super::{Axis, Pool};
use crate::kernels::{
    scratch,
    simd::{Isa, Job, MOST_LANES, Simd},
};

/// About how many values are taken along their rows before they are down the columns.
const BAND: usize = 2048;
/// Values ahead of the last written whose lines are asked for.
const AHEAD: usize = 128;
/// Values ahead of the last read whose lines are asked for.
const FAR: usize = 1024;

/// Rows and columns of a plane, if windows are such as this is for.
fn sides(pool: &Pool) -> Option<[usize; 2]> {
    let fits = |a: &Axis| (a.kernel, a.stride, a.pad, a.output) == (3, 1, 1, a.input);
    match &pool.axes[..] {
        [rows, columns] if fits(rows) && fits(columns) => Some([rows.input, columns.input]),
        _ => None,
    }
}

/// The largest values of the first planes, as many as `y` has, and, where `taps` is not empty, their taps; says whether windows
/// are such as this is for, and all values finite: what is not a number would hide others of its row.
pub fn largest(isa: Isa, pool: &Pool, x: &[f32], y: &mut [f32], taps: &mut [u8]) -> bool {
    let Some([height, width]) = sides(pool) else { return false };
    let band = (BAND / width).clamp(1, height);
    let long = (band + 2) * width + MOST_LANES;
    scratch::lend(4 * long, |lent| {
        let (edges, met) = lent.split_at_mut(2 * long);
        let (left, right) = edges.split_at_mut(long);
        for (edge, column) in [(&mut *left, 0), (&mut *right, width - 1)] {
            edge.fill(-0.0);
            edge[column..].iter_mut().step_by(width).for_each(|v| *v = f32::NEG_INFINITY);
        }
        let (best, tap) = met.split_at_mut(long);
        let planes = Planes { height, width, band, x, y, taps, edges: [left, right], met: [best, tap] };
        if planes.taps.is_empty() { isa.run(Fold::<false>(planes)) } else { isa.run(Fold::<true>(planes)) }
    })
}

struct Planes<'a> {
    height: usize,
    width: usize,
    /// Rows of outputs that are made at a time.
    band: usize,
    x: &'a [f32],
    y: &'a mut [f32],
    taps: &'a mut [u8],
    /// What is added to the value before and behind each of a row: nothing, or, where it is another row's, what makes it the
    /// least.
    edges: [&'a [f32]; 2],
    /// The largest of each three values of a row, and which.
    met: [&'a mut [f32]; 2],
}

struct Fold<'a, const TAKE: bool>(Planes<'a>);

impl<const TAKE: bool> Job for Fold<'_, TAKE> {
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> bool {
        let Planes { height, width, band, x, y, taps, edges, met: [best, tap] } = self.0;
        let plane = height * width;
        for (p, (x, y)) in x.chunks_exact(plane).zip(y.chunks_exact_mut(plane)).enumerate() {
            for row in (0..height).step_by(band) {
                let end = height.min(row + band);
                // Rows above and below the plane are met, too, and are less than all others.
                let (above, below) = (usize::from(row == 0), usize::from(end == height));
                let rows = (row + above - 1) * width..(end + 1 - below) * width;
                best[..above * width].fill(f32::NEG_INFINITY);
                best[above * width + rows.len()..].fill(f32::NEG_INFINITY);
                let met = [&mut best[above * width..], &mut tap[above * width..]];
                if !along::<S, TAKE>(simd, &x[rows], edges, met) {
                    return false;
                }
                let made = row * width..end * width;
                let to = p * plane + made.start..p * plane + made.end;
                let taps = if TAKE { &mut taps[to] } else { &mut [] };
                down::<S, TAKE>(
                    simd,
                    width,
                    [best, tap],
                    &mut y[made],
                    taps,
                    x.as_ptr().wrapping_add(row * width),
                );
            }
        }
        true
    }
}

/// The largest of each value of some rows and its two neighbours, and which: 0, 1 or 2; says whether all are finite.
#[inline(always)]
fn along<S: Simd, const TAKE: bool>(
    simd: S,
    x: &[f32],
    [left, right]: [&[f32]; 2],
    [best, tap]: [&mut [f32]; 2],
) -> bool {
    let (zero, one, two) = (simd.splat(0.0), simd.splat(1.0), simd.splat(2.0));
    let mut finite = zero;
    for at in (0..x.len()).step_by(S::LANES) {
        let b = simd.read_first(&x[at..]);
        let a = if at == 0 { simd.shift(b) } else { simd.read_first(&x[at - 1..]) };
        let c = simd.read_first(&x[at + 1..]);
        let (a, c) = (simd.add(a, simd.read(&left[at..])), simd.add(c, simd.read(&right[at..])));
        let n = S::LANES.min(x.len() - at);
        if TAKE {
            let which = simd.where_greater(b, a, one, zero);
            let most = simd.max(b, a);
            simd.write_first(&mut tap[at..at + n], simd.where_greater(c, most, two, which));
        }
        simd.write_first(&mut best[at..at + n], simd.max(c, simd.max(b, a)));
        // 0 for what is finite.
        finite = simd.fma(b, zero, finite);
    }
    let mut lanes = [0.0; MOST_LANES];
    simd.write_first(&mut lanes, finite);
    lanes.iter().all(|&lane| lane == 0.0)
}

/// The largest of three rows' largest, and its tap, for each value of the rows between.
#[inline(always)]
fn down<S: Simd, const TAKE: bool>(
    simd: S,
    width: usize,
    [best, tap]: [&[f32]; 2],
    y: &mut [f32],
    taps: &mut [u8],
    x: *const f32,
) {
    let (three, six) = (simd.splat(3.0), simd.splat(6.0));
    for at in (0..y.len()).step_by(S::LANES) {
        simd.prefetch(x.wrapping_add(at + FAR));
        let y = &mut y[at..];
        simd.prefetch_to_write(y.as_ptr().wrapping_add(AHEAD));
        let (second, third) = (at + width, at + 2 * width);
        let first = simd.read(&best[at..]);
        let (middle, last) = (simd.read(&best[second..]), simd.read(&best[third..]));
        let most = simd.max(middle, first);
        simd.write_first(y, simd.max(last, most));
        if TAKE {
            let taken = simd.add(simd.read(&tap[second..]), three);
            let top = simd.where_greater(middle, first, taken, simd.read(&tap[at..]));
            let taken = simd.add(simd.read(&tap[third..]), six);
            simd.write_bytes_first(&mut taps[at..], simd.where_greater(last, most, taken, top));
        }
    }
}

/// dx, from number `first` of all on, = the sum, in order, of each dy of nine windows that took it; says whether windows are
/// such as this is for. `dy` and `taps` are those of all planes.
pub fn largest_backward(
    isa: Isa,
    pool: &Pool,
    dy: &[f32],
    taps: &[u8],
    dx: &mut [f32],
    first: usize,
) -> bool {
    let Some([_, width]) = sides(pool) else { return false };
    isa.run(Gather { width, dy, taps, dx, first });
    true
}

/// Planes and rows follow one another: what a neighbour took beyond the end of a row, or of a plane, would be in its margin, so
/// it did not take it.
struct Gather<'a> {
    width: usize,
    dy: &'a [f32],
    taps: &'a [u8],
    dx: &'a mut [f32],
    first: usize,
}

impl Job for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { width, dy, taps, dx, first } = self;
        for (i, dx) in dx.chunks_mut(S::LANES).enumerate() {
            let at = first + i * S::LANES;
            if at > width && at + width + 1 + S::LANES <= dy.len() {
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
            } else {
                dx.iter_mut().zip(at..).for_each(|(dx, at)| *dx = one(width, dy, taps, at));
            }
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
