//! A net of any age as text: upgraded twice it is as upgraded once, and printed and parsed it is the same again.
#![no_main]

use cnnctl::config::{Severity, proto::NetParameter, text, upgrade::upgrade_net};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(parsed) = text::parse::<NetParameter>("net", String::from_utf8_lossy(bytes)) else { return };
    let done = upgrade_net(parsed.message);
    if done.complaints.iter().any(|c| c.severity == Severity::Error) {
        return;
    }
    let printed = text::print(&done.message);
    assert_eq!(text::print(&upgrade_net(done.message).message), printed);
    let again = text::parse::<NetParameter>("net", printed.as_str()).expect("what was printed is a good text");
    assert_eq!(text::print(&again.message), printed);
});
