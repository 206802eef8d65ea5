//! The layer graph: blobs, parameters, and the passes that turn a `NetParameter` into a wired net.
//!
//! A [`Net`] owns its blobs and lends them to its layers; parameters live in a [`Params`] store of their own, which
//! a train net and its test nets share. Each version of a blob (an in-place layer makes a new one) is written by one
//! layer, so no two slices that a layer is lent overlap; the memory plan lets blobs share memory once nobody reads them
//! any more, and a top that only shows its bottom in another shape have none of its own.

mod blobs;
mod build;
pub mod check;
mod error;
mod labels;
mod params;
mod pass;
pub mod plan;
mod reshape;
pub mod summary;

pub use error::NetError;
pub use params::{Param, ParamId, Params};
pub use pass::Learner;

pub use crate::layers::{Carry, Peers, Shard};

use std::time::Duration;

use crate::{
    config::proto::{LayerParameter, NetState, Phase},
    layers::{Kind, Layer, Outline, Role},
    tensor::{Buffer, Shape},
};

/// What a net is built for, beside its `NetParameter`.
#[derive(Clone, Debug)]
pub struct Options {
    /// Phase, level and stages.
    pub state: NetState,
    /// The run's seed.
    pub seed: u64,
    /// Whether backward passes will follow.
    pub backward: bool,
    /// Whether every blob keeps its values and diffs until the next pass, at the price of memory.
    pub keep_all: bool,
    /// Whether layers may do the work of those that follow them: then the blobs between have no values, or those of
    /// the last. Results are the same. In a net that keeps all only where a later version of the blob has its name, and never
    /// where there are backward passes.
    pub fuse: bool,
    /// Blobs whose diffs will be given from outside, and so count as losses.
    pub given_diffs: Vec<String>,
    /// Which of several nets that train together it is.
    pub shard: Shard,
}

impl Options {
    /// The seed of the numbers that layers draw as they run: another in each of several nets that train together.
    fn seed_of_passes(&self) -> u64 {
        self.seed.wrapping_add(u64::from(self.shard.rank).wrapping_mul(0xd1b5_4a32_d192_ed03))
    }

    /// For training, or for testing without backward passes.
    pub fn new(phase: Phase, seed: u64) -> Self {
        let state = NetState { phase: Some(phase as i32), ..NetState::default() };
        Self {
            state,
            seed,
            backward: phase == Phase::Train,
            keep_all: false,
            fuse: true,
            given_diffs: Vec::new(),
            shard: Shard::default(),
        }
    }
}

/// A blob's number in its net.
pub type BlobId = usize;

/// A version of a blob.
#[derive(Clone, Debug)]
struct BlobPlan {
    name: String,
    shape: Shape,
    /// The blob whose values this one shows under another name or shape; itself if it has its own.
    root: BlobId,
    /// The blob that has its values among its channels; itself if there is none.
    whole: BlobId,
    /// Where the values are.
    slot: usize,
    /// Where the diff is, if one is needed.
    diff: Option<usize>,
    /// Whether some layer's backward pass writes the diff.
    diff_written: bool,
}

/// A layer at its place.
struct Node {
    config: LayerParameter,
    kind: &'static Kind,
    layer: Box<dyn Layer>,
    outline: Outline,
    bottoms: Vec<BlobId>,
    tops: Vec<BlobId>,
    params: Vec<ParamId>,
    loss_weights: Vec<f32>,
    need: plan::need::Need,
    run: plan::fuse::Run,
    /// The layer that does this one's work.
    within: Option<usize>,
}

/// A layer graph that is ready to run.
pub struct Net {
    name: String,
    options: Options,
    nodes: Vec<Node>,
    blobs: Vec<BlobPlan>,
    slots: Vec<Buffer>,
    workspace: Buffer,
    /// Memory that was planned but not taken, for a net that is only looked at.
    planned: Option<usize>,
    passes: u64,
    /// The layer, of those whose tops' shapes depend on values, from which on shapes are those of an earlier pass.
    outdated: Option<usize>,
}

/// A blob that no layer reads: a result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Output<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its values.
    pub values: &'a [f32],
    /// Its weight in the net's loss.
    pub loss_weight: f32,
    /// Whether more of it is better, where its layer tells.
    pub more_is_better: Option<bool>,
}

/// What can be told of a layer of a net.
#[derive(Clone, Copy)]
pub struct LayerView<'a> {
    /// Its settings, after filtering and splitting.
    pub config: &'a LayerParameter,
    /// Its type.
    pub kind: &'static Kind,
    /// Its parameters.
    pub params: &'a [ParamId],
    /// Shapes and parameters.
    pub outline: &'a Outline,
    /// The blobs that it reads.
    pub bottoms: &'a [BlobId],
    /// The blobs that it makes.
    pub tops: &'a [BlobId],
    /// Whether its backward pass runs, and which diffs it makes.
    pub need: &'a plan::need::Need,
    /// The number of the layer that does its work, if another does.
    pub within: Option<usize>,
    /// The layer.
    pub layer: &'a dyn Layer,
}

impl LayerView<'_> {
    /// For a layer that reads data: how many samples it has given so far.
    pub fn source_position(&self) -> Option<u64> {
        (self.kind.role == Role::Source).then(|| self.layer.carry())?.map(|c| c.consumed)
    }
}

impl Net {
    /// The net's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the net trains or tests.
    pub fn phase(&self) -> Phase {
        self.options.state.phase()
    }

    /// The names of the blobs whose diffs are given from outside.
    pub fn given_diffs(&self) -> &[String] {
        &self.options.given_diffs
    }

    /// The layers, in order.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = LayerView<'_>> {
        self.nodes.iter().map(|n| LayerView {
            config: &n.config,
            kind: n.kind,
            params: &n.params,
            outline: &n.outline,
            bottoms: &n.bottoms,
            tops: &n.tops,
            need: &n.need,
            within: n.within,
            layer: &*n.layer,
        })
    }

    /// The layers themselves, to save what they carry or to take it up again.
    pub fn layers_mut(&mut self) -> impl Iterator<Item = (&str, &mut Box<dyn Layer>)> {
        self.nodes.iter_mut().map(|n| (n.config.name(), &mut n.layer))
    }

    /// Refuses two layers of one name with parameters of their own: snapshots, test nets and archives would take one for
    /// the other.
    ///
    /// # Errors
    /// Names the second.
    pub fn refuse_twins(&self) -> Result<(), NetError> {
        let layers: Vec<_> = self.layers().filter(|layer| !layer.params.is_empty()).collect();
        for (i, layer) in layers.iter().enumerate() {
            let name = layer.config.name();
            if layers[..i].iter().any(|other| other.config.name() == name && other.params != layer.params) {
                return Err(NetError::twin(layer.config));
            }
        }
        Ok(())
    }

    /// The parameters that the net's layers use, in Caffe's order, each once.
    pub fn params(&self) -> Vec<ParamId> {
        let mut ids: Vec<ParamId> = Vec::new();
        for id in self.nodes.iter().flat_map(|n| &n.params) {
            if !ids.contains(id) {
                ids.push(*id);
            }
        }
        ids
    }

    /// The latest version of the blob of this name.
    pub fn blob(&self, name: &str) -> Option<BlobId> {
        self.blobs.iter().rposition(|b| b.name == name)
    }

    /// The names of all blobs, each once, in order of making.
    pub fn blob_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for (i, blob) in self.blobs.iter().enumerate() {
            if self.blobs[..i].iter().all(|b| b.name != blob.name) {
                names.push(&blob.name);
            }
        }
        names
    }

    /// A blob's name.
    pub fn blob_name(&self, id: BlobId) -> &str {
        &self.blobs[id].name
    }

    /// A blob's shape.
    pub fn shape(&self, id: BlobId) -> &Shape {
        &self.blobs[id].shape
    }

    /// A blob's values. In a net that does not keep all, they may have given way to later blobs.
    pub fn values(&self, id: BlobId) -> &[f32] {
        let blob = &self.blobs[id];
        &self.slots[blob.slot][..blob.shape.count()]
    }

    /// A blob's diff, if it has one: the diff of its first version, which is what flows out of an in-place chain. In a net
    /// that does not keep all, it may have given way to other diffs.
    pub fn diff(&self, name: &str) -> Option<&[f32]> {
        let blob = self.blobs.iter().find(|b| b.name == name && b.diff.is_some())?;
        Some(&self.slots[blob.diff?][..blob.shape.count()])
    }

    /// The diff of just this version of a blob, if it has one.
    pub fn diff_of(&self, id: BlobId) -> Option<&[f32]> {
        let blob = &self.blobs[id];
        Some(&self.slots[blob.diff?][..blob.shape.count()])
    }

    /// The blobs that no layer reads, by name, as Caffe lists them.
    pub fn outputs(&self) -> Vec<Output<'_>> {
        let mut outputs: Vec<Output<'_>> = Vec::new();
        for node in &self.nodes {
            for (i, (&top, &loss_weight)) in node.tops.iter().zip(&node.loss_weights).enumerate() {
                if !self.nodes.iter().any(|n| n.bottoms.contains(&top)) {
                    outputs.push(Output {
                        name: &self.blobs[top].name,
                        values: self.values(top),
                        loss_weight,
                        more_is_better: node.kind.more_is_better(i, loss_weight),
                    });
                }
            }
        }
        outputs.sort_by(|a, b| a.name.cmp(b.name));
        outputs
    }

    /// Shows the values of every output to `see`, which may change them; in an order that depends on the net alone.
    pub fn each_output(&mut self, mut see: impl FnMut(&mut [f32])) {
        let read: Vec<BlobId> = self.nodes.iter().flat_map(|n| &n.bottoms).copied().collect();
        let outputs = self.nodes.iter().flat_map(|n| &n.tops).filter(|t| !read.contains(t));
        for &top in outputs {
            let blob = &self.blobs[top];
            see(&mut self.slots[blob.slot][..blob.shape.count()]);
        }
    }

    /// From now on this is one of several nets that train together: it reads its part of the data, and draws random
    /// numbers of its own.
    ///
    /// # Errors
    /// When a layer's data has no such part.
    pub fn take_part(&mut self, shard: Shard) -> Result<(), NetError> {
        self.options.shard = shard;
        for node in &mut self.nodes {
            node.layer.take_part(shard).map_err(|e| NetError::of(&node.config, e))?;
        }
        Ok(())
    }

    /// Lets the layers that look at a batch as a whole look at those of all ranks.
    pub fn join(&mut self, peers: &std::sync::Arc<dyn Peers>) {
        self.nodes.iter_mut().for_each(|node| node.layer.join(peers.clone()));
    }

    /// Elements of memory for blobs, diffs and workspace.
    pub fn memory(&self) -> usize {
        self.planned
            .unwrap_or_else(|| self.slots.iter().map(|s| s.len()).sum::<usize>() + self.workspace.len())
    }

    /// How long its layers have waited for data so far.
    pub fn waited_for_data(&self) -> Duration {
        self.nodes.iter().map(|node| node.layer.waited()).sum()
    }

    /// Forward passes so far.
    pub fn passes(&self) -> u64 {
        self.passes
    }

    /// Goes back to where it stood after so many passes, when the data layers, in order, had given so many samples.
    pub fn rewind(&mut self, passes: u64, consumed: &[u64]) {
        self.passes = passes;
        let sources =
            self.nodes.iter_mut().filter(|n| n.kind.role == Role::Source && n.layer.carry().is_some());
        for (node, &consumed) in sources.zip(consumed) {
            // It was the layer's own position a moment ago, so it fits.
            let _ = node.layer.resume(&Carry { consumed, values: Vec::new() });
        }
    }

    /// All layers have run forward, one by one: the pass is over.
    pub fn end_pass(&mut self) {
        self.passes += 1;
    }

    /// Goes on as after so many forward passes.
    pub fn resume_passes(&mut self, passes: u64) {
        self.passes = passes;
    }
}
