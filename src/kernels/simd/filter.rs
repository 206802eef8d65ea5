//! One channel's filter: the micro-kernels of depthwise convolution, forward and for its weights.

use super::{Epilogue, Isa, Job, Run, Simd};

/// A filter over planes.
#[derive(Clone, Copy, Debug)]
pub struct Filter<'a> {
    /// The planes.
    pub data: &'a [f32],
    /// Where each tap reads.
    pub offsets: &'a [u32],
    /// The outputs, in order.
    pub runs: &'a [Run],
}

impl Filter<'_> {
    /// Number of outputs, once every tap of every run is known to lie inside the data.
    fn checked(&self) -> usize {
        let furthest = self.offsets.iter().copied().max().unwrap_or(0) as usize;
        let end = self.runs.iter().map(|r| r.from + r.len).max().unwrap_or(0);
        assert!(self.offsets.is_empty() || furthest + end <= self.data.len(), "runs reach outside");
        self.runs.iter().map(|r| r.len).sum()
    }
}

/// `out[x] =` the sum over taps t of `weights[t] * data[offsets[t] + x]`, then the epilogue of row `row`.
///
/// # Panics
/// When taps have no weight, the row no settings, or something reaches outside.
pub fn filter(
    isa: Isa,
    filter: &Filter<'_>,
    weights: &[f32],
    (epilogue, row): (&Epilogue<'_>, usize),
    out: &mut [f32],
) {
    let outputs = filter.checked();
    assert_eq!(filter.offsets.len(), weights.len(), "one weight a tap");
    assert_eq!(outputs, out.len(), "one output a position");
    isa.run(Apply { filter, weights, epilogue, row, out });
}

struct Apply<'a> {
    filter: &'a Filter<'a>,
    weights: &'a [f32],
    epilogue: &'a Epilogue<'a>,
    row: usize,
    out: &'a mut [f32],
}

impl Job for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let mut out = self.out.as_mut_ptr();
        for run in self.filter.runs {
            let mut x = 0;
            // SAFETY: `filter` checked that `out` has a value for each position, and that every tap lies inside.
            unsafe {
                while x + 4 * S::LANES <= run.len {
                    apply::<S, 4>(simd, &self, run.from + x, S::LANES, out.add(x));
                    x += 4 * S::LANES;
                }
                while x < run.len {
                    let n = S::LANES.min(run.len - x);
                    apply::<S, 1>(simd, &self, run.from + x, n, out.add(x));
                    x += n;
                }
                out = out.add(run.len);
            }
        }
    }
}

/// `N` registers of outputs, the last of `n` values.
///
/// # Safety
/// Every tap's values from `from` on lie inside the data, and the outputs inside the output.
#[inline(always)]
unsafe fn apply<S: Simd, const N: usize>(simd: S, job: &Apply<'_>, from: usize, n: usize, out: *mut f32) {
    let row = job.epilogue.row(job.row);
    let mut sum = [simd.splat(row.bias); N];
    let data = job.filter.data.as_ptr().wrapping_add(from);
    for (&offset, &weight) in job.filter.offsets.iter().zip(job.weights) {
        let weight = simd.splat(weight);
        for (v, sum) in sum.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            let values = unsafe {
                let p = data.add(offset as usize + v * S::LANES);
                if n == S::LANES { simd.load(p) } else { simd.load_first(p, n) }
            };
            *sum = simd.fma(weight, values, *sum);
        }
    }
    for (v, sum) in row.finish(simd, sum).into_iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { simd.store_first(out.add(v * S::LANES), n, sum) };
    }
}

/// Adds to `sums[t]` the sum over positions x of `data[offsets[t] + x] * top[x]`.
///
/// # Panics
/// When there are not as many sums as taps, or something reaches outside.
pub fn correlate(isa: Isa, filter: &Filter<'_>, top: &[f32], sums: &mut [f32]) {
    let outputs = filter.checked();
    assert_eq!(filter.offsets.len(), sums.len(), "one sum a tap");
    assert_eq!(outputs, top.len(), "one value a position");
    for (offsets, sums) in filter.offsets.chunks(9).zip(sums.chunks_mut(9)) {
        let filter = &Filter { offsets, ..*filter };
        macro_rules! taps {
            ($($taps:literal)*) => {
                match offsets.len() {
                    $($taps => isa.run(Correlate::<$taps> { filter, top, sums }),)*
                    _ => unreachable!("chunks have at most nine taps"),
                }
            };
        }
        taps!(1 2 3 4 5 6 7 8 9);
    }
}

/// `TAPS` taps, whose places `correlate` has checked.
struct Correlate<'a, const TAPS: usize> {
    filter: &'a Filter<'a>,
    top: &'a [f32],
    sums: &'a mut [f32],
}

impl<const TAPS: usize> Job for Correlate<'_, TAPS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let mut sum = [simd.splat(0.0); TAPS];
        let mut top = self.top.as_ptr();
        for run in self.filter.runs {
            let data = self.filter.data.as_ptr().wrapping_add(run.from);
            for x in (0..run.len).step_by(S::LANES) {
                let n = S::LANES.min(run.len - x);
                // SAFETY: `correlate` checked that `top` has a value for each position.
                let values = unsafe { simd.load_first(top.add(x), n) };
                for (sum, &offset) in sum.iter_mut().zip(self.filter.offsets) {
                    // SAFETY: `correlate` checked that every tap of every run lies inside the data.
                    let data = unsafe { simd.load_first(data.add(offset as usize + x), n) };
                    *sum = simd.fma(data, values, *sum);
                }
            }
            top = top.wrapping_add(run.len);
        }
        for (total, sum) in self.sums.iter_mut().zip(sum) {
            let mut lanes = [0.0; 16];
            // SAFETY: no register is wider than sixteen values.
            unsafe { simd.store(lanes.as_mut_ptr(), sum) };
            *total += lanes[..S::LANES].iter().sum::<f32>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_and_correlations_by_hand() {
        let data: Vec<f32> = (0..200).map(|v| v as f32).collect();
        let runs = [Run { from: 3, len: 70 }, Run { from: 100, len: 5 }];
        for isa in Isa::all() {
            let two = Filter { data: &data, offsets: &[0, 10], runs: &runs };
            let position = |x: usize| (if x < 70 { 3 + x } else { 30 + x }) as f32;
            let standards = Epilogue::standards_for_tests(2);
            for standards in [None, Some(&standards[..])] {
                let mut out = [f32::NAN; 75];
                let epilogue = Epilogue { bias: Some(&[0.0, -60.0]), standards, relu: true };
                filter(isa, &two, &[1.0, 2.0], (&epilogue, 1), &mut out);
                for (x, &v) in out.iter().enumerate() {
                    let want = epilogue.plain(1, 3.0 * position(x) + 20.0);
                    assert_eq!(v, want, "{x} on {}", isa.name());
                }
            }
            let mut sums = [1.0; 2];
            correlate(isa, &two, &[1.0; 75], &mut sums);
            let sum: f32 = (0..75).map(position).sum();
            assert_eq!(sums, [1.0 + sum, 1.0 + sum + 750.0]);
        }
    }
}
