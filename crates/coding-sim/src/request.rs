//! Reading the fields of a request; lenient about numbers in quotes, as the service's own examples are.

use serde_json::{Map, Value};

use crate::failure::Failure;

/// The body of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// The raw value, unless absent or null.
    pub(crate) fn value(self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// A string.
    pub(crate) fn text(self, key: &str) -> Option<&'a str> {
        self.value(key)?.as_str()
    }

    /// A string that must be there.
    pub(crate) fn need_text(self, key: &str) -> Result<&'a str, Failure> {
        self.text(key).filter(|text| !text.is_empty()).ok_or_else(|| Failure::missing(key))
    }

    /// An integer.
    pub(crate) fn integer(self, key: &str) -> Result<Option<i64>, Failure> {
        let Some(value) = self.value(key) else { return Ok(None) };
        integer(value).map(Some).ok_or_else(|| Failure::invalid(format!("`{key}` is not an integer")))
    }

    /// An integer that must be there.
    pub(crate) fn need_integer(self, key: &str) -> Result<i64, Failure> {
        self.integer(key)?.ok_or_else(|| Failure::missing(key))
    }

    /// An id or a code: an integer that fits; numbers out of range name nothing.
    pub(crate) fn need_id(self, key: &str) -> Result<u32, Failure> {
        Ok(u32::try_from(self.need_integer(key)?).unwrap_or(u32::MAX))
    }

    /// An id or a code, if given.
    pub(crate) fn id(self, key: &str) -> Result<Option<u32>, Failure> {
        Ok(self.integer(key)?.map(|id| u32::try_from(id).unwrap_or(u32::MAX)))
    }

    /// A number.
    pub(crate) fn number(self, key: &str) -> Option<f64> {
        let value = self.value(key)?;
        value.as_f64().or_else(|| value.as_str()?.parse().ok())
    }

    /// A boolean; false when absent.
    pub(crate) fn flag(self, key: &str) -> bool {
        self.value(key).is_some_and(|value| value.as_bool().unwrap_or(value.as_str() == Some("true")))
    }

    /// A list of ids; one scalar counts as a list of one.
    pub(crate) fn ids(self, key: &str) -> Result<Option<Vec<u32>>, Failure> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let wrong = || Failure::invalid(format!("`{key}` is not a list of integers"));
        let read = |value: &Value| integer(value).and_then(|id| u32::try_from(id).ok()).ok_or_else(wrong);
        match value {
            Value::Array(items) => items.iter().map(read).collect::<Result<_, _>>().map(Some),
            scalar => Ok(Some(vec![read(scalar)?])),
        }
    }

    /// A list of strings; one scalar counts as a list of one.
    pub(crate) fn texts(self, key: &str) -> Vec<&'a str> {
        match self.value(key) {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(text)) => vec![text.as_str()],
            _ => Vec::new(),
        }
    }
}

fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}
