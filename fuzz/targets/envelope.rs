//! The body of an answer: the envelope around one row is read, or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| coding_api::fuzzing::envelope(data));
