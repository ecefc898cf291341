//! The reader of stored records, for fuzz targets. It takes any bytes; the target is that it returns.

use engine::row::Row;

use crate::sqlite::blob;

/// Reads a record of the journal as a row, as a change and as the body of a delivery.
///
/// # Panics
/// What was read is not read again from what is made of it.
pub fn record(bytes: &[u8]) {
    let body = blob::unpack_bytes(bytes);
    let change = blob::unpack::<(Option<Row>, Option<Row>)>(bytes);
    let row = blob::unpack::<Row>(bytes);
    assert!(body.is_ok() || (row.is_err() && change.is_err()), "JSON is read from nothing");
    if let Ok(body) = body {
        assert_eq!(blob::unpacked_len(bytes), body.len());
        let again = blob::pack_bytes(&body).expect("it fits");
        assert_eq!(blob::unpack_bytes(&again).expect("it was just made"), body);
    }
    if let Ok(row) = row {
        let again = blob::pack(&row).expect("it fits");
        assert_eq!(blob::unpack::<Row>(&again).expect("it was just made"), row);
    }
}
