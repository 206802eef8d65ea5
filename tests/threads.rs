//! The same bytes on any number of threads.

mod common;

use common::Folder;

#[test]
fn snapshots_are_the_same_on_any_number_of_threads() {
    let snapshots = ["1", "2", "3"].map(|threads| {
        let folder = Folder::new();
        folder.done(&["train", "--solver", "solver.prototxt", "--threads", threads]);
        [folder.read("tiny_iter_20.caffemodel"), folder.read("tiny_iter_20.solverstate")]
    });
    assert!(snapshots[0] == snapshots[1], "2 threads differ from 1");
    assert!(snapshots[0] == snapshots[2], "3 threads differ from 1");
}
