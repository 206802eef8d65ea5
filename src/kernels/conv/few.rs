//! Convolutions whose groups have few input channels, such as a net's first, or few of both kinds, such as those of many groups: so
//! little is read for so many products that positions can run along the lanes straight from the planes.

mod dots;
mod forward;
mod gradient;
pub mod planes;
mod products;
mod shifted;
mod strips;
#[cfg(test)]
mod tests;
mod toom;
mod turned;

pub use forward::Forward;
pub use gradient::Gradient;

use super::ConvDims;
use crate::kernels::simd::Isa;
use products::Products;
use turned::Turned;

/// The most input channels of a group.
pub const CHANNELS: usize = 4;
/// Or the most pairs of a group's channels. As measured, with so few no tiles at points take less time.
const PAIRS: usize = 144;

/// Whether a group has so few pairs of channels that this is the best way.
pub fn few_pairs(dims: &ConvDims) -> bool {
    dims.group_in() * dims.group_out() <= PAIRS
}

/// The input's gradient.
pub enum InputGradient<'a> {
    Turned(Turned<'a>),
    Products(Products<'a>),
}

impl<'a> InputGradient<'a> {
    /// `None` where other ways serve better, or this does not at all.
    pub fn new(isa: Isa, dims: &'a ConvDims) -> Option<Self> {
        let turned = || Turned::new(isa, dims).map(Self::Turned);
        let products = || Products::new(isa, dims).map(Self::Products);
        // Of many more outputs than inputs products with all taps fill a tile better than a few rows.
        if dims.group_out() > 2 * dims.group_in() {
            products().or_else(turned)
        } else {
            turned().or_else(products)
        }
    }

    /// Whether tiles at points would take longer: of so few rows they would be nearly empty.
    pub fn comes_first(&self, dims: &ConvDims) -> bool {
        matches!(self, Self::Turned(_)) || dims.group_in() <= CHANNELS
    }

    /// Floats of scratch: the packed weights.
    pub fn scratch_len(&self) -> usize {
        match self {
            Self::Turned(turned) => turned.scratch_len(),
            Self::Products(products) => products.scratch_len(),
        }
    }

    /// Overwrites the gradient.
    pub fn run(&self, top_diff: &[f32], weights: &[f32], bottom_diff: &mut [f32], scratch: &mut [f32]) {
        match self {
            Self::Turned(turned) => turned.run(top_diff, weights, bottom_diff, scratch),
            Self::Products(products) => products.run(top_diff, weights, bottom_diff, scratch),
        }
    }
}
