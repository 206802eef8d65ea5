//! Settings of a solver that belong to no policy and no rule: those without a meaning are refused.

use super::{SolverError, epoch, lars};
use crate::config::proto::SolverParameter as Settings;

/// The numbers that have no meaning, beside those that policy and rule refuse.
pub(super) fn faults(config: &Settings) -> Vec<SolverError> {
    let mut found = Vec::new();
    let mut at_least = |field: &str, value: i32, least: i32| {
        if value < least {
            found.push(SolverError::setting(
                field,
                format!("{field} must be at least {least}, found {value}"),
            ));
        }
    };
    at_least("iter_size", config.iter_size(), 1);
    at_least("average_loss", config.average_loss(), 1);
    at_least("max_iter", config.max_iter(), 0);
    at_least("display", config.display(), 0);
    at_least("snapshot", config.snapshot(), 0);
    at_least("test_interval", config.test_interval(), 0);
    for (i, &batches) in config.test_iter.iter().enumerate() {
        at_least(&format!("test_iter[{i}]"), batches, 0);
    }
    for (field, value) in [
        ("momentum", config.momentum()),
        ("weight_decay", config.weight_decay()),
        ("clip_gradients", config.clip_gradients()),
    ] {
        if !value.is_finite() {
            let message = format!("{field} must be a finite number, found {value}");
            found.push(SolverError::setting(field, message));
        }
    }
    // Without decay Caffe does not look at its type.
    if config.weight_decay() != 0.0 && !matches!(config.regularization_type(), "L1" | "L2") {
        let message =
            format!("unknown regularization_type `{}`; there are: L1, L2", config.regularization_type());
        found.push(SolverError::setting("regularization_type", message));
    }
    found.extend(epoch::faults(config));
    found.extend(lars::faults(config));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Settings {
        Settings { base_lr: Some(0.1), lr_policy: Some("fixed".into()), ..Settings::default() }
    }

    #[test]
    fn numbers_without_a_meaning_are_refused() {
        assert!(faults(&plain()).is_empty());
        for (config, field, expected) in [
            (Settings { iter_size: Some(0), ..plain() }, "iter_size", "at least 1, found 0"),
            (Settings { average_loss: Some(0), ..plain() }, "average_loss", "at least 1, found 0"),
            (Settings { display: Some(-1), ..plain() }, "display", "at least 0, found -1"),
            (Settings { test_iter: vec![1, -2], ..plain() }, "test_iter[1]", "at least 0, found -2"),
            (Settings { momentum: Some(f32::INFINITY), ..plain() }, "momentum", "finite number, found inf"),
            (
                Settings { regularization_type: Some("L3".into()), weight_decay: Some(0.1), ..plain() },
                "regularization_type",
                "unknown regularization_type `L3`",
            ),
        ] {
            match &faults(&config)[..] {
                [SolverError::Setting { field: at, message }] => {
                    assert_eq!(at, field);
                    assert!(message.contains(expected), "{message}");
                }
                other => panic!("{field}: {other:?}"),
            }
        }
    }

    #[test]
    fn one_fault_hides_no_other() {
        let config = Settings {
            max_iter: Some(-5),
            snapshot: Some(-1),
            clip_gradients: Some(f32::NAN),
            max_epoch: Some(-1.0),
            ..plain()
        };
        assert_eq!(faults(&config).len(), 4);
    }

    #[test]
    fn without_decay_nobody_asks_for_its_type() {
        assert!(faults(&Settings { regularization_type: Some("L3".into()), ..plain() }).is_empty());
    }
}
