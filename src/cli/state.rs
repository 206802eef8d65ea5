//! Options that choose which of a net's layers take part.

use clap::{Args, ValueEnum};

use crate::{
    config::proto::{NetParameter, NetState, Phase},
    net::check,
};

/// `TRAIN` or `TEST`, in any case.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum PhaseArg {
    /// As in training.
    Train,
    /// As in testing.
    Test,
}

impl From<PhaseArg> for Phase {
    fn from(phase: PhaseArg) -> Self {
        match phase {
            PhaseArg::Train => Phase::Train,
            PhaseArg::Test => Phase::Test,
        }
    }
}

/// Level and stages.
#[derive(Args, Clone, Debug)]
pub struct StateArgs {
    /// The level that include and exclude rules see
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_name = "N")]
    pub level: i32,
    /// The stages that include and exclude rules see
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub stage: Vec<String>,
}

impl StateArgs {
    /// The state in this phase, or if none is named, in TRAIN where the net has such a phase, else in TEST.
    pub fn state_of(&self, phase: Option<PhaseArg>, net: &NetParameter) -> NetState {
        let trains = || {
            let states = check::states(net, self.level, &self.stage);
            states.iter().any(|state| state.phase() == Phase::Train)
        };
        self.state(phase.map_or_else(|| if trains() { Phase::Train } else { Phase::Test }, Phase::from), net)
    }

    /// The state in this phase; stages add to those that the net itself sets.
    pub fn state(&self, phase: Phase, net: &NetParameter) -> NetState {
        let stages = net.state.iter().flat_map(|state| &state.stage).chain(&self.stage);
        NetState { phase: Some(phase as i32), level: Some(self.level), stage: stages.cloned().collect() }
    }
}
