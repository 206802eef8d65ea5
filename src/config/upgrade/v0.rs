//! V0 to V1: a layer of 2013 is one flat list of settings inside a `layers` that wires it; each setting moves to
//! the message of the layer's type, and `padding` layers become the `pad` of the layers that read them.

use std::collections::HashMap;

use super::{Complaint, LayerId};
use crate::config::proto::v1_layer_parameter::LayerType;
use crate::config::proto::{
    ConcatParameter, ConvolutionParameter, DataParameter, DropoutParameter, Hdf5DataParameter,
    ImageDataParameter, InfogainLossParameter, InnerProductParameter, LrnParameter, NetParameter,
    PoolingParameter, TransformationParameter, V0LayerParameter, V1LayerParameter, WindowDataParameter,
};

/// Types that only exist as `pad` today.
const PADDING: &str = "padding";

/// Whether the net has layers of 2013.
pub(super) fn applies(net: &NetParameter) -> bool {
    net.layers.iter().any(|layer| layer.layer.is_some())
}

/// Turns them into layers of 2014. Settings that their types never had are left out, with a warning.
pub(super) fn apply(mut net: NetParameter, complaints: &mut Vec<Complaint>) -> NetParameter {
    let layers = fold_padding(std::mem::take(&mut net.layers), &net.input, complaints);
    net.layers = layers.into_iter().map(|old| layer(old, complaints)).collect();
    net
}

fn v0_type(layer: &V1LayerParameter) -> &str {
    layer.layer.as_ref().map_or("", |inner| inner.r#type())
}

/// Gives the `pad` of each padding layer to the layers that read it, and takes it out.
fn fold_padding(
    mut layers: Vec<V1LayerParameter>,
    inputs: &[String],
    complaints: &mut Vec<Complaint>,
) -> Vec<V1LayerParameter> {
    // Which layer, if any, made the latest version of each blob.
    let mut makers: HashMap<String, Option<usize>> =
        inputs.iter().map(|input| (input.clone(), None)).collect();
    for i in 0..layers.len() {
        for j in 0..layers[i].bottom.len() {
            let reader = &layers[i];
            let Some(maker) = makers.get(&reader.bottom[j]) else {
                let message = format!("bottom `{}` is not produced by any layer above", reader.bottom[j]);
                complaints.push(Complaint::error(
                    Some(LayerId::of_v1(reader)),
                    format!("bottom[{j}]"),
                    message,
                ));
                continue;
            };
            let Some(padding) = maker.map(|maker| &layers[maker]).filter(|maker| v0_type(maker) == PADDING)
            else {
                continue;
            };
            match folded(padding, reader) {
                Ok((pad, bottom)) => {
                    layers[i].layer.get_or_insert_default().pad = Some(pad);
                    layers[i].bottom[j] = bottom;
                }
                Err(why) => complaints.push(Complaint::error(Some(LayerId::of_v1(reader)), "bottom", why)),
            }
        }
        makers.extend(layers[i].top.iter().map(|top| (top.clone(), Some(i))));
    }
    layers.retain(|layer| v0_type(layer) != PADDING);
    layers
}

/// The pad and the bottom with which `reader` does the padding itself.
fn folded(padding: &V1LayerParameter, reader: &V1LayerParameter) -> Result<(u32, String), String> {
    let kind = v0_type(reader);
    if !matches!(kind, "conv" | "pool") {
        return Err(format!("a padding layer can only come before `conv` and `pool`, not `{kind}`"));
    }
    if reader.bottom.len() != 1 {
        return Err("a layer behind a padding layer must have one bottom".to_owned());
    }
    match (&padding.bottom[..], &padding.top[..]) {
        ([bottom], [_]) => Ok((padding.layer.as_ref().map_or(0, |inner| inner.pad()), bottom.clone())),
        _ => Err("a padding layer must have one bottom and one top".to_owned()),
    }
}

fn layer(mut outer: V1LayerParameter, complaints: &mut Vec<Complaint>) -> V1LayerParameter {
    let id = LayerId::of_v1(&outer);
    let Some(mut old) = outer.layer.take() else { return outer };
    let kind = old.r#type.clone().unwrap_or_default();
    if let Some(name) = &old.r#type {
        match layer_type(name) {
            Some(new) => outer.r#type = Some(new.into()),
            None => {
                let message = format!("no layer of 2013 has the type `{name}`");
                complaints.push(Complaint::error(Some(id.clone()), "layer.type", message));
            }
        }
    }
    move_settings(&mut old, &kind, &mut outer);
    for field in strays(&old) {
        let message = format!("layers of type `{kind}` have no `{field}`; it is left out");
        complaints.push(Complaint::warning(Some(id.clone()), format!("layer.{field}"), message));
    }
    outer
}

/// Moves each setting that the type has to where it belongs today; the others stay in `old`.
fn move_settings(old: &mut V0LayerParameter, kind: &str, new: &mut V1LayerParameter) {
    new.name = old.name.take().or(new.name.take());
    new.blobs.append(&mut old.blobs);
    new.blobs_lr.append(&mut old.blobs_lr);
    new.weight_decay.append(&mut old.weight_decay);
    let transform = TransformationParameter {
        scale: old.scale.take(),
        mean_file: old.meanfile.take(),
        crop_size: old.cropsize.take(),
        mirror: old.mirror.take(),
        ..Default::default()
    };
    new.transform_param = some(transform).or(new.transform_param.take());
    match kind {
        "concat" => new.concat_param = some(concat(old)),
        "conv" => new.convolution_param = some(convolution(old)),
        "data" => new.data_param = some(data(old)),
        "dropout" => new.dropout_param = some(DropoutParameter { dropout_ratio: old.dropout_ratio.take() }),
        "hdf5_data" => new.hdf5_data_param = some(hdf5_data(old)),
        "hdf5_output" => new.hdf5_output_param = old.hdf5_output_param.take(),
        "images" => new.image_data_param = some(image_data(old)),
        "infogain_loss" => new.infogain_loss_param = some(infogain_loss(old)),
        "innerproduct" => new.inner_product_param = some(inner_product(old)),
        "lrn" => new.lrn_param = some(lrn(old)),
        "pool" => new.pooling_param = some(pooling(old)),
        "window_data" => new.window_data_param = some(window_data(old)),
        _ => {}
    }
}

/// A message, unless nothing is set in it.
fn some<M: Default + PartialEq>(message: M) -> Option<M> {
    (message != M::default()).then_some(message)
}

fn concat(old: &mut V0LayerParameter) -> ConcatParameter {
    ConcatParameter { concat_dim: old.concat_dim.take(), ..Default::default() }
}

fn convolution(old: &mut V0LayerParameter) -> ConvolutionParameter {
    ConvolutionParameter {
        num_output: old.num_output.take(),
        bias_term: old.biasterm.take(),
        pad: Vec::from_iter(old.pad.take()),
        kernel_size: Vec::from_iter(old.kernelsize.take()),
        stride: Vec::from_iter(old.stride.take()),
        group: old.group.take(),
        weight_filler: old.weight_filler.take(),
        bias_filler: old.bias_filler.take(),
        ..Default::default()
    }
}

fn data(old: &mut V0LayerParameter) -> DataParameter {
    DataParameter {
        source: old.source.take(),
        batch_size: old.batchsize.take(),
        rand_skip: old.rand_skip.take(),
        ..Default::default()
    }
}

fn hdf5_data(old: &mut V0LayerParameter) -> Hdf5DataParameter {
    Hdf5DataParameter { source: old.source.take(), batch_size: old.batchsize.take(), ..Default::default() }
}

fn image_data(old: &mut V0LayerParameter) -> ImageDataParameter {
    ImageDataParameter {
        source: old.source.take(),
        batch_size: old.batchsize.take(),
        rand_skip: old.rand_skip.take(),
        shuffle: old.shuffle_images.take(),
        new_height: old.new_height.take().map(|side| side as u32),
        new_width: old.new_width.take().map(|side| side as u32),
        ..Default::default()
    }
}

fn infogain_loss(old: &mut V0LayerParameter) -> InfogainLossParameter {
    InfogainLossParameter { source: old.source.take(), ..Default::default() }
}

fn inner_product(old: &mut V0LayerParameter) -> InnerProductParameter {
    InnerProductParameter {
        num_output: old.num_output.take(),
        bias_term: old.biasterm.take(),
        weight_filler: old.weight_filler.take(),
        bias_filler: old.bias_filler.take(),
        ..Default::default()
    }
}

fn lrn(old: &mut V0LayerParameter) -> LrnParameter {
    LrnParameter {
        local_size: old.local_size.take(),
        alpha: old.alpha.take(),
        beta: old.beta.take(),
        k: old.k.take(),
        ..Default::default()
    }
}

fn pooling(old: &mut V0LayerParameter) -> PoolingParameter {
    // The numbers of the methods are those of today.
    PoolingParameter {
        pool: old.pool.take(),
        pad: old.pad.take(),
        kernel_size: old.kernelsize.take(),
        stride: old.stride.take(),
        ..Default::default()
    }
}

fn window_data(old: &mut V0LayerParameter) -> WindowDataParameter {
    WindowDataParameter {
        source: old.source.take(),
        batch_size: old.batchsize.take(),
        fg_threshold: old.det_fg_threshold.take(),
        bg_threshold: old.det_bg_threshold.take(),
        fg_fraction: old.det_fg_fraction.take(),
        context_pad: old.det_context_pad.take(),
        crop_mode: old.det_crop_mode.take(),
        ..Default::default()
    }
}

/// Settings that are left although they change what a layer does.
fn strays(old: &V0LayerParameter) -> impl Iterator<Item = &'static str> {
    let all = [
        ("num_output", old.num_output.is_some()),
        ("biasterm", old.biasterm.is_some()),
        ("weight_filler", old.weight_filler.is_some()),
        ("bias_filler", old.bias_filler.is_some()),
        ("pad", old.pad.is_some()),
        ("kernelsize", old.kernelsize.is_some()),
        ("group", old.group.is_some()),
        ("stride", old.stride.is_some()),
        ("pool", old.pool.is_some()),
        ("dropout_ratio", old.dropout_ratio.is_some()),
        ("local_size", old.local_size.is_some()),
        ("alpha", old.alpha.is_some()),
        ("beta", old.beta.is_some()),
        ("k", old.k.is_some()),
        ("source", old.source.is_some()),
        ("batchsize", old.batchsize.is_some()),
        ("rand_skip", old.rand_skip.is_some()),
        ("shuffle_images", old.shuffle_images.is_some()),
        ("new_height", old.new_height.is_some()),
        ("new_width", old.new_width.is_some()),
        ("det_fg_threshold", old.det_fg_threshold.is_some()),
        ("det_bg_threshold", old.det_bg_threshold.is_some()),
        ("det_fg_fraction", old.det_fg_fraction.is_some()),
        ("det_context_pad", old.det_context_pad.is_some()),
        ("det_crop_mode", old.det_crop_mode.is_some()),
        ("concat_dim", old.concat_dim.is_some()),
        ("hdf5_output_param", old.hdf5_output_param.is_some()),
    ];
    all.into_iter().filter(|&(_, set)| set).map(|(name, _)| name)
}

/// What a setting was called in 2013.
pub(super) fn old_name(name: &str) -> &str {
    match name {
        "batch_size" => "batchsize",
        "bias_term" => "biasterm",
        "bg_threshold" => "det_bg_threshold",
        "context_pad" => "det_context_pad",
        "crop_mode" => "det_crop_mode",
        "crop_size" => "cropsize",
        "fg_fraction" => "det_fg_fraction",
        "fg_threshold" => "det_fg_threshold",
        "kernel_size" => "kernelsize",
        "mean_file" => "meanfile",
        "shuffle" => "shuffle_images",
        same => same,
    }
}

fn layer_type(name: &str) -> Option<LayerType> {
    Some(match name {
        "accuracy" => LayerType::Accuracy,
        "bnll" => LayerType::Bnll,
        "concat" => LayerType::Concat,
        "conv" => LayerType::Convolution,
        "data" => LayerType::Data,
        "dropout" => LayerType::Dropout,
        "euclidean_loss" => LayerType::EuclideanLoss,
        "flatten" => LayerType::Flatten,
        "hdf5_data" => LayerType::Hdf5Data,
        "hdf5_output" => LayerType::Hdf5Output,
        "im2col" => LayerType::Im2col,
        "images" => LayerType::ImageData,
        "infogain_loss" => LayerType::InfogainLoss,
        "innerproduct" => LayerType::InnerProduct,
        "lrn" => LayerType::Lrn,
        "multinomial_logistic_loss" => LayerType::MultinomialLogisticLoss,
        "pool" => LayerType::Pooling,
        "relu" => LayerType::Relu,
        "sigmoid" => LayerType::Sigmoid,
        "softmax" => LayerType::Softmax,
        "softmax_loss" => LayerType::SoftmaxLoss,
        "split" => LayerType::Split,
        "tanh" => LayerType::Tanh,
        "window_data" => LayerType::WindowData,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::config::upgrade::tests::{printed, upgraded};

    #[test]
    fn each_setting_moves_to_the_message_of_its_type() {
        let text = "name: 'n'
            layers { layer { name: 'd' type: 'data' source: 's' meanfile: 'm' batchsize: 2 cropsize: 3 mirror: true
                             scale: 0.5 rand_skip: 4 } top: 'x' }
            layers { layer { name: 'c' type: 'conv' num_output: 5 biasterm: false pad: 1 kernelsize: 3 group: 2
                             stride: 2 weight_filler { type: 'xavier' } bias_filler { value: 1 } blobs_lr: 1
                             weight_decay: 0 } bottom: 'x' top: 'y' }
            layers { layer { name: 'p' type: 'pool' pool: AVE kernelsize: 3 stride: 2 } bottom: 'y' top: 'z' }
            layers { layer { name: 'l' type: 'lrn' local_size: 3 alpha: 2 beta: 4 k: 5 } bottom: 'z' top: 'z' }
            layers { layer { name: 'i' type: 'innerproduct' num_output: 7 } bottom: 'z' top: 'i' }
            layers { layer { name: 'o' type: 'dropout' dropout_ratio: 0.25 } bottom: 'i' top: 'i' }
            layers { layer { name: 's' type: 'softmax_loss' } bottom: 'i' bottom: 'x' }";
        let expected = "name: 'n'
            layers { name: 'd' type: DATA top: 'x' data_param { source: 's' batch_size: 2 rand_skip: 4 }
                     transform_param { mean_file: 'm' crop_size: 3 mirror: true scale: 0.5 } }
            layers { name: 'c' type: CONVOLUTION bottom: 'x' top: 'y' blobs_lr: 1 weight_decay: 0
                     convolution_param { num_output: 5 bias_term: false pad: 1 kernel_size: 3 group: 2 stride: 2
                                         weight_filler { type: 'xavier' } bias_filler { value: 1 } } }
            layers { name: 'p' type: POOLING bottom: 'y' top: 'z'
                     pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
            layers { name: 'l' type: LRN bottom: 'z' top: 'z'
                     lrn_param { local_size: 3 alpha: 2 beta: 4 k: 5 } }
            layers { name: 'i' type: INNER_PRODUCT bottom: 'z' top: 'i' inner_product_param { num_output: 7 } }
            layers { name: 'o' type: DROPOUT bottom: 'i' top: 'i' dropout_param { dropout_ratio: 0.25 } }
            layers { name: 's' type: SOFTMAX_LOSS bottom: 'i' bottom: 'x' }";
        assert_eq!(upgraded(text, "V0"), (printed(expected), vec![]));
    }

    #[test]
    fn the_other_sources_keep_their_settings_too() {
        let text = "
            layers { layer { type: 'images' source: 'a' batchsize: 2 shuffle_images: true new_height: 3 new_width: 4 } }
            layers { layer { type: 'window_data' source: 'b' det_fg_threshold: 0.1 det_bg_threshold: 0.2
                             det_fg_fraction: 0.3 det_context_pad: 4 det_crop_mode: 'square' } }
            layers { layer { type: 'hdf5_data' source: 'c' batchsize: 5 } }
            layers { layer { type: 'hdf5_output' hdf5_output_param { file_name: 'd' } } }
            layers { layer { type: 'infogain_loss' source: 'e' } } layers { layer { type: 'concat' concat_dim: 2 } }";
        let expected = "
            layers { type: IMAGE_DATA image_data_param { source: 'a' batch_size: 2 shuffle: true new_height: 3
                                                         new_width: 4 } }
            layers { type: WINDOW_DATA window_data_param { source: 'b' fg_threshold: 0.1 bg_threshold: 0.2
                                             fg_fraction: 0.3 context_pad: 4 crop_mode: 'square' } }
            layers { type: HDF5_DATA hdf5_data_param { source: 'c' batch_size: 5 } }
            layers { type: HDF5_OUTPUT hdf5_output_param { file_name: 'd' } }
            layers { type: INFOGAIN_LOSS infogain_loss_param { source: 'e' } }
            layers { type: CONCAT concat_param { concat_dim: 2 } }";
        assert_eq!(upgraded(text, "V0"), (printed(expected), vec![]));
    }

    #[test]
    fn padding_moves_into_every_reader() {
        let text = "input: 'x'
            layers { layer { name: 'pad' type: 'padding' pad: 2 } bottom: 'x' top: 'x_pad' }
            layers { layer { name: 'a' type: 'conv' kernelsize: 5 } bottom: 'x_pad' top: 'a' }
            layers { layer { name: 'b' type: 'pool' kernelsize: 3 } bottom: 'x_pad' top: 'b' }";
        let expected = "input: 'x'
            layers { name: 'a' type: CONVOLUTION bottom: 'x' top: 'a' convolution_param { pad: 2 kernel_size: 5 } }
            layers { name: 'b' type: POOLING bottom: 'x' top: 'b' pooling_param { pad: 2 kernel_size: 3 } }";
        assert_eq!(upgraded(text, "V0"), (printed(expected), vec![]));
    }

    #[test]
    fn what_cannot_be_padded_is_refused() {
        let pad = "input: 'x' layers { layer { type: 'padding' pad: 2 } bottom: 'x' top: 'p' } ";
        let refused = |rest: &str| upgraded(&format!("{pad}{rest}"), "V0").1;
        assert_eq!(
            refused("layers { layer { type: 'relu' } bottom: 'p' }"),
            ["a padding layer can only come before `conv` and `pool`, not `relu`"]
        );
        assert_eq!(
            refused("layers { layer { type: 'conv' } bottom: 'p' bottom: 'x' }"),
            ["a layer behind a padding layer must have one bottom"]
        );
        assert_eq!(
            refused("layers { layer { type: 'conv' } bottom: 'q' }"),
            ["bottom `q` is not produced by any layer above"]
        );
        assert_eq!(
            refused("layers { layer { type: 'convolve' } bottom: 'x' }"),
            ["no layer of 2013 has the type `convolve`"]
        );
    }

    #[test]
    fn stray_settings_are_left_out_with_a_warning() {
        let text = "layers { layer { type: 'relu' num_output: 3 k: 2 } } layers { name: 'new' type: RELU }";
        let expected = "layers { type: RELU } layers { name: 'new' type: RELU }";
        let complaints = ["num_output", "k"]
            .map(|field| format!("layers of type `relu` have no `{field}`; it is left out"))
            .to_vec();
        assert_eq!(upgraded(text, "V0"), (printed(expected), complaints));
    }
}
