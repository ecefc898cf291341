//! Headers and a body of a delivery from nobody: verifying returns, and lets nothing through that is not signed.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| coding_api::fuzzing::hook_verify(data));
