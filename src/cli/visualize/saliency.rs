//! `cnnctl visualize saliency`.

use std::{collections::HashSet, path::PathBuf};

use clap::{Args, ValueEnum};

use super::{
    Done, Failure, Target,
    look::{Look, LookArgs},
    occlusion::{self, Patch},
};
use crate::{
    cli::{
        failure::CONFIG,
        prepare::{self, class_name, class_names, maker},
    },
    layers::Role,
    measures::{best, softmax},
    net::{BlobId, LayerView, Net},
    report::{self, picture},
};

/// Draw where in an image a net sees a class: the image, a map, and both laid over each other
#[derive(Args, Debug)]
pub struct SaliencyArgs {
    #[command(flatten)]
    look: LookArgs,
    /// How to find it out
    #[arg(long, value_enum, default_value = "hires-cam", value_name = "METHOD")]
    method: Method,
    /// The class, by number [default: the likeliest]
    #[arg(long, value_name = "N")]
    class: Option<usize>,
    /// The blob of scores [default: the net's only output]
    #[arg(long, value_name = "BLOB")]
    scores: Option<String>,
    /// The names of the classes, one on each line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
    /// hires-cam, grad-cam: the blob of maps [default: the last one that is larger than 1 x 1]
    #[arg(long, value_name = "NAME")]
    blob: Option<String>,
    /// occlusion: side of the square that is covered [default: a quarter of the image's shorter side]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..))]
    window: Option<u32>,
    /// occlusion: pixels from square to square [default: a quarter of the window]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..))]
    step: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Method {
    /// How strongly the class's score depends on each pixel: the largest of its derivatives by the channels (Simonyan et al.,
    /// 2013).
    Gradient,
    /// How much less likely the class becomes as a square is covered by the mean (Zeiler and Fergus, 2014).
    Occlusion,
    /// Which places of the last maps speak for the class: their values times their derivatives, summed over channels (Draelos
    /// and Carin, 2020).
    HiresCam,
    /// The same with each map's mean derivative (Selvaraju et al., 2017): for nets that take the mean of the last maps.
    GradCam,
}

impl SaliencyArgs {
    pub(super) fn run(self) -> Done {
        let look = self.look.open()?;
        let (mut net, mut params) = look.net(&[])?;
        look.forward(&mut net, &mut params)?;
        let scores = logits(&net, prepare::scores(&net, self.scores.as_deref())?);
        let values = net.values(scores).to_vec();
        let class = self.class.unwrap_or_else(|| best(&values));
        if class >= values.len() {
            let message = format!("--class {class}: the net has {} classes, from 0", values.len());
            return Err(Failure::new(CONFIG, message));
        }
        let (probabilities, _) = softmax(&values, class);
        let name = net.blob_name(scores).to_owned();
        let (map, method) = match self.method {
            Method::Gradient => (self.gradient(&look, &name, class)?, "gradient"),
            Method::HiresCam => (self.maps(&look, &name, class)?, "HiResCAM"),
            Method::GradCam => (self.maps(&look, &name, class)?, "Grad-CAM"),
            Method::Occlusion => {
                let [h, w] = [look.tile.height, look.tile.width];
                let side = self.window.map_or((h.min(w) / 4).max(1), |side| side as usize);
                let step = self.step.map_or((side / 4).max(1), |step| step as usize);
                if side > h.min(w) {
                    let message = format!("--window {side} is larger than the net's input, {h} x {w}");
                    return Err(Failure::new(CONFIG, message));
                }
                (
                    occlusion::map(&look, &mut net, &mut params, scores, class, Patch { side, step })?,
                    "occlusion",
                )
            }
        };
        let names = class_names(self.labels.as_deref())?;
        let title = format!("{}: {:.1}%", class_name(class, &names), 100.0 * probabilities[class]);
        report::info(&format!("Class {title}"));
        self.target.write(picture::saliency(&look.tile, &map, &title, method))
    }

    /// The net after a backward pass from the score of the class.
    fn backward(look: &Look, scores: &str, class: usize) -> Result<Net, Failure> {
        let (mut net, mut params) = look.net(&[scores.to_owned()])?;
        look.forward(&mut net, &mut params)?;
        let missing = || Failure::new(CONFIG, format!("the net has no blob `{scores}`"));
        let id = net.blob(scores).ok_or_else(missing)?;
        let mut diff = vec![0.0; net.shape(id).count()];
        diff[class] = 1.0;
        net.backward_given(&mut params, &[(id, &diff)]);
        Ok(net)
    }

    fn gradient(&self, look: &Look, scores: &str, class: usize) -> Result<Vec<f32>, Failure> {
        let net = Self::backward(look, scores, class)?;
        let diff = net.diff(&look.input).ok_or_else(|| no_gradient(&look.input))?;
        let pixels = look.tile.width * look.tile.height;
        let largest =
            |i: usize| diff.iter().skip(i).step_by(pixels).fold(0.0, |most: f32, d| most.max(d.abs()));
        Ok((0..pixels).map(largest).collect())
    }

    /// The places of the last maps that speak for the class.
    fn maps(&self, look: &Look, scores: &str, class: usize) -> Result<Vec<f32>, Failure> {
        let net = Self::backward(look, scores, class)?;
        let scores = net.blob(scores).unwrap_or_default();
        let blob = match &self.blob {
            Some(name) => net
                .blob(name)
                .ok_or_else(|| Failure::new(CONFIG, format!("--blob: the net has no blob `{name}`")))?,
            None => last_maps(&net, scores).ok_or_else(|| {
                Failure::new(CONFIG, "the net has no maps larger than 1 x 1: name a blob with --blob")
            })?,
        };
        let [1, _, h, w] = net.shape(blob)[..] else {
            let (name, shape) = (net.blob_name(blob), net.shape(blob));
            return Err(Failure::new(
                CONFIG,
                format!("--blob: `{name}` has shape {shape}, not 1 x C x H x W"),
            ));
        };
        let diff = net.diff_of(blob).ok_or_else(|| no_gradient(net.blob_name(blob)))?;
        let mut map = vec![0.0; h * w];
        for (values, diffs) in net.values(blob).chunks_exact(h * w).zip(diff.chunks_exact(h * w)) {
            let mean = diffs.iter().sum::<f32>() / (h * w) as f32;
            for ((sum, v), d) in map.iter_mut().zip(values).zip(diffs) {
                *sum += v * if self.method == Method::GradCam { mean } else { *d };
            }
        }
        map.iter_mut().for_each(|v| *v = v.max(0.0));
        if map.iter().all(|&v| v == 0.0) {
            let other =
                if self.method == Method::GradCam { ": --method hires-cam may tell more" } else { "" };
            report::warn(&format!("no place of `{}` speaks for class {class}{other}", net.blob_name(blob)));
        }
        Ok(enlarged(&map, [h, w], [look.tile.height, look.tile.width]))
    }
}

fn no_gradient(blob: &str) -> Failure {
    Failure::new(CONFIG, format!("no gradient of the class's score reaches blob `{blob}`"))
}

/// The blob behind a softmax, whose gradient does not vanish where the net is sure.
fn logits(net: &Net, scores: BlobId) -> BlobId {
    match maker(net, scores) {
        Some(layer) if layer.kind.name == "Softmax" => layer.bottoms[0],
        _ => scores,
    }
}

/// The last blob with maps larger than 1 x 1 that `scores` depends on, after all layers that change it in place.
fn last_maps(net: &Net, scores: BlobId) -> Option<BlobId> {
    let mut behind = HashSet::from([scores]);
    let layers: Vec<LayerView<'_>> = net.layers().collect();
    for layer in layers.iter().rev().filter(|layer| layer.kind.role != Role::Source) {
        if layer.tops.iter().any(|top| behind.contains(top)) {
            behind.extend(layer.bottoms);
        }
    }
    let mut tops = layers.iter().flat_map(|layer| layer.tops).copied().filter(|top| behind.contains(top));
    tops.rfind(|&top| matches!(net.shape(top)[..], [1, _, h, w] if h * w > 1))
}

/// A map enlarged bilinearly, its outer values carried on to the border.
fn enlarged(map: &[f32], [h, w]: [usize; 2], [rows, columns]: [usize; 2]) -> Vec<f32> {
    let place = |i: usize, from: usize, to: usize| {
        let at = ((i as f32 + 0.5) * from as f32 / to as f32 - 0.5).clamp(0.0, (from - 1) as f32);
        let low = at as usize;
        (low, (low + 1).min(from - 1), at - low as f32)
    };
    let mut out = Vec::with_capacity(rows * columns);
    for y in 0..rows {
        let (top, bottom, down) = place(y, h, rows);
        for x in 0..columns {
            let (left, right, along) = place(x, w, columns);
            let row = |y: usize| map[y * w + left] * (1.0 - along) + map[y * w + right] * along;
            out.push(row(top) * (1.0 - down) + row(bottom) * down);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_enlarged_smoothly() {
        assert_eq!(enlarged(&[1.0], [1, 1], [2, 3]), [1.0; 6]);
        assert_eq!(enlarged(&[0.0, 4.0], [1, 2], [1, 4]), [0.0, 1.0, 3.0, 4.0]);
        assert_eq!(enlarged(&[0.0, 1.0, 2.0, 3.0], [2, 2], [2, 2]), [0.0, 1.0, 2.0, 3.0]);
    }
}
