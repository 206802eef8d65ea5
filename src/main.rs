//! The `cnnctl` binary.
fn main() {}
