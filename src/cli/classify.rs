//! `cnnctl classify`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{
    Done, Failure, output,
    prepare::{self, Prepare, PrepareArgs, class_name},
    weights,
};
use crate::{
    config::{self, proto::Phase},
    data::Pixels,
    net::{Net, NetError, Options, Params},
    report,
};

/// Show which classes a net sees in images
///
/// The net is one to deploy: an Input layer takes the image, the output is a score for each class.
#[derive(Args, Debug)]
pub struct ClassifyArgs {
    /// The images: JPEG, PNG, BMP or PNM
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// The net
    #[arg(long, value_name = "NET")]
    model: PathBuf,
    /// The weights; several files are laid over each other
    #[arg(long, value_delimiter = ',', value_parser = weights::parser(), required = true, value_name = "FILE,...")]
    weights: Vec<PathBuf>,
    #[command(flatten)]
    prepare: PrepareArgs,
    /// The names of the classes, one on each line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// How many classes to show
    #[arg(long, default_value_t = 5, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,
    /// Average over ten crops: the corners and the centre, each also flipped
    #[arg(long)]
    oversample: bool,
    /// The blob of scores [default: the net's only output]
    #[arg(long, value_name = "BLOB")]
    output: Option<String>,
    /// How to give the results
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Format {
    /// For people, as Caffe's example prints it.
    Text,
    /// A JSON object for each image, a line each.
    Json,
}

/// A class and its score.
type Score = (usize, f32);

impl ClassifyArgs {
    pub(super) fn run(self) -> Done {
        let file = config::load_net(&self.model)?;
        report::warn_all(&file.warnings);
        let fail = |e: NetError| Failure::net(&e, Some(&file));
        let mut params = Params::new();
        let options = Options { keep_all: true, ..Options::new(Phase::Test, 1) };
        let mut net = Net::new(&file.net, options, &mut params).map_err(fail)?;
        weights::copy(weights::load(&self.weights)?, &net, &mut params, &file)?;
        let (input, shape) = prepare::input(&net, &self.model)?;
        let prepare = Prepare::new(&self.prepare, self.oversample, shape)?;
        let names = prepare::class_names(self.labels.as_deref())?;
        for path in &self.images {
            let image = prepare.read(path)?;
            let (batch, values) = prepare.batch(image.shape, &Pixels::U8(image.values));
            net.reshape(&[(&input, batch)]).map_err(fail)?;
            net.set_input(&input, &values).map_err(fail)?;
            net.forward(&mut params).map_err(fail)?;
            let scores = top(&self.scores(&net)?, self.top as usize);
            let text = match self.format {
                Format::Text => text(path, &scores, &names),
                Format::Json => json(path, &scores, &names),
            };
            output::print(&text)?;
        }
        Ok(0)
    }

    /// The mean scores of all crops.
    fn scores(&self, net: &Net) -> Result<Vec<f32>, Failure> {
        let id = prepare::scores(net, self.output.as_deref())?;
        let rows = net.shape(id).first().copied().unwrap_or(1).max(1);
        let values = net.values(id);
        let classes = values.len() / rows;
        Ok((0..classes)
            .map(|class| values.iter().skip(class).step_by(classes.max(1)).sum::<f32>() / rows as f32)
            .collect())
    }
}

/// The best `k` classes, best first; of equals the lower number.
fn top(scores: &[f32], k: usize) -> Vec<Score> {
    let mut ranked: Vec<Score> = scores.iter().copied().enumerate().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked.truncate(k);
    ranked
}

fn text(path: &Path, scores: &[Score], names: &[String]) -> String {
    let mut text = format!("---------- Prediction for {} ----------\n", path.display());
    for &(class, score) in scores {
        text += &format!("{score:.4} - \"{}\"\n", class_name(class, names));
    }
    text
}

fn json(path: &Path, scores: &[Score], names: &[String]) -> String {
    let classes: Vec<_> = scores
        .iter()
        .map(
            |&(class, score)| serde_json::json!({"class": class, "name": class_name(class, names), "score": score}),
        )
        .collect();
    format!("{}\n", serde_json::json!({"image": path.display().to_string(), "classes": classes}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_come_first_and_the_lower_of_equals() {
        assert_eq!(top(&[0.1, 0.4, 0.4, 0.2], 3), [(1, 0.4), (2, 0.4), (3, 0.2)]);
        assert_eq!(top(&[0.5], 9), [(0, 0.5)]);
    }

    #[test]
    fn results_as_text_and_json() {
        let names = vec!["cat, \"tabby\"".to_owned()];
        let scores = [(0, 0.75), (3, 0.25)];
        assert_eq!(
            text(Path::new("a.png"), &scores, &names),
            "---------- Prediction for a.png ----------\n0.7500 - \"cat, \"tabby\"\"\n0.2500 - \"3\"\n"
        );
        let line = json(Path::new("a.png"), &scores, &names);
        assert!(line.ends_with("}\n") && line.contains(r#""name":"cat, \"tabby\"""#), "{line}");
    }
}
