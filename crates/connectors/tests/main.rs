//! CODING (simulated) to each target, through the whole engine: what is true at the source is true in the target.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod access;
mod compare;
mod cost;
mod exact;
mod flat;
mod follow;
mod harness;
mod hostile;
mod lost;
mod place;
mod projects;
mod rebuild;
mod rounds;
