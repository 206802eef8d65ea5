//! `cnnctl visualize features`.

use clap::Args;

use super::{Done, Failure, Target, look::LookArgs};
use crate::{
    cli::failure::CONFIG,
    config,
    layers::Role,
    net::{BlobId, Net},
    report::{
        self,
        picture::{self, Colors, Sheet, Tile, range},
    },
};

/// Draw what a layer makes of an image: a map for each of its channels
#[derive(Args, Debug)]
pub struct FeaturesArgs {
    #[command(flatten)]
    look: LookArgs,
    /// The blob, after all layers that change it in place [default: that of the first layer with weights]
    #[arg(long, value_name = "NAME", conflicts_with = "layer")]
    blob: Option<String>,
    /// The layer whose first top is drawn, before later layers change it in place
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    #[command(flatten)]
    target: Target,
    /// Brightest is the largest value of all maps, and not of each
    #[arg(long)]
    shared_range: bool,
    /// How many maps to draw at most
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    most: u32,
}

/// Maps up to this many have their numbers below them.
const NUMBERED: usize = 64;

impl FeaturesArgs {
    pub(super) fn run(self) -> Done {
        let look = self.look.open()?;
        let (mut net, mut params) = look.net(&[])?;
        look.forward(&mut net, &mut params)?;
        let blob = self.blob(&net)?;
        self.target.write(picture::tiles(&self.sheet(&net, blob)?))
    }

    fn blob(&self, net: &Net) -> Result<BlobId, Failure> {
        let missing = |what: &str, name: &str, names: &[&str]| {
            let hint = config::or_did_you_mean(name, names.iter().copied());
            Failure::new(CONFIG, format!("the net has no {what} `{name}`{hint}"))
        };
        if let Some(name) = &self.blob {
            return net.blob(name).ok_or_else(|| missing("blob", name, &net.blob_names()));
        }
        if let Some(name) = &self.layer {
            let names: Vec<&str> = net.layers().map(|layer| layer.config.name()).collect();
            let layer = net.layers().find(|layer| layer.config.name() == name);
            let layer = layer.ok_or_else(|| missing("layer", name, &names))?;
            let none = || Failure::new(CONFIG, format!("layer `{name}` makes no blob"));
            return layer.tops.first().copied().ok_or_else(none);
        }
        let first = net.layers().find(|layer| !layer.params.is_empty() && layer.kind.role != Role::Source);
        let name = first.and_then(|layer| layer.tops.first().map(|&top| net.blob_name(top)));
        let none = || Failure::new(CONFIG, "no layer of the net has weights: name a blob with --blob");
        name.and_then(|name| net.blob(name)).ok_or_else(none)
    }

    fn sheet(&self, net: &Net, blob: BlobId) -> Result<Sheet, Failure> {
        let (name, shape, values) = (net.blob_name(blob), net.shape(blob), net.values(blob));
        let all = range(values);
        let (channels, h, w) = match shape[..] {
            [1, c, h, w] => (c, h, w),
            [1, c] => (c, 1, 1),
            _ => {
                let message = format!(
                    "blob `{name}` has shape {shape}: maps of one image have 1 x C x H x W, or 1 x C"
                );
                return Err(Failure::new(CONFIG, message));
            }
        };
        if h * w == 1 {
            // A value for each channel: one map of them all, in rows.
            let side = (channels as f64).sqrt().ceil() as usize;
            let mut filled = values.to_vec();
            filled.resize(channels.div_ceil(side.max(1)) * side, all[0]);
            let title = format!("{name}: {channels} values");
            let subtitle = "in rows, dark for the smallest".to_owned();
            let tiles = vec![Tile::of_values(&filled, side, all, Colors::Viridis)];
            return Ok(Sheet { title, subtitle, tiles, ..Sheet::default() });
        }
        let shown = channels.min(self.most as usize);
        let maps = values.chunks_exact(h * w).take(shown);
        let own = |map: &[f32]| if self.shared_range { all } else { range(map) };
        let mut sheet = Sheet {
            title: format!("{name}: {channels} maps"),
            subtitle: format!(
                "{h} x {w}; {} range from dark to bright",
                if self.shared_range { "one" } else { "each its own" }
            ),
            tiles: maps.map(|map| Tile::of_values(map, w, own(map), Colors::Viridis)).collect(),
            ..Sheet::default()
        };
        if shown <= NUMBERED {
            sheet.captions = (0..shown).map(|i| i.to_string()).collect();
        }
        if shown < channels {
            sheet.subtitle += &format!("; the first {shown}");
            report::warn(&format!("only {shown} of {channels} maps are drawn; --most {channels} draws all"));
        }
        Ok(sheet)
    }
}
