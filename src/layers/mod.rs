//! Layers: one file per type, named as the prototxt names it.
