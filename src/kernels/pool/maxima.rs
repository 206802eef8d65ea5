//! The largest of windows of any kind: along the rows first, then down the columns, where what was made of a row serves
//! all rows of windows that meet it. Rows follow one another in scratch as one long row, margins between them, so few
//! lanes are idle. A stride is taken at the end.
//!
//! What is not a number would hide others of its row, where it only hides others of its window as the first: then the
//! windows go tap by tap. Whether there is any is found with the middle taps of small planes.

use super::{
    Axis, Pool, for_rows,
    lists::{Bands, Lists, outermost},
    same,
};
use crate::kernels::{
    scratch,
    simd::{
        Isa, Job, MOST_LANES, Simd,
        copy::{Layout, Unchanged, copy},
        maxima::{Found, all_finite, along, down_list, down_plane},
    },
};

/// About how many values of rows are gone over at a time.
const BAND: usize = 1024;

/// What [`same::lend_edges`] puts inside and outside for [`largest_same`]: what is added to what a tap meets, nothing, or what makes
/// it the least.
pub const ADDED: [f32; 2] = [-0.0, f32::NEG_INFINITY];

/// The largest values of the first planes, as many as `y` has, and, where `taps` is not empty, their taps: by the edges of planes that
/// are one long row.
pub fn largest_same(isa: Isa, pool: &Pool, edges: &[f32], x: &[f32], y: &mut [f32], taps: &mut [u8]) {
    let x = &x[..y.len() / pool.outputs() * pool.inputs()];
    let done = if taps.is_empty() {
        SamePlanes::<false>::of(isa, pool, edges, x, y, taps)
    } else {
        SamePlanes::<true>::of(isa, pool, edges, x, y, taps)
    };
    if !done {
        tap_by_tap(pool, x, y, taps);
    }
}

/// Likewise by lists of rows, whose numbers are those of their first taps.
pub fn largest_rows(isa: Isa, pool: &Pool, lists: Lists<'_>, x: &[f32], y: &mut [f32], taps: &mut [u8]) {
    let x = &x[..y.len() / pool.outputs() * pool.inputs()];
    let done = if taps.is_empty() {
        PlaneRows::<false>::of(isa, pool, lists, x, y, taps)
    } else {
        PlaneRows::<true>::of(isa, pool, lists, x, y, taps)
    };
    if !done {
        tap_by_tap(pool, x, y, taps);
    }
}

/// The largest values one by one, plainly.
fn tap_by_tap(pool: &Pool, x: &[f32], y: &mut [f32], taps: &mut [u8]) {
    let (inputs, outputs, (axis, outer)) = (pool.inputs(), pool.outputs(), pool.split());
    for (at, y) in y.iter_mut().enumerate() {
        let (x, o) = (&x[at / outputs * inputs..][..inputs], at % outputs);
        let (row, o) = (o / axis.output, o % axis.output);
        let mut best = None;
        for_rows(outer, row, |row, tap| {
            for i in axis.window(o) {
                let v = x[row * axis.input + i];
                if best.is_none_or(|(best, _)| v > best) {
                    best = Some((v, tap * axis.kernel + axis.tap(o, i)));
                }
            }
        });
        let (value, tap) = best.expect("a window holds some of the input");
        *y = value;
        if let Some(to) = taps.get_mut(at) {
            *to = tap as u8;
        }
    }
}

/// Planes that are one long row, windows as high as wide.
struct SamePlanes<'a, const TAKE: bool> {
    pool: &'a Pool,
    x: &'a [f32],
    y: &'a mut [f32],
    taps: &'a mut [u8],
    edges: &'a [f32],
    long: &'a mut [f32],
    found: Found<'a>,
}

impl<const TAKE: bool> SamePlanes<'_, TAKE> {
    fn of(isa: Isa, pool: &Pool, edges: &[f32], x: &[f32], y: &mut [f32], taps: &mut [u8]) -> bool {
        let (axis, _) = pool.split();
        let wide = same::room(pool) + 2 * axis.pad * axis.input + MOST_LANES;
        scratch::lend(3 * wide, |lent| {
            lent.fill(0.0);
            let (long, lent) = lent.split_at_mut(wide);
            let (best, tap) = lent.split_at_mut(wide);
            isa.run(SamePlanes::<TAKE> { pool, x, y, taps, edges, long, found: Found { best, tap } })
        })
    }
}

impl<const TAKE: bool> Job for SamePlanes<'_, TAKE> {
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> bool {
        let Self { pool, x: all, y, taps, edges, long, mut found } = self;
        let (&Axis { input: width, kernel, pad, .. }, _) = pool.split();
        let part = same::planes(pool) * pool.inputs();
        let (columns, rows) = edges.split_at(edges.len() / 2);
        for (i, (x, y)) in all.chunks(part).zip(y.chunks_mut(part)).enumerate() {
            // What lies around a group will be found finite, too, or all goes tap by tap; only around all there is nothing.
            let (start, around) = (i * part, part + MOST_LANES + pad);
            let long = if start >= pad && start + around <= all.len() {
                &all[start - pad..]
            } else {
                copy::<S, false, false>(simd, Layout::row(x.len()), (x, Unchanged), &mut long[pad..]);
                &*long
            };
            if !along::<S, TAKE>(simd, kernel, columns, x.len(), long, found.from(pad * width)) {
                return false;
            }
            let taps = if TAKE { &mut taps[i * part..][..x.len()] } else { &mut [] };
            let next = &all[((i + 1) * part).min(all.len())..];
            down_plane::<S, TAKE>(simd, [kernel, width], rows, found.from(0), (y, taps), next);
        }
        true
    }
}

/// Planes whose rows lie in scratch with margins.
struct PlaneRows<'a, const TAKE: bool> {
    pool: &'a Pool,
    lists: Lists<'a>,
    x: &'a [f32],
    y: &'a mut [f32],
    taps: &'a mut [u8],
    /// Values from row to row.
    pitch: usize,
    bands: Bands,
    long: &'a mut [f32],
    found: Found<'a>,
    /// What is made of the rows of windows, if not every one of them is an output.
    made: Found<'a>,
}

impl<const TAKE: bool> PlaneRows<'_, TAKE> {
    fn of(isa: Isa, pool: &Pool, lists: Lists<'_>, x: &[f32], y: &mut [f32], taps: &mut [u8]) -> bool {
        let (axis, outer) = pool.split();
        let Axis { input, output, kernel, stride, pad } = *axis;
        let pitch = (pad + input).max((output - 1) * stride + kernel);
        let (first, below) = outermost(outer, |a| a.input);
        let held = |steps: usize| match steps == first.output {
            true => below * first.input,
            false => below * ((steps - 1) * first.stride + first.kernel).min(first.input),
        };
        let bands = Bands::fit(2 * BAND / pitch, first.output, held);
        let long = bands.rows * pitch + kernel + MOST_LANES;
        let room = (bands.rows * pitch).next_multiple_of(MOST_LANES) + MOST_LANES;
        let row = pitch.next_multiple_of(MOST_LANES);
        scratch::lend(long + 2 * room + 2 * row, |lent| {
            let (long, lent) = lent.split_at_mut(long);
            long.fill(f32::NEG_INFINITY);
            let (best, lent) = lent.split_at_mut(room);
            let (tap, lent) = lent.split_at_mut(room);
            let (found, (best, tap)) = (Found { best, tap }, lent.split_at_mut(row));
            let made = Found { best, tap };
            isa.run(PlaneRows::<TAKE> { pool, lists, x, y, taps, pitch, bands, long, found, made })
        })
    }
}

impl<const TAKE: bool> Job for PlaneRows<'_, TAKE> {
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> bool {
        let Self { pool, lists, x, y, taps, pitch, bands, long, mut found, mut made } = self;
        let ((axis, outer), inputs, outputs) = (pool.split(), pool.inputs(), pool.outputs());
        let ((first, above), (_, below)) = (outermost(outer, |a| a.input), outermost(outer, |a| a.output));
        let (stride, width) = (axis.stride, (axis.output - 1) * axis.stride + 1);
        for (planes, steps) in bands.all(y.len() / outputs, first.output) {
            let held = match steps.len() == first.output {
                true => 0..first.input,
                false => first.window(steps.start).start..first.window(steps.end - 1).end,
            };
            let held = held.start * above..held.end * above;
            let count = planes.len() * held.len();
            let x = &x[planes.start * inputs + held.start * axis.input..][..count * axis.input];
            if !all_finite(simd, x) {
                return false;
            }
            let line = [axis.input, pitch];
            let layout = Layout { planes: 1, rows: count, width: axis.input, line };
            copy::<S, false, false>(simd, layout, (x, Unchanged), &mut long[axis.pad..]);
            along::<S, TAKE>(simd, axis.kernel, &[], count * pitch, long, found.from(0));
            for (slot, plane) in planes.enumerate() {
                for row in steps.start * below..steps.end * below {
                    let terms = lists.terms(row);
                    let rows = found.from(slot * held.len() * pitch);
                    let at = plane * outputs + row * axis.output;
                    let y = &mut y[at..][..axis.output];
                    let taps = if TAKE { &mut taps[at..][..axis.output] } else { &mut [] };
                    if stride == 1 {
                        down_list::<S, TAKE>(simd, terms, [held.start, pitch], rows, y, taps);
                        continue;
                    }
                    made.fold::<S, TAKE>(simd, terms, [held.start, pitch], rows, width);
                    y.iter_mut().zip(made.best.iter().step_by(stride)).for_each(|(y, best)| *y = *best);
                    taps.iter_mut()
                        .zip(made.tap.iter().step_by(stride))
                        .for_each(|(to, tap)| *to = *tap as u8);
                }
            }
        }
        true
    }
}
