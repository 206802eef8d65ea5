//! Blobs that are set from outside.

use cnnctl::{
    config::{self, proto::Phase},
    net::{Net, Options, Params},
};

#[test]
fn memory_data_waits_for_its_values() {
    let text = "layer { name: 'm' type: 'MemoryData' top: 'x' top: 'label' memory_data_param { batch_size: 2 channels: 1
            height: 1 width: 1 } }
        layer { name: 'double' type: 'Power' bottom: 'x' top: 'y' power_param { scale: 2 } }";
    let net = config::net_from_text("net.prototxt", text).unwrap().net;
    let mut params = Params::new();
    let mut net = Net::new(&net, Options::new(Phase::Test, 1), &mut params).unwrap();
    let error = net.forward(&mut params).unwrap_err().to_string();
    assert!(error.contains("layer `m`: has no values"), "{error}");
    net.set_input("x", &[3.0, 4.0]).unwrap();
    net.forward(&mut params).unwrap();
    assert_eq!(net.values(net.blob("y").unwrap()), [6.0, 8.0]);
}
