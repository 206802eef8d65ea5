//! `cnnctl train`.

use std::path::PathBuf;

use clap::Args;

use super::{Done, Failure};
use crate::{
    config::{
        self, NetFile, SolverFile,
        proto::{SolverParameter, solver_parameter::SolverMode},
    },
    report::{self, Reporter},
    snapshot::Weights,
    solver::{self, NetSources, Solver, SolverError},
};

/// Train a net as a solver file says
#[derive(Args, Debug)]
pub struct TrainArgs {
    /// The solver file
    #[arg(long, value_name = "FILE")]
    solver: PathBuf,
    /// Go on from this solver state
    #[arg(long, value_name = "FILE", conflicts_with = "weights")]
    snapshot: Option<PathBuf>,
    /// Start from these weights; several files are laid over each other
    #[arg(long, value_delimiter = ',', value_name = "FILE,...")]
    weights: Vec<PathBuf>,
    /// Write what happens as a JSON object a line
    #[arg(long, value_name = "FILE.jsonl")]
    metrics: Option<PathBuf>,
}

impl TrainArgs {
    pub(super) fn run(self) -> Done {
        let file = config::load_solver(&self.solver)?;
        report::warn_all(&file.warnings);
        let settings = settings(&file);
        let sources = solver::net_sources(&file).map_err(|e| Failure::solver(&e, &file, &[]))?;
        report::warn_all(&sources.train.warnings);
        let context = Context { solver: &file, sources: &sources };
        let mut solver = Solver::new(settings, &sources, self.seed(&file)?).map_err(|e| context.fail(&e))?;
        self.start(&mut solver, &context)?;
        let mut reporter = Reporter::new(self.metrics.as_deref(), solver.iter())
            .map_err(|e| Failure::new(super::failure::FAILED, e))?;
        solver.solve(&mut reporter).map_err(|e| context.fail(&e))?;
        Ok(0)
    }

    /// The seed: the snapshot's, the solver's, or a new one.
    fn seed(&self, file: &SolverFile) -> Result<u64, Failure> {
        if let Some(path) = &self.snapshot
            && let Some(seed) = solver::seed_of(path)?
        {
            return Ok(seed);
        }
        Ok(u64::try_from(file.solver.random_seed()).unwrap_or_else(|_| report::new_seed()))
    }

    /// Puts the weights or the snapshot in that the run starts from.
    fn start(&self, solver: &mut Solver, context: &Context<'_>) -> Result<(), Failure> {
        if let Some(path) = &self.snapshot {
            report::info(&format!("Resuming from {}", path.display()));
            let lost = solver.restore(path).map_err(|e| context.fail(&e))?;
            report::lost_at_resume(path, &lost);
            return Ok(());
        }
        let listed =
            solver.config().weights.iter().flat_map(|w| w.split(',')).map(|w| PathBuf::from(w.trim()));
        let files = if self.weights.is_empty() { listed.collect() } else { self.weights.clone() };
        for path in files {
            report::info(&format!("Finetuning from {}", path.display()));
            let weights = Weights::load(&path)?;
            let (net, params) = solver.weights_mut();
            let copied = weights.copy_into(net, params);
            let copied = copied.map_err(|error| context.fail(&SolverError::Net { path: None, error }))?;
            report::copied(&copied);
        }
        Ok(())
    }
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

/// The settings, with the snapshot prefix that Caffe would choose.
fn settings(file: &SolverFile) -> SolverParameter {
    let mut settings = file.solver.clone();
    settings.snapshot_prefix = Some(file.snapshot_prefix().display().to_string());
    if settings.solver_mode == Some(SolverMode::Gpu as i32) {
        report::info("solver_mode: GPU is taken as CPU: cnnctl computes on CPUs only");
    }
    settings
}
