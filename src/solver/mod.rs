//! The training loop, update rules, learning-rate policies and interrupts.
