//! What faults make of a finished body.

use std::collections::BTreeMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value};

use crate::faults::{FaultKind, Spoil};
use crate::texts::LONE_SURROGATE;

/// Changes the bytes of a right answer as the fault says; other faults leave it alone.
pub(crate) fn body(bytes: Vec<u8>, fault: Option<FaultKind>) -> Vec<u8> {
    match fault {
        Some(FaultKind::TruncatedJson) => {
            let length = bytes.len() * 2 / 3;
            bytes.into_iter().take(length).collect()
        }
        Some(FaultKind::LoneSurrogate) => into_text(bytes, b"\\ud800"),
        Some(FaultKind::NulCharacter) => into_text(bytes, b"\\u0000"),
        Some(FaultKind::InvalidUtf8) => into_text(bytes, &[0xFF, 0xC3, 0x28]),
        Some(FaultKind::StringNumbers) => reshaped(&bytes, quoted),
        Some(FaultKind::NullUnset) => reshaped(&bytes, nulled),
        _ => bytes,
    }
}

/// Spoils rows of a list, by code or id.
pub(crate) fn spoiled(mut bytes: Vec<u8>, rows: &BTreeMap<u32, Spoil>) -> Vec<u8> {
    /// How deep is too deep.
    const DEPTH: usize = 200;
    for (id, spoil) in rows {
        for (key, next) in [("Code", "Type"), ("Id", "TeamId")] {
            let begins = format!("{{\"{key}\":{id},\"{next}\"");
            let value = match spoil {
                Spoil::NotANumber => "NaN".to_owned(),
                Spoil::HugeNumber => "1e400".to_owned(),
                Spoil::RawTab => "\"a\tb\"".to_owned(),
                Spoil::TooDeep => format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH)),
                Spoil::Nameless => String::new(),
            };
            let spoiled = match spoil {
                Spoil::Nameless => format!("{{\"{key}\":NaN,\"{next}\""),
                _ => format!("{{\"{key}\":{id},\"Spoiled\":{value},\"{next}\""),
            };
            let found = bytes.windows(begins.len()).position(|window| window == begins.as_bytes());
            if let Some(at) = found {
                bytes.splice(at..at + begins.len(), spoiled.into_bytes());
            }
        }
    }
    bytes
}

/// Writes stored lone surrogates as the wire has them.
pub(crate) fn broken_texts(bytes: &[u8]) -> Vec<u8> {
    let mut mark = [0; 4];
    let mark = LONE_SURROGATE.encode_utf8(&mut mark).as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((byte, tail)) = rest.split_first() {
        if let Some(tail) = rest.strip_prefix(mark) {
            out.extend_from_slice(b"\\ud800");
            rest = tail;
        } else {
            out.push(*byte);
            rest = tail;
        }
    }
    out
}

/// A gzip member of the bytes.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes every byte")
}

/// Puts bytes at the start of the last name in the body.
fn into_text(mut bytes: Vec<u8>, insert: &[u8]) -> Vec<u8> {
    const MARK: &[u8] = b"\"Name\":\"";
    if let Some(at) = bytes.windows(MARK.len()).rposition(|window| window == MARK) {
        let at = at + MARK.len();
        bytes.splice(at..at, insert.iter().copied());
    }
    bytes
}

fn reshaped(bytes: &[u8], change: fn(Value) -> Value) -> Vec<u8> {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return bytes.to_vec() };
    deep(value, change).to_string().into_bytes()
}

fn deep(value: Value, change: fn(Value) -> Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(|item| deep(item, change)).collect()),
        Value::Object(fields) => Value::Object(
            fields.into_iter().map(|(key, value)| (key, deep(value, change))).collect::<Map<_, _>>(),
        ),
        leaf => change(leaf),
    }
}

fn quoted(leaf: Value) -> Value {
    match leaf {
        Value::Number(number) => Value::String(number.to_string()),
        other => other,
    }
}

fn nulled(leaf: Value) -> Value {
    match &leaf {
        Value::Number(number) if number.as_f64() == Some(0.0) => Value::Null,
        Value::String(text) if text.is_empty() => Value::Null,
        _ => leaf,
    }
}
