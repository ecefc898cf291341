//! Makes a body readable that JSON parsers of Rust refuse, at the cost of the offending characters alone.
//!
//! Three things in a body can make a whole page unreadable or unstorable: half of a surrogate pair (`\ud83d`
//! alone), an escaped U+0000, and bytes that are not UTF-8. Each becomes U+FFFD; all else stays byte for byte.

use memchr::{memchr_iter, memmem};
use simdutf8::basic::from_utf8;

/// A body ready for the parser.
#[derive(Debug)]
pub(crate) struct Sane {
    bytes: Vec<u8>,
    /// How many characters were replaced.
    pub(crate) replaced: u64,
}

impl Sane {
    /// The text, without a byte order mark.
    pub(crate) fn text(&self) -> &str {
        from_utf8(&self.bytes).expect("it was checked")
    }
}

/// Replaces what the parser could not read.
pub(crate) fn sanitize(mut body: Vec<u8>) -> Sane {
    let mut replaced = fix_escapes(&mut body);
    if body.starts_with(b"\xef\xbb\xbf") {
        body.drain(..3);
    }
    if from_utf8(&body).is_err() {
        let text = String::from_utf8_lossy(&body);
        let had = body.windows(REPLACEMENT.len()).filter(|window| *window == REPLACEMENT).count();
        let has = text.matches(char::REPLACEMENT_CHARACTER).count();
        replaced += u64::try_from(has.saturating_sub(had)).unwrap_or(u64::MAX);
        body = text.into_owned().into_bytes();
    }
    Sane { bytes: body, replaced }
}

const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// Overwrites bad `\uXXXX` escapes in place (the replacement has the same length) and counts them.
fn fix_escapes(body: &mut [u8]) -> u64 {
    let mut bad = Vec::new();
    {
        // Without one of these there is nothing to mend; escapes of ordinary characters are left alone.
        let candidate = [&b"\\ud"[..], b"\\uD", b"\\u0000"];
        if !candidate.iter().any(|needle| memmem::find(body, needle).is_some()) {
            return 0;
        }
        // A backslash occurs only inside strings, and each escape is skipped whole, so `\\u0000` (an escaped
        // backslash and a text) is told apart from `\u0000`.
        let mut next = 0;
        for at in memchr_iter(b'\\', body) {
            if at < next {
                continue;
            }
            match escape(body, at) {
                None => next = at + 2,
                Some(0xd800..=0xdbff) if matches!(escape(body, at + 6), Some(0xdc00..=0xdfff)) => {
                    next = at + 12
                }
                Some(0 | 0xd800..=0xdfff) => {
                    bad.push(at);
                    next = at + 6;
                }
                Some(_) => next = at + 6,
            }
        }
    }
    for at in &bad {
        if let Some(escape) = body.get_mut(*at..*at + 6) {
            escape.copy_from_slice(b"\\ufffd");
        }
    }
    u64::try_from(bad.len()).unwrap_or(u64::MAX)
}

/// The code unit of the `\uXXXX` that begins at `at`, if one does.
fn escape(body: &[u8], at: usize) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = body.get(at..at + 6)? else { return None };
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::sanitize;
    use proptest::prelude::{Strategy, any, prop, proptest};
    use serde_json::Value;

    fn check(input: &[u8], expected: &str, replaced: u64) {
        let sane = sanitize(input.to_vec());
        assert_eq!(sane.text(), expected);
        assert_eq!(sane.replaced, replaced, "{expected}");
    }

    #[test]
    fn lone_surrogates_and_nul_are_replaced_and_nothing_else() {
        check(br#""a\ud83d b""#, r#""a\ufffd b""#, 1);
        check(br#""\ude00\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#, 1);
        check(br#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#, 1);
        check(br#""\uD83D\n""#, r#""\ufffd\n""#, 1);
        check(br#""\u0000""#, r#""\ufffd""#, 1);
        check(br#""\\u0000 \\ud83d""#, r#""\\u0000 \\ud83d""#, 0);
        check(br#""\\\u0000""#, r#""\\\ufffd""#, 1);
        check(b"\xef\xbb\xbf{}", "{}", 0);
        check(b"\"\xff\xe4\xb8\xad\"", "\"\u{fffd}\u{4e2d}\"", 1);
        check("\"\u{fffd}\"".as_bytes(), "\"\u{fffd}\"", 0);
    }

    #[test]
    fn a_cut_escape_at_the_end_is_left_to_the_parser() {
        check(br#""\ud8"#, r#""\ud8"#, 0);
        check(br#""\ud83d\"#, r#""\ufffd\"#, 1);
    }

    /// A JSON text written with every character escaped that may be.
    fn escaped(text: &str) -> String {
        let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        format!("\"{units}\"")
    }

    fn pieces() -> impl Strategy<Value = Vec<String>> {
        let piece = prop::sample::select(vec![
            "\\ud83d", "\\ude00", "\\uD800", "\\udfff", "\\u0000", "\\\\", "\\n", "\\u4e2d", "a", "中",
            "\\\"", "u0000",
        ]);
        prop::collection::vec(piece.prop_map(str::to_owned), 0..40)
    }

    proptest! {
        #[test]
        fn valid_json_keeps_its_meaning(text in any::<String>().prop_map(|text| text.replace('\0', " "))) {
            let plain = serde_json::to_string(&text).unwrap();
            let sane = sanitize(plain.clone().into_bytes());
            assert_eq!((sane.text(), sane.replaced), (plain.as_str(), 0));
            let full = escaped(&text);
            let sane = sanitize(full.clone().into_bytes());
            assert_eq!((sane.text(), sane.replaced), (full.as_str(), 0));
            assert_eq!(serde_json::from_str::<Value>(sane.text()).unwrap(), Value::String(text));
        }

        #[test]
        fn whatever_is_escaped_can_be_parsed_and_holds_no_nul(pieces in pieces()) {
            let sane = sanitize(format!("\"{}\"", pieces.concat()).into_bytes());
            let text: String = serde_json::from_str(sane.text()).unwrap();
            assert!(!text.contains('\0'));
        }

        #[test]
        fn any_bytes_are_taken(bytes in any::<Vec<u8>>()) {
            let _sane = sanitize(bytes);
        }
    }
}
