//! A solver among others: joining them, agreeing with them, and going on without them.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use prost::Message as _;

use super::{Action, Ending, Event, Goal, Observer, Solver, SolverError, Team, Why, epoch, train_error};
use crate::{comm::CommError, net::Net, snapshot};

/// How long rank 1 waits for rank 0 to write the snapshot of a run that has come apart.
const TAKE_OVER: Duration = Duration::from_secs(10);

/// How long the others wait for one of these two to begin: the launcher ends all ranks when the first leaves.
const BEGINNING: Duration = Duration::from_secs(30);

/// How long they let it write: a file system that takes longer is as good as gone.
const WRITING: Duration = Duration::from_secs(600);

impl Solver {
    /// Trains with other ranks from now on; every rank stands at the same iteration. Rank 0's weights become everybody's.
    /// With `one_batch`, layers that look at a batch as a whole (`BatchNorm`) look at those of all ranks. Gives the reason if a
    /// run goes on without what rounding had kept back of its gradients.
    ///
    /// # Errors
    /// When the ranks do not train the same, or the exchange fails.
    pub fn join(&mut self, mut team: Team, one_batch: bool) -> Result<Option<String>, SolverError> {
        let shard = team.shard();
        epoch::resolve(&mut self.config, &self.train, shard.count)?;
        for net in self.nets_mut() {
            net.take_part(shard).map_err(train_error)?;
        }
        let mut facts = self.facts(one_batch);
        facts.extend(team.facts());
        team.compare(&facts)?;
        if one_batch {
            self.train.join(&team.peers());
        }
        team.share(&mut self.params)?;
        team.plan(&self.train, &self.params);
        let without = match &self.saved.state {
            Some(state) => team.take_up_carries(state, self.saved.residuals)?,
            None => None,
        };
        self.team = Some(team);
        self.hidden.shard = shard;
        self.hidden.ranks = self.gather_hidden()?;
        Ok(without)
    }

    /// Whether this process writes the run's files: it is the only one, or rank 0.
    pub fn leads(&self) -> bool {
        self.team.as_ref().is_none_or(Team::leads)
    }

    /// What must be the same on every rank. `one_batch` as for [`Solver::join`].
    fn facts(&self, one_batch: bool) -> Vec<String> {
        let hash = |bytes: Vec<u8>| format!("{:08x}", crc32fast::hash(&bytes));
        let mut facts = vec![
            format!("cnnctl {}", env!("CARGO_PKG_VERSION")),
            format!("a solver file of hash {}", hash(self.config.encode_to_vec())),
            format!("a net of hash {}", hash(self.source.encode_to_vec())),
            format!("iteration {}", self.iter),
            format!("seed {}", self.seed),
            format!("{} hidden values", self.count_hidden()),
            String::from(if one_batch { "--sync-batch-norm" } else { "no --sync-batch-norm" }),
            format!("--on-nan {:?}", self.on_nan).to_lowercase(),
            String::from(if self.skips_bad_samples {
                "--on-bad-sample skip"
            } else {
                "--on-bad-sample fail"
            }),
        ];
        for (i, test) in self.tests.iter().enumerate() {
            facts.push(format!("a test net {i} of hash {:08x}", test.hash));
        }
        if let Some(head) = self.saved.head {
            facts.push(format!("a solver state of hash {head:08x} to resume from"));
        }
        facts.push(match &self.goal {
            Some(Goal { patience: Some(tests), .. }) => format!("--keep-best and --patience {tests}"),
            Some(_) => "--keep-best without --patience".into(),
            None => "no --keep-best".into(),
        });
        for layer in self.nets().flat_map(Net::layers) {
            if let Some(samples) = layer.layer.samples() {
                let batch = layer.outline.tops.first().and_then(|top| top.first()).copied().unwrap_or(0);
                let name = layer.config.name();
                facts.push(format!("{samples} samples in layer `{name}`, {batch} a batch"));
            }
        }
        facts
    }

    /// What all ranks do next.
    pub(super) fn agree(&mut self, action: Action) -> Result<Action, CommError> {
        match &mut self.team {
            Some(team) => team.agree(action),
            None => Ok(action),
        }
    }

    /// Saves the last finished iteration when the other ranks no longer answer. All ranks hold the same; rank 0 writes it, or
    /// rank 1, should that be gone.
    pub(super) fn rescue(
        &mut self,
        error: &CommError,
        observer: &mut dyn Observer,
    ) -> Result<Ending, SolverError> {
        let Some(team) = self.team.take() else { return Ok(Ending::Stopped(Why::Lost)) };
        team.give_up(&mut self.params);
        self.mark.restore(&mut self.train);
        observer.see(self, &Event::Lost { error });
        let state = self.snapshot_path("solverstate");
        let writing = || snapshot::is_being_written(self.config.snapshot_prefix(), self.iter);
        match team.rank() {
            _ if self.is_saved() => {}
            0 => self.snapshot(observer)?,
            1 if appears(&state, TAKE_OVER, || false) => {}
            1 => self.snapshot(observer)?,
            _ => drop(appears(&state, BEGINNING, writing)),
        }
        let ending = Ending::Stopped(Why::Lost);
        observer.see(self, &Event::End(ending));
        Ok(ending)
    }
}

/// Whether a file is there within a time, which begins when nobody is `writing` it.
fn appears(path: &Path, within: Duration, writing: impl Fn() -> bool) -> bool {
    let first = Instant::now();
    let mut start = first;
    while start.elapsed() < within {
        if path.exists() {
            return true;
        }
        if writing() && first.elapsed() < WRITING {
            start = Instant::now();
        }
        thread::sleep(Duration::from_millis(100));
    }
    false
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, fs};

    use super::*;

    #[test]
    fn a_snapshot_that_is_being_written_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a_iter_3.solverstate");
        let within = Duration::from_millis(1);
        assert!(!appears(&path, within, || false));
        // It takes far longer than `within`, but it comes.
        let asked = Cell::new(0);
        let writing = || {
            asked.set(asked.get() + 1);
            if asked.get() == 3 {
                fs::write(&path, "").unwrap();
            }
            true
        };
        assert!(appears(&path, Duration::from_millis(150), writing));
    }
}
