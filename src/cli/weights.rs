//! Files of weights: reading them, the net that they hold, and laying them over each other.

use std::path::{Path, PathBuf};

use super::{Failure, failure::CONFIG};
use crate::{
    config::{self, ConfigError, NetFile},
    net::{Net, Params},
    report,
    snapshot::Weights,
};

/// Reads files of weights.
pub fn load(paths: &[PathBuf]) -> Result<Vec<Weights>, Failure> {
    paths.iter().map(|path| Ok(Weights::load(path)?)).collect()
}

/// The net that is named, or else the one that the weights of these files hold.
pub fn net_of(model: Option<&Path>, weights: &[Weights], paths: &[PathBuf]) -> Result<NetFile, Failure> {
    if let Some(path) = model {
        return Ok(config::load_net(path)?);
    }
    match weights.iter().find_map(|w| w.source_net.clone()) {
        Some(net) => Ok(config::net_from_param(net).map_err(ConfigError::from)?),
        None => {
            let path = paths.first().map(|path| path.display().to_string()).unwrap_or_default();
            let message =
                format!("{path} holds no net, as files of Caffe do not: name the net with --model NET");
            Err(Failure::new(CONFIG, message))
        }
    }
}

/// Copies weights into the net of a file, one after the other, and says what does not match.
pub fn copy(weights: Vec<Weights>, net: &Net, params: &mut Params, file: &NetFile) -> Result<(), Failure> {
    for weights in weights {
        report::copied(&weights.copy_into(net, params).map_err(|e| Failure::net(&e, Some(file)))?);
    }
    Ok(())
}
