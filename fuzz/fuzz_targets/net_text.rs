//! A net as text, looked at as `cnnctl check` does.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(file) = cnnctl::config::net_from_text("net.prototxt", String::from_utf8_lossy(bytes)) {
        cnnctl_fuzz::look_at(&file.net);
    }
});
