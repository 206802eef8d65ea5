//! From an image file to the values of a net's input: what `classify`, `evaluate` and `visualize` share.

use std::{fs, path::Path};

use clap::Args;

use super::{
    Failure,
    crops::{Crop, crops},
    failure::CONFIG,
};
use crate::{
    config::proto::{Phase, TransformationParameter},
    data::{Decode, Image, Pixels, Transform},
    layers::Role,
    net::{BlobId, LayerView, Net},
    tensor::Shape,
};

/// How images become the values of a net's input.
#[derive(Args, Clone, Debug)]
pub struct PrepareArgs {
    /// The mean to subtract: a file as compute-image-mean writes it, or one value, or one for each channel; a mean
    /// image of another size than the scaled image counts by its channels' means
    #[arg(long, value_name = "FILE|VALUE,...")]
    mean: Option<String>,
    /// What to multiply pixels with after that, as scale of transform_param
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    scale: f32,
    /// Height and width that images are scaled to before the crop [default: the net's input, with --oversample
    /// larger by 256/227]
    #[arg(long, alias = "images_dim", value_name = "H,W", value_parser = pair)]
    image_dims: Option<[usize; 2]>,
    /// The net takes colours in the order red, green, blue, as after training on databases of CIFAR's files, and not blue,
    /// green, red
    #[arg(long)]
    pub rgb: bool,
}

fn pair(text: &str) -> Result<[usize; 2], String> {
    let sides: Option<Vec<usize>> = text.split([',', 'x']).map(|side| side.trim().parse().ok()).collect();
    match sides.as_deref() {
        Some(&[h, w]) if (1..=1 << 14).contains(&h) && (1..=1 << 14).contains(&w) => Ok([h, w]),
        _ => Err("expected a height and a width, such as 256,256".into()),
    }
}

/// The blob of a net to deploy that takes an image, and channels, height and width of its shape.
///
/// # Errors
/// When the net of the file `model` has no such blob.
pub fn input(net: &Net, model: &Path) -> Result<(String, [usize; 3]), Failure> {
    let bad =
        |problem: &str| Err(Failure::new(CONFIG, format!("{} takes no image: {problem}", model.display())));
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

/// The blob of a score for each class: the one of this name, or else the net's only output.
///
/// # Errors
/// When there is none of this name, or not just one.
pub fn scores(net: &Net, name: Option<&str>) -> Result<BlobId, Failure> {
    let outputs = net.outputs();
    let name = match (name, &outputs[..]) {
        (Some(name), _) => name,
        (None, [output]) => output.name,
        (None, outputs) => {
            let names: Vec<_> = outputs.iter().map(|o| o.name).collect();
            let message =
                format!("the net has several outputs, {}: name one with --output", names.join(", "));
            return Err(Failure::new(CONFIG, message));
        }
    };
    let missing = || Failure::new(CONFIG, format!("--output: the net has no blob `{name}`"));
    net.blob(name).ok_or_else(missing)
}

/// The layer that makes a blob; those that only pass it on are left out.
pub fn maker(net: &Net, blob: BlobId) -> Option<LayerView<'_>> {
    let layer = net.layers().find(|layer| layer.tops.contains(&blob))?;
    match layer.kind.name {
        "Split" => maker(net, layer.bottoms[0]),
        _ => Some(layer),
    }
}

/// The names of the classes: the lines of a file.
///
/// # Errors
/// When it cannot be read.
pub fn class_names(path: Option<&Path>) -> Result<Vec<String>, Failure> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let text = fs::read_to_string(path)
        .map_err(|e| Failure::new(CONFIG, format!("--labels: cannot read {}: {e}", path.display())))?;
    Ok(text.lines().map(|line| line.trim().to_owned()).collect())
}

/// The name of a class, or its number.
pub fn class_name(class: usize, names: &[String]) -> String {
    names.get(class).cloned().unwrap_or_else(|| class.to_string())
}

/// From an image to the values of the net's input.
pub struct Prepare {
    input: [usize; 3],
    /// Height and width before the crop.
    scaled: [usize; 2],
    crops: Vec<Crop>,
    transform: Transform,
    rgb: bool,
}

impl Prepare {
    /// For an input of these channels, height and width; with `oversample` for ten crops of an image.
    ///
    /// # Errors
    /// When the settings do not fit the input.
    pub fn new(args: &PrepareArgs, oversample: bool, input: [usize; 3]) -> Result<Self, Failure> {
        let [c, h, w] = input;
        let larger = |side: usize| (side as f64 * 256.0 / 227.0).round() as usize;
        let scaled = args.image_dims.unwrap_or(if oversample { [larger(h), larger(w)] } else { [h, w] });
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
        let mut transform = Transform::from_config(&param, Phase::Test)?;
        if transform.output([c, scaled[0], scaled[1]]).is_err() {
            transform.flatten_mean();
        }
        transform
            .output([c, scaled[0], scaled[1]])
            .map_err(|problem| Failure::new(CONFIG, format!("--mean does not fit the image: {problem}")))?;
        Ok(Self { input, scaled, crops: crops(scaled, [h, w], oversample), transform, rgb: args.rgb })
    }

    /// The image of a file, with the channels of the net's input, scaled.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, path: &Path) -> Result<Image, Failure> {
        let image = Image::read(path, self.decode())?;
        Ok(self.fit(&self.ordered(image)))
    }

    /// How image files are to be decoded.
    pub fn decode(&self) -> Decode {
        if self.input[0] == 1 { Decode::Gray } else { Decode::Color }
    }

    /// An image of a file with its colours in the order that the net takes.
    pub fn ordered(&self, mut image: Image) -> Image {
        let [c, h, w] = image.shape;
        if self.rgb && c == 3 {
            let (first, rest) = image.values.split_at_mut(h * w);
            first.swap_with_slice(&mut rest[h * w..]);
        }
        image
    }

    /// Height and width before the crop.
    pub fn scaled(&self) -> [usize; 2] {
        self.scaled
    }

    /// Channels of the net's input.
    pub fn channels(&self) -> usize {
        self.input[0]
    }

    /// An image of the input's channels, scaled.
    pub fn fit(&self, image: &Image) -> Image {
        image.scaled(self.scaled[0], self.scaled[1])
    }

    /// The batch of the crops of a scaled image of this shape.
    pub fn batch(&self, shape: [usize; 3], pixels: &Pixels) -> (Shape, Vec<f32>) {
        let [c, h, w] = self.input;
        let mut values = vec![0.0; self.crops.len() * c * h * w];
        for (crop, out) in self.crops.iter().zip(values.chunks_exact_mut(c * h * w)) {
            self.transform.apply_at(shape, pixels, [crop.top, crop.left], [h, w], out);
            if crop.flip {
                out.chunks_exact_mut(w).for_each(<[f32]>::reverse);
            }
        }
        (Shape::from([self.crops.len(), c, h, w]), values)
    }

    /// The part of a scaled image that the first crop shows.
    pub fn shown(&self, image: &Image) -> Image {
        let ([c, h, w], [_, rows, columns]) = (self.input, image.shape);
        let Crop { top, left, .. } = self.crops[0];
        let mut values = Vec::with_capacity(c * h * w);
        for plane in image.values.chunks_exact(rows * columns) {
            let lines = plane.chunks_exact(columns).skip(top).take(h);
            lines.for_each(|line| values.extend_from_slice(&line[left..left + w]));
        }
        Image { shape: self.input, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dims_are_two() {
        assert_eq!(pair("256,200"), Ok([256, 200]));
        assert!(pair("256").is_err() && pair("0,3").is_err() && pair("a,b").is_err());
    }

    #[test]
    fn what_is_shown_is_what_the_net_sees() {
        let args = PrepareArgs { mean: Some("1".into()), scale: 2.0, image_dims: Some([4, 5]), rgb: false };
        let prepare = Prepare::new(&args, false, [1, 2, 3]).unwrap();
        let image = Image { shape: [1, 4, 5], values: (0..20).collect() };
        let shown = prepare.shown(&image);
        assert_eq!((shown.shape, &shown.values[..]), ([1, 2, 3], &[6, 7, 8, 11, 12, 13][..]));
        let (shape, values) = prepare.batch(image.shape, &Pixels::U8(image.values));
        assert_eq!((&shape[..], &values[..]), (&[1, 1, 2, 3][..], &[10.0, 12.0, 14.0, 20.0, 22.0, 24.0][..]));
    }

    #[test]
    fn colours_are_put_in_the_order_that_the_net_takes() {
        let image = Image { shape: [3, 1, 2], values: vec![1, 2, 3, 4, 5, 6] };
        for (rgb, expected) in [(false, [1, 2, 3, 4, 5, 6]), (true, [5, 6, 3, 4, 1, 2])] {
            let args = PrepareArgs { mean: None, scale: 1.0, image_dims: None, rgb };
            assert_eq!(
                Prepare::new(&args, false, [3, 1, 2]).unwrap().ordered(image.clone()).values,
                expected
            );
        }
    }
}
