//! Damaged snapshots: an error that names the file, never a panic, and never a resume from them.

use std::fs;

use crate::common::{
    Folder,
    damage::{Damage, any_damage},
};
use cnnctl::snapshot::{Weights, load_state, newest_whole};
use proptest::{prelude::*, test_runner::TestRunner};

fn damaged(bytes: &[u8], damage: &Damage) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    damage.apply(&mut bytes);
    bytes
}

/// A folder with the snapshots of a short run, at iterations 10 and 20.
fn trained() -> Folder {
    let folder = Folder::new();
    folder.done(&["train", "--solver", "solver.prototxt"]);
    folder
}

fn run(test: impl Fn(Damage) -> Result<(), TestCaseError>) {
    let config = ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner =
        TestRunner::new_with_rng(config, prop::test_runner::TestRng::deterministic_rng(Default::default()));
    runner.run(&any_damage(), test).unwrap();
}

#[test]
fn damaged_weights_are_never_resumed_from() {
    let folder = trained();
    let (name, prefix) = ("tiny_iter_20.caffemodel", folder.path("tiny").display().to_string());
    let whole = folder.read(name);
    run(|damage| {
        let bytes = damaged(&whole, &damage);
        folder.write(name, &bytes);
        // By themselves some damages cannot be told, but they must not end in a panic.
        if let Err(error) = Weights::load(&folder.path(name)) {
            prop_assert!(error.to_string().contains(name), "{}", error);
        }
        let (newest, broken) = newest_whole(&prefix);
        prop_assert_eq!(newest, Some(folder.path("tiny_iter_10.solverstate")));
        prop_assert!(broken[0].to_string().contains("is damaged"), "{}", broken[0]);
        Ok(())
    });
}

#[test]
fn damaged_states_are_refused_or_read_without_a_panic() {
    let folder = trained();
    let (name, prefix) = ("tiny_iter_20.solverstate", folder.path("tiny").display().to_string());
    let whole = folder.read(name);
    run(|damage| {
        folder.write(name, damaged(&whole, &damage));
        if let Err(error) = load_state(&folder.path(name)) {
            prop_assert!(error.to_string().contains(name), "{}", error);
        }
        prop_assert!(newest_whole(&prefix).0.is_some(), "the snapshot before it is whole");
        Ok(())
    });
}

/// A snapshot that a machine's end has left empty or full of zeros, or that is something else altogether.
#[test]
fn strangers_are_passed_over() {
    let folder = trained();
    let name = "tiny_iter_20.solverstate";
    let strangers = [
        Vec::new(),
        vec![0; 5000],
        b"net: \"net.prototxt\"\n".to_vec(),
        folder.read("tiny_iter_20.caffemodel"),
    ];
    for bytes in strangers {
        folder.write(name, bytes);
        let (_, log) = folder.done(&["train", "--solver", "solver.prototxt", "--resume", "auto"]);
        assert!(log.contains("passed over: tiny_iter_20.solverstate: "), "{log}");
        assert!(log.contains("Resuming from tiny_iter_10.solverstate"), "{log}");
        // The run has written a whole one in its place.
        assert!(newest_whole(&folder.path("tiny").display().to_string()).1.is_empty());
        fs::remove_file(folder.path("tiny_iter_20.caffemodel")).unwrap();
    }
}
