//! What a run is: digests of net and settings, by which a resumed run can tell that they have changed.

use prost::Message as _;

use super::lr_policy::Policy;
use crate::config::proto::SolverParameter;

/// What a solver state did not give back, or was written for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// What the file does not hold, and so starts anew.
    pub lost: Vec<&'static str>,
    /// What is not as it was when the file was written.
    pub changed: Vec<&'static str>,
    /// The number of ranks it holds hidden states of, if that is another and so they start anew.
    pub hidden_of: Option<u32>,
}

/// All that Caffe's states do not hold.
pub(super) const NOT_IN_CAFFE: &[&str] = &[
    "the places in the data of the train net and the test nets",
    "the order of a shuffled epoch",
    "the seed and the state of the random numbers",
    "the losses behind the mean that is shown",
    "the lowest loss of lr_policy \"plateau\"",
    "the best test result, and the tests since then",
    "a learning rate that rolling back has made smaller",
    "the update rule, the net and the settings it was written with, to compare",
];

/// What another instruction set changes.
pub(super) const ROUNDING: &str = "the instruction set by which sums are rounded (--isa)";

/// The digest of a net, as its bytes in snapshots.
pub(super) fn of_net(source: &[u8]) -> Vec<u8> {
    crc32fast::hash(source).to_le_bytes().to_vec()
}

/// The digest of the settings that training depends on: how long, how often to test, to show and to save are none.
pub(super) fn of_solver(config: &SolverParameter, policy: &Policy) -> Vec<u8> {
    let training = SolverParameter {
        base_lr: config.base_lr,
        min_lr: config.min_lr,
        max_iter: config.max_iter.filter(|_| policy.reads.contains(&"max_iter")),
        iter_size: config.iter_size,
        lr_policy: config.lr_policy.clone(),
        gamma: config.gamma,
        power: config.power,
        stepsize: config.stepsize,
        stepvalue: config.stepvalue.clone(),
        stagelr: config.stagelr.clone(),
        stageiter: config.stageiter.clone(),
        plateau_winsize: config.plateau_winsize.clone(),
        pct_start: config.pct_start,
        div_factor: config.div_factor,
        final_div_factor: config.final_div_factor,
        rampup_interval: config.rampup_interval,
        rampup_lr: config.rampup_lr,
        warmup_iter: config.warmup_iter,
        warmup_start_lr: config.warmup_start_lr,
        local_lr_auto: config.local_lr_auto,
        local_gw_ratio: config.local_gw_ratio,
        larc: config.larc,
        larc_policy: config.larc_policy.clone(),
        larc_eta: config.larc_eta,
        momentum: config.momentum,
        momentum2: config.momentum2,
        rms_decay: config.rms_decay,
        delta: config.delta,
        weight_decay: config.weight_decay,
        regularization_type: config.regularization_type.clone(),
        clip_gradients: config.clip_gradients,
        ..SolverParameter::default()
    };
    crc32fast::hash(&training.encode_to_vec()).to_le_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::{super::lr_policy::named, *};

    #[test]
    fn only_what_training_depends_on_counts() {
        let plain = |name: &str| SolverParameter {
            base_lr: Some(0.1),
            lr_policy: Some(name.into()),
            min_lr: Some(0.0),
            max_iter: Some(10),
            ..SolverParameter::default()
        };
        let digest = |config: &SolverParameter| of_solver(config, named(config).unwrap());
        let same = SolverParameter { max_iter: Some(20), display: Some(3), ..plain("fixed") };
        assert_eq!(digest(&plain("fixed")), digest(&same));
        let longer = SolverParameter { max_iter: Some(20), ..plain("cosine") };
        assert_ne!(digest(&plain("cosine")), digest(&longer));
        let faster = SolverParameter { base_lr: Some(0.2), ..plain("fixed") };
        assert_ne!(digest(&plain("fixed")), digest(&faster));
    }
}
