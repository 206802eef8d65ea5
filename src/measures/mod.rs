//! How good a classifier is: arithmetic over labels, predictions and probabilities, and nothing else.
//!
//! Definitions are those of scikit-learn, which `scripts/evaluate_check.py` compares with, where it has them.

mod calibration;
mod confusion;
mod evaluation;
mod order;
mod roc;
mod top_k;

pub use calibration::{Bin, brier, calibration, calibration_error};
pub use confusion::{Averages, Confusion, OfClass};
pub use evaluation::{ClassMeasures, Evaluation, Probabilistic, Samples};
pub use order::{Order, order};
pub use roc::{Curve, curve};
pub use top_k::{best, softmax, top_k};
