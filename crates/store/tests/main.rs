//! The journal, the inbox, the state directory and the vault against real files.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod golden;
mod inbox;
mod journal;
#[cfg(feature = "fuzzing")]
mod seeds;
mod state_dir;
mod tokens;
mod vault;
