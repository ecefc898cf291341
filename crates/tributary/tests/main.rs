//! The binary as a user meets it: what it says, what it writes, how it ends. And the house rules on
//! dependencies.

mod arrows;
mod bad_input;
mod commands;
#[path = "../../connectors/tests/compare.rs"]
mod compare;
mod configuration;
mod crash;
mod heavy;
#[path = "../../connectors/tests/place.rs"]
#[expect(dead_code, unused_imports, unused_macros, reason = "the binary does not know PostgreSQL yet")]
mod place;
mod resync;
mod support;
mod sync;
