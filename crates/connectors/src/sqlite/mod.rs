//! A SQLite file as a target.
//!
//! Rows and position are committed in one transaction, which the task's epoch in the file guards: whoever opened
//! the task last is the only one who can commit. The file is in WAL mode and never locked exclusively, so that
//! others read meanwhile; a call that returned is on the disk.
//!
//! What SQLite cannot tell apart: a float `-0.0` is stored as `0.0`. All other values come back as they were
//! written, bit by bit.
//!
//! Start with [`config::SqliteConfig`] (what a user writes), then [`target::SqliteTarget`]. Inside: `encode` knows
//! how names and values are written, `shape` what a table looks like and whether it is ours, `bookkeeping` the
//! `_tributary_*` tables (`aside` that of rows put aside), `link` the connection, `write` how rows get in, `inspect` only looks,
//! `fault` what an error means.

mod aside;
mod bookkeeping;
mod check;
pub mod config;
mod encode;
mod fault;
mod inspect;
mod link;
mod shape;
pub mod target;
mod write;

use crate::fault::Words;

/// How the target calls itself.
const WORDS: Words = Words { code: "SQLITE", name: "SQLite file", place: "file" };

#[cfg(test)]
mod tests;
