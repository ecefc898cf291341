//! Who sent a delivery: vectors of signatures, and everything that is not let through.

use std::collections::HashSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use coding_api::hook::{BasicFault, Proof, Refused, SignatureFault, Unverified, Verified};
use proptest::prelude::{any, prop, proptest};
use secrecy::SecretString;

const SECRET: &str = "hook-secret";
const BODY: &str = r#"{"event":"ISSUE_UPDATED","eventName":"更新事项信息","issue":{"code":71}}"#;
/// Made with another implementation of HMAC.
const SIGNATURE: &str = "sha1=c5be731b8ca2b9481f1d2097e78b063f3df39766";
const FORM: &str = "payload=%7B%22event%22%3A%22ISSUE_UPDATED%22%2C%22eventName%22%3A%22%E6%9B%B4%E6%96%B0%E4%BA%8B%E9%A1%B9%E4%BF%A1%E6%81%AF%22%2C%22issue%22%3A%7B%22code%22%3A71%7D%7D";
const FORM_SIGNATURE: &str = "sha1=f151aafb6147ce5fe3f76fb8105734cee359ad7a";
const FORM_TYPE: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8");

fn signed() -> Proof {
    Proof { secret: Some(SecretString::from(SECRET)), ..Proof::default() }
}

fn arrives(headers: &[(&str, &str)], body: &[u8], from: Option<&str>) -> Unverified {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Unverified::new(headers, Bytes::copy_from_slice(body), from.map(|from| from.parse().unwrap()))
}

fn verify(headers: &[(&str, &str)], body: &str, proof: &Proof) -> Result<Verified, Refused> {
    arrives(headers, body.as_bytes(), None).verify(proof)
}

fn with_signature(signature: &str) -> Result<Verified, Refused> {
    verify(&[("X-Coding-Signature", signature)], BODY, &signed())
}

#[test]
fn published_and_independent_vectors_are_accepted() {
    assert_eq!(with_signature(SIGNATURE).unwrap().body, BODY.as_bytes());
    // RFC 2202, case 2.
    let proof = Proof { secret: Some(SecretString::from("Jefe")), ..Proof::default() };
    let header = [("x-coding-signature", "sha1=effcdf6ae5eb2fa2d27416d5f184df9c259a7c79")];
    verify(&header, "what do ya want for nothing?", &proof).unwrap();
    with_signature(&SIGNATURE.to_uppercase().replace("SHA1", "sha1")).unwrap();
}

#[test]
fn a_signature_of_any_other_form_is_refused() {
    let hex = SIGNATURE.strip_prefix("sha1=").unwrap();
    let form = Refused::Signature(SignatureFault::Form);
    let forms = [
        hex.to_owned(),
        format!("sha256={hex}"),
        format!("SHA1={hex}"),
        format!("sha1={}", hex.split_at(39).0),
        format!("sha1={}", hex.split_at(38).0),
        format!("sha1={hex}0"),
        format!("sha1={hex}00"),
        format!("sha1= {hex}"),
        format!("sha1={}", hex.replace('c', "g")),
        format!("sha1={}", hex.replace('c', "+")),
        format!("sha1={}", "字".repeat(40)),
        "sha1=".to_owned(),
        "=".to_owned(),
        format!("sha1={hex},sha1={hex}"),
    ];
    for signature in forms {
        assert_eq!(with_signature(&signature).unwrap_err(), form, "{signature}");
    }
}

#[test]
fn a_missing_or_wrong_signature_is_refused() {
    let missing = Refused::Signature(SignatureFault::Missing);
    let wrong = Refused::Signature(SignatureFault::Wrong);
    assert_eq!(verify(&[], BODY, &signed()).unwrap_err(), missing);
    assert_eq!(with_signature("").unwrap_err(), missing);
    assert_eq!(with_signature("  ").unwrap_err(), missing);
    assert_eq!(with_signature(&format!("sha1={}", "0".repeat(40))).unwrap_err(), wrong);
    let header = [("X-Coding-Signature", SIGNATURE)];
    // One byte more, one less, another line end: the raw bytes count.
    for body in [&format!("{BODY}\n"), BODY.split_at(1).1, &BODY.replace("71", "72"), ""] {
        assert_eq!(verify(&header, body, &signed()).unwrap_err(), wrong, "{body}");
    }
    let other = Proof { secret: Some(SecretString::from("hook-secret ")), ..Proof::default() };
    assert_eq!(verify(&header, BODY, &other).unwrap_err(), wrong);
}

#[test]
fn an_empty_secret_opens_nothing() {
    let proof = Proof { secret: Some(SecretString::from("")), ..Proof::default() };
    // What anybody can compute with an empty key, over an empty body.
    let header = [("X-Coding-Signature", "sha1=fbdb1d1b18aa6c08324b7d64b71fb76370690e1d")];
    assert_eq!(verify(&header, "", &proof).unwrap_err(), Refused::Signature(SignatureFault::Wrong));
}

#[test]
fn a_form_is_signed_as_a_whole_or_inside() {
    for signature in [SIGNATURE, FORM_SIGNATURE] {
        let verified = verify(&[("X-Coding-Signature", signature), FORM_TYPE], FORM, &signed()).unwrap();
        assert_eq!(verified.body, FORM.as_bytes());
    }
    let wrong = Refused::Signature(SignatureFault::Wrong);
    let inside = [("X-Coding-Signature", SIGNATURE)];
    assert_eq!(verify(&inside, FORM, &signed()).unwrap_err(), wrong, "without the content type");
    let second = format!("payload=%7B%7D&{FORM}");
    let header = [("X-Coding-Signature", SIGNATURE), FORM_TYPE];
    assert_eq!(verify(&header, &second, &signed()).unwrap_err(), wrong, "only the first payload is read");
}

#[test]
fn basic_credentials_are_compared_whole() {
    let proof = Proof {
        basic: Some(("tributary".to_owned(), SecretString::from("pass:wort ü"))),
        ..Proof::default()
    };
    let coded = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
    let check = |value: &str| verify(&[("Authorization", value)], BODY, &proof).map(|_| ());
    check(&coded("tributary:pass:wort ü")).unwrap();
    check(&coded("tributary:pass:wort ü").replace("Basic", "bAsIc")).unwrap();
    check(coded("tributary:pass:wort ü").trim_end_matches('=')).unwrap();
    let wrong = Refused::Basic(BasicFault::Wrong);
    for value in [
        coded("tributary:pass:wort"),
        coded("tributary:pass:wort ü "),
        coded("Tributary:pass:wort ü"),
        coded("tributary"),
        coded(""),
        "Basic".to_owned(),
        "Basic !!!".to_owned(),
        coded("tributary:pass:wort ü").replace("Basic", "Bearer"),
        "token 0123".to_owned(),
    ] {
        assert_eq!(check(&value), Err(wrong), "{value}");
    }
    assert_eq!(verify(&[], BODY, &proof).unwrap_err(), Refused::Basic(BasicFault::Missing));
}

#[test]
fn only_allowed_addresses_get_through() {
    let allow_from = vec!["212.129.144.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    let proof = Proof { allow_from, ..Proof::default() };
    let check = |from| arrives(&[], b"{}", from).verify(&proof).map(|_| ());
    for from in ["212.129.144.7", "::ffff:212.129.144.7", "2001:db8::1"] {
        check(Some(from)).unwrap();
    }
    for from in [Some("212.129.145.7"), Some("::ffff:10.0.0.1"), Some("2001:db9::1"), None] {
        assert_eq!(check(from), Err(Refused::Address), "{from:?}");
    }
    arrives(&[], b"{}", None).verify(&Proof::default()).unwrap();
}

#[test]
fn the_first_proof_that_is_missing_is_named() {
    let proof = Proof {
        basic: Some(("u".to_owned(), SecretString::from("p"))),
        allow_from: vec!["192.0.2.0/24".parse().unwrap()],
        ..signed()
    };
    let from = Some("192.0.2.1");
    assert_eq!(arrives(&[], b"", None).verify(&proof).unwrap_err(), Refused::Address);
    assert_eq!(arrives(&[], b"", from).verify(&proof).unwrap_err(), Refused::Basic(BasicFault::Missing));
    let basic = format!("Basic {}", BASE64_STANDARD.encode("u:p"));
    let half = arrives(&[("authorization", &basic)], b"", from).verify(&proof);
    assert_eq!(half.unwrap_err(), Refused::Signature(SignatureFault::Missing));
    let whole = [("authorization", basic.as_str()), ("x-coding-signature", SIGNATURE)];
    arrives(&whole, BODY.as_bytes(), from).verify(&proof).unwrap();
}

#[test]
fn what_is_kept_of_the_headers_proves_nothing_to_anybody() {
    let headers = [
        ("X-Coding-Service-Hook-Event", "ISSUE_UPDATED"),
        ("X-CODING-SIGNATURE", SIGNATURE),
        ("Authorization", "Basic dTpw"),
        ("Proxy-Authorization", "Basic dTpw"),
        ("Cookie", "session=1"),
        ("X-Coding-Delivery", " 3f2a "),
    ];
    let verified = verify(&headers, BODY, &signed()).unwrap();
    let names: Vec<&str> = verified.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-coding-service-hook-event", "x-coding-delivery"]);
    assert_eq!(verified.delivery_id(), Some("3f2a"));
}

#[test]
fn a_delivery_id_is_short_and_printable_or_none() {
    let id = |value: &str| {
        let verified = verify(&[("x-coding-delivery", value)], "", &Proof::default()).unwrap();
        verified.delivery_id().map(str::to_owned)
    };
    let uuid = "aa50c924-66e8-4b45-a33e-6f58f8061365";
    assert_eq!(id(uuid).as_deref(), Some(uuid));
    assert_eq!(id(&"x".repeat(128)).unwrap().len(), 128);
    for bad in ["", " ", &"x".repeat(129), "a b", "a\u{7}b", "编号"] {
        assert_eq!(id(bad), None, "{bad:?}");
    }
}

#[test]
fn every_refusal_has_its_code_and_words_and_no_secret_is_shown() {
    let all = [
        Refused::Address,
        Refused::Basic(BasicFault::Missing),
        Refused::Basic(BasicFault::Wrong),
        Refused::Signature(SignatureFault::Missing),
        Refused::Signature(SignatureFault::Form),
        Refused::Signature(SignatureFault::Wrong),
    ];
    let codes: HashSet<&str> = all.iter().map(|refused| refused.code()).collect();
    let words: HashSet<String> = all.iter().map(ToString::to_string).collect();
    assert_eq!((codes.len(), words.len()), (all.len(), all.len()));
    assert!(codes.contains("signature_missing"));
    let proof = Proof { basic: Some(("u".to_owned(), SecretString::from("p4ssw0rd"))), ..signed() };
    let arrived = arrives(&[("x-coding-signature", SIGNATURE)], BODY.as_bytes(), None);
    let shown = format!("{proof:?} {arrived:?} {:?}", with_signature(SIGNATURE).unwrap());
    for secret in [SECRET, "p4ssw0rd", "c5be731b", "ISSUE"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

proptest! {
    #[test]
    fn nothing_but_the_signature_of_these_bytes_is_accepted(
        body in any::<Vec<u8>>(),
        signature in prop::option::of("(sha1=)?[0-9a-f]{36,42}|\\PC*"),
        form in any::<bool>(),
    ) {
        let mut headers = Vec::new();
        headers.extend(signature.as_deref().map(|signature| ("X-Coding-Signature", signature)));
        headers.extend(form.then_some(FORM_TYPE));
        assert!(arrives(&headers, &body, None).verify(&signed()).is_err());
    }

    #[test]
    fn any_credentials_are_taken_without_panic(value in "(Basic |basic)?\\PC*") {
        let proof = Proof { basic: Some(("u".to_owned(), SecretString::from("p"))), ..Proof::default() };
        let _refused = verify(&[("Authorization", &value)], "", &proof);
    }
}
