//! Windows that move by one over small planes as large as their outputs: whole groups of planes are one long row both
//! ways, without margins, as what a tap meets beyond the edge of its plane is made nothing: by adding what makes it the
//! least, or, of sums, by masking its bits. Means are sums of sums; their gradient is the same of shares.

use super::Pool;
use crate::kernels::{
    scratch,
    simd::{
        Divisor, Isa, Job, MOST_LANES, Simd,
        copy::{Layout, OverOne, Unchanged, copy},
        long::around,
    },
};

/// About how many values are one long row, and the most of a plane that is one with its neighbours.
const BAND: usize = 1024;
const SMALL: usize = 2 * BAND;

/// Whether planes and windows are such as this is for.
pub fn fits(pool: &Pool) -> bool {
    let [rows, columns] = &pool.axes[..] else { return false };
    let same = [rows, columns].iter().all(|a| (a.stride, a.kernel, a.output) == (1, 2 * a.pad + 1, a.input));
    same && rows.kernel == columns.kernel && matches!(rows.kernel, 3 | 5) && pool.inputs() <= SMALL
}

/// How many planes are one long row.
pub fn planes(pool: &Pool) -> usize {
    (BAND / pool.inputs()).max(1)
}

/// Values of planes that are one long row, whole registers.
pub fn room(pool: &Pool) -> usize {
    (planes(pool) * pool.inputs()).next_multiple_of(MOST_LANES)
}

/// Lends `f` for each tap of a row of windows, and then of a column, [`room`] values: `outside` where what it meets lies beyond the edge
/// of the plane, else `inside`.
pub fn lend_edges<R>(pool: &Pool, [inside, outside]: [f32; 2], f: impl FnOnce(&[f32]) -> R) -> R {
    let ((axis, _), plane, room) = (pool.split(), pool.inputs(), room(pool));
    scratch::lend(2 * axis.kernel * room, |edges| {
        edges.fill(inside);
        let (columns, rows) = edges.split_at_mut(axis.kernel * room);
        for (tap, (columns, rows)) in columns.chunks_mut(room).zip(rows.chunks_mut(room)).enumerate() {
            let beyond = |length: usize| match axis.pad.checked_sub(tap) {
                Some(before) => 0..before.min(length),
                None => (length + axis.pad).saturating_sub(tap)..length,
            };
            for row in columns.chunks_exact_mut(axis.input) {
                row[beyond(axis.input)].fill(outside);
            }
            for plane in rows.chunks_exact_mut(plane) {
                let lines = beyond(plane.len() / axis.input);
                plane[lines.start * axis.input..lines.end * axis.input].fill(outside);
            }
        }
        f(edges)
    })
}

/// What [`lend_edges`] puts inside and outside for [`means`]: bits that are kept.
pub const KEPT: [f32; 2] = [f32::from_bits(u32::MAX), 0.0];

/// to = the means of the windows of the first planes of `from`, as many as it has, or, with `BACK`, their gradient. Each sum is divided
/// by `norm`.
pub fn means<const BACK: bool>(
    isa: Isa,
    pool: &Pool,
    norm: Divisor,
    edges: &[f32],
    from: &[f32],
    to: &mut [f32],
) {
    let (axis, _) = pool.split();
    let long = room(pool) + 2 * axis.pad * axis.input + MOST_LANES;
    let from = &from[..to.len()];
    scratch::lend(2 * long, |lent| {
        let (long, made) = lent.split_at_mut(long);
        isa.run(Means::<BACK> { pool, norm, edges, from, to, long, made });
    });
}

struct Means<'a, const BACK: bool> {
    pool: &'a Pool,
    norm: Divisor,
    edges: &'a [f32],
    from: &'a [f32],
    to: &'a mut [f32],
    long: &'a mut [f32],
    made: &'a mut [f32],
}

impl<const BACK: bool> Job for Means<'_, BACK> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { pool, norm, edges, from: all, to, long, made } = self;
        let (axis, _) = pool.split();
        let part = planes(pool) * pool.inputs();
        let (columns, rows) = edges.split_at(edges.len() / 2);
        let over = OverOne(norm);
        for (i, (from, to)) in all.chunks(part).zip(to.chunks_mut(part)).enumerate() {
            let (made, row) = (&mut made[..], Layout::row(from.len()));
            if BACK {
                copy::<S, true, false>(simd, row, (from, over), &mut long[axis.pad..]);
                let sums = &mut made[axis.pad * axis.input..][..from.len()];
                around::<S, false, false>(simd, [axis.kernel, 1], columns, long, (sums, Unchanged));
                around::<S, false, true>(simd, [axis.kernel, axis.input], rows, made, (to, Unchanged));
                continue;
            }
            // What lies around a group is not met; only around all there is nothing.
            let (start, margin) = (i * part, axis.pad * axis.input);
            let long = if start >= margin && start + part + MOST_LANES + margin <= all.len() {
                &all[start - margin..]
            } else {
                copy::<S, false, false>(simd, row, (from, Unchanged), &mut long[margin..]);
                &*long
            };
            let sums = &mut made[axis.pad..][..from.len()];
            around::<S, true, false>(simd, [axis.kernel, axis.input], rows, long, (sums, Unchanged));
            around::<S, false, true>(simd, [axis.kernel, 1], columns, made, (to, over));
        }
    }
}
