//! The passes between a `NetParameter` and a wired net: each a function from a plan to the next.

pub mod filter;
pub(in crate::net) mod fuse;
pub(in crate::net) mod gather;
pub mod memory;
pub mod need;
mod place;
pub mod split;
pub mod wire;
