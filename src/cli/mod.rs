//! The command line: one file per subcommand, whose doc comment is its help.

mod batch;
mod caffe_flags;
mod check;
mod classify;
mod completions;
mod convert;
mod convert_imageset;
mod crops;
mod dashboard;
mod dataset;
mod draw;
mod entries;
mod evaluate;
mod export;
mod extract;
mod failure;
mod filter;
mod import;
mod layers;
mod lock;
mod man;
mod mean;
mod mend;
mod output;
mod parse_log;
mod planned;
mod plot;
mod prepare;
mod ranks;
mod records;
mod report;
mod run;
mod shape;
mod solver_files;
mod state;
mod summary;
mod test;
mod time;
mod train;
mod upgrade;
mod visualize;
mod watch;
mod weights;

pub use failure::Failure;
pub use layers::layer_table;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    kernels::simd::Isa,
    report::{LogFormat, LogOptions, start_log},
};

/// Trains, tests and resumes convolutional networks from Caffe's configuration files, on CPUs.
#[derive(Debug, Parser)]
#[command(name = "cnnctl", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
    /// Flags of Caffe's that mean nothing.
    #[arg(skip)]
    left_out: Vec<String>,
}

/// More threads than any machine has cores: who asks for more has mistyped.
const MOST_THREADS: i64 = 4096;

/// Options of every subcommand.
#[derive(Args, Debug)]
struct Common {
    /// Threads to compute on; results have the same bytes for any number [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MOST_THREADS))]
    threads: Option<u16>,
    /// Instructions to compute with: avx512, avx2 or portable; each rounds sums in its own way [default: the best there are]
    #[arg(long, global = true, value_name = "NAME", value_parser = isa)]
    isa: Option<Isa>,
    /// Show only warnings and errors
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Show more: -v for the building of nets, -vv for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// What to log, as RUST_LOG says it: debug, cnnctl::solver=trace [default: RUST_LOG, or what -q and -v say]
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    /// How lines of the log look [default: pretty in a terminal, else caffe]
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormatArg>,
}

/// How lines of the log look.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormatArg {
    /// As Caffe's, for the programs that read them
    Caffe,
    /// For people
    Pretty,
    /// A JSON object a line
    Json,
}

impl Common {
    fn log(&self, follows: bool) -> LogOptions {
        let format = self.log_format.map(|format| match format {
            LogFormatArg::Caffe => LogFormat::Caffe,
            LogFormatArg::Pretty => LogFormat::Pretty,
            LogFormatArg::Json => LogFormat::Json,
        });
        let quiet = self.quiet || follows;
        LogOptions { quiet, verbose: self.verbose, filter: self.log.clone(), format }
    }
}

/// One of the instruction sets that this processor has.
fn isa(name: &str) -> Result<Isa, String> {
    Isa::all().find(|isa| isa.key() == name).ok_or_else(|| {
        let has = Isa::all().map(Isa::key).collect::<Vec<_>>().join(", ");
        format!("this processor has {has}")
    })
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::CheckArgs),
    Classify(classify::ClassifyArgs),
    Completions(completions::CompletionsArgs),
    #[command(alias = "compute_image_mean")]
    ComputeImageMean(mean::MeanArgs),
    Convert(convert::ConvertArgs),
    #[command(name = "convert_imageset", hide = true)]
    ConvertImageset(convert_imageset::ImagesetArgs),
    Dashboard(dashboard::DashboardArgs),
    Dataset(dataset::DatasetArgs),
    Draw(draw::DrawArgs),
    Export(export::ExportArgs),
    Evaluate(evaluate::EvaluateArgs),
    #[command(alias = "extract_features")]
    ExtractFeatures(extract::ExtractArgs),
    Filter(filter::FilterArgs),
    Import(import::ImportArgs),
    Layers(layers::LayersArgs),
    Man(man::ManArgs),
    #[command(alias = "parse_log")]
    ParseLog(parse_log::ParseLogArgs),
    Plot(plot::PlotArgs),
    Report(report::ReportArgs),
    Run(run::RunArgs),
    Summary(summary::SummaryArgs),
    Test(test::TestArgs),
    Time(time::TimeArgs),
    Train(train::TrainArgs),
    Upgrade(upgrade::UpgradeArgs),
    #[command(name = "upgrade_net_proto_text", alias = "upgrade_net_proto_binary", hide = true)]
    UpgradeNet(upgrade::Files),
    #[command(name = "upgrade_solver_proto_text", hide = true)]
    UpgradeSolver(upgrade::Files),
    Visualize(visualize::VisualizeArgs),
}

/// What a subcommand gives: its exit status.
type Done = Result<u8, Failure>;

impl Cli {
    /// The command line of this process; ends the process if it is none of ours, or asks for help.
    pub fn of_process() -> Self {
        let (arguments, left_out) = caffe_flags::translated(std::env::args_os());
        Self { left_out, ..Self::parse_from(arguments) }
    }

    /// Runs the subcommand and gives the exit status.
    ///
    /// # Errors
    /// With a message for people and the exit status that goes with it.
    pub fn run(self) -> Done {
        let Self { command, common, left_out } = self;
        let shares_work = matches!(command, Command::Train(_) | Command::Time(_));
        let launch = if shares_work { ranks::launched()? } else { None };
        let follows = launch.as_ref().is_some_and(|l| l.rank > 0);
        start_log(&common.log(follows)).map_err(|e| Failure::new(failure::CONFIG, e))?;
        caffe_flags::note(&left_out);
        common.isa.into_iter().for_each(Isa::choose);
        let threads = common.threads.map_or_else(|| ranks::threads(launch.as_ref()), usize::from);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool =
            pool.map_err(|e| Failure::new(failure::FAILED, format!("cannot start {threads} threads: {e}")))?;
        // The whole run is inside the pool: a parallel loop then starts in nanoseconds.
        pool.install(|| match command {
            Command::Check(args) => args.run(),
            Command::Classify(args) => args.run(),
            Command::Completions(args) => args.run(),
            Command::ComputeImageMean(args) => args.run(),
            Command::Convert(args) => args.run(),
            Command::ConvertImageset(args) => args.run(),
            Command::Dashboard(args) => args.run(),
            Command::Dataset(args) => args.run(),
            Command::Draw(args) => args.run(),
            Command::Export(args) => args.run(),
            Command::Evaluate(args) => args.run(),
            Command::ExtractFeatures(args) => args.run(),
            Command::Filter(args) => args.run(),
            Command::Import(args) => args.run(),
            Command::Layers(args) => args.run(),
            Command::Man(args) => args.run(),
            Command::ParseLog(args) => args.run(),
            Command::Plot(args) => args.run(),
            Command::Report(args) => args.run(),
            Command::Run(args) => args.run(),
            Command::Summary(args) => args.run(),
            Command::Test(args) => args.run(),
            Command::Time(args) => args.run(launch.as_ref()),
            Command::Train(args) => args.run(launch.as_ref()),
            Command::Upgrade(args) => args.run(),
            Command::UpgradeNet(files) => files.net(),
            Command::UpgradeSolver(files) => files.solver(),
            Command::Visualize(args) => args.run(),
        })
    }
}
