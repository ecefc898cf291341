//! Service Hooks: who is told of a change, with what body, and how it gets there.
//!
//! A change of the world calls [`raise`]; when a hook wants the event, its [`body`] is written and given
//! to the [`post`], which puts the [`faults`] into its way and sends it by tasks of its own. Nothing here
//! may hold up an action: the post only takes, and what it cannot hold it counts.

pub(crate) mod body;
pub(crate) mod book;
pub(crate) mod catalog;
pub(crate) mod code;
pub(crate) mod counters;
pub(crate) mod disguise;
pub(crate) mod faults;
pub(crate) mod log;
pub(crate) mod post;
pub(crate) mod raise;
pub(crate) mod send;
