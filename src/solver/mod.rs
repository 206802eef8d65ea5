//! The training loop, update rules, learning-rate policies and interrupts.
//!
//! The solver owns the train net, the test nets and the parameters that they share. It prints nothing: it tells an
//! [`Observer`] what happens, and asks it between iterations whether to go on.

mod buckets;
mod budget;
mod build;
mod check;
mod divergence;
mod epoch;
mod error;
mod event;
mod goal;
mod hidden;
mod identity;
mod interrupt;
mod lars;
pub mod lr_policy;
mod nets;
mod ranks;
mod rounding;
pub mod rules;
mod save;
mod settings;
mod team;
mod testing;
mod update;
mod warm_up;

pub use buckets::Gradients;
pub use budget::{Budget, Pace, parse_duration};
pub use check::check;
pub use divergence::OnNan;
pub use epoch::{Epoch, WholeSet};
pub use error::{Check, SolverError};
pub use event::{Action, Event, Observer, Stage, Why};
pub use goal::{Goal, Mean};
pub use identity::Resumed;
pub use interrupt::{Effect, Signals};
pub use nets::{NetSources, net_meant, net_sources, state_of};
pub use save::seed_of;
pub use team::Team;
pub use testing::Means;

use std::collections::VecDeque;

use crate::{
    config::proto::{NetParameter, SolverParameter},
    net::{Net, ParamId, Params},
    tensor::Buffer,
};
use lr_policy::{Policy, Progress};
use rules::Rule;

/// A training run.
pub struct Solver {
    config: SolverParameter,
    source: NetParameter,
    train: Net,
    tests: Vec<testing::Test>,
    params: Params,
    policy: &'static Policy,
    rule: &'static Rule,
    /// The rule's arrays: the first of every parameter, then the second.
    history: Vec<Buffer>,
    /// The parameters that were updated within the backward pass of this iteration.
    learned_early: Vec<ParamId>,
    seed: u64,
    iter: i32,
    progress: Progress,
    losses: VecDeque<f32>,
    goal: Option<Goal>,
    on_nan: OnNan,
    skips_bad_samples: bool,
    /// Rolling back makes the learning rate smaller by this.
    rate_factor: f64,
    rollbacks: u32,
    last_rate: f32,
    saved: save::Saved,
    /// Where the train net's data stood before this iteration.
    mark: divergence::Mark,
    /// The ranks that train together, if this is one of several.
    team: Option<Team>,
    hidden: hidden::Hidden,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// At `max_iter`.
    Done,
    /// Before that.
    Stopped(Why),
}

impl Ending {
    /// Whether the run is to go on later, and so needs a snapshot of where it stands.
    fn must_save(self) -> bool {
        matches!(self, Self::Stopped(Why::Signal(_) | Why::TimeBudget))
    }
}

impl Solver {
    /// The settings.
    pub fn config(&self) -> &SolverParameter {
        &self.config
    }

    /// The train net before filtering.
    pub fn source(&self) -> &NetParameter {
        &self.source
    }

    /// Iterations done.
    pub fn iter(&self) -> i32 {
        self.iter
    }

    /// The train net.
    pub fn train_net(&self) -> &Net {
        &self.train
    }

    /// The train net and the test nets.
    pub fn nets(&self) -> impl Iterator<Item = &Net> + Clone {
        std::iter::once(&self.train).chain(self.tests.iter().map(|test| &test.net))
    }

    fn nets_mut(&mut self) -> impl Iterator<Item = &mut Net> {
        std::iter::once(&mut self.train).chain(self.tests.iter_mut().map(|test| &mut test.net))
    }

    /// All parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// How many values the rule keeps beside the parameters.
    pub fn history_len(&self) -> usize {
        self.history.iter().map(|h| h.len()).sum()
    }

    /// Follows a test output from now on, named as [`Goal::parse`] reads it.
    ///
    /// # Errors
    /// When no test net has such an output, or when it cannot be followed.
    pub fn follow_goal(&mut self, text: &str, patience: Option<i32>) -> Result<(), SolverError> {
        let outputs: Vec<_> = self.tests.iter().flat_map(|test| test.net.outputs()).collect();
        self.goal = Some(Goal::parse(text, patience, &outputs)?);
        Ok(())
    }

    /// The test output that is followed, if one is.
    pub fn goal(&self) -> Option<&Goal> {
        self.goal.as_ref()
    }

    /// Has all nets leave out samples that cannot be used, and not fail.
    pub fn skip_bad_samples(&mut self) {
        self.skips_bad_samples = true;
        self.nets_mut().for_each(Net::skip_bad_samples);
    }

    /// What to do when the loss is no longer a number.
    pub fn on_nan(&mut self, on_nan: OnNan) {
        self.on_nan = on_nan;
    }

    /// Trains to `max_iter` or until the observer asks to stop; tests and saves on the way as the settings say.
    ///
    /// # Errors
    /// For values that a layer cannot take, a loss that is no number, and a last snapshot that cannot be written.
    pub fn solve(&mut self, observer: &mut dyn Observer) -> Result<Ending, SolverError> {
        match self.run(observer) {
            Err(SolverError::Comm(error)) => self.rescue(&error, observer),
            Ok(ending) => {
                self.team.take().into_iter().for_each(Team::leave);
                Ok(ending)
            }
            failed => failed,
        }
    }

    fn run(&mut self, observer: &mut dyn Observer) -> Result<Ending, SolverError> {
        observer.see(self, &Event::Start);
        let mut ending = Ending::Done;
        while self.iter < self.config.max_iter() {
            if self.test_is_due(self.config.test_initialization() || self.iter > 0)
                && let Action::Stop(why) = self.test_all(observer)?
            {
                ending = Ending::Stopped(why);
                break;
            }
            let action = match self.step_and_save(observer) {
                Err(error @ SolverError::Diverged { .. }) => {
                    self.roll_back(error, observer)?;
                    continue;
                }
                other => other?,
            };
            if let Action::Stop(why) = action {
                ending = Ending::Stopped(why);
                break;
            }
        }
        if (ending.must_save() || self.config.snapshot_after_train()) && !self.is_saved() {
            self.snapshot(observer)?;
        }
        if ending == Ending::Done {
            ending = self.show_end(observer)?;
        }
        if ending.must_save() && !self.is_saved() {
            self.snapshot(observer)?;
        }
        self.nets_mut().try_for_each(Net::finish).map_err(train_error)?;
        observer.see(self, &Event::End(ending));
        Ok(ending)
    }

    /// One iteration, and a snapshot if one is due or asked for. Training can go on without it: a full disk may have
    /// room again later.
    fn step_and_save(&mut self, observer: &mut dyn Observer) -> Result<Action, SolverError> {
        self.step(observer)?;
        let action = observer.poll(self);
        let action = self.agree(action)?;
        let due = self.config.snapshot() > 0 && self.iter % self.config.snapshot() == 0;
        let wanted = std::mem::take(&mut self.saved.wanted) || action == Action::Snapshot;
        if due || wanted {
            match self.snapshot(observer) {
                Err(SolverError::Snapshot(error)) => {
                    self.discard_half();
                    observer.see(self, &Event::SnapshotFailed { error: &error })
                }
                other => other?,
            }
        }
        Ok(action)
    }

    fn test_is_due(&self, allowed: bool) -> bool {
        allowed && self.config.test_interval() > 0 && self.iter % self.config.test_interval() == 0
    }

    /// One iteration: gradients of `iter_size` batches, then an update.
    fn step(&mut self, observer: &mut dyn Observer) -> Result<(), SolverError> {
        let _span = tracing::trace_span!("iteration", iter = self.iter).entered();
        let size = self.config.iter_size().max(1);
        let mut loss = 0.0;
        let steps = self.progress.current_step;
        self.mark.follow(&self.train);
        if self.config.snapshot_diff() {
            self.params.zero_diffs();
        }
        if let Some(team) = &mut self.team {
            team.remember(&self.params);
        }
        let early = self.learns_early() && !observer.wants_gradients(self.iter);
        let mut known = None;
        for pass in 1..=size {
            loss += self.forward(observer)?;
            if early {
                known = Some(self.rate(loss));
            }
            let rate = known.map(|(_, rate)| rate).filter(|_| loss.is_finite());
            self.backward(pass == size, rate, observer);
        }
        loss /= size as f32;
        let hidden = self.gather_hidden()?;
        if let Some(team) = &mut self.team {
            loss = team.finish(&mut self.train, &mut self.params, loss)?;
        }
        self.hidden.ranks = hidden;
        let (smoothed, rate) = known.unwrap_or_else(|| self.rate(loss));
        self.last_rate = rate;
        if !loss.is_finite() && self.on_nan != OnNan::Continue {
            return Err(self.diverged(Some(loss), rate));
        }
        let stepped = Some(self.progress.current_step).filter(|&now| now > steps);
        let (iter, shown) = (self.iter, self.is_shown());
        observer.see(self, &Event::Train { iter, loss, smoothed, rate, stepped, shown });
        self.update(rate);
        if self.shows_sizes() {
            observer.see(self, &Event::Debug(Stage::Update));
            if !self.config.snapshot_diff() {
                self.params.zero_diffs();
            }
        }
        self.iter += 1;
        if self.team.is_some() {
            self.mark.follow(&self.train);
        }
        Ok(())
    }

    /// The smoothed loss and the learning rate of this iteration.
    fn rate(&mut self, loss: f32) -> (f32, f32) {
        let smoothed = self.smooth(loss);
        (self.progress.iter, self.progress.loss) = (self.iter, smoothed);
        let rate = self.policy.rate(&self.config, &mut self.progress);
        (smoothed, (f64::from(rate) * self.rate_factor) as f32)
    }

    /// All layers forward; with a word after each, if `debug_info` asks for it. Gives the loss.
    fn forward(&mut self, observer: &mut dyn Observer) -> Result<f32, SolverError> {
        let _span = tracing::trace_span!("forward").entered();
        let (mut loss, layers) = (0.0, self.train.layers().len());
        for i in 0..layers {
            loss += self.train.forward_layer(i, &mut self.params).map_err(train_error)?;
            if self.shows_sizes() {
                observer.see(self, &Event::Debug(Stage::Forward(i)));
            }
        }
        self.train.end_pass();
        Ok(loss as f32)
    }

    /// All layers backward; with the `rate` of the update, if it is known, parameters that can are updated on the way.
    ///
    /// The `last` pass of a step completes the gradients, which go to the other ranks, if there are any.
    fn backward(&mut self, last: bool, rate: Option<f32>, observer: &mut dyn Observer) {
        let _span = tracing::trace_span!("backward").entered();
        let layers = self.train.layers().len();
        for i in (0..layers).rev() {
            self.train.prepare_diffs(i, &[]);
            self.backward_layer(i, rate);
            if let Some(team) = self.team.as_mut().filter(|_| last) {
                team.layer_done(i, &self.params);
            }
            if self.shows_sizes() {
                observer.see(self, &Event::Debug(Stage::Backward(i)));
            }
        }
        if self.shows_sizes() {
            observer.see(self, &Event::Debug(Stage::Gradients));
        }
    }

    /// Whether an update leaves the steps in the parameters' diffs, for whoever saves or shows them.
    fn keeps_steps(&self) -> bool {
        self.shows_sizes() || self.config.snapshot_diff()
    }

    /// Whether `debug_info` shows blobs and gradients in this iteration: as Caffe, where `display` shows the loss.
    fn shows_sizes(&self) -> bool {
        self.config.debug_info() && self.is_shown()
    }

    fn is_shown(&self) -> bool {
        self.config.display() > 0 && self.iter % self.config.display() == 0
    }

    /// The mean of the last `average_loss` losses.
    fn smooth(&mut self, loss: f32) -> f32 {
        let window = self.config.average_loss().max(1) as usize;
        self.losses.push_back(loss);
        while self.losses.len() > window {
            self.losses.pop_front();
        }
        (self.losses.iter().map(|&l| f64::from(l)).sum::<f64>() / self.losses.len() as f64) as f32
    }

    /// After the last update, as Caffe: the loss once more, and a last test. When the test is stopped, all goes back
    /// to where it was, so that a resumed run makes it whole.
    fn show_end(&mut self, observer: &mut dyn Observer) -> Result<Ending, SolverError> {
        let (mark, losses) = (divergence::Mark::of(&self.train), self.losses.clone());
        if self.is_shown() {
            let mut loss = self.train.forward(&mut self.params).map_err(train_error)?;
            if let Some(team) = &mut self.team {
                loss = team.mean(loss)?;
            }
            let smoothed = self.smooth(loss);
            observer.see(self, &Event::Last { iter: self.iter, loss: smoothed });
        }
        if self.test_is_due(true)
            && let Action::Stop(why) = self.test_all(observer)?
            && Ending::Stopped(why).must_save()
        {
            mark.restore(&mut self.train);
            self.losses = losses;
            return Ok(Ending::Stopped(why));
        }
        Ok(Ending::Done)
    }
}

/// An error of the train net in a pass.
fn train_error(error: crate::net::NetError) -> SolverError {
    SolverError::Net { path: None, error }
}
