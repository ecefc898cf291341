//! Where state lives: the journal of a connection, the directory that holds it, and secrets at rest.
//!
//! Knows nothing of CODING and of HTTP servers; what it keeps is defined by `engine`. Start with
//! [`journal::SqliteJournal`] (mirror and log in one SQLite file), [`inbox::SqliteInbox`] (deliveries of the hook in
//! another), [`state_dir::StateDir`] (one process at a time) and [`vault::Vault`] (encrypted secrets);
//! [`tokens::TokenVault`] keeps rotated OAuth tokens in it, [`hook::HookVault`] what belongs to the hook.

mod durable;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod hook;
pub mod inbox;
pub mod journal;
mod ours;
mod sqlite;
pub mod state_dir;
pub mod tokens;
pub mod vault;
