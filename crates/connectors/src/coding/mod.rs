//! CODING DevOps as a source.
//!
//! Start with [`config::CodingConfig`]: what a user writes, and what it means once it is validated.

pub mod config;
