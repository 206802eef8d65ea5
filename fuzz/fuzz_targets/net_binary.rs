//! A binary net, looked at as `cnnctl check` does.
#![no_main]

use cnnctl::config::{net_from_param, proto::NetParameter};
use prost::Message;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(file) = NetParameter::decode(bytes).ok().and_then(|net| net_from_param(net).ok()) {
        cnnctl_fuzz::look_at(&file.net);
    }
});
