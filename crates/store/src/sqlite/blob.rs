//! Content at rest: one byte that names the format, then the JSON, compressed where that helps.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fault::Fault;

/// JSON as it is.
const PLAIN: u8 = 0;
/// Four bytes of length (little-endian), then one LZ4 block of JSON.
const LZ4: u8 = 1;

/// Below this many bytes compression saves nothing worth its header.
const WORTH_IT: usize = 128;

/// No stored content is longer, so that a damaged length cannot ask for all memory: SQLite itself refuses
/// values of a gigabyte, and a row of a quarter of that is no row of an issue tracker.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// Turns a value into its stored form.
pub(super) fn pack<T: Serialize>(value: &T) -> Result<Vec<u8>, Fault> {
    let json = serde_json::to_vec(value).map_err(|error| Fault::Encode(error.to_string()))?;
    if json.len() > MAX_BYTES {
        return Err(Fault::Encode(format!("a row of {} bytes is too long to be kept", json.len())));
    }
    if json.len() < WORTH_IT {
        let mut blob = Vec::with_capacity(json.len() + 1);
        blob.push(PLAIN);
        blob.extend_from_slice(&json);
        return Ok(blob);
    }
    let body = lz4_flex::block::compress_prepend_size(&json);
    let mut blob = Vec::with_capacity(body.len() + 1);
    blob.push(LZ4);
    blob.extend_from_slice(&body);
    Ok(blob)
}

/// Bytes of the JSON in a stored form.
pub(super) fn unpacked_len(blob: &[u8]) -> usize {
    match blob.split_first() {
        Some((&LZ4, body)) => lz4_flex::block::uncompressed_size(body).map_or(0, |(size, _)| size),
        _ => blob.len().saturating_sub(1),
    }
}

/// Reads a value from its stored form.
pub(super) fn unpack<T: DeserializeOwned>(blob: &[u8]) -> Result<T, Fault> {
    let damaged = |why: &dyn std::fmt::Display| Fault::Damaged(format!("a row is not readable ({why})"));
    match blob.split_first() {
        Some((&PLAIN, json)) => serde_json::from_slice(json).map_err(|error| damaged(&error)),
        Some((&LZ4, body)) => {
            if unpacked_len(blob) > MAX_BYTES {
                return Err(damaged(&"impossible length"));
            }
            let json = lz4_flex::block::decompress_size_prepended(body).map_err(|error| damaged(&error))?;
            serde_json::from_slice(&json).map_err(|error| damaged(&error))
        }
        Some((format, _)) => Err(damaged(&format_args!("format {format}"))),
        None => Err(damaged(&"empty")),
    }
}

#[cfg(test)]
mod tests {
    use super::{pack, unpack, unpacked_len};

    #[test]
    fn short_and_long_texts_come_back() {
        for length in [0, 1, 100, 127, 128, 129, 5_000, 1_000_000] {
            let text = "漢é".repeat(length);
            let blob = pack(&text).unwrap();
            assert_eq!(unpacked_len(&blob), text.len() + 2);
            assert_eq!(unpack::<String>(&blob).unwrap(), text);
        }
    }

    #[test]
    fn damage_is_an_error_and_no_panic() {
        let blob = pack(&"tributary ".repeat(100)).unwrap();
        assert!(unpack::<String>(&[]).is_err());
        assert!(unpack::<String>(&[9, 1, 2]).is_err());
        assert!(unpack::<String>(&[1, 255, 255, 255, 255, 0]).is_err());
        for cut in 0..blob.len() {
            assert!(unpack::<String>(&blob[..cut]).is_err());
        }
    }
}
