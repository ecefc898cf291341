//! What the fuzz targets share.

use std::str;

/// Splits an input into headers and a body: lines of `name: value`, an empty line, the body. Without an empty
/// line all of it is body.
#[must_use]
pub fn delivery(data: &[u8]) -> (Vec<(String, String)>, &[u8]) {
    let Some(at) = data.windows(2).position(|window| window == b"\n\n") else { return (Vec::new(), data) };
    let Ok(head) = str::from_utf8(&data[..at]) else { return (Vec::new(), data) };
    let headers = head.lines().filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
    (headers.collect(), &data[at + 2..])
}
