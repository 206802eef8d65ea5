//! An idx file, plain or gzipped.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cnnctl_fuzz::read_set("idx", bytes));
