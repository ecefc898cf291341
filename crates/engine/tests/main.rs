//! The engine's promises, each asked of many random inputs: rows, the differ, the shape of what is delivered.
//!
//! Whole rounds, with a journal beneath them, are tested where a journal is: in `connectors`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests: a panic fails the test"
)]

mod differ;
mod flat;
mod order;
mod rows;
mod sequences;
mod shape;
mod tables;
mod texts;
mod values;
