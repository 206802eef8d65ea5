//! A net to deploy and an image for it.

use std::path::PathBuf;

use clap::Args;

use crate::{
    cli::{
        Failure,
        prepare::{self, Prepare, PrepareArgs},
        weights,
    },
    config::{self, NetFile, proto::Phase},
    data::{Image, Pixels},
    net::{Net, NetError, Options, Params},
    report::{self, picture::Tile},
    snapshot::Weights,
    tensor::Shape,
};

/// What to look at.
#[derive(Args, Debug)]
pub struct LookArgs {
    /// The image: JPEG, PNG, BMP or PNM
    #[arg(long, value_name = "FILE")]
    image: PathBuf,
    /// The net to deploy, whose Input layer takes the image
    #[arg(long, value_name = "NET")]
    model: PathBuf,
    /// The weights; several files are laid over each other
    #[arg(long, value_delimiter = ',', value_parser = weights::parser(), required = true, value_name = "FILE,...")]
    weights: Vec<PathBuf>,
    #[command(flatten)]
    prepare: PrepareArgs,
}

/// A net and an image for it.
pub struct Look {
    /// The net's file.
    pub file: NetFile,
    /// The blob that takes the image.
    pub input: String,
    /// Its shape, of one image.
    pub shape: Shape,
    /// The values for it.
    pub values: Vec<f32>,
    /// What the net sees of the image.
    pub tile: Tile,
    weights: Vec<Weights>,
}

impl LookArgs {
    /// Reads net, weights and image.
    pub fn open(&self) -> Result<Look, Failure> {
        let file = config::load_net(&self.model)?;
        report::warn_all(&file.warnings);
        let weights = weights::load(&self.weights)?;
        let net = Net::new(&file.net, Options::new(Phase::Test, 1), &mut Params::new());
        let net = net.map_err(|e| Failure::net(&e, Some(&file)))?;
        let (input, shape) = prepare::input(&net, &self.model)?;
        let prepare = Prepare::new(&self.prepare, false, shape)?;
        let image = prepare.read(&self.image)?;
        let tile = tile(&prepare.shown(&image), self.prepare.rgb);
        let (shape, values) = prepare.batch(image.shape, &Pixels::U8(image.values));
        Ok(Look { file, input, shape, values, tile, weights })
    }
}

impl Look {
    /// The net with its weights, the image in place; `given` are the blobs that a backward pass to the image begins at.
    pub fn net(&self, given: &[String]) -> Result<(Net, Params), Failure> {
        let fail = |e: NetError| Failure::net(&e, Some(&self.file));
        let mut source = self.file.net.clone();
        source.force_backward = Some(!given.is_empty());
        let mut params = Params::new();
        let options = Options {
            keep_all: true,
            // Pictures are of layers, not of names.
            fuse: false,
            backward: !given.is_empty(),
            given_diffs: given.to_vec(),
            ..Options::new(Phase::Test, 1)
        };
        let mut net = Net::new(&source, options, &mut params).map_err(fail)?;
        weights::copy(self.weights.clone(), &net, &mut params, &self.file)?;
        self.feed(&mut net, self.shape.clone(), &self.values)?;
        Ok((net, params))
    }

    /// Puts a batch of images in place.
    pub fn feed(&self, net: &mut Net, shape: Shape, values: &[f32]) -> Result<(), Failure> {
        let fed = net.reshape(&[(&self.input, shape)]).and_then(|()| net.set_input(&self.input, values));
        fed.map_err(|e| Failure::net(&e, Some(&self.file)))
    }

    /// Runs the net forward.
    pub fn forward(&self, net: &mut Net, params: &mut Params) -> Result<(), Failure> {
        net.forward(params).map(drop).map_err(|e| Failure::net(&e, Some(&self.file)))
    }
}

/// An image as it is shown.
fn tile(image: &Image, rgb: bool) -> Tile {
    let [c, h, w] = image.shape;
    let planes: Vec<&[u8]> = image.values.chunks_exact(h * w).collect();
    let order = match (c, rgb) {
        (3, true) => [0, 1, 2],
        (3, false) => [2, 1, 0],
        _ => [0; 3],
    };
    let pixels = (0..h * w).map(|i| order.map(|plane| planes[plane][i])).collect();
    Tile { width: w, height: h, pixels }
}
