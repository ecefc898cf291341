//! connectors
pub mod check;
pub mod coding;
pub mod finding;
pub mod sqlite;
