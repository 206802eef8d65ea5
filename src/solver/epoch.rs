//! Passes over whole data sets: how long one is, and a test over all samples, each once.

use super::{Solver, SolverError};
use crate::{
    config::proto::SolverParameter,
    net::{Net, NetError, Params},
};

impl Solver {
    /// How many passes over the train net's data set `iter` iterations make; `None` if it reads no set.
    pub fn epochs(&self, iter: i32) -> Option<f64> {
        let epoch = Epoch::of(&self.train).ok().flatten().filter(|epoch| epoch.samples > 0)?;
        Some(f64::from(iter) * epoch.batch as f64 * self.batches() / epoch.samples as f64)
    }

    /// How many samples an iteration takes, on all ranks: those of the first layer that brings some in.
    pub fn samples_an_iteration(&self) -> Option<f64> {
        let source = self.train.layers().find(|layer| layer.bottoms.is_empty() && !layer.tops.is_empty())?;
        let batch = *source.outline.tops.first()?.first()?;
        Some(batch as f64 * self.batches())
    }

    /// How many samples the train net's data set has, and how many of them an iteration reads, on all ranks together;
    /// `None` if it reads no set.
    pub fn samples(&self) -> Option<[u64; 2]> {
        let Epoch { samples, batch } = Epoch::of(&self.train).ok().flatten()?;
        Some([samples as u64, (batch as f64 * self.batches()) as u64])
    }

    /// Batches of an iteration, on all ranks.
    fn batches(&self) -> f64 {
        let ranks = self.team.as_ref().map_or(1, |team| team.shard().count);
        f64::from(self.config.iter_size().max(1)) * f64::from(ranks)
    }
}

/// How a net reads its data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Samples in the set.
    pub samples: usize,
    /// Samples in a batch.
    pub batch: usize,
}

impl Epoch {
    /// Of the data layers of a net, which must read alike; `None` if it has none.
    ///
    /// # Errors
    /// Names two layers that do not.
    pub fn of(net: &Net) -> Result<Option<Self>, String> {
        let mut found: Option<(Self, &str)> = None;
        for layer in net.layers() {
            let batch = layer.outline.tops.first().and_then(|top| top.first());
            let (Some(samples), Some(&batch)) = (layer.layer.samples(), batch) else { continue };
            let (epoch, name) = (Self { samples, batch }, layer.config.name());
            match found {
                Some((other, first)) if other != epoch => {
                    return Err(format!(
                        "layer `{first}` reads {} samples by {}, `{name}` {samples} by {batch}: they have no epoch in \
                         common",
                        other.samples, other.batch
                    ));
                }
                _ => found = Some((epoch, name)),
            }
        }
        Ok(found.map(|(epoch, _)| epoch))
    }

    /// How many iterations of so many batches make so many epochs, rounded up.
    fn iterations(self, epochs: f64, batches: f64) -> f64 {
        // What a multiplication in f64 adds to a whole number is no iteration.
        (epochs * self.samples as f64 / (self.batch as f64 * batches) - 1e-9).ceil().max(1.0)
    }
}

/// Lengths in epochs that contradict those in iterations, or have no meaning.
pub(super) fn faults(config: &SolverParameter) -> Vec<SolverError> {
    let mut found = Vec::new();
    for (field, epochs, other, set) in [
        ("max_epoch", config.max_epoch, "max_iter", config.max_iter.is_some()),
        ("test_epoch", config.test_epoch, "test_interval", config.test_interval.is_some()),
    ] {
        let Some(epochs) = epochs else { continue };
        let message = if set {
            format!("{field} and {other} are two ways to say one thing: set one of them")
        } else if !(epochs > 0.0 && epochs.is_finite()) {
            format!("{field} must be above 0, found {epochs}")
        } else {
            continue;
        };
        found.push(SolverError::setting(field, message));
    }
    found
}

/// Turns lengths in epochs of the train net's data, which so many ranks read, into iterations.
pub(super) fn resolve(config: &mut SolverParameter, train: &Net, ranks: u32) -> Result<(), SolverError> {
    let batches = f64::from(config.iter_size()) * f64::from(ranks);
    let iterations = |field: &str, epochs: f64| {
        let epoch = Epoch::of(train).map_err(|message| SolverError::setting(field, message))?;
        let Some(epoch) = epoch else {
            let message = format!("{field} needs a layer that reads a data set: the train net has none");
            return Err(SolverError::setting(field, message));
        };
        let iterations = epoch.iterations(epochs, batches);
        if iterations > f64::from(i32::MAX) {
            return Err(SolverError::setting(field, format!("{field} makes {iterations} iterations")));
        }
        Ok(iterations as i32)
    };
    if let Some(epochs) = config.max_epoch {
        config.max_iter = Some(iterations("max_epoch", epochs)?);
    }
    if let Some(epochs) = config.test_epoch {
        config.test_interval = Some(iterations("test_epoch", epochs)?);
    }
    Ok(())
}

/// For a `test_iter` of 0 where the test net reads no data set.
pub(super) fn no_set(test_net: usize) -> SolverError {
    let message =
        "test_iter 0 stands for a whole data set, but the test net reads none: set how many batches";
    SolverError::setting(format!("test_iter[{test_net}]"), message)
}

/// A test over a whole set: all full batches, and a smaller one of what is left over.
pub struct WholeSet(Epoch);

impl WholeSet {
    /// Of `net`; `None` if it reads no data set.
    ///
    /// # Errors
    /// When data layers do not read alike, and when the net cannot take a smaller batch.
    pub fn of(net: &mut Net) -> Result<Option<Self>, NetError> {
        let Some(epoch) = Epoch::of(net).map_err(NetError::Net)? else { return Ok(None) };
        let whole = Self(epoch);
        // What is wrong with the last batch shows now, not after all others.
        net.set_batch_size(whole.size(whole.batches().saturating_sub(1)))?;
        whole.end(net)?;
        Ok(Some(whole))
    }

    /// Batches, the last one included that is not full.
    pub fn batches(&self) -> usize {
        self.0.samples.div_ceil(self.0.batch)
    }

    /// How much batch `number` counts: how many samples it has.
    pub fn weight(&self, number: usize) -> f64 {
        self.left(number).min(self.0.batch) as f64
    }

    /// Samples from the start of batch `number` on.
    fn left(&self, number: usize) -> usize {
        self.0.samples.saturating_sub(number * self.0.batch)
    }

    /// How many samples the net is given at once in batch `number`: beyond the end of the set as many as before it.
    fn size(&self, number: usize) -> usize {
        match self.left(number) {
            0 => self.0.batch,
            left => left.min(self.0.batch),
        }
    }

    /// Runs batch `number`, from 0, on `net`. Gives the loss.
    ///
    /// # Errors
    /// For values that a layer cannot take.
    pub fn forward(&self, number: usize, net: &mut Net, params: &mut Params) -> Result<f32, NetError> {
        self.start(number, 0, net)?;
        net.forward(params)
    }

    /// Puts the net where batch `number` begins, and gives it the size of that batch. With several ranks, it is known to skip
    /// the batches of the ranks before this one.
    pub(super) fn start(&self, number: usize, rank: usize, net: &mut Net) -> Result<(), NetError> {
        let size = self.size(number);
        net.set_batch_size(size)?;
        let start = (number * self.0.batch - rank * size) as u64;
        let sources = net.layers().filter(|layer| layer.source_position().is_some()).count();
        net.rewind(net.passes(), &vec![start; sources]);
        Ok(())
    }

    /// Gives the net full batches again.
    pub(super) fn end(&self, net: &mut Net) -> Result<(), NetError> {
        net.set_batch_size(self.0.batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_rounded_up_to_iterations() {
        let epoch = Epoch { samples: 1000, batch: 30 };
        assert_eq!(epoch.iterations(1.0, 1.0), 34.0);
        assert_eq!(epoch.iterations(3.0, 1.0), 100.0);
        assert_eq!(epoch.iterations(3.0, 2.0), 50.0);
        assert_eq!(epoch.iterations(0.001, 1.0), 1.0);
        assert_eq!(Epoch { samples: 100, batch: 10 }.iterations(0.1 * 3.0, 1.0), 3.0);
    }

    #[test]
    fn one_unit_at_a_time() {
        let both = SolverParameter { max_epoch: Some(1.0), max_iter: Some(1), ..SolverParameter::default() };
        assert!(faults(&both)[0].to_string().contains("max_epoch and max_iter are two ways"));
        let none = SolverParameter { test_epoch: Some(0.0), ..SolverParameter::default() };
        assert!(faults(&none)[0].to_string().contains("test_epoch must be above 0, found 0"));
    }
}
