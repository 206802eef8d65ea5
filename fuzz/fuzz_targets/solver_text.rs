//! A solver as text, looked at as `cnnctl check` does.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(file) = cnnctl::config::solver_from_text("solver.prototxt", String::from_utf8_lossy(bytes)) {
        for complaint in cnnctl::solver::check(&file) {
            let _ = complaint.to_string();
        }
    }
});
