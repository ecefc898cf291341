//! The journal, the state directory and the vault against real files.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod journal;
mod state_dir;
mod tokens;
mod vault;
