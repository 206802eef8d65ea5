//! The training loop, update rules, learning-rate policies and interrupts.
//!
//! The solver owns the train net, the test nets and the parameters that they share. It prints nothing: it tells an
//! [`Observer`] what happens, and asks it between iterations whether to go on.

mod error;
mod event;
pub mod lr_policy;
mod nets;
pub mod rules;
mod save;
mod testing;
mod update;

pub use error::SolverError;
pub use event::{Action, Event, Mean, Observer};
pub use nets::{NetSources, net_sources};
pub use save::seed_of;
pub use testing::Means;

use std::{collections::VecDeque, path::PathBuf};

use crate::{
    config::{
        NetFile,
        proto::{NetParameter, Phase, SolverParameter},
    },
    net::{Net, Options, Params},
    tensor::Buffer,
};
use lr_policy::Policy;
use rules::Rule;

/// A training run.
pub struct Solver {
    config: SolverParameter,
    source: NetParameter,
    train: Net,
    tests: Vec<Net>,
    params: Params,
    policy: &'static Policy,
    rule: &'static Rule,
    /// The rule's arrays: the first of every parameter, then the second.
    history: Vec<Buffer>,
    seed: u64,
    iter: i32,
    current_step: i32,
    losses: VecDeque<f32>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// At `max_iter`.
    Done,
    /// The observer asked to stop.
    Stopped,
}

impl Solver {
    /// Builds the nets of a solver file; `config` has its paths resolved, `sources` are the nets that it names.
    ///
    /// # Errors
    /// For settings that do not fit, and nets that cannot be built.
    pub fn new(config: SolverParameter, sources: &NetSources, seed: u64) -> Result<Self, SolverError> {
        let policy = lr_policy::policy(&config)?;
        let rule = rules::rule(&config)?;
        check_settings(&config)?;
        let mut params = Params::new();
        let net_error = |file: &NetFile| {
            let path = file.path().map(PathBuf::from);
            move |error| SolverError::Net { path, error }
        };
        let mut options = Options::new(Phase::Train, seed);
        options.state = nets::state_of(Phase::Train, &sources.train.net, config.train_state.as_ref());
        let train = Net::new(&sources.train.net, options, &mut params).map_err(net_error(&sources.train))?;
        let learned = params.len();
        let mut tests = Vec::with_capacity(sources.tests.len());
        for (i, test) in sources.tests.iter().enumerate() {
            let mut options = Options::new(Phase::Test, seed);
            options.state = nets::state_of(Phase::Test, &test.net, config.test_state.get(i));
            tests.push(Net::new(&test.net, options, &mut params).map_err(net_error(test))?);
        }
        let arrays = params.iter().take(learned).map(|p| p.data.len());
        let history =
            arrays.clone().cycle().take(rule.histories * arrays.len()).map(Buffer::zeroed).collect();
        Ok(Self {
            source: sources.train.net.clone(),
            config,
            train,
            tests,
            params,
            policy,
            rule,
            history,
            seed,
            iter: 0,
            current_step: 0,
            losses: VecDeque::new(),
        })
    }

    /// The settings.
    pub fn config(&self) -> &SolverParameter {
        &self.config
    }

    /// Iterations done.
    pub fn iter(&self) -> i32 {
        self.iter
    }

    /// The train net.
    pub fn train_net(&self) -> &Net {
        &self.train
    }

    /// The test nets.
    pub fn test_nets(&self) -> &[Net] {
        &self.tests
    }

    /// All parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The train net and the parameters, to put weights in.
    pub fn weights_mut(&mut self) -> (&Net, &mut Params) {
        (&self.train, &mut self.params)
    }

    /// Trains to `max_iter` or until the observer asks to stop; tests and saves on the way as the settings say.
    ///
    /// # Errors
    /// For values that a layer cannot take, and snapshots that cannot be written.
    pub fn solve(&mut self, observer: &mut dyn Observer) -> Result<Ending, SolverError> {
        observer.see(self, &Event::Start);
        let mut saved = None;
        let mut ending = Ending::Done;
        while self.iter < self.config.max_iter() {
            if self.test_is_due(self.config.test_initialization() || self.iter > 0)
                && self.test_all(observer)? == Action::Stop
            {
                ending = Ending::Stopped;
                break;
            }
            self.step(observer)?;
            let action = observer.poll(self);
            let due = self.config.snapshot() > 0 && self.iter % self.config.snapshot() == 0;
            if due || action == Action::Snapshot {
                self.snapshot(observer)?;
                saved = Some(self.iter);
            }
            if action == Action::Stop {
                ending = Ending::Stopped;
                break;
            }
        }
        if self.config.snapshot_after_train() && saved != Some(self.iter) {
            self.snapshot(observer)?;
        }
        if ending == Ending::Done {
            self.show_end(observer)?;
        }
        observer.see(self, &Event::End(ending));
        Ok(ending)
    }

    fn test_is_due(&self, allowed: bool) -> bool {
        allowed && self.config.test_interval() > 0 && self.iter % self.config.test_interval() == 0
    }

    /// One iteration: gradients of `iter_size` batches, then an update.
    fn step(&mut self, observer: &mut dyn Observer) -> Result<(), SolverError> {
        let size = self.config.iter_size().max(1);
        let mut loss = 0.0;
        for _ in 0..size {
            loss += self.train.forward(&mut self.params).map_err(train_error)?;
            self.train.backward(&mut self.params);
        }
        loss /= size as f32;
        let smoothed = self.smooth(loss);
        let rate = self.policy.rate(&self.config, self.iter, &mut self.current_step);
        observer.see(self, &Event::Train { iter: self.iter, loss, smoothed, rate, shown: self.is_shown() });
        self.update(rate);
        self.iter += 1;
        Ok(())
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

    /// After the last update, as Caffe: the loss once more, and a last test.
    fn show_end(&mut self, observer: &mut dyn Observer) -> Result<(), SolverError> {
        if self.is_shown() {
            let loss = self.train.forward(&mut self.params).map_err(train_error)?;
            let smoothed = self.smooth(loss);
            observer.see(self, &Event::Last { iter: self.iter, loss: smoothed });
        }
        if self.test_is_due(true) {
            self.test_all(observer)?;
        }
        Ok(())
    }
}

/// An error of the train net in a pass.
fn train_error(error: crate::net::NetError) -> SolverError {
    SolverError::Net { path: None, error }
}

fn check_settings(config: &SolverParameter) -> Result<(), SolverError> {
    let at_least = |field: &str, found: i32, least: i32| {
        let message = || format!("{field} must be at least {least}, found {found}");
        if found < least { Err(SolverError::setting(field, message())) } else { Ok(()) }
    };
    at_least("iter_size", config.iter_size(), 1)?;
    at_least("average_loss", config.average_loss(), 1)?;
    at_least("max_iter", config.max_iter(), 0)?;
    at_least("snapshot", config.snapshot(), 0)?;
    at_least("test_interval", config.test_interval(), 0)?;
    match config.regularization_type() {
        "L1" | "L2" => Ok(()),
        other => {
            let message = format!("unknown regularization_type `{other}`; there are: L1, L2");
            Err(SolverError::setting("regularization_type", message))
        }
    }
}
