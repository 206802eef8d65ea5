//! The work of the layers behind learned filters, done while their tops are stored.

use super::{Follow, Taken, Wanted, batch_norm};
use crate::kernels::{
    batch_norm::{BatchNorm, Finish as After, through_standards},
    channels::Channels,
    conv::{Epilogue, Standard},
    norm::Moments,
};

/// What was taken up: `BatchNorm` by running statistics, a scale, a rectifier.
#[derive(Default)]
pub struct Finish {
    /// Added to the variance, where channels are normalized.
    eps: Option<f32>,
    scale: bool,
    relu: bool,
    /// Whether gradients come through what scales.
    descends: bool,
    moments: Vec<Moments>,
    standards: Vec<Standard>,
}

impl Finish {
    /// Takes up the work of the next layer, unless a scale learns: its gradient needs what it scales.
    pub fn take_up(&mut self, next: Follow, wanted: Wanted) -> Taken {
        match next {
            Follow::Rectify if !self.relu => {
                self.relu = true;
                return Taken::Forward;
            }
            _ if wanted == Wanted::Params => return Taken::Nothing,
            Follow::Normalize { eps } if self.is_empty() => self.eps = Some(eps),
            Follow::Scale if !self.scale && !self.relu => self.scale = true,
            _ => return Taken::Nothing,
        }
        self.descends |= wanted == Wanted::Bottom;
        Taken::Both
    }

    fn is_empty(&self) -> bool {
        self.eps.is_none() && !self.scale && !self.relu
    }

    /// Whether a backward pass needs room for [`Finish::descend`].
    pub fn descends(&self) -> bool {
        self.descends
    }

    /// From the gradient of tops, cleared where they were cut off, to that of what the filters made; in `below`, if it is
    /// another.
    pub fn descend<'a>(&self, top: Channels, dy: &'a [f32], below: &'a mut [f32]) -> &'a [f32] {
        if !self.descends {
            return dy;
        }
        let below = &mut below[..dy.len()];
        through_standards(top, &self.standards, dy, below);
        below
    }

    /// What happens to tops of so many `channels`, given the filters' own bias, and the learned parameters and the running
    /// statistics of the layers whose work was taken up.
    pub fn epilogue<'a>(
        &'a mut self,
        channels: usize,
        bias: Option<&'a [f32]>,
        learned: &[&[f32]],
        state: &[&mut [f32]],
    ) -> Epilogue<'a> {
        let plain = Epilogue { bias, standards: None, relu: self.relu };
        if self.eps.is_none() && !self.scale {
            return plain;
        }
        // Without statistics: mean 0, deviation 1.
        self.moments.resize(channels, Moments { mean: 0.0, variance: 1.0 });
        self.standards.resize(channels, Standard::default());
        if let [means, variances, factor] = state {
            batch_norm::running([means, variances, factor], &mut self.moments);
        }
        let [scale, bias] = [0, 1].map(|i| learned.get(i).copied());
        let finish = After { scale, bias, rectify: self.relu };
        let norm = BatchNorm { eps: self.eps.unwrap_or(0.0), finish, ..BatchNorm::default() };
        norm.standards(&self.moments, &mut self.standards);
        Epilogue { standards: Some(&self.standards), ..plain }
    }
}
