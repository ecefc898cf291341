//! Headers and a body of a delivery from nobody: verifying returns, and lets nothing through that is not signed.
//!
//! The input is that of `hook_body`. Key and password are none that the fuzzer can guess, so whatever is let
//! through is a find.

#![no_main]

use bytes::Bytes;
use coding_api::hook::{Proof, Unverified};
use libfuzzer_sys::fuzz_target;
use secrecy::SecretString;

fuzz_target!(|data: &[u8]| {
    let (headers, body) = fuzz::delivery(data);
    let arrived = || Unverified::new(headers.clone(), Bytes::copy_from_slice(body), None);
    let open = arrived().verify(&Proof::default()).expect("nothing is asked for");
    assert_eq!(open.body, body);
    if let Some(id) = open.delivery_id() {
        assert!(id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    let kept = |name: &str| open.headers.iter().any(|(found, _)| found.eq_ignore_ascii_case(name));
    for secret in ["authorization", "proxy-authorization", "cookie", "x-coding-signature"] {
        assert!(!kept(secret), "{secret} is kept");
    }
    let secret = Some(SecretString::from("one that no input holds: 9f3c1b7a55d2"));
    assert!(arrived().verify(&Proof { secret, ..Proof::default() }).is_err());
    let basic = Some(("nobody".to_owned(), SecretString::from("9f3c1b7a55d2")));
    assert!(arrived().verify(&Proof { basic, ..Proof::default() }).is_err());
    let allow_from = vec!["192.0.2.0/24".parse().expect("a network")];
    assert!(arrived().verify(&Proof { allow_from, ..Proof::default() }).is_err());
});
