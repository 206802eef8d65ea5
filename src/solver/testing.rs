//! Test nets between iterations.

use super::{Action, Event, Mean, Observer, Solver, SolverError};

impl Solver {
    /// Runs every test net for its `test_iter` batches; stops early when the observer asks to stop.
    ///
    /// # Errors
    /// For values that a layer cannot take.
    pub(super) fn test_all(&mut self, observer: &mut dyn Observer) -> Result<Action, SolverError> {
        for i in 0..self.tests.len() {
            observer.see(self, &Event::TestStart { iter: self.iter, net: i });
            let batches = self.config.test_iter.get(i).copied().unwrap_or(0);
            let mut means: Vec<Mean> = Vec::new();
            let mut sums: Vec<Vec<f64>> = Vec::new();
            let mut loss = 0.0;
            for _ in 0..batches {
                if observer.poll(self) == Action::Stop {
                    return Ok(Action::Stop);
                }
                let net = &mut self.tests[i];
                loss += f64::from(net.forward(&mut self.params).map_err(super::train_error)?);
                add_outputs(&mut means, &mut sums, net);
            }
            let mean = |sum: f64| (sum / f64::from(batches)) as f32;
            means.iter_mut().zip(&sums).for_each(|(m, s)| m.values = s.iter().map(|&s| mean(s)).collect());
            let loss = self.config.test_compute_loss().then(|| mean(loss));
            observer.see(self, &Event::Test { iter: self.iter, net: i, outputs: &means, loss });
        }
        Ok(Action::Continue)
    }
}

fn add_outputs(means: &mut Vec<Mean>, sums: &mut Vec<Vec<f64>>, net: &crate::net::Net) {
    for (k, output) in net.outputs().into_iter().enumerate() {
        if means.len() == k {
            means.push(Mean {
                name: output.name.to_owned(),
                values: Vec::new(),
                loss_weight: output.loss_weight,
            });
            sums.push(vec![0.0; output.values.len()]);
        }
        sums[k].iter_mut().zip(output.values).for_each(|(s, &v)| *s += f64::from(v));
    }
}
