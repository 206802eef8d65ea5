//! What a layer's gradient is checked with, as rows of layers say it.

use rand::{Rng, RngExt as _};

use crate::config::proto::Phase;

/// Half the distance of the two forward passes.
pub(super) const STEP: f32 = 1e-2;

/// One gradient check.
pub struct Case {
    pub(super) layer: &'static str,
    pub(super) bottoms: &'static [(&'static [usize], Values)],
    pub(super) tops: usize,
    pub(super) phase: Phase,
    pub(super) state: &'static [&'static [f32]],
}

impl Case {
    /// A layer, as the inside of `layer { }` without name, bottoms and tops, with one top, in the TRAIN phase.
    pub const fn new(layer: &'static str, bottoms: &'static [(&'static [usize], Values)]) -> Self {
        Self { layer, bottoms, tops: 1, phase: Phase::Train, state: &[] }
    }

    /// With so many tops, all under the objective.
    pub const fn tops(mut self, tops: usize) -> Self {
        self.tops = tops;
        self
    }

    /// In the TEST phase.
    pub const fn test(mut self) -> Self {
        self.phase = Phase::Test;
        self
    }

    /// With these running statistics.
    pub const fn state(mut self, state: &'static [&'static [f32]]) -> Self {
        self.state = state;
        self
    }
}

/// The values of a bottom.
#[derive(Clone, Copy)]
pub enum Values {
    /// Evenly from -1 to 1.
    Any,
    /// Evenly between two numbers.
    Between(f32, f32),
    /// From -1 to 1, but three steps and more from each of these.
    AwayFrom(&'static [f32]),
    /// All different, by three steps and more: for maxima.
    Distinct,
    /// Whole numbers below this.
    Labels(usize),
    /// These.
    Given(&'static [f32]),
}

impl Values {
    pub(super) fn draw(self, len: usize, rng: &mut impl Rng) -> Vec<f32> {
        let mut between = |low: f32, high: f32| low + (high - low) * rng.random::<f32>();
        match self {
            Values::Any => (0..len).map(|_| between(-1.0, 1.0)).collect(),
            Values::Between(low, high) => (0..len).map(|_| between(low, high)).collect(),
            Values::AwayFrom(kinks) => (0..len)
                .map(|_| {
                    loop {
                        let v = between(-1.0, 1.0);
                        if kinks.iter().all(|k| (v - k).abs() > 3.0 * STEP) {
                            return v;
                        }
                    }
                })
                .collect(),
            Values::Distinct => {
                let mut v: Vec<f32> = (0..len).map(|i| (i as f32 - len as f32 / 2.0) * 4.0 * STEP).collect();
                (1..len).rev().for_each(|i| v.swap(i, between(0.0, (i + 1) as f32) as usize % (i + 1)));
                v
            }
            Values::Labels(n) => {
                (0..len).map(|_| (between(0.0, n as f32) as usize).min(n - 1) as f32).collect()
            }
            Values::Given(values) => values.to_vec(),
        }
    }
}
