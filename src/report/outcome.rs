//! How a run went: the lines at its end.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{general, info, short, waited_for_data};
use crate::solver::{Event, Goal, Mean, Solver};

/// What is remembered of a run for its end.
pub(super) struct Outcome {
    /// When the run began, at which iteration, and how long data had been waited for before.
    start: (Instant, i32, Duration),
    /// The test output that tells how good the net is.
    best: Option<Best>,
    /// The weights that were saved last.
    weights: Option<PathBuf>,
}

/// The best tests of a run.
struct Best {
    /// The test net.
    net: usize,
    /// Its output, and the best value of that.
    goal: Goal,
    /// When that was.
    iter: i32,
}

impl Outcome {
    /// Of a run that starts where the solver stands.
    pub fn new(solver: &Solver) -> Self {
        Self { start: (Instant::now(), solver.iter(), waited_for_data(solver)), best: None, weights: None }
    }

    /// Takes in an event.
    pub fn event(&mut self, solver: &Solver, event: &Event<'_>) {
        match event {
            Event::Start => self.start = (Instant::now(), solver.iter(), waited_for_data(solver)),
            Event::Test { iter, net, outputs, .. } => self.test(solver.goal(), *iter, *net, outputs),
            Event::Snapshot { weights, .. } => self.weights = Some(weights.to_path_buf()),
            _ => {}
        }
    }

    /// What the run follows counts, in the first test net that has it; else, of the first test net, the first output that is
    /// to rise, or else the first that is to fall.
    fn test(&mut self, followed: Option<&Goal>, iter: i32, net: usize, outputs: &[Mean]) {
        if self.best.is_none() {
            let goal = match followed {
                Some(goal) => {
                    let has = outputs.iter().any(|mean| mean.name == goal.name);
                    has.then(|| Goal::new(&goal.name, goal.larger, None))
                }
                None if net == 0 => telling(outputs),
                None => None,
            };
            self.best = goal.map(|goal| Best { net, goal, iter });
        }
        if let Some(best) = &mut self.best
            && best.net == net
            && best.goal.see(outputs)
        {
            best.iter = iter;
        }
    }

    /// Whether this test of this net is the best so far.
    pub fn is_best(&self, iter: i32, net: usize) -> bool {
        let seen = self.best.as_ref().filter(|best| best.goal.best.is_some());
        seen.is_some_and(|best| best.iter == iter && best.net == net)
    }

    /// The share of the time that has been spent waiting for data, from 0 to 1.
    pub fn waiting(&self, solver: &Solver) -> f64 {
        let (start, _, before) = self.start;
        waited_for_data(solver).saturating_sub(before).as_secs_f64() / start.elapsed().as_secs_f64()
    }

    /// The last lines: how many iterations, how fast, whether data was the bottleneck, what came of it.
    pub fn sum_up(&self, solver: &Solver) {
        let (start, iter, _) = self.start;
        let (done, took) = (f64::from(solver.iter() - iter), start.elapsed().as_secs_f64());
        let samples = solver.samples_an_iteration();
        let samples =
            samples.map_or(String::new(), |samples| format!(", {} samples/s", short(done * samples / took)));
        info(&format!(
            "{done} iterations in {} s, {} it/s{samples}, {:.1}% of the time waiting for data",
            short(took),
            short(done / took),
            100.0 * self.waiting(solver)
        ));
        if let Some(Best { goal, iter, .. }) = &self.best
            && let Some(best) = goal.best
        {
            info(&format!("Best test: {} {} at iteration {iter}", goal.name, general(best)));
        }
        if let Some(weights) = &self.weights {
            info(&format!("Last weights: {}", weights.display()));
        }
    }
}

/// The output that tells how good a net is, of those of one value.
fn telling(outputs: &[Mean]) -> Option<Goal> {
    let first = |larger| {
        outputs
            .iter()
            .find(|mean| mean.values.len() == 1 && mean.more_is_better == Some(larger))
            .map(|mean| Goal::new(&mean.name, larger, None))
    };
    first(true).or_else(|| first(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracies_tell_more_than_losses_and_lists_tell_nothing() {
        let mean = |name: &str, values: usize, more_is_better| Mean {
            name: name.into(),
            values: vec![0.0; values],
            loss_weight: 0.0,
            more_is_better,
        };
        let told = |outputs: &[Mean]| telling(outputs).map(|goal| goal.text());
        let (loss, list) = (mean("l", 1, Some(false)), mean("classes", 3, Some(true)));
        assert_eq!(told(&[list.clone(), loss.clone()]).as_deref(), Some("l:min"));
        assert_eq!(told(&[loss, mean("a", 1, Some(true))]).as_deref(), Some("a:max"));
        assert_eq!(told(&[list, mean("scores", 1, None)]), None);
    }
}
