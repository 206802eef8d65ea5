//! All that is wrong with a net or odd about it, not only the first.
//!
//! A [`Sketch`] goes over a net as `Net::new` does, but takes no memory and does not stop: what cannot be wired or
//! shaped leaves blobs of unknown shape, of which nothing more is said. The lints then look at the sketch.

mod graph;
mod labels;
mod losses;
mod parts;
mod settings;
mod sizes;
mod sketch;
mod stand_in;
mod states;
mod windows;

pub use parts::{Keeper, SketchBlob, SketchLayer};
pub use sketch::Sketch;
pub use stand_in::without_data;
pub use states::{guesses_stages, never_met, states};

use std::collections::{HashMap, HashSet};

use crate::{
    config::{
        Severity, message_and_hint,
        proto::{NetParameter, NetState},
    },
    net::NetError,
    tensor::Shape,
};

/// Something wrong with a net or odd about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The layer, by its place in the net; none for the net as a whole.
    pub layer: Option<usize>,
    /// The field, as a path from the layer; empty for the layer as a whole.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// More to know, a line each.
    pub notes: Vec<String>,
    /// The word to write in quotes in its place, where that is beyond doubt.
    pub fix: Option<&'static str>,
    /// Whether it only counts if it is so in every state in which the layer takes part.
    everywhere: bool,
}

impl Finding {
    /// A finding without hint and notes.
    pub fn new(
        severity: Severity,
        layer: impl Into<Option<usize>>,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            layer: layer.into(),
            field: field.into(),
            message: message.into(),
            hint: None,
            notes: Vec::new(),
            fix: None,
            everywhere: false,
        }
    }

    fn error(layer: usize, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, layer, field, message)
    }

    fn warning(layer: usize, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, layer, field, message)
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    fn everywhere(mut self) -> Self {
        self.everywhere = true;
        self
    }

    /// What a pass complains of in a layer.
    fn of(layer: usize, error: NetError) -> Self {
        let (field, message) = match error {
            NetError::Layer { field, message, .. } => (field, message),
            NetError::Value { message, .. } | NetError::Output { message, .. } | NetError::Net(message) => {
                (String::new(), message)
            }
        };
        let (message, hint) = message_and_hint(&message);
        Self { hint: hint.map(str::to_owned), ..Self::error(layer, field, message) }
    }

    /// Whether two findings are one: numbers aside, which differ from phase to phase with the batch.
    fn is_like(&self, other: &Self) -> bool {
        let words = |f: &Self| f.message.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
        self.layer == other.layer && self.field == other.field && words(self) == words(other)
    }
}

/// How to look at a net.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Shapes of blobs that come from data that may not be at hand.
    pub shapes: HashMap<String, Shape>,
    /// Layers, by their place in the net, of which not all could be read: little can be said of them.
    pub spoilt: Vec<usize>,
    /// Whether training starts from random weights, as far as is known.
    pub random_start: bool,
    /// Whether stages are only those that rules ask for: who knows whether there is a run with just these.
    pub guessed_stages: bool,
}

/// A check that looks at a sketch.
type Lint = fn(&Sketch, &View, &mut Vec<Finding>);

/// All of them.
const LINTS: &[Lint] = &[
    graph::cycles_and_names,
    graph::unread_tops,
    graph::learning,
    labels::labels,
    losses::inputs,
    settings::stray,
    settings::data,
    settings::fillers,
    settings::ranges,
    settings::unlikely,
    windows::unseen,
];

/// After so many findings, or so many that differ, the rest of a net is not looked at.
const MOST: usize = 1000;
const MOST_KINDS: usize = 100;

/// How many findings are enough, if there are that many.
fn enough(found: &[Finding]) -> Option<usize> {
    let mut kinds = HashSet::new();
    let last = found.iter().take(MOST).position(|f| {
        kinds.insert(&f.message[..]);
        kinds.len() >= MOST_KINDS
    });
    last.map(|i| i + 1).or((found.len() >= MOST).then_some(MOST))
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// What is wrong or odd.
    pub findings: Vec<Finding>,
    /// For each state, of the data layer that has a set at hand: the size of a batch and of the set.
    pub data: Vec<Option<(usize, usize)>>,
}

/// Looks at a net in these states for all that is wrong with it or odd about it.
pub fn check(net: &NetParameter, states: &[NetState], view: &View) -> Checked {
    if net.layer.is_empty() {
        let empty = Finding::new(Severity::Error, None, "", "the net has no layers");
        return Checked { findings: vec![empty], data: vec![None; states.len()] };
    }
    let mut data = Vec::with_capacity(states.len());
    let mut merged: Vec<(Finding, Vec<usize>)> = Vec::new();
    let mut parts: Vec<Vec<usize>> = Vec::new();
    for (number, state) in states.iter().enumerate() {
        let mut found = Vec::new();
        let sketch = Sketch::new(net, state, view, &mut found);
        if sketch.whole {
            LINTS.iter().for_each(|lint| lint(&sketch, view, &mut found));
        }
        if !view.spoilt.is_empty() {
            // What is missing may stand where it could not be read.
            found.retain(|f| f.severity != Severity::Warning || f.field.contains("_param"));
        }
        found.truncate(enough(&found).unwrap_or(MOST));
        data.push(sketch.data());
        parts.push(sketch.layers.iter().map(|l| l.index).collect());
        for finding in found {
            match merged.iter_mut().find(|(known, _)| known.is_like(&finding)) {
                Some((_, numbers)) => numbers.push(number),
                None => merged.push((finding, vec![number])),
            }
        }
    }
    let takes_part = |layer: Option<usize>| {
        parts.iter().filter(|part| layer.is_none_or(|layer| part.binary_search(&layer).is_ok())).count()
    };
    let mut findings: Vec<Finding> = Vec::new();
    for (mut finding, mut numbers) in merged {
        numbers.dedup();
        let only = numbers.len() < takes_part(finding.layer);
        if only && finding.everywhere {
            continue;
        }
        if only {
            let names: Vec<String> = numbers.iter().map(|&n| states::name(&states[n])).collect();
            let mut note = format!("in {}", names.join(" and "));
            if view.guessed_stages && numbers.iter().all(|&n| !states[n].stage.is_empty()) {
                note += ", if there is such a run";
                if finding.severity == Severity::Error {
                    finding.severity = Severity::Warning;
                }
            }
            finding.notes.push(note);
        }
        findings.push(finding);
    }
    Checked { findings, data }
}
