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
    /// The test output that tells how good the net is, its best value, and the iteration of that.
    best: Option<(Goal, i32)>,
    /// The weights that were saved last.
    weights: Option<PathBuf>,
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
            Event::Test { iter, net: 0, outputs, .. } => self.test(*iter, outputs),
            Event::Snapshot { weights, .. } => self.weights = Some(weights.to_path_buf()),
            _ => {}
        }
    }

    /// The first output that is no loss counts, or else the first.
    fn test(&mut self, iter: i32, outputs: &[Mean]) {
        if self.best.is_none() {
            let goals = || outputs.iter().map(|mean| Goal::parse(&mean.name, None));
            let goal = goals().find(|goal| goal.larger).or_else(|| goals().next());
            self.best = goal.map(|goal| (goal, iter));
        }
        if let Some((goal, at)) = &mut self.best
            && goal.see(outputs)
        {
            *at = iter;
        }
    }

    /// The iteration of the best test.
    pub fn best_at(&self) -> Option<i32> {
        self.best.as_ref().filter(|(goal, _)| goal.best.is_some()).map(|(_, at)| *at)
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
        if let Some((goal, at)) = &self.best
            && let Some(best) = goal.best
        {
            info(&format!("Best test: {} {} at iteration {at}", goal.name, general(best)));
        }
        if let Some(weights) = &self.weights {
            info(&format!("Last weights: {}", weights.display()));
        }
    }
}
