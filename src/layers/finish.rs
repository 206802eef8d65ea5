//! The work of the layers behind learned filters, done while their tops are stored.

use super::{Follow, Taken, batch_norm};
use crate::kernels::{
    batch_norm::{BatchNorm, Finish as After},
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
    moments: Vec<Moments>,
    standards: Vec<Standard>,
}

impl Finish {
    /// Takes up the work of the next layer; nothing but a rectifier where there will be backward passes, which read what
    /// is normalized.
    pub fn take_up(&mut self, next: Follow, backward: bool) -> Taken {
        match next {
            Follow::Rectify if !self.relu => {
                self.relu = true;
                return Taken::Forward;
            }
            Follow::Normalize { eps } if self.is_empty() && !backward => self.eps = Some(eps),
            Follow::Scale if !self.scale && !self.relu && !backward => self.scale = true,
            _ => return Taken::Nothing,
        }
        Taken::Both
    }

    fn is_empty(&self) -> bool {
        self.eps.is_none() && !self.scale && !self.relu
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
