//! The binary as a user meets it: what it says, what it writes, how it ends. And the house rules on
//! dependencies.

mod arrows;
mod commands;
mod configuration;
mod heavy;
mod support;
mod sync;
