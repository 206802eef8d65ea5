//! The list of an ImageData layer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cnnctl_fuzz::read_set("image_list", bytes));
