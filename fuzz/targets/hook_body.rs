//! Headers and a body of a delivery: reading returns, and always says the same.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| coding_api::fuzzing::hook_body(data));
