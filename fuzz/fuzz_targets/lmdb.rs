//! The file of an LMDB database.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cnnctl_fuzz::read_set("lmdb", bytes));
