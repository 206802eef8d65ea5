//! Convolutions whose groups have few input channels, such as a net's first: so little is read for so many products that
//! positions can run along the lanes straight from the planes.

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

/// The most input channels of a group.
pub const CHANNELS: usize = 4;
