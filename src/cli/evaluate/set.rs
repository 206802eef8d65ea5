//! A net over a whole set, each sample once.

use std::path::Path;

use super::{EvaluateArgs, Failure, Worst, verdict::Verdict};
use crate::{
    cli::{
        entries::{self, guess, in_parallel},
        failure::{CONFIG, DATA},
        prepare::{self, Prepare},
        weights,
    },
    config::{
        NetFile,
        proto::{NetParameter, Phase, TransformationParameter},
    },
    data::{Image, Location, Pixels, Sample},
    layers::Role,
    measures::Samples,
    net::{BlobId, Net, NetError, Options, Params},
    report,
    snapshot::Weights,
    solver::WholeSet,
};

/// A net in phase TEST all of whose blobs can be looked at.
fn options(args: &EvaluateArgs, net: &NetParameter) -> Options {
    Options { state: args.state.state(Phase::Test, net), keep_all: true, ..Options::new(Phase::Test, 1) }
}

/// Runs a net over the set that its own data layers read.
pub fn of_net(
    args: &EvaluateArgs,
    file: &NetFile,
    weights: Vec<Weights>,
    worst: &mut Worst,
) -> Result<Samples, Failure> {
    let fail = |e: NetError| Failure::net(&e, Some(file));
    let options = options(args, &file.net);
    let mut params = Params::new();
    let mut net = Net::new(&file.net, options, &mut params).map_err(fail)?;
    let whole = WholeSet::of(&mut net).map_err(fail)?.ok_or_else(|| {
        Failure::new(CONFIG, "the net reads no data set in phase TEST: a net to deploy needs --data PATH")
    })?;
    weights::copy(weights, &net, &mut params, file)?;
    let verdict = Verdict::of(&net, args.output.as_deref())?;
    let Some(labels) = verdict.labels.or_else(|| second_top(&net)) else {
        return Err(Failure::new(CONFIG, "the net has no labels: no Accuracy layer or loss reads any"));
    };
    let image = image(&net);
    let mut samples = Samples::new(verdict.classes);
    report::info(&format!("Running for {} iterations.", whole.batches()));
    for i in 0..whole.batches() {
        whole.forward(i, &mut net, &mut params).map_err(fail)?;
        let numbers = verdict.read(&net, net.values(labels), &mut samples)?;
        for (row, number) in numbers.into_iter().enumerate() {
            if let (Some(number), Some((blob, mean))) = (number, &image)
                && worst.wants(samples.losses[number])
            {
                let shape = [1, 2, 3].map(|axis| net.shape(*blob)[axis]);
                let values =
                    &net.values(*blob)[row * shape.iter().product::<usize>()..][..shape.iter().product()];
                worst.add(number, samples.losses[number], shape, &with_mean(values, shape, mean));
            }
        }
    }
    net.finish().map_err(fail)?;
    Ok(samples)
}

/// Runs a net to deploy over the set at `path`.
pub fn given(
    args: &EvaluateArgs,
    path: &Path,
    file: &NetFile,
    weights: Vec<Weights>,
    worst: &mut Worst,
) -> Result<Samples, Failure> {
    let fail = |e: NetError| Failure::net(&e, Some(file));
    let mut params = Params::new();
    let mut net = Net::new(&file.net, options(args, &file.net), &mut params).map_err(fail)?;
    weights::copy(weights, &net, &mut params, file)?;
    let model = args.model.as_deref().unwrap_or(Path::new("the net of the weights"));
    let (input, shape) = prepare::input(&net, model)?;
    let prepare = Prepare::new(&args.prepare, false, shape)?;
    let verdict = Verdict::of(&net, args.output.as_deref())?;
    let location = Location {
        path: path.to_owned(),
        labels: args.data_labels.clone(),
        root_folder: args.root_folder.clone(),
        decode: prepare.decode(),
        ..Location::default()
    };
    let kind = args.backend.as_deref().unwrap_or_else(|| guess(path));
    let source = entries::open(kind, &location)?;
    let batch = net.blob(&input).map_or(1, |id| net.shape(id)[0]).max(1);
    let mut samples = Samples::new(verdict.classes);
    report::info(&format!("Running over {} samples.", source.len()));
    let mut rows: Vec<Sample> = Vec::new();
    for (i, sample) in in_parallel(source.len(), |i| source.read(i)).enumerate() {
        rows.push(prepare.sample(sample?, kind == "image_list")?);
        if rows.len() < batch && i + 1 < source.len() {
            continue;
        }
        let values: Vec<f32> = rows.iter().flat_map(|s| prepare.batch(s.shape, &s.pixels).1).collect();
        let [c, h, w] = shape;
        net.reshape(&[(&input, [rows.len(), c, h, w].into())]).map_err(fail)?;
        net.set_input(&input, &values).map_err(fail)?;
        net.forward(&mut params).map_err(fail)?;
        let labels = rows.iter().map(label).collect::<Result<Vec<f32>, _>>()?;
        for (row, number) in rows.iter().zip(verdict.read(&net, &labels, &mut samples)?) {
            if let Some(number) = number.filter(|&n| worst.wants(samples.losses[n])) {
                worst.add(number, samples.losses[number], row.shape, &floats(&row.pixels));
            }
        }
        rows.clear();
    }
    Ok(samples)
}

fn label(sample: &Sample) -> Result<f32, Failure> {
    let none = || Failure::new(DATA, format!("sample `{}` has no label", sample.key));
    sample.labels.first().copied().ok_or_else(none)
}

fn floats(pixels: &Pixels) -> Vec<f32> {
    match pixels {
        Pixels::U8(values) => values.iter().map(|&v| f32::from(v)).collect(),
        Pixels::F32(values) => values.clone(),
    }
}

/// The labels of a net without a layer that reads them.
fn second_top(net: &Net) -> Option<BlobId> {
    net.layers().find(|layer| layer.kind.role == Role::Source)?.tops.get(1).copied()
}

/// The blob of the images, if the samples are some, and the settings that they were prepared with.
fn image(net: &Net) -> Option<(BlobId, TransformationParameter)> {
    let source = net.layers().find(|layer| layer.kind.role == Role::Source)?;
    let blob = *source.tops.first()?;
    let is_image = matches!(net.shape(blob)[..], [_, 1 | 3, h, w] if h > 1 && w > 1);
    is_image.then(|| (blob, source.config.transform_param.clone().unwrap_or_default()))
}

/// The values as they were before scale and mean, as far as the mean is one value for a channel.
fn with_mean(values: &[f32], [c, h, w]: [usize; 3], param: &TransformationParameter) -> Vec<f32> {
    let mean = |i: usize| match &param.mean_value[..] {
        [] => 0.0,
        means => means[(i / (h * w)).min(means.len() - 1)],
    };
    debug_assert_eq!(values.len(), c * h * w);
    let scale = if param.scale() == 0.0 { 1.0 } else { param.scale() };
    values.iter().enumerate().map(|(i, v)| v / scale + mean(i)).collect()
}

impl Prepare {
    /// A sample of a set, with the shape that the net's input is cut from; of `files` the colours are put in order.
    fn sample(&self, sample: Sample, files: bool) -> Result<Sample, Failure> {
        let Sample { shape, pixels, labels, key } = sample;
        let wrong = |problem: String| Failure::new(DATA, format!("sample `{key}`: {problem}"));
        if shape[0] != self.channels() {
            return Err(wrong(format!(
                "it has {} channels, but the net's input {}",
                shape[0],
                self.channels()
            )));
        }
        let (shape, pixels) = match pixels {
            Pixels::U8(values) => {
                let image = Image { shape, values };
                let image = self.fit(&if files { self.ordered(image) } else { image });
                (image.shape, Pixels::U8(image.values))
            }
            Pixels::F32(_) if shape[1..] != self.scaled() => {
                let [h, w] = self.scaled();
                return Err(wrong(format!(
                    "it is {} x {}, not {h} x {w}, and numbers are not scaled",
                    shape[1], shape[2]
                )));
            }
            pixels => (shape, pixels),
        };
        Ok(Sample { shape, pixels, labels, key })
    }
}
