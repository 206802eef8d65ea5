//! The arithmetic that this machine is capable of, for comparison.

use std::hint::black_box;
use std::time::Instant;

use super::{Isa, Job, MOST_LANES, Simd};

/// Products under way at the same time: as many as two units of a latency of five finish without waiting, and some.
const CHAINS: usize = 12;
/// Rounds of a measurement, about a millisecond, and measurements, of which the best counts.
const ROUNDS: usize = 1 << 18;
const TRIES: usize = 5;

/// Floating-point operations a second that all threads of the current pool reach at the same time with multiply-adds in
/// registers, each of which counts as two.
pub fn peak() -> f64 {
    rayon::broadcast(|_| (0..TRIES).map(|_| one_thread()).fold(0.0, f64::max)).iter().sum()
}

fn one_thread() -> f64 {
    let isa = Isa::best();
    let start = Instant::now();
    black_box(isa.run(Chains { factor: black_box(0.5) }));
    (ROUNDS * CHAINS * isa.lanes() * 2) as f64 / start.elapsed().as_secs_f64()
}

struct Chains {
    factor: f32,
}

impl Job for Chains {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let factor = simd.splat(self.factor);
        let mut chains = [factor; CHAINS];
        for _ in 0..ROUNDS {
            for chain in &mut chains {
                *chain = simd.fma(*chain, factor, factor);
            }
        }
        let mut sum = factor;
        for chain in chains {
            sum = simd.add(sum, chain);
        }
        let mut lanes = [0.0; MOST_LANES];
        // SAFETY: no register is wider.
        unsafe { simd.store(lanes.as_mut_ptr(), sum) };
        lanes[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_does_more_than_a_million_operations_a_second() {
        assert!(peak() > 1e6);
    }
}
