//! The one store of all parameters, which train and test nets share.

use std::collections::HashMap;

use super::{NetError, blobs};
use crate::{
    config::proto::{LayerParameter, ParamSpec, param_spec::DimCheckMode},
    kernels::random::Draw,
    layers::{Outline, ParamOutline, filler},
    tensor::{Buffer, Shape},
};

/// A parameter's number in the store.
pub type ParamId = usize;

/// One parameter.
#[derive(Clone, Debug)]
pub struct Param {
    /// The layer that owns it, and as which of its blobs.
    pub owner: (String, usize),
    /// Its name, by which others may share it; empty without one.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// Its values.
    pub data: Buffer,
    /// dE/dparam; empty until a net that trains it asks for it.
    pub diff: Buffer,
    /// Factor of the learning rate; 0 freezes it.
    pub lr_mult: f32,
    /// Factor of the weight decay.
    pub decay_mult: f32,
    /// Whether an update rule may learn it; running statistics are not.
    pub learned: bool,
}

/// A parameter that has a name, and whether a layer has written its `lr_mult` and its `decay_mult`: Caffe's 1 for what
/// nobody writes is no word of the owner's.
#[derive(Clone, Copy, Debug)]
struct Shared {
    id: ParamId,
    given: [bool; 2],
}

/// All parameters, in the order of their making: Caffe's order of learnable parameters.
#[derive(Clone, Debug, Default)]
pub struct Params {
    list: Vec<Param>,
    owners: HashMap<(String, usize), ParamId>,
    names: HashMap<String, Shared>,
    /// Whether parameters get no values: only their shapes are of interest.
    shapes_only: bool,
}

impl Params {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store whose parameters will have shapes but no values.
    pub fn shapes_only() -> Self {
        Self { shapes_only: true, ..Self::default() }
    }

    /// Whether parameters have no values.
    pub(super) fn is_shapes_only(&self) -> bool {
        self.shapes_only
    }

    /// How many parameters.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// In order.
    pub fn iter(&self) -> std::slice::Iter<'_, Param> {
        self.list.iter()
    }

    /// In order.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Param> {
        self.list.iter_mut()
    }

    /// Sets all diffs to 0.
    pub fn zero_diffs(&mut self) {
        self.list.iter_mut().for_each(|p| crate::kernels::elementwise::apply(&mut p.diff, |_| 0.0));
    }

    /// The parameter that layer `config` uses as blob `index`: one that another net's layer of that name has, one
    /// shared by name, or a new one, filled. `before` is the length of the store when this net began.
    ///
    /// # Errors
    /// When shapes or multipliers of shared parameters differ, and for bad fillers.
    pub(super) fn bind(
        &mut self,
        config: &LayerParameter,
        index: usize,
        outline: &ParamOutline,
        seed: u64,
        before: usize,
    ) -> Result<ParamId, NetError> {
        let of_filler =
            |e| NetError::layer(config, filler::place(config, &outline.filler, &e), e.to_string());
        filler::check(&outline.filler, &outline.shape).map_err(of_filler)?;
        let owner = (config.name().to_owned(), index);
        if let Some(&id) = self.owners.get(&owner)
            && id < before
        {
            return self.fits(config, id, outline, "the training net's").map(|()| id);
        }
        let default = ParamSpec::default();
        let spec = config.param.get(index).unwrap_or(&default);
        if let Some(&Shared { id, .. }) = self.names.get(spec.name()) {
            self.fits_shared(config, index, spec, id, outline)?;
            // A test net learns nothing: its factors mean nothing, and are not the train net's.
            if id >= before {
                self.share_factors(config, index, spec)?;
            }
            self.owners.insert(owner, id);
            return Ok(id);
        }
        let id = self.fill_new(config, index, spec, outline, seed)?;
        self.owners.insert(owner, id);
        if !spec.name().is_empty() {
            let given = [!outline.learned || spec.lr_mult.is_some(), spec.decay_mult.is_some()];
            self.names.insert(spec.name().to_owned(), Shared { id, given });
        }
        Ok(id)
    }

    /// Adds parameter `index` of a layer, as the net or its filler gives it.
    fn fill_new(
        &mut self,
        config: &LayerParameter,
        index: usize,
        spec: &ParamSpec,
        outline: &ParamOutline,
        seed: u64,
    ) -> Result<ParamId, NetError> {
        if !outline.learned && !outline.ignores_rate && spec.lr_mult.is_some_and(|lr| lr != 0.0) {
            let message =
                "a running statistic is not learned: set its lr_mult to 0 or leave it out".to_owned();
            return Err(NetError::layer(config, format!("param[{index}].lr_mult"), message));
        }
        let len = if self.shapes_only { 0 } else { outline.shape.count() };
        let mut data = Buffer::try_zeroed(len)
            .map_err(|e| NetError::layer(config, "", format!("has a parameter of {}: {e}", outline.shape)))?;
        // As in Caffe, what the net itself gives stands in the place of the filler.
        let given = blobs::given(config, index, &outline.shape)?;
        // Zeros that nobody has written take no memory, which counts where weights from a file come in their place.
        if let Some(blob) = given.filter(|_| !self.shapes_only) {
            blobs::copy(blob, &mut data);
        } else if !filler::is_zero(&outline.filler) {
            let draw = Draw::new(seed, &format!("{} {index}", config.name()), u64::MAX);
            filler::fill(&outline.filler, &outline.shape, draw, &mut data).map_err(|e| {
                NetError::layer(config, filler::place(config, &outline.filler, &e), e.to_string())
            })?;
        }
        self.list.push(Param {
            owner: (config.name().to_owned(), index),
            name: spec.name().to_owned(),
            shape: outline.shape.clone(),
            data,
            diff: Buffer::default(),
            lr_mult: if outline.learned { spec.lr_mult() } else { 0.0 },
            decay_mult: if outline.learned { spec.decay_mult() } else { 0.0 },
            learned: outline.learned,
        });
        Ok(self.list.len() - 1)
    }

    /// Refuses another number of parameters than the training net's layer of that name has, and than the layer's `blobs`.
    /// `before` is the length of the store when this net began.
    pub(super) fn check_count(
        &self,
        config: &LayerParameter,
        parameters: usize,
        before: usize,
    ) -> Result<(), NetError> {
        let known =
            |i: &usize| self.owners.get(&(config.name().to_owned(), *i)).is_some_and(|&id| id < before);
        let have = (0..).take_while(known).count();
        if have > 0 && parameters > 0 && have != parameters {
            let message =
                format!("has {parameters} parameters, but the training net's layer of that name has {have}");
            return Err(NetError::layer(config, "", message));
        }
        blobs::check_count(config, parameters)
    }

    fn fits(
        &self,
        config: &LayerParameter,
        id: ParamId,
        outline: &ParamOutline,
        whose: &str,
    ) -> Result<(), NetError> {
        let (have, want) = (&self.list[id].shape, &outline.shape);
        if have == want {
            return Ok(());
        }
        Err(NetError::layer(config, "", format!("needs a parameter of shape {want}, but {whose} has {have}")))
    }

    /// Whether a parameter that another layer owns has the shape that this one needs.
    fn fits_shared(
        &self,
        config: &LayerParameter,
        index: usize,
        spec: &ParamSpec,
        id: ParamId,
        outline: &ParamOutline,
    ) -> Result<(), NetError> {
        let param = &self.list[id];
        let field = |name: &str| format!("param[{index}].{name}");
        let (name, owner) = (spec.name(), &param.owner.0);
        if spec.share_mode() == DimCheckMode::Permissive {
            if param.shape.count() != outline.shape.count() {
                let (have, want) = (param.shape.count(), outline.shape.count());
                let message =
                    format!("shares `{name}` of layer `{owner}`, which has {have} values, but needs {want}");
                return Err(NetError::layer(config, field("share_mode"), message));
            }
        } else if param.shape != outline.shape {
            let (have, want) = (&param.shape, &outline.shape);
            let message = format!(
                "shares `{name}` of layer `{owner}`, whose shape is {have}, but needs {want}; \
                 `share_mode: PERMISSIVE` compares only the number of values"
            );
            return Err(NetError::layer(config, field("name"), message));
        }
        Ok(())
    }

    /// Takes the factors of a shared parameter from the first layer that writes them; later ones must write the same.
    fn share_factors(
        &mut self,
        config: &LayerParameter,
        index: usize,
        spec: &ParamSpec,
    ) -> Result<(), NetError> {
        let name = spec.name();
        let Some(Shared { id, given }) = self.names.get_mut(name) else { return Ok(()) };
        let param = &mut self.list[*id];
        let [lr_given, decay_given] = given;
        let mut factors = vec![("lr_mult", spec.lr_mult, &mut param.lr_mult, lr_given)];
        if param.learned {
            factors.push(("decay_mult", spec.decay_mult, &mut param.decay_mult, decay_given));
        }
        for (what, mine, theirs, given) in factors {
            let Some(mine) = mine else { continue };
            if *given && mine != *theirs {
                let message = format!(
                    "{what} {mine} differs from {theirs}, which is given above for the shared `{name}` of layer `{}`",
                    param.owner.0
                );
                return Err(NetError::layer(config, format!("param[{index}].{what}"), message));
            }
            (*theirs, *given) = (mine, true);
        }
        Ok(())
    }
}

/// Refuses a running statistic that is another parameter of its layer as well: a pass writes both.
pub(super) fn refuse_double_statistics(
    config: &LayerParameter,
    outline: &Outline,
    ids: &[ParamId],
) -> Result<(), NetError> {
    let learned = |i: usize| outline.params[i].learned;
    let double = |&i: &usize| (0..i).any(|j| ids[j] == ids[i] && !(learned(i) && learned(j)));
    match (1..ids.len()).find(double) {
        Some(i) => {
            let message = "shares one running statistic with another of the same layer";
            Err(NetError::layer(config, format!("param[{i}].name"), message))
        }
        None => Ok(()),
    }
}

impl std::ops::Index<ParamId> for Params {
    type Output = Param;

    fn index(&self, id: ParamId) -> &Param {
        &self.list[id]
    }
}

impl std::ops::IndexMut<ParamId> for Params {
    fn index_mut(&mut self, id: ParamId) -> &mut Param {
        &mut self.list[id]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{self, proto::Phase},
        net::{Net, Options},
    };

    const INPUT: &str = "layer { name: 'd' type: 'Input' top: 'x' input_param { shape { dim: [1, 3] } } }";

    fn ip(name: &str, more: &str) -> String {
        format!("layer {{ name: '{name}' type: 'InnerProduct' bottom: 'x' top: '{name}' {more} }}")
    }

    /// A net of these layers behind an input of three values.
    fn add(layers: &[String], phase: Phase, params: &mut Params) -> Result<Net, String> {
        let text = [INPUT.to_owned(), layers.concat()].concat();
        let file = config::net_from_text("net", text).unwrap();
        Net::new(&file.net, Options::new(phase, 1), params).map_err(|e| e.to_string())
    }

    #[test]
    fn factors_of_a_shared_parameter_are_the_first_that_are_written() {
        let net = |owner: &str, sharer: &str| {
            let layer = |name: &str, factors: &str| {
                let settings = "inner_product_param { num_output: 2 bias_term: false }";
                ip(name, &format!("param {{ name: 'w' {factors} }} {settings}"))
            };
            let mut params = Params::new();
            let layers = [layer("a", owner), layer("b", sharer)];
            add(&layers, Phase::Train, &mut params).map(|_| (params[0].lr_mult, params[0].decay_mult))
        };
        assert_eq!(net("", ""), Ok((1.0, 1.0)));
        assert_eq!(net("", "lr_mult: 0 decay_mult: 2"), Ok((0.0, 2.0)));
        assert_eq!(net("lr_mult: 2", ""), Ok((2.0, 1.0)));
        assert_eq!(net("lr_mult: 1", "lr_mult: 1 decay_mult: 3"), Ok((1.0, 3.0)));
        let error = net("lr_mult: 1", "lr_mult: 0").unwrap_err();
        assert!(error.contains("layer `b`: lr_mult 0 differs from 1"), "{error}");
        assert!(error.contains("shared `w` of layer `a`"), "{error}");
        let error = net("decay_mult: 1", "decay_mult: 2").unwrap_err();
        assert!(error.contains("layer `b`: decay_mult 2 differs from 1"), "{error}");
    }

    #[test]
    fn a_test_layer_has_as_many_parameters_as_the_train_layer_of_its_name() {
        let layer =
            |bias: bool| ip("a", &format!("inner_product_param {{ num_output: 2 bias_term: {bias} }}"));
        for (train, test) in [(true, false), (false, true)] {
            let mut params = Params::new();
            add(&[layer(train)], Phase::Train, &mut params).unwrap();
            let error = add(&[layer(test)], Phase::Test, &mut params).err().unwrap();
            let counts = if train { ("1", "2") } else { ("2", "1") };
            let expected = format!(
                "layer `a`: has {} parameters, but the training net's layer of that name has {}",
                counts.0, counts.1
            );
            assert_eq!(error, expected);
            assert!(add(&[layer(train)], Phase::Test, &mut params).is_ok());
        }
    }

    #[test]
    fn blobs_of_the_text_are_the_values() {
        let net = |blobs: &str| {
            let settings =
                "inner_product_param { num_output: 2 weight_filler { type: 'constant' value: 9 } }";
            let mut params = Params::new();
            add(&[ip("a", &format!("{settings} {blobs}"))], Phase::Train, &mut params)?;
            Ok::<_, String>([params[0].data.to_vec(), params[1].data.to_vec()].concat())
        };
        let weights = "blobs { shape { dim: [2, 3] } data: [1, 2, 3, 4, 5, 6] }";
        let double = "blobs { shape { dim: 2 } double_data: [7, 8] }";
        let legacy = "blobs { num: 1 channels: 1 height: 2 width: 3 data: [1, 2, 3, 4, 5, 6] }
                      blobs { num: 1 channels: 1 height: 1 width: 2 data: [7, 8] }";
        let values = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        assert_eq!(net(&[weights, double].concat()), Ok(values.clone()));
        assert_eq!(net(legacy), Ok(values));
        assert_eq!(net(""), Ok([[9.0; 6].to_vec(), vec![0.0; 2]].concat()));
        for (blobs, expected) in [
            ([weights, ""], "layer `a`: has 2 parameters, but 1 `blobs`"),
            (
                [weights, "blobs { shape { dim: 3 } data: [1, 2, 3] }"],
                "layer `a`: parameter 1 has the shape 2, but its `blobs` 3",
            ),
            (
                [weights, "blobs { data: [7, 8] }"],
                "layer `a`: parameter 1 has the shape 2, but its `blobs` no shape",
            ),
            (
                [weights, "blobs { shape { dim: 2 } data: [7, 8] double_data: 7 }"],
                "layer `a`: parameter 1 of 2 has 2 values, but 1 in its `blobs`",
            ),
            (
                [weights, "blobs { shape { dim: 2 } data: 7 }"],
                "layer `a`: parameter 1 of 2 has 2 values, but 1 in its `blobs`",
            ),
        ] {
            assert_eq!(net(&blobs.concat()), Err(expected.to_owned()));
        }
    }
}
