//! Files <-> weights and solver state.
