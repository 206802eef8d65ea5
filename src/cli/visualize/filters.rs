//! `cnnctl visualize filters`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Done, Failure, Target};
use crate::{
    cli::{failure::CONFIG, weights},
    config,
    report::{
        self,
        picture::{self, Colors, Sheet, Tile, around_zero, range},
    },
    snapshot::{BlobValues, Weights},
};

/// Draw the filters of a layer, those over three channels in colour
///
/// Without --layer the first layer that has filters. Filters over other numbers of channels are drawn a row for each filter and
/// a column for each channel: blue where they are negative, red where they are positive. Rows of an InnerProduct layer over a
/// square image, or three, are drawn likewise.
#[derive(Args, Debug)]
pub struct FiltersArgs {
    /// The weights; of several files the last that has the layer counts
    #[arg(long, value_delimiter = ',', value_parser = weights::parser(), required = true, value_name = "FILE,...")]
    weights: Vec<PathBuf>,
    /// The net, whose order of layers counts [default: that of the weights]
    #[arg(long, value_name = "NET")]
    model: Option<PathBuf>,
    /// The layer
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    #[command(flatten)]
    target: Target,
    /// The channels come in the order red, green, blue, and not blue, green, red, as Caffe reads images
    #[arg(long)]
    rgb: bool,
    /// Which values have full colour: each filter's own largest, or the largest of the layer
    #[arg(long, value_enum, default_value = "filter", value_name = "OF")]
    contrast: Contrast,
    /// Colours of filters that are not over three channels
    #[arg(long, value_enum, default_value = "signed", value_name = "COLOURS")]
    colors: ColorsArg,
    /// How many pictures to draw at most: of filters, or of channels of filters
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    most: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Contrast {
    Filter,
    Layer,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ColorsArg {
    /// Blue, white, red.
    Signed,
    /// Black to white.
    Gray,
}

/// Filters of a layer: `count x channels x height x width` values.
#[derive(Debug, PartialEq)]
struct Filters {
    layer: String,
    sides: [usize; 4],
    values: Vec<f32>,
}

impl FiltersArgs {
    pub(super) fn run(self) -> Done {
        let files = weights::load(&self.weights)?;
        let filters = self.find(&files)?;
        self.target.write(picture::tiles(&self.sheet(&filters)))
    }

    /// The filters of the layer that is asked for, or of the first that has some.
    fn find(&self, files: &[Weights]) -> Result<Filters, Failure> {
        let mut order: Vec<String> = Vec::new();
        if let Some(path) = &self.model {
            order.extend(config::load_net(path)?.net.layer.iter().map(|layer| layer.name().to_owned()));
        } else if let Some(net) = files.iter().find_map(|weights| weights.source_net.as_ref()) {
            order.extend(net.layer.iter().map(|layer| layer.name().to_owned()));
        }
        // Those that no net tells the order of come as in the file.
        order.extend(files.iter().flat_map(|weights| &weights.layers).map(|layer| layer.name.clone()));
        let blob = |name: &str| -> Option<&BlobValues> {
            let layers = files.iter().rev().flat_map(|weights| &weights.layers);
            layers.filter(|layer| layer.name == name).find_map(|layer| layer.blobs.first()?.as_ref())
        };
        if let Some(name) = &self.layer {
            let Some(blob) = blob(name) else {
                let names = order.iter().filter(|name| blob(name).is_some()).map(String::as_str);
                let hint = config::or_did_you_mean(name, names);
                let message = format!("the weights have no layer `{name}`{hint}");
                return Err(Failure::new(CONFIG, message));
            };
            return filters(name, blob).ok_or_else(|| {
                let shape = &blob.shape;
                Failure::new(
                    CONFIG,
                    format!("layer `{name}` has no filters to draw: its weights have shape {shape}"),
                )
            });
        }
        // Convolutions before rows of InnerProduct layers, which may look like images by chance.
        let all = || order.iter().filter_map(|name| filters(name, blob(name)?));
        let found =
            all().find(|f| f.sides[2] * f.sides[3] > 1 && f.sides[1] > 0 && is_convolution(blob(&f.layer)));
        found.or_else(|| all().next()).ok_or_else(|| {
            Failure::new(
                CONFIG,
                "the weights have no layer with filters; --layer NAME draws those of another layer",
            )
        })
    }

    fn sheet(&self, filters: &Filters) -> Sheet {
        let [count, channels, h, w] = filters.sides;
        let most = self.most as usize;
        let plane = h * w;
        let apart = channels != 1 && channels != 3;
        // Of filters that are drawn by channel, as many as channels, if there are enough of both.
        let across = if apart { channels.min((most / count.min(most.isqrt()).max(1)).max(1)) } else { 1 };
        let shown = count.min((most / across).max(1));
        let whole = self.contrast == Contrast::Layer;
        let of_filter = |i: usize| &filters.values[i * channels * plane..][..channels * plane];
        let mut sheet = Sheet { title: format!("{}: {count} filters", filters.layer), ..Sheet::default() };
        let each = if plane == 1 { "1 x 1".to_owned() } else { format!("{h} x {w}") };
        sheet.subtitle =
            format!("{each} over {channels} {}", if channels == 1 { "channel" } else { "channels" });
        if channels == 3 {
            let order = if self.rgb { [0, 1, 2] } else { [2, 1, 0] };
            sheet.tiles = (0..shown)
                .map(|i| {
                    let planes = order.map(|c| &of_filter(i)[c * plane..][..plane]);
                    Tile::of_planes(planes, w, range(if whole { &filters.values } else { of_filter(i) }))
                })
                .collect();
        } else {
            let colors = match self.colors {
                ColorsArg::Signed => Colors::Signed,
                ColorsArg::Gray => Colors::Gray,
            };
            sheet.columns = apart.then_some(across);
            for i in 0..shown {
                let range = around_zero(if whole { &filters.values } else { of_filter(i) });
                let channels = of_filter(i).chunks_exact(plane.max(1)).take(across);
                sheet.tiles.extend(channels.map(|values| Tile::of_values(values, w, range, colors)));
            }
            if apart {
                sheet.subtitle += "; a row for each filter, a column for each channel";
            }
        }
        if shown < count || (apart && across < channels) {
            let part = if apart {
                format!("{shown} filters, {across} channels")
            } else {
                format!("{shown} filters")
            };
            sheet.subtitle += &format!("; the first {part}");
            let all = if apart { count * channels } else { count };
            report::warn(&format!("only the first {part} are drawn; --most {all} draws all"));
        }
        sheet
    }
}

fn is_convolution(blob: Option<&BlobValues>) -> bool {
    blob.is_some_and(|blob| blob.shape.len() == 4 && blob.shape[..2] != [1, 1])
}

/// The filters of a layer with these weights; `None` if they are none.
fn filters(layer: &str, blob: &BlobValues) -> Option<Filters> {
    let sides = match blob.shape[..] {
        // Old files have four axes for all.
        [1, 1, count, inputs] | [count, inputs] => {
            let side =
                |area: usize| Some((area as f64).sqrt().round() as usize).filter(|s| s * s == area && *s > 1);
            match (side(inputs), inputs.is_multiple_of(3).then(|| side(inputs / 3)).flatten()) {
                (Some(side), _) => [count, 1, side, side],
                (None, Some(side)) => [count, 3, side, side],
                (None, None) => return None,
            }
        }
        [count, channels, h, w] => [count, channels, h, w],
        _ => return None,
    };
    (!sides.contains(&0)).then(|| Filters { layer: layer.to_owned(), sides, values: blob.values.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Shape;

    fn blob(shape: &[usize]) -> BlobValues {
        let shape = Shape::from(shape);
        let values: Vec<f32> = (0..shape.count()).map(|v| v as f32).collect();
        BlobValues { values: values.into(), legacy: false, shape }
    }

    #[test]
    fn weights_that_are_filters() {
        let sides = |shape: &[usize]| filters("l", &blob(shape)).map(|f| f.sides);
        assert_eq!(sides(&[2, 3, 5, 4]), Some([2, 3, 5, 4]));
        assert_eq!(sides(&[10, 64]), Some([10, 1, 8, 8]));
        assert_eq!(sides(&[1, 1, 10, 12]), Some([10, 3, 2, 2]));
        assert_eq!([sides(&[10, 7]), sides(&[10]), sides(&[2, 0, 3, 3])], [None, None, None]);
    }
}
