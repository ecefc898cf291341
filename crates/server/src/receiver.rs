//! The endpoint of hooks.
