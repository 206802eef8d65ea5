//! Work of one layer that the layer before it can do while it stores its top, so that the values between the two never
//! go to memory.
//!
//! A layer says by [`Layer::follows`](super::Layer::follows) what it does to each value, and another takes that up by
//! [`Layer::take_up`](super::Layer::take_up); the net brings them together. Where a rectifier was taken up, its backward pass
//! may be done by the layer that makes its top's gradient: [`Layer::clear`](super::Layer::clear). Where several layers read a
//! blob, one may add its gradient to what another has written: [`Layer::add`](super::Layer::add). No bit of any result
//! depends on it.

/// What a layer of one bottom and one top does to each value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Follow {
    /// max(0, y).
    Rectify,
    /// (y - mean) / sqrt(variance + eps), by the running statistics of its channel (axis 1).
    Normalize {
        /// Added to the variance.
        eps: f32,
    },
    /// y times a learned factor of its channel (axis 1), plus a learned bias of its channel, if it has one.
    Scale,
}

/// What backward passes want of the following layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// There are none.
    Nothing,
    /// The gradient of its bottom.
    Bottom,
    /// That of its parameters, too.
    Params,
}

/// How much of the following layer's work was taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// None.
    Nothing,
    /// The forward pass. For the backward pass the net clears the diffs of values that were cut off.
    Forward,
    /// All passes that there are: parameters, their diffs and running statistics come after the layer's own.
    Both,
}

/// How the gradient of a bottom becomes 0 where the bottom is not above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clearing {
    /// Not by this layer.
    Nothing,
    /// The layer writes it so.
    Written,
    /// It is so where the top's gradient is 0 wherever the top is not above 0: the layer passes on some of its bottom's
    /// values.
    AtTop,
}
