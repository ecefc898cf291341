//! The reader of stored records, for fuzz targets. It takes any bytes; the target is that it returns.

use crate::sqlite::blob;

/// Reads a record of the journal as a row, as a change and as the body of a delivery.
///
/// # Panics
/// What was read is not read again from what is made of it.
pub fn record(bytes: &[u8]) {
    let body = blob::unpack_bytes(bytes);
    let change = blob::unpack_change(bytes);
    let row = blob::unpack_row(bytes);
    assert!(body.is_ok() || (row.is_err() && change.is_err()), "JSON is read from nothing");
    if let Ok(body) = body {
        assert_eq!(blob::unpacked_len(bytes), body.len());
        let again = blob::pack_bytes(&body).expect("it fits");
        assert_eq!(blob::unpack_bytes(&again).expect("it was just made"), body);
    }
    if let Ok((before, after)) = change {
        let again = blob::pack_change(before.as_ref(), after.as_ref()).expect("it fits");
        assert_eq!(blob::unpack_change(&again).expect("it was just made"), (before, after));
    }
    if let Ok(row) = row {
        let again = blob::pack_row(&row).expect("it fits");
        let again = blob::unpack_row(&again).expect("it was just made");
        assert_eq!((again.json(), again.fields()), (row.json(), row.fields()));
    }
}
