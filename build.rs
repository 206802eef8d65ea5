//! Compiles `proto/` with protox, so that no installed `protoc` is needed.
//!
//! Leaves two files in `OUT_DIR`: the Rust messages (`caffe.rs`) and the schema itself (`caffe.bin`, a
//! `FileDescriptorSet`), which the text format reads at run time. Those of TensorBoard's files (`tensorboard.rs`) and of ONNX
//! (`onnx.rs`) lie beside.
//!
//! A build for tests on a machine that lacks AVX-512 has no kernels for it (`without_avx512`): they would take long and could not run.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let schema = protox::compile(["proto/caffe.proto"], ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("caffe.bin"), schema.encode_to_vec())?;
    prost_build::Config::new().enable_type_names().compile_fds(schema)?;
    let events = protox::compile(["proto/tensorboard.proto"], ["proto"])?;
    // In the order of their keys, so that equal nets give equal bytes.
    prost_build::Config::new().btree_map(["."]).compile_fds(events)?;
    let onnx = protox::compile(["proto/onnx.proto"], ["proto"])?;
    prost_build::Config::new().compile_fds(onnx)?;
    println!("cargo:rustc-check-cfg=cfg(without_avx512)");
    if env::var("PROFILE")? == "debug" && env::var("TARGET")? == env::var("HOST")? && !has_avx512() {
        println!("cargo:rustc-cfg=without_avx512");
    }
    Ok(())
}

/// Whether this machine has it.
fn has_avx512() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}
