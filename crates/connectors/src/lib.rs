//! connectors
pub mod check;
pub mod finding;
pub mod sqlite;
