//! The simulator through its HTTP face and its in-process handle.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed helper fails its test"
)]

mod access;
mod client;
mod faults;
mod fields;
mod hooks;
mod listing;
mod mutator;
mod paging;
mod shapes;
mod smoke;
mod spec;
mod writes;
