//! A solver from its settings and its nets.

use std::{collections::VecDeque, path::PathBuf};

use prost::Message as _;

use super::{
    NetSources, OnNan, Solver, SolverError, WholeSet, divergence, epoch,
    hidden::Hidden,
    lr_policy::{self, Progress},
    nets, rules,
    save::Saved,
    settings,
    testing::Test,
};
use crate::{
    config::{
        NetFile,
        proto::{Phase, SolverParameter},
    },
    net::{Net, Options, Params},
    tensor::Buffer,
};

impl Solver {
    /// Builds the nets of a solver file; `config` has its paths resolved, `sources` are the nets that it names.
    ///
    /// # Errors
    /// For settings that do not fit, and nets that cannot be built.
    pub fn new(mut config: SolverParameter, sources: &NetSources, seed: u64) -> Result<Self, SolverError> {
        let mut faults = settings::faults(&config);
        faults.extend(lr_policy::faults(&config));
        faults.extend(rules::faults(&config));
        if let Some(fault) = faults.into_iter().next() {
            return Err(fault);
        }
        let (policy, rule) = (lr_policy::named(&config)?, rules::named(&config)?);
        let mut params = Params::new();
        let net_error = |file: &NetFile| {
            let path = file.path().map(PathBuf::from);
            move |error| SolverError::Net { path, error }
        };
        let mut options = Options::new(Phase::Train, seed);
        options.fuse = !config.debug_info() || config.display() <= 0;
        options.state = nets::state_of(Phase::Train, &sources.train.net, config.train_state.as_ref());
        let train = Net::new(sources.train_net(), options, &mut params).map_err(net_error(&sources.train))?;
        train.refuse_twins().map_err(net_error(&sources.train))?;
        epoch::resolve(&mut config, &train, 1)?;
        let learned = params.len();
        // As in Caffe rules reach all that may learn: what no loss reaches has a gradient of 0, and still decays.
        for param in params.iter_mut().filter(|p| p.lr_mult != 0.0 && p.diff.is_empty()) {
            param.diff = Buffer::zeroed(param.data.len());
        }
        config.test_iter.resize(sources.tests.len(), 0);
        let mut tests = Vec::new();
        for (i, test) in sources.tests.iter().enumerate() {
            let mut options = Options::new(Phase::Test, seed);
            options.fuse = !config.debug_info();
            options.state = nets::state_of(Phase::Test, &test.net, config.test_state.get(i));
            let mut net = Net::new(&test.net, options, &mut params).map_err(net_error(test))?;
            let whole = match config.test_iter[i] {
                0 => {
                    let whole = WholeSet::of(&mut net).map_err(net_error(test))?;
                    Some(whole.ok_or_else(|| epoch::no_set(i))?)
                }
                _ => None,
            };
            let hash = crc32fast::hash(&test.net.encode_to_vec());
            tests.push(Test { net, whole, hash });
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
            learned_early: Vec::new(),
            seed,
            iter: 0,
            progress: Progress::default(),
            losses: VecDeque::new(),
            goal: None,
            on_nan: OnNan::default(),
            skips_bad_samples: false,
            rate_factor: 1.0,
            rollbacks: 0,
            last_rate: 0.0,
            saved: Saved::default(),
            mark: divergence::Mark::default(),
            team: None,
            hidden: Hidden::default(),
        })
    }
}
