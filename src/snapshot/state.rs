//! Files of solver state.

use std::{
    fs,
    path::{Path, PathBuf},
};

use prost::Message as _;

use super::{SnapshotError, write_whole};
use crate::config::proto::{NetParameter, SolverState};

/// Reads a solver state.
///
/// # Errors
/// When it cannot be read, or is not a whole solver state; says so when it is a file of weights instead.
pub fn load_state(path: &Path) -> Result<SolverState, SnapshotError> {
    let bytes = fs::read(path).map_err(SnapshotError::io("read", path))?;
    let fail = |message: String| Err(SnapshotError::content(path, message));
    match SolverState::decode(&bytes[..]) {
        Ok(state) if state.iter.is_some() => Ok(state),
        _ if NetParameter::decode(&bytes[..]).is_ok_and(|net| !net.layer.is_empty() || !net.layers.is_empty()) => fail(
            "is a file of weights, not a solver state; start from weights with --weights, or resume from the \
             .solverstate beside it"
                .into(),
        ),
        Ok(_) => fail("not a solver state: it has no iteration".into()),
        Err(e) => fail(format!("not a solver state, or a damaged one ({e})")),
    }
}

/// Writes a solver state, whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub fn save_state(path: &Path, state: &SolverState) -> Result<(), SnapshotError> {
    write_whole(path, &state.encode_to_vec())
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
    use super::*;
    use crate::config::proto::LayerParameter;

    #[test]
    fn states_come_back_and_strangers_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.solverstate");
        let state =
            SolverState { iter: Some(7), learned_net: Some("x.caffemodel".into()), ..SolverState::default() };
        save_state(&path, &state).unwrap();
        assert_eq!(load_state(&path).unwrap(), state);

        let net = NetParameter {
            name: Some("n".into()),
            layer: vec![LayerParameter::default()],
            ..NetParameter::default()
        };
        fs::write(&path, net.encode_to_vec()).unwrap();
        assert!(load_state(&path).unwrap_err().to_string().contains("file of weights, not a solver state"));
        fs::write(&path, b"").unwrap();
        assert!(load_state(&path).unwrap_err().to_string().contains("no iteration"));
        fs::write(&path, b"\x08\x07\x12\xff").unwrap();
        assert!(load_state(&path).unwrap_err().to_string().contains("damaged"));
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
