//! Powers of one value: of a register, or written so that loops over them vectorize: no tables, no calls, no branches but
//! selections.

use super::simd::{MOST_LANES, Simd, inverse_root, not_below_0, power, power_of_quarters, whole_power};

/// The polynomial with these coefficients, lowest power first, written out: a loop over them would be unrolled too
/// late for the loop around it to become vectors.
macro_rules! polynomial {
    ($x:expr; $last:expr) => { $last };
    ($x:expr; $first:expr, $($rest:expr),+) => { polynomial!($x; $($rest),+) * $x + $first };
}

/// x^p for a fixed p, with the special values of [`f32::powf`]; error below one unit in the last place, of registers and p that is
/// not whole below 1.3, if it is a quarter, a half or three of its size below 0.51.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Power {
    p: f64,
    at_0: f32,
    at_infinity: f32,
    /// What results of negative x are multiplied with: -1 for odd p, 1 for even p, else NaN.
    sign: f32,
    /// Likewise at -0 and -infinity, where p need not be whole.
    sign_at_ends: f32,
}

impl Power {
    /// The power p.
    pub fn new(p: f32) -> Self {
        let sign = (-1f32).powf(p);
        Self {
            p: f64::from(p),
            at_0: 0f32.powf(p),
            at_infinity: f32::INFINITY.powf(p),
            sign,
            sign_at_ends: if sign == -1.0 { -1.0 } else { 1.0 },
        }
    }

    /// x^p, as 2^(p log2(x)) in `f64`.
    #[inline(always)]
    pub fn of(&self, x: f32) -> f32 {
        let magnitude = x.abs();
        let (zero, infinite) = (magnitude == 0.0, magnitude == f32::INFINITY);
        let y = exp2_f64(self.p * log2_f64(f64::from(magnitude))) as f32;
        let y = if zero { self.at_0 } else { y };
        let y = if infinite { self.at_infinity } else { y };
        let sign = if zero | infinite { self.sign_at_ends } else { self.sign };
        let y = if x.is_sign_negative() { y * sign } else { y };
        if x.is_nan() { x } else { y }
    }

    /// x^p of each lane: of registers where p is -1, 2, 3, 4, or not whole and below 8 in size, and products are fused, else by `f64`.
    #[inline(always)]
    pub fn of_lanes<S: Simd>(&self, simd: S, x: S::V) -> S::V {
        if S::FUSED && [-1.0, 2.0, 3.0, 4.0].contains(&self.p) {
            return whole_power(simd, x, self.p as i32);
        }
        // Of larger p the error would be larger, too.
        if S::FUSED && self.p.abs() < 8.0 && self.p.fract() != 0.0 {
            return self.of_register(simd, x);
        }
        let (mut lanes, mut results) = ([1.0; MOST_LANES], [1.0; MOST_LANES]);
        simd.write_first(&mut lanes[..S::LANES], x);
        // A loop whose length is known is unrolled before it could vectorize; what chooses in place becomes a masked store.
        for (y, &x) in results[..std::hint::black_box(S::LANES)].iter_mut().zip(&lanes) {
            *y = self.of(x);
        }
        simd.read(&results)
    }

    /// x^p for p that is not whole.
    #[inline(always)]
    fn of_register<S: Simd>(&self, simd: S, x: S::V) -> S::V {
        let size = simd.with_sign_of(x, simd.splat(0.0));
        let y = match self.p {
            0.5 => return not_below_0(simd, x, simd.sqrt(size)),
            -0.5 => return not_below_0(simd, x, inverse_root(simd, size)),
            -0.75 | -0.25 | 0.25 | 0.75 => power_of_quarters(simd, size, (4.0 * self.p) as i32),
            p => power(simd, size, p as f32),
        };
        simd.ends_of_power(x, y, self.at_0, self.at_infinity)
    }
}

/// log2 of a positive normal number, to about 1e-12.
#[inline(always)]
fn log2_f64(x: f64) -> f64 {
    const FRACTION: u64 = (1 << 52) - 1;
    const TWO_52: f64 = 4_503_599_627_370_496.0;
    // The biased exponent, put into the last bits of 2^52, is a number by itself.
    let exponent = f64::from_bits((x.to_bits() >> 52) | TWO_52.to_bits()) - (TWO_52 + 1023.0);
    let m = f64::from_bits((x.to_bits() & FRACTION) | 1f64.to_bits());
    let upper = m > std::f64::consts::SQRT_2;
    let (m, exponent) = (if upper { 0.5 * m } else { m }, if upper { exponent + 1.0 } else { exponent });
    // ln(m) = 2 artanh(s) = 2 (s + s^3 / 3 + s^5 / 5 + ...), |s| <= 0.172.
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let series = polynomial!(s2; 1.0, 1.0 / 3.0, 1.0 / 5.0, 1.0 / 7.0, 1.0 / 9.0, 1.0 / 11.0, 1.0 / 13.0);
    exponent + 2.0 * std::f64::consts::LOG2_E * s * series
}

/// 2^x, to about 1e-11; x beyond 200 or -200 may count as that.
#[inline(always)]
fn exp2_f64(x: f64) -> f64 {
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let x = if x > 200.0 { 200.0 } else { x };
    let x = if x < -200.0 { -200.0 } else { x };
    let shifted = x + ROUND;
    let r = (x - (shifted - ROUND)) * std::f64::consts::LN_2;
    let k = shifted.to_bits().wrapping_sub(ROUND.to_bits());
    let scale = f64::from_bits(k.wrapping_add(1023) << 52);
    // The exponential series: r^n / n!.
    let series = polynomial!(
        r;
        1.0, 1.0, 1.0 / 2.0, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0, 1.0 / 720.0,
        1.0 / 5_040.0, 1.0 / 40_320.0, 1.0 / 362_880.0, 1.0 / 3_628_800.0
    );
    series * scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::{Isa, Job};

    /// The largest error of a register's power `y`, in units in the last place.
    fn lanes_error(p: f32, y: f32) -> f64 {
        match p {
            -0.75 | -0.5 | -0.25 | 0.25 | 0.5 | 0.75 => 0.51,
            -1.0 | 2.0 | 3.0 | 4.0 if y.abs() > 1e-30 => 0.51,
            -1.0 | 2.0 | 3.0 | 4.0 => 1.0,
            _ => 1.3,
        }
    }

    /// Distance in units in the last place of the right value, which are not smaller than denormals.
    fn ulps(got: f32, want: f64) -> f64 {
        let rounded = want as f32;
        if got.is_nan() || rounded.is_nan() || rounded.is_infinite() || got.is_infinite() {
            let same = got == rounded || (got.is_nan() && want.is_nan());
            return if same { 0.0 } else { f64::INFINITY };
        }
        let unit = f64::from(f32::from_bits(rounded.abs().to_bits() + 1)) - f64::from(rounded.abs());
        (f64::from(got) - want).abs() / unit
    }

    /// Numbers of every size and sign, and those where functions turn.
    fn all_sizes() -> impl Iterator<Item = f32> {
        let special = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MIN_POSITIVE, 1.0, -1.0]
            .into_iter()
            .chain([
                88.72283,
                88.722_84,
                -87.33655,
                -103.97,
                -103.98,
                -104.1,
                1e-45,
                -1e-45,
                f32::MAX,
                f32::MIN,
            ]);
        let spread = (0..=u32::MAX).step_by(20_011).map(f32::from_bits);
        let near = (-400_000..400_000).map(|i| i as f32 * 2.5e-4);
        special.chain(spread).chain(near)
    }

    /// The powers of numbers, a register at a time.
    struct Registers<'a>(Power, &'a [f32]);

    impl Job for Registers<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Vec<f32> {
            let mut out = vec![f32::NAN; self.1.len()];
            for (x, y) in self.1.chunks(S::LANES).zip(out.chunks_mut(S::LANES)) {
                simd.write_first(y, self.0.of_lanes(simd, simd.read_first(x)));
            }
            out
        }
    }

    #[test]
    fn powers_agree_with_std() {
        let numbers: Vec<f32> = all_sizes().step_by(3).collect();
        let quarters = [-0.75, -0.5, -0.25, 0.25, 0.5, 0.75];
        let others = [-3.0, -2.0, -1.0, 0.001, 1.0 / 3.0, 1.5, 2.0, 3.0, 4.0, 7.5, 40.0, 41.0];
        for p in quarters.into_iter().chain(others) {
            let (power, exact) = (Power::new(p), |x: f32| f64::from(x).powf(f64::from(p)));
            for &x in &numbers {
                let error = ulps(power.of(x), exact(x));
                assert!(error < 1.0, "{x:e}^{p} is {} instead of {}: {error}", power.of(x), x.powf(p));
            }
            for isa in Isa::all() {
                for (&x, y) in numbers.iter().zip(isa.run(Registers(power, &numbers))) {
                    let error = ulps(y, exact(x));
                    assert!(error < lanes_error(p, y), "{} {x:e}^{p} is {y}: {error}", isa.key());
                }
            }
        }
    }

    #[test]
    fn roots_are_exact() {
        let squares: Vec<f32> = (0..2000).map(|i| (i * i) as f32).collect();
        for isa in Isa::all() {
            let roots = isa.run(Registers(Power::new(0.5), &squares));
            assert!(roots.iter().enumerate().all(|(i, &root)| root == i as f32));
        }
    }
}
