//! CODING (simulated) to each target, through the whole engine: what is true at the source is true in the target.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod access;
mod aside;
mod cells;
mod compare;
mod copies;
mod cost;
mod exact;
mod flat;
mod follow;
mod golden;
mod harness;
mod hostile;
mod lost;
mod model;
mod network;
mod place;
mod projects;
mod rebuild;
mod refused;
mod renamed;
mod rounds;
#[cfg(feature = "fuzzing")]
mod seeds;
mod spoiled;
