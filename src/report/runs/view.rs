//! Runs as the page sees them: plain data, ready to become JSON.

use std::ops::RangeInclusive;

use serde::Serialize;

use super::{
    Evaluation, Run, Snapshot, State,
    curves::{Curve, Kind},
    entry::seconds,
    evaluation,
    thin::{Thinned, thin},
};
use crate::config;

/// Notes of the time that go along with curves; between them time is taken to be even.
const TICKS: usize = 500;

/// A run in a line.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Its name among all.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// Why it has ended, if there is a reason.
    pub why: String,
    /// Iterations done.
    pub iter: i32,
    /// Iterations to do; 0 if that is not known.
    pub max_iter: i32,
    /// When it began, and when it last wrote something, in seconds since 1970.
    pub started: Option<f64>,
    /// See `started`.
    pub updated: Option<f64>,
    /// Seconds of training.
    pub seconds: f64,
    /// Iterations a second, lately.
    pub speed: Option<f64>,
    /// Iterations of a pass over the training set, if that is known.
    pub epoch: Option<f64>,
    /// The last value of each curve.
    pub last: Vec<Last>,
}

/// The last value of a curve.
#[derive(Debug, Serialize)]
pub struct Last {
    /// What it is a curve of.
    pub kind: Kind,
    /// Which test net.
    pub net: u32,
    /// The output's name.
    pub name: String,
    /// Its value; none if it is not finite.
    pub value: Option<f32>,
}

/// The curves of a run.
#[derive(Debug, Serialize)]
pub struct Series {
    /// Its name among all.
    pub id: String,
    /// Iterations of a pass over the training set, if that is known.
    pub epoch: Option<f64>,
    /// Iterations and the seconds of training that they took.
    pub times: Vec<(i32, f64)>,
    /// The curves.
    pub curves: Vec<Points>,
}

/// A curve.
#[derive(Debug, Serialize)]
pub struct Points {
    /// What it is a curve of.
    pub kind: Kind,
    /// Which test net.
    pub net: u32,
    /// The output's name.
    pub name: String,
    /// How many points there are before thinning.
    pub count: usize,
    /// The points.
    #[serde(flatten)]
    pub points: Thinned,
}

/// All else that is known of a run.
#[derive(Debug, Serialize)]
pub struct Detail {
    /// Its name among all.
    pub id: String,
    /// Facts with their names, for people.
    pub facts: Vec<(&'static str, String)>,
    /// The solver's settings, by name.
    pub settings: Vec<(String, String)>,
    /// The net as prototxt.
    pub net: String,
    /// Snapshots, newest first.
    pub snapshots: Vec<Snapshot>,
    /// What `evaluate` has found of the newest of them.
    pub evaluation: Option<Evaluation>,
    /// The end of the log.
    pub log: Vec<String>,
}

impl Run {
    /// The run in a line.
    pub fn summary(&self) -> Summary {
        let (state, why) = self.state();
        let start = self.record.start.as_ref();
        let noted = self.record.ticks.last().map_or(0, |t| t.0);
        Summary {
            id: self.id.clone(),
            name: name_of(&self.id),
            state,
            why: why.to_owned(),
            iter: if self.record.end.is_some() { noted } else { noted.max(self.curves.done()) },
            max_iter: start.map_or(0, |s| s.max_iter),
            started: self.record.first,
            updated: self.modified().map(seconds),
            seconds: self.record.seconds(),
            speed: self.record.speed(),
            epoch: self.epoch(),
            last: self.curves.iter().filter_map(last).collect(),
        }
    }

    /// Its curves in a range of iterations, in about so many points each.
    pub fn series(&self, range: &RangeInclusive<i32>, points: usize) -> Series {
        let curves = self.curves.iter().map(|c| Points {
            kind: c.kind,
            net: c.net,
            name: c.name.clone(),
            count: c.iters.len(),
            points: thin(&c.iters, &c.values, range, points),
        });
        Series { id: self.id.clone(), epoch: self.epoch(), times: self.times(), curves: curves.collect() }
    }

    /// All else that is known of it.
    pub fn detail(&self) -> Detail {
        let solver = self.record.start.as_ref().map_or("", |s| &s.solver);
        let snapshots = self.snapshots();
        Detail {
            id: self.id.clone(),
            facts: self.facts(),
            settings: settings(solver),
            net: self.record.start.as_ref().map_or_else(String::new, |s| s.net.clone()),
            evaluation: evaluation::find(&self.prefix(), &snapshots),
            snapshots,
            log: self.record.log.iter().cloned().collect(),
        }
    }

    /// Iterations of a pass over the training set.
    fn epoch(&self) -> Option<f64> {
        let start = self.record.start.as_ref()?;
        let known = start.samples > 0 && start.samples_per_iteration > 0;
        known.then(|| start.samples as f64 / start.samples_per_iteration as f64)
    }

    fn times(&self) -> Vec<(i32, f64)> {
        let ticks = &self.record.ticks;
        let step = ticks.len().div_ceil(TICKS).max(1);
        let last = ticks.last().filter(|_| ticks.len() % step != 1 && step > 1);
        ticks.iter().step_by(step).chain(last).copied().collect()
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let Some(start) = &self.record.start else { return Vec::new() };
        let net = config::net_from_text("", &start.net[..]).map(|file| file.net.name().to_owned());
        let mut facts = vec![
            ("net", net.unwrap_or_default()),
            ("parameters", crate::report::grouped(start.parameters)),
            ("command", start.command.join(" ")),
            ("solver", start.solver_file.display().to_string()),
            ("seed", start.seed.to_string()),
            ("threads", start.threads.to_string()),
            ("host", start.host.clone()),
            ("process", start.process.to_string()),
            ("cnnctl", start.version.clone()),
            ("snapshots", self.prefix().display().to_string()),
        ];
        if start.samples > 0 {
            facts.insert(2, ("samples", crate::report::grouped(start.samples)));
            facts.insert(3, ("samples per iteration", crate::report::grouped(start.samples_per_iteration)));
        }
        if self.record.processes > 1 {
            facts.push(("processes so far", self.record.processes.to_string()));
        }
        facts.retain(|(_, value)| !value.is_empty());
        facts
    }
}

/// A metrics file's path without the ending that all have.
fn name_of(id: &str) -> String {
    id.strip_suffix(".jsonl").unwrap_or(id).to_owned()
}

fn last(curve: &Curve) -> Option<Last> {
    let value = Some(*curve.values.last()?).filter(|v| v.is_finite());
    Some(Last { kind: curve.kind, net: curve.net, name: curve.name.clone(), value })
}

/// The fields of a message's text. A block counts as one.
fn settings(text: &str) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match line.split_once(": ") {
            Some((name, value)) if !line.starts_with([' ', '}']) => {
                let value = value.trim_matches('"');
                // A field that may stand several times is one row.
                match all.last_mut().filter(|(known, _)| known == name) {
                    Some((_, values)) => *values += &format!(", {value}"),
                    None => all.push((name.to_owned(), value.to_owned())),
                }
            }
            _ if line.ends_with('{') && !line.starts_with(' ') => {
                all.push((line.trim_end_matches([' ', '{']).to_owned(), String::new()));
            }
            _ => {
                if let Some((_, value)) = all.last_mut().filter(|_| line.starts_with(' ')) {
                    *value += line.trim();
                    value.push(' ');
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_rows() {
        let text = "base_lr: 0.1\nlr_policy: \"step\"\nstepvalue: 3\nstepvalue: 5\ntrain_state {\n  stage: \"a\"\n}\n";
        let rows = settings(text);
        let want = [
            ("base_lr", "0.1"),
            ("lr_policy", "step"),
            ("stepvalue", "3, 5"),
            ("train_state", "stage: \"a\" "),
        ];
        assert!(rows.iter().map(|(n, v)| (&n[..], &v[..])).eq(want), "{rows:?}");
    }
}
