//! Settings of a solver that belong to no policy and no rule: those without a meaning are refused.

use super::{SolverError, epoch, lars};
use crate::config::proto::SolverParameter as Settings;

/// Refuses numbers that have no meaning, beside those that policy and rule refuse.
pub(super) fn check(config: &Settings) -> Result<(), SolverError> {
    let at_least = |field: &str, found: i32, least: i32| {
        let message = || format!("{field} must be at least {least}, found {found}");
        if found < least { Err(SolverError::setting(field, message())) } else { Ok(()) }
    };
    at_least("iter_size", config.iter_size(), 1)?;
    at_least("average_loss", config.average_loss(), 1)?;
    at_least("max_iter", config.max_iter(), 0)?;
    at_least("display", config.display(), 0)?;
    at_least("snapshot", config.snapshot(), 0)?;
    at_least("test_interval", config.test_interval(), 0)?;
    for (i, &batches) in config.test_iter.iter().enumerate() {
        at_least(&format!("test_iter[{i}]"), batches, 0)?;
    }
    for (field, found) in [
        ("momentum", config.momentum()),
        ("weight_decay", config.weight_decay()),
        ("clip_gradients", config.clip_gradients()),
    ] {
        if !found.is_finite() {
            return Err(SolverError::setting(
                field,
                format!("{field} must be a finite number, found {found}"),
            ));
        }
    }
    match config.regularization_type() {
        "L1" | "L2" => {}
        other => {
            let message = format!("unknown regularization_type `{other}`; there are: L1, L2");
            return Err(SolverError::setting("regularization_type", message));
        }
    }
    epoch::check(config)?;
    lars::check(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Settings {
        Settings { base_lr: Some(0.1), lr_policy: Some("fixed".into()), ..Settings::default() }
    }

    #[test]
    fn numbers_without_a_meaning_are_refused() {
        check(&plain()).unwrap();
        for (config, field, expected) in [
            (Settings { iter_size: Some(0), ..plain() }, "iter_size", "at least 1, found 0"),
            (Settings { average_loss: Some(0), ..plain() }, "average_loss", "at least 1, found 0"),
            (Settings { display: Some(-1), ..plain() }, "display", "at least 0, found -1"),
            (Settings { test_iter: vec![1, -2], ..plain() }, "test_iter[1]", "at least 0, found -2"),
            (Settings { momentum: Some(f32::INFINITY), ..plain() }, "momentum", "finite number, found inf"),
            (
                Settings { regularization_type: Some("L3".into()), ..plain() },
                "regularization_type",
                "unknown regularization_type `L3`",
            ),
        ] {
            match check(&config) {
                Err(SolverError::Setting { field: at, message }) => {
                    assert_eq!(at, field);
                    assert!(message.contains(expected), "{message}");
                }
                other => panic!("{field}: {other:?}"),
            }
        }
    }
}
