//! From journal to target: each task reads the journal from its own position, filters, shapes and writes.
//!
//! Start with [`runner`], the loop: `batch` makes what comes next, `write` gets it into the target. [`filter`] says which
//! rows a task wants, `step` what a change means to it, [`shape`] how rows look in the target (`document` or `flat`,
//! under which `names`, with how much
//! `room` for columns), [`rebuild`] whether a position can be gone on from, `sweep` how a rebuild ends, [`resync`] how
//! one is asked for.

/// Repeats a call until it succeeds, waiting out what passes: `Some` is its value, `None` that the task was
/// cancelled. A macro, because a function that takes an async closure makes futures that cannot be sent to
/// another thread.
macro_rules! persistently {
    ($delivery:expr, $call:expr) => {
        loop {
            match $call.await {
                Ok(value) => break Some(value),
                Err(error) => {
                    if !$delivery.pause(error.into()).await? {
                        break None;
                    }
                }
            }
        }
    };
}

mod batch;
mod document;
pub mod filter;
mod flat;
mod names;
pub mod rebuild;
pub mod resync;
mod room;
pub mod runner;
pub mod shape;
mod step;
mod sweep;
mod write;
