//! V1 to V2: a `layers` of 2014 becomes a `layer`: the type's number becomes its name, and the four lists of
//! settings for weights become `param`s.

use super::{Complaint, LayerId};
use crate::config::proto::v1_layer_parameter::LayerType;
use crate::config::proto::{LayerParameter, NetParameter, ParamSpec, V1LayerParameter};

/// Whether the net has layers of 2014 or before.
pub(super) fn applies(net: &NetParameter) -> bool {
    !net.layers.is_empty()
}

/// Turns all `layers` into `layer`. A net with both is refused: their order is lost.
pub(super) fn apply(mut net: NetParameter, complaints: &mut Vec<Complaint>) -> NetParameter {
    if let Some(new) = net.layer.first() {
        let message = "the net has both `layer` and `layers`, the old form; their order is not known";
        let complaint = Complaint::error(Some(LayerId::of(new)), "", message);
        complaints.push(complaint.hint("write all of them as `layer { type: \"...\" }`"));
        return net;
    }
    let layers = std::mem::take(&mut net.layers);
    net.layer = layers.into_iter().map(|old| layer(old, complaints)).collect();
    net
}

fn layer(old: V1LayerParameter, complaints: &mut Vec<Complaint>) -> LayerParameter {
    let param = params(&old);
    let layer_type = old.r#type.map(|number| {
        let known = LayerType::try_from(number);
        if known.is_err() {
            let message = format!("no layer type has the number {number}");
            complaints.push(Complaint::error(Some(LayerId::of_v1(&old)), "type", message));
        }
        known.map_or(String::new(), |t| type_name(t).to_owned())
    });
    LayerParameter {
        name: old.name,
        r#type: layer_type,
        bottom: old.bottom,
        top: old.top,
        loss_weight: old.loss_weight,
        param,
        blobs: old.blobs,
        include: old.include,
        exclude: old.exclude,
        transform_param: old.transform_param,
        loss_param: old.loss_param,
        accuracy_param: old.accuracy_param,
        argmax_param: old.argmax_param,
        bn_param: old.bn_param,
        concat_param: old.concat_param,
        contrastive_loss_param: old.contrastive_loss_param,
        convolution_param: old.convolution_param,
        data_param: old.data_param,
        dropout_param: old.dropout_param,
        dummy_data_param: old.dummy_data_param,
        eltwise_param: old.eltwise_param,
        exp_param: old.exp_param,
        hdf5_data_param: old.hdf5_data_param,
        hdf5_output_param: old.hdf5_output_param,
        hinge_loss_param: old.hinge_loss_param,
        image_data_param: old.image_data_param,
        infogain_loss_param: old.infogain_loss_param,
        inner_product_param: old.inner_product_param,
        lrn_param: old.lrn_param,
        memory_data_param: old.memory_data_param,
        mvn_param: old.mvn_param,
        pooling_param: old.pooling_param,
        power_param: old.power_param,
        relu_param: old.relu_param,
        sigmoid_param: old.sigmoid_param,
        slice_param: old.slice_param,
        softmax_param: old.softmax_param,
        tanh_param: old.tanh_param,
        threshold_param: old.threshold_param,
        window_data_param: old.window_data_param,
        cnnctl_origin: old.cnnctl_origin,
        ..Default::default()
    }
}

/// The four lists, one entry a weight array, as one list.
fn params(old: &V1LayerParameter) -> Vec<ParamSpec> {
    let lengths = [old.param.len(), old.blob_share_mode.len(), old.blobs_lr.len(), old.weight_decay.len()];
    let count = lengths.into_iter().max().unwrap_or(0);
    let param = |i: usize| ParamSpec {
        name: old.param.get(i).cloned(),
        share_mode: old.blob_share_mode.get(i).copied(),
        lr_mult: old.blobs_lr.get(i).copied(),
        decay_mult: old.weight_decay.get(i).copied(),
    };
    (0..count).map(param).collect()
}

/// The name of a type today; `NONE` has none.
pub(crate) fn type_name(layer_type: LayerType) -> &'static str {
    match layer_type {
        LayerType::None => "",
        LayerType::Absval => "AbsVal",
        LayerType::Accuracy => "Accuracy",
        LayerType::Argmax => "ArgMax",
        LayerType::Bn => "BN",
        LayerType::Bnll => "BNLL",
        LayerType::Concat => "Concat",
        LayerType::ContrastiveLoss => "ContrastiveLoss",
        LayerType::Convolution => "Convolution",
        LayerType::Data => "Data",
        LayerType::Deconvolution => "Deconvolution",
        LayerType::Dropout => "Dropout",
        LayerType::DummyData => "DummyData",
        LayerType::EuclideanLoss => "EuclideanLoss",
        LayerType::Eltwise => "Eltwise",
        LayerType::Exp => "Exp",
        LayerType::Flatten => "Flatten",
        LayerType::Hdf5Data => "HDF5Data",
        LayerType::Hdf5Output => "HDF5Output",
        LayerType::HingeLoss => "HingeLoss",
        LayerType::Im2col => "Im2col",
        LayerType::ImageData => "ImageData",
        LayerType::InfogainLoss => "InfogainLoss",
        LayerType::InnerProduct => "InnerProduct",
        LayerType::Lrn => "LRN",
        LayerType::MemoryData => "MemoryData",
        LayerType::MultinomialLogisticLoss => "MultinomialLogisticLoss",
        LayerType::Mvn => "MVN",
        LayerType::Pooling => "Pooling",
        LayerType::Power => "Power",
        LayerType::Relu => "ReLU",
        LayerType::Sigmoid => "Sigmoid",
        LayerType::SigmoidCrossEntropyLoss => "SigmoidCrossEntropyLoss",
        LayerType::Silence => "Silence",
        LayerType::Slice => "Slice",
        LayerType::Softmax => "Softmax",
        LayerType::SoftmaxLoss => "SoftmaxWithLoss",
        LayerType::Split => "Split",
        LayerType::Tanh => "TanH",
        LayerType::Threshold => "Threshold",
        LayerType::WindowData => "WindowData",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::upgrade::tests::{printed, upgraded};

    #[test]
    fn the_four_lists_become_params() {
        let text =
            "name: 'n' layers { name: 'a' type: CONVOLUTION bottom: 'x' top: 'y' include { phase: TRAIN }
            param: 'w' blob_share_mode: PERMISSIVE blobs_lr: 1 blobs_lr: 2 weight_decay: 0.5 loss_weight: 3
            convolution_param { num_output: 2 } }";
        let expected = "name: 'n' layer { name: 'a' type: 'Convolution' bottom: 'x' top: 'y' loss_weight: 3
            param { name: 'w' share_mode: PERMISSIVE lr_mult: 1 decay_mult: 0.5 } param { lr_mult: 2 }
            include { phase: TRAIN } convolution_param { num_output: 2 } }";
        assert_eq!(upgraded(text, "V1"), (printed(expected), vec![]));
    }

    #[test]
    fn layers_of_both_forms_are_refused() {
        let text = "layers { type: RELU } layer { type: 'ReLU' }";
        let (after, complaints) = upgraded(text, "V1");
        assert_eq!(after, printed(text));
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].contains("both `layer` and `layers`"));
    }

    #[test]
    fn a_type_without_a_name_is_refused() {
        let old = V1LayerParameter { r#type: Some(77), ..Default::default() };
        let mut complaints = Vec::new();
        apply(NetParameter { layers: vec![old], ..Default::default() }, &mut complaints);
        assert_eq!(complaints[0].message, "no layer type has the number 77");
    }

    /// No setting of an old layer may be forgotten: every `*_param` field has its heir of the same name.
    #[test]
    fn every_param_message_is_carried_over() {
        let mut names = Vec::new();
        let pool =
            prost_reflect::DescriptorPool::decode(crate::config::proto::DESCRIPTORS).expect("a schema");
        let old = pool.get_message_by_name("caffe.V1LayerParameter").expect("a message");
        for field in old.fields().filter(|f| f.name().ends_with("_param")) {
            let text = format!("layers {{ {} {{ }} }}", field.name());
            let text = text.replace("hdf5_output_param { }", "hdf5_output_param { file_name: 'f' }");
            assert_eq!(upgraded(&text, "V1").0, printed(&text.replace("layers", "layer")));
            names.push(field.name().to_owned());
        }
        assert_eq!(names.len(), 31);
    }
}
