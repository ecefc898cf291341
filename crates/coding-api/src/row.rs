//! A row as the API gave it, and lenient looks at the fields that every table shares.

use std::hash::{Hash, Hasher};

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// One object of an answer, whole: unknown fields survive, nothing is renamed or coerced.
pub type Row = Map<String, Value>;

/// In which form a listing hands its rows on: as maps ([`Maps`]), or as whoever reads it wants to have them, so that
/// no tree of values is made of what is only passed on.
pub trait RowForm: Clone + Send + Sync + 'static {
    /// One row.
    type Row: Send + 'static;

    /// Reads one row, an object. Of each page a clone reads all rows, one after the other.
    ///
    /// # Errors
    /// What is there is no row. The whole page is refused then.
    fn read<'de, D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<Self::Row, D::Error>;

    /// Hashes what a row is known again by: its `key`, as a number where it is one; all of it, if it has none.
    fn mark<H: Hasher>(&self, row: &Self::Row, key: &str, hasher: &mut H);
}

/// Rows as maps, [`Row`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Maps;

impl RowForm for Maps {
    type Row = Row;

    fn read<'de, D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<Row, D::Error> {
        Row::deserialize(deserializer)
    }

    fn mark<H: Hasher>(&self, row: &Row, key: &str, hasher: &mut H) {
        match row.get(key) {
            Some(value) => match integer(value) {
                Some(number) => number.hash(hasher),
                None => value.hash(hasher),
            },
            None => row.hash(hasher),
        }
    }
}

/// Lenient looks at a [`Row`]: numbers may be printed as strings, and `0`, `""`, `null` and absence all mean
/// "unset".
pub trait RowExt {
    /// A whole number, also when it is printed as a string or as a float without fraction.
    fn integer(&self, field: &str) -> Option<i64>;
    /// A text that is not empty.
    fn text(&self, field: &str) -> Option<&str>;
    /// A point in time, given in milliseconds since the epoch. Zero and the API's other spelling of "unset"
    /// (`-28800000`, day 0 at UTC+8) give `None`.
    fn time(&self, field: &str) -> Option<Timestamp>;

    /// `Code`: the public number of an issue or iteration, unique per project.
    fn code(&self) -> Option<i64> {
        self.integer("Code").filter(|code| *code != 0)
    }
    /// `Id`: the number of a user, project or iteration, unique in the whole of CODING.
    fn id(&self) -> Option<i64> {
        self.integer("Id").filter(|id| *id != 0)
    }
    /// `Name`: of a project the identifier, of an issue or iteration the title.
    fn name(&self) -> Option<&str> {
        self.text("Name")
    }
    /// `CreatedAt`.
    fn created_at(&self) -> Option<Timestamp> {
        self.time("CreatedAt")
    }
    /// `UpdatedAt`; reads give it in whole seconds.
    fn updated_at(&self) -> Option<Timestamp> {
        self.time("UpdatedAt")
    }
}

/// How the API spells an unset iteration date: midnight of day 0 at UTC+8, in milliseconds.
const UNSET_DAY: i64 = -28_800_000;

impl RowExt for Row {
    fn integer(&self, field: &str) -> Option<i64> {
        self.get(field).and_then(integer)
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    fn time(&self, field: &str) -> Option<Timestamp> {
        let millis = self.integer(field).filter(|millis| *millis != 0 && *millis != UNSET_DAY)?;
        Timestamp::from_millisecond(millis).ok()
    }
}

/// A whole number out of a JSON number or a text that holds one.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            // `12.0` for 12 happens where the server computes in floats; a real fraction is no integer.
            let float = number.as_f64().filter(|float| float.fract() == 0.0)?;
            format!("{float:.0}").parse().ok()
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}
