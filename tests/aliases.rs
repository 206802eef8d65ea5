//! Layers that only rename or reshape a blob copy nothing.

use cnnctl::{
    config::{self, proto::Phase},
    net::{Net, Options, Params},
};

fn build(text: &str, options: Options) -> (Net, Params) {
    let net = config::net_from_text("net.prototxt", text).unwrap().net;
    let mut params = Params::new();
    (Net::new(&net, options, &mut params).unwrap(), params)
}

const INPUT: &str =
    "layer { name: 'in' type: 'Input' top: 'in' input_param { shape { dim: 4 dim: 3 dim: 5 } } }
    layer { name: 'w' type: 'InnerProduct' bottom: 'in' top: 'w' inner_product_param { num_output: 6 axis: 2
        weight_filler { type: 'xavier' } } }";

#[test]
fn tops_are_where_their_bottom_is() {
    let text = format!(
        "{INPUT}
        layer {{ name: 'flat' type: 'Flatten' bottom: 'w' top: 'flat' }}
        layer {{ name: 'shaped' type: 'Reshape' bottom: 'flat' top: 'shaped' reshape_param {{ shape {{ dim: -1 dim: 3 }} }} }}
        layer {{ name: 'one' type: 'Concat' bottom: 'shaped' top: 'one' }}
        layer {{ name: 'whole' type: 'Slice' bottom: 'one' top: 'whole' }}
        layer {{ name: 'kept' type: 'Dropout' bottom: 'whole' top: 'kept' }}
        layer {{ name: 'a' type: 'Power' bottom: 'kept' top: 'a' power_param {{ scale: 2 }} }}
        layer {{ name: 'b' type: 'TanH' bottom: 'kept' top: 'b' }}"
    );
    let (mut net, mut params) = build(&text, Options { keep_all: true, ..Options::new(Phase::Test, 1) });
    net.forward(&mut params).unwrap();
    let at = |name: &str| net.values(net.blob(name).unwrap()).as_ptr();
    for name in ["flat", "shaped", "one", "whole", "kept", "kept_kept_0_split_0", "kept_kept_0_split_1"] {
        assert_eq!(at(name), at("w"), "{name}");
    }
    assert!(at("a") != at("w") && at("b") != at("w"));
}

#[test]
fn training_costs_no_memory_for_them_and_learns_the_same() {
    let run = |between: &str, last: &str| {
        let text = format!(
            "{INPUT} {between}
            layer {{ name: 'loss' type: 'Reduction' bottom: '{last}' top: 'loss' loss_weight: 1
                reduction_param {{ operation: SUMSQ }} }}"
        );
        let (mut net, mut params) = build(&text, Options::new(Phase::Train, 1));
        net.set_input("in", &(0..60).map(|i| i as f32 / 60.0).collect::<Vec<_>>()).unwrap();
        net.forward(&mut params).unwrap();
        net.backward(&mut params);
        let diffs: Vec<Vec<f32>> = params.iter().map(|p| p.diff.to_vec()).collect();
        (net.memory(), diffs)
    };
    let plain = run("", "w");
    let reshaped = run(
        "layer { name: 'flat' type: 'Flatten' bottom: 'w' top: 'flat' }
        layer { name: 'shaped' type: 'Reshape' bottom: 'flat' top: 'shaped' reshape_param { shape { dim: -1 } } }",
        "shaped",
    );
    assert!(plain.1[0].iter().any(|&d| d != 0.0));
    assert_eq!(plain, reshaped);
}
