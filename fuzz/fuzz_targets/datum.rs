//! A value of a database.
#![no_main]

use cnnctl::data::{Decode, parse_datum};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(sample) = parse_datum(bytes, Decode::Native) {
        assert_eq!(sample.pixels.len(), sample.shape.iter().product::<usize>());
    }
});
