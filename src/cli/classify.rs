//! `cnnctl classify`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use super::{
    Done, Failure,
    crops::{Crop, crops},
    failure::{CONFIG, FAILED},
};
use crate::{
    config::{
        self,
        proto::{Phase, TransformationParameter},
    },
    data::{Decode, Image, Pixels, Transform},
    layers::Role,
    net::{Net, NetError, Options, Params},
    report,
    snapshot::Weights,
    tensor::Shape,
};

/// Show which classes a net sees in images
///
/// The net is one to deploy: an Input layer takes the image, the output is a score for each class.
#[derive(Args, Debug)]
pub struct ClassifyArgs {
    /// The images: JPEG, PNG or BMP
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// The net
    #[arg(long, value_name = "NET")]
    model: PathBuf,
    /// The weights; several files are laid over each other
    #[arg(long, value_delimiter = ',', required = true, value_name = "FILE,...")]
    weights: Vec<PathBuf>,
    /// The mean to subtract: a file as compute-image-mean writes it, or one value, or one for each channel; a mean
    /// image of another size than the scaled image counts by its channels' means
    #[arg(long, value_name = "FILE|VALUE,...")]
    mean: Option<String>,
    /// What to multiply pixels with after that, as scale of transform_param
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    scale: f32,
    /// The names of the classes, one on each line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// How many classes to show
    #[arg(long, default_value_t = 5, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,
    /// Average over ten crops: the corners and the centre, each also flipped
    #[arg(long)]
    oversample: bool,
    /// Height and width that images are scaled to before the crop [default: the net's input, with --oversample
    /// larger by 256/227]
    #[arg(long, alias = "images_dim", value_name = "H,W", value_parser = pair)]
    image_dims: Option<[usize; 2]>,
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

fn pair(text: &str) -> Result<[usize; 2], String> {
    let sides: Option<Vec<usize>> = text.split([',', 'x']).map(|side| side.trim().parse().ok()).collect();
    match sides.as_deref() {
        Some(&[h, w]) if (1..=1 << 14).contains(&h) && (1..=1 << 14).contains(&w) => Ok([h, w]),
        _ => Err("expected a height and a width, such as 256,256".into()),
    }
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
        for path in &self.weights {
            report::copied(&Weights::load(path)?.copy_into(&net, &mut params).map_err(fail)?);
        }
        let (input, shape) = self.input(&net)?;
        let prepare = Prepare::new(&self, shape)?;
        let names = self.names()?;
        for path in &self.images {
            let (batch, values) = prepare.image(path)?;
            net.reshape(&input, batch).map_err(fail)?;
            net.set_input(&input, &values).map_err(fail)?;
            net.forward(&mut params).map_err(fail)?;
            let scores = top(&self.scores(&net)?, self.top as usize);
            let text = match self.format {
                Format::Text => text(path, &scores, &names),
                Format::Json => json(path, &scores, &names),
            };
            report::print(&text).map_err(|e| Failure::new(FAILED, e))?;
        }
        Ok(0)
    }

    /// The blob that takes the image, and channels, height and width of its shape.
    fn input(&self, net: &Net) -> Result<(String, [usize; 3]), Failure> {
        let bad = |problem: &str| {
            let name = self.model.display();
            Err(Failure::new(CONFIG, format!("{name} cannot classify images: {problem}")))
        };
        let sources: Vec<_> = net.layers().filter(|l| l.kind.role == Role::Source).collect();
        match &sources[..] {
            [source] if source.kind.name == "Input" && source.tops.len() == 1 => {
                let id = source.tops[0];
                match net.shape(id)[..] {
                    [_, c @ (1 | 3), h, w] if h > 0 && w > 0 => Ok((net.blob_name(id).to_owned(), [c, h, w])),
                    _ => bad(&format!("its input has shape {}, not N x 1 or 3 x H x W", net.shape(id))),
                }
            }
            _ => bad("it needs one Input layer with one top, as nets to deploy have, and no other source"),
        }
    }

    /// The mean scores of all crops.
    fn scores(&self, net: &Net) -> Result<Vec<f32>, Failure> {
        let outputs = net.outputs();
        let name = match (&self.output, &outputs[..]) {
            (Some(name), _) => name,
            (None, [output]) => output.name,
            (None, outputs) => {
                let names: Vec<_> = outputs.iter().map(|o| o.name).collect();
                let names = names.join(", ");
                return Err(Failure::new(
                    CONFIG,
                    format!("the net has several outputs, {names}: name one with --output"),
                ));
            }
        };
        let Some(id) = net.blob(name) else {
            return Err(Failure::new(CONFIG, format!("--output: the net has no blob `{name}`")));
        };
        let rows = net.shape(id).first().copied().unwrap_or(1).max(1);
        let values = net.values(id);
        let classes = values.len() / rows;
        Ok((0..classes)
            .map(|class| values.iter().skip(class).step_by(classes.max(1)).sum::<f32>() / rows as f32)
            .collect())
    }

    fn names(&self) -> Result<Vec<String>, Failure> {
        let Some(path) = &self.labels else { return Ok(Vec::new()) };
        let text = fs::read_to_string(path)
            .map_err(|e| Failure::new(CONFIG, format!("--labels: cannot read {}: {e}", path.display())))?;
        Ok(text.lines().map(|line| line.trim().to_owned()).collect())
    }
}

/// From a file to the values of the net's input.
struct Prepare {
    input: [usize; 3],
    /// Height and width before the crop.
    scaled: [usize; 2],
    crops: Vec<Crop>,
    transform: Transform,
}

impl Prepare {
    fn new(args: &ClassifyArgs, input: [usize; 3]) -> Result<Self, Failure> {
        let [c, h, w] = input;
        let larger = |side: usize| (side as f64 * 256.0 / 227.0).round() as usize;
        let scaled = args.image_dims.unwrap_or(if args.oversample { [larger(h), larger(w)] } else { [h, w] });
        if scaled[0] < h || scaled[1] < w {
            let [sh, sw] = scaled;
            return Err(Failure::new(
                CONFIG,
                format!("--image-dims {sh},{sw} is smaller than the net's input, {h} x {w}"),
            ));
        }
        let mut param = TransformationParameter { scale: Some(args.scale), ..Default::default() };
        if let Some(mean) = &args.mean {
            match mean.split(',').map(|value| value.trim().parse()).collect::<Result<Vec<f32>, _>>() {
                Ok(values) => param.mean_value = values,
                Err(_) => param.mean_file = Some(mean.clone()),
            }
        }
        let mut transform = Transform::from_config(&param, Phase::Test).map_err(|e| Failure::data(&e))?;
        if transform.output([c, scaled[0], scaled[1]]).is_err() {
            transform.flatten_mean();
        }
        transform
            .output([c, scaled[0], scaled[1]])
            .map_err(|problem| Failure::new(CONFIG, format!("--mean does not fit the image: {problem}")))?;
        Ok(Self { input, scaled, crops: crops(scaled, [h, w], args.oversample), transform })
    }

    /// The batch of an image's crops.
    fn image(&self, path: &Path) -> Result<(Shape, Vec<f32>), Failure> {
        let ([c, h, w], [rows, columns]) = (self.input, self.scaled);
        let decode = if c == 1 { Decode::Gray } else { Decode::Color };
        let image = Image::read(path, decode).map_err(|e| Failure::data(&e))?.scaled(rows, columns);
        let (shape, pixels) = (image.shape, Pixels::U8(image.values));
        let mut values = vec![0.0; self.crops.len() * c * h * w];
        for (crop, out) in self.crops.iter().zip(values.chunks_exact_mut(c * h * w)) {
            self.transform.apply_at(shape, &pixels, [crop.top, crop.left], [h, w], out);
            if crop.flip {
                out.chunks_exact_mut(w).for_each(<[f32]>::reverse);
            }
        }
        Ok((Shape::from([self.crops.len(), c, h, w]), values))
    }
}

/// The best `k` classes, best first; of equals the lower number.
fn top(scores: &[f32], k: usize) -> Vec<Score> {
    let mut ranked: Vec<Score> = scores.iter().copied().enumerate().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked.truncate(k);
    ranked
}

fn name(class: usize, names: &[String]) -> String {
    names.get(class).cloned().unwrap_or_else(|| class.to_string())
}

fn text(path: &Path, scores: &[Score], names: &[String]) -> String {
    let mut text = format!("---------- Prediction for {} ----------\n", path.display());
    for &(class, score) in scores {
        text += &format!("{score:.4} - \"{}\"\n", name(class, names));
    }
    text
}

fn json(path: &Path, scores: &[Score], names: &[String]) -> String {
    let classes: Vec<_> = scores
        .iter()
        .map(
            |&(class, score)| serde_json::json!({"class": class, "name": name(class, names), "score": score}),
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

    #[test]
    fn dims_are_two() {
        assert_eq!(pair("256,200"), Ok([256, 200]));
        assert!(pair("256").is_err() && pair("0,3").is_err() && pair("a,b").is_err());
    }
}
