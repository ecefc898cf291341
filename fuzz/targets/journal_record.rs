//! A record of the journal or of the inbox, perhaps damaged: it is read, or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| store::fuzzing::record(data));
