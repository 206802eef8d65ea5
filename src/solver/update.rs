//! From the sum of gradients to new weights, in Caffe's order: clip, mean over `iter_size`, decay, rule.

use super::{
    Solver, lars,
    rules::{Rule, Update},
};
use crate::{
    config::proto::SolverParameter,
    kernels::{
        elementwise::sum,
        gemm::Gemm,
        update::{Gradient, by_product},
    },
    net::{Learner, Param, ParamId},
    tensor::Buffer,
};

/// Parameters of so many values are updated within the backward pass: smaller ones stay in caches until the update.
const LARGE: usize = 1 << 18;

impl Solver {
    /// Updates every parameter that is not yet; its diff is 0 afterwards, or the step, if snapshots save that.
    pub(super) fn update(&mut self, rate: f32) {
        let scale = self.clip() / self.config.iter_size().max(1) as f32;
        let keep_step = self.keeps_steps();
        let config = &self.config;
        let arrays = self.history_arrays();
        let (first, second) = self.history.split_at_mut(arrays);
        for (i, param) in self.params.iter_mut().take(arrays).enumerate() {
            if param.lr_mult == 0.0 {
                // `force_backward` gives it a diff all the same, which must not pile up.
                param.diff.fill(0.0);
            }
            if param.diff.is_empty() || param.lr_mult == 0.0 || self.learned_early.contains(&i) {
                continue;
            }
            (self.rule.update)(
                config,
                Update {
                    iter: self.iter,
                    rate: lars::rate(config, rate, param, scale),
                    gradient: gradient(config, param.decay_mult, scale, keep_step),
                    data: &mut param.data,
                    diff: &mut param.diff,
                    history: &mut first[i],
                    history2: second.get_mut(i).map_or(&mut [], |h| &mut h[..]),
                },
            );
        }
        self.learned_early.clear();
    }

    /// How many parameters the rule keeps arrays for.
    pub(super) fn history_arrays(&self) -> usize {
        self.history.len() / self.rule.histories.max(1)
    }

    /// The factor that brings the norm of all gradients down to `clip_gradients`; 1 if it is low enough.
    fn clip(&self) -> f32 {
        let limit = self.config.clip_gradients();
        if limit < 0.0 {
            return 1.0;
        }
        let norm = self.params.iter().map(|p| sum(&p.diff, |d| d * d)).sum::<f64>().sqrt() as f32;
        if norm > limit { limit / norm } else { 1.0 }
    }

    /// Whether parameters may be updated within the backward pass: where an update needs nothing but the rate, which
    /// depends on the loss, and one parameter's gradient, which nobody reads afterwards.
    pub(super) fn learns_early(&self) -> bool {
        let config = &self.config;
        let needs_all = config.clip_gradients() >= 0.0 || config.local_lr_auto() || config.larc();
        config.iter_size() <= 1 && self.team.is_none() && !needs_all && !self.keeps_steps()
    }

    /// Runs layer `i` backward; with the `rate` of the update its parameters may be updated on the spot.
    pub(super) fn backward_layer(&mut self, i: usize, rate: Option<f32>) {
        let Some(rate) = rate else {
            return self.train.backward_layer(i, &mut self.params, &mut ());
        };
        let arrays = self.history_arrays();
        let mut early = Early {
            config: &self.config,
            rule: self.rule,
            iter: self.iter,
            rate,
            history: self.history.split_at_mut(arrays),
            learned: &mut self.learned_early,
        };
        self.train.backward_layer(i, &mut self.params, &mut early);
    }
}

/// How a diff becomes the gradient.
fn gradient(config: &SolverParameter, decay_mult: f32, scale: f32, keep_step: bool) -> Gradient {
    Gradient {
        scale,
        decay: config.weight_decay() * decay_mult,
        l1: config.regularization_type() == "L1",
        shrink: 0.0,
        keep_step,
    }
}

/// Updates parameters within the backward pass: their gradients never go to memory.
struct Early<'a> {
    config: &'a SolverParameter,
    rule: &'static Rule,
    iter: i32,
    rate: f32,
    /// The rule's first and second arrays.
    history: (&'a mut [Buffer], &'a mut [Buffer]),
    learned: &'a mut Vec<ParamId>,
}

impl Learner for Early<'_> {
    fn takes(&self, param: &Param) -> bool {
        param.lr_mult != 0.0 && param.data.len() >= LARGE
    }

    fn learn(&mut self, id: ParamId, param: &mut Param, product: &Gemm<'_>, back: Option<&mut [f32]>) {
        let (first, second) = &mut self.history;
        let histories = [&mut first[id][..], second.get_mut(id).map_or(&mut [], |h| &mut h[..])];
        let (config, iter, rate) = (self.config, self.iter, self.rate * param.lr_mult);
        let gradient = gradient(config, param.decay_mult, 1.0, false);
        by_product(product, &mut param.data, histories, back, |data, diff, history, history2| {
            (self.rule.update)(config, Update { iter, rate, gradient, data, diff, history, history2 });
        });
        self.learned.push(id);
    }
}
