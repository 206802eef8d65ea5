//! Writes the journal of a run.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use super::entry::{Entry, How, Start, journal_path, seconds};
use crate::{
    config::{
        proto::{NetParameter, SolverParameter},
        text,
    },
    solver::{Ending, Event, Observer, Solver},
};

/// From one note of the time to the next.
const TICK: Duration = Duration::from_secs(1);

/// The journal that this process writes. The log goes there, too, from wherever it is written.
static OPEN: Mutex<Option<Lines>> = Mutex::new(None);

/// Follows a run and writes its journal, until it is dropped.
pub struct Journal {
    metrics: String,
    solver_file: PathBuf,
    seed: u64,
    last: Option<Instant>,
    iter: i32,
}

impl Journal {
    /// Opens the journal beside `metrics`, for a run that starts at iteration `iter` with this seed: anew at 0, else
    /// behind what is there. No run needs one: where it cannot be written, a warning says so, and beside a pipe or a
    /// device there is none.
    pub fn open(metrics: &Path, solver_file: &Path, seed: u64, iter: i32) -> Option<Self> {
        if !fs::metadata(metrics).is_ok_and(|there| there.is_file()) {
            return None;
        }
        let path = journal_path(metrics);
        match Lines::open(&path, iter == 0) {
            Ok(lines) => *OPEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(lines),
            Err(error) => {
                tracing::warn!("cannot write {}: {error}: the run has no journal", path.display());
                return None;
            }
        }
        let metrics = metrics.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Some(Self { metrics, solver_file: absolute(solver_file), seed, last: None, iter })
    }

    /// Notes that the run has failed, and why.
    pub fn fail(&self, why: &str) {
        self.end(How::Failed, why);
    }

    fn end(&self, how: How, why: &str) {
        let time = seconds(SystemTime::now());
        write(&Entry::End { time, iter: self.iter, how, why: why.to_owned() });
    }

    /// What is known at the start.
    fn start(&self, solver: &Solver) -> Start {
        let net = solver.train_net();
        let sources = net.layers().filter(|layer| layer.bottoms.is_empty());
        let tops = sources.flat_map(|layer| layer.tops.to_vec());
        let shapes = tops.map(|top| (net.blob_name(top).to_owned(), net.shape(top).to_vec())).collect();
        let learned = solver.params().iter().filter(|p| p.learned).map(|p| p.data.len() as u64);
        let [samples, samples_per_iteration] = solver.samples().unwrap_or_default();
        Start {
            time: seconds(SystemTime::now()),
            iter: solver.iter(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            process: std::process::id(),
            host: super::host(),
            command: std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect(),
            metrics: self.metrics.clone(),
            prefix: absolute(Path::new(solver.config().snapshot_prefix())),
            max_iter: solver.config().max_iter(),
            seed: self.seed,
            threads: rayon::current_num_threads(),
            parameters: learned.sum(),
            samples,
            samples_per_iteration,
            solver_file: self.solver_file.clone(),
            solver: text::print(&settings(solver.config())),
            net: text::print(&bare(solver.source())),
            shapes,
        }
    }
}

impl Observer for Journal {
    fn see(&mut self, solver: &Solver, event: &Event<'_>) {
        self.iter = solver.iter();
        match event {
            Event::Start => write(&Entry::Start(Box::new(self.start(solver)))),
            Event::Train { .. } if self.last.is_none_or(|last| last.elapsed() >= TICK) => {
                self.last = Some(Instant::now());
                write(&Entry::At { time: seconds(SystemTime::now()), iter: self.iter });
            }
            Event::End(Ending::Done) => self.end(How::Done, ""),
            Event::End(Ending::Stopped(why)) => {
                let how = if *why == crate::solver::Why::Patience { How::Done } else { How::Stopped };
                self.end(how, &why.to_string());
            }
            _ => {}
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Adds lines of the log to the journal, if one is open.
pub(in crate::report) fn log(text: &str) {
    write(&Entry::Log { text: text.to_owned() });
}

/// Adds an entry. What a full disk does not take is lost: training goes on, and metrics matter more.
fn write(entry: &Entry) {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let (Some(lines), Ok(mut line)) = (&mut *open, serde_json::to_vec(entry)) {
        line.push(b'\n');
        let _ = lines.add(&line);
    }
}

/// A file that grows by whole lines.
struct Lines {
    file: File,
    end: u64,
}

impl Lines {
    /// Opens a file, anew or behind its last whole line.
    fn open(path: &Path, anew: bool) -> io::Result<Self> {
        let mut file = File::options().read(true).write(true).create(true).truncate(anew).open(path)?;
        let mut there = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut there)?;
        let end = there.iter().rposition(|&b| b == b'\n').map_or(0, |at| at as u64 + 1);
        file.set_len(end)?;
        Ok(Self { file, end })
    }

    fn add(&mut self, line: &[u8]) -> io::Result<()> {
        let written = self.file.write_all_at(line, self.end);
        match written {
            Ok(()) => self.end += line.len() as u64,
            // Half a line only takes room from others.
            Err(_) => self.file.set_len(self.end)?,
        }
        written
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The settings without the nets, which stand by themselves.
fn settings(config: &SolverParameter) -> SolverParameter {
    SolverParameter { net_param: None, train_net_param: None, test_net_param: Vec::new(), ..config.clone() }
}

/// The net without what its layers know of places in a file.
fn bare(net: &NetParameter) -> NetParameter {
    let mut net = net.clone();
    net.layer.iter_mut().for_each(|layer| layer.cnnctl_origin = None);
    net
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_behind_the_last_whole_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.run");
        for (there, anew, want) in [("a\nb", false, "a\nc\n"), ("a\n", true, "c\n"), ("b", false, "c\n")] {
            fs::write(&path, there).unwrap();
            Lines::open(&path, anew).unwrap().add(b"c\n").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), want);
        }
    }
}
