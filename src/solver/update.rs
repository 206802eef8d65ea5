//! From the sum of gradients to new weights, in Caffe's order: clip, mean over `iter_size`, decay, rule.

use super::{Solver, lars, rules::Update};
use crate::kernels::{elementwise::sum, update::Gradient};

impl Solver {
    /// Updates every parameter; its diff is 0 afterwards, or the step, if snapshots save that.
    pub(super) fn update(&mut self, rate: f32) {
        let scale = self.clip() / self.config.iter_size().max(1) as f32;
        let keep_step = self.keeps_steps();
        let config = &self.config;
        let arrays = self.history.len() / self.rule.histories.max(1);
        let (first, second) = self.history.split_at_mut(arrays);
        for (i, param) in self.params.iter_mut().take(arrays).enumerate() {
            if param.lr_mult == 0.0 {
                // `force_backward` gives it a diff all the same, which must not pile up.
                param.diff.fill(0.0);
            }
            if param.diff.is_empty() || param.lr_mult == 0.0 {
                continue;
            }
            let gradient = Gradient {
                scale,
                decay: config.weight_decay() * param.decay_mult,
                l1: config.regularization_type() == "L1",
                shrink: 0.0,
                keep_step,
            };
            (self.rule.update)(
                config,
                Update {
                    iter: self.iter,
                    rate: lars::rate(config, rate, param, scale),
                    gradient,
                    data: &mut param.data,
                    diff: &mut param.diff,
                    history: &mut first[i],
                    history2: second.get_mut(i).map_or(&mut [], |h| &mut h[..]),
                },
            );
        }
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
}
