//! What can be wrong with a layer.

use crate::tensor::OutOfMemory;

/// What can be wrong with a layer; the net adds the layer's name and place.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
pub enum LayerError {
    /// A setting.
    #[error("{message}")]
    Setting {
        /// The field, as a path from the layer: `convolution_param.kernel_size`.
        field: String,
        /// What is wrong, with what was expected and found.
        message: String,
    },
    /// The shapes of the bottoms.
    #[error("{0}")]
    Shape(String),
    /// Values that a pass met: a label out of range, an unreadable sample.
    #[error("{0}")]
    Value(String),
    /// A file that a pass was to write.
    #[error("{0}")]
    Output(String),
}

impl LayerError {
    /// A wrong setting.
    pub fn setting(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Setting { field: field.into(), message: message.into() }
    }

    /// Shapes that do not fit.
    pub fn shape(message: impl Into<String>) -> Self {
        Self::Shape(message.into())
    }

    /// A bad value in a pass.
    pub fn value(message: impl Into<String>) -> Self {
        Self::Value(message.into())
    }

    /// A file that cannot be written.
    pub fn output(message: impl Into<String>) -> Self {
        Self::Output(message.into())
    }
}

impl From<OutOfMemory> for LayerError {
    fn from(error: OutOfMemory) -> Self {
        Self::Shape(error.to_string())
    }
}
