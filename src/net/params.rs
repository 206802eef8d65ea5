//! The one store of all parameters, which train and test nets share.

use std::collections::HashMap;

use super::NetError;
use crate::{
    config::proto::{LayerParameter, ParamSpec, param_spec::DimCheckMode},
    kernels::random::Draw,
    layers::{ParamOutline, filler},
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

/// All parameters, in the order of their making: Caffe's order of learnable parameters.
#[derive(Clone, Debug, Default)]
pub struct Params {
    list: Vec<Param>,
    owners: HashMap<(String, usize), ParamId>,
    names: HashMap<String, ParamId>,
    /// Whether parameters get no values: only their shapes are of interest.
    shapes_only: bool,
}

impl Params {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store whose parameters will have shapes but no values.
    pub fn without_values() -> Self {
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
        let owner = (config.name().to_owned(), index);
        if let Some(&id) = self.owners.get(&owner)
            && id < before
        {
            return self.fits(config, id, outline, "the training net's").map(|()| id);
        }
        let default = ParamSpec::default();
        let spec = config.param.get(index).unwrap_or(&default);
        if let Some(&id) = self.names.get(spec.name()) {
            self.share(config, index, spec, id, outline)?;
            self.owners.insert(owner, id);
            return Ok(id);
        }
        if !outline.learned && spec.lr_mult.is_some_and(|lr| lr != 0.0) {
            let message =
                "a running statistic is not learned: set its lr_mult to 0 or leave it out".to_owned();
            return Err(NetError::layer(config, format!("param[{index}].lr_mult"), message));
        }
        let len = if self.shapes_only { 0 } else { outline.shape.count() };
        let mut data = Buffer::try_zeroed(len)
            .map_err(|e| NetError::layer(config, "", format!("has a parameter of {}: {e}", outline.shape)))?;
        // Zeros that nobody has written take no memory, which counts where weights from a file come in their place.
        if !filler::is_zero(&outline.filler) {
            let draw = Draw::new(seed, &format!("{} {index}", config.name()), u64::MAX);
            filler::fill(&outline.filler, &outline.shape, draw, &mut data).map_err(|e| {
                NetError::layer(config, filler::place(config, &outline.filler), e.to_string())
            })?;
        }
        let id = self.list.len();
        self.list.push(Param {
            owner: owner.clone(),
            name: spec.name().to_owned(),
            shape: outline.shape.clone(),
            data,
            diff: Buffer::default(),
            lr_mult: if outline.learned { spec.lr_mult() } else { 0.0 },
            decay_mult: if outline.learned { spec.decay_mult() } else { 0.0 },
            learned: outline.learned,
        });
        self.owners.insert(owner, id);
        if !spec.name().is_empty() {
            self.names.insert(spec.name().to_owned(), id);
        }
        Ok(id)
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

    fn share(
        &mut self,
        config: &LayerParameter,
        index: usize,
        spec: &ParamSpec,
        id: ParamId,
        outline: &ParamOutline,
    ) -> Result<(), NetError> {
        let param = &mut self.list[id];
        let field = |name: &str| format!("param[{index}].{name}");
        let name = spec.name();
        let owner = param.owner.0.clone();
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
        for (what, mine, theirs) in [
            ("lr_mult", spec.lr_mult, &mut param.lr_mult),
            ("decay_mult", spec.decay_mult, &mut param.decay_mult),
        ] {
            match mine {
                // The owner's default of 1 gives way to what a sharer says.
                Some(mine) if *theirs == 1.0 => *theirs = mine,
                Some(mine) if mine != *theirs => {
                    let message = format!(
                        "{what} {mine} differs from {theirs}, which layer `{owner}` gives for the shared `{name}`"
                    );
                    return Err(NetError::layer(config, field(what), message));
                }
                _ => {}
            }
        }
        Ok(())
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
