//! The answer of the token endpoint: there is a token in it, or it is refused.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| coding_api::fuzzing::oauth_token(data));
