//! Blobs seen as channels: each channel has a run of values in every image, and loops that go over a channel at a
//! time, so that what one pass has read is still in the cache for the next.

use std::ops::Range;

use super::{
    elementwise::vectorized,
    parallel::{CHUNK, for_chunks_mut, for_columns_mut},
    simd::MatMut,
};

/// `images x channels x inner` values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Channels {
    /// Images: how many runs a channel has.
    pub images: usize,
    /// Channels of an image.
    pub channels: usize,
    /// Values of a run.
    pub inner: usize,
}

/// Channels that are worked on together where a run is one value, so that the loops go along rows.
const COLUMNS: usize = 64;
/// Values that are summed in `f32` lanes before they go into an `f64`.
const BLOCK: usize = 1024;

impl Channels {
    /// The axes of `shape` before `from`, those from there to `to`, and the rest.
    pub fn of(shape: &[usize], from: usize, to: usize) -> Self {
        let product = |axes: &[usize]| axes.iter().copied().fold(1, usize::saturating_mul);
        Self {
            images: product(&shape[..from]),
            channels: product(&shape[from..to]),
            inner: product(&shape[to..]),
        }
    }

    /// All values.
    pub fn count(&self) -> usize {
        self.images * self.channels * self.inner
    }

    /// Values of a channel in all images.
    pub fn per_channel(&self) -> usize {
        self.images * self.inner
    }

    /// The run of channel `c` in image `n`.
    pub fn run(&self, n: usize, c: usize) -> Range<usize> {
        let start = (n * self.channels + c) * self.inner;
        start..start + self.inner
    }

    /// Calls `f(first, out, own)` for groups of channels: their columns of `out`, a row for each image, and what they
    /// own, one `T` a channel.
    pub fn for_groups<T: Send>(
        &self,
        out: Option<&mut [f32]>,
        own: &mut [T],
        f: impl Fn(usize, Option<MatMut<'_>>, &mut [T]) + Sync,
    ) {
        assert_eq!(own.len(), self.channels);
        let group = (CHUNK / self.per_channel().max(1)).max(1);
        let group = if self.inner == 1 { group.next_multiple_of(COLUMNS) } else { group };
        let row = self.channels * self.inner;
        let matrix = out.map(|out| MatMut::new(out, self.images, row, row));
        for_columns_mut(matrix, self.inner, own, group, &f);
    }

    /// out = f(settings of the channel, a, b) for the channels from `first` on whose columns `out` is.
    pub fn apply<S: Copy>(
        &self,
        first: usize,
        out: &mut MatMut<'_>,
        [a, b]: [&[f32]; 2],
        settings: &[S],
        f: impl Fn(S, f32, f32) -> f32,
    ) {
        let inner = self.inner;
        vectorized(
            #[inline(always)]
            || {
                for n in 0..self.images {
                    let start = self.run(n, first).start;
                    let out = out.row(n);
                    let (a, b) = (&a[start..][..out.len()], &b[start..][..out.len()]);
                    if inner == 1 {
                        let settings = &settings[..out.len()];
                        for i in 0..out.len() {
                            out[i] = f(settings[i], a[i], b[i]);
                        }
                        continue;
                    }
                    for (c, &s) in settings.iter().enumerate() {
                        let (at, out) = (c * inner, &mut out[c * inner..][..inner]);
                        let from = a[at..][..inner].iter().zip(&b[at..][..inner]);
                        out.iter_mut().zip(from).for_each(|(out, (&a, &b))| *out = f(s, a, b));
                    }
                }
            },
        );
    }

    /// Calls `done(i, sums)` for the channels from `first` on, one for each setting: the sums of all f(settings of the
    /// channel, a, b).
    pub fn sums<S: Copy, const N: usize>(
        &self,
        first: usize,
        [a, b]: [&[f32]; 2],
        settings: &[S],
        f: impl Fn(S, f32, f32) -> [f32; N],
        mut done: impl FnMut(usize, [f64; N]),
    ) {
        vectorized(
            #[inline(always)]
            || {
                // Runs of no values are summed to 0.
                if self.inner != 1 {
                    for (i, &s) in settings.iter().enumerate() {
                        let mut sums = Sums::new();
                        for n in 0..self.images {
                            let run = self.run(n, first + i);
                            sums.add([&a[run.clone()], &b[run]], |a, b| f(s, a, b));
                        }
                        done(i, sums.total());
                    }
                    return;
                }
                for (tile, settings) in settings.chunks(COLUMNS).enumerate() {
                    let (at, len) = (first + tile * COLUMNS, settings.len());
                    let mut sums = [[0f64; COLUMNS]; N];
                    for n in 0..self.images {
                        let start = n * self.channels + at;
                        let (a, b) = (&a[start..][..len], &b[start..][..len]);
                        for i in 0..len {
                            let more = f(settings[i], a[i], b[i]);
                            sums.iter_mut().zip(more).for_each(|(sums, more)| sums[i] += f64::from(more));
                        }
                    }
                    (0..len).for_each(|i| done(tile * COLUMNS + i, sums.map(|sums| sums[i])));
                }
            },
        );
    }

    /// out = f(both settings of the channel, x) over the whole blob, in pieces that may cut runs.
    pub fn map(
        &self,
        x: &[f32],
        out: &mut [f32],
        [s, t]: [&[f32]; 2],
        f: impl Fn(f32, f32, f32) -> f32 + Sync,
    ) {
        assert!(x.len() == out.len() && s.len() == self.channels && t.len() == self.channels);
        let run = if self.inner == 1 { self.channels } else { self.inner };
        for_chunks_mut(out, CHUNK, |start, part| {
            vectorized(
                #[inline(always)]
                || {
                    let (mut at, mut part) = (start, part);
                    while !part.is_empty() {
                        let len = (run - at % run).min(part.len());
                        let (piece, rest) = std::mem::take(&mut part).split_at_mut(len);
                        let values = piece.iter_mut().zip(&x[at..][..len]);
                        if self.inner == 1 {
                            let settings = s[at % run..][..len].iter().zip(&t[at % run..][..len]);
                            values.zip(settings).for_each(|((out, &x), (&s, &t))| *out = f(s, t, x));
                        } else {
                            let c = at / run % self.channels;
                            let (s, t) = (s[c], t[c]);
                            values.for_each(|(out, &x)| *out = f(s, t, x));
                        }
                        (at, part) = (at + len, rest);
                    }
                },
            );
        });
    }
}

/// The sums of all f(a, b), in `f32` lanes by blocks and in `f64` over them.
#[inline(always)]
pub fn sums_of<const N: usize>([a, b]: [&[f32]; 2], f: impl Fn(f32, f32) -> [f32; N]) -> [f64; N] {
    let mut sums = Sums::new();
    sums.add([a, b], f);
    sums.total()
}

/// Sums that several runs go into.
struct Sums<const N: usize> {
    lanes: [[f32; 16]; N],
    /// How many values the lanes hold.
    held: usize,
    sums: [f64; N],
}

impl<const N: usize> Sums<N> {
    fn new() -> Self {
        Self { lanes: [[0.0; 16]; N], held: 0, sums: [0.0; N] }
    }

    #[inline(always)]
    fn add(&mut self, [mut a, mut b]: [&[f32]; 2], f: impl Fn(f32, f32) -> [f32; N]) {
        while !a.is_empty() {
            let now = (BLOCK - self.held).min(a.len());
            let ((a_now, a_later), (b_now, b_later)) = (a.split_at(now), b.split_at(now));
            let ((a16, a_rest), (b16, b_rest)) = (a_now.as_chunks::<16>(), b_now.as_chunks::<16>());
            // In registers while the loop runs.
            let mut lanes = self.lanes;
            for (a, b) in a16.iter().zip(b16) {
                for i in 0..16 {
                    let more = f(a[i], b[i]);
                    (0..N).for_each(|k| lanes[k][i] += more[k]);
                }
            }
            for (i, (&a, &b)) in a_rest.iter().zip(b_rest).enumerate() {
                let more = f(a, b);
                (0..N).for_each(|k| lanes[k][i] += more[k]);
            }
            (self.lanes, self.held, a, b) = (lanes, self.held + now, a_later, b_later);
            if self.held == BLOCK {
                self.empty();
            }
        }
    }

    /// Adds the lanes up, by halves.
    #[inline(always)]
    fn empty(&mut self) {
        for (sum, lanes) in self.sums.iter_mut().zip(&mut self.lanes) {
            for half in [8, 4, 2, 1] {
                let (low, high) = lanes.split_at_mut(half);
                low.iter_mut().zip(high).for_each(|(low, high)| *low += *high);
            }
            *sum += f64::from(lanes[0]);
            *lanes = [0.0; 16];
        }
        self.held = 0;
    }

    #[inline(always)]
    fn total(mut self) -> [f64; N] {
        self.empty();
        self.sums
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Shapes that meet every path.
    pub const SHAPES: [(usize, usize, usize); 9] = [
        (1, 1, 1),
        (3, 70, 1),
        (2, 3, 5),
        (7, 1, 1),
        (1, 5, 3000),
        (2, 200, 129),
        (3, 1, 40_000),
        (0, 3, 2),
        (300, 130, 1),
    ];

    #[test]
    fn loops_find_each_value_and_its_channel() {
        for (images, channels, inner) in SHAPES {
            let dims = Channels { images, channels, inner };
            let n = dims.count();
            let channel = |i: usize| i / inner % channels;
            let a: Vec<f32> = (0..n).map(|i| (i % 17) as f32).collect();
            let b: Vec<f32> = (0..n).map(|i| (i % 5) as f32).collect();
            let settings: Vec<f32> = (0..channels).map(|c| c as f32).collect();
            let want: Vec<f32> = (0..n).map(|i| channel(i) as f32 * a[i] - b[i]).collect();
            let mut out = vec![f32::NAN; n];
            let mut sums = vec![[f64::NAN; 2]; channels];
            dims.for_groups(Some(&mut out), &mut sums, |first, out, sums| {
                let settings = &settings[first..][..sums.len()];
                dims.apply(first, &mut out.unwrap(), [&a, &b], settings, |s, a, b| s * a - b);
                let f = |s, a, b| [s * a - b, a];
                dims.sums(first, [&a, &b], settings, f, |i, found| sums[i] = found);
            });
            assert_eq!(out, want);
            let mut plain = vec![[0.0; 2]; channels];
            for i in 0..n {
                plain[channel(i)][0] += f64::from(want[i]);
                plain[channel(i)][1] += f64::from(a[i]);
            }
            for (got, want) in sums.iter().flatten().zip(plain.iter().flatten()) {
                assert!((got - want).abs() <= 1e-6 * want.abs().max(1.0), "{got} is not {want} in {dims:?}");
            }
            dims.map(&a, &mut out, [&settings, &settings], |s, t, a| s + t + a);
            assert!((0..n).all(|i| out[i] == 2.0 * channel(i) as f32 + a[i]));
        }
    }
}
