//! Rows as the source shows them, and when two of them are the same.
//!
//! A row is kept whole: a field nobody has heard of yet survives. Two shapes of one row (a listing's and a
//! look-up's) differ in which keys they carry, in the spelling of "unset" and in the spelling of numbers;
//! none of that is a difference. This module must not know any field by name.
//!
//! A row that is only passed on stays the text it was read from (`text`); its digest is worked out while it is read
//! (`digest`). Values are made of it where somebody asks for them; when two of them say the same is in `same`.

mod digest;
mod inside;
mod same;
mod text;

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use serde::de::DeserializeSeed;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use self::digest::Sum;
use self::inside::Inside;
use self::same::{adds, overlay, same, united};
use self::text::{Names, Scratch, Text};
use crate::schema::{Kind, Table, TableId};

/// A project of the source, by the number that never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProjectId(pub i64);

/// A row within its table and project: an issue's code, a member's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowId(pub i64);

/// Where a row lives. A project's identifier may change, its id does not: that is why keys carry the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowKey {
    /// The table.
    pub table: TableId,
    /// The project.
    pub project: ProjectId,
    /// The row.
    pub id: RowId,
}

impl Hash for RowKey {
    /// In one number, for a row on its way is looked up a dozen times: nearly all keys of a map differ in their ids.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let RowKey { table, project, id } = *self;
        state.write_i64(id.0 ^ project.0.rotate_left(32) ^ i64::from(table.0).rotate_right(8));
    }
}

/// A digest of a canonical row: equal digests mean equal rows, unequal ones that a closer look is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 16]);

/// One row: its fields by name. A clone shares them: on its way a row is held by observation, mirror, change and
/// batch at once, and copying some sixty values for each would cost more than all else.
#[derive(Clone)]
pub struct Row(Arc<Shared>);

/// What is not there is made of what is, by whoever asks first: of text and fields there is one at least.
#[derive(Default)]
struct Shared {
    text: OnceLock<Text>,
    fields: OnceLock<Map<String, Value>>,
    digest: OnceLock<Digest>,
}

impl Clone for Shared {
    /// A copy is made to be changed.
    fn clone(&self) -> Shared {
        Shared::from(self.fields().clone())
    }
}

impl From<Map<String, Value>> for Shared {
    fn from(fields: Map<String, Value>) -> Shared {
        Shared { fields: OnceLock::from(fields), ..Shared::default() }
    }
}

impl Shared {
    fn fields(&self) -> &Map<String, Value> {
        self.fields.get_or_init(|| match self.text.get() {
            Some(text) => {
                serde_json::from_str(text.json()).expect("every value of a row's text was read once")
            }
            None => Map::new(),
        })
    }

    fn text(&self) -> &Text {
        self.text.get_or_init(|| Text::of(self.fields()))
    }
}

impl Default for Row {
    fn default() -> Row {
        Row::from(Map::new())
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Row) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.fields() == other.fields()
    }
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Row").field(self.fields()).finish()
    }
}

/// What a newer look at a row brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The row as it stands now.
    pub row: Row,
    /// Fields whose value changed.
    pub changed: Vec<String>,
    /// Fields of which the older row lacked something: the field itself, or a key inside it.
    pub added: Vec<String>,
}

/// What CODING sends for a day that is not set: day 0 at UTC+8, in milliseconds.
pub(crate) const UNSET_DAY_MS: f64 = -28_800_000.0;

impl From<Map<String, Value>> for Row {
    fn from(fields: Map<String, Value>) -> Row {
        Row(Arc::new(Shared::from(fields)))
    }
}

impl FromIterator<(String, Value)> for Row {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(fields: I) -> Row {
        Row::from(Map::from_iter(fields))
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.fields().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Row, D::Error> {
        Map::deserialize(deserializer).map(Row::from)
    }
}

impl Row {
    /// A row from its [`Row::json`]. Makes no values, but reads each.
    ///
    /// # Errors
    /// It is no object, or a value in it cannot be read.
    pub fn from_json(json: &str) -> serde_json::Result<Row> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let (text, _) = Text::read(None, &mut Scratch::default(), &mut deserializer)?;
        deserializer.end()?;
        Ok(Row(Arc::new(Shared { text: OnceLock::from(text), ..Shared::default() })))
    }

    /// The row as JSON.
    #[must_use]
    pub fn json(&self) -> &str {
        self.0.text().json()
    }

    /// The fields by name.
    #[must_use]
    pub fn fields(&self) -> &Map<String, Value> {
        self.0.fields()
    }

    /// The fields, to be changed: copied first where another clone shares them.
    pub fn fields_mut(&mut self) -> &mut Map<String, Value> {
        let shared = Arc::make_mut(&mut self.0);
        shared.fields();
        (shared.text, shared.digest) = (OnceLock::new(), OnceLock::new());
        shared.fields.get_mut().expect("they were just asked for")
    }

    /// The value of `field`, if the row carries it.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.fields().get(field)
    }

    /// As [`Row::get`], for one look: makes no values of the other fields.
    #[must_use]
    pub fn look(&self, field: &str) -> Option<Cow<'_, Value>> {
        match self.0.fields.get() {
            Some(fields) => fields.get(field).map(Cow::Borrowed),
            None => self.raw(field).map(|raw| Cow::Owned(value(raw))),
        }
    }

    /// The value of `field` as JSON, if the row carries it.
    #[must_use]
    pub fn raw(&self, field: &str) -> Option<&str> {
        self.0.text().raw(field)
    }

    /// Names and values, as JSON, of all fields.
    pub fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.text().members()
    }

    /// How many [`Row::members`] there are.
    #[must_use]
    pub fn width(&self) -> usize {
        self.0.text().len()
    }

    /// `field` as an integer, also where it is spelled as text or as a float without fraction.
    #[must_use]
    pub fn integer(&self, field: &str) -> Option<i64> {
        match self.0.fields.get() {
            Some(fields) => fields.get(field).and_then(integer),
            // Most integers are spelled as such.
            None => self.raw(field).and_then(|raw| raw.parse().ok().or_else(|| integer(&value(raw)))),
        }
    }

    /// The ids at `path` inside of `field`, in their order: integers as [`Row::integer`] reads them, but for 0, which is
    /// none. In `SubTasks`, each `Assignee`'s `Id`; lists on the way are passed through. Makes no values.
    #[must_use]
    pub fn ids(&self, field: &str, path: &[&str]) -> Vec<i64> {
        let mut found = Vec::new();
        let inside = Inside { path, found: &mut found };
        let read = match self.0.fields.get() {
            Some(fields) => fields.get(field).map(|value| inside.deserialize(value)),
            None => self
                .raw(field)
                .filter(|raw| inside.may_be_in(raw))
                .map(|raw| inside.deserialize(&mut serde_json::Deserializer::from_str(raw))),
        };
        read.transpose().expect("every value of a row's text was read once");
        found.retain(|id| *id != 0);
        found
    }

    /// Source's own time of the last update in milliseconds, if the table has one and it is set.
    #[must_use]
    pub fn updated_ms(&self, table: &Table) -> Option<i64> {
        table.updated_field.and_then(|field| self.integer(field)).filter(|ms| *ms > 0)
    }

    /// Digest of the canonical row: numbers by value, keys in any order, unset and volatile parts left out. A row is
    /// always of the same `table`; its clones know the digest once one of them does.
    pub fn digest(&self, table: &Table) -> Digest {
        *self.0.digest.get_or_init(|| {
            let mut sum = Sum::of(table);
            self.fields().iter().for_each(|(name, value)| sum.add_value(name, value));
            sum.digest()
        })
    }

    /// Puts a newer look over this row; `None` when it shows nothing new.
    ///
    /// A key that the newer look lacks is kept; a nested object that became another one (its identity
    /// changed) is replaced whole, so that nothing of the old one sticks to the new one.
    #[must_use]
    pub fn merge(&self, newer: &Row, table: &Table) -> Option<Merged> {
        let (mut row, mut changed, mut added) = (None::<Map<String, Value>>, Vec::new(), Vec::new());
        let mut path = Vec::with_capacity(4);
        for (key, value) in newer.fields() {
            let merged = match self.fields().get(key) {
                None => {
                    added.push(key.clone());
                    value.clone()
                }
                Some(old) => {
                    path.push(key.as_str());
                    let same = same(table, &mut path, old, value, table.kind(key).is_number());
                    let adds = same && adds(table, &mut path, old, value);
                    path.pop();
                    match (same, adds) {
                        (true, false) => continue,
                        (true, true) => {
                            added.push(key.clone());
                            united(old, value)
                        }
                        (false, _) => {
                            changed.push(key.clone());
                            overlay(old, value)
                        }
                    }
                }
            };
            row.get_or_insert_with(|| self.fields().clone()).insert(key.clone(), merged);
        }
        row.map(|row| Merged { row: Row::from(row), changed, added })
    }
}

/// Where the same fields stand in one row after the other: looked for only in a row with other names than the one before.
#[derive(Debug, Default)]
pub(crate) struct Places {
    names: Arc<Names>,
    at: Vec<Option<usize>>,
}

impl Places {
    /// The values of `fields`, always the same ones, as JSON.
    pub(crate) fn values<'p, 'r: 'p>(
        &'p mut self,
        row: &'r Row,
        fields: impl Iterator<Item = &'p str>,
    ) -> impl Iterator<Item = Option<&'r str>> + 'p {
        let text = row.0.text();
        if !Arc::ptr_eq(&self.names, text.names()) {
            self.names = Arc::clone(text.names());
            self.at = fields.map(|field| self.names.find(field)).collect();
        }
        self.at.iter().map(move |at| text.value((*at)?))
    }
}

/// A value from the text of a row.
#[must_use]
pub(crate) fn value(raw: &str) -> Value {
    serde_json::from_str(raw).expect("every value of a row's text was read once")
}

/// Reads rows of a table, one after the other, from JSON texts; works out their digests on the way, and makes no
/// values.
#[derive(Clone, Debug)]
pub struct RowReader {
    table: &'static Table,
    scratch: Scratch,
}

impl RowReader {
    /// A reader of rows of `table`.
    #[must_use]
    pub fn of(table: &'static Table) -> RowReader {
        RowReader { table, scratch: Scratch::default() }
    }

    /// Reads a row, from a deserializer that hands out pieces of its text.
    ///
    /// # Errors
    /// What is there is no object, or a value in it cannot be read.
    pub fn read<'de, D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<Row, D::Error> {
        let (text, digest) = Text::read(Some(self.table), &mut self.scratch, deserializer)?;
        let digest = digest.map_or_else(OnceLock::new, OnceLock::from);
        Ok(Row(Arc::new(Shared { text: OnceLock::from(text), digest, ..Shared::default() })))
    }
}

/// An integer, however it is spelled: `7`, `7.0`, `"7"`.
#[must_use]
pub fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(n) => n.as_i64().or_else(|| whole(n.as_f64()?)),
        Value::String(text) => spelled_integer(text),
        _ => None,
    }
}

fn spelled_integer(text: &str) -> Option<i64> {
    text.trim().parse().ok()
}

/// A float without fraction as an integer, where every such integer is exact.
fn whole(float: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if float.fract() == 0.0 && float.abs() < EXACT { format!("{float:.0}").parse().ok() } else { None }
}

/// Whether `value` is one of the source's spellings of "unset".
#[must_use]
pub fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(_) => false,
        Value::Number(n) => n.as_f64().is_some_and(|n| n == 0.0 || n == UNSET_DAY_MS),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(|v| is_unset(v) || *v == Value::Bool(false)),
    }
}

impl Kind {
    fn is_number(self) -> bool {
        matches!(self, Kind::Integer | Kind::Real)
    }
}
