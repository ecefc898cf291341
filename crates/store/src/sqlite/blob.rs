//! Content at rest: one byte that names the format, then the bytes (of the journal: JSON), compressed where that
//! helps.

use std::borrow::Cow;

use engine::row::Row;
use serde_json::value::RawValue;

use super::fault::Fault;

/// Bytes as they are.
const PLAIN: u8 = 0;
/// Four bytes of length (little-endian), then one LZ4 block.
const LZ4: u8 = 1;

/// Below this many bytes compression saves nothing worth its header.
const WORTH_IT: usize = 128;

/// No stored content is longer, so that a damaged length cannot ask for all memory: SQLite itself refuses
/// values of a gigabyte, and a row of a quarter of that is no row of an issue tracker.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// What a byte of LZ4 stands for at most: a damaged length asks for no more memory than that either.
const LZ4_MOST: usize = 255;

/// Turns a row into its stored form.
pub(crate) fn pack_row(row: &Row) -> Result<Vec<u8>, Fault> {
    pack_bytes(row.json().as_bytes())
}

/// Turns what a row was, and what it is, into its stored form.
pub(crate) fn pack_change(before: Option<&Row>, after: Option<&Row>) -> Result<Vec<u8>, Fault> {
    let [before, after] = [before, after].map(|row| row.map_or("null", Row::json));
    pack_bytes(["[", before, ",", after, "]"].concat().as_bytes())
}

/// Turns bytes into their stored form.
pub(crate) fn pack_bytes(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    if bytes.len() > MAX_BYTES {
        return Err(Fault::Encode(format!("content of {} bytes is too long to be kept", bytes.len())));
    }
    if bytes.len() < WORTH_IT {
        let mut blob = Vec::with_capacity(bytes.len() + 1);
        blob.push(PLAIN);
        blob.extend_from_slice(bytes);
        return Ok(blob);
    }
    let body = lz4_flex::block::compress_prepend_size(bytes);
    let mut blob = Vec::with_capacity(body.len() + 1);
    blob.push(LZ4);
    blob.extend_from_slice(&body);
    Ok(blob)
}

/// Bytes of the content in a stored form.
pub(crate) fn unpacked_len(blob: &[u8]) -> usize {
    match blob.split_first() {
        Some((&LZ4, body)) => lz4_flex::block::uncompressed_size(body).map_or(0, |(size, _)| size),
        _ => blob.len().saturating_sub(1),
    }
}

/// Reads what a row was, and what it is, from its stored form.
pub(crate) fn unpack_change(blob: &[u8]) -> Result<(Option<Row>, Option<Row>), Fault> {
    let bytes = unpack_bytes(blob)?;
    let read = |json: Option<&RawValue>| json.map(|json| Row::from_json(json.get())).transpose();
    let rows = serde_json::from_slice::<(Option<&RawValue>, Option<&RawValue>)>(&bytes);
    let rows = rows.and_then(|(before, after)| Ok((read(before)?, read(after)?)));
    rows.map_err(|error| damaged(&error))
}

/// Reads a row from its stored form.
pub(crate) fn unpack_row(blob: &[u8]) -> Result<Row, Fault> {
    let bytes = unpack_bytes(blob)?;
    let json = std::str::from_utf8(&bytes).map_err(|error| damaged(&error))?;
    Row::from_json(json).map_err(|error| damaged(&error))
}

/// Reads bytes from their stored form.
pub(crate) fn unpack_bytes(blob: &[u8]) -> Result<Cow<'_, [u8]>, Fault> {
    match blob.split_first() {
        Some((&PLAIN, bytes)) => Ok(Cow::Borrowed(bytes)),
        Some((&LZ4, body)) => {
            let most = body.len().saturating_mul(LZ4_MOST).min(MAX_BYTES);
            if unpacked_len(blob) > most {
                return Err(damaged(&"impossible length"));
            }
            let bytes = lz4_flex::block::decompress_size_prepended(body).map_err(|error| damaged(&error))?;
            if bytes.len() != unpacked_len(blob) {
                return Err(damaged(&"another length"));
            }
            Ok(Cow::Owned(bytes))
        }
        Some((format, _)) => Err(damaged(&format_args!("format {format}"))),
        None => Err(damaged(&"empty")),
    }
}

fn damaged(why: &dyn std::fmt::Display) -> Fault {
    Fault::Damaged(format!("content is not readable ({why})"))
}

#[cfg(test)]
mod tests {
    use engine::row::Row;

    use super::{pack_bytes, pack_change, pack_row, unpack_bytes, unpack_change, unpack_row, unpacked_len};

    fn row(text: &str) -> Row {
        Row::from_iter([("Name".to_owned(), text.into())])
    }

    #[test]
    fn short_and_long_texts_come_back() {
        for length in [0, 1, 100, 127, 128, 129, 5_000, 1_000_000] {
            let row = row(&"漢é".repeat(length));
            let blob = pack_row(&row).unwrap();
            assert_eq!(unpacked_len(&blob), row.json().len());
            assert_eq!(unpack_row(&blob).unwrap(), row);
            let change = (None, Some(row));
            assert_eq!(unpack_change(&pack_change(None, change.1.as_ref()).unwrap()).unwrap(), change);
            let bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
            assert_eq!(*unpack_bytes(&pack_bytes(&bytes).unwrap()).unwrap(), bytes);
        }
    }

    #[test]
    fn damage_is_an_error_and_no_panic() {
        let blob = pack_row(&row(&"tributary ".repeat(100))).unwrap();
        assert!(unpack_row(&[]).is_err());
        assert!(unpack_row(&[9, 1, 2]).is_err());
        for length in [u32::MAX, 256 * 1024 * 1024, 2_048] {
            let mut long = vec![1];
            long.extend(length.to_le_bytes());
            long.extend([0, 0]);
            let error = format!("{:?}", unpack_row(&long).unwrap_err());
            assert!(error.contains("impossible length"), "{error}");
        }
        let mut longer = blob.clone();
        longer[1] += 1;
        let error = format!("{:?}", unpack_row(&longer).unwrap_err());
        assert!(error.contains("another length"), "{error}");
        let mut longest = pack_bytes(&[b'x'; 1_000_000]).unwrap();
        assert_eq!(unpack_bytes(&longest).unwrap().len(), 1_000_000, "the best that LZ4 can do is allowed");
        longest.truncate(longest.len() / 2);
        assert!(unpack_bytes(&longest).is_err());
        for cut in 0..blob.len() {
            assert!(unpack_row(&blob[..cut]).is_err());
        }
    }
}
