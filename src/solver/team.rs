//! A run on several ranks: what they exchange in a step, and what they must agree on.
//!
//! N ranks with batch B make the step of one process with batch N B: the data layers of the ranks take the batches of one
//! stream in turn, and gradients are means over the ranks, summed in their order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    Action, Gradients, Why,
    buckets::{self, Bucket},
};
use crate::{
    comm::{Comm, CommError, Link, Summed, Ticket},
    config::proto::{LayerParameter, NetParameter, Phase},
    net::{Net, ParamId, Params, Peers, Shard},
};

/// This rank among those of its run.
pub struct Team {
    pub(super) comm: Comm,
    pub(super) buckets: Vec<Bucket>,
    pub(super) gradients: Gradients,
    under_way: Vec<(usize, Ticket<Summed>)>,
    /// Parameters that no rule learns, running statistics, and their values before this step.
    statistics: Vec<(ParamId, Vec<f32>)>,
    overlap: bool,
    /// Whether other ranks have not answered in the midst of a pass.
    lost: Arc<AtomicBool>,
}

/// The same layers on the other ranks.
struct Others {
    link: Link,
    /// Set once they have not answered: nobody then waits for them again.
    lost: Arc<AtomicBool>,
}

impl Peers for Others {
    fn mean(&self, values: &mut [f64]) {
        if self.lost.load(Ordering::Relaxed) {
            return;
        }
        match self.link.gather(values.iter().flat_map(|v| v.to_le_bytes()).collect()) {
            Ok(all) => {
                let ranks = all.len() as f64;
                values.fill(0.0);
                for bytes in &all {
                    let theirs = bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b));
                    values.iter_mut().zip(theirs).for_each(|(sum, v)| *sum += v);
                }
                values.iter_mut().for_each(|sum| *sum /= ranks);
            }
            Err(_) => self.lost.store(true, Ordering::Relaxed),
        }
    }

    fn count(&self) -> usize {
        self.link.size()
    }
}

impl Team {
    /// Of the ranks of `comm`. Without `overlap` gradients travel only when all are there.
    pub fn new(comm: Comm, overlap: bool, gradients: Gradients) -> Self {
        Self {
            comm,
            buckets: Vec::new(),
            gradients,
            under_way: Vec::new(),
            statistics: Vec::new(),
            overlap,
            lost: Arc::default(),
        }
    }

    /// The part of every data set that this rank reads.
    pub fn shard(&self) -> Shard {
        Shard { rank: self.comm.rank() as u32, count: self.comm.size() as u32 }
    }

    /// Whether this rank writes the files and the log.
    pub fn leads(&self) -> bool {
        self.comm.rank() == 0
    }

    /// The same layers on the other ranks, for those that look at a batch as a whole.
    pub fn peers(&self) -> Arc<dyn Peers> {
        Arc::new(Others { link: self.comm.link(), lost: self.lost.clone() })
    }

    /// Bytes that this rank has sent to the others for sums so far.
    pub fn sent(&self) -> u64 {
        self.comm.sent()
    }

    /// Time during which gradients were under way so far, and time spent waiting for the other ranks.
    pub fn exchange(&self) -> [Duration; 2] {
        [self.comm.summing(), self.comm.waited()]
    }

    /// This rank.
    pub fn rank(&self) -> usize {
        self.comm.rank()
    }

    /// Leaves the other ranks in good order.
    pub fn leave(self) {
        self.comm.leave();
    }

    /// Makes rank 0's weights everybody's.
    ///
    /// # Errors
    /// When the exchange fails or stalls.
    pub(super) fn share(&mut self, params: &mut Params) -> Result<(), CommError> {
        for param in params.iter_mut() {
            let bytes = self.comm.broadcast(param.data.iter().flat_map(|v| v.to_le_bytes()).collect())?;
            param.data.iter_mut().zip(values(&bytes)).for_each(|(data, value)| *data = value);
        }
        Ok(())
    }

    /// Plans the exchange of a net's gradients: in the order in which backward passes complete them.
    pub fn plan(&mut self, net: &Net, params: &Params) {
        self.buckets = buckets::of_net(net, params);
        self.begin_carries();
        let unlearned = net.params().into_iter().filter(|&id| !params[id].learned);
        self.statistics = unlearned.map(|id| (id, Vec::new())).collect();
    }

    /// Remembers what a forward pass changes.
    pub(super) fn remember(&mut self, params: &Params) {
        for (id, before) in &mut self.statistics {
            before.clear();
            before.extend_from_slice(&params[*id].data);
        }
    }

    /// Takes back what the forward passes of this step have changed.
    pub(super) fn give_up(&self, params: &mut Params) {
        for (id, before) in self.statistics.iter().filter(|(_, before)| !before.is_empty()) {
            params[*id].data.copy_from_slice(before);
        }
    }

    /// Sends the gradients that layer `i` has completed.
    pub fn layer_done(&mut self, i: usize, params: &Params) {
        if !self.overlap {
            return;
        }
        for (k, bucket) in self.buckets.iter_mut().enumerate().filter(|(_, b)| b.after == i) {
            self.under_way.push((k, bucket.send(params, &self.comm)));
        }
    }

    /// Waits for all gradients: the diffs become means over the ranks, and so do running statistics, the net's outputs
    /// and `loss`, which is returned.
    ///
    /// # Errors
    /// When the exchange fails or stalls. The parameters are then those of the last step still.
    pub fn finish(&mut self, net: &mut Net, params: &mut Params, loss: f32) -> Result<f32, CommError> {
        if self.lost.load(Ordering::Relaxed) {
            return Err(CommError::Stalled(self.comm.patience()));
        }
        let size = self.comm.size() as f32;
        let mut tail = vec![loss];
        self.statistics.iter().for_each(|(id, _)| tail.extend_from_slice(&params[*id].data));
        net.each_output(|values| tail.extend_from_slice(values));
        if !self.overlap {
            for (k, bucket) in self.buckets.iter_mut().enumerate() {
                self.under_way.push((k, bucket.send(params, &self.comm)));
            }
        }
        let tail = self.comm.start_sum(tail, None);
        for (k, ticket) in std::mem::take(&mut self.under_way) {
            let sums = self.comm.wait(ticket)?;
            self.buckets[k].receive(sums, size, params);
        }
        let tail = self.comm.wait(tail)?;
        let mut means = tail.values.iter().map(|sum| sum / size);
        let loss = means.next().unwrap_or(loss);
        for (id, _) in &self.statistics {
            params[*id].data.iter_mut().zip(&mut means).for_each(|(value, mean)| *value = mean);
        }
        net.each_output(|values| values.iter_mut().zip(&mut means).for_each(|(value, mean)| *value = mean));
        // The step stands: whoever gives up from now on takes nothing back.
        self.statistics.iter_mut().for_each(|(_, before)| before.clear());
        Ok(loss)
    }

    /// The mean of a value over the ranks.
    ///
    /// # Errors
    /// When the exchange fails or stalls.
    pub(super) fn mean(&mut self, value: f32) -> Result<f32, CommError> {
        let ticket = self.comm.start_sum(vec![value], None);
        let size = self.comm.size() as f32;
        Ok(self.comm.wait(ticket)?.values.first().map_or(value, |sum| sum / size))
    }

    /// What all ranks do next: what the most urgent of them wants.
    ///
    /// # Errors
    /// When the exchange fails or stalls.
    pub(super) fn agree(&mut self, action: Action) -> Result<Action, CommError> {
        let all = self.comm.gather(vec![urgency(action)])?;
        let most = all.iter().flatten().copied().max().unwrap_or(0);
        Ok(if urgency(action) == most { action } else { of_urgency(most) })
    }

    /// The values of every round of a test, in the order of the batches: rank 0's first, rank 1's first, rank 0's second...
    ///
    /// # Errors
    /// When the exchange fails or stalls.
    pub(super) fn in_turn(
        &mut self,
        mine: &[Vec<f32>],
        width: usize,
        count: usize,
    ) -> Result<Vec<Vec<f32>>, CommError> {
        let size = self.comm.size();
        let rounds = count.div_ceil(size);
        let mut bytes = Vec::with_capacity(rounds * width * 4);
        mine.iter().flatten().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes()));
        bytes.resize(rounds * width * 4, 0);
        let all = self.comm.gather(bytes)?;
        let batch = |k: usize| values(&all[k % size][k / size * width * 4..][..width * 4]).collect();
        Ok((0..count).map(batch).collect())
    }

    /// What must be the same on every rank.
    pub(super) fn facts(&self) -> [String; 2] {
        let overlap = if self.overlap { "no --no-overlap" } else { "--no-overlap" };
        [format!("gradients as {}", self.gradients), overlap.into()]
    }

    /// Refuses ranks that train something else than rank 0; `facts` are lines that must be the same everywhere.
    ///
    /// # Errors
    /// Names the first rank and line that differ.
    pub(super) fn compare(&mut self, facts: &[String]) -> Result<(), CommError> {
        const WIDTH: usize = 4096;
        let mut bytes = facts.join("\n").into_bytes();
        let hash = crc32fast::hash(&bytes);
        bytes.resize(WIDTH, 0);
        bytes.extend(hash.to_le_bytes());
        let all = self.comm.gather(bytes)?;
        let lines = |bytes: &[u8]| -> Vec<String> {
            let text = String::from_utf8_lossy(&bytes[..WIDTH]);
            text.trim_end_matches('\0').lines().map(String::from).collect()
        };
        let ours = lines(&all[0]);
        for (rank, theirs) in all.iter().enumerate().skip(1) {
            let theirs = lines(theirs);
            let missing = String::from("nothing");
            for i in 0..ours.len().max(theirs.len()) {
                let (a, b) = (ours.get(i).unwrap_or(&missing), theirs.get(i).unwrap_or(&missing));
                if a != b {
                    return Err(CommError::Mismatch(format!(
                        "the ranks do not train the same: rank 0 has {a}, but rank {rank} has {b}"
                    )));
                }
            }
        }
        match all.iter().position(|theirs| theirs != &all[0]) {
            Some(rank) => {
                let message = format!("ranks 0 and {rank} do not train the same: their data layers differ");
                Err(CommError::Mismatch(message))
            }
            None => Ok(()),
        }
    }
}

/// The values that were sent as these bytes.
fn values(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b))
}

fn urgency(action: Action) -> u8 {
    match action {
        Action::Continue => 0,
        Action::Snapshot => 1,
        Action::Stop(Why::Patience) => 2,
        Action::Stop(Why::TimeBudget) => 3,
        Action::Stop(Why::Lost) => 4,
        Action::Stop(Why::Signal(_)) => 5,
    }
}

fn of_urgency(urgency: u8) -> Action {
    match urgency {
        0 => Action::Continue,
        1 => Action::Snapshot,
        2 => Action::Stop(Why::Patience),
        3 => Action::Stop(Why::TimeBudget),
        4 => Action::Stop(Why::Lost),
        _ => Action::Stop(Why::Signal("on another rank, a signal")),
    }
}

/// Divides the batches that a net trains on among `count` ranks.
///
/// # Errors
/// Names the layer whose batch cannot be divided.
pub(super) fn divide_batches(net: &mut NetParameter, count: usize) -> Result<(), String> {
    let only_tests = |layer: &LayerParameter| {
        !layer.include.is_empty() && layer.include.iter().all(|rule| rule.phase == Some(Phase::Test as i32))
    };
    for layer in net.layer.iter_mut().filter(|layer| !only_tests(layer)) {
        let name = layer.name().to_owned();
        let sizes = [
            layer.data_param.as_mut().and_then(|p| p.batch_size.as_mut()),
            layer.image_data_param.as_mut().and_then(|p| p.batch_size.as_mut()),
            layer.hdf5_data_param.as_mut().and_then(|p| p.batch_size.as_mut()),
            layer.window_data_param.as_mut().and_then(|p| p.batch_size.as_mut()),
        ];
        for size in sizes.into_iter().flatten() {
            if !(*size as usize).is_multiple_of(count) {
                return Err(format!(
                    "layer `{name}`: batch_size {size} cannot be divided among {count} ranks"
                ));
            }
            *size /= count as u32;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_urgent_wish_is_carried_over() {
        for action in
            [Action::Continue, Action::Snapshot, Action::Stop(Why::TimeBudget), Action::Stop(Why::Patience)]
        {
            assert_eq!(of_urgency(urgency(action)), action);
        }
        assert!(urgency(Action::Stop(Why::Signal("SIGTERM"))) > urgency(Action::Snapshot));
    }

    #[test]
    fn batches_are_divided_or_refused() {
        let text = "layer { name: 'a' type: 'Data' data_param { batch_size: 12 } }";
        let mut net = crate::config::net_from_text("net.prototxt", text).unwrap().net;
        divide_batches(&mut net, 4).unwrap();
        assert_eq!(net.layer[0].data_param.as_ref().unwrap().batch_size(), 3);
        assert!(divide_batches(&mut net, 2).unwrap_err().contains("batch_size 3 cannot be divided among 2"));
    }
}
