//! A net without memory, as far as it can be wired and shaped.

use std::collections::HashMap;

use super::{Finding, Keeper, MOST_KINDS, SketchBlob, SketchLayer, View, enough, sizes, states};
use crate::{
    config::{
        Severity, fork_layer,
        proto::{LayerParameter, NetParameter, NetState, Phase},
        surely_meant,
    },
    layers::{Kind, LAYERS, LayerError, Outline, Role, Setup},
    net::{
        NetError, Params,
        params::refuse_double_statistics,
        plan::{filter, split, wire},
    },
    tensor::Shape,
};

/// A net without memory, as far as it can be wired and shaped.
pub struct Sketch {
    /// The state that it is in.
    pub state: NetState,
    /// The layers that take part, in order.
    pub layers: Vec<SketchLayer>,
    /// The blobs, in order of making.
    pub blobs: Vec<SketchBlob>,
    /// Whether the net is a part of one: no layer brings data in.
    pub part: bool,
    /// Whether nothing in the net is made for training.
    pub deployed: bool,
    /// Whether all layers were gone over, and not only those up to the last finding that there is room for.
    pub whole: bool,
    /// Whether a layer above may make blobs that are not known of, since not all of it could be read.
    unsure: bool,
    latest: HashMap<String, usize>,
    makers: HashMap<String, usize>,
    params: Params,
}

impl Sketch {
    /// Goes over the layers of `net` that take part in `state`; what is wrong goes to `found`.
    pub fn new(net: &NetParameter, state: &NetState, view: &View, found: &mut Vec<Finding>) -> Self {
        let mut makers = HashMap::new();
        for (i, layer) in net.layer.iter().enumerate().filter(|(_, l)| filter::takes_part(l, state)) {
            layer.top.iter().for_each(|top| {
                makers.entry(top.clone()).or_insert(i);
            });
        }
        let mut sketch = Self {
            state: state.clone(),
            layers: Vec::new(),
            blobs: Vec::new(),
            part: view.spoilt.is_empty() && !net.layer.iter().any(states::is_source),
            deployed: !states::trains(net),
            whole: true,
            unsure: false,
            latest: HashMap::new(),
            makers,
            params: Params::shapes_only(),
        };
        for (index, layer) in net.layer.iter().enumerate() {
            if let Err(error) = filter::check_rules(layer) {
                found.push(Finding::of(index, error));
            }
            if found.len() >= MOST_KINDS && enough(found).is_some() {
                sketch.whole = false;
                break;
            }
            if filter::takes_part(layer, state) {
                sketch.add(net, index, layer.clone(), view, found);
            }
        }
        sketch
    }

    /// The blob of a bottom, if it is known.
    pub fn bottom(&self, layer: &SketchLayer, i: usize) -> Option<&SketchBlob> {
        layer.bottoms.get(i).copied().flatten().map(|b| &self.blobs[b])
    }

    /// The layer that makes a bottom.
    pub fn maker(&self, layer: &SketchLayer, i: usize) -> Option<&SketchLayer> {
        self.bottom(layer, i)?.maker.map(|m| &self.layers[m])
    }

    fn add(
        &mut self,
        net: &NetParameter,
        index: usize,
        mut config: LayerParameter,
        view: &View,
        found: &mut Vec<Finding>,
    ) {
        let spoilt = view.spoilt.contains(&index);
        let mut good = !spoilt;
        let mut note = |good: &mut bool, error: NetError| {
            *good = false;
            found.push(Finding::of(index, error));
        };
        let kind = match wire::kind_of(&config) {
            Ok(kind) => Some(kind).filter(|_| !spoilt),
            Err(error) => {
                if !spoilt {
                    note(&mut good, error);
                }
                None
            }
        };
        if let Some(kind) = kind {
            wire::name_loss(&mut config, kind);
            let _ = wire::check_arity(&config, kind).map_err(|e| note(&mut good, e));
        }
        if kind.is_none() && !spoilt && fork_layer(config.r#type()).is_none() {
            let names = LAYERS.iter().map(|k| k.name);
            found.iter_mut().rev().take(1).for_each(|f| f.fix = surely_meant(config.r#type(), names.clone()));
        }
        self.unsure |= spoilt && config.top.is_empty();
        let bottoms = self.bottoms(net, index, &config, found);
        let tops = self.tops(index, &config, &bottoms, found);
        let weights = kind.map(|kind| wire::loss_weights(&config, kind));
        let loss_weights = match weights {
            Some(Ok(weights)) => weights,
            Some(Err(error)) => {
                found.push(Finding::of(index, error));
                vec![0.0; config.top.len()]
            }
            None => vec![0.0; config.top.len()],
        };
        let mut layer = SketchLayer {
            index,
            config,
            kind,
            bottoms,
            tops,
            loss_weights,
            params: vec![],
            outline: None,
            source: None,
        };
        if good && let Some(kind) = kind {
            self.shape(&mut layer, kind, view, found);
        }
        self.layers.push(layer);
    }

    fn bottoms(
        &mut self,
        net: &NetParameter,
        index: usize,
        config: &LayerParameter,
        found: &mut Vec<Finding>,
    ) -> Vec<Option<usize>> {
        let place = self.layers.len();
        let mut bottoms = Vec::with_capacity(config.bottom.len());
        for (j, bottom) in config.bottom.iter().enumerate() {
            let known = self.latest.get(bottom).copied();
            let below = self.makers.get(bottom).filter(|&&maker| maker >= index);
            if known.is_none() && below.is_none() && (self.unsure || self.part) {
                if !self.unsure {
                    let message = format!("no layer makes `{bottom}`: it is taken to come from outside");
                    let hint = "if this is a whole net, a data or Input layer is missing";
                    found.push(Finding::warning(index, format!("bottom[{j}]"), message).hint(hint));
                }
                self.latest.insert(bottom.clone(), self.blobs.len());
                self.blobs.push(SketchBlob::new(bottom, None));
            } else if known.is_none() {
                let names = self.latest.keys().map(String::as_str);
                let further = below.map(|&i| net.layer[i].name());
                let error = split::unknown_bottom(config, j, further, names);
                found.push(Finding::of(index, error));
            }
            let blob = self.latest.get(bottom).copied();
            if let Some(blob) = blob {
                self.blobs[blob].readers.push(place);
            }
            bottoms.push(blob);
        }
        bottoms
    }

    fn tops(
        &mut self,
        index: usize,
        config: &LayerParameter,
        bottoms: &[Option<usize>],
        found: &mut Vec<Finding>,
    ) -> Vec<usize> {
        let mut tops = Vec::with_capacity(config.top.len());
        for (j, top) in config.top.iter().enumerate() {
            let in_place = config.bottom.get(j) == Some(top);
            if !in_place && top != wire::AUTOMATIC && self.latest.contains_key(top) {
                found.push(Finding::of(index, wire::made_already(config, j)));
            }
            if let Some(blob) = bottoms.get(j).copied().flatten().filter(|_| in_place) {
                let blob = &self.blobs[blob];
                let other = blob.readers.iter().find(|&&reader| reader != self.layers.len());
                if blob.readers.len() > 1 || self.is_weighted(blob) {
                    let other = other.map(|&reader| self.layers[reader].config.name());
                    found.push(Finding::of(index, split::in_place_beside(config, j, other)));
                }
            }
            self.latest.insert(top.clone(), self.blobs.len());
            tops.push(self.blobs.len());
            self.blobs.push(SketchBlob::new(top, Some(self.layers.len())));
        }
        tops
    }

    /// Whether the layer that makes a blob gives it a weight in the loss.
    fn is_weighted(&self, blob: &SketchBlob) -> bool {
        blob.maker.is_some_and(|maker| {
            let config = &self.layers[maker].config;
            let j = config.top.iter().position(|top| *top == blob.name);
            j.is_some_and(|j| config.loss_weight.get(j).is_some_and(|&weight| weight != 0.0))
        })
    }

    /// Builds the layer and fixes the shapes of its tops, if those of its bottoms are known.
    fn shape(&mut self, layer: &mut SketchLayer, kind: &Kind, view: &View, found: &mut Vec<Finding>) {
        let (index, config) = (layer.index, &layer.config);
        let setup = Setup { phase: self.state.phase(), seed: 0, backward: false }.of_layer(config);
        let built = match sizes::too_large(config) {
            Some((field, message)) => Err(LayerError::setting(field, message)),
            None => (kind.build)(config, &setup),
        };
        let mut built = match built {
            Ok(built) => built,
            Err(LayerError::Value(why)) if kind.role == Role::Source => {
                self.assume(layer, view, &why, found);
                return;
            }
            Err(error) => {
                found.push(Finding::of(index, NetError::of(config, error)));
                return;
            }
        };
        let bottoms: Option<Vec<Shape>> =
            layer.bottoms.iter().map(|b| b.and_then(|b| self.blobs[b].shape.clone())).collect();
        let Some(bottoms) = bottoms else { return };
        if let Some((field, message)) = sizes::too_much(config, &bottoms) {
            found.push(Finding::error(index, field, message));
            return;
        }
        let replaced = kind.role == Role::Source && sizes::is_named(config, view);
        match built.outline(&bottoms) {
            Ok(mut outline) => {
                if replaced {
                    for (i, shape) in outline.tops.iter_mut().enumerate() {
                        *shape = sizes::named(config, i, view, Some(shape.clone())).unwrap_or_default();
                    }
                }
                self.keep(layer, outline, found);
            }
            Err(error) => {
                let whole = matches!(error, LayerError::Shape(_)) && !bottoms.is_empty();
                let mut finding = Finding::of(index, NetError::of(config, error));
                if whole {
                    finding.field = "bottom[0]".into();
                }
                finding.notes.extend((0..bottoms.len()).filter_map(|i| self.trace(layer, i)));
                found.push(finding);
            }
        }
        // What is replaced says nothing.
        if kind.role == Role::Source && !replaced {
            layer.source = Some(std::cell::RefCell::new(built));
        }
    }

    /// Takes the shapes and the parameters of an outline over.
    fn keep(&mut self, layer: &mut SketchLayer, outline: Outline, found: &mut Vec<Finding>) {
        let (index, config) = (layer.index, &layer.config);
        let (given, has) = (config.param.len(), outline.params.len());
        if has < given {
            found.push(Finding::of(index, NetError::too_many_params(config, has)));
        }
        if let Err(error) = self.params.check_count(config, has, 0) {
            found.push(Finding::of(index, error));
        }
        for (i, param) in outline.params.iter().enumerate() {
            match self.params.bind(config, i, param, 0, 0) {
                Ok(id) => layer.params.push(id),
                Err(error) => {
                    found.push(Finding::of(index, error));
                    break;
                }
            }
        }
        if let Err(error) = refuse_double_statistics(config, &outline, &layer.params) {
            found.push(Finding::of(index, error));
        }
        for (&top, shape) in layer.tops.iter().zip(&outline.tops) {
            if sizes::count(shape) > i32::MAX as f64 {
                let message = format!("a blob of {shape} has more values than a blob can hold");
                found.push(Finding::error(index, "", message));
                return;
            }
            self.blobs[top].shape = Some(shape.clone());
        }
        layer.outline = Some(outline);
    }

    /// The shapes of a data layer whose data is not at hand, as far as its settings and the user tell.
    fn assume(&mut self, layer: &SketchLayer, view: &View, why: &str, found: &mut Vec<Finding>) {
        let mut unknown = Vec::new();
        for (i, &top) in layer.tops.iter().enumerate() {
            let told = sizes::data_shape(&layer.config, i);
            let shape = sizes::named(&layer.config, i, view, told);
            unknown.extend(shape.is_none().then_some(top));
            self.blobs[top].shape = shape.filter(|s| sizes::count(s) <= i32::MAX as f64);
        }
        let message = format!("the data is not at hand: {why}");
        let finding = Finding::new(Severity::Note, layer.index, "", message);
        let names: Vec<&str> = unknown.iter().map(|&top| &self.blobs[top].name[..]).collect();
        found.push(match &names[..] {
            [] => finding.hint("shapes are taken from its settings"),
            names => finding.hint("shapes below it are not checked").note(sizes::ask(names)),
        });
    }

    /// How bottom `i` came to its shape: the layers from the data down to it.
    fn trace(&self, layer: &SketchLayer, i: usize) -> Option<String> {
        const LONGEST: usize = 5;
        let mut blob = layer.bottoms[i]?;
        let mut steps = Vec::new();
        loop {
            let here = &self.blobs[blob];
            let shape = here.shape.as_ref()?;
            let step = format!("{} {shape}", here.name);
            if steps.last() != Some(&step) {
                steps.push(step);
            }
            if steps.len() > LONGEST {
                let last = steps.len() - 1;
                steps[last] = "...".into();
                break;
            }
            let next = here.maker.and_then(|m| self.layers[m].bottoms.first().copied().flatten());
            let Some(next) = next else { break };
            blob = next;
        }
        steps.reverse();
        Some(format!("bottom {i}: {}", steps.join(" -> ")))
    }

    /// The layers that have parameters.
    pub fn keepers(&self) -> Vec<Keeper> {
        let keeper = |l: &SketchLayer| {
            let own = |i: usize| {
                let owner = l.params.get(i).map(|&id| &self.params[id].owner);
                owner.is_none_or(|(layer, k)| layer == l.config.name() && *k == i)
            };
            let params = l.outline.as_ref().map(|outline| outline.params.iter().enumerate());
            let params = params.map(|params| params.map(|(i, p)| (p.shape.clone(), own(i))).collect());
            Keeper { layer: l.config.name().to_owned(), params }
        };
        self.layers.iter().filter(|l| l.keeps_parameters()).map(keeper).collect()
    }

    /// Of the data layer that has a set at hand: the size of a batch and of the set.
    pub fn data(&self) -> Option<(usize, usize)> {
        self.layers.iter().find_map(|layer| {
            let samples = layer.source.as_ref()?.borrow().samples()?;
            let batch = self.blobs[*layer.tops.first()?].shape.as_ref()?.first().copied()?;
            (batch > 0 && samples > 0).then_some((batch, samples))
        })
    }

    /// Whether the net is looked at as in training.
    pub fn is_training(&self) -> bool {
        self.state.phase() == Phase::Train
    }
}
