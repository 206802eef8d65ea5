//! From a `NetParameter` to a wired net with memory.

use super::{
    BlobId, BlobPlan, Net, NetError, Node, Options, ParamId, Params, params,
    plan::{
        filter, fuse,
        memory::{self, Lives},
        need, split, wire,
    },
};
use crate::{
    config::proto::{LayerParameter, NetParameter, ParamSpec},
    layers::{Layer, Outline, Role, Setup},
    tensor::{Buffer, Shape},
};

impl Net {
    /// Builds the net that takes part in `options.state`; its parameters are added to `params`, or found there.
    ///
    /// # Errors
    /// For anything wrong with a layer's settings, blobs or shapes.
    pub fn new(net: &NetParameter, options: Options, params: &mut Params) -> Result<Self, NetError> {
        let shapes_only = params.is_shapes_only();
        Self::build(net, options, params, shapes_only)
    }

    /// Like [`Net::new`], but the blobs get no memory: for a net whose layers, shapes and parameters are looked at, and
    /// which never runs.
    ///
    /// # Errors
    /// As [`Net::new`].
    pub fn planned(net: &NetParameter, options: Options, params: &mut Params) -> Result<Self, NetError> {
        Self::build(net, options, params, true)
    }

    fn build(
        net: &NetParameter,
        options: Options,
        params: &mut Params,
        only_planned: bool,
    ) -> Result<Self, NetError> {
        let phase = options.state.phase().as_str_name();
        let _span = tracing::debug_span!("build", net = net.name(), phase).entered();
        if net.layer.is_empty() {
            return Err(NetError::Net("the net has no layers".to_owned()));
        }
        let layers = split::insert_splits(filter::filter(net, &options.state)?)?;
        let wiring = wire::wire(layers)?;
        let mut blobs: Vec<BlobPlan> =
            wiring.blobs.iter().enumerate().map(|(i, name)| BlobPlan::new(name, i)).collect();
        let built = build_layers(&wiring.layers, &mut blobs, &options, params, only_planned)?;
        // As in Caffe, of a parameter that layers share each takes a gradient by its own rate, and `clip_gradients` counts it.
        let rate = |layer: &LayerParameter, i| layer.param.get(i).map_or(1.0, ParamSpec::lr_mult);
        let learns: Vec<Vec<bool>> = (wiring.layers.iter().zip(&built))
            .map(|(layer, (_, outline, _))| {
                let learned = (0..outline.params.len()).filter(|&i| outline.params[i].learned);
                learned.map(|i| rate(&layer.config, i) != 0.0).collect()
            })
            .collect();
        let wish = need::Wish { force: net.force_backward(), given: &options.given_diffs };
        let needs = need::needs(&wiring, &learns, wish);
        let mut nodes: Vec<Node> = (wiring.layers.into_iter().zip(built).zip(needs))
            .map(|((wired, (layer, outline, params)), need)| Node {
                // The parameters have taken their values over.
                config: LayerParameter { blobs: Vec::new(), ..wired.config },
                kind: wired.kind,
                layer,
                outline,
                bottoms: wired.bottoms,
                tops: wired.tops,
                params,
                loss_weights: wired.loss_weights,
                need: if options.backward { need } else { need::Need::default() },
                run: fuse::Run::default(),
                within: None,
            })
            .collect();
        nodes.iter_mut().for_each(|node| node.run = fuse::Run::of(node));
        if options.fuse && !(options.keep_all && options.backward) {
            let given = |blob: BlobId| options.given_diffs.contains(&blobs[blob].name);
            // What is kept is looked at by name.
            let latest = |blob: BlobId| blobs[blob + 1..].iter().all(|later| later.name != blobs[blob].name);
            fuse::fuse(&mut nodes, given, |blob| given(blob) || options.keep_all && latest(blob));
        }
        let mut net = Self {
            name: net.name().to_owned(),
            options,
            nodes,
            blobs,
            slots: Vec::new(),
            workspace: Buffer::default(),
            planned: only_planned.then_some(0),
            passes: 0,
            outdated: None,
        };
        net.outline(0..net.nodes.len())?;
        net.lay_out()?;
        net.make_diffs(params)?;
        net.expect_labels();
        Ok(net)
    }

    /// Plans the memory of all blobs and takes it. Buffers only grow, so values of the sources stay.
    pub(super) fn lay_out(&mut self) -> Result<(), NetError> {
        let lives = self.lives();
        let layout = memory::plan(&lives.values);
        for (t, blob) in self.blobs.iter_mut().enumerate() {
            blob.slot = layout.slots[lives.data[t]];
            blob.diff = lives.diff[t].map(|d| layout.slots[d]);
        }
        let workspace = self.nodes.iter().map(|n| n.outline.workspace).max().unwrap_or(0);
        if let Some(planned) = &mut self.planned {
            *planned = layout.sizes.iter().sum::<usize>() + workspace;
            return Ok(());
        }
        self.slots.resize_with(layout.sizes.len(), Buffer::default);
        for (slot, &size) in self.slots.iter_mut().zip(&layout.sizes) {
            if slot.len() < size {
                slot.try_resize(size).map_err(|e| NetError::Net(format!("blobs: {e}")))?;
            }
        }
        if self.workspace.len() < workspace {
            self.workspace.try_resize(workspace).map_err(|e| NetError::Net(format!("workspace: {e}")))?;
        }
        Ok(())
    }

    /// From when to when values and diffs are needed. Blobs learn whose values they show.
    fn lives(&mut self) -> Lives {
        let mut lives = Lives::new(self.blobs.len(), 2 * self.nodes.len());
        for i in 0..self.nodes.len() {
            if let Some(head) = self.nodes[i].within {
                // Of all blobs of the layers that it does the work of only the last has values.
                lives.data[self.nodes[i].tops[0]] = lives.data[self.nodes[head].run.tops[0]];
                continue;
            }
            self.make_tops(i, &mut lives);
            self.make_bottom_diffs(i, &mut lives);
            self.read(i, &mut lives);
        }
        self.keep_results(&mut lives);
        lives
    }

    /// Layer `i` makes its tops, and is given their diffs when it runs backward.
    fn make_tops(&mut self, i: usize, lives: &mut Lives) {
        let (node, backward) = (&self.nodes[i], lives.last - 1 - i);
        let pinned = self.options.keep_all || node.kind.role == Role::Source;
        let shows = if node.outline.alias { node.bottoms.first().copied() } else { None };
        for &t in &node.run.tops {
            let whole = node.run.whole.unwrap_or(t);
            let len = self.blobs[whole].shape.count();
            let sibling = self.blobs[..t].iter().position(|b| whole != t && b.whole == whole);
            let blob = &mut self.blobs[t];
            (blob.root, blob.whole, blob.diff_written) = (t, whole, false);
            if let Some(bottom) = shows {
                let root = self.blobs[bottom].root;
                self.blobs[t].root = root;
                lives.data[t] = lives.data[root];
            } else if node.run.joined {
                lives.data[t] = lives.data[node.bottoms[0]];
                lives.extend(t, i);
            } else if let Some(sibling) = sibling {
                lives.data[t] = lives.data[sibling];
                lives.extend(t, i);
            } else {
                lives.data[t] = lives.add(len, if pinned { 0..=lives.last } else { i..=i });
            }
            if self.shares_diff(i) {
                // One value under all these names.
                self.sharing(i).for_each(|b| lives.unite(t, b, len, backward));
            } else if node.need.backward {
                let alive = if pinned { 0..=lives.last } else { backward..=backward };
                lives.diff[t] = Some(lives.add(len, alive));
            }
        }
    }

    /// Layer `i` makes the diffs of its bottoms, those that are wanted.
    fn make_bottom_diffs(&mut self, i: usize, lives: &mut Lives) {
        let (node, backward) = (&self.nodes[i], lives.last - 1 - i);
        for (&b, _) in node.bottoms.iter().zip(&node.need.bottoms).filter(|(_, wanted)| **wanted) {
            // A source's top has no diff yet: it runs no backward pass, but its diff may be asked for.
            let d = lives.diff[b].unwrap_or_else(|| {
                let alive = if self.options.keep_all { 0..=lives.last } else { backward..=backward };
                lives.add(self.blobs[b].shape.count(), alive)
            });
            lives.diff[b] = Some(d);
            let alive = &mut lives.values[d].alive;
            *alive = backward.min(*alive.start())..=*alive.end();
            self.blobs[b].diff_written = true;
        }
    }

    /// Layer `i` reads its bottoms, and perhaps bottoms and tops once more when it runs backward.
    fn read(&self, i: usize, lives: &mut Lives) {
        let (node, backward) = (&self.nodes[i], lives.last - 1 - i);
        node.tops.iter().zip(&node.run.tops).for_each(|(&own, &last)| lives.data[own] = lives.data[last]);
        let read_back = |yes: bool| if yes && node.need.backward { backward } else { i };
        for &b in &node.bottoms {
            lives.extend(b, read_back(node.outline.reads.bottoms));
        }
        for &t in &node.run.tops {
            lives.extend(t, read_back(node.outline.reads.tops || node.run.clears));
        }
    }

    /// Whether the diffs of layer `i`'s bottoms are its top's, under other names or shapes: its backward pass has nothing to
    /// do. Not where every diff is kept, for diffs given to a bottom from outside would then show in the top's.
    pub(super) fn shares_diff(&self, i: usize) -> bool {
        let node = &self.nodes[i];
        let one = node.run.joined || node.outline.alias && (node.tops.len() == 1 || node.run.gathered);
        let shares = one || node.outline.spreads && self.sharing(i).all(|b| self.only_reads_diff(b));
        shares && node.need.backward && !self.options.keep_all
    }

    /// The bottoms of layer `i` whose diffs may be its top's.
    fn sharing(&self, i: usize) -> impl Iterator<Item = BlobId> + '_ {
        let node = &self.nodes[i];
        let most = if node.outline.alias { 1 } else { node.bottoms.len() };
        let wanted = node.bottoms.iter().zip(&node.need.bottoms).take(most).filter(|(_, wanted)| **wanted);
        wanted.map(|(&b, _)| b)
    }

    /// Whether neither the layer that makes this blob nor anybody outside changes its diff, but for those that read the blob.
    fn only_reads_diff(&self, b: BlobId) -> bool {
        let makes = |node: &&Node| node.within.is_none() && node.run.tops.contains(&b);
        let given = self.options.given_diffs.contains(&self.blobs[b].name);
        self.nodes.iter().find(makes).is_some_and(|maker| {
            let weighs = maker.loss_weights.iter().any(|&weight| weight != 0.0);
            let renames = maker.outline.alias && maker.tops.len() == 1;
            maker.kind.role == Role::Transform && !maker.run.clears && !renames && !weighs && !given
        })
    }

    /// Results, and whatever has a weight in the loss, live to the end.
    fn keep_results(&self, lives: &mut Lives) {
        for node in &self.nodes {
            for (&t, &weight) in node.tops.iter().zip(&node.loss_weights) {
                if weight != 0.0 || !self.nodes.iter().any(|n| n.bottoms.contains(&t)) {
                    lives.extend(t, lives.last);
                }
            }
        }
    }

    /// Gives memory to the diffs of the parameters that need one.
    fn make_diffs(&self, params: &mut Params) -> Result<(), NetError> {
        for node in &self.nodes {
            let learned = node.outline.params.iter().zip(&node.params).filter(|(p, _)| p.learned);
            for ((_, &id), &wanted) in learned.zip(&node.need.params) {
                if wanted && params[id].diff.is_empty() {
                    let diff = Buffer::try_zeroed(params[id].data.len());
                    params[id].diff = diff.map_err(|e| NetError::Net(format!("diffs: {e}")))?;
                }
            }
        }
        Ok(())
    }
}

impl BlobPlan {
    fn new(name: &str, id: BlobId) -> Self {
        Self {
            name: name.to_owned(),
            shape: Shape::default(),
            root: id,
            whole: id,
            slot: 0,
            diff: None,
            diff_written: false,
        }
    }
}

/// A layer that is built, its shapes and its parameters.
type Built = (Box<dyn Layer>, Outline, Vec<ParamId>);

/// Builds layers in order and gives their tops shapes; their parameters are added to `params`, or found there.
fn build_layers(
    layers: &[wire::Wired],
    blobs: &mut [BlobPlan],
    options: &Options,
    params: &mut Params,
    only_planned: bool,
) -> Result<Vec<Built>, NetError> {
    let setup = Setup { phase: options.state.phase(), seed: options.seed, backward: options.backward };
    let before = params.len();
    let mut built = Vec::with_capacity(layers.len());
    for wired in layers {
        let config = &wired.config;
        let mut layer =
            (wired.kind.build)(config, &setup.of_layer(config)).map_err(|e| NetError::of(config, e))?;
        let bottoms: Vec<Shape> = wired.bottoms.iter().map(|&b| blobs[b].shape.clone()).collect();
        let outline =
            layer.outline(&bottoms).map_err(|e| shape_error(blobs, wired, NetError::of(config, e)))?;
        debug_assert_eq!(outline.tops.len(), wired.tops.len(), "{}", wired.kind.name);
        check_sizes(config, &outline, only_planned)?;
        wired.tops.iter().zip(&outline.tops).for_each(|(&t, shape)| blobs[t].shape = shape.clone());
        if outline.params.len() < config.param.len() {
            return Err(NetError::too_many_params(config, outline.params.len()));
        }
        params.check_count(config, outline.params.len(), before)?;
        let ids = (outline.params.iter().enumerate())
            .map(|(i, p)| params.bind(config, i, p, options.seed, before))
            .collect::<Result<Vec<_>, _>>()?;
        params::refuse_double_statistics(config, &outline, &ids)?;
        tracing::debug!("layer `{}` ({}): {bottoms:?} -> {:?}", config.name(), wired.kind.name, outline.tops);
        built.push((layer, outline, ids));
    }
    Ok(built)
}

/// Refuses tops, parameters and scratch that no memory can hold, before a layer above takes memory by their sizes;
/// of a net that is only planned, those that cannot be counted.
pub(super) fn check_sizes(
    config: &LayerParameter,
    outline: &Outline,
    only_planned: bool,
) -> Result<(), NetError> {
    let scratch = Shape::from([outline.workspace]);
    let tops = outline.tops.iter().map(|shape| ("top", shape));
    let params = outline.params.iter().map(|p| ("parameter", &p.shape));
    for (what, shape) in tops.chain(params).chain([("workspace", &scratch)]) {
        let wrong = |why: String| NetError::layer(config, "", format!("its {what} would be {shape}: {why}"));
        let count = shape.checked_count().ok_or_else(|| wrong("too large".into()))?;
        if !only_planned {
            Buffer::default().try_reserve(count).map_err(|e| wrong(e.to_string()))?;
        }
    }
    Ok(())
}

/// Adds the bottoms' shapes to a complaint about them: they are what a reader looks for first.
fn shape_error(blobs: &[BlobPlan], wired: &wire::Wired, error: NetError) -> NetError {
    match error {
        NetError::Layer { layer, origin, field, message } if !wired.bottoms.is_empty() => {
            let shapes: Vec<String> =
                wired.bottoms.iter().map(|&b| format!("`{}` {}", blobs[b].name, blobs[b].shape)).collect();
            let message = format!("{message} (bottoms: {})", shapes.join(", "));
            NetError::Layer { layer, origin, field, message }
        }
        other => other,
    }
}
