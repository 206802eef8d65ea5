//! A line of a metrics file, as it is read again.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// An iteration, or a test.
#[derive(Debug, Deserialize)]
pub struct MetricsLine {
    /// `train`, `test`, or what a later version writes.
    pub event: String,
    /// The iteration.
    pub iter: i64,
    /// Passes over the data set so far.
    pub epoch: Option<Number>,
    /// Seconds since 1970.
    pub time: Option<Number>,
    /// Which test net.
    #[serde(default)]
    pub net: u32,
    /// The total loss.
    pub loss: Option<Number>,
    /// The learning rate.
    pub lr: Option<Number>,
    /// The outputs by name.
    #[serde(default)]
    pub outputs: BTreeMap<String, Values>,
}

/// What an output holds.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Values {
    /// A single value.
    One(Number),
    /// Several.
    Many(Vec<Number>),
}

/// A number, or the name of one that JSON does not have.
#[derive(Clone, Copy, Debug)]
pub struct Number(pub f64);

impl MetricsLine {
    /// Reads a line.
    ///
    /// # Errors
    /// Says why it is none.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|e| format!("no line of metrics: {e}"))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Spelled {
            Number(f64),
            Name(String),
            Nothing(()),
        }
        match Spelled::deserialize(deserializer)? {
            Spelled::Number(v) => Ok(Self(v)),
            Spelled::Name(name) => match &name[..] {
                "NaN" => Ok(Self(f64::NAN)),
                "Infinity" => Ok(Self(f64::INFINITY)),
                "-Infinity" => Ok(Self(f64::NEG_INFINITY)),
                _ => Err(serde::de::Error::custom("a number")),
            },
            Spelled::Nothing(()) => Ok(Self(f64::NAN)),
        }
    }
}
