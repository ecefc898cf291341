//! From journal to target: each task reads the journal from its own position, filters, shapes and writes.
//!
//! Start with [`runner`], the loop; [`filter`] says which rows a task wants, `step` what a change means
//! to it, [`shape`] how rows look in the target, [`rebuild`] what happens when a position cannot be gone on from.

pub mod filter;
pub mod rebuild;
pub mod runner;
pub mod shape;
mod step;
