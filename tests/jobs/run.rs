//! A run in the background, followed by its log.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    process::{Child, ChildStderr, Command, Stdio},
    thread,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::common::Folder;

/// A running program. Its log is a pipe: when nobody reads, the program goes on until the pipe is full, 64 KiB, and
/// then waits; see [`paced`].
pub struct Run {
    child: Child,
    log: BufReader<ChildStderr>,
    seen: String,
}

impl Run {
    pub fn start(folder: &Folder, arguments: &[&str]) -> Self {
        Self::spawn(&mut folder.command(arguments))
    }

    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log, seen: String::new() }
    }

    /// The next line of the log; empty at its end.
    pub fn line(&mut self) -> &str {
        let start = self.seen.len();
        self.log.read_line(&mut self.seen).unwrap();
        &self.seen[start..]
    }

    /// Whether there is something to read, a line or the end.
    pub fn has_line(&self) -> bool {
        let mut log = [PollFd::new(self.log.get_ref(), PollFlags::IN)];
        !self.log.buffer().is_empty() || poll(&mut log, Some(&Timespec::default())).unwrap() > 0
    }

    /// Reads until a line has `what` in it.
    pub fn wait_for(&mut self, what: &str) {
        loop {
            let line = self.line();
            if line.contains(what) {
                return;
            }
            let ended = line.is_empty();
            assert!(!ended, "no `{what}` in\n{}", self.seen);
        }
    }

    /// Sends a signal, `TERM` or `KILL`, and waits until it has been taken: two that wait together count as one.
    pub fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success(), "{command}");
        while self.has_waiting_signals() {
            thread::yield_now();
        }
    }

    fn has_waiting_signals(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let ended = line("State:").trim_start().starts_with(['Z', 'X']);
        !ended && line("ShdPnd:").contains(|digit: char| digit.is_ascii_hexdigit() && digit != '0')
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end: the exit status, or -1 after a kill, and the whole log.
    pub fn end(&mut self) -> (i32, String) {
        while !self.line().is_empty() {}
        (self.child.wait().unwrap().code().unwrap_or(-1), short(&std::mem::take(&mut self.seen)))
    }

    /// Ends the reading of the log, as a terminal that goes away; then waits for the exit status.
    pub fn end_unread(self) -> i32 {
        let Self { mut child, log, .. } = self;
        drop(log);
        child.wait().unwrap().code().unwrap_or(-1)
    }
}

/// Gives the net's loss a name of 100,000 letters, and shows it in each iteration: no pipe holds that, so a run whose
/// log is read up to `Iteration 5, loss` waits in iteration 5.
pub fn paced(folder: &Folder) {
    folder.edit("net.prototxt", "top: \"loss\"", &format!("top: \"{}\"", long_name()));
    folder.edit("solver.prototxt", "display: 5", "display: 1");
}

fn long_name() -> String {
    "loss".repeat(25_000)
}

/// A log without long names.
pub fn short(log: &str) -> String {
    log.replace(&long_name(), "loss...")
}

/// What a test that cannot run here says, past the capturing of output.
pub fn skip(test: &str, reason: &str) {
    let _ = writeln!(io::stderr(), "skipped {test}: {reason}");
}

/// The same files in both folders.
#[track_caller]
pub fn same(case: &str, one: &Folder, other: &Folder, files: &[&str]) {
    for file in files {
        assert!(one.read(file) == other.read(file), "{case}: {file} differs");
    }
}
