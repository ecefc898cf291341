//! The binary as a user meets it: what it says, what it writes, how it ends. And the house rules on
//! dependencies.

mod arrows;
mod bad_input;
#[path = "../../connectors/tests/cells.rs"]
mod cells;
mod chaos;
mod codes;
mod commands;
#[path = "../../connectors/tests/compare.rs"]
mod compare;
mod configuration;
mod crash;
mod disk;
mod failpoints;
mod first_load;
mod golden;
#[path = "../../connectors/tests/harness.rs"]
mod harness;
mod heavy;
mod hooks;
mod hostile_hooks;
mod machine;
mod many_fields;
#[path = "../../connectors/tests/place.rs"]
mod place;
mod resync;
mod storm;
mod support;
mod sync;
mod verify;
mod words;
