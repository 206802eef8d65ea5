//! `cnnctl plot`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{
    Done, Failure,
    failure::{CONFIG, FAILED},
    output,
};
use crate::report::{
    self,
    history::History,
    plot::{Along, Chart, PlotOptions, Run},
};

/// Draw the curves of runs as PNG or SVG, or in the terminal
///
/// Reads metrics files, logs of caffe and cnnctl, and the tables of parse-log. Several runs are drawn in one picture.
#[derive(Args, Debug)]
pub struct PlotArgs {
    /// Files of runs; NAME=FILE gives a run a name
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<String>,
    /// The picture to write, .png or .svg [default: dots in the terminal]
    #[arg(short, long, value_name = "PICTURE")]
    output: Option<PathBuf>,
    /// What stands along the lower edge
    #[arg(long, value_enum, default_value = "iteration", value_name = "WHAT")]
    x: AlongArg,
    /// What is drawn: loss, lr, or names of outputs or parts of them [default: the loss, and what tests tell]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    y: Vec<String>,
    /// Draw training as means of N points around each; 1 draws the points themselves [default: as it takes to see the curve]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    smooth: Option<u32>,
    /// Draw on a logarithmic scale
    #[arg(long)]
    log_scale: bool,
    /// What stands above the picture [default: the name of a single run]
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// How many times as large the PNG is as the SVG
    #[arg(long, default_value_t = 1.5, value_name = "FACTOR")]
    scale: f32,
}

/// What stands along the lower edge.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum AlongArg {
    /// Iterations
    Iteration,
    /// Passes over the data set
    Epoch,
    /// The time since the start
    Time,
}

impl From<AlongArg> for Along {
    fn from(along: AlongArg) -> Self {
        match along {
            AlongArg::Iteration => Along::Iteration,
            AlongArg::Epoch => Along::Epoch,
            AlongArg::Time => Along::Time,
        }
    }
}

impl PlotArgs {
    pub(super) fn run(self) -> Done {
        output::check_scale(self.scale)?;
        let format = self.output.as_deref().map(Format::of).transpose()?;
        let runs = self.runs.iter().zip(names(&self.runs));
        let read = |(run, name): (&String, String)| {
            let history = History::read(file(run).1)?;
            Ok(Run { name, history })
        };
        let runs: Vec<Run> = runs.map(read).collect::<Result<_, Failure>>()?;
        let options = PlotOptions {
            along: self.x.into(),
            quantities: self.y,
            smooth: self.smooth.map(|n| n as usize),
            log: self.log_scale,
            title: self.title,
        };
        let chart = Chart::new(&runs, &options).map_err(|e| Failure::new(CONFIG, e))?;
        let (Some(path), Some(format)) = (&self.output, format) else {
            report::print_chart(&chart).map_err(|e| Failure::new(FAILED, e))?;
            return Ok(0);
        };
        let bytes = match format {
            Format::Svg => chart.svg().into_bytes(),
            Format::Png => chart.png(self.scale).map_err(|e| Failure::new(FAILED, e))?,
        };
        output::write(path, &bytes)?;
        Ok(0)
    }
}

/// What a picture is written as.
#[derive(Clone, Copy, Debug)]
enum Format {
    Svg,
    Png,
}

impl Format {
    /// By the ending of the file.
    fn of(path: &Path) -> Result<Self, Failure> {
        match &output::ending(path)[..] {
            "svg" => Ok(Self::Svg),
            "png" => Ok(Self::Png),
            _ => Err(Failure::new(CONFIG, format!("{}: a picture ends in .png or .svg", path.display()))),
        }
    }
}

/// The name and the file of `NAME=FILE`. A file whose own name holds an equals sign is a file.
fn file(run: &str) -> (Option<&str>, &Path) {
    match run.split_once('=').filter(|_| !Path::new(run).exists()) {
        Some((name, file)) => (Some(name), Path::new(file)),
        None => (None, Path::new(run)),
    }
}

/// What the runs are called: the names of their files, or their paths where names are the same.
fn names(runs: &[String]) -> Vec<String> {
    let stem = |run: &str| match file(run) {
        (Some(name), _) => name.to_owned(),
        (None, path) => path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
    };
    let stems: Vec<String> = runs.iter().map(|run| stem(run)).collect();
    let unlike = |i: usize| stems.iter().filter(|stem| **stem == stems[i]).count() == 1;
    (0..runs.len()).map(|i| if unlike(i) { stems[i].clone() } else { runs[i].clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_have_names_of_their_own() {
        let runs = ["a/m.jsonl", "b/m.jsonl", "c.csv", "slow=a/m.jsonl"].map(str::to_owned);
        assert_eq!(names(&runs), ["a/m.jsonl", "b/m.jsonl", "c", "slow"]);
    }
}
