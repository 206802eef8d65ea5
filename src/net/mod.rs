//! The layer graph: blobs, parameters, and the passes that turn a `NetParameter` into a wired net.
