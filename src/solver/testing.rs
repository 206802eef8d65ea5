//! Test nets between iterations, and the means of what they give.

use super::{Action, Event, Goal, Mean, Observer, Solver, SolverError, Why, divergence::Mark};
use crate::net::Net;

impl Solver {
    /// Runs every test net for its `test_iter` batches; stops early when the observer asks to stop, and then goes back
    /// to where the test began, so that a resumed run makes it whole.
    ///
    /// # Errors
    /// For values that a layer cannot take.
    pub(super) fn test_all(&mut self, observer: &mut dyn Observer) -> Result<Action, SolverError> {
        let before: Vec<Mark> = self.tests.iter().map(Mark::of).collect();
        for i in 0..self.tests.len() {
            observer.see(self, &Event::TestStart { iter: self.iter, net: i });
            let batches = self.config.test_iter.get(i).copied().unwrap_or(0);
            let mut means = Means::default();
            for _ in 0..batches {
                if let stop @ Action::Stop(_) = observer.poll(self) {
                    self.tests.iter_mut().zip(&before).for_each(|(net, mark)| mark.restore(net));
                    return Ok(stop);
                }
                let loss = self.tests[i].forward(&mut self.params).map_err(super::train_error)?;
                means.add(&self.tests[i], loss);
            }
            let loss = self.config.test_compute_loss().then(|| means.loss());
            let outputs = &means.outputs();
            observer.see(self, &Event::Test { iter: self.iter, net: i, outputs, loss });
            self.follow(outputs, observer);
        }
        let given_up = self.goal.as_ref().is_some_and(Goal::is_given_up);
        Ok(if given_up { Action::Stop(Why::Patience) } else { Action::Continue })
    }

    /// Compares the results with the best so far, if one of them is followed.
    fn follow(&mut self, means: &[Mean], observer: &mut dyn Observer) {
        let Some(mut goal) = self.goal.take() else { return };
        let followed = means.iter().any(|m| m.name == goal.name);
        let best = followed && goal.see(means);
        self.goal = Some(goal);
        if best && let Some(goal) = &self.goal {
            observer.see(self, &Event::Best { goal });
        }
    }
}

/// The means of a net's outputs over batches.
#[derive(Clone, Debug, Default)]
pub struct Means {
    batches: u32,
    loss: f64,
    /// The outputs, without values, and the sums of their values.
    sums: Vec<(Mean, Vec<f64>)>,
}

impl Means {
    /// Adds the outputs of the net's last pass and its loss.
    pub fn add(&mut self, net: &Net, loss: f32) {
        self.batches += 1;
        self.loss += f64::from(loss);
        for (k, output) in net.outputs().into_iter().enumerate() {
            if self.sums.len() == k {
                let (name, loss_weight) = (output.name.to_owned(), output.loss_weight);
                let mean = Mean { name, values: Vec::new(), loss_weight };
                self.sums.push((mean, vec![0.0; output.values.len()]));
            }
            self.sums[k].1.iter_mut().zip(output.values).for_each(|(s, &v)| *s += f64::from(v));
        }
    }

    /// The mean of each output.
    pub fn outputs(&self) -> Vec<Mean> {
        let outputs = self.sums.iter();
        outputs
            .map(|(m, s)| Mean { values: s.iter().map(|&s| self.mean(s)).collect(), ..m.clone() })
            .collect()
    }

    /// The mean loss.
    pub fn loss(&self) -> f32 {
        self.mean(self.loss)
    }

    fn mean(&self, sum: f64) -> f32 {
        (sum / f64::from(self.batches)) as f32
    }
}
