//! From the sum of gradients to new weights, in Caffe's order: clip, mean over `iter_size`, decay, rule.

use super::{
    Solver, lars,
    rules::{Rule, Update},
};
use crate::{
    config::proto::SolverParameter,
    kernels::{
        gemm::Gemm,
        parallel,
        sums::sum,
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
        let update_all = || {
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
        };
        parallel::awake(update_all);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::solver_from_text, solver::net_sources};

    /// The first weight of each layer that has some, after so many iterations.
    fn trained(settings: &str, layers: &str) -> Vec<(String, f32)> {
        let text = format!(
            "base_lr: 0.5 lr_policy: 'fixed' max_iter: 2 snapshot_after_train: false {settings} net_param {{
             layer {{ name: 'x' type: 'DummyData' top: 'x' dummy_data_param {{
               shape {{ dim: [1, 1] }} data_filler {{ value: 1 }} }} }} {layers} }}"
        );
        let file = solver_from_text("solver.prototxt", text).unwrap();
        let mut solver = Solver::new(file.solver.clone(), &net_sources(&file).unwrap(), 1).unwrap();
        solver.solve(&mut ()).unwrap();
        solver.params().iter().map(|param| (param.owner.0.clone(), param.data[0])).collect()
    }

    fn ip(name: &str, bottom: &str, more: &str) -> String {
        format!(
            "layer {{ name: '{name}' type: 'InnerProduct' bottom: '{bottom}' top: '{name}' {more} inner_product_param {{
               num_output: 1 bias_term: false weight_filler {{ value: 1 }} }} }}"
        )
    }

    /// By hand, and as Caffe's: each of two steps takes half of a tenth of what is left.
    #[test]
    fn weights_that_no_loss_reaches_decay() {
        let layers = [
            ip("below", "x", ""),
            ip("above", "below", "propagate_down: false"),
            ip("aside", "x", ""),
            ip("twice", "x", "param { decay_mult: 2 }"),
            ip("frozen", "x", "param { lr_mult: 0 }"),
            ip("kept", "x", "param { decay_mult: 0 }"),
            "layer { name: 'sum' type: 'Reduction' bottom: 'above' top: 'sum' loss_weight: 1 }".into(),
        ];
        let layers = layers.concat();
        let weights = trained("weight_decay: 0.1", &layers);
        for (name, want) in
            [("below", 0.9025), ("aside", 0.9025), ("twice", 0.81), ("frozen", 1.0), ("kept", 1.0)]
        {
            let found = weights.iter().find(|(owner, _)| owner == name).unwrap().1;
            assert!((found - want).abs() < 1e-6, "{name}: {found}, not {want}");
        }
        for rule in ["SGD", "AdaDelta", "AdaGrad", "Adam", "AdamW", "Nesterov", "RMSProp"] {
            let still = trained(&format!("type: '{rule}' delta: 1e-8"), &layers);
            assert!(
                still.iter().all(|(name, weight)| name == "above" || *weight == 1.0),
                "{rule}: {still:?}"
            );
        }
    }

    /// The gradient of a loss of weight w is w, however many read it.
    #[test]
    fn a_loss_that_is_read_counts_by_its_weight() {
        let layers = |more: &str| {
            let loss = "layer { name: 'l' type: 'EuclideanLoss' bottom: 'ip' bottom: 'x' top: 'l' loss_weight: 0.25 }";
            let more = if more.is_empty() {
                String::new()
            } else {
                format!("layer {{ name: 'q' {more} bottom: 'l' }}")
            };
            [ip("ip", "x", "param { name: 'w' }").replace("value: 1", "value: 3"), loss.into(), more].concat()
        };
        let alone = trained("", &layers(""));
        // w - 1 becomes (w - 1) (1 - 0.5 * 0.25), twice.
        assert!((alone[0].1 - (1.0 + 2.0 * 0.875 * 0.875)).abs() < 1e-6, "{alone:?}");
        for reader in ["type: 'Silence'", "type: 'Power' top: 'q' power_param { scale: 2 }"] {
            assert_eq!(trained("", &layers(reader)), alone, "{reader}");
        }
    }
}
