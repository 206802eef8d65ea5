//! Scales: from values to places, and the round numbers that are written beside them.

use crate::report::general;

/// A scale from the values `range` to the places from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    pub range: [f64; 2],
    /// Whether places go with the logarithm.
    log: bool,
    /// Round values on it, with their labels.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// With about so many ticks. With `whole_ticks` it reaches from tick to tick, else just from the least to the largest value.
    pub fn new(least: f64, largest: f64, ticks: usize, whole_ticks: bool) -> Self {
        let (mut low, mut high) = (least.min(largest), largest.max(least));
        if high - low <= 1e-9 * high.abs().max(low.abs()) {
            let room = if high == 0.0 { 1.0 } else { 0.1 * high.abs() };
            (low, high) = (low - room, high + room);
        }
        let step = step((high - low) / ticks.max(1) as f64);
        let (first, last) = match whole_ticks {
            true => ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil()),
            false => ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor()),
        };
        let range = if whole_ticks { [first * step, last * step] } else { [low, high] };
        let count = (last - first).clamp(0.0, 100.0) as usize;
        let ticks = (0..=count).map(|i| (first + i as f64) * step);
        Self { range, log: false, ticks: ticks.map(|v| (v, label(v, step, range))).collect() }
    }

    /// Logarithmic, of values above 0.
    pub fn log(least: f64, largest: f64) -> Self {
        let decades = [least.log10().floor() as i32, largest.log10().ceil() as i32];
        let many = largest / least > 200.0;
        let factors: &[f64] = if many { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let round = |power: i32| factors.iter().map(move |f| f * 10f64.powi(power));
        let all: Vec<f64> = (decades[0]..=decades[1]).flat_map(round).collect();
        let low = all.iter().copied().filter(|v| *v <= least * (1.0 + 1e-9)).fold(all[0], f64::max);
        let enough = |v: &f64| *v >= largest * (1.0 - 1e-9) && *v > low;
        let high = all.iter().copied().filter(enough).fold(f64::INFINITY, f64::min);
        let high = if high.is_finite() { high } else { low * 10.0 };
        let inside: Vec<f64> = all.into_iter().filter(|v| (low..=high).contains(v)).collect();
        let every = inside.len().div_ceil(8);
        let ticks = inside.into_iter().step_by(every).map(|v| (v, general(v)));
        Self { range: [low, high], log: true, ticks: ticks.collect() }
    }

    /// The place of a value, from 0 to 1; those beyond the range are at its ends.
    pub fn place(&self, v: f64) -> f32 {
        let [low, high] = self.range;
        let share = match self.log {
            true => (v / low).ln() / (high / low).ln(),
            false => (v - low) / (high - low),
        };
        share.clamp(0.0, 1.0) as f32
    }
}

/// The next larger of 1, 2 and 5 times a power of ten.
fn step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    factors.into_iter().map(|f| f * power).find(|s| *s >= least * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

/// A tick's number, with the digits that tell it from its neighbours.
fn label(v: f64, step: f64, range: [f64; 2]) -> String {
    let largest = range[0].abs().max(range[1].abs());
    if v.abs() < step / 2.0 {
        return "0".into();
    }
    if !(1e-3..1e9).contains(&largest) {
        return general(v);
    }
    for (unit, name) in [(1e6, "M"), (1e3, "k")] {
        if largest >= 10.0 * unit {
            let digits = (unit / step).log10().ceil().max(0.0) as usize;
            return format!("{:.digits$}{name}", v / unit);
        }
    }
    let digits = (-step.log10().floor()).max(0.0) as usize;
    format!("{v:.digits$}")
}

/// The least and the greatest of the values that are numbers.
pub fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|v| v.is_finite());
    finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| &label[..]).collect()
    }

    #[test]
    fn ticks_are_round() {
        let axis = Axis::new(0.103, 0.98, 5, true);
        assert_eq!(labels(&axis), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!((axis.place(0.5), axis.place(-1.0), axis.place(7.0)), (0.5, 0.0, 1.0));
        let axis = Axis::new(0.0, 1200.0, 6, false);
        assert_eq!(
            (labels(&axis), axis.range),
            (vec!["0", "200", "400", "600", "800", "1000", "1200"], [0.0, 1200.0])
        );
        assert_eq!(labels(&Axis::new(0.0, 450_000.0, 4, true)), ["0", "200k", "400k", "600k"]);
        assert_eq!(labels(&Axis::new(0.0, 10_000.0, 4, true)), ["0", "5k", "10k"]);
        assert_eq!(labels(&Axis::new(-1.0, 1.0, 4, true)), ["-1.0", "-0.5", "0", "0.5", "1.0"]);
        assert_eq!(labels(&Axis::new(0.0, 2e-5, 2, true)), ["0", "1e-05", "2e-05"]);
    }

    #[test]
    fn one_value_has_room_around_it() {
        for v in [0.0, 3.0, -0.001, 1e12] {
            let axis = Axis::new(v, v, 5, true);
            assert!(axis.range[0] < v && v < axis.range[1] && axis.ticks.len() > 1, "{axis:?}");
        }
    }

    #[test]
    fn decades() {
        let axis = Axis::log(0.002, 3.0);
        assert_eq!(labels(&axis), ["0.001", "0.01", "0.1", "1", "10"]);
        assert!((axis.place(0.1) - 0.5).abs() < 1e-6);
        assert_eq!(labels(&Axis::log(0.3, 4.0)), ["0.2", "0.5", "1", "2", "5"]);
        let one = Axis::log(1.0, 1.0);
        assert!(one.range[0] <= 1.0 && one.range[1] > 1.0, "{one:?}");
    }
}
