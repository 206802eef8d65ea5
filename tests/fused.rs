//! Layers that do the work of those above them give the bits of the layers one by one.

use cnnctl::{
    config::{
        self,
        proto::{BlobShape, InputParameter, NetParameter, Phase},
    },
    net::{Net, Options, Params},
};

/// Two passes forward, in training backward as well, between which all parameters change; the names of the layers whose work
/// others did, and the bits of all that is left.
fn run(net: &NetParameter, phase: Phase, fuse: bool) -> (Vec<String>, Vec<Vec<u32>>) {
    let mut params = Params::new();
    let options = Options { fuse, ..Options::new(phase, 7) };
    let mut net = Net::new(net, options, &mut params).unwrap();
    let done: Vec<String> =
        net.layers().filter(|l| l.within.is_some()).map(|l| l.config.name().to_owned()).collect();
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<u32>>();
    let mut left = Vec::new();
    let data: Vec<f32> = {
        let id = net.blob("data").unwrap();
        (0..net.shape(id).count()).map(|i| ((i * 7919 + i / 13) % 101) as f32 / 25.0 - 2.0).collect()
    };
    for param in params.iter_mut().filter(|param| !param.learned) {
        param.data.iter_mut().enumerate().for_each(|(i, v)| *v = 0.3 + (i % 7) as f32 * 0.1);
    }
    for pass in 0..2 {
        let shift = pass as f32 * 0.1;
        params.iter_mut().for_each(|param| param.data.iter_mut().for_each(|v| *v += 0.1 * shift));
        net.set_input("data", &data.iter().map(|v| v + shift).collect::<Vec<_>>()).unwrap();
        left.push(bits(&[net.forward(&mut params).unwrap()]));
        left.extend(net.outputs().iter().map(|output| bits(output.values)));
        if phase == Phase::Train {
            net.backward(&mut params);
        }
    }
    for id in net.params() {
        left.push(bits(&params[id].data));
        left.push(params[id].diff.iter().map(|v| (v + 0.0).to_bits()).collect());
    }
    (done, left)
}

/// Both ways, in both phases; gives the names of the layers whose work others did in training.
fn check(net: &NetParameter) -> Vec<String> {
    let [train, _] = both_phases(net);
    train
}

/// Both ways, in both phases; gives the names of the layers whose work others did in each.
fn both_phases(net: &NetParameter) -> [Vec<String>; 2] {
    let done = [Phase::Train, Phase::Test].map(|phase| {
        let ((done, fused), (none, apart)) = (run(net, phase, true), run(net, phase, false));
        assert!(none.is_empty(), "{none:?}");
        assert!(fused.iter().flatten().any(|&bits| bits != 0), "all is 0");
        for (i, (fused, apart)) in fused.iter().zip(&apart).enumerate() {
            assert!(fused == apart, "{phase:?}: values {i} of {} differ", apart.len());
        }
        done
    });
    assert!(!done[1].is_empty());
    done
}

fn model(name: &str, shape: [i64; 4]) -> NetParameter {
    let mut net = config::load_net(format!("models/{name}/train_val.prototxt")).unwrap().net;
    net.layer.retain(|l| !(l.r#type() == "Data" && l.include.iter().any(|rule| rule.phase() == Phase::Test)));
    for layer in net.layer.iter_mut().filter(|l| l.r#type() == "Data") {
        layer.include.clear();
        layer.r#type = Some("Input".into());
        let shape = [BlobShape { dim: shape.into() }, BlobShape { dim: vec![shape[0]] }];
        layer.input_param = Some(InputParameter { shape: shape.into() });
    }
    net
}

#[test]
fn real_nets() {
    let resnet = check(&model("resnet18", [3, 3, 33, 35]));
    assert!(
        resnet.contains(&"scale_conv1".to_owned()) && resnet.contains(&"conv1_relu".to_owned()),
        "{resnet:?}"
    );
    assert!(resnet.contains(&"res2a_relu".to_owned()), "a rectified sum: {resnet:?}");
    let [mobilenet, inference] = both_phases(&model("mobilenet", [2, 3, 40, 36]));
    assert!(mobilenet.len() > 50, "{mobilenet:?}");
    assert_eq!(inference.len(), 27 * 3, "all that stands behind convolutions: {inference:?}");
    assert!(check(&model("squeezenet", [1, 3, 67, 67])).len() > 20);
    assert_eq!(check(&model("cifar10_full", [3, 3, 32, 32])), ["relu2", "relu3"]);
}

/// A net of one column: its layers' settings, each over the top of the last, in place if marked so.
fn column(layers: &[(&str, bool)]) -> NetParameter {
    let mut text = String::from(
        "layer { name: 'in' type: 'Input' top: 'data' input_param { shape { dim: 3 dim: 4 dim: 5 dim: 7 } } }\n",
    );
    let mut below = "data".to_owned();
    for (i, (layer, in_place)) in layers.iter().enumerate() {
        let top = if *in_place { below.clone() } else { format!("top{i}") };
        text += &format!("layer {{ name: 'l{i}' bottom: '{below}' top: '{top}' {layer} }}\n");
        below = top;
    }
    text += &format!(
        "layer {{ name: 'ip' type: 'InnerProduct' bottom: '{below}' top: 'ip' inner_product_param {{ num_output: 1
            weight_filler {{ type: 'gaussian' std: 0.5 }} }} }}
         layer {{ name: 'loss' type: 'Reduction' bottom: 'ip' top: 'loss' loss_weight: 1 reduction_param {{ operation: SUMSQ }} }}"
    );
    config::net_from_text("net.prototxt", text).unwrap().net
}

const CONVOLUTION: &str = "type: 'Convolution' convolution_param { num_output: 6 kernel_size: 3 pad: 1
    weight_filler { type: 'xavier' } bias_filler { type: 'uniform' min: -1 } }";
const POOL: &str = "type: 'Pooling' pooling_param { pool: MAX kernel_size: 3 stride: 2 }";
const NORM: &str = "type: 'BatchNorm'";
const SCALE: &str = "type: 'Scale' scale_param { bias_term: true filler { type: 'uniform' min: -1 }
    bias_filler { type: 'gaussian' } }";
const RELU: &str = "type: 'ReLU'";

#[test]
fn columns_of_layers() {
    let all = [(CONVOLUTION, false), (NORM, true), (SCALE, true), (RELU, true)];
    assert_eq!(check(&column(&all)), ["l2", "l3"]);
    assert_eq!(check(&column(&all.map(|(layer, _)| (layer, false)))), ["l2", "l3"], "not in place");
    let plain = "type: 'Scale' scale_param { filler { type: 'uniform' min: -1 } }";
    assert_eq!(
        check(&column(&[(CONVOLUTION, false), (NORM, true), (plain, true)])),
        ["l2"],
        "without a bias"
    );
    assert_eq!(
        check(&column(&[(CONVOLUTION, false), (NORM, true), (RELU, true)])),
        ["l2"],
        "without a scale"
    );
    assert_eq!(check(&column(&[(CONVOLUTION, false), (RELU, false), (RELU, true)])), ["l1"], "one rectifier");
    let given = "type: 'BatchNorm' batch_norm_param { use_global_stats: true }";
    assert_eq!(
        check(&column(&[(CONVOLUTION, false), (given, true), (SCALE, true), (RELU, true)])),
        ["l2", "l3"]
    );
    let depthwise = "type: 'ConvolutionDepthwise' convolution_param { kernel_size: 3
        weight_filler { type: 'xavier' } }";
    assert_eq!(check(&column(&[(depthwise, false), (RELU, true)])), ["l1"]);
}

/// Where nothing runs backward a convolution does all that follows.
#[test]
fn convolutions_with_given_moments() {
    let all = [(CONVOLUTION, false), (NORM, true), (SCALE, true), (RELU, true)];
    let inference = |net: &NetParameter| both_phases(net)[1].join(" ");
    assert_eq!(inference(&column(&all)), "l1 l2 l3");
    assert_eq!(inference(&column(&all.map(|(layer, _)| (layer, false)))), "l1 l2 l3", "not in place");
    assert_eq!(inference(&column(&all[..3])), "l1 l2", "without a rectifier");
    assert_eq!(inference(&column(&[all[0], all[1], all[3]])), "l1 l2", "without a scale");
    assert_eq!(inference(&column(&[all[0], all[2], all[3]])), "l1 l2", "without moments");
    assert_eq!(inference(&column(&[all[0], all[3], all[1], all[2]])), "l1 l3", "a rectifier between");
    let plain = "type: 'Scale' scale_param { filler { type: 'uniform' min: -1 } }";
    let no_bias = "type: 'Convolution' convolution_param { num_output: 6 kernel_size: 1 bias_term: false
        group: 2 weight_filler { type: 'xavier' } }";
    assert_eq!(inference(&column(&[(no_bias, false), (NORM, true), (plain, true)])), "l1 l2");
    let depthwise = "type: 'ConvolutionDepthwise' convolution_param { kernel_size: 3 stride: 2 pad: 1
        weight_filler { type: 'xavier' } }";
    assert_eq!(inference(&column(&[(depthwise, false), all[1], all[2], all[3]])), "l1 l2 l3");
    for axes in [vec![3, 4], vec![2, 4, 6], vec![2, 3, 5, 4, 6]] {
        let mut net = column(&all);
        net.layer[0].input_param = Some(InputParameter { shape: vec![BlobShape { dim: axes }] });
        if let [_, _] = net.layer[0].input_param.as_ref().unwrap().shape[0].dim[..] {
            let settings = net.layer[1].convolution_param.as_mut().unwrap();
            (settings.kernel_size, settings.pad) = (vec![], vec![]);
        }
        assert_eq!(inference(&net), "l1 l2 l3");
    }
}

/// So does one below all that learns.
#[test]
fn frozen_convolutions() {
    let frozen = |layer: &str| format!("{layer} param {{ lr_mult: 0 }} param {{ lr_mult: 0 }}");
    let given = "type: 'BatchNorm' batch_norm_param { use_global_stats: true }";
    let (convolution, scale) = (frozen(CONVOLUTION), frozen(SCALE));
    let column = |scale: &str| column(&[(&convolution, false), (given, true), (scale, true), (RELU, true)]);
    assert_eq!(check(&column(&scale)), ["l1", "l2", "l3"]);
    assert_eq!(check(&column(SCALE)), ["l1"], "a scale that learns");
}

/// And where gradients come through, but no scale learns.
#[test]
fn frozen_moments() {
    let given = "type: 'BatchNorm' batch_norm_param { use_global_stats: true }";
    let scale = &format!("{SCALE} param {{ lr_mult: 0 }} param {{ lr_mult: 0 }}");
    let plain = "type: 'Convolution' convolution_param { num_output: 4 kernel_size: 3 bias_term: false
        weight_filler { type: 'xavier' } }";
    let first = (CONVOLUTION, false);
    assert_eq!(check(&column(&[first, (given, true), (scale, true), (RELU, true)])), ["l1", "l2", "l3"]);
    assert_eq!(check(&column(&[first, (given, true)])), ["l1"]);
    assert_eq!(check(&column(&[first, (scale, false), (RELU, false)])), ["l1", "l2"]);
    let two = [first, (given, true), (RELU, true), (plain, false), (given, true), (scale, true)];
    assert_eq!(check(&column(&two)), ["l1", "l2", "l4", "l5"], "gradients of a blob between");
    let pooled = [first, (given, true), (scale, true), (RELU, true), (POOL, false)];
    assert_eq!(check(&column(&pooled)), ["l1", "l2", "l3"], "gradients are cleared where they are written");
}

/// Where all blobs are kept, work is done elsewhere only if the blob between is written over by name, and each name has its values.
#[test]
fn kept_blobs() {
    let kept = |net: &NetParameter, fuse| {
        let options = Options { keep_all: true, fuse, ..Options::new(Phase::Test, 7) };
        let mut params = Params::new();
        let mut net = Net::new(net, options, &mut params).unwrap();
        let data: Vec<f32> = (0..net.shape(0).count()).map(|i| (i % 23) as f32 / 7.0 - 1.5).collect();
        net.set_input("data", &data).unwrap();
        net.forward(&mut params).unwrap();
        let value = |name: &str| {
            let values = net.values(net.blob(name).unwrap());
            (name.to_owned(), values.iter().map(|v| v.to_bits()).collect::<Vec<_>>())
        };
        let values: Vec<_> = net.blob_names().into_iter().map(value).collect();
        (net.layers().filter(|l| l.within.is_some()).count(), values)
    };
    let all = [(CONVOLUTION, false), (NORM, true), (SCALE, true), (RELU, true)];
    let partly = [all[0], all[1], (SCALE, false), all[3]];
    for (layers, count) in [(all, 3), (partly, 1), (all.map(|(layer, _)| (layer, false)), 0)] {
        let net = column(&layers);
        let ((done, fused), (none, apart)) = (kept(&net, true), kept(&net, false));
        assert_eq!((done, none), (count, 0));
        assert!(fused == apart, "{layers:?}");
    }
}

/// Sums whose diffs are their bottoms', and sums beside them whose are not.
#[test]
fn sums_whose_diffs_are_one() {
    let sum = |top: &str, bottoms: &[&str], settings: &str| {
        let bottoms: String = bottoms.iter().map(|b| format!("bottom: '{b}' ")).collect();
        format!("layer {{ name: '{top}' type: 'Eltwise' {bottoms} top: '{top}' {settings} }}")
    };
    let mut net = column(&[(CONVOLUTION, false), (RELU, true)]);
    let layers = ["a", "b", "c", "d", "e"]
        .map(|b| format!("layer {{ name: '{b}' bottom: 'top0' top: '{b}' {CONVOLUTION} }}"));
    let rectified = "layer { name: 'r' type: 'ReLU' bottom: 'd' top: 'd' }";
    let sums = [
        sum("two", &["a", "b"], ""),
        sum("three", &["two", "c", "d"], ""),
        sum("weighed", &["three", "e"], "eltwise_param { coeff: 1 coeff: 2 }"),
        sum("last", &["weighed", "top0"], ""),
    ];
    let text = layers.concat() + rectified + &sums.concat();
    let at = net.layer.len() - 2;
    net.layer.splice(at..at, config::net_from_text("sums.prototxt", text).unwrap().net.layer);
    net.layer[at + 10].bottom = vec!["last".into()];
    assert_eq!(check(&net), ["l1", "r"]);
}

/// Rectified blobs that go to a maximum, to several readers, and beside others.
#[test]
fn rectifiers_before_layers_that_clear_gradients() {
    let mut net = column(&[(CONVOLUTION, false), (RELU, true), (POOL, false)]);
    let branches = format!(
        "layer {{ name: 'b0' bottom: 'top2' top: 'b0' {CONVOLUTION} }} layer {{ name: 'r0' bottom: 'b0' top: 'b0' {RELU} }}
         layer {{ name: 'b1' bottom: 'top2' top: 'b1' {CONVOLUTION} }} layer {{ name: 'r1' bottom: 'b1' top: 'r1' {RELU} }}
         layer {{ name: 'b2' bottom: 'top2' top: 'b2' {CONVOLUTION} }}
         layer {{ name: 'all' type: 'Concat' bottom: 'b0' bottom: 'r1' bottom: 'b2' bottom: 'top2' top: 'all' }}
         layer {{ name: 'b3' bottom: 'all' top: 'b3' {CONVOLUTION} }} layer {{ name: 'r3' bottom: 'b3' top: 'b3' {RELU} }}
         layer {{ name: 'sum' type: 'Eltwise' bottom: 'b3' bottom: 'b2' top: 'sum' }}
         layer {{ name: 'more' type: 'Eltwise' bottom: 'b3' bottom: 'sum' top: 'more' }}"
    );
    let at = net.layer.len() - 2;
    net.layer.splice(at..at, config::net_from_text("branches.prototxt", branches).unwrap().net.layer);
    net.layer[at + 10].bottom = vec!["more".into()];
    assert_eq!(check(&net), ["l1", "r0", "r1", "r3"]);
}

#[test]
fn what_must_stay_apart() {
    let of = |layers: &[(&str, bool)]| run(&column(layers), Phase::Train, true).0;
    let leaky = "type: 'ReLU' relu_param { negative_slope: 0.1 }";
    assert_eq!(of(&[(CONVOLUTION, false), (leaky, true)]), [""; 0], "a slope");
    assert_eq!(of(&[(NORM, false), (SCALE, true)]), [""; 0], "statistics of the data, a scale that learns");
    let over_all = "type: 'Scale' scale_param { num_axes: -1 }";
    assert_eq!(
        of(&[(CONVOLUTION, false), (NORM, true), (over_all, true)]),
        [""; 0],
        "a scale of every value"
    );
    let in_test = |layers: &[(&str, bool)]| run(&column(layers), Phase::Test, true).0;
    let by_the_batch = "type: 'BatchNorm' batch_norm_param { use_global_stats: false }";
    assert_eq!(in_test(&[(CONVOLUTION, false), (by_the_batch, true)]), [""; 0]);
    assert_eq!(in_test(&[(CONVOLUTION, false), (NORM, true), (over_all, true), (RELU, true)]), ["l1"]);
    let other_axis = "type: 'Convolution' convolution_param { num_output: 6 kernel_size: 3 axis: 2
        weight_filler { type: 'xavier' } }";
    assert_eq!(in_test(&[(other_axis, false), (NORM, true), (RELU, true)]), ["l2"], "channels elsewhere");
    let mut two_readers = column(&[(CONVOLUTION, false), (NORM, false)]);
    two_readers.layer[3].bottom[0] = "top0".into();
    assert_eq!(run(&two_readers, Phase::Test, true).0, [""; 0]);
    // Blobs that somebody looks at.
    let net = column(&[(CONVOLUTION, false), (RELU, true)]);
    let fused = |options: Options| {
        Net::new(&net, options, &mut Params::new()).unwrap().layers().any(|l| l.within.is_some())
    };
    let plain = Options::new(Phase::Train, 1);
    assert!(fused(plain.clone()));
    assert!(!fused(Options { keep_all: true, ..plain.clone() }));
    assert!(!fused(Options { given_diffs: vec!["top0".into()], ..plain }));
}
