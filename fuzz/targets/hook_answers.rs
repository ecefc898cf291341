//! A page of hooks, or of a hook's log: headers and properties are read, whatever form they have.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| connectors::coding::hook::fuzzing::hook_answers(data));
