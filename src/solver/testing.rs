//! Test nets between iterations, and the means of what they give.

use std::ops::ControlFlow;

use super::{Action, Event, Goal, Mean, Observer, Solver, SolverError, WholeSet, Why, divergence::Mark};
use crate::net::Net;

/// A test net, and how it runs over its whole set if its `test_iter` is 0.
pub(super) struct Test {
    pub net: Net,
    pub whole: Option<WholeSet>,
    /// The checksum of its file.
    pub hash: u32,
}

impl Solver {
    /// Runs every test net for its `test_iter` batches, or over its whole set; stops early when the observer asks to stop,
    /// and then goes back to where the test began, so that a resumed run makes it whole. So does a test that ends the run: one
    /// that is started again makes it again, and ends again. A snapshot waits until the test is over.
    ///
    /// # Errors
    /// For values that a layer cannot take.
    pub(super) fn test_all(&mut self, observer: &mut dyn Observer) -> Result<Action, SolverError> {
        let before: Vec<Mark> = self.tests.iter().map(|test| Mark::of(&test.net)).collect();
        let goal = self.goal.clone();
        let stopped = match self.test_each(observer) {
            Ok(ControlFlow::Continue(())) if self.goal.as_ref().is_some_and(Goal::is_given_up) => {
                Ok(Action::Stop(Why::Patience))
            }
            Ok(ControlFlow::Continue(())) => match self.gather_hidden() {
                Ok(hidden) => {
                    self.hidden.ranks = hidden;
                    return Ok(Action::Continue);
                }
                Err(error) => Err(error),
            },
            Ok(ControlFlow::Break(action)) => Ok(action),
            Err(error) => Err(error),
        };
        for (Test { net, whole, .. }, mark) in self.tests.iter_mut().zip(&before) {
            // A hidden state has the size of full batches.
            whole.iter().try_for_each(|whole| whole.end(net)).map_err(super::train_error)?;
            mark.restore(net);
        }
        self.goal = goal;
        stopped
    }

    /// Runs the test nets one after the other; breaks off with an action that is to stop.
    fn test_each(&mut self, observer: &mut dyn Observer) -> Result<ControlFlow<Action>, SolverError> {
        for i in 0..self.tests.len() {
            observer.see(self, &Event::TestStart { iter: self.iter, net: i });
            let means = match self.run_test(i, observer)? {
                ControlFlow::Continue(means) => means,
                ControlFlow::Break(action) => return Ok(ControlFlow::Break(action)),
            };
            let loss = self.config.test_compute_loss().then(|| means.loss());
            let outputs = &means.outputs();
            observer.see(self, &Event::Test { iter: self.iter, net: i, outputs, loss });
            self.follow(i, outputs, observer);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Runs test net `i` for its batches, which the ranks take in turn; breaks off with an action that is to stop.
    fn run_test(
        &mut self,
        i: usize,
        observer: &mut dyn Observer,
    ) -> Result<ControlFlow<Action, Means>, SolverError> {
        let _span = tracing::debug_span!("test", iter = self.iter, net = i).entered();
        let batches = match &self.tests[i].whole {
            Some(whole) => whole.batches(),
            None => self.config.test_iter[i] as usize,
        };
        let (rank, ranks) = match &self.team {
            Some(team) => (team.shard().rank as usize, team.shard().count as usize),
            None => (0, 1),
        };
        let before = Mark::of(&self.tests[i].net);
        let widths = widths(&self.tests[i].net);
        let rounds = batches.div_ceil(ranks);
        let mut rows = Vec::new();
        for round in 0..rounds {
            let action = observer.poll(self);
            match self.agree(action)? {
                Action::Continue => {}
                Action::Snapshot => self.saved.wanted = true,
                stop @ Action::Stop(_) => return Ok(ControlFlow::Break(stop)),
            }
            let batch = round * ranks + rank;
            let Test { net, whole, .. } = &mut self.tests[i];
            if let Some(whole) = whole {
                whole.start(batch, rank, net).map_err(super::train_error)?;
            }
            let loss = self.test_forward(i, observer)?;
            rows.push(row(&self.tests[i].net, loss, &widths));
        }
        if let Some(team) = &mut self.team {
            rows = team.in_turn(&rows, 1 + widths.iter().sum::<usize>(), batches)?;
        }
        let Test { net, whole, .. } = &mut self.tests[i];
        if let Some(whole) = whole {
            whole.end(net).map_err(super::train_error)?;
            // A test of a whole set always begins at its first sample.
            before.restore(net);
        } else if ranks > 1 {
            // The last round may have gone beyond the end.
            Mark::of(net).part_way(&before, batches, rounds * ranks).restore(net);
        }
        let mut means = Means::default();
        for (number, row) in rows.iter().enumerate() {
            let weight = whole.as_ref().map_or(1.0, |whole| whole.weight(number));
            means.add_row(net, row, &widths, weight);
        }
        Ok(ControlFlow::Continue(means))
    }

    /// Runs a batch of test net `i`, with a word after each layer if `debug_info` asks for it. Gives the loss.
    fn test_forward(&mut self, i: usize, observer: &mut dyn Observer) -> Result<f32, SolverError> {
        let (mut loss, layers) = (0.0, self.tests[i].net.layers().len());
        for layer in 0..layers {
            let net = &mut self.tests[i].net;
            loss += net.forward_layer(layer, &mut self.params).map_err(super::train_error)?;
            if self.config.debug_info() {
                observer.see(self, &Event::DebugTest { net: i, layer });
            }
        }
        self.tests[i].net.end_pass();
        Ok(loss as f32)
    }

    /// Test net `i`.
    pub fn test_net(&self, i: usize) -> &Net {
        &self.tests[i].net
    }

    /// Compares the results of test net `i` with the best so far, if it is the first that has the output that is followed.
    fn follow(&mut self, i: usize, means: &[Mean], observer: &mut dyn Observer) {
        let Some(mut goal) = self.goal.take() else { return };
        let has = |test: &Test| test.net.outputs().iter().any(|output| output.name == goal.name);
        let followed = self.tests.iter().position(has) == Some(i);
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
    /// Of all batches.
    weight: f64,
    loss: f64,
    /// The outputs, without values, and the sums of their values.
    sums: Vec<(Mean, Vec<f64>)>,
}

impl Means {
    /// Adds the outputs of the net's last pass and its loss, which count by `weight`.
    pub fn add(&mut self, net: &Net, loss: f32, weight: f64) {
        let widths = widths(net);
        self.add_row(net, &row(net, loss, &widths), &widths, weight);
    }

    /// Adds a pass of `net` whose loss and outputs are in `row`, the outputs as long as `widths` says.
    fn add_row(&mut self, net: &Net, row: &[f32], widths: &[usize], weight: f64) {
        let Some((&loss, mut values)) = row.split_first() else { return };
        self.weight += weight;
        self.loss += f64::from(loss) * weight;
        for (k, (output, &width)) in net.outputs().into_iter().zip(widths).enumerate() {
            if self.sums.len() == k {
                self.sums.push((Mean::of(&output), vec![0.0; width]));
            }
            self.sums[k].1.iter_mut().zip(values).for_each(|(s, &v)| *s += f64::from(v) * weight);
            values = values.get(width..).unwrap_or_default();
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
        (sum / self.weight) as f32
    }
}

/// How many values each output of a net has.
fn widths(net: &Net) -> Vec<usize> {
    net.outputs().iter().map(|output| output.values.len()).collect()
}

/// The loss of a net's last pass, then its outputs, each as long as `widths` says: a smaller batch may give fewer values.
fn row(net: &Net, loss: f32, widths: &[usize]) -> Vec<f32> {
    let mut row = vec![loss];
    for (output, &width) in net.outputs().iter().zip(widths) {
        row.extend(output.values.iter().copied().chain(std::iter::repeat(0.0)).take(width));
    }
    row
}
