//! Samples that were left out: each is told of once, all are counted at the end.

use std::collections::BTreeSet;

use super::warn;
use crate::net::Net;

/// What has been told.
#[derive(Debug, Default)]
pub struct BadSampleNotes {
    told: BTreeSet<String>,
}

impl BadSampleNotes {
    /// Tells what was left out since the last time.
    pub fn tell<'a>(&mut self, nets: impl Iterator<Item = &'a Net>) {
        for message in nets.flat_map(Net::bad_samples).flat_map(|bad| bad.messages()) {
            if !self.told.contains(message) {
                warn(&format!("left out: {message}"));
                self.told.insert(message.clone());
            }
        }
    }

    /// Tells the rest, and how often samples were left out.
    pub fn sum_up<'a>(&mut self, nets: impl Iterator<Item = &'a Net> + Clone) {
        self.tell(nets.clone());
        let count: u64 = nets.flat_map(Net::bad_samples).map(|bad| bad.count()).sum();
        if count > 0 {
            warn(&format!("bad samples were left out {count} times"));
        }
    }
}
