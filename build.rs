//! Compiles `proto/caffe.proto` with protox, so that no installed `protoc` is needed.
//!
//! Leaves two files in `OUT_DIR`: the Rust messages (`caffe.rs`) and the schema itself (`caffe.bin`, a
//! `FileDescriptorSet`), which the text format reads at run time.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto/caffe.proto");
    let schema = protox::compile(["proto/caffe.proto"], ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("caffe.bin"), schema.encode_to_vec())?;
    prost_build::Config::new().enable_type_names().compile_fds(schema)?;
    Ok(())
}
