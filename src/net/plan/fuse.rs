//! Layers that do the work of those above them, so that the blobs between never go to memory.

use super::{
    gather::{gather, last_reader, weighs},
    place::place,
};
use crate::{
    layers::{Clearing, Follow, Role, Taken, Wanted},
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
    /// Whether the layer is a split whose tops' diffs are one with its bottom's, which the readers of its tops add to.
    pub gathered: bool,
    /// The blob among whose channels the tops are made, if they are parts of it.
    pub whole: Option<BlobId>,
    /// Whether the bottoms are made where they lie in the top, so that neither pass has anything to do.
    pub joined: bool,
}

impl Run {
    /// Of a layer alone.
    pub fn of(node: &Node) -> Self {
        let learned = |yes: bool| {
            let params = node.params.iter().zip(&node.outline.params);
            params.filter(move |(_, p)| p.learned == yes).map(|(&id, _)| id).collect()
        };
        let wanted = node.need.params.clone();
        Self {
            tops: node.tops.clone(),
            learned: learned(true),
            wanted,
            state: learned(false),
            ..Self::default()
        }
    }

    /// Whether learned parameter `k` is one of those before it, too, so that its gradient is added to that one's.
    pub fn repeats(&self, k: usize) -> bool {
        self.learned[..k].contains(&self.learned[k])
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
/// somebody does, and `given` that a blob's diff is given from outside. A layer that has changed must be outlined again.
pub(in crate::net) fn fuse(
    nodes: &mut [Node],
    given: impl Fn(BlobId) -> bool,
    seen: impl Fn(BlobId) -> bool,
) {
    for i in 0..nodes.len() {
        while let Some(j) = next(nodes, i, &seen).filter(|&j| !given(nodes[j].tops[0])) {
            let Some(follow) = nodes[j].layer.follows().filter(|&f| !better_behind(nodes, (j, f), &seen))
            else {
                break;
            };
            let wanted = wanted(&nodes[j]);
            let clears = match nodes[i].layer.take_up(follow, wanted) {
                Taken::Nothing => break,
                Taken::Forward => true,
                Taken::Both => false,
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
    gather(nodes, &given);
    place(nodes, seen);
    clear(nodes, given);
}

/// What backward passes want of a layer.
fn wanted(node: &Node) -> Wanted {
    match node.need.backward {
        false => Wanted::Nothing,
        true if node.need.params.contains(&true) => Wanted::Params,
        true => Wanted::Bottom,
    }
}

/// Whether a layer that normalizes had better do the work of the scale behind it, which learns: no other layer can.
fn better_behind(nodes: &[Node], (j, follow): (usize, Follow), seen: impl Fn(BlobId) -> bool) -> bool {
    let scale = || next(nodes, j, seen).filter(|&k| nodes[k].layer.follows() == Some(Follow::Scale));
    matches!(follow, Follow::Normalize { .. }) && scale().is_some_and(|k| wanted(&nodes[k]) == Wanted::Params)
}

/// Lets layers clear gradients while they write them, where otherwise a pass of its own would; `given` as above. A layer
/// that has changed must be outlined again.
fn clear(nodes: &mut [Node], given: impl Fn(BlobId) -> bool) {
    // A layer that passes the work on stands before those that may do it.
    for i in 0..nodes.len() {
        let [top] = nodes[i].run.tops[..] else { continue };
        let head = |node: &Node| node.within.is_none() && node.need.backward;
        if !nodes[i].run.clears || !head(&nodes[i]) || weighs(nodes, top) || given(top) {
            continue;
        }
        let mut readers =
            (i + 1..nodes.len()).filter(|&j| nodes[j].within.is_none() && nodes[j].bottoms.contains(&top));
        let (Some(j), None) = (readers.next(), readers.next()) else { continue };
        let Some(k) = nodes[j].bottoms.iter().position(|&b| b == top) else { continue };
        if !head(&nodes[j]) || !nodes[j].need.bottoms[k] {
            continue;
        }
        // Of several readers it is the one that adds last.
        let (j, k) = last_reader(nodes, j).unwrap_or((j, k));
        match nodes[j].layer.clear(k) {
            Clearing::Nothing => continue,
            Clearing::Written => {}
            Clearing::AtTop => nodes[j].run.clears = true,
        }
        nodes[i].run.clears = false;
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
    (node.within.is_none() && fits && !seen(top)).then_some(j)
}

#[cfg(test)]
mod tests {
    use crate::{
        config::{net_from_text, proto::Phase},
        net::{Net, Options, Params},
    };

    /// The layers before which gradients are cleared in a pass of its own, in a net that begins with a rectified
    /// convolution, blob `y`.
    fn clearing(rest: &str) -> Vec<String> {
        let text = format!(
            "force_backward: true
             layer {{ name: 'in' type: 'Input' top: 'x' input_param {{ shape {{ dim: 2 dim: 3 dim: 5 dim: 5 }} }} }}
             layer {{ name: 'conv' type: 'Convolution' bottom: 'x' top: 'y'
               convolution_param {{ num_output: 3 kernel_size: 1 }} }}
             layer {{ name: 'relu' type: 'ReLU' bottom: 'y' top: 'y' }} {rest}"
        );
        let net = net_from_text("net.prototxt", text).unwrap().net;
        let net = Net::new(&net, Options::new(Phase::Train, 1), &mut Params::new()).unwrap();
        let nodes = net.nodes.iter().filter(|node| node.run.clears && node.within.is_none());
        nodes.map(|node| node.config.name().to_owned()).collect()
    }

    #[test]
    fn gradients_are_cleared_where_they_are_written() {
        let sum = "layer { name: 'sum' type: 'Reduction' bottom: 'z' top: 'sum' loss_weight: 1 }";
        let pool = |method: &str| {
            format!(
                "layer {{ name: 'pool' type: 'Pooling' bottom: 'y' top: 'z'
                   pooling_param {{ pool: {method} kernel_size: 2 }} }}"
            )
        };
        let beside = "layer { name: 'z' type: 'Concat' bottom: 'x' bottom: 'y' top: 'z' }";
        let twice = "layer { name: 'z' type: 'Eltwise' bottom: 'y' bottom: 'y' top: 'z' }";
        assert_eq!(clearing(&(pool("AVE") + sum)), ["conv"], "means mix values");
        assert_eq!(clearing(&(pool("MAX") + sum)), ["pool"], "of a quarter of the values");
        assert_eq!(clearing(&(beside.to_owned() + sum)), [""; 0]);
        assert_eq!(clearing(&(twice.to_owned() + sum)), [""; 0], "a split");
        let pooled =
            "layer { name: 'twice' type: 'Eltwise' bottom: 'z' bottom: 'z' top: 'sum' loss_weight: 1 }";
        assert_eq!(clearing(&(pool("MAX") + pooled)), [""; 0], "a split behind the maximum");
    }
}
