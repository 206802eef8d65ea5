//! `cnnctl summary`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{
    Done, Failure,
    failure::CONFIG,
    output,
    shape::{parse_shape, view},
    state::{PhaseArg, StateArgs},
};
use crate::{
    config::{self, NetFile, Severity},
    net::{check as net_check, summary::Summary},
    report,
    tensor::Shape,
};

/// Show a net in numbers: shapes, parameters, multiply-adds, memory, receptive fields
///
/// No data is needed: where a data set is not at hand, shapes come from the layer's settings or from --shape, which goes
/// before all else.
#[derive(Args, Debug)]
pub struct SummaryArgs {
    /// The net
    #[arg(long, value_name = "NET")]
    model: PathBuf,
    /// The phase [default: TRAIN for a net that trains, else TEST]
    #[arg(long, value_enum, ignore_case = true)]
    phase: Option<PhaseArg>,
    /// How many samples a batch has, in place of what the net says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch: Option<u32>,
    /// The shape of a data layer's blob, in place of what its data or its settings say; for example data=64,3,32,32
    #[arg(long, value_name = "BLOB=N,C,H,W", value_parser = parse_shape)]
    shape: Vec<(String, Shape)>,
    /// How to give the numbers
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    format: Format,
    #[command(flatten)]
    state: StateArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// One JSON object.
    Json,
    /// Comma-separated values.
    Csv,
}

impl SummaryArgs {
    pub(super) fn run(self) -> Done {
        let file = config::load_net(&self.model)?;
        report::warn_all(&file.warnings);
        let state = self.state.state_of(self.phase, &file.net);
        let view = view(&self.shape, &file.net);
        let batch = self.batch.map(|n| n as usize);
        let net = net_check::without_data(&file.net, &state, &view, batch).map_err(|f| failure(&file, *f))?;
        let summary = Summary::new(&net, &state).map_err(|e| Failure::net(&e, Some(&file)))?;
        let text = match self.format {
            Format::Table => report::summary_table(&summary),
            Format::Json => report::summary_json(&summary),
            Format::Csv => report::summary_csv(&summary),
        };
        output::print(&text)?;
        Ok(0)
    }
}

/// A data layer whose shapes nobody knows.
pub(super) fn failure(file: &NetFile, finding: net_check::Finding) -> Failure {
    let layer = finding.layer.and_then(|i| file.net.layer.get(i));
    let diagnostic = match layer {
        Some(layer) => file.complain(Severity::Error, layer, &finding.field, finding.message),
        None => file.error(&finding.field, finding.message),
    };
    Failure { status: CONFIG, message: diagnostic.hint(finding.hint).to_string() }
}
