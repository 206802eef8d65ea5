//! Files of weights: reading them, the net that they hold, and laying them over each other.

use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};

use super::{Failure, failure::CONFIG};
use crate::{
    config::{self, ConfigError, NetFile},
    net::{Net, Params},
    report,
    snapshot::Weights,
};

/// Takes the name of a file out of a list: spaces around it are none of it, as in Caffe.
pub fn parser() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(|name| match name.to_str() {
        Some(text) => PathBuf::from(text.trim()),
        None => PathBuf::from(name),
    })
}

/// Reads files of weights.
pub fn load(paths: &[PathBuf]) -> Result<Vec<Weights>, Failure> {
    paths.iter().map(|path| Ok(Weights::load(path)?)).collect()
}

/// Files of weights and the net that is named, or else the one that they hold, whose warnings are shown.
pub fn with_net(model: Option<&Path>, paths: &[PathBuf]) -> Result<(NetFile, Vec<Weights>), Failure> {
    let weights = load(paths)?;
    let file = match (model, weights.iter().find_map(|w| w.source_net.clone())) {
        (Some(path), _) => config::load_net(path)?,
        (None, Some(net)) => config::net_from_param(net).map_err(ConfigError::from)?,
        (None, None) => {
            let path = paths.first().map(|path| path.display().to_string()).unwrap_or_default();
            let message =
                format!("{path} holds no net, as files of Caffe do not: name the net with --model NET");
            return Err(Failure::new(CONFIG, message));
        }
    };
    report::warn_all(&file.warnings);
    Ok((file, weights))
}

/// Copies weights into the net of a file, one after the other, and says what does not match.
pub fn copy(weights: Vec<Weights>, net: &Net, params: &mut Params, file: &NetFile) -> Result<(), Failure> {
    for weights in weights {
        report::copied(&weights.copy_into(net, params).map_err(|e| Failure::net(&e, Some(file)))?);
    }
    Ok(())
}
