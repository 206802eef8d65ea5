//! Layers that do the work of those above them, so that the blobs between never go to memory.

use crate::{
    layers::{Role, Taken},
    net::{BlobId, Node, ParamId},
};

/// What one call of a layer's passes works on: what is the layer's own, and what is of the layers whose work it does.
#[derive(Clone, Debug, Default)]
pub(in crate::net) struct Run {
    /// The blobs that it makes.
    pub tops: Vec<BlobId>,
    /// The learned parameters.
    pub learned: Vec<ParamId>,
    /// For each of them, whether its diff is wanted.
    pub wanted: Vec<bool>,
    /// The running statistics.
    pub state: Vec<ParamId>,
    /// Whether the top's diffs are cleared, where the top is not above 0, before the backward pass.
    pub clears: bool,
}

impl Run {
    /// Of a layer alone.
    pub fn of(node: &Node) -> Self {
        let learned = |yes: bool| {
            let params = node.params.iter().zip(&node.outline.params);
            params.filter(move |(_, p)| p.learned == yes).map(|(&id, _)| id).collect()
        };
        let wanted = node.need.params.clone();
        Self { tops: node.tops.clone(), learned: learned(true), wanted, state: learned(false), clears: false }
    }

    /// Takes in the run of the layer that reads the one top.
    fn extend(&mut self, next: Run) {
        self.tops = next.tops;
        self.learned.extend(next.learned);
        self.wanted.extend(next.wanted);
        self.state.extend(next.state);
    }
}

/// Lets layers do the work of those that follow them, wherever nobody else sees the blobs between; `seen` says that
/// somebody does. A layer that has changed must be outlined again.
pub(in crate::net) fn fuse(nodes: &mut [Node], seen: impl Fn(BlobId) -> bool) {
    for i in 0..nodes.len() {
        while let Some(j) = next(nodes, i, &seen) {
            let taken = nodes[j].layer.follows().map(|follow| nodes[i].layer.take_up(follow));
            let clears = match taken {
                None | Some(Taken::Nothing) => break,
                Some(Taken::Forward) => true,
                Some(Taken::Both) => false,
            };
            let run = nodes[j].run.clone();
            nodes[i].run.extend(run);
            nodes[j].within = Some(i);
            if clears {
                nodes[i].run.clears = true;
                break;
            }
        }
    }
}

/// The layer whose work the `i`-th might do: it alone reads the one top, and needs its backward pass alike.
fn next(nodes: &[Node], i: usize, seen: impl Fn(BlobId) -> bool) -> Option<usize> {
    let [top] = nodes[i].run.tops[..] else { return None };
    let j = i + 1 + nodes[i + 1..].iter().position(|node| node.bottoms.contains(&top))?;
    let (node, next) = (&nodes[i], &nodes[j]);
    let plain = |node: &Node| {
        let weighs = node.loss_weights.iter().any(|&w| w != 0.0);
        node.kind.role == Role::Transform && !node.outline.alias && !weighs
    };
    let alike = next.bottoms.len() == 1 && next.tops.len() == 1 && node.outline.tops == next.outline.tops;
    let backward = next.need.bottoms.contains(&true);
    let needs_alike = node.need.backward == next.need.backward && next.need.backward == backward;
    let shared = next.params.iter().any(|id| node.run.learned.contains(id) || node.run.state.contains(id));
    let fits = plain(node) && plain(next) && alike && needs_alike && !shared;
    (node.within.is_none() && fits && !seen(top) && !seen(next.tops[0])).then_some(j)
}
