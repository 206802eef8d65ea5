//! The same layer of other nets that train together.

/// What a layer may ask of its twins on other ranks. All of them ask at the same points of a pass.
pub trait Peers: Send + Sync {
    /// Replaces the values by their means over all ranks, summed in the order of the ranks. If the others do not answer, the
    /// values stay, and the step is given up after the pass.
    fn mean(&self, values: &mut [f64]);

    /// How many ranks there are.
    fn count(&self) -> usize;
}
