//! CODING DevOps as a source.
//!
//! Start with [`config::CodingConfig`]: what a user writes, and what it means once it is validated.

pub mod config;

pub mod check;
mod fault;
pub mod filter;
mod flat;
pub mod hook;
mod listed;
mod relation;
pub mod source;
pub mod tables;
mod validate;

// What whoever opens a source brings along.
pub use coding_api::{BaseUrl, Budgets, RotatedTokens, TokenStore, TokenStoreError};
