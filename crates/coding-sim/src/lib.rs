//! coding-sim
