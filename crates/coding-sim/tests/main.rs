//! The simulator through its HTTP face and its in-process handle.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed helper fails its test"
)]

mod client;
mod smoke;
