//! When the loss is no longer a number: where it began, and the way back.

use super::{Event, Observer, Solver, SolverError};
use crate::{
    kernels::sums::sum,
    net::{Carry, Net},
};

/// What to do when the loss is NaN or infinite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnNan {
    /// Stop; the last snapshot, which is finite, stays.
    #[default]
    Stop,
    /// Go back to the last snapshot and go on with half the learning rate; give up after five times.
    Rollback,
    /// Go on, as Caffe does.
    Continue,
}

/// How often a run may go back before it gives up.
const ROLLBACKS: u32 = 5;

/// Where the data of a net, its random numbers and its hidden states stood.
#[derive(Default)]
pub(super) struct Mark {
    passes: u64,
    consumed: Vec<u64>,
    /// What layers carry that read no data, with the layers' numbers.
    hidden: Vec<(usize, Carry)>,
}

impl Mark {
    /// Where a net stands now.
    pub fn of(net: &Net) -> Self {
        let mut mark = Self::default();
        mark.follow(net);
        mark
    }

    /// Moves to where a net stands now.
    pub fn follow(&mut self, net: &Net) {
        self.passes = net.passes();
        self.consumed.clear();
        self.consumed.extend(net.layers().filter_map(|l| l.source_position()));
        let others = net.layers().enumerate().filter(|(_, l)| l.source_position().is_none());
        self.hidden.clear();
        self.hidden.extend(others.filter_map(|(i, l)| Some((i, l.layer.carry()?))));
    }

    /// Only `part` of `whole` equal steps on the way from `before` to here.
    pub fn part_way(&self, before: &Self, part: usize, whole: usize) -> Self {
        let step = |from: u64, to: u64| from + (to - from) / (whole.max(1) as u64) * part as u64;
        let consumed = before.consumed.iter().zip(&self.consumed).map(|(&from, &to)| step(from, to));
        Self { passes: self.passes, consumed: consumed.collect(), hidden: self.hidden.clone() }
    }

    /// Takes the net back there.
    pub fn restore(&self, net: &mut Net) {
        net.rewind(self.passes, &self.consumed);
        let mut layers = net.layers_mut().enumerate();
        for (at, carry) in &self.hidden {
            if let Some((_, (_, layer))) = layers.find(|(i, _)| i == at) {
                // It was the layer's own a moment ago, so it fits.
                let _ = layer.resume(carry);
            }
        }
    }
}

impl Solver {
    /// Whether every weight is a number.
    pub(super) fn weights_are_finite(&self) -> bool {
        self.params.iter().all(|p| sum(&p.data, |v| v * 0.0) == 0.0)
    }

    /// Goes back to the last snapshot with half the learning rate, if that is wanted and can be done.
    pub(super) fn roll_back(
        &mut self,
        error: SolverError,
        observer: &mut dyn Observer,
    ) -> Result<(), SolverError> {
        if self.on_nan != OnNan::Rollback {
            return Err(error);
        }
        let Some(state) = self.saved.state.clone() else {
            return Err(error.stays("there is no snapshot to go back to"));
        };
        if self.rollbacks >= ROLLBACKS {
            return Err(error.stays("it has gone back often enough"));
        }
        let factor = self.rate_factor / 2.0;
        self.restore(&state)?;
        self.hidden.ranks = self.gather_hidden()?;
        // The smaller rate is not in that snapshot.
        self.saved.iter = None;
        self.rollbacks += 1;
        self.rate_factor = factor;
        observer.see(self, &Event::RolledBack { error: &error, iter: self.iter, rate_factor: factor });
        Ok(())
    }

    /// Runs the batches of this iteration again, layer by layer, and names the first blob that is not finite. There is no
    /// `loss` where weights show it between two iterations, when the gradients are gone, too.
    pub(super) fn diverged(&mut self, loss: Option<f32>, rate: f32) -> SolverError {
        // The square of such a gradient may be too large for an f32.
        let squares = self.params.iter().flat_map(|p| p.diff.iter()).map(|&d| f64::from(d).powi(2));
        let norm = loss.map(|_| squares.sum::<f64>().sqrt());
        let place = self.first_bad_value().unwrap_or_else(|| "no blob of the same pass run again".into());
        let advice = "a lower base_lr or clip_gradients may help";
        SolverError::Diverged { iter: self.iter, loss, rate, norm, place, advice }
    }

    fn first_bad_value(&mut self) -> Option<String> {
        let finite = |values: &[f32]| sum(values, |v| v * 0.0) == 0.0;
        for layer in self.train.layers() {
            let bad = layer.params.iter().position(|&id| !finite(&self.params[id].data));
            if let Some(i) = bad {
                return Some(format!("parameter {i} of layer `{}`", layer.config.name()));
            }
        }
        self.mark.restore(&mut self.train);
        for pass in 0..self.config.iter_size().max(1) {
            self.train.resume_passes(self.mark.passes + pass as u64);
            let layers = self.train.layers().len();
            for i in 0..layers {
                self.train.forward_layer(i, &mut self.params).ok()?;
                let layer = self.train.layers().nth(i)?;
                let tops = layer.tops.iter().find(|&&t| !finite(self.train.values(t)));
                if let Some(&top) = tops {
                    let (layer, blob) = (layer.config.name(), self.train.blob_name(top));
                    return Some(format!("blob `{blob}` of layer `{layer}`"));
                }
            }
        }
        None
    }
}
