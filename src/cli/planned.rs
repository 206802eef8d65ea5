//! Nets that are looked at but not run, for commands that turn weights from one format into another.

use clap::Args;

use super::{
    Failure,
    shape::{parse_shape, view},
    state::{PhaseArg, StateArgs},
    summary,
};
use crate::{
    config::{NetFile, proto::NetState},
    net::{Net, Options, Params, check as net_check},
    tensor::Shape,
};

/// How to look at a net.
#[derive(Args, Debug)]
pub(super) struct PlannedArgs {
    /// The phase [default: TEST for ONNX, else TRAIN for a net that trains]
    #[arg(long, value_enum, ignore_case = true)]
    pub phase: Option<PhaseArg>,
    /// The shape of a data layer's blob, in place of what its data or its settings say; for example data=64,3,32,32
    #[arg(long, value_name = "BLOB=N,C,H,W", value_parser = parse_shape)]
    shape: Vec<(String, Shape)>,
    /// The seed of the fillers, for parameters that no file gives
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    #[command(flatten)]
    pub state: StateArgs,
}

impl PlannedArgs {
    /// The net without its data and without memory for blobs, and its parameters as their fillers give them.
    pub fn plan(&self, file: &NetFile, state: NetState) -> Result<(Net, Params), Failure> {
        let mut params = Params::new();
        let net = self.plan_batch(file, state, None, &mut params)?;
        Ok((net, params))
    }

    /// The net with a batch of so many samples, on parameters that may be there already.
    pub fn plan_batch(
        &self,
        file: &NetFile,
        state: NetState,
        batch: Option<usize>,
        params: &mut Params,
    ) -> Result<Net, Failure> {
        let view = view(&self.shape, &file.net);
        let net = net_check::without_data(&file.net, &state, &view, batch)
            .map_err(|finding| summary::failure(file, *finding))?;
        let options = Options { backward: false, ..Options::new(state.phase(), self.seed) };
        let net = Net::planned(&net, Options { state, ..options }, params);
        net.map_err(|e| Failure::net(&e, Some(file)))
    }
}
