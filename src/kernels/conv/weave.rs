//! Phases of a stride, each computed by itself, woven into lines of the input.

use super::ConvAxis;
use super::phases::{self, Phase};
use crate::kernels::{
    elementwise::Rectified,
    simd::{Asked, Job, MatMut, Simd, renew},
};

/// Values of the phases that fill lines of the input together: one phase after the other, each a row a channel; or those that are
/// alike together, channel by channel.
#[derive(Clone, Copy)]
pub struct Phases<'a> {
    pub values: &'a [f32],
    /// Rows of a phase.
    pub rows: usize,
    /// Lines of a row, and length of a line of the input.
    pub lines: usize,
    /// See `lines`.
    pub len: usize,
    /// Distance between values of one phase in a line of the input.
    pub stride: usize,
    /// The last axis, which tells what is alike, if that stands together.
    pub alike: Option<&'a ConvAxis>,
}

/// Where the values of a phase lie: the first, the distance between rows, and the length of a line.
#[derive(Clone, Copy, Default)]
struct Place {
    first: usize,
    row: usize,
    len: usize,
}

impl<'a> Phases<'a> {
    /// The places of all that have values.
    fn places(self) -> impl Iterator<Item = Place> + use<'a> {
        let (mut first, mut next, mut alike, mut left) = (0, 0, 0, 0);
        (0..self.stride.min(self.len)).map(move |remainder| {
            let len = (self.len - remainder).div_ceil(self.stride);
            let of_row = self.lines * len;
            first += of_row;
            if left == 0 {
                alike = self.alike.map_or(1, |axis| phases::alike(axis, remainder));
                (first, next, left) = (next, next + self.rows * alike * of_row, alike);
            }
            left -= 1;
            Place { first, row: alike * of_row, len }
        })
    }

    /// A line of one of them.
    fn line(&self, place: &Place, row: usize, line: usize) -> &'a [f32] {
        &self.values[place.first + row * place.row + line * place.len..][..place.len]
    }
}

/// Weaves phases into lines of the input.
pub struct Weave<'a> {
    pub phases: Phases<'a>,
    /// The first of them, which knows the lines' places in `c`.
    pub first: &'a Phase,
    /// Their row that is the first of `c`.
    pub row: usize,
    /// Whether the other lines are to be zeros.
    pub clear: bool,
    /// Whether values are added to those of `c`, and what lies beside all rows, so far apart: sums are 0 where that is not above 0.
    pub add: bool,
    /// See `add`.
    pub x: Option<(&'a [f32], usize)>,
    /// The rows of the input.
    pub c: MatMut<'a>,
}

impl Job for Weave<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        /// The most phases that are woven by registers.
        const MOST: usize = 8;
        let Weave { phases, first, row: first_row, clear, add, x, mut c } = self;
        let Phases { lines, len, stride, .. } = phases;
        let mut places = [Place::default(); MOST];
        places.iter_mut().zip(phases.places()).for_each(|(kept, place)| *kept = place);
        for i in 0..c.rows() {
            let (row, number) = (c.row(i), first_row + i);
            if clear {
                row.fill(0.0);
            }
            for line in 0..lines {
                let to = &mut row[first.line_start(line)..][..len];
                let [a, b, c, d, e, f, g, h] = &places;
                let of = |place: &Place| phases.line(place, number, line);
                match stride {
                    2 if len >= 2 => weave(simd, [of(a), of(b)], add, to),
                    4 if len >= 4 => weave(simd, [of(a), of(b), of(c), of(d)], add, to),
                    8 if len >= 8 => {
                        weave(simd, [of(a), of(b), of(c), of(d), of(e), of(f), of(g), of(h)], add, to);
                    }
                    _ => {
                        for (remainder, place) in phases.places().enumerate() {
                            let to = to[remainder..].iter_mut().step_by(stride).zip(of(&place));
                            to.for_each(|(to, &v)| *to = if add { *to + v } else { v });
                        }
                    }
                }
            }
            if let Some((x, area)) = x {
                renew(simd, [&x[number * area..]], [row], Asked::NOTHING, Rectified);
            }
        }
    }
}

/// `to` = the values of `phases`, a power of two of them, in turns, or these are added to it; the first may have one more than the last.
#[inline(always)]
pub fn weave<S: Simd, const N: usize>(simd: S, phases: [&[f32]; N], add: bool, to: &mut [f32]) {
    for (i, to) in to.chunks_mut(N * S::LANES).enumerate() {
        let mut values = [simd.splat(0.0); N];
        for (value, phase) in values.iter_mut().zip(&phases) {
            *value = simd.read_first(&phase[(i * S::LANES).min(phase.len())..]);
        }
        let mut woven = 1;
        while woven < N {
            let from = values;
            for pair in 0..N / 2 {
                (values[2 * pair], values[2 * pair + 1]) = simd.zip(from[pair], from[pair + N / 2]);
            }
            woven *= 2;
        }
        let mut rest = to;
        for value in values {
            let part;
            (part, rest) = rest.split_at_mut(rest.len().min(S::LANES));
            simd.write_first(part, if add { simd.add(simd.read_first(part), value) } else { value });
        }
    }
}
