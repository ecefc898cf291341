//! The parsers of answers, for fuzz targets. Each takes any bytes; the target is that it returns.

use serde_json::{Map, Value};

use crate::envelope::{self, Rows};
use crate::sanitize::sanitize;

/// Reads an answer whose payload is one row.
pub fn envelope(body: &[u8]) {
    let sane = sanitize(body.to_vec());
    let _read = envelope::read::<Map<String, Value>>(&sane.text, &["Issue", "Data"]);
}

/// Reads an answer whose payload is a page of rows.
pub fn list_rows(body: &[u8]) {
    let sane = sanitize(body.to_vec());
    let _read = envelope::read::<Rows>(&sane.text, &["Data", "data"]);
}
