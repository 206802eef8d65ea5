//! Gradients in two bytes: rounding to bfloat16, whose errors are made good in the next step.

/// What rounding has kept back of one sum so far, on this rank: added to the next values before these are rounded. What is
/// sent plus what is kept back is at any time the sum of all that was to be sent (Seide et al., 2014).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Carry {
    /// Of the values that this rank has sent.
    pub sent: Vec<f32>,
    /// Of the part of the sums that this rank has made.
    pub summed: Vec<f32>,
}

impl Carry {
    /// For sums of `len` values over so many ranks, before the first.
    pub fn new(len: usize, ranks: usize) -> Self {
        Self { sent: vec![0.0; len], summed: vec![0.0; len.div_ceil(ranks.max(1))] }
    }
}

/// The values with what was kept back of the last ones, rounded. `kept` is then what this has kept back.
pub fn round_all(values: &[f32], kept: &mut [f32]) -> Vec<u16> {
    let rounded = values.iter().zip(kept).map(|(value, kept)| {
        let wanted = value + *kept;
        let rounded = round(wanted);
        let error = wanted - widen(rounded);
        // What is no number is passed on, and does not stay for ever.
        *kept = if error.is_finite() { error } else { 0.0 };
        rounded
    });
    rounded.collect()
}

/// The values that stand for these.
pub fn widen_all(values: &[u16]) -> Vec<f32> {
    values.iter().map(|&v| widen(v)).collect()
}

/// The upper half of the nearest value whose lower half is 0; of two, the even one.
fn round(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        // Rounding could make an infinity of it.
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

fn widen(value: u16) -> f32 {
    f32::from_bits(u32::from(value) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_rounded_to_the_nearest_and_to_even() {
        let cases: [(u32, u16); 11] = [
            (0x3f80_0000, 0x3f80),
            (0x3f80_7fff, 0x3f80),
            // Half way: down to even, up to even.
            (0x3f80_8000, 0x3f80),
            (0x3f81_8000, 0x3f82),
            (0x3f80_8001, 0x3f81),
            (0xbf81_8000, 0xbf82),
            // Into the next power of two, to infinity, and from the smallest value to nothing.
            (0x3fff_ffff, 0x4000),
            (f32::MAX.to_bits(), 0x7f80),
            (f32::NEG_INFINITY.to_bits(), 0xff80),
            (0x0000_0001, 0),
            (0x8000_0000, 0x8000),
        ];
        for (bits, expected) in cases {
            assert_eq!(round(f32::from_bits(bits)), expected, "{bits:x}");
        }
        // Its payload is all in the lower half.
        assert!(widen(round(f32::from_bits(0x7f80_0001))).is_nan());
        for bits in 0..=u16::MAX {
            let value = widen(bits);
            assert!(value.is_nan() || round(value) == bits, "{bits:x}");
        }
    }

    #[test]
    fn what_is_sent_and_what_is_kept_are_all_that_there_was() {
        let mut kept = vec![0.0; 64];
        let (mut sent, mut wanted) = (vec![0.0_f64; 64], vec![0.0_f64; 64]);
        for step in 0..1000_u32 {
            // Of many magnitudes and both signs, and far from any that two bytes hold.
            let value = |i: u32| {
                let mixed = (step * 64 + i).wrapping_mul(2_654_435_761) >> 8;
                (mixed as f32 / 8_388_608.0 - 1.0) * 10_f32.powi(i as i32 % 7 - 3)
            };
            let values: Vec<f32> = (0..64).map(value).collect();
            let rounded = widen_all(&round_all(&values, &mut kept));
            for i in 0..64 {
                wanted[i] += f64::from(values[i]);
                sent[i] += f64::from(rounded[i]);
            }
        }
        for i in 0..64 {
            let difference = (sent[i] + f64::from(kept[i]) - wanted[i]).abs();
            let magnitude = 10_f64.powi(i as i32 % 7 - 3);
            // Adding what was kept rounds to an f32 in each of 1000 steps; without it, the sums of bf16 would be off by more.
            assert!(difference < 1e-4 * magnitude, "{i}: {difference}");
            assert!(f64::from(kept[i].abs()) <= magnitude / 128.0, "{i}: {}", kept[i]);
        }
    }

    #[test]
    fn a_value_too_small_to_be_sent_is_sent_in_the_end() {
        // 1 + 2^-10 is nearer to 1 than to the next, 1 + 2^-7.
        let mut kept = [0.0];
        let step = 1.0 + 1.0 / 1024.0;
        let sent: Vec<f32> = (0..8).map(|_| widen_all(&round_all(&[step], &mut kept))[0]).collect();
        assert_eq!(sent[0], 1.0);
        assert_eq!(sent.iter().sum::<f32>() + kept[0], 8.0 * step);
        assert!(sent.contains(&(1.0 + 1.0 / 128.0)), "{sent:?}");
    }

    #[test]
    fn what_is_no_number_is_sent_and_not_kept() {
        let mut kept = [0.5, 0.5, f32::MAX];
        let sent = widen_all(&round_all(&[f32::NAN, f32::NEG_INFINITY, f32::MAX], &mut kept));
        assert!(sent[0].is_nan() && sent[1] == f32::NEG_INFINITY && sent[2] == f32::INFINITY);
        assert_eq!(kept, [0.0; 3]);
    }
}
