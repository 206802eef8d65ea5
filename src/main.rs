//! The `cnnctl` binary: parse, run, print the error, exit with the status.

use std::process::ExitCode;

fn main() -> ExitCode {
    match cnnctl::cli::Cli::of_process().run() {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            cnnctl::report::complain(&failure.message);
            ExitCode::from(failure.status)
        }
    }
}
