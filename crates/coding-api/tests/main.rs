//! The client against servers that misbehave on purpose: each test scripts its own on a free port.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests: a panic fails the test, and a skipped test says so"
)]

mod addresses;
mod envelopes;
mod hook_live;
mod hook_read;
mod hook_samples;
mod hook_verify;
mod oauth;
mod pages;
mod recorded;
mod retries;
#[cfg(feature = "fuzzing")]
mod seeds;
mod server;
mod service_hooks;
mod simulator;
mod sizes;
mod trust;
