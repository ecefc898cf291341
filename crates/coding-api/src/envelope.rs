//! One pass over a body: the envelope, the error inside it, or the payload of the action.
//!
//! Bodies are a megabyte and more, so nothing is parsed twice and no row is cloned: the visitor walks the
//! envelope by hand and hands the payload's deserializer through. Start with [`read`].

use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor,
};
use serde_json::Value;

use crate::row::{Row, integer};

/// What a body turned out to be.
pub(crate) enum Read<T> {
    /// The payload.
    Payload(T),
    /// The server's error.
    Refused {
        /// For example `AuthFailure`.
        code: String,
        /// For people; may be in Chinese or a machine key.
        message: String,
        request_id: Option<String>,
    },
    /// An envelope without payload and without error.
    Empty { request_id: Option<String> },
}

/// Reads an envelope whose payload lies under one of `keys` (several where CODING disagrees with itself).
pub(crate) fn read<T: DeserializeOwned>(
    text: &str,
    keys: &'static [&'static str],
) -> serde_json::Result<Read<T>> {
    let mut json = serde_json::Deserializer::from_str(text);
    let seen = Envelope::<T> { keys, depth: Depth::Top, payload: PhantomData }.deserialize(&mut json)?;
    json.end()?;
    let Seen { payload, error, request_id } = seen;
    Ok(match (error, payload) {
        (Some(Refusal { code, message }), _) => Read::Refused { code, message, request_id },
        (None, Some(payload)) => Read::Payload(payload),
        (None, None) => Read::Empty { request_id },
    })
}

struct Seen<T> {
    payload: Option<T>,
    error: Option<Refusal>,
    request_id: Option<String>,
}

impl<T> Seen<T> {
    fn nothing() -> Self {
        Self { payload: None, error: None, request_id: None }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Depth {
    /// `{"Response": …}`; some answers lack the envelope and carry error or payload here.
    Top,
    /// Inside `Response`.
    Response,
}

struct Envelope<T> {
    keys: &'static [&'static str],
    depth: Depth,
    payload: PhantomData<T>,
}

impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for Envelope<T> {
    type Value = Seen<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Seen<T>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: DeserializeOwned> Visitor<'de> for Envelope<T> {
    type Value = Seen<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an envelope")
    }

    fn visit_unit<E>(self) -> Result<Seen<T>, E> {
        Ok(Seen::nothing())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Seen<T>, A::Error> {
        let mut seen = Seen::nothing();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "Response" if self.depth == Depth::Top => {
                    let inner =
                        map.next_value_seed(Envelope { depth: Depth::Response, ..Envelope::<T> { ..self } })?;
                    seen.payload = inner.payload.or(seen.payload);
                    seen.error = inner.error.or(seen.error);
                    seen.request_id = inner.request_id.or(seen.request_id);
                }
                "Error" => seen.error = map.next_value::<Option<Refusal>>()?.or(seen.error),
                "RequestId" => {
                    seen.request_id = match map.next_value::<Value>()? {
                        Value::String(id) => Some(id),
                        _ => None,
                    }
                }
                key if seen.payload.is_none() && self.keys.contains(&key) => {
                    seen.payload = map.next_value::<Option<T>>()?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(seen)
    }
}

/// `Error` of an envelope, in any shape that still names a code or a message.
struct Refusal {
    code: String,
    message: String,
}

impl<'de> serde::Deserialize<'de> for Refusal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = |value: Option<&Value>| match value {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        match Value::deserialize(deserializer)? {
            Value::Object(error) => {
                Ok(Self { code: text(error.get("Code")), message: text(error.get("Message")) })
            }
            Value::String(message) => Ok(Self { code: String::new(), message }),
            _ => Err(D::Error::custom("an error that names nothing")),
        }
    }
}

/// The payload of a listing: rows and what the answer says about paging.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Rows {
    pub(crate) rows: Vec<Row>,
    /// The page size by the server's own word; it may have cut the one that was asked for.
    pub(crate) page_size: Option<u64>,
    /// `TotalCount` or `TotalRow`.
    pub(crate) total: Option<u64>,
}

/// Under which names listings carry their rows.
const ROW_KEYS: [&str; 6] = ["List", "ProjectList", "ProjectMembers", "TeamMembers", "ServiceHook", "Log"];

impl<'de> serde::Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RowsVisitor)
    }
}

struct RowsVisitor;

impl<'de> Visitor<'de> for RowsVisitor {
    type Value = Rows;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a page of rows")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Rows, A::Error> {
        let mut rows: Option<Vec<Row>> = None;
        let (mut page_size, mut total) = (None, None);
        let count = |value: &Value| integer(value).and_then(|number| u64::try_from(number).ok());
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "PageSize" => page_size = count(&map.next_value()?).filter(|size| *size > 0),
                "TotalCount" | "TotalRow" => total = count(&map.next_value()?).or(total),
                key if ROW_KEYS.contains(&key) => {
                    // An empty list is printed as null by some servers.
                    rows = Some(map.next_value::<Option<Vec<Row>>>()?.unwrap_or_default());
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        match (rows, total) {
            (Some(rows), total) => Ok(Rows { rows, page_size, total }),
            (None, Some(0)) => Ok(Rows { rows: Vec::new(), page_size, total }),
            (None, _) => Err(A::Error::custom("a page without a list of rows")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Read, Rows, read};
    use crate::row::Row;

    fn row(text: &str) -> String {
        match read::<Row>(text, &["Issue"]) {
            Ok(Read::Payload(row)) => serde_json::to_string(&row).unwrap(),
            Ok(Read::Refused { code, message, .. }) => format!("refused {code}: {message}"),
            Ok(Read::Empty { .. }) => "empty".to_owned(),
            Err(error) => format!("{:?}", error.classify()),
        }
    }

    #[test]
    fn every_envelope_is_told_apart() {
        assert_eq!(
            row(r#"{"Response":{"RequestId":"r","Issue":{"Code":1,"New":[1.5]}}}"#),
            r#"{"Code":1,"New":[1.5]}"#
        );
        assert_eq!(row(r#"{"Issue":{"Code":1}}"#), r#"{"Code":1}"#);
        assert_eq!(
            row(r#"{"Response":{"Error":{"Code":"A","Message":"m"},"RequestId":"r"}}"#),
            "refused A: m"
        );
        assert_eq!(row(r#"{"Error":{"Code":"A","Message":"m"}}"#), "refused A: m");
        assert_eq!(row(r#"{"Response":{"Issue":{"Code":1},"Error":{"Code":7}}}"#), "refused 7: ");
        assert_eq!(row(r#"{"Error":"gone"}"#), "refused : gone");
        assert_eq!(row(r#"{"Response":{"Error":null,"Issue":{}}}"#), "{}");
        assert_eq!(row(r#"{"Response":null}"#), "empty");
        assert_eq!(row(r#"{"Response":{"Issue":null,"RequestId":"r"}}"#), "empty");
        assert_eq!(row("null"), "empty");
        assert_eq!(row("{}"), "empty");
        assert_eq!(row(r#"{"Response":{"Issue":[]}}"#), "Data");
        assert_eq!(row(r#"{"Response":"ok"}"#), "Data");
        assert_eq!(row("[]"), "Data");
        assert_eq!(row(r#"{"Response":{"Issue":{"Code":1}"#), "Eof");
        assert_eq!(row("<html>"), "Syntax");
        assert_eq!(row(r#"{"Response":{"Issue":{}}} x"#), "Syntax");
        assert_eq!(row(""), "Eof");
    }

    fn rows(text: &str) -> Option<(usize, Option<u64>, Option<u64>)> {
        match read::<Rows>(text, &["Data", "data"]).ok()? {
            Read::Payload(rows) => Some((rows.rows.len(), rows.page_size, rows.total)),
            _ => None,
        }
    }

    #[test]
    fn pages_are_read_leniently_but_never_guessed() {
        assert_eq!(
            rows(
                r#"{"Response":{"Data":{"PageNumber":"1","PageSize":"20","TotalCount":"2","List":[{},{}]}}}"#
            ),
            Some((2, Some(20), Some(2)))
        );
        assert_eq!(rows(r#"{"Response":{"data":{"List":[{}],"TotalRow":9}}}"#), Some((1, None, Some(9))));
        assert_eq!(rows(r#"{"Response":{"Data":{"List":null,"TotalCount":0}}}"#), Some((0, None, Some(0))));
        assert_eq!(rows(r#"{"Response":{"Data":{"TotalCount":0}}}"#), Some((0, None, Some(0))));
        assert_eq!(rows(r#"{"Response":{"Data":{"TotalCount":4}}}"#), None);
        assert_eq!(rows(r#"{"Response":{"Data":{"List":{}}}}"#), None);
        assert_eq!(rows(r#"{"Response":{"Data":{"List":[null]}}}"#), None);
    }
}
