//! What is known of a layer type without building one.

#[cfg(test)]
use super::gradient_case::Case;
use super::{Layer, LayerError};
use crate::config::proto::{LayerParameter, Phase};

/// The row of a layer type in [`LAYERS`](super::LAYERS): what is known of it without building one.
pub struct Kind {
    /// The name in `type`, for example `InnerProduct`.
    pub name: &'static str,
    /// What it computes, in a few words; the README's table shows it.
    pub summary: &'static str,
    /// The field of its settings in `LayerParameter`, for example `inner_product_param`; more than one where it
    /// reads several, none where it has no settings.
    pub settings: &'static [&'static str],
    /// How many bottoms it takes.
    pub bottoms: Arity,
    /// How many tops it makes.
    pub tops: Arity,
    /// What else the net must know of it.
    pub role: Role,
    /// Bottoms, by index, that never get a gradient: labels, indices, selectors.
    pub no_gradient: &'static [usize],
    /// Whether its tops' shapes depend on the values of its bottoms.
    pub shaped_by_values: bool,
    /// Whether it takes gradients of all parameters if it runs backward, also of those that `lr_mult` freezes: Caffe unrolls it into
    /// a net that knows nothing of them, and `clip_gradients` counts them.
    pub takes_all: bool,
    /// Builds one, or says which setting is wrong.
    pub build: Build,
    /// Checks of its gradient; a differentiable layer has at least one.
    #[cfg(test)]
    pub gradient: &'static [Case],
}

/// In [`Kind::no_gradient`]: the last bottom, where their number varies.
pub const LAST: usize = usize::MAX;

impl Kind {
    /// What most rows have in common: one bottom, one top, no settings, a gradient wherever one comes from.
    pub(super) const fn usual(build: Build) -> Self {
        Self {
            name: "",
            summary: "",
            settings: &[],
            bottoms: Arity::Exactly(1),
            tops: Arity::Exactly(1),
            role: Role::Transform,
            no_gradient: &[],
            shaped_by_values: false,
            takes_all: false,
            build,
            #[cfg(test)]
            gradient: &[],
        }
    }

    /// Whether bottom `i` of `bottoms` can get a gradient.
    pub fn takes_gradient(&self, i: usize, bottoms: usize) -> bool {
        let last = i + 1 == bottoms && self.no_gradient.contains(&LAST);
        !(last || self.no_gradient.contains(&i)) && self.role != Role::Measure
    }

    /// Whether more is better in top `i`, which has this weight in the loss, where that is known: losses are to fall,
    /// accuracies are to rise.
    pub fn more_is_better(&self, i: usize, loss_weight: f32) -> Option<bool> {
        if loss_weight != 0.0 {
            return Some(loss_weight < 0.0);
        }
        match self.role {
            Role::Loss if i == 0 => Some(false),
            Role::Measure if self.name == "Accuracy" => Some(true),
            _ => None,
        }
    }
}

/// Builds a layer from its settings.
pub type Build = fn(&LayerParameter, &Setup) -> Result<Box<dyn Layer>, LayerError>;

/// How many bottoms or tops a layer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// Just so many.
    Exactly(usize),
    /// From the first number up to the second.
    Between(usize, usize),
    /// So many or more.
    AtLeast(usize),
    /// For tops: as many as bottoms, at least one.
    LikeBottoms,
}

impl Arity {
    /// Whether `n` fits, where the layer has `bottoms` bottoms.
    pub fn allows(self, n: usize, bottoms: usize) -> bool {
        match self {
            Arity::Exactly(want) => n == want,
            Arity::Between(low, high) => (low..=high).contains(&n),
            Arity::AtLeast(low) => n >= low,
            Arity::LikeBottoms => n == bottoms && n > 0,
        }
    }

    /// The least number that fits.
    pub fn least(self) -> usize {
        match self {
            Arity::Exactly(n) | Arity::Between(n, _) | Arity::AtLeast(n) => n,
            Arity::LikeBottoms => 1,
        }
    }
}

/// As messages say it: `2`, `1 to 2`, `at least 1`.
impl std::fmt::Display for Arity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Arity::Exactly(n) => write!(f, "{n}"),
            Arity::Between(low, high) => write!(f, "{low} to {high}"),
            Arity::AtLeast(n) => write!(f, "at least {n}"),
            Arity::LikeBottoms => f.write_str("as many as bottom blobs"),
        }
    }
}

/// What the net must know of a layer type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Brings blobs in from outside: no bottoms.
    Source,
    /// Turns bottoms into tops and gradients back.
    Transform,
    /// Its first top is a loss, with weight 1 unless `loss_weight` says otherwise, and may be left unnamed.
    Loss,
    /// Has no gradient: `Accuracy`, `ArgMax`. No blob under it needs one for its sake.
    Measure,
}

/// What a layer may know when it is built, beside its own settings.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Whether the net trains or tests.
    pub phase: Phase,
    /// The run's seed.
    pub seed: u64,
    /// Whether any backward pass will follow the forward passes: no layer needs to keep masks otherwise.
    pub backward: bool,
}

impl Setup {
    /// The same for a layer, whose own `phase` goes before the net's.
    pub fn of_layer(self, config: &LayerParameter) -> Self {
        let own = config.phase.and_then(|phase| Phase::try_from(phase).ok());
        Self { phase: own.unwrap_or(self.phase), ..self }
    }
}
