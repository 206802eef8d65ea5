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

/// Those that are not given if they are empty, which is Caffe's default.
const FILES: &[&str] = &["snapshot", "weights"];

/// Those that are on or off: gflags takes `--noNAME` for `--NAME=false`.
const SWITCHES: &[&str] = &["check_size", "encoded", "gray", "shuffle"];

/// Flags of glog, Caffe's logger, which mean nothing here; after them those that are on or off.
const GLOG: &[&str] = &[
    "log_backtrace_at",
    "log_dir",
    "log_link",
    "logbuflevel",
    "logbufsecs",
    "logemaillevel",
    "logmailer",
    "max_log_size",
    "minloglevel",
    "stderrthreshold",
    "v",
    "vmodule",
];
const GLOG_SWITCHES: &[&str] = &[
    "alsologtoemail",
    "alsologtostderr",
    "colorlogtostderr",
    "log_prefix",
    "logtostderr",
    "stop_logging_if_full_disk",
];

/// A command line as cnnctl takes it, from one for Caffe's programs, and what was left out of it.
pub fn translated(arguments: impl Iterator<Item = OsString>) -> (Vec<OsString>, Vec<String>) {
    let mut arguments = arguments.peekable();
    let (mut taken, mut left_out) = (Vec::new(), Vec::new());
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            taken.push(argument);
            taken.extend(arguments);
            break;
        }
        let text = argument.to_str().filter(|text| text.starts_with('-')).unwrap_or_default();
        let flag = text.strip_prefix("--").or(text.strip_prefix('-')).unwrap_or_default();
        let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
        let is_switch = |switches: &[&str]| switches.contains(&name.strip_prefix("no").unwrap_or(name));
        let off = name.strip_prefix("no").filter(|name| SWITCHES.contains(name) && value.is_none());
        if text == "-v" {
            // Alone it is ours.
            taken.push(argument);
        } else if GLOG.contains(&name) || is_switch(GLOG_SWITCHES) {
            left_out.push(format!("--{name}"));
            if GLOG.contains(&name) && value.is_none() {
                arguments.next();
            }
        } else if FILES.contains(&name) && value.map_or_else(|| is_empty(arguments.peek()), str::is_empty) {
            if value.is_none() {
                arguments.next();
            }
        } else if let Some(name) = off {
            taken.push(format!("--{name}=false").into());
        } else {
            taken.push(two_dashes(argument));
        }
    }
    (taken, left_out)
}

/// Whether an argument is there, and empty.
fn is_empty(argument: Option<&OsString>) -> bool {
    argument.is_some_and(|argument| argument.is_empty())
}

/// Says that these flags mean nothing, if there are any.
pub fn note(left_out: &[String]) {
    if !left_out.is_empty() {
        let flags = left_out.join(", ");
        report::info(&format!("Left out, as Caffe's logger is not here: {flags}; the log goes to stderr"));
    }
}

/// An argument with two dashes where it is one of Caffe's flags with one: `-solver=S` is `--solver=S`.
fn two_dashes(argument: OsString) -> OsString {
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
    fn flags_of_the_logger_are_left_out() {
        let line = |text: &str| {
            let (taken, left_out) = translated(text.split(' ').map(OsString::from));
            let taken: Vec<_> = taken.into_iter().map(|a| a.into_string().unwrap()).collect();
            (taken.join(" "), left_out.join(" "))
        };
        for (given, kept, left_out) in [
            ("train --log_dir=./log -solver s", "train --solver s", "--log_dir"),
            (
                "train -minloglevel 0 -logtostderr --solver s",
                "train --solver s",
                "--minloglevel --logtostderr",
            ),
            ("train --nologtostderr -v=1 -v", "train -v", "--nologtostderr --v"),
            ("train --log debug -vv --log-format caffe", "train --log debug -vv --log-format caffe", ""),
            ("convert_imageset --noshuffle -nogray=1", "convert_imageset --shuffle=false -nogray=1", ""),
            ("train -weights= --snapshot= --solver s", "train --solver s", ""),
            ("train --weights  --solver s --stage=", "train --solver s --stage=", ""),
            ("a -- --log_dir -solver", "a -- --log_dir -solver", ""),
        ] {
            assert_eq!(line(given), (kept.to_owned(), left_out.to_owned()));
        }
    }

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
