//! Files of solver state.

use std::path::{Path, PathBuf};

use prost::Message as _;

use super::{
    Access, Array, BlobValues, Format, SnapshotError, Written,
    blob::read_blob,
    digest,
    error::NOT_A_STATE,
    hdf5,
    lift::{Lifted, OF_STATE},
    write_whole_with,
};
use crate::config::proto::{CnnctlState, NetParameter, SolverState};

/// The format of what we add to Caffe's solver state, which `CnnctlState::version` tells.
pub const VERSION: u32 = 2;

/// The field of `SolverState` that holds the rule's arrays.
const HISTORY: u32 = 3;

/// A solver state that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// All but the history.
    pub head: SolverState,
    /// The rule's arrays.
    pub history: Vec<BlobValues>,
}

/// Reads a solver state; its content decides the format.
///
/// # Errors
/// When it cannot be read, or is not a whole solver state; says so when it is a file of weights instead.
pub fn load_state(path: &Path) -> Result<State, SnapshotError> {
    let file = Lifted::load(path, OF_STATE).map_err(SnapshotError::io(Access::Read, path))?;
    read(file).map_err(|message| SnapshotError::content(path, message))
}

/// Reads the bytes of a solver state.
///
/// # Errors
/// Says what is wrong when they are none, or not as they were written.
pub fn decode_state(bytes: Vec<u8>) -> Result<State, String> {
    read(Lifted::of(bytes, OF_STATE))
}

fn read(file: Lifted) -> Result<State, String> {
    let (mut head, history) = match Format::of_bytes(&file.rest) {
        Format::Hdf5 => hdf5::read_state(file.rest).map(|(head, history)| (head, Ok(history)))?,
        Format::BinaryProto => from_proto(file)?,
    };
    // HDF5 cannot leave it out.
    head.current_step = Some(head.current_step());
    let version = head.cnnctl.as_ref().map_or(0, CnnctlState::version);
    if version > VERSION {
        return Err(format!(
            "was written by a newer cnnctl, in version {version} of its format; this one reads up to {VERSION}"
        ));
    }
    // Version 1 had none; Caffe's states have no version.
    let written = head.cnnctl_checksum.take();
    if version > 1 || written.is_some() {
        let arrays = history.as_ref().map(|h| h.iter().map(|b| (&b.shape[..], b.values.hash().clone())));
        if arrays.map_or(true, |arrays| written != Some(digest::of_state(&head, arrays))) {
            return Err("is damaged: its checksum does not fit".into());
        }
    }
    Ok(State { head, history: history? })
}

/// All but the history, and the history or what is wrong with it.
type Parts = (SolverState, Result<Vec<BlobValues>, String>);

fn from_proto(mut file: Lifted) -> Result<Parts, String> {
    match SolverState::decode(&file.rest[..]) {
        Ok(mut head) if head.iter.is_some() => {
            let blobs = std::mem::take(&mut head.history).into_iter().enumerate();
            let read = |(i, blob)| read_blob(blob, &mut file.arrays).map_err(|e| format!("history {i}: {e}"));
            Ok((head, blobs.map(read).collect()))
        }
        _ if NetParameter::decode(&file.rest[..])
            .is_ok_and(|net| !net.layer.is_empty() || !net.layers.is_empty()) =>
        {
            Err(NOT_A_STATE.into())
        }
        Ok(_) => Err("not a solver state: it has no iteration".into()),
        Err(e) => Err(format!("not a solver state, or a damaged one ({e})")),
    }
}

/// Writes a solver state, whole or not at all: `state`, which has no history of its own, with that of `history`.
///
/// # Errors
/// When it cannot be written.
pub fn save_state(
    path: &Path,
    format: Format,
    state: &SolverState,
    history: &[Array<'_>],
) -> Result<Written, SnapshotError> {
    let arrays = history.iter().map(|a| (&a.shape[..], digest::of_values(a.data)));
    let checksum = digest::of_state(state, arrays);
    write_whole_with(path, |out| match format {
        Format::BinaryProto => {
            // The checksum comes first: a file that is cut off lacks what it covers.
            let sum = SolverState { cnnctl_checksum: Some(checksum), ..SolverState::default() };
            out.write_all(&sum.encode_to_vec())?;
            out.write_all(&state.encode_to_vec())?;
            history.iter().try_for_each(|array| array.write(HISTORY, out))
        }
        Format::Hdf5 => hdf5::write_state(state, history, checksum, out),
    })
}

/// Where the weights of a solver state are: at `learned_net` as it stands, or beside the state.
pub fn locate_weights(state_path: &Path, learned_net: &str) -> PathBuf {
    let named = PathBuf::from(learned_net);
    if named.is_file() {
        return named;
    }
    let folder = state_path.parent().unwrap_or(Path::new(""));
    let beside = folder.join(named.file_name().unwrap_or_default());
    let below = folder.join(&named);
    if beside.is_file() {
        beside
    } else if below.is_file() {
        below
    } else {
        named
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{config::proto::LayerParameter, tensor::Shape};

    #[test]
    fn states_come_back_in_both_formats() {
        let folder = tempfile::tempdir().unwrap();
        let shapes = [Shape::from([2, 3]), Shape::from([1]), Shape::from([])];
        let data = [1.5, -2.0, 0.0, f32::MAX, 5.0, f32::MIN_POSITIVE];
        let history: Vec<_> =
            shapes.iter().map(|shape| Array { shape, data: &data[..shape.count()], diff: None }).collect();
        let head = SolverState {
            iter: Some(7),
            learned_net: Some("snaps/\u{e9}_iter_7.caffemodel".into()),
            current_step: Some(2),
            cnnctl: Some(CnnctlState { seed: Some(u64::MAX), ..CnnctlState::default() }),
            ..SolverState::default()
        };
        for format in [Format::BinaryProto, Format::Hdf5] {
            let path = folder.path().join(format!("x.solverstate{}", format.suffix()));
            let written = save_state(&path, format, &head, &history).unwrap();
            let bytes = fs::read(&path).unwrap();
            assert_eq!((written.bytes, written.checksum), (bytes.len() as u64, crc32fast::hash(&bytes)));
            let back = load_state(&path).unwrap();
            assert_eq!(back.head, head);
            for (blob, array) in back.history.iter().zip(&history) {
                assert!(blob.shape == *array.shape && blob.values[..] == *array.data, "{blob:?}");
            }
            assert_eq!(back.history.len(), history.len());
        }
    }

    #[test]
    fn strangers_are_named() {
        let message = |bytes: Vec<u8>| decode_state(bytes).unwrap_err();
        let net = NetParameter {
            name: Some("n".into()),
            layer: vec![LayerParameter::default()],
            ..NetParameter::default()
        };
        assert!(message(net.encode_to_vec()).contains("file of weights, not a solver state"));
        assert!(message(Vec::new()).contains("no iteration"));
        assert!(message(b"\x08\x07\x12\xff".to_vec()).contains("damaged"));
    }

    #[test]
    fn weights_are_found_beside_their_state() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("x.solverstate");
        fs::write(folder.path().join("w.caffemodel"), "").unwrap();
        assert_eq!(locate_weights(&state, "elsewhere/w.caffemodel"), folder.path().join("w.caffemodel"));
        assert_eq!(locate_weights(&state, "none"), PathBuf::from("none"));
    }
}
