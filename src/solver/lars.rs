//! LARS: a rate for each weight array, by the norms of the array and of its gradient (You et al., 2017).

use super::SolverError;
use crate::{config::proto::SolverParameter, kernels::sums::sum, net::Param};

/// Settings that do not fit.
pub(super) fn faults(s: &SolverParameter) -> Vec<SolverError> {
    let given = match (s.local_lr_auto(), s.larc()) {
        (true, true) => {
            let message = "larc and local_lr_auto are two forms of one thing: set one of them";
            return vec![SolverError::setting("larc", message)];
        }
        (true, false) => "local_lr_auto",
        (false, true) => "larc",
        (false, false) => return Vec::new(),
    };
    let mut found = Vec::new();
    if s.r#type() != "SGD" {
        let message = format!("{given} works with type \"SGD\" only, found \"{}\"", s.r#type());
        found.push(SolverError::setting(given, message));
    }
    if !matches!(s.larc_policy(), "clip" | "scale") {
        let message = format!("unknown larc_policy `{}`; there are: clip, scale", s.larc_policy());
        found.push(SolverError::setting("larc_policy", message));
    }
    found
}

/// The rate of one parameter: `rate * lr_mult`, or with LARS, which as in the forks has no use for `lr_mult`:
///
/// local_lr_auto:  rate * local_gw_ratio * |w| / (|g| + weight_decay * |w|)
/// larc "scale":   rate * (1 - momentum) * larc_eta * |w| / |g|
/// larc "clip":    min(rate, (1 - momentum) * larc_eta * |w| / |g|)
///
/// g is the gradient before weight decay, `scale` what it will be multiplied by. Where a norm is 0 the factor is 1.
pub(super) fn rate(s: &SolverParameter, rate: f32, param: &Param, scale: f32) -> f32 {
    if !s.local_lr_auto() && !s.larc() {
        return rate * param.lr_mult;
    }
    let norm = |values: &[f32]| sum(values, |v| v * v).sqrt();
    let (w, g) = (norm(&param.data), norm(&param.diff) * f64::from(scale));
    let factor = if w == 0.0 || g == 0.0 {
        1.0
    } else if s.local_lr_auto() {
        f64::from(s.local_gw_ratio()) * w / (g + f64::from(s.weight_decay()) * w)
    } else {
        (1.0 - f64::from(s.momentum())) * f64::from(s.larc_eta()) * w / g
    } as f32;
    if s.larc() && s.larc_policy() == "clip" { rate.min(factor) } else { rate * factor }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Buffer;

    /// The rate with |w| = 5, and |d| = 10 that is halved to |g| = 5.
    fn rate_of(s: &SolverParameter, w: [f32; 2], lr_mult: f32) -> f32 {
        let buffer = |values: [f32; 2]| {
            let mut buffer = Buffer::zeroed(2);
            buffer.copy_from_slice(&values);
            buffer
        };
        let param = Param {
            owner: ("ip".into(), 0),
            name: String::new(),
            shape: [2].into(),
            data: buffer(w),
            diff: buffer([6.0, 8.0]),
            lr_mult,
            decay_mult: 1.0,
            learned: true,
        };
        rate(s, 0.1, &param, 0.5)
    }

    fn intel() -> SolverParameter {
        SolverParameter {
            local_lr_auto: Some(true),
            local_gw_ratio: Some(0.5),
            weight_decay: Some(0.25),
            ..SolverParameter::default()
        }
    }

    fn nvidia() -> SolverParameter {
        SolverParameter {
            larc: Some(true),
            larc_eta: Some(0.5),
            momentum: Some(0.5),
            ..SolverParameter::default()
        }
    }

    #[test]
    fn rates_by_hand() {
        let near = |found: f32, expected: f32| assert!((found - expected).abs() < 1e-7, "{found}");
        let w = [3.0, -4.0];
        near(rate_of(&SolverParameter::default(), w, 2.0), 0.2);
        // 0.5 * 5 / (5 + 0.25 * 5)
        near(rate_of(&intel(), w, 2.0), 0.1 * 0.4);
        // 0.5 * 0.5 * 5 / 5
        near(rate_of(&nvidia(), w, 2.0), 0.1 * 0.25);
        let clip = SolverParameter { larc_policy: Some("clip".into()), ..nvidia() };
        near(rate_of(&clip, w, 2.0), 0.1);
        near(rate_of(&SolverParameter { larc_eta: Some(0.02), ..clip }, w, 1.0), 0.01);
        near(rate_of(&intel(), [0.0; 2], 2.0), 0.1);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let message = |s: &SolverParameter| faults(s)[0].to_string();
        assert!([intel(), nvidia(), SolverParameter::default()].iter().all(|s| faults(s).is_empty()));
        assert!(message(&SolverParameter { larc: Some(true), ..intel() }).contains("set one of them"));
        let adam = SolverParameter { r#type: Some("Adam".into()), ..intel() };
        assert!(message(&adam).contains("works with type \"SGD\" only, found \"Adam\""));
        let policy = SolverParameter { larc_policy: Some("cut".into()), ..nvidia() };
        assert!(message(&policy).contains("unknown larc_policy `cut`"));
    }
}
