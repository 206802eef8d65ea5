//! `cnnctl train`.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use clap::{Args, ValueEnum};

use super::{
    Done, Failure, batch,
    caffe_flags::Gpu,
    entries::OnBadSample,
    failure::{CONFIG, FAILED, STOPPED},
    lock::Lock,
    ranks::{self, ExchangeArgs},
    records::RecordArgs,
    watch::{Watch, first_snapshot},
    weights,
};
use crate::{
    comm::{Comm, launch::Launch},
    config::{
        self, NetFile, SolverFile,
        proto::{SolverParameter, solver_parameter::SolverMode},
    },
    net::Net,
    report::{self, Journal, Reporter},
    snapshot::{self, Copied, Weights},
    solver::{self, Budget, Effect, Ending, NetSources, OnNan, Pace, Signals, Solver, SolverError, Why},
};

/// Train a net as a solver file says
#[derive(Args, Debug)]
pub struct TrainArgs {
    /// The solver file
    #[arg(long, value_name = "FILE")]
    solver: PathBuf,
    /// Go on from this solver state; with --resume auto, only if the prefix has no snapshot yet
    #[arg(long, value_name = "FILE", conflicts_with = "weights")]
    snapshot: Option<PathBuf>,
    /// Go on from the newest whole snapshot at the solver's prefix, if there is one [default: auto when Slurm has
    /// restarted the job, else never]
    #[arg(long, value_enum, value_name = "WHEN")]
    resume: Option<Resume>,
    /// Start from these weights; several files are laid over each other
    #[arg(long, value_delimiter = ',', value_parser = weights::parser(), value_name = "FILE,...")]
    weights: Vec<PathBuf>,
    /// Refuse weights that leave a layer without, and files with layers that the net does not have
    #[arg(long)]
    strict_weights: bool,
    /// The level that include and exclude rules of the train net see, in place of the one in train_state
    #[arg(long, allow_negative_numbers = true, value_name = "N")]
    level: Option<i32>,
    /// The stages that they see beside those in train_state
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    stage: Vec<String>,
    /// Train for so many passes over the train net's data set, whatever max_iter says
    #[arg(long, value_name = "N")]
    epochs: Option<f64>,
    #[command(flatten)]
    records: RecordArgs,
    #[command(flatten)]
    gpu: Gpu,
    /// Stop in time to write a snapshot before this much time has gone by: 3h55m, 90s, 03:55:00; exits with 75
    /// [default: until SLURM_JOB_END_TIME, if that is set]
    #[arg(long, value_name = "TIME", value_parser = solver::parse_duration)]
    time_budget: Option<Duration>,
    /// How long the batch system waits between its signal and the kill; a warning tells when an iteration and a snapshot
    /// may not fit into that [default: under Slurm 30s, its KillWait]
    #[arg(long, value_name = "TIME", value_parser = solver::parse_duration)]
    grace: Option<Duration>,
    /// Keep only the newest N snapshots
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    /// Save the weights of the best test to PREFIX_best.caffemodel; NAME is an output of the first test net that has it,
    /// with :min or :max if it is neither a loss nor an accuracy
    #[arg(long, value_name = "NAME")]
    keep_best: Option<String>,
    /// Stop after N tests in a row that were not better, by the output of --keep-best
    #[arg(long, value_name = "N", requires = "keep_best", value_parser = clap::value_parser!(i32).range(1..))]
    patience: Option<i32>,
    /// What to do when the loss is NaN or infinite
    #[arg(long, value_enum, default_value = "stop", value_name = "WHAT")]
    on_nan: OnNanArg,
    /// Divide the batches of the train net among the ranks; otherwise each takes whole batches, and N ranks make steps
    /// of N batches
    #[arg(long)]
    global_batch: bool,
    /// Let BatchNorm normalize with the statistics of the batches of all ranks
    #[arg(long)]
    sync_batch_norm: bool,
    /// Give up on ranks that do not answer for this long: save the last finished iteration and exit with 75
    #[arg(long, default_value = "5m", value_name = "TIME", value_parser = solver::parse_duration)]
    stall_timeout: Duration,
    #[command(flatten)]
    exchange: ExchangeArgs,
    /// What to do with samples that cannot be used: unreadable, of another shape, or with a label that the net does not
    /// know
    #[arg(long, alias = "on_bad_sample", value_enum, default_value = "fail", value_name = "WHAT")]
    on_bad_sample: OnBadSample,
    /// What SIGINT does; a second one ends the run at once
    #[arg(long, alias = "sigint_effect", value_enum, default_value = "stop", value_name = "WHAT")]
    sigint_effect: EffectArg,
    /// What SIGHUP does
    #[arg(long, alias = "sighup_effect", value_enum, default_value = "snapshot", value_name = "WHAT")]
    sighup_effect: EffectArg,
}

/// When to go on from a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Resume {
    /// If there is one.
    Auto,
    /// Not at all.
    Never,
}

/// What a signal does.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum EffectArg {
    /// Write a snapshot and stop, with status 75.
    Stop,
    /// Write a snapshot and go on.
    Snapshot,
    /// Nothing.
    None,
}

impl From<EffectArg> for Effect {
    fn from(effect: EffectArg) -> Self {
        match effect {
            EffectArg::Stop => Effect::Stop,
            EffectArg::Snapshot => Effect::Snapshot,
            EffectArg::None => Effect::Nothing,
        }
    }
}

/// What to do when training diverges.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnNanArg {
    /// Stop with status 4; the last snapshot, which is finite, stays.
    Stop,
    /// Go back to the last snapshot and on with half the learning rate, five times at most.
    Rollback,
    /// Go on, as Caffe does.
    Continue,
}

impl From<OnNanArg> for OnNan {
    fn from(arg: OnNanArg) -> Self {
        match arg {
            OnNanArg::Stop => OnNan::Stop,
            OnNanArg::Rollback => OnNan::Rollback,
            OnNanArg::Continue => OnNan::Continue,
        }
    }
}

impl TrainArgs {
    pub(super) fn run(self, launch: Option<&Launch>) -> Done {
        // Ranks may have to wait for each other before they begin.
        let signals = Signals::heed(self.sigint_effect.into(), self.sighup_effect.into());
        let signals = signals.map_err(|e| Failure::new(FAILED, format!("cannot heed signals: {e}")))?;
        ranks::together(launch, self.stall_timeout, |comm| self.train(comm, signals))
    }

    /// Trains, as one of several ranks if there is a `comm`.
    fn train(&self, mut comm: Option<Comm>, signals: Signals) -> Done {
        let begin = Instant::now();
        let leads = comm.as_ref().is_none_or(|c| c.rank() == 0);
        let file = config::load_solver(&self.solver)?;
        report::warn_all(&file.warnings);
        self.gpu.note();
        let settings = self.settings(&file);
        let mut sources = solver::net_sources(&file).map_err(|e| Failure::solver(&e, &file, &[]))?;
        report::warn_all(&sources.train.warnings);
        if let Some(comm) = comm.as_ref().filter(|_| self.global_batch) {
            sources
                .divide_batches(comm.size())
                .map_err(|e| Failure::new(CONFIG, format!("--global-batch: {e}")))?;
        }
        let nets = std::iter::once(&sources.train).chain(&sources.tests).filter_map(NetFile::path);
        let given = std::iter::once(&self.solver).chain(&self.weights).chain(&self.snapshot);
        self.records.spare(given.map(PathBuf::as_path).chain(nets.map(Path::new)))?;
        let context = Context { solver: &file, sources: &sources };
        let _lock = if leads { Some(Lock::take(settings.snapshot_prefix())?) } else { None };
        let state = if leads { self.state(&settings) } else { None };
        let state =
            ranks::of_rank_0(&mut comm, state.map(|path| path.display().to_string()))?.map(PathBuf::from);
        let seed = ranks::of_rank_0(&mut comm, Some(seed(state.as_deref(), &file)?))?.unwrap_or_default();
        let mut solver = self.solver(settings, seed, leads, &context)?;
        if let Some(comm) = &comm {
            solver.take_place(comm.rank(), comm.size());
        }
        self.start(&mut solver, state.as_deref(), &context)?;
        if let Some(comm) = comm {
            let joined = solver.join(self.exchange.team(comm), self.sync_batch_norm);
            if let Some(reason) = joined.map_err(|e| context.fail(&e))? {
                report::warn(&format!(
                    "gradients start without what rounding had kept back, so this run will not equal an unbroken one byte \
                     for byte: {reason}"
                ));
            }
        }
        if leads {
            report::epochs(solver.config());
            self.records.make_room()?;
        }
        let mut watch = self.watch(&solver, seed, signals, begin)?;
        let ended = solver.solve(&mut watch).map_err(|e| context.fail(&e));
        if let (Err(failure), Some(journal)) = (&ended, &watch.journal) {
            journal.fail(&failure.message);
        }
        if leads {
            self.records.write_report();
        }
        match ended? {
            Ending::Done | Ending::Stopped(Why::Patience) => Ok(0),
            Ending::Stopped(Why::Signal(_) | Why::TimeBudget | Why::Lost) => Ok(STOPPED),
        }
    }

    /// The solver, with what the command line asks of it; warns of a net that learns nothing.
    fn solver(
        &self,
        settings: SolverParameter,
        seed: u64,
        leads: bool,
        context: &Context<'_>,
    ) -> Result<Solver, Failure> {
        let mut solver = Solver::new(settings, context.sources, seed).map_err(|e| match &e {
            SolverError::Setting { field, message } if self.epochs.is_some() && field == "max_epoch" => {
                Failure::new(CONFIG, message.replace(field, "--epochs"))
            }
            _ => context.fail(&e),
        })?;
        if leads {
            warn_of_idleness(solver.train_net());
        }
        solver.on_nan(self.on_nan.into());
        if self.on_bad_sample == OnBadSample::Skip {
            solver.skip_bad_samples();
        }
        if let Some(name) = &self.keep_best {
            let followed = solver.follow_goal(name, self.patience);
            followed.map_err(|e| Failure::new(CONFIG, format!("--keep-best: {e}")))?;
        }
        Ok(solver)
    }

    /// What follows a run that starts where the solver stands; the process has been there since `begin`.
    fn watch(&self, solver: &Solver, seed: u64, signals: Signals, begin: Instant) -> Result<Watch, Failure> {
        let leads = solver.leads();
        let reporter = leads.then(|| Reporter::new(&self.records.records(), solver)).transpose();
        let reporter = reporter.map_err(|e| Failure::new(FAILED, e))?;
        let lines = self.records.lines().filter(|_| leads);
        let journal = lines.and_then(|lines| Journal::open(&lines, &self.solver, seed, solver.iter()));
        Ok(Watch {
            reporter,
            journal,
            signals,
            pace: Pace::new(first_snapshot(solver)),
            budget: self.time_budget.or_else(batch::time_left).map(|limit| Budget::new(begin, limit)),
            keep: self.keep.map(|n| n as usize),
            grace: self.grace.or_else(batch::grace),
        })
    }

    /// The settings of the file and of the command line, with the snapshot prefix that Caffe would choose.
    fn settings(&self, file: &SolverFile) -> SolverParameter {
        let mut settings = file.solver.clone();
        settings.snapshot_prefix = Some(file.snapshot_prefix().display().to_string());
        if settings.solver_mode == Some(SolverMode::Gpu as i32) {
            report::info("solver_mode: GPU is taken as CPU: cnnctl computes on CPUs only");
        }
        if self.epochs.is_some() {
            (settings.max_iter, settings.max_epoch) = (None, self.epochs);
        }
        if self.level.is_some() || !self.stage.is_empty() {
            let state = settings.train_state.get_or_insert_default();
            state.level = self.level.or(state.level);
            state.stage.extend(self.stage.iter().cloned());
        }
        settings
    }

    /// The solver state to go on from, if any. The prefix is locked.
    fn state(&self, settings: &SolverParameter) -> Option<PathBuf> {
        let prefix = settings.snapshot_prefix();
        snapshot::sweep(prefix);
        let resume = self.resume.unwrap_or(if batch::is_restart() { Resume::Auto } else { Resume::Never });
        if let Some(path) = &self.snapshot
            && self.resume != Some(Resume::Auto)
        {
            if resume == Resume::Auto {
                report::warn(
                    "--snapshot starts a restarted job over again; add --resume auto to go on instead",
                );
            }
            return Some(path.clone());
        }
        if resume == Resume::Never {
            if let Some((iter, _)) = snapshot::states(prefix).first() {
                report::warn(&format!(
                    "{prefix}_iter_{iter} is of an earlier run: --resume auto would go on from there until this run is \
                     past it"
                ));
            }
            return None;
        }
        let (state, broken) = snapshot::newest_whole(prefix);
        broken.iter().for_each(|error| report::warn(&format!("passed over: {error}")));
        if state.is_none() && self.snapshot.is_none() {
            report::info(&format!("No snapshot at {prefix} to resume from: starting"));
        }
        state.or_else(|| self.snapshot.clone())
    }

    /// Puts the weights or the snapshot in that the run starts from.
    fn start(&self, solver: &mut Solver, state: Option<&Path>, context: &Context<'_>) -> Result<(), Failure> {
        if let Some(path) = state {
            report::info(&format!("Resuming from {}", path.display()));
            let resumed = solver.restore(path).map_err(|e| context.fail(&e))?;
            report::resumed(path, &resumed);
            if !solver.has_test_parameters() {
                return Ok(());
            }
        }
        let listed = context.solver.weights().map(|(_, path)| path);
        let files = if self.weights.is_empty() { listed.collect() } else { self.weights.clone() };
        let mut all: Option<Copied> = None;
        for path in files {
            let whose = if state.is_some() { "Weights of test nets" } else { "Finetuning" };
            report::info(&format!("{whose} from {}", path.display()));
            let weights = Weights::load(&path)?;
            let copied = solver.copy_weights(weights, state.is_some());
            let copied = copied.map_err(|(test, error)| {
                let path = test.and_then(|i| context.sources.tests[i].path()).map(PathBuf::from);
                context.fail(&SolverError::Net { path, error })
            })?;
            if state.is_none() {
                report::copied(&copied);
            }
            all = Some(match all {
                None => copied,
                Some(before) => before.then(copied),
            });
        }
        match all.filter(|_| self.strict_weights).and_then(|copied| copied.mismatch()) {
            Some(message) => Err(Failure::new(CONFIG, format!("--strict-weights: {message}"))),
            None => Ok(()),
        }
    }
}

/// Says that a net learns nothing, and that it is one to deploy, which nobody feeds here: all that it reads are Inputs.
fn warn_of_idleness(net: &Net) {
    if !net.layers().any(|layer| layer.need.backward) {
        report::warn("no loss depends on a parameter of the train net that may change: nothing is learned");
    }
    let mut sources =
        net.layers().filter(|layer| layer.bottoms.is_empty() && !layer.tops.is_empty()).peekable();
    if sources.peek().is_some() && sources.all(|layer| layer.kind.name == "Input") {
        report::warn("all data layers are Inputs, which read no data: the net trains on zeros");
    }
}

/// The seed: the snapshot's, the solver's, or a new one.
fn seed(state: Option<&Path>, file: &SolverFile) -> Result<u64, Failure> {
    if let Some(path) = state
        && let Some(seed) = solver::seed_of(path)?
    {
        return Ok(seed);
    }
    Ok(u64::try_from(file.solver.random_seed()).unwrap_or_else(|_| new_seed()))
}

/// A seed for a run that asks for none, from the clock.
fn new_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = now.as_nanos() as u64 ^ u64::from(std::process::id()) << 40;
    report::info(&format!("random_seed is not set: this run takes {seed}"));
    seed
}

/// The files that errors point into.
struct Context<'a> {
    solver: &'a SolverFile,
    sources: &'a NetSources,
}

impl Context<'_> {
    fn fail(&self, error: &SolverError) -> Failure {
        let nets: Vec<&NetFile> = std::iter::once(&self.sources.train).chain(&self.sources.tests).collect();
        Failure::solver(error, self.solver, &nets)
    }
}
