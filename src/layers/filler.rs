//! Fillers: how a parameter starts, or a `DummyData` top is filled.
//!
//! Numbers are drawn by position (see [`crate::kernels::random`]), so they do not depend on the order in which
//! blobs are filled. They are not Caffe's numbers for the same seed: its generator is not ours.

use rand::RngExt as _;
use rand_distr::{Distribution as _, StandardNormal};

use super::LayerError;
use crate::{
    config::{
        did_you_mean,
        proto::{FillerParameter, LayerParameter, filler_parameter::VarianceNorm},
    },
    kernels::{
        parallel::{CHUNK, for_chunks_mut},
        random::Draw,
    },
    tensor::Shape,
};

/// One kind of filler: overwrites the values of a blob of this shape.
type Fill = fn(&FillerParameter, &Shape, Draw, &mut [f32]) -> Result<(), String>;

/// All fillers, sorted by name.
pub const FILLERS: &[(&str, Fill)] = &[
    ("bilinear", bilinear),
    ("constant", constant),
    ("gaussian", gaussian),
    ("msra", msra),
    ("positive_unitball", positive_unitball),
    ("uniform", uniform),
    ("xavier", xavier),
];

/// Overwrites `values`, a blob of this shape, as `filler` says.
///
/// # Errors
/// For an unknown filler, and for a shape that the filler does not take.
pub fn fill(
    filler: &FillerParameter,
    shape: &Shape,
    draw: Draw,
    values: &mut [f32],
) -> Result<(), LayerError> {
    let row = check(filler, shape)?;
    FILLERS[row].1(filler, shape, draw, values)
        .map_err(|e| LayerError::setting("type", format!("filler `{}` {e}", filler.r#type())))
}

/// The row of a filler in [`FILLERS`].
///
/// # Errors
/// For an unknown filler.
pub fn check_type(filler: &FillerParameter) -> Result<usize, LayerError> {
    let name = filler.r#type();
    FILLERS.binary_search_by(|(n, _)| (*n).cmp(name)).map_err(|_| {
        let known = FILLERS.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", ");
        let hint = did_you_mean(name, FILLERS.iter().map(|(n, _)| *n));
        let hint = hint.map(|hint| format!("did you mean `{hint}`? ")).unwrap_or_default();
        LayerError::setting("type", format!("unknown filler `{name}`; {hint}there are: {known}"))
    })
}

/// The row of a filler in [`FILLERS`], for a blob of this shape.
///
/// # Errors
/// For an unknown filler, and for a `sparse` that it does not take.
pub fn check(filler: &FillerParameter, shape: &Shape) -> Result<usize, LayerError> {
    let row = check_type(filler)?;
    check_sparse(filler)?;
    let (sparse, outputs) = (filler.sparse(), outputs(shape));
    if sparse > 0 && sparse as usize > outputs {
        let message = format!(
            "filler `gaussian` needs sparse <= {outputs}, the length of the blob's first axis, found {sparse}"
        );
        return Err(LayerError::setting("sparse", message));
    }
    Ok(row)
}

/// Refuses what Caffe refuses whatever the shape: weights of 0 among those of a filler that makes none, and fewer than none.
///
/// # Errors
/// When `sparse` is not -1, which stands for no such weights.
pub fn check_sparse(filler: &FillerParameter) -> Result<(), LayerError> {
    let sparse = filler.sparse();
    let refuse = |message| Err(LayerError::setting("sparse", message));
    match filler.r#type() {
        "gaussian" if sparse < -1 => refuse(format!("filler `gaussian` needs sparse >= -1, found {sparse}")),
        "gaussian" => Ok(()),
        other if sparse != -1 => {
            refuse(format!("filler `{other}` does not take sparse, found {sparse}; only gaussian does"))
        }
        _ => Ok(()),
    }
}

/// Where an error of a filler like this one stands in a layer's settings, or nothing if it is a default.
pub fn place(config: &LayerParameter, filler: &FillerParameter, error: &LayerError) -> String {
    let field = if let LayerError::Setting { field, .. } = error { field } else { "type" };
    let found = fillers(config).into_iter().find(|(_, given)| *given == filler);
    found.map_or(String::new(), |(path, _)| format!("{path}.{field}"))
}

/// The fillers that a layer's settings give, with their paths.
pub fn fillers(config: &LayerParameter) -> Vec<(String, &FillerParameter)> {
    let c = config;
    let single = [
        ("bias_param.filler", c.bias_param.as_ref().and_then(|p| p.filler.as_ref())),
        ("bn_param.slope_filler", c.bn_param.as_ref().and_then(|p| p.slope_filler.as_ref())),
        ("bn_param.bias_filler", c.bn_param.as_ref().and_then(|p| p.bias_filler.as_ref())),
        ("bn_param.scale_filler", c.bn_param.as_ref().and_then(|p| p.scale_filler.as_ref())),
        ("bn_param.shift_filler", c.bn_param.as_ref().and_then(|p| p.shift_filler.as_ref())),
        (
            "convolution_param.weight_filler",
            c.convolution_param.as_ref().and_then(|p| p.weight_filler.as_ref()),
        ),
        ("convolution_param.bias_filler", c.convolution_param.as_ref().and_then(|p| p.bias_filler.as_ref())),
        ("embed_param.weight_filler", c.embed_param.as_ref().and_then(|p| p.weight_filler.as_ref())),
        ("embed_param.bias_filler", c.embed_param.as_ref().and_then(|p| p.bias_filler.as_ref())),
        (
            "inner_product_param.weight_filler",
            c.inner_product_param.as_ref().and_then(|p| p.weight_filler.as_ref()),
        ),
        (
            "inner_product_param.bias_filler",
            c.inner_product_param.as_ref().and_then(|p| p.bias_filler.as_ref()),
        ),
        ("norm_param.scale_filler", c.norm_param.as_ref().and_then(|p| p.scale_filler.as_ref())),
        ("prelu_param.filler", c.prelu_param.as_ref().and_then(|p| p.filler.as_ref())),
        ("recurrent_param.weight_filler", c.recurrent_param.as_ref().and_then(|p| p.weight_filler.as_ref())),
        ("recurrent_param.bias_filler", c.recurrent_param.as_ref().and_then(|p| p.bias_filler.as_ref())),
        ("scale_param.filler", c.scale_param.as_ref().and_then(|p| p.filler.as_ref())),
        ("scale_param.bias_filler", c.scale_param.as_ref().and_then(|p| p.bias_filler.as_ref())),
    ];
    let mut found: Vec<_> =
        single.into_iter().filter_map(|(path, filler)| Some((path.to_owned(), filler?))).collect();
    let several = c.dummy_data_param.iter().flat_map(|p| p.data_filler.iter().enumerate());
    found.extend(several.map(|(i, filler)| (format!("dummy_data_param.data_filler[{i}]"), filler)));
    found
}

/// Whether a filler leaves zeros as they are.
pub fn is_zero(filler: &FillerParameter) -> bool {
    filler.r#type() == "constant" && filler.value().to_bits() == 0
}

/// A filler of type "constant", as the default where a layer has one.
pub fn constant_of(value: f32) -> FillerParameter {
    FillerParameter { value: Some(value), ..FillerParameter::default() }
}

fn constant(f: &FillerParameter, _: &Shape, _: Draw, values: &mut [f32]) -> Result<(), String> {
    values.fill(f.value());
    Ok(())
}

fn uniform(f: &FillerParameter, _: &Shape, draw: Draw, values: &mut [f32]) -> Result<(), String> {
    let (low, high) = (f.min(), f.max());
    if low.is_nan() || high.is_nan() || low > high {
        return Err(format!("needs min <= max, found min {low} and max {high}"));
    }
    spread(low, high, draw, values);
    Ok(())
}

/// Even numbers from `low` to `high`.
fn spread(low: f32, high: f32, draw: Draw, values: &mut [f32]) {
    for_chunks_mut(values, CHUNK, |start, part| {
        let mut rng = draw.rng(start / CHUNK);
        part.iter_mut().for_each(|v| *v = low + (high - low) * rng.random::<f32>());
    });
}

/// Normal numbers; with `keep` below 1, each stays with that probability and is 0 otherwise.
fn normal(mean: f32, std: f32, keep: f32, draw: Draw, values: &mut [f32]) {
    for_chunks_mut(values, CHUNK, |start, part| {
        let mut rng = draw.rng(start / CHUNK);
        for v in part {
            let z: f32 = StandardNormal.sample(&mut rng);
            *v = if keep >= 1.0 || rng.random::<f32>() < keep { mean + std * z } else { 0.0 };
        }
    });
}

/// Normal numbers; `sparse` is how many weights of an output stay, in expectation, as a share of the outputs.
fn gaussian(f: &FillerParameter, shape: &Shape, draw: Draw, values: &mut [f32]) -> Result<(), String> {
    if f.std().is_nan() || f.std() < 0.0 {
        return Err(format!("needs std >= 0, found {}", f.std()));
    }
    let keep = if f.sparse() >= 0 { f.sparse() as f32 / outputs(shape) as f32 } else { 1.0 };
    normal(f.mean(), f.std(), keep, draw, values);
    Ok(())
}

/// How many outputs a weight has: its first axis.
fn outputs(shape: &Shape) -> usize {
    shape.first().copied().unwrap_or(1).max(1)
}

/// Even numbers from 0 to 1, each output's weights divided by their sum.
fn positive_unitball(
    _: &FillerParameter,
    shape: &Shape,
    draw: Draw,
    values: &mut [f32],
) -> Result<(), String> {
    spread(0.0, 1.0, draw, values);
    let row = values.len() / shape.first().copied().unwrap_or(1).max(1);
    for row in values.chunks_mut(row.max(1)) {
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|v| *v /= sum);
    }
    Ok(())
}

/// `FAN_IN`: inputs of an output; `FAN_OUT`: outputs of an input; or their mean. Caffe's rule: all values over the
/// first axis, and over the second.
fn fan(f: &FillerParameter, shape: &Shape) -> f32 {
    let count = shape.count() as f32;
    let over = |axis: usize| count / shape.get(axis).copied().unwrap_or(1).max(1) as f32;
    match f.variance_norm() {
        VarianceNorm::FanIn => over(0),
        VarianceNorm::FanOut => over(1),
        VarianceNorm::Average => (over(0) + over(1)) / 2.0,
    }
}

/// Glorot and Bengio 2010, with Caffe's default of the fan in alone: even within +-sqrt(3 / fan).
fn xavier(f: &FillerParameter, shape: &Shape, draw: Draw, values: &mut [f32]) -> Result<(), String> {
    let scale = (3.0 / fan(f, shape)).sqrt();
    spread(-scale, scale, draw, values);
    Ok(())
}

/// He et al. 2015: normal with deviation sqrt(2 / fan).
fn msra(f: &FillerParameter, shape: &Shape, draw: Draw, values: &mut [f32]) -> Result<(), String> {
    normal(0.0, (2.0 / fan(f, shape)).sqrt(), 1.0, draw, values);
    Ok(())
}

/// The kernel of bilinear upsampling, for a Deconvolution with kernel 2f - f % 2, stride f, pad ceil((f - 1) / 2).
fn bilinear(_: &FillerParameter, shape: &Shape, _: Draw, values: &mut [f32]) -> Result<(), String> {
    let &[_, _, height, width] = &shape[..] else {
        return Err(format!("needs a blob of four axes, found {shape}"));
    };
    if height != width {
        return Err(format!("needs a square kernel, found {height} x {width}"));
    }
    let factor = width.div_ceil(2) as f32;
    let centre = (width as f32 - 1.0) / (2.0 * factor);
    let weight = |i: usize| 1.0 - (i as f32 / factor - centre).abs();
    for (i, v) in values.iter_mut().enumerate() {
        *v = weight(i % width) * weight(i / width % height);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(filler: FillerParameter, shape: &[usize]) -> Result<Vec<f32>, LayerError> {
        let shape = Shape::from(shape);
        let mut values = vec![f32::NAN; shape.count()];
        fill(&filler, &shape, Draw::new(1, "w", 0), &mut values).map(|()| values)
    }

    fn named(name: &str) -> FillerParameter {
        FillerParameter { r#type: Some(name.into()), ..FillerParameter::default() }
    }

    #[test]
    fn fillers_of_layers_of_forks_have_a_place() {
        let text = "bn_param { slope_filler { } bias_filler { } scale_filler { } shift_filler { } } norm_param { scale_filler { } }";
        let config = crate::layers::gradient_check::config(text);
        let paths: Vec<_> = fillers(&config).into_iter().map(|(path, _)| path).collect();
        let bn = ["slope", "bias", "scale", "shift"].map(|name| format!("bn_param.{name}_filler"));
        assert_eq!(paths, [&bn[..], &["norm_param.scale_filler".to_owned()]].concat());
    }

    #[test]
    fn zeros_need_no_filling() {
        for (value, zero) in [(0.0, true), (-0.0, false), (1.0, false)] {
            assert_eq!(is_zero(&constant_of(value)), zero, "{value}");
        }
        assert!(is_zero(&FillerParameter::default()) && !is_zero(&named("gaussian")));
        assert_eq!(filled(FillerParameter::default(), &[3]).unwrap(), [0.0; 3]);
    }

    fn moments(v: &[f32]) -> (f64, f64) {
        let n = v.len() as f64;
        let mean = v.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        (mean, (v.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n).sqrt())
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(FILLERS.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn moments_are_as_asked() {
        let (mean, std) = moments(
            &filled(FillerParameter { mean: Some(1.0), std: Some(0.5), ..named("gaussian") }, &[100, 400])
                .unwrap(),
        );
        assert!((mean - 1.0).abs() < 0.02 && (std - 0.5).abs() < 0.02);
        let (mean, std) = moments(&filled(named("msra"), &[100, 50, 3, 3]).unwrap());
        assert!(mean.abs() < 0.01 && (std - (2.0f64 / 450.0).sqrt()).abs() < 0.002);
        let xavier = filled(named("xavier"), &[100, 50, 3, 3]).unwrap();
        let limit = (3.0f32 / 450.0).sqrt();
        assert!(xavier.iter().all(|v| v.abs() <= limit) && xavier.iter().any(|v| v.abs() > 0.99 * limit));
        let out = FillerParameter { variance_norm: Some(VarianceNorm::FanOut as i32), ..named("xavier") };
        assert!(filled(out, &[100, 50, 3, 3]).unwrap().iter().all(|v| v.abs() <= (3.0f32 / 900.0).sqrt()));
    }

    #[test]
    fn sparse_keeps_its_share() {
        let kept = filled(FillerParameter { sparse: Some(10), ..named("gaussian") }, &[100, 400]).unwrap();
        let share = kept.iter().filter(|&&v| v != 0.0).count() as f64 / kept.len() as f64;
        assert!((share - 0.1).abs() < 0.01, "{share}");
    }

    #[test]
    fn sparse_is_refused_where_caffe_aborts() {
        let sparse = |name: &str, sparse| {
            let filler = FillerParameter { sparse: Some(sparse), ..named(name) };
            filled(filler, &[4, 4]).map_err(|e| e.to_string())
        };
        for (name, _) in FILLERS.iter().filter(|(name, _)| *name != "gaussian") {
            assert!(sparse(name, 1).unwrap_err().contains("does not take sparse, found 1"), "{name}");
        }
        let refused = sparse("gaussian", 5).unwrap_err();
        assert_eq!(
            refused,
            "filler `gaussian` needs sparse <= 4, the length of the blob's first axis, found 5"
        );
        assert!(sparse("gaussian", -2).unwrap_err().contains("sparse >= -1"));
        assert!(sparse("gaussian", 4).is_ok() && sparse("gaussian", 0).unwrap().iter().all(|&v| v == 0.0));
        assert!(sparse("gaussian", -1).is_ok() && sparse("constant", -1).is_ok());
    }

    #[test]
    fn unitball_rows_sum_to_one() {
        let v = filled(named("positive_unitball"), &[3, 7]).unwrap();
        assert!(v.chunks(7).all(|r| (r.iter().sum::<f32>() - 1.0).abs() < 1e-5));
    }

    #[test]
    fn bilinear_by_hand() {
        let v = filled(named("bilinear"), &[1, 1, 4, 4]).unwrap();
        assert_eq!(v[..4], [0.0625, 0.1875, 0.1875, 0.0625]);
        let v = filled(named("bilinear"), &[1, 1, 3, 3]).unwrap();
        assert_eq!(v[..3], [0.25, 0.5, 0.25]);
        assert!(filled(named("bilinear"), &[1, 1, 3, 4]).unwrap_err().to_string().contains("square"));
    }

    #[test]
    fn bad_fillers_are_refused() {
        assert!(filled(named("gausian"), &[1]).unwrap_err().to_string().contains("unknown filler `gausian`"));
        let e = filled(FillerParameter { min: Some(2.0), ..named("uniform") }, &[1]).unwrap_err();
        assert_eq!(e.to_string(), "filler `uniform` needs min <= max, found min 2 and max 1");
    }
}
