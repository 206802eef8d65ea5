//! Old forms of nets and solvers, as text and as binary files: what goes in, what comes out, and that a second time
//! changes nothing.

use std::fs;

use cnnctl::config::{
    load_net, load_solver,
    proto::{NetParameter, SolverParameter},
    text::{parse, print},
    upgrade::{upgrade_net, upgrade_solver},
};
use prost::Message;

/// An old form, what becomes of it, and how many upgrades that took.
const NETS: &[(&str, &str, usize)] = &[
    // 2013: one flat list of settings for all types, padding as a layer.
    (
        "layers { layer { name: 'd' type: 'data' source: 's' meanfile: 'm' batchsize: 4 cropsize: 3 mirror: true scale: 0.5 }
                  top: 'x' top: 'y' }
         layers { layer { name: 'p' type: 'padding' pad: 1 } bottom: 'x' top: 'p' }
         layers { layer { name: 'c' type: 'conv' num_output: 2 kernelsize: 3 stride: 2 group: 1 biasterm: false
                          weight_filler { type: 'xavier' } blobs_lr: 1 weight_decay: 0 } bottom: 'p' top: 'c' }
         layers { layer { name: 'l' type: 'softmax_loss' } bottom: 'c' bottom: 'y' }",
        "layer { name: 'd' type: 'Data' top: 'x' top: 'y' transform_param { scale: 0.5 mirror: true crop_size: 3 mean_file: 'm' }
                 data_param { source: 's' batch_size: 4 } }
         layer { name: 'c' type: 'Convolution' bottom: 'x' top: 'c' param { lr_mult: 1 decay_mult: 0 }
                 convolution_param { num_output: 2 bias_term: false pad: 1 kernel_size: 3 group: 1 stride: 2
                                     weight_filler { type: 'xavier' } } }
         layer { name: 'l' type: 'SoftmaxWithLoss' bottom: 'c' bottom: 'y' }",
        2,
    ),
    // 2014: types as words of an enum, rates in lists.
    (
        "layers { name: 'a' type: INNER_PRODUCT bottom: 'x' top: 'y' param: 'w' param: 'b' blob_share_mode: PERMISSIVE
                  blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0 include { phase: TRAIN } loss_weight: 0
                  inner_product_param { num_output: 3 } }",
        "layer { name: 'a' type: 'InnerProduct' bottom: 'x' top: 'y' loss_weight: 0
                 param { name: 'w' share_mode: PERMISSIVE lr_mult: 1 decay_mult: 1 }
                 param { name: 'b' lr_mult: 2 decay_mult: 0 } include { phase: TRAIN }
                 inner_product_param { num_output: 3 } }",
        1,
    ),
    // Transformations within the message of a data layer.
    (
        "layers { name: 'd' type: IMAGE_DATA top: 'x' image_data_param { source: 's' scale: 2 mean_file: 'm' crop_size: 5 mirror: true } }",
        "layer { name: 'd' type: 'ImageData' top: 'x' transform_param { scale: 2 mirror: true crop_size: 5 mean_file: 'm' }
                 image_data_param { source: 's' } }",
        2,
    ),
    // Blobs from outside as fields of the net.
    (
        "input: 'x' input: 'y' input_shape { dim: [1, 2] } input_shape { dim: 3 } layer { name: 'r' type: 'ReLU' bottom: 'x' top: 'x' }",
        "layer { name: 'input' type: 'Input' top: 'x' top: 'y' input_param { shape { dim: [1, 2] } shape { dim: 3 } } }
         layer { name: 'r' type: 'ReLU' bottom: 'x' top: 'x' }",
        1,
    ),
    (
        "input: 'x' input_dim: [1, 2, 3, 4]",
        "layer { name: 'input' type: 'Input' top: 'x' input_param { shape { dim: [1, 2, 3, 4] } } }",
        1,
    ),
    // BatchNorm with rates for statistics, which were once three `param` blocks.
    (
        "layer { name: 'b' type: 'BatchNorm' bottom: 'x' top: 'x' param { lr_mult: 1 } param { lr_mult: 1 } param { lr_mult: 1 } }",
        "layer { name: 'b' type: 'BatchNorm' bottom: 'x' top: 'x' param { lr_mult: 0 decay_mult: 0 }
                 param { lr_mult: 0 decay_mult: 0 } param { lr_mult: 0 decay_mult: 0 } }",
        1,
    ),
];

fn net(text: &str) -> NetParameter {
    parse::<NetParameter>("net", text).unwrap().message
}

/// What stands in a text, laid out as the printer does.
fn printed(text: &str) -> String {
    print(&net(text))
}

#[test]
fn nets_come_out_alike_from_text_and_binary_files() {
    let folder = tempfile::tempdir().unwrap();
    let [text_file, binary_file] = ["net.prototxt", "net.binaryproto"].map(|name| folder.path().join(name));
    for (old, new, upgrades) in NETS {
        fs::write(&text_file, old).unwrap();
        fs::write(&binary_file, net(old).encode_to_vec()).unwrap();
        let text = load_net(&text_file).unwrap();
        assert_eq!(text.upgrades.len(), *upgrades, "{:?} of {old}", text.upgrades);
        assert_eq!(print(&text.net), printed(new));
        let binary = load_net(&binary_file).unwrap();
        assert_eq!(print(&binary.net), print(&text.net));
        let again = upgrade_net(text.net.clone());
        assert_eq!((again.applied.len(), print(&again.message)), (0, print(&text.net)));
    }
}

#[test]
fn solvers_come_out_alike_from_text_and_binary_files() {
    let folder = tempfile::tempdir().unwrap();
    let [text_file, binary_file] =
        ["solver.prototxt", "solver.binaryproto"].map(|name| folder.path().join(name));
    for (old, new) in [
        ("solver_type: SGD", "SGD"),
        ("solver_type: NESTEROV", "Nesterov"),
        ("solver_type: ADAGRAD", "AdaGrad"),
        ("solver_type: RMSPROP", "RMSProp"),
        ("solver_type: ADADELTA", "AdaDelta"),
        ("solver_type: ADAM", "Adam"),
    ] {
        let old = format!("net: 'n' net_param {{ {} }} {old}", NETS[1].0);
        let message = parse::<SolverParameter>("solver", old.as_str()).unwrap().message;
        fs::write(&text_file, &old).unwrap();
        fs::write(&binary_file, message.encode_to_vec()).unwrap();
        let text = load_solver(&text_file).unwrap();
        assert_eq!((text.solver.r#type(), text.solver.solver_type), (new, None));
        assert_eq!(print(text.solver.net_param.as_ref().unwrap()), printed(NETS[1].1));
        assert_eq!(print(&load_solver(&binary_file).unwrap().solver), print(&text.solver));
        let again = upgrade_solver(text.solver.clone());
        assert_eq!((again.applied.len(), print(&again.message)), (0, print(&text.solver)));
    }
}
