//! Flags of Caffe's programs that scripts have and that are nothing of ours.

use std::ffi::OsString;

use clap::Args;

use crate::report;

/// Caffe's own flags, sorted, which take one dash as well as two.
const FLAGS: &[&str] = &[
    "backend",
    "check_size",
    "encode_type",
    "encoded",
    "gpu",
    "gray",
    "iterations",
    "level",
    "model",
    "phase",
    "resize_height",
    "resize_width",
    "shuffle",
    "sighup_effect",
    "sigint_effect",
    "snapshot",
    "solver",
    "stage",
    "weights",
];

/// An argument with two dashes where it is one of Caffe's flags with one: `-solver=S` is `--solver=S`.
pub fn two_dashes(argument: OsString) -> OsString {
    let flag = argument.to_str().and_then(|a| a.strip_prefix('-')).and_then(|a| a.split('=').next());
    match flag.map(|flag| FLAGS.binary_search(&flag)) {
        Some(Ok(_)) => [OsString::from("-"), argument].into_iter().collect(),
        _ => argument,
    }
}

/// The devices to compute on.
#[derive(Args, Debug)]
pub struct Gpu {
    /// Taken for Caffe's sake: cnnctl computes on CPUs
    #[arg(long, hide = true, value_name = "ID,...")]
    gpu: Option<String>,
}

impl Gpu {
    /// Says that it means nothing, if it is given.
    pub fn note(&self) {
        if self.gpu.as_ref().is_some_and(|devices| !devices.is_empty()) {
            report::info("--gpu is taken as CPU: cnnctl computes on CPUs only");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_dash_is_for_flags_of_caffe() {
        assert!(FLAGS.is_sorted());
        for (given, taken) in [
            ("-solver=a=b", "--solver=a=b"),
            ("-weights", "--weights"),
            ("--solver", "--solver"),
            ("-vv", "-vv"),
            ("-o", "-o"),
            ("-1 0 -1", "-1 0 -1"),
            ("-", "-"),
            ("solver", "solver"),
        ] {
            assert_eq!(two_dashes(given.into()), OsString::from(taken));
        }
    }
}
