//! The text of a pipeline file: it is read, or everything that is wrong is said with its place.

#![no_main]

use libfuzzer_sys::fuzz_target;

/// The binary has no library: its reader of files is taken in as it stands.
#[allow(dead_code, unused_imports, reason = "the rest belongs to the binary")]
#[path = "../../crates/tributary/src/pipeline/mod.rs"]
mod pipeline;

#[path = "../../crates/tributary/src/pipeline/tests/fuzzing.rs"]
mod fuzzing;

fuzz_target!(|text: &str| fuzzing::pipeline_yaml(text));
