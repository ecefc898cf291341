//! connectors
pub mod check;
pub mod coding;
#[cfg(test)]
mod contract;
mod definition;
mod fault;
pub mod finding;
pub mod postgres;
mod sql;
pub mod sqlite;
