//! Convolutions whose groups have few input channels, such as a net's first, or few of both kinds, such as those of many groups: so
//! little is read for so many products that positions can run along the lanes straight from the planes.

mod dots;
mod forward;
mod gradient;
mod input_gradient;
mod planes;
mod strips;
#[cfg(test)]
mod tests;
mod toom;

pub use forward::Forward;
pub use gradient::Gradient;
pub use input_gradient::InputGradient;

use super::ConvDims;

/// The most input channels of a group.
pub const CHANNELS: usize = 4;
/// Or the most pairs of a group's channels. As measured, with so few no tiles at points take less time.
const PAIRS: usize = 144;

/// Whether a group has so few pairs of channels that this is the best way.
pub fn few_pairs(dims: &ConvDims) -> bool {
    dims.group_in() * dims.group_out() <= PAIRS
}
