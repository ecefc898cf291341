//! The body of an answer: the envelope around a page of rows is read, and each row's numbers, texts and times; or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| coding_api::fuzzing::list_rows(data));
