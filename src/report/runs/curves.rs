//! What a metrics file holds, as curves.

use std::collections::BTreeMap;

use serde::Serialize;

use super::follow::Sink;
use crate::report::metrics_line::{MetricsLine, Values};

/// Of an output with more values than this, the rest are left out.
const VALUES: usize = 16;

/// What a curve is a curve of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The loss of training.
    Loss,
    /// The learning rate.
    Rate,
    /// An output of the train net.
    Train,
    /// An output of a test net.
    Test,
}

/// Values by iteration.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// What it is a curve of.
    pub kind: Kind,
    /// Which test net, from 0.
    pub net: u32,
    /// The output's name, `loss` or `lr`; with `[i]` for value `i` of several.
    pub name: String,
    /// The iterations, rising.
    pub iters: Vec<i32>,
    /// A value for each; not all need be finite.
    pub values: Vec<f32>,
}

/// The curves of a run.
#[derive(Clone, Debug, Default)]
pub struct Curves {
    all: Vec<Curve>,
    places: BTreeMap<(Kind, u32, String), usize>,
    done: i32,
}

impl Curves {
    /// All of them, in the order in which they first came. An output of the train net that is the loss itself is left out.
    pub fn iter(&self) -> impl Iterator<Item = &Curve> {
        let loss = self.all.iter().find(|c| c.kind == Kind::Loss);
        let again = move |c: &Curve| {
            let same = |(a, b): (&f32, &f32)| a == b || (a.is_nan() && b.is_nan());
            c.kind == Kind::Train
                && loss.is_some_and(|l| {
                    l.values.len() == c.values.len() && l.values.iter().zip(&c.values).all(same)
                })
        };
        self.all.iter().filter(move |c| !again(c))
    }

    /// How many iterations are done, as far as is known.
    pub fn done(&self) -> i32 {
        self.done
    }

    fn add(&mut self, kind: Kind, net: u32, name: String, iter: i32, value: f32) {
        let key = (kind, net, name);
        let place = match self.places.get(&key) {
            Some(&place) => place,
            None => {
                let (iters, values) = (Vec::new(), Vec::new());
                self.all.push(Curve { kind, net, name: key.2.clone(), iters, values });
                self.places.insert(key, self.all.len() - 1);
                self.all.len() - 1
            }
        };
        let curve = &mut self.all[place];
        // A run that has gone back overwrites what it had said.
        if curve.iters.last().is_some_and(|&last| last >= iter) {
            let kept = curve.iters.partition_point(|&i| i < iter);
            curve.iters.truncate(kept);
            curve.values.truncate(kept);
        }
        curve.iters.push(iter);
        curve.values.push(value);
    }
}

impl Sink for Curves {
    fn restart(&mut self) {
        *self = Self::default();
    }

    /// Lines that are no metrics are passed over.
    fn line(&mut self, line: &[u8]) {
        let Ok(line) = MetricsLine::parse(line) else { return };
        let Ok(iter) = i32::try_from(line.iter) else { return };
        let kind = match &line.event[..] {
            "train" => Kind::Train,
            "test" => Kind::Test,
            _ => return,
        };
        if kind == Kind::Train {
            for (kind, name, value) in [(Kind::Loss, "loss", line.loss), (Kind::Rate, "lr", line.lr)] {
                value.into_iter().for_each(|v| self.add(kind, 0, name.into(), iter, v.0 as f32));
            }
        }
        for (name, values) in line.outputs {
            match values {
                Values::One(v) => self.add(kind, line.net, name, iter, v.0 as f32),
                Values::Many(all) => {
                    for (i, v) in all.iter().enumerate().take(VALUES) {
                        self.add(kind, line.net, format!("{name}[{i}]"), iter, v.0 as f32);
                    }
                }
            }
        }
        // A test comes before the iteration of its number.
        self.done = if kind == Kind::Train { iter.saturating_add(1) } else { iter };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curves(lines: &str) -> Curves {
        let mut curves = Curves::default();
        lines.lines().for_each(|line| curves.line(line.as_bytes()));
        curves
    }

    fn named<'a>(curves: &'a Curves, name: &str) -> &'a Curve {
        curves.iter().find(|c| c.name == name).unwrap_or_else(|| panic!("no {name}"))
    }

    #[test]
    fn lines_become_curves_and_the_loss_stands_once() {
        let curves = curves(
            r#"{"event":"test","iter":0,"net":1,"outputs":{"accuracy":0.5,"p":[0.25,"NaN"]}}
{"event":"train","iter":0,"loss":1.5,"lr":0.1,"outputs":{"l":1.5,"aux":2}}
{"event":"train","iter":1,"loss":"Infinity","lr":0.1,"outputs":{"l":"Infinity","aux":3}}
no json
{"event":"else","iter":7}"#,
        );
        let names: Vec<_> = curves.iter().map(|c| (c.kind, c.net, &c.name[..], c.values.len())).collect();
        let want = [
            (Kind::Test, 1, "accuracy", 1),
            (Kind::Test, 1, "p[0]", 1),
            (Kind::Test, 1, "p[1]", 1),
            (Kind::Loss, 0, "loss", 2),
            (Kind::Rate, 0, "lr", 2),
            (Kind::Train, 0, "aux", 2),
        ];
        assert_eq!(names, want);
        assert_eq!(named(&curves, "loss").values, [1.5, f32::INFINITY]);
        assert!(named(&curves, "p[1]").values[0].is_nan());
        assert_eq!(curves.done(), 2);
    }

    #[test]
    fn a_run_that_goes_back_overwrites() {
        let line = |iter: i32, loss: i32| format!(r#"{{"event":"train","iter":{iter},"loss":{loss}}}"#);
        let text = [line(0, 9), line(1, 8), line(2, 7), line(1, 6), line(5, 5)].join("\n");
        let curves = curves(&text);
        assert_eq!((&named(&curves, "loss").iters[..], curves.done()), (&[0, 1, 5][..], 6));
        assert_eq!(named(&curves, "loss").values, [9.0, 6.0, 5.0]);
    }
}
