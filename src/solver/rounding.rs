//! Gradients in two bytes: what rounding keeps back on each rank, in snapshots and out of them.

use std::{io, path::Path};

use super::{Gradients, SolverError, Team, buckets::Bucket};
use crate::{
    comm::{Carry, CommError},
    snapshot,
};

impl Team {
    /// Lets nothing be kept back.
    pub(super) fn begin_carries(&mut self) {
        let ranks = self.comm.size();
        if self.gradients == Gradients::Bf16 {
            self.buckets.iter_mut().for_each(|b| b.carry = Some(Carry::new(b.len(), ranks)));
        }
    }

    /// Values of each piece that a rank saves: one for each bucket.
    fn lens(&self) -> Vec<usize> {
        let ranks = self.comm.size();
        self.buckets.iter().map(|bucket| bucket.len() + bucket.len().div_ceil(ranks)).collect()
    }

    /// Writes what is kept back on all ranks; rank 0 does, and gets the checksum. `None` if nothing ever is.
    ///
    /// # Errors
    /// When the file cannot be written, or the exchange fails or stalls.
    pub(super) fn save_carries(&mut self, path: &Path) -> Result<Option<u32>, SolverError> {
        if self.gradients == Gradients::F32 {
            return Ok(None);
        }
        let (lens, ranks) = (self.lens(), self.comm.size());
        if !self.leads() {
            (0..lens.len()).try_for_each(|k| self.collect(k).map(drop))?;
            return Ok(None);
        }
        let (mut lost, mut come) = (None, 0);
        let saved = snapshot::save_residuals(path, ranks, &lens, |k| {
            come = k + 1;
            self.collect(k).map_err(|error| {
                lost = Some(error);
                io::Error::other("the other ranks are lost")
            })
        });
        if let Some(error) = lost {
            return Err(error.into());
        }
        // On a full disk the others still send the rest.
        (come..lens.len()).try_for_each(|k| self.collect(k).map(drop))?;
        Ok(Some(saved?))
    }

    /// The bytes of all ranks for bucket `k`, on rank 0.
    fn collect(&mut self, k: usize) -> Result<Vec<u8>, CommError> {
        let carry = self.buckets[k].carry.as_ref();
        let values = carry.into_iter().flat_map(|c| c.sent.iter().chain(&c.summed));
        self.comm.collect(values.flat_map(|v| v.to_le_bytes()).collect())
    }

    /// Takes up what was kept back when the solver state `state` was written, which holds `checksum` of it. Where one rank
    /// cannot, all start with nothing, and the reason is told.
    ///
    /// # Errors
    /// When the exchange fails or stalls.
    pub(super) fn take_up_carries(
        &mut self,
        state: &Path,
        checksum: Option<u32>,
    ) -> Result<Option<String>, CommError> {
        if self.gradients == Gradients::F32 {
            return Ok(None);
        }
        let (rank, ranks, lens) = (self.comm.rank(), self.comm.size(), self.lens());
        let read = match checksum {
            None => Err(format!("{} holds none", state.display())),
            Some(sum) => {
                let path = snapshot::residuals_beside(state);
                snapshot::load_residuals(&path, sum, rank, ranks, &lens).map_err(|e| e.to_string())
            }
        };
        let all = self.comm.gather(vec![u8::from(read.is_ok())])?;
        let without = all.iter().position(|ok| ok[..] != [1]);
        match (read, without) {
            (Ok(pieces), None) => {
                self.buckets.iter_mut().zip(pieces).for_each(|(bucket, piece)| put(bucket, piece));
                Ok(None)
            }
            (Err(reason), _) => {
                self.begin_carries();
                Ok(Some(reason))
            }
            (Ok(_), Some(rank)) => {
                self.begin_carries();
                Ok(Some(format!("rank {rank} cannot read its own")))
            }
        }
    }
}

/// Gives a bucket what its rank has saved.
fn put(bucket: &mut Bucket, mut piece: Vec<f32>) {
    let summed = piece.split_off(bucket.len());
    bucket.carry = Some(Carry { sent: piece, summed });
}
