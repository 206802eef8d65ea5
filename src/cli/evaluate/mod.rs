//! `cnnctl evaluate`.

mod set;
mod verdict;
mod worst;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{
    Done, Failure,
    entries::source_kinds,
    failure::{CONFIG, DATA, FAILED},
    output,
    prepare::{PrepareArgs, class_name, class_names},
    state::StateArgs,
    weights,
};
use crate::{
    measures::{Evaluation, Samples},
    report::{
        self,
        picture::{self, Line, Sheet},
    },
};
use worst::Worst;

/// Measure how well a net classifies a whole test set, each sample once
///
/// A net with data of its own in phase TEST is run over that. For a net to deploy, whose Input layer takes images, --data names
/// the set, and --mean, --scale and --image-dims prepare its images.
#[derive(Args, Debug)]
pub struct EvaluateArgs {
    /// The net; snapshots of cnnctl hold theirs, files of Caffe do not
    #[arg(long, value_name = "NET")]
    model: Option<PathBuf>,
    /// The weights; several files are laid over each other
    #[arg(long, value_delimiter = ',', value_parser = weights::parser(), required = true, value_name = "FILE,...")]
    weights: Vec<PathBuf>,
    /// For a net to deploy: the set, a database, a list of images or another kind that Data layers read
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// The file of the set's labels, where it is a separate one
    #[arg(long, value_name = "FILE", requires = "data")]
    data_labels: Option<PathBuf>,
    /// The kind of set [default: what the path looks like]
    #[arg(long, ignore_case = true, value_parser = source_kinds(), requires = "data")]
    backend: Option<String>,
    /// Text before each path of a list: a folder with a slash at its end
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT", requires = "data")]
    root_folder: String,
    #[command(flatten)]
    prepare: PrepareArgs,
    /// The blob of a score for each class [default: what the last Accuracy layer or loss reads; the net's only output]
    #[arg(long, value_name = "BLOB")]
    output: Option<String>,
    /// The names of the classes, one on each line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// The share of samples whose class is among so many likeliest
    #[arg(long, value_delimiter = ',', default_value = "1,5", value_name = "K,...")]
    top: Vec<usize>,
    /// The order of the classes means something, as with ages or grades: how far off predictions are
    #[arg(long)]
    ordered: bool,
    /// Draw the confusion matrix
    #[arg(long, value_name = "FILE.png")]
    confusion: Option<PathBuf>,
    /// Draw the curves of true against false positives, each class against the rest
    #[arg(long, value_name = "FILE.png")]
    roc: Option<PathBuf>,
    /// Show the samples that are classified worst
    #[arg(long, value_name = "FILE.png")]
    sheet: Option<PathBuf>,
    /// How many of them
    #[arg(long, default_value_t = 36, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    worst: u16,
    /// Write label, prediction, loss and probabilities of each sample
    #[arg(long, value_name = "FILE.csv")]
    predictions: Option<PathBuf>,
    /// Write all results as JSON, in whatever format they are shown
    #[arg(long, value_name = "FILE.json")]
    save: Option<PathBuf>,
    #[command(flatten)]
    state: StateArgs,
    /// How to show the results
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// A JSON object with all there is.
    Json,
    /// A row for each class.
    Csv,
}

impl EvaluateArgs {
    pub(super) fn run(self) -> Done {
        if self.top.contains(&0) {
            return Err(Failure::new(CONFIG, "--top takes numbers from 1"));
        }
        let (file, weights) = weights::with_net(self.model.as_deref(), &self.weights)?;
        let most = if self.sheet.is_some() { usize::from(self.worst) } else { 0 };
        let mut worst = Worst::new(most, self.prepare.rgb);
        let samples = match &self.data {
            Some(path) => set::given(&self, path, &file, weights, &mut worst)?,
            None => set::of_net(&self, &file, weights, &mut worst)?,
        };
        if samples.is_empty() {
            return Err(Failure::new(DATA, "there are no samples with a label that counts"));
        }
        let mut names = class_names(self.labels.as_deref())?;
        if names.len() > samples.classes {
            let lines = names.len();
            report::warn(&format!(
                "--labels has {lines} names for {} classes: the last are not used",
                samples.classes
            ));
        }
        names = (0..samples.classes).map(|class| class_name(class, &names)).collect();
        let top: Vec<usize> = self.top.iter().copied().filter(|&k| k == 1 || k < samples.classes).collect();
        let found = Evaluation::of(&samples, &top, self.ordered);
        self.show(&found, &names, &samples)?;
        self.draw(&found, &names, &samples, &worst)?;
        Ok(0)
    }

    /// Prints the results and writes the files of numbers.
    fn show(&self, found: &Evaluation, names: &[String], samples: &Samples) -> Result<(), Failure> {
        let json = |indent: bool| {
            let mut value = report::evaluation_json(found, names, samples, &self.worst_of(samples));
            value["model"] = self.model.as_ref().map(|p| p.display().to_string()).into();
            value["weights"] = self.weights.iter().map(|p| p.display().to_string()).collect();
            if indent { format!("{value:#}\n") } else { format!("{value}\n") }
        };
        let text = match self.format {
            Format::Text => report::evaluation_text(found, names),
            Format::Json => json(false),
            Format::Csv => report::evaluation_csv(found, names),
        };
        output::print(&text)?;
        if let Some(path) = &self.save {
            output::write(path, json(true).as_bytes())?;
        }
        if let Some(path) = &self.predictions {
            output::write(path, report::predictions_csv(samples).as_bytes())?;
        }
        Ok(())
    }

    /// The numbers of the samples that are classified worst, the worst first.
    fn worst_of(&self, samples: &Samples) -> Vec<usize> {
        let mut order: Vec<usize> = (0..samples.len()).collect();
        order.sort_by(|&a, &b| samples.losses[b].total_cmp(&samples.losses[a]));
        order.truncate(usize::from(self.worst));
        order
    }

    /// Writes the pictures.
    fn draw(
        &self,
        found: &Evaluation,
        names: &[String],
        samples: &Samples,
        worst: &Worst,
    ) -> Result<(), Failure> {
        let drawn = |png: Result<Vec<u8>, String>| png.map_err(|e| Failure::new(FAILED, e));
        let accuracy =
            format!("{:.2}% of {} samples are right", 100.0 * found.confusion.accuracy(), samples.len());
        if let Some(path) = &self.confusion {
            output::write(path, &drawn(picture::confusion(&found.confusion, names, &accuracy))?)?;
        }
        if let Some(path) = &self.roc {
            let curves = found
                .classes
                .iter()
                .zip(names)
                .filter_map(|(class, name)| Some((name, class.curve.as_ref()?)));
            let lines: Vec<Line> = curves
                .map(|(name, curve)| Line {
                    name: name.clone(),
                    points: curve.points.clone(),
                    area: curve.area,
                })
                .collect();
            if lines.is_empty() {
                return Err(Failure::new(
                    CONFIG,
                    "--roc needs probabilities, and samples of two classes at least",
                ));
            }
            output::write(path, &drawn(picture::roc(&lines, "Each class against the rest"))?)?;
        }
        if let Some(path) = &self.sheet {
            let caption = |i: usize| {
                let [label, seen] = [samples.labels[i], samples.predictions[i]];
                let sure =
                    samples.row(i).map(|row| format!(", {:.0}%", 100.0 * row[seen])).unwrap_or_default();
                match label == seen {
                    true => format!("{}{sure}", names[label]),
                    false => format!("{} as {}{sure}", names[label], names[seen]),
                }
            };
            let (tiles, captions) = worst.tiles().map(|(i, tile)| (tile.clone(), caption(i))).unzip();
            let sheet = Sheet {
                title: "The worst classified samples".into(),
                subtitle: accuracy,
                tiles,
                captions,
                columns: None,
            };
            if sheet.tiles.is_empty() {
                return Err(Failure::new(
                    CONFIG,
                    "--sheet needs samples that are images of one or three channels",
                ));
            }
            output::write(path, &drawn(picture::tiles(&sheet))?)?;
        }
        Ok(())
    }
}
