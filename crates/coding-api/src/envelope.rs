//! One pass over a body: the envelope, the error inside it, or the payload of the action.
//!
//! Bodies are a megabyte and more, so nothing is parsed twice and no row is cloned: the visitor walks the
//! envelope by hand and hands the payload's deserializer through. Start with [`read`].

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::row::{RowForm, integer};
use crate::row_by_row::Unreadable;

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

/// Reads an envelope whose payload lies under one of `keys` (several where CODING disagrees with itself); `payload`
/// reads that.
pub(crate) fn read<'de, S: DeserializeSeed<'de> + Clone>(
    text: &'de str,
    keys: &'static [&'static str],
    payload: S,
) -> serde_json::Result<Read<S::Value>> {
    let mut json = serde_json::Deserializer::from_str(text);
    let seen = Envelope { keys, depth: Depth::Top, payload }.deserialize(&mut json)?;
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

struct Envelope<S> {
    keys: &'static [&'static str],
    depth: Depth,
    payload: S,
}

impl<'de, S: DeserializeSeed<'de> + Clone> DeserializeSeed<'de> for Envelope<S> {
    type Value = Seen<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Seen<S::Value>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, S: DeserializeSeed<'de> + Clone> Visitor<'de> for Envelope<S> {
    type Value = Seen<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an envelope")
    }

    fn visit_unit<E>(self) -> Result<Seen<S::Value>, E> {
        Ok(Seen::nothing())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Seen<S::Value>, A::Error> {
        let mut seen = Seen::nothing();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "Response" if self.depth == Depth::Top => {
                    let (keys, payload) = (self.keys, self.payload.clone());
                    let inner = map.next_value_seed(Envelope { keys, depth: Depth::Response, payload })?;
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
                    seen.payload = map.next_value_seed(Optional(self.payload.clone()))?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(seen)
    }
}

/// Reads what may be null.
struct Optional<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Optional<S> {
    type Value = Option<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Optional<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or null")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(deserializer).map(Some)
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
#[derive(Debug, PartialEq)]
pub(crate) struct Rows<R> {
    pub(crate) rows: Vec<R>,
    /// The page size by the server's own word; it may have cut the one that was asked for.
    pub(crate) page_size: Option<u64>,
    /// `TotalCount` or `TotalRow`.
    pub(crate) total: Option<u64>,
    /// Rows that cannot be read, where they are put aside.
    pub(crate) unreadable: Vec<Unreadable>,
}

/// A count, however it is spelled.
pub(crate) fn count(value: &Value) -> Option<u64> {
    integer(value).and_then(|number| u64::try_from(number).ok())
}

/// Under which names listings carry their rows.
pub(crate) const ROW_KEYS: [&str; 6] =
    ["List", "ProjectList", "ProjectMembers", "TeamMembers", "ServiceHook", "Log"];

/// Reads [`Rows`], each row in the given form.
#[derive(Clone)]
pub(crate) struct ReadRows<F> {
    pub(crate) form: F,
    /// Whether a row that cannot be read is put aside; otherwise it costs the whole page.
    pub(crate) row_by_row: bool,
}

impl<'de, F: RowForm> DeserializeSeed<'de> for ReadRows<F> {
    type Value = Rows<F::Row>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: RowForm> Visitor<'de> for ReadRows<F> {
    type Value = Rows<F::Row>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a page of rows")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut rows: Option<Vec<F::Row>> = None;
        let (mut page_size, mut total) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "PageSize" => page_size = count(&map.next_value()?).filter(|size| *size > 0),
                "TotalCount" | "TotalRow" => total = count(&map.next_value()?).or(total),
                key if ROW_KEYS.contains(&key) => {
                    // An empty list is printed as null by some servers.
                    rows = Some(map.next_value_seed(Optional(List(&mut self.form)))?.unwrap_or_default());
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        match (rows, total) {
            (Some(rows), total) => Ok(Rows { rows, page_size, total, unreadable: Vec::new() }),
            (None, Some(0)) => Ok(Rows { rows: Vec::new(), page_size, total, unreadable: Vec::new() }),
            (None, _) => Err(A::Error::custom("a page without a list of rows")),
        }
    }
}

/// The rows of a page.
struct List<'f, F>(&'f mut F);

impl<'de, F: RowForm> DeserializeSeed<'de> for List<'_, F> {
    type Value = Vec<F::Row>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: RowForm> Visitor<'de> for List<'_, F> {
    type Value = Vec<F::Row>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = list.next_element_seed(One(self.0))? {
            rows.push(row);
        }
        Ok(rows)
    }
}

/// One row.
struct One<'f, F>(&'f mut F);

impl<'de, F: RowForm> DeserializeSeed<'de> for One<'_, F> {
    type Value = F::Row;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<F::Row, D::Error> {
        self.0.read(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use std::marker::PhantomData;

    use super::{Read, ReadRows, read};
    use crate::row::{Maps, Row};

    fn row(text: &str) -> String {
        match read(text, &["Issue"], PhantomData::<Row>) {
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
        match read(text, &["Data", "data"], ReadRows { form: Maps, row_by_row: false }).ok()? {
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
