//! Warm-up: the rates before the policy takes over, by the names of NVCaffe and of Intel Caffe.

use super::SolverError;
use crate::config::proto::SolverParameter;

/// Settings that cannot be meant.
pub(super) fn faults(s: &SolverParameter) -> Vec<SolverError> {
    let mut found = Vec::new();
    for (field, value) in [("rampup_interval", s.rampup_interval()), ("warmup_iter", s.warmup_iter())] {
        if value < 0 {
            found.push(SolverError::setting(field, format!("{field} must be at least 0, found {value}")));
        }
    }
    if s.rampup_interval() > 0 && s.warmup_iter() > 0 {
        let message = "warmup_iter and rampup_interval are two ways of one thing: set one of them";
        found.push(SolverError::setting("warmup_iter", message));
    }
    found
}

/// The rate of an iteration that is still in the warm-up.
///
/// NVCaffe:     rampup_lr + (base_lr - rampup_lr) * (iter / rampup_interval)^2
/// Intel Caffe: warmup_start_lr + (base_lr - warmup_start_lr) * iter / warmup_iter
pub(super) fn rate(s: &SolverParameter, iter: i32) -> Option<f64> {
    let base = f64::from(s.base_lr());
    let from = |start: f32, way: f64| f64::from(start) + (base - f64::from(start)) * way;
    let way = |length: i32| f64::from(iter) / f64::from(length);
    if iter < s.rampup_interval() {
        Some(from(s.rampup_lr(), way(s.rampup_interval()).powi(2)))
    } else if iter < s.warmup_iter() {
        Some(from(s.warmup_start_lr(), way(s.warmup_iter())))
    } else {
        None
    }
}

/// The factor of SGD's momentum in an iteration.
///
/// The history holds steps of past rates. While Intel Caffe's warm-up raises the rate, it is raised with it, so that
/// the momentum is that of gradients, not of steps (Goyal et al., 2017).
pub(super) fn momentum_factor(s: &SolverParameter, iter: i32) -> f32 {
    if iter == 0 || iter >= s.warmup_iter() {
        return 1.0;
    }
    match (rate(s, iter - 1), rate(s, iter)) {
        // After a rate of 0 the history is 0 anyway.
        (Some(before), Some(now)) if before > 0.0 => (now / before) as f32,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intel() -> SolverParameter {
        SolverParameter {
            base_lr: Some(1.0),
            warmup_iter: Some(4),
            warmup_start_lr: Some(0.2),
            ..SolverParameter::default()
        }
    }

    #[test]
    fn one_goes_up_along_a_parabola_the_other_along_a_line() {
        let nvidia = SolverParameter {
            base_lr: Some(1.0),
            rampup_interval: Some(4),
            rampup_lr: Some(0.2),
            ..SolverParameter::default()
        };
        let rates = |s: &SolverParameter| [0, 1, 2, 4].map(|i| rate(s, i).map(|r| r as f32));
        assert_eq!(rates(&nvidia), [Some(0.2), Some(0.25), Some(0.4), None]);
        assert_eq!(rates(&intel()), [Some(0.2), Some(0.4), Some(0.6), None]);
    }

    #[test]
    fn momentum_grows_with_the_rate_of_the_line() {
        let factors = |s: &SolverParameter| [0, 1, 2, 4].map(|i| momentum_factor(s, i));
        assert_eq!(factors(&intel()), [1.0, 2.0, 1.5, 1.0]);
        let from_zero = SolverParameter { warmup_start_lr: None, ..intel() };
        assert_eq!(factors(&from_zero), [1.0, 1.0, 2.0, 1.0]);
        assert_eq!(factors(&SolverParameter::default()), [1.0; 4]);
    }

    #[test]
    fn both_together_are_refused() {
        let both = SolverParameter { rampup_interval: Some(2), ..intel() };
        assert!(faults(&both)[0].to_string().contains("set one of them"));
        let below = SolverParameter { warmup_iter: Some(-1), ..intel() };
        assert!(faults(&below)[0].to_string().contains("at least 0, found -1"));
    }
}
