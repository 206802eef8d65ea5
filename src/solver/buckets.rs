//! Gradients that travel together.

use std::{collections::HashMap, fmt, ops::Range};

use crate::{
    comm::{Carry, Comm, Summed, Ticket},
    net::{Net, ParamId, Params},
};

/// Values in a bucket of gradients, 4 MiB: large enough for the full speed of a network, small enough to start early.
const BUCKET: usize = 1 << 20;

/// How gradients travel between ranks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gradients {
    /// As they are.
    #[default]
    F32,
    /// Rounded to bfloat16; the errors are added to the gradients of the next step.
    Bf16,
}

impl fmt::Display for Gradients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        })
    }
}

/// Gradients that travel together.
pub struct Bucket {
    parts: Vec<(ParamId, Range<usize>)>,
    /// The layer whose backward pass completes them.
    pub after: usize,
    /// What rounding has kept back, if they travel in two bytes; away while they are under way.
    pub carry: Option<Carry>,
}

impl Bucket {
    /// How many gradients.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|(_, range)| range.len()).sum()
    }

    /// Starts to sum the gradients over all ranks.
    pub fn send(&mut self, params: &Params, comm: &Comm) -> Ticket<Summed> {
        let parts = self.parts.iter().map(|(id, range)| &params[*id].diff[range.clone()]);
        comm.start_sum(parts.flatten().copied().collect(), self.carry.take())
    }

    /// Takes the sums in: the gradients become means over `size` ranks.
    pub fn receive(&mut self, sums: Summed, size: f32, params: &mut Params) {
        let mut at = 0;
        for (id, range) in &self.parts {
            let diff = &mut params[*id].diff[range.clone()];
            diff.iter_mut().zip(&sums.values[at..]).for_each(|(d, s)| *d = s / size);
            at += diff.len();
        }
        self.carry = sums.carry;
    }
}

/// The buckets of a net's gradients, in the order in which backward passes complete them.
pub fn of_net(net: &Net, params: &Params) -> Vec<Bucket> {
    let mut first_user: HashMap<ParamId, usize> = HashMap::new();
    for (i, layer) in net.layers().enumerate() {
        let at = layer.within.unwrap_or(i);
        for &id in layer.params {
            first_user.entry(id).and_modify(|first| *first = at.min(*first)).or_insert(at);
        }
    }
    let learns = |id: &ParamId| !params[*id].diff.is_empty();
    let mut ids: Vec<ParamId> = first_user.keys().copied().filter(learns).collect();
    ids.sort_by_key(|id| (std::cmp::Reverse(first_user[id]), *id));
    let sizes = ids.iter().map(|&id| (id, params[id].diff.len(), first_user[&id]));
    cut(sizes, BUCKET)
}

/// Cuts parameters, given in order with their lengths and completing layers, into buckets of at most `most` values.
fn cut(params: impl Iterator<Item = (ParamId, usize, usize)>, most: usize) -> Vec<Bucket> {
    let mut buckets: Vec<Bucket> = Vec::new();
    let mut room = 0;
    for (id, len, after) in params {
        let mut from = 0;
        while from < len {
            if room == 0 {
                buckets.push(Bucket { parts: Vec::new(), after, carry: None });
                room = most;
            }
            let to = len.min(from + room);
            if let Some(bucket) = buckets.last_mut() {
                bucket.parts.push((id, from..to));
                bucket.after = after;
            }
            room -= to - from;
            from = to;
        }
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_full_and_wait_for_their_last_layer() {
        let cut = cut([(4, 5, 9), (3, 2, 9), (1, 4, 2), (0, 1, 0)].into_iter(), 4);
        let seen: Vec<_> = cut.iter().map(|b| (b.parts.clone(), b.after, b.len())).collect();
        let expected = [
            (vec![(4, 0..4)], 9, 4),
            (vec![(4, 4..5), (3, 0..2), (1, 0..1)], 2, 4),
            (vec![(1, 1..4), (0, 0..1)], 0, 4),
        ];
        assert_eq!(seen, expected);
    }
}
