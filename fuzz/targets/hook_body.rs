//! Headers and a body of a delivery: reading returns, and always says the same.
//!
//! The input is lines of `name: value`, an empty line, then the body; without an empty line all of it is body.

#![no_main]

use coding_api::hook::read;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (headers, body) = fuzz::delivery(data);
    let reading = read(&headers, body);
    assert_eq!(reading, read(&headers, body));
});
