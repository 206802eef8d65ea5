//! Labels on their way from the layers that read data to those that take them.

use super::{BlobId, Net};
use crate::layers::{BadSamples, Role};

impl Net {
    /// Tells the layers that read data which labels the losses can take, so that a sample with another one is refused by
    /// its name.
    pub(super) fn expect_labels(&mut self) {
        let ranges: Vec<_> = (self.nodes.iter())
            .filter_map(|node| {
                let range = node.layer.label_range()?;
                Some((self.source_of(*node.bottoms.get(1)?)?, range))
            })
            .collect();
        for ((node, top), range) in ranges {
            self.nodes[node].layer.expect_labels(top, range);
        }
    }

    /// The source, and which of its tops, that a blob shows unchanged.
    fn source_of(&self, mut blob: BlobId) -> Option<(usize, usize)> {
        loop {
            let (i, node) = self.nodes.iter().enumerate().find(|(_, node)| node.tops.contains(&blob))?;
            if node.kind.role == Role::Source {
                return Some((i, node.tops.iter().position(|&top| top == blob)?));
            }
            if node.kind.name != "Split" {
                return None;
            }
            blob = *node.bottoms.first()?;
        }
    }

    /// Has the layers that read data leave out samples that cannot be used, and not fail.
    pub fn skip_bad_samples(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.layer.skip_bad_samples());
    }

    /// The samples that were left out, by layer.
    pub fn bad_samples(&self) -> impl Iterator<Item = &BadSamples> {
        self.nodes.iter().filter_map(|node| node.layer.bad_samples())
    }
}
