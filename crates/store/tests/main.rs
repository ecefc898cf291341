//! The journal and the vault against real files.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod journal;
