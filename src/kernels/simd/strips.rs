//! The micro-kernel of weight gradients of few input channels and many taps: strips of neighbouring taps times channels of
//! the output's gradient, summed over positions.

use super::{Isa, Job, Run, Simd};

/// The most taps of a strip.
pub const STRIP: usize = 7;

/// The factors of one or two strips.
#[derive(Clone, Copy, Debug)]
pub struct Strips<'a> {
    /// The planes.
    pub data: &'a [f32],
    /// Where each strip's first tap reads.
    pub starts: &'a [usize],
    /// Taps of a strip, which read side by side.
    pub taps: usize,
    /// Distance between what a tap reads for neighbouring positions.
    pub step: usize,
    /// The positions, in the order of the groups of `b`.
    pub runs: &'a [Run],
    /// One group of values a position.
    pub b: &'a [f32],
    /// Distance between the sums of the strips.
    pub line: usize,
    /// What will be read next is fetched meanwhile.
    pub next: Pieces<'a>,
}

/// Pieces of memory: `count` of `len` values, `stride` apart.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pieces<'a> {
    /// The first piece and what follows.
    pub data: &'a [f32],
    /// Distance between pieces.
    pub stride: usize,
    /// Their number.
    pub count: usize,
    /// Values of each.
    pub len: usize,
}

/// Asks for the pieces, a few lines at a time.
struct Fetch<'a> {
    pieces: Pieces<'a>,
    /// Lines in all, those asked for, and where the next is.
    lines: usize,
    done: usize,
    at: (usize, usize),
}

impl<'a> Fetch<'a> {
    fn new(pieces: Pieces<'a>, lanes: usize) -> Self {
        Self { pieces, lines: pieces.count * pieces.len.div_ceil(lanes), done: 0, at: (0, 0) }
    }

    /// Asks for the next lines, until `part` of `parts` have been asked for.
    #[inline(always)]
    fn go<S: Simd>(&mut self, simd: S, part: usize, parts: usize) {
        let (mut piece, mut x) = self.at;
        while self.done * parts < self.lines * part {
            simd.prefetch(self.pieces.data.as_ptr().wrapping_add(piece * self.pieces.stride + x));
            x += S::LANES;
            if x >= self.pieces.len {
                (piece, x) = (piece + 1, 0);
            }
            self.done += 1;
        }
        self.at = (piece, x);
    }
}

/// `c[s * line + t * width + j] +=` the sum over positions x of `data[starts[s] + t + x * step] * b[x][j]`, for `width`
/// columns j.
///
/// # Panics
/// When there are not one or two strips of 1 to [`STRIP`] taps, at most `isa.tile_rows()` in all, `width` is not one or
/// two registers, or something is too short or reaches outside.
pub fn strips(isa: Isa, factors: &Strips<'_>, width: usize, c: &mut [f32]) {
    let Strips { data, starts, taps, step, runs, b, line, .. } = *factors;
    assert!(starts.len() * taps <= isa.tile_rows(), "{} strips of {taps}", starts.len());
    assert!(width == isa.lanes() || width == isa.tile_cols(), "{width} columns");
    assert!((starts.len() - 1) * line + taps * width <= c.len(), "sums are too short");
    assert!(b.len() >= runs.iter().map(|r| r.len).sum::<usize>() * width, "b is too short");
    let furthest = starts.iter().copied().max().unwrap_or(0) + taps;
    let end = runs.iter().map(|r| r.from + r.len.saturating_sub(1) * step).max().unwrap_or(0);
    assert!(furthest + end <= data.len(), "runs reach outside");
    let two = width > isa.lanes();
    macro_rules! sizes {
        ($($strips:literal $taps:literal,)*) => {
            match (starts.len(), taps, two) {
                $(($strips, $taps, false) => isa.run(Fixed::<$strips, $taps, 1> { factors, c }),
                  ($strips, $taps, true) => isa.run(Fixed::<$strips, $taps, 2> { factors, c }),)*
                _ => panic!("{} strips of {taps} taps", starts.len()),
            }
        };
    }
    sizes!(1 1, 1 2, 1 3, 1 4, 1 5, 1 6, 1 7, 2 1, 2 2, 2 3, 2 4, 2 5, 2 6, 2 7,);
}

/// `N` strips of `T` taps and `NV` registers a tap, whose sizes `strips` has checked.
struct Fixed<'a, 'c, const N: usize, const T: usize, const NV: usize> {
    factors: &'a Strips<'a>,
    c: &'c mut [f32],
}

impl<const N: usize, const T: usize, const NV: usize> Job for Fixed<'_, '_, N, T, NV> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // Kernels too large for this instruction set are never called; do not compile them.
        if const { N * T > S::ROWS } {
            return;
        }
        let Fixed { factors, c } = self;
        let mut sum = [[[simd.splat(0.0); NV]; T]; N];
        let (mut b, step) = (factors.b.as_ptr(), factors.step);
        let mut fetch = Fetch::new(factors.next, S::LANES);
        for (i, run) in factors.runs.iter().enumerate() {
            fetch.go(simd, i + 1, factors.runs.len());
            let mut rows: [*const f32; N] =
                std::array::from_fn(|s| factors.data.as_ptr().wrapping_add(factors.starts[s] + run.from));
            for _ in 0..run.len {
                let mut lanes = [simd.splat(0.0); NV];
                for (v, lanes) in lanes.iter_mut().enumerate() {
                    // SAFETY: `strips` checked that `b` has `NV * LANES` values for each position.
                    *lanes = unsafe { simd.load(b.add(v * S::LANES)) };
                }
                for n in 0..N {
                    for (t, sums) in sum[n].iter_mut().enumerate() {
                        // SAFETY: `strips` checked that every tap of every run lies inside `data`.
                        let value = simd.splat(unsafe { *rows[n].add(t) });
                        for v in 0..NV {
                            sums[v] = simd.fma(value, lanes[v], sums[v]);
                        }
                    }
                    rows[n] = rows[n].wrapping_add(step);
                }
                b = b.wrapping_add(NV * S::LANES);
            }
        }
        for (s, sums) in sum.into_iter().enumerate() {
            for (t, sums) in sums.into_iter().enumerate() {
                for (v, sum) in sums.into_iter().enumerate() {
                    let c = &mut c[s * factors.line + (t * NV + v) * S::LANES..][..S::LANES];
                    simd.write_first(c, simd.add(simd.read(c), sum));
                }
            }
        }
    }
}

/// `sums[j] +=` the sum of value j of all groups of `width` values.
///
/// # Panics
/// When there are more sums than values in a group, or `width` is not one or two registers.
pub fn add_groups(isa: Isa, groups: &[f32], width: usize, sums: &mut [f32]) {
    assert!(sums.len() <= width && (width == isa.lanes() || width == isa.tile_cols()), "groups of {width}");
    isa.run(Groups { groups, width, sums });
}

struct Groups<'a> {
    groups: &'a [f32],
    width: usize,
    sums: &'a mut [f32],
}

impl Job for Groups<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        /// Sums that do not wait for each other.
        const CHAINS: usize = 4;
        let Self { groups, width, sums } = self;
        for (i, sums) in sums.chunks_mut(S::LANES).enumerate() {
            let mut chains = [simd.splat(0.0); CHAINS];
            for groups in groups.chunks(CHAINS * width) {
                for (chain, group) in chains.iter_mut().zip(groups.chunks_exact(width)) {
                    *chain = simd.add(*chain, simd.read(&group[i * S::LANES..]));
                }
            }
            let [a, b, c, d] = chains;
            let old = simd.read_first(sums);
            simd.write_first(sums, simd.add(old, simd.add(simd.add(a, b), simd.add(c, d))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::portable::Portable;

    #[test]
    fn fetching_is_shared_out_among_the_runs() {
        let mut fetch = Fetch::new(Pieces { data: &[], stride: 100, count: 3, len: 9 }, Portable::LANES);
        assert_eq!(fetch.lines, 9);
        fetch.go(Portable, 1, 2);
        assert_eq!((fetch.done, fetch.at), (5, (1, 8)));
        fetch.go(Portable, 2, 2);
        assert_eq!((fetch.done, fetch.at), (9, (3, 0)));
    }

    fn numbers(len: usize) -> Vec<f32> {
        (0..len).map(|v| (v * 7 % 11) as f32 - 5.0).collect()
    }

    #[test]
    fn sums_match_the_definition() {
        let runs = [Run { from: 3, len: 37 }, Run { from: 0, len: 0 }, Run { from: 50, len: 5 }];
        let data = numbers(300);
        for isa in Isa::all() {
            for (strips_, taps) in (1..=2).flat_map(|s| (1..=STRIP).map(move |taps| (s, taps))) {
                if strips_ * taps > isa.tile_rows() {
                    continue;
                }
                for (width, step) in [(isa.lanes(), 1), (isa.tile_cols(), 1), (isa.tile_cols(), 3)] {
                    let positions: Vec<usize> =
                        runs.iter().flat_map(|r| (0..r.len).map(|x| r.from + x * step)).collect();
                    let (b, starts) = (numbers(positions.len() * width), [60, 11]);
                    let (starts, line) = (&starts[..strips_], taps * width + 5);
                    let next = Pieces { data: &data, stride: 40, count: 3, len: 33 };
                    let factors = Strips { data: &data, starts, taps, step, runs: &runs, b: &b, line, next };
                    let mut c = vec![1.0; strips_ * line];
                    strips(isa, &factors, width, &mut c);
                    for (i, &got) in c.iter().enumerate() {
                        let (s, t, j) = (i / line, i % line / width, i % line % width);
                        let products = positions
                            .iter()
                            .zip(b.chunks(width))
                            .map(|(p, b)| data[starts[s] + t + p] * b[j]);
                        let want = if t < taps { products.sum() } else { 0.0 };
                        assert_eq!(got, 1.0 + want, "{strips_} of {taps} x {width} on {}", isa.name());
                    }
                }
            }
        }
    }

    #[test]
    fn groups_are_summed() {
        for isa in Isa::all() {
            for (width, count) in
                [isa.lanes(), isa.tile_cols()].into_iter().flat_map(|w| [0, 1, 7].map(|n| (w, n)))
            {
                let groups = numbers(width * count);
                for valid in [1, width - 1, width] {
                    let mut sums = vec![1.0; valid];
                    add_groups(isa, &groups, width, &mut sums);
                    for (j, &sum) in sums.iter().enumerate() {
                        let want = 1.0 + groups.iter().skip(j).step_by(width).sum::<f32>();
                        assert_eq!(sum, want, "{width} on {}", isa.name());
                    }
                }
            }
        }
    }
}
