//! What can be wrong with a net.

use crate::{config::proto::LayerParameter, layers::LayerError};

/// What can be wrong with a net; a front end adds the place, which `origin` and `field` lead to.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
pub enum NetError {
    /// A layer's settings, blobs or shapes.
    #[error("layer `{layer}`: {message}")]
    Layer {
        /// The layer's name.
        layer: String,
        /// Its place in the text, as the parser numbers layers; 0 if it came from no text.
        origin: u32,
        /// The field, as a path from the layer; empty for the layer as a whole.
        field: String,
        /// What is wrong.
        message: String,
    },
    /// Values that a pass met: bad data, not a bad configuration.
    #[error("layer `{layer}`: {message}")]
    Value {
        /// The layer's name.
        layer: String,
        /// Its place in the text, as in [`NetError::Layer`].
        origin: u32,
        /// What is wrong.
        message: String,
    },
    /// A file that a pass was to write.
    #[error("layer `{layer}`: {message}")]
    Output {
        /// The layer's name.
        layer: String,
        /// Its place in the text, as in [`NetError::Layer`].
        origin: u32,
        /// What is wrong.
        message: String,
    },
    /// Something else about the net as a whole.
    #[error("{0}")]
    Net(String),
}

impl NetError {
    /// Something wrong with a layer's field.
    pub fn layer(config: &LayerParameter, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Layer {
            layer: config.name().to_owned(),
            origin: config.cnnctl_origin(),
            field: field.into(),
            message: message.into(),
        }
    }

    /// More `param` blocks than the layer has parameters.
    pub(super) fn too_many_params(config: &LayerParameter, parameters: usize) -> Self {
        let message = format!("has {parameters} parameters, but {} `param` blocks", config.param.len());
        Self::layer(config, format!("param[{parameters}]"), message)
    }

    /// Another layer above with its name, and with parameters of its own.
    pub fn twin(config: &LayerParameter) -> Self {
        let message = "another layer above has this name and parameters of its own; rename it, for snapshots and test \
                       nets tell layers by their names";
        Self::layer(config, "name", message)
    }

    /// What a layer complains of.
    pub fn of(config: &LayerParameter, error: LayerError) -> Self {
        match error {
            LayerError::Setting { field, message } => Self::layer(config, field, message),
            LayerError::Shape(message) => Self::layer(config, "", message),
            LayerError::Value(message) => {
                Self::Value { layer: config.name().to_owned(), origin: config.cnnctl_origin(), message }
            }
            LayerError::Output(message) => {
                Self::Output { layer: config.name().to_owned(), origin: config.cnnctl_origin(), message }
            }
        }
    }
}
