//! Forward and backward passes: lending each layer its slices.

use std::mem::take;

use super::{BlobId, Net, NetError, Param, ParamId, Params};
use crate::{
    kernels::{
        elementwise::{Rectified, update_each},
        gemm::Gemm,
        parallel,
        random::Draw,
    },
    layers::{Backward, Blob, BlobMut, Few, Forward, Role, TopDiff},
    tensor::{Buffer, Shape},
};

/// Whoever learns parameters in the midst of a backward pass, as soon as nothing else reads their old values.
pub trait Learner: Send {
    /// Whether it learns this parameter, whose diff is then left as it is.
    fn takes(&self, param: &Param) -> bool;
    /// Learns a parameter by its gradient. `back`, if given, becomes the gradient's left factor, transposed, times the
    /// parameter as it was.
    fn learn(&mut self, id: ParamId, param: &mut Param, gradient: &Gemm<'_>, back: Option<&mut [f32]>);
}

/// Learns nothing: all gradients are added to the diffs.
impl Learner for () {
    fn takes(&self, _: &Param) -> bool {
        false
    }
    fn learn(&mut self, _: ParamId, _: &mut Param, _: &Gemm<'_>, _: Option<&mut [f32]>) {}
}

impl Net {
    /// Runs all layers and gives the net's loss: the weighted sum of its loss tops.
    ///
    /// # Errors
    /// For values that a layer cannot take, such as a label out of range.
    pub fn forward(&mut self, params: &mut Params) -> Result<f32, NetError> {
        let mut loss = 0.0;
        for i in 0..self.nodes.len() {
            loss += self.forward_layer(i, params)?;
        }
        self.end_pass();
        Ok(loss as f32)
    }

    /// Runs layer `i` and gives its part of the loss.
    ///
    /// # Errors
    /// As [`Net::forward`].
    pub fn forward_layer(&mut self, i: usize, params: &mut Params) -> Result<f64, NetError> {
        if self.nodes[i].within.is_some() {
            return Ok(0.0);
        }
        self.follow_shapes(i)?;
        let node = &mut self.nodes[i];
        if !node.outline.alias && !node.run.joined {
            let mut tops: Few<Buffer> =
                node.run.tops.iter().map(|&t| take(&mut self.slots[self.blobs[t].slot])).collect();
            let mut running: Few<Buffer> =
                node.run.state.iter().map(|&id| take(&mut params[id].data)).collect();
            let result = parallel::awake(|| {
                let (blobs, slots) = (&self.blobs, &self.slots);
                let learned: Few<&[f32]> = node.run.learned.iter().map(|&id| &params[id].data[..]).collect();
                let mut state: Few<&mut [f32]> = running.iter_mut().map(|b| &mut b[..]).collect();
                let bottoms: Few<Blob<'_>> = node.bottoms.iter().map(|&b| view(blobs, slots, b)).collect();
                let mut tops: Few<BlobMut<'_>> = (node.run.tops.iter().zip(tops.iter_mut()))
                    .map(|(&t, data)| {
                        let len = blobs[blobs[t].whole].shape.count();
                        BlobMut { shape: &blobs[t].shape, data: &mut data[..len] }
                    })
                    .collect();
                node.layer.forward(&mut Forward {
                    phase: self.options.state.phase(),
                    draw: Draw::new(self.options.seed_of_passes(), node.config.name(), self.passes),
                    params: &learned,
                    state: &mut state,
                    bottoms: &bottoms,
                    tops: &mut tops,
                    workspace: &mut self.workspace[..node.outline.workspace],
                })
            });
            for (&t, buffer) in node.run.tops.iter().zip(tops.iter_mut()) {
                self.slots[self.blobs[t].slot] = take(buffer);
            }
            for (&id, buffer) in node.run.state.iter().zip(running.iter_mut()) {
                params[id].data = take(buffer);
            }
            result.map_err(|e| NetError::of(&node.config, e))?;
        }
        let node = &self.nodes[i];
        let weighted = node.tops.iter().zip(&node.loss_weights).filter(|(_, w)| **w != 0.0);
        Ok(weighted
            .map(|(&t, &w)| f64::from(w) * self.values(t).iter().map(|&v| f64::from(v)).sum::<f64>())
            .sum())
    }

    /// After the last pass: layers write out what they have collected.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(&mut self) -> Result<(), NetError> {
        self.nodes.iter_mut().try_for_each(|n| n.layer.finish().map_err(|e| NetError::of(&n.config, e)))
    }

    /// The shapes of a layer's tops now, if they depend on values.
    fn shapes_now(&mut self, i: usize) -> Result<Option<Vec<Shape>>, NetError> {
        let node = &mut self.nodes[i];
        let bottoms: Few<Blob<'_>> =
            node.bottoms.iter().map(|&b| view(&self.blobs, &self.slots, b)).collect();
        node.layer.shapes_now(&bottoms).map_err(|e| NetError::of(&node.config, e))
    }

    /// Asks a layer whose tops depend on values for their shapes now, and outlines what follows anew: down to the next layer whose
    /// tops depend on the values of others, which goes on when it is asked. What sources bring together may only fit together.
    fn follow_shapes(&mut self, i: usize) -> Result<(), NetError> {
        let Some(shapes) = self.shapes_now(i)? else { return Ok(()) };
        let tops = &self.nodes[i].tops;
        let changed = tops.iter().zip(&shapes).any(|(&t, shape)| self.blobs[t].shape != *shape);
        if !changed && self.outdated != Some(i) {
            return Ok(());
        }
        let mut now = vec![(i, shapes)];
        if self.nodes[i].kind.role == Role::Source {
            for other in i + 1..self.nodes.len() {
                if self.nodes[other].kind.role == Role::Source {
                    now.extend(self.shapes_now(other)?.map(|shapes| (other, shapes)));
                }
            }
        }
        // The plan may move values: what this pass has made so far, and what sources hold, is carried over.
        let made =
            self.nodes[..i].iter().chain(self.nodes[i..].iter().filter(|n| n.kind.role == Role::Source));
        let kept = self.copy_of(made.flat_map(|n| &n.tops).copied());
        for (node, shapes) in now {
            self.nodes[node].tops.iter().zip(shapes).for_each(|(&t, shape)| self.blobs[t].shape = shape);
        }
        let all = self.nodes.len();
        self.outdated = (i + 1..all).find(|&next| self.nodes[next].kind.shaped_by_values);
        self.outline(i + 1..self.outdated.map_or(all, |next| next + 1))?;
        self.lay_out()?;
        self.put_back(kept);
        Ok(())
    }

    /// Runs all layers backwards: adds to the parameters' diffs.
    pub fn backward(&mut self, params: &mut Params) {
        self.backward_given(params, &[]);
    }

    /// Like [`Net::backward`], with diffs of blobs given from outside, added to what the losses give.
    pub fn backward_given(&mut self, params: &mut Params, given: &[(BlobId, &[f32])]) {
        for i in (0..self.nodes.len()).rev() {
            self.prepare_diffs(i, given);
            self.backward_layer(i, params, &mut ());
        }
    }

    /// Completes the diffs of layer `i`'s tops: loss weights, diffs from outside, zeros where nothing came back.
    pub fn prepare_diffs(&mut self, i: usize, given: &[(BlobId, &[f32])]) {
        if self.nodes[i].within.is_some() {
            return;
        }
        for (&t, &weight) in self.nodes[i].run.tops.iter().zip(&self.nodes[i].loss_weights) {
            let blob = &self.blobs[t];
            let Some(slot) = blob.diff else { continue };
            let diff = &mut self.slots[slot][..blob.shape.count()];
            if !blob.diff_written {
                diff.fill(weight);
            } else if weight != 0.0 {
                diff.iter_mut().for_each(|d| *d += weight);
            }
            for (_, values) in given.iter().filter(|(b, _)| *b == t) {
                diff.iter_mut().zip(*values).for_each(|(d, v)| *d += v);
            }
        }
    }

    /// Runs layer `i` backwards, if it needs to. The `learner` may have a parameter that no other layer uses and whose
    /// gradient is a product.
    pub fn backward_layer(&mut self, i: usize, params: &mut Params, learner: &mut dyn Learner) {
        if !self.nodes[i].need.backward || self.nodes[i].within.is_some() {
            return;
        }
        if self.nodes[i].run.clears {
            self.clear_cut_off(i);
        }
        if self.shares_diff(i) {
            return;
        }
        let taken = self.nodes[i].run.learned.first().copied();
        let taken = taken.filter(|&id| learner.takes(&params[id]) && self.is_wanted_once(i, id));
        let node = &self.nodes[i];
        let mut bottom_diffs: Few<Option<Buffer>> = (node.bottoms.iter().zip(&node.need.bottoms))
            .map(|(&b, &wanted)| {
                self.blobs[b].diff.filter(|_| wanted).map(|slot| take(&mut self.slots[slot]))
            })
            .collect();
        let mut param_diffs =
            parallel::awake(|| self.run_backward(i, params, taken, learner, &mut bottom_diffs));
        let node = &self.nodes[i];
        for (&b, buffer) in node.bottoms.iter().zip(bottom_diffs.iter_mut()) {
            if let (Some(buffer), Some(slot)) = (buffer.take(), self.blobs[b].diff) {
                self.slots[slot] = buffer;
            }
        }
        for (k, buffer) in param_diffs.iter_mut().enumerate() {
            let id = node.run.learned[k];
            match buffer.take() {
                Some(more) if node.run.repeats(k) => {
                    params[id].diff.iter_mut().zip(more.iter()).for_each(|(diff, more)| *diff += more);
                }
                Some(buffer) => params[id].diff = buffer,
                None => {}
            }
        }
    }

    /// Lends layer `i` its slices and runs it backwards, with the diffs of its bottoms, which are taken out of their slots. The
    /// `learner` has the parameter `taken` if its gradient is a product. Gives the diffs of the parameters, which are taken
    /// out likewise.
    fn run_backward(
        &mut self,
        i: usize,
        params: &mut Params,
        taken: Option<ParamId>,
        learner: &mut dyn Learner,
        bottom_diffs: &mut [Option<Buffer>],
    ) -> Few<Option<Buffer>> {
        let node = &mut self.nodes[i];
        let learned = &node.run.learned;
        let (blobs, slots) = (&self.blobs, &self.slots);
        let reads = node.outline.reads;
        let bottoms: Few<Blob<'_>> = (node.bottoms.iter())
            .map(|&b| {
                if reads.bottoms { view(blobs, slots, b) } else { Blob { shape: &blobs[b].shape, data: &[] } }
            })
            .collect();
        let tops: Few<TopDiff<'_>> = (node.run.tops.iter())
            .map(|&t| {
                let (shape, len) = (&blobs[t].shape, blobs[blobs[t].whole].shape.count());
                let diff = blobs[t].diff.map_or(&[][..], |slot| &slots[slot][..len]);
                // What is not read may have given its memory to one of the diffs that are taken out.
                TopDiff { shape, data: if reads.tops { view(blobs, slots, t).data } else { &[] }, diff }
            })
            .collect();
        let product = taken.and_then(|id| Some((id, node.layer.product(&bottoms, &tops)?)));
        let mut param_diffs: Few<Option<Buffer>> = (learned.iter().zip(&node.run.wanted).enumerate())
            .map(|(k, (&id, &wanted))| {
                let own = wanted && product.as_ref().is_none_or(|(taken, _)| *taken != id);
                own.then(|| match node.run.repeats(k) {
                    true => Buffer::zeroed(params[id].data.len()),
                    false => take(&mut params[id].diff),
                })
            })
            .collect();
        // What comes with the product is not the layer's to make.
        let with_bottom = product.as_ref().is_some_and(|(_, product)| product.with_bottom);
        let mut back = if with_bottom { bottom_diffs[0].take() } else { None };
        let mut bottom_slices: Few<Option<&mut [f32]>> = (node.bottoms.iter().zip(bottom_diffs.iter_mut()))
            .map(|(&b, buffer)| buffer.as_mut().map(|d| &mut d[..blobs[b].shape.count()]))
            .collect();
        let mut param_slices: Few<Option<&mut [f32]>> =
            param_diffs.iter_mut().map(|d| d.as_mut().map(|d| &mut d[..])).collect();
        node.layer.backward(&mut Backward {
            params: &learned.iter().map(|&id| &params[id].data[..]).collect::<Few<_>>(),
            param_diffs: &mut param_slices,
            state: &node.run.state.iter().map(|&id| &params[id].data[..]).collect::<Few<_>>(),
            bottoms: &bottoms,
            tops: &tops,
            bottom_diffs: &mut bottom_slices,
            workspace: &mut self.workspace[..node.outline.workspace],
        });
        if let Some((id, product)) = product {
            let len = blobs[node.bottoms[0]].shape.count();
            let values = back.as_mut().map(|back| &mut back[..len]);
            learner.learn(id, &mut params[id], &product.gradient, values);
        }
        if back.is_some() {
            bottom_diffs[0] = back;
        }
        param_diffs
    }

    /// Whether the first parameter of layer `i` is `id`, learns, and is no other layer's.
    fn is_wanted_once(&self, i: usize, id: ParamId) -> bool {
        let users = self.nodes.iter().flat_map(|n| &n.params).filter(|&&used| used == id);
        self.nodes[i].run.wanted.first() == Some(&true) && users.count() == 1
    }

    /// The backward pass of a rectifier whose forward pass layer `i` has done: no gradient where the top is not above 0.
    fn clear_cut_off(&mut self, i: usize) {
        for &t in &self.nodes[i].run.tops {
            let blob = &self.blobs[t];
            let Some(slot) = blob.diff else { continue };
            let (len, mut diff) = (blob.shape.count(), take(&mut self.slots[slot]));
            let values = &self.slots[blob.slot][..len];
            update_each(values, &mut diff[..len], Rectified);
            self.slots[slot] = diff;
        }
    }

    /// Writes the values of a source's blob, for the passes to come.
    ///
    /// # Errors
    /// When no source makes a blob of this name, or its shape has another number of values.
    pub fn set_input(&mut self, name: &str, values: &[f32]) -> Result<(), NetError> {
        let sources = self.nodes.iter().filter(|n| n.kind.role == Role::Source);
        let Some(id) = sources.flat_map(|n| &n.tops).copied().find(|&t| self.blobs[t].name == name) else {
            return Err(NetError::Net(format!("no source layer makes a blob `{name}`")));
        };
        let (slot, want) = (self.blobs[id].slot, self.blobs[id].shape.count());
        if values.len() != want {
            return Err(NetError::Net(format!("blob `{name}` takes {want} values, found {}", values.len())));
        }
        self.slots[slot][..want].copy_from_slice(values);
        self.nodes.iter_mut().filter(|n| n.tops.contains(&id)).for_each(|n| n.layer.fed());
        Ok(())
    }
}

fn view<'a>(blobs: &'a [super::BlobPlan], slots: &'a [Buffer], id: BlobId) -> Blob<'a> {
    let shape = &blobs[id].shape;
    Blob { shape, data: &slots[blobs[id].slot][..shape.count()] }
}

#[cfg(test)]
mod tests {
    use crate::{
        config::{net_from_text, proto::Phase},
        net::{Net, Options, Params},
    };

    /// What comes out of two filters meets, and so does what each of them makes smaller once more.
    #[test]
    fn filters_may_meet_again() {
        let layers = "
            layer { name: 'in' type: 'Input' top: 'x' top: 's' input_param { shape { dim: [4, 2] } shape { dim: 4 } } }
            layer { name: 'a' type: 'Filter' bottom: 'x' bottom: 's' top: 'a' }
            layer { name: 'b' type: 'Power' bottom: 'a' top: 'b' power_param { scale: 2 } }
            layer { name: 'c' type: 'Filter' bottom: 'x' bottom: 's' top: 'c' }
            layer { name: 'e' type: 'Eltwise' bottom: 'b' bottom: 'c' top: 'e' }";
        let net = net_from_text("net.prototxt", layers).unwrap().net;
        let mut params = Params::new();
        let mut net = Net::new(&net, Options::new(Phase::Test, 1), &mut params).unwrap();
        net.set_input("x", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]).unwrap();
        for (selector, want) in [
            ([0.0, 1.0, 0.0, 1.0], &[9.0, 12.0, 21.0, 24.0][..]),
            ([0.0, 0.0, 1.0, 1.0], &[15.0, 18.0, 21.0, 24.0]),
            ([1.0, 0.0, 0.0, 0.0], &[3.0, 6.0]),
            ([0.0; 4], &[]),
            ([1.0; 4], &[3.0, 6.0, 9.0, 12.0, 15.0, 18.0, 21.0, 24.0]),
        ] {
            net.set_input("s", &selector).unwrap();
            net.forward(&mut params).unwrap();
            assert_eq!(net.values(net.blob("e").unwrap()), want, "{selector:?}");
        }
    }

    /// What is found changes from pass to pass, and what reads it follows.
    #[test]
    fn detections_come_and_go() {
        let layers = "
            layer { name: 'in' type: 'Input' top: 'told' top: 'scores' top: 'features' top: 'image' input_param {
              shape { dim: [1, 8] } shape { dim: [1, 4] } shape { dim: [1, 1, 1, 2] } shape { dim: [1, 1, 2, 4] } } }
            layer { name: 'p' type: 'PriorBox' bottom: 'features' bottom: 'image' top: 'priors' prior_box_param { min_size: 2 } }
            layer { name: 'd' type: 'DetectionOutput' bottom: 'told' bottom: 'scores' bottom: 'priors' top: 'd'
              detection_output_param { num_classes: 2 confidence_threshold: 0.5 } }
            layer { name: 'twice' type: 'Power' bottom: 'd' top: 'twice' power_param { scale: 2 } }";
        let net = net_from_text("net.prototxt", layers).unwrap().net;
        let mut params = Params::new();
        let mut net = Net::new(&net, Options::new(Phase::Test, 1), &mut params).unwrap();
        let [left, right] = [[0.0, 2.0, 1.5, 0.0, 0.0, 1.0, 2.0], [0.0, 2.0, 1.25, 1.0, 0.0, 2.0, 2.0]];
        let nothing = [0.0, -2.0, -2.0, -2.0, -2.0, -2.0, -2.0];
        for (scores, want) in [
            ([0.0, 0.75, 0.0, 0.625], [left, right].concat()),
            ([0.0, 0.0, 0.0, 0.625], right.to_vec()),
            ([0.0, 0.0, 0.0, 0.0], nothing.to_vec()),
            ([0.0, 0.75, 0.0, 0.625], [left, right].concat()),
        ] {
            net.set_input("scores", &scores).unwrap();
            net.forward(&mut params).unwrap();
            assert_eq!(net.values(net.blob("twice").unwrap()), want, "{scores:?}");
        }
    }

    /// y = s x + s: the gradient of s is the sum of both, over what it has been before.
    #[test]
    fn weight_and_bias_may_be_one() {
        let layers = "
            layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: [2, 2] } } }
            layer { name: 's' type: 'Scale' bottom: 'x' top: 'y' param { name: 'a' } param { name: 'a' }
              scale_param { bias_term: true bias_filler { type: 'constant' value: 7 } } }
            layer { name: 'r' type: 'Reduction' bottom: 'y' top: 'r' loss_weight: 1 }";
        let net = net_from_text("net.prototxt", layers).unwrap().net;
        let mut params = Params::new();
        let mut net = Net::new(&net, Options::new(Phase::Train, 1), &mut params).unwrap();
        net.set_input("x", &[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(net.forward(&mut params).unwrap(), 14.0);
        assert_eq!(net.params().len(), 1);
        for passes in [1.0, 2.0] {
            net.backward(&mut params);
            assert_eq!(params[net.params()[0]].diff[..], [6.0 * passes, 8.0 * passes]);
        }
    }

    #[test]
    fn a_shared_parameter_takes_gradients_by_each_layers_own_rate() {
        let layer = |name: &str, bottom: &str, rate: &str| {
            format!(
                "layer {{ name: '{name}' type: 'InnerProduct' bottom: '{bottom}' top: '{name}' param {{ name: 'w' {rate} }}
                   inner_product_param {{ num_output: 1 bias_term: false weight_filler {{ value: 3 }} }} }}"
            )
        };
        let input = "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: [1, 1] } } }";
        let sum = "layer { name: 'r' type: 'Reduction' bottom: 'b' top: 'r' loss_weight: 1 }";
        // E = w (w x): of `a` the gradient is w x, of `b` as much.
        for (rates, diff) in [(["lr_mult: 0", ""], 6.0), (["", "lr_mult: 0"], 6.0), (["", ""], 12.0)] {
            let text = [input, &layer("a", "x", rates[0]), &layer("b", "a", rates[1]), sum].concat();
            let net = net_from_text("net.prototxt", &text).unwrap().net;
            let mut params = Params::new();
            let mut net = Net::new(&net, Options::new(Phase::Train, 1), &mut params).unwrap();
            net.set_input("x", &[2.0]).unwrap();
            net.forward(&mut params).unwrap();
            net.backward(&mut params);
            assert_eq!(params[net.params()[0]].diff[..], [diff], "{rates:?}");
        }
    }

    #[test]
    fn a_recurrent_layer_takes_all_gradients_or_none() {
        let diffs = |rates: [u8; 3]| {
            let specs: String = rates.iter().map(|rate| format!("param {{ lr_mult: {rate} }} ")).collect();
            let layers = format!(
                "layer {{ name: 'x' type: 'Input' top: 'x' input_param {{ shape {{ dim: [2, 1, 3] }} }} }}
                 layer {{ name: 'c' type: 'Input' top: 'c' input_param {{ shape {{ dim: [2, 1] }} }} }}
                 layer {{ name: 'l' type: 'LSTM' bottom: 'x' bottom: 'c' top: 'y' {specs} recurrent_param {{ num_output: 2 }} }}
                 layer {{ name: 'r' type: 'Reduction' bottom: 'y' top: 'r' loss_weight: 1 }}"
            );
            let net = net_from_text("net.prototxt", &layers).unwrap().net;
            let mut params = Params::new();
            let net = Net::new(&net, Options::new(Phase::Train, 1), &mut params).unwrap();
            net.params().iter().map(|&id| !params[id].diff.is_empty()).collect::<Vec<_>>()
        };
        assert_eq!(diffs([0, 1, 0]), [true; 3]);
        assert_eq!(diffs([0, 0, 0]), [false; 3]);
    }

    #[test]
    fn running_statistics_may_not_be_one() {
        let layers = "
            layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: [2, 2] } } }
            layer { name: 'n' type: 'BatchNorm' bottom: 'x' top: 'y'
              param { name: 'a' lr_mult: 0 } param { name: 'a' lr_mult: 0 } }";
        let net = net_from_text("net.prototxt", layers).unwrap().net;
        let refused = Net::new(&net, Options::new(Phase::Train, 1), &mut Params::new()).err().unwrap();
        assert!(refused.to_string().contains("shares one running statistic with another"), "{refused}");
    }
}
