//! A schema of a PostgreSQL database as a target.
//!
//! Rows and position are committed in one transaction, which the task's epoch in the schema guards: whoever opened
//! the task last is the only one who can commit. Nothing depends on the session: what a transaction needs is set
//! in its first statement.
//!
//! What PostgreSQL cannot store: the character U+0000, in texts and in JSON. `jsonb` keeps what JSON means, not how
//! it was written: the order of keys and the blanks are lost, of equal keys the last one stays. All other values
//! come back as they were written, bit by bit.
//!
//! Start with [`config::PostgresConfig`] (what a user writes), then [`target::PostgresTarget`]. Inside: `link` is
//! the connection, `encode` knows how values and statements are written, `write` how a batch gets in, `page` whether a row does, `shape` what
//! a table looks like and whether it is ours, `bookkeeping` the `_tributary_*` tables (`aside` that of rows
//! put aside), `growth` keeps the planner informed, `nodelay` the network prompt, `inspect` only looks, `fault` what an
//! error means.

mod aside;
mod bookkeeping;
mod check;
pub mod config;
mod demands;
mod encode;
mod fault;
mod growth;
mod inspect;
mod link;
mod nodelay;
mod page;
mod pooler;
mod shape;
mod statement;
pub mod target;
mod tunnel;
mod url;
mod write;

use crate::fault::Words;

/// How the target calls itself.
const WORDS: Words = Words { code: "POSTGRES", name: "PostgreSQL schema", place: "schema" };

#[cfg(test)]
mod tests;
