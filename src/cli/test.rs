//! `cnnctl test`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{
    Done, Failure,
    caffe_flags::Gpu,
    entries::OnBadSample,
    failure::CONFIG,
    output,
    state::{PhaseArg, StateArgs},
    weights,
};
use crate::{
    config::{NetFile, proto::Phase},
    net::{Net, Options, Params},
    report,
    solver::{Means, WholeSet},
};

/// Run a trained net on its test data and show the means of its outputs
#[derive(Args, Debug)]
pub struct TestArgs {
    /// The net; snapshots of cnnctl hold theirs, files of Caffe do not
    #[arg(long, value_name = "NET")]
    model: Option<PathBuf>,
    /// The weights; several files are laid over each other
    #[arg(long, value_delimiter = ',', value_parser = weights::parser(), required = true, value_name = "FILE,...")]
    weights: Vec<PathBuf>,
    /// How many batches to run
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    iterations: u32,
    /// Run over the whole data set, each sample once: the last batch may be smaller, and means are over samples
    #[arg(long, conflicts_with = "iterations")]
    exact: bool,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    gpu: Gpu,
    /// Taken for Caffe's sake, which tests in TEST whatever it says
    #[arg(long, hide = true, value_enum, ignore_case = true)]
    phase: Option<PhaseArg>,
    /// What to do with samples that cannot be used
    #[arg(long, alias = "on_bad_sample", value_enum, default_value = "fail", value_name = "WHAT")]
    on_bad_sample: OnBadSample,
    /// How to give the results: log lines on stderr, or also as a JSON object on stdout
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl TestArgs {
    pub(super) fn run(self) -> Done {
        self.gpu.note();
        if self.phase.is_some() {
            report::info("--phase means nothing here: a test is in TEST");
        }
        let (file, weights) = weights::with_net(self.model.as_deref(), &self.weights)?;
        let fail = |e| Failure::net(&e, Some(&file));
        let mut params = Params::new();
        let mut options = Options::new(Phase::Test, 1);
        options.state = self.state.state(Phase::Test, &file.net);
        let mut net = Net::new(&file.net, options, &mut params).map_err(fail)?;
        for layer in net.layers().filter(|layer| layer.kind.name == "Input") {
            let name = layer.config.name();
            report::warn(&format!("layer `{name}` is an Input, which reads no data: the net sees zeros"));
        }
        let whole = match self.exact {
            true => Some(whole_set(&mut net, &file)?),
            false => None,
        };
        if self.on_bad_sample == OnBadSample::Skip {
            net.skip_bad_samples();
        }
        weights::copy(weights, &net, &mut params, &file)?;
        let iterations = whole.as_ref().map_or(self.iterations as usize, WholeSet::batches);
        report::info(&format!("Running for {iterations} iterations."));
        let mut means = Means::default();
        for i in 0..iterations {
            let (loss, weight) = match &whole {
                Some(whole) => (whole.forward(i, &mut net, &mut params), whole.weight(i)),
                None => (net.forward(&mut params), 1.0),
            };
            means.add(&net, loss.map_err(fail)?, weight);
            report::batch(i, &net);
        }
        net.finish().map_err(fail)?;
        let (outputs, loss) = (means.outputs(), means.loss());
        report::means(&outputs, loss);
        report::BadSampleNotes::default().sum_up(std::iter::once(&net));
        if self.format == Format::Json {
            let line = report::test_json(iterations, &outputs, loss) + "\n";
            output::print(&line)?;
        }
        Ok(0)
    }
}

/// The whole set that the net reads.
fn whole_set(net: &mut Net, file: &NetFile) -> Result<WholeSet, Failure> {
    let whole = WholeSet::of(net).map_err(|e| Failure::net(&e, Some(file)))?;
    whole
        .ok_or_else(|| Failure::new(CONFIG, "--exact needs a net that reads a data set: this one reads none"))
}
