//! Data sources, the transforms of their samples, and the batches that training reads.
