//! Hidden states on several ranks: recurrent layers of each rank carry their own from batch to batch.

use super::{Solver, SolverError, save::carries};
use crate::{
    config::proto::{CnnctlCarry, CnnctlState},
    net::{Carry, Net, Shard},
};

/// This process among the ranks of its run, and what all of them carry.
#[derive(Default)]
pub(super) struct Hidden {
    pub shard: Shard,
    /// The values of every rank, those of all layers of all nets one after the other; none where no layer has a state, and in
    /// a run of one process.
    pub ranks: Vec<Vec<f32>>,
}

impl Solver {
    /// Is one of several ranks from now on: [`Solver::restore`] takes up what was this one's.
    pub fn take_place(&mut self, rank: usize, ranks: usize) {
        self.hidden.shard = Shard { rank: rank as u32, count: ranks as u32 };
    }

    /// All hidden values on this rank.
    fn hidden_values(&self) -> Vec<f32> {
        let carried = self.nets().flat_map(Net::layers).filter_map(|layer| layer.layer.carry());
        carried.flat_map(|carry| carry.values).collect()
    }

    /// How many they are.
    pub(super) fn count_hidden(&self) -> usize {
        self.hidden_values().len()
    }

    /// What the layers of all ranks carry now: each rank knows, for any may have to write the next snapshot.
    ///
    /// # Errors
    /// When the exchange fails or stalls.
    pub(super) fn gather_hidden(&mut self) -> Result<Vec<Vec<f32>>, SolverError> {
        if self.team.is_none() {
            return Ok(Vec::new());
        }
        let mut mine = self.hidden_values();
        let Some(team) = self.team.as_mut().filter(|_| !mine.is_empty()) else { return Ok(Vec::new()) };
        // All ranks give the same number, even if a state has changed its size.
        mine.resize(self.hidden.ranks.first().map_or(mine.len(), Vec::len), 0.0);
        let all = team.comm.gather(mine.iter().flat_map(|v| v.to_le_bytes()).collect())?;
        let values = |bytes: &Vec<u8>| bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        Ok(all.iter().map(values).collect())
    }

    /// What the layers of all nets carry on a rank. Places in the data are the same on all.
    fn carried_by(&self, rank: usize) -> Vec<CnnctlCarry> {
        let mut all: Vec<_> = self.nets().enumerate().flat_map(|(i, net)| carries(i, net)).collect();
        let mut theirs = self.hidden.ranks.get(rank).map_or(&[][..], |values| values);
        for carry in &mut all {
            if let Some((own, rest)) = theirs.split_at_checked(carry.values.len()) {
                (carry.values, theirs) = (own.to_vec(), rest);
            }
        }
        all
    }

    /// What layers carry, for a solver state.
    pub(super) fn save_carried(&self, state: &mut CnnctlState) {
        let ranks = self.hidden.shard.count;
        state.carry = self.carried_by(0);
        if ranks > 1 {
            state.ranks = Some(ranks);
        }
        for rank in 1..self.hidden.ranks.len() {
            let theirs = self.carried_by(rank).into_iter().filter(|carry| !carry.values.is_empty());
            let rank = Some(rank as u32);
            state.others.extend(theirs.map(|carry| CnnctlCarry { rank, consumed: None, ..carry }));
        }
    }

    /// Takes up what the layers of all nets carried on this rank. States of another number of ranks belong to other
    /// sequences: they begin anew, and how many ranks there were is told.
    pub(super) fn take_up(&mut self, extra: &CnnctlState) -> Result<Option<u32>, String> {
        let Shard { rank, count } = self.hidden.shard;
        let then = extra.ranks.unwrap_or(1);
        let mut anew = false;
        for (i, net) in self.nets_mut().enumerate() {
            net.resume_passes(extra.net_passes.get(i).copied().unwrap_or(0));
            for carry in extra.carry.iter().filter(|c| c.net() as usize == i) {
                let Some((_, layer)) = net.layers_mut().find(|(name, _)| *name == carry.layer()) else {
                    continue;
                };
                let is_ours =
                    |c: &&CnnctlCarry| (c.rank(), c.net(), c.layer()) == (rank, carry.net(), carry.layer());
                let own = if rank == 0 { Some(carry) } else { extra.others.iter().find(is_ours) };
                let values = match own {
                    _ if carry.values.is_empty() => Vec::new(),
                    Some(own) if then == count => own.values.clone(),
                    _ => {
                        anew = true;
                        vec![0.0; layer.carry().map_or(0, |now| now.values.len())]
                    }
                };
                let value = Carry { consumed: carry.consumed(), values };
                layer.resume(&value).map_err(|e| format!("layer `{}`: {e}", carry.layer()))?;
            }
        }
        Ok(anew.then_some(then))
    }
}
