//! Rows as the source shows them, and when two of them are the same.
//!
//! A row is kept whole: a field nobody has heard of yet survives. Two shapes of one row (a listing's and a
//! look-up's) differ in which keys they carry, in the spelling of "unset" and in the spelling of numbers;
//! none of that is a difference. This module must not know any field by name.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Number, Value};
use xxhash_rust::xxh3::Xxh3Default;

use crate::schema::{Kind, Table, TableId};

/// A project of the source, by the number that never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProjectId(pub i64);

/// A row within its table and project: an issue's code, a member's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowId(pub i64);

/// Where a row lives. A project's identifier may change, its id does not: that is why keys carry the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowKey {
    /// The table.
    pub table: TableId,
    /// The project.
    pub project: ProjectId,
    /// The row.
    pub id: RowId,
}

/// A digest of a canonical row: equal digests mean equal rows, unequal ones that a closer look is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 16]);

/// One row: its fields by name. A clone shares them: on its way a row is held by observation, mirror, change and
/// batch at once, and copying some sixty values for each would cost more than all else.
#[derive(Clone, Default)]
pub struct Row(Arc<Shared>);

#[derive(Clone, Default)]
struct Shared {
    fields: Map<String, Value>,
    /// Worked out by whoever asks first.
    digest: OnceLock<Digest>,
}

impl PartialEq for Row {
    fn eq(&self, other: &Row) -> bool {
        self.fields() == other.fields()
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

/// Keys that say which thing a nested object is.
const IDENTITY: [&str; 3] = ["Code", "Id", "FileId"];

impl From<Map<String, Value>> for Row {
    fn from(fields: Map<String, Value>) -> Row {
        Row(Arc::new(Shared { fields, digest: OnceLock::new() }))
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
    /// The fields by name.
    #[must_use]
    pub fn fields(&self) -> &Map<String, Value> {
        &self.0.fields
    }

    /// The fields, to be changed: copied first where another clone shares them.
    pub fn fields_mut(&mut self) -> &mut Map<String, Value> {
        let shared = Arc::make_mut(&mut self.0);
        shared.digest.take();
        &mut shared.fields
    }

    /// The value of `field`, if the row carries it.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.fields().get(field)
    }

    /// `field` as an integer, also where it is spelled as text or as a float without fraction.
    #[must_use]
    pub fn integer(&self, field: &str) -> Option<i64> {
        self.fields().get(field).and_then(integer)
    }

    /// Source's own time of the last update in milliseconds, if the table has one and it is set.
    #[must_use]
    pub fn updated_ms(&self, table: &Table) -> Option<i64> {
        table.updated_field.and_then(|field| self.integer(field)).filter(|ms| *ms > 0)
    }

    /// Digest of the canonical row: numbers by value, keys in order, unset and volatile parts left out. A row is
    /// always of the same `table`; its clones know the digest once one of them does.
    pub fn digest(&self, table: &Table) -> Digest {
        *self.0.digest.get_or_init(|| self.digested(table))
    }

    fn digested(&self, table: &Table) -> Digest {
        let mut hasher = Xxh3Default::new();
        let mut keys: Vec<&String> = self.fields().keys().collect();
        keys.sort_unstable();
        let mut path = Vec::with_capacity(4);
        for key in keys {
            let Some(value) = self.fields().get(key) else { continue };
            path.push(key.as_str());
            hash_member(&mut hasher, table, &mut path, value, table.kind(key).is_number());
            path.pop();
        }
        Digest(hasher.digest128().to_le_bytes())
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

/// An integer, however it is spelled: `7`, `7.0`, `"7"`.
#[must_use]
pub fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(n) => n.as_i64().or_else(|| whole(n.as_f64()?)),
        Value::String(text) => text.trim().parse::<i64>().ok(),
        _ => None,
    }
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

/// [`is_unset`], where `numeric` texts that spell numbers count as numbers.
fn is_unset_as(value: &Value, numeric: bool) -> bool {
    let spelled = |text: &str| text.trim().parse().is_ok_and(|number| is_unset(&Value::Number(number)));
    is_unset(value) || (numeric && value.as_str().is_some_and(spelled))
}

/// Whether two values at `path` say the same. `numeric`: texts that spell numbers count as numbers.
fn same<'a>(table: &Table, path: &mut Vec<&'a str>, old: &Value, new: &'a Value, numeric: bool) -> bool {
    if table.is_volatile(path) || old == new || (is_unset_as(old, numeric) && is_unset_as(new, numeric)) {
        return true;
    }
    match (old, new) {
        (Value::Number(a), Value::Number(b)) => same_number(a, b),
        (Value::Number(n), Value::String(text)) | (Value::String(text), Value::Number(n)) => {
            text.trim().parse::<Number>().is_ok_and(|parsed| same_number(&parsed, n))
        }
        (Value::String(a), Value::String(b)) if numeric => {
            match (a.trim().parse::<Number>(), b.trim().parse::<Number>()) {
                (Ok(a), Ok(b)) => same_number(&a, &b),
                _ => false,
            }
        }
        (Value::Bool(flag), Value::String(text)) | (Value::String(text), Value::Bool(flag)) => {
            text.parse() == Ok(*flag)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(old, new)| same(table, path, old, new, false))
        }
        // Without any key it says "unset", and `old` does not.
        (Value::Object(_), Value::Object(b)) if b.is_empty() => false,
        (Value::Object(a), Value::Object(b)) => b.iter().all(|(key, new)| {
            // A key that one shape lacks is no difference.
            a.get(key).is_none_or(|old| {
                path.push(key);
                let same = same(table, path, old, new, false);
                path.pop();
                same
            })
        }),
        _ => false,
    }
}

/// Whether `new`, which says the same as `old`, carries something that `old` has no key for.
fn adds<'a>(table: &Table, path: &mut Vec<&'a str>, old: &Value, new: &'a Value) -> bool {
    match (old, new) {
        (Value::Object(a), Value::Object(b)) => b.iter().any(|(key, new)| {
            path.push(key);
            let more = match a.get(key) {
                Some(old) => adds(table, path, old, new),
                None => !is_unset(new) && !table.is_volatile(path),
            };
            path.pop();
            more
        }),
        (Value::Array(a), Value::Array(b)) => a.iter().zip(b).any(|(old, new)| adds(table, path, old, new)),
        _ => false,
    }
}

fn same_number(a: &Number, b: &Number) -> bool {
    if a.is_f64() || b.is_f64() { a.as_f64() == b.as_f64() } else { a == b }
}

/// Two looks that say the same, with the keys of both.
fn united(old: &Value, new: &Value) -> Value {
    match (old, new) {
        (Value::Object(a), Value::Object(b)) => {
            let mut both = a.clone();
            for (key, value) in b {
                let value = a.get(key).map_or_else(|| value.clone(), |old| united(old, value));
                both.insert(key.clone(), value);
            }
            Value::Object(both)
        }
        (Value::Array(a), Value::Array(b)) => a.iter().zip(b).map(|(old, new)| united(old, new)).collect(),
        _ => new.clone(),
    }
}

/// `new` over `old`, keeping keys that `new` lacks as long as both are the same thing.
fn overlay(old: &Value, new: &Value) -> Value {
    match (old, new) {
        (Value::Object(a), Value::Object(b)) if !b.is_empty() && same_identity(a, b) => {
            let mut merged = a.clone();
            for (key, value) in b {
                let value = a.get(key).map_or_else(|| value.clone(), |old| overlay(old, value));
                merged.insert(key.clone(), value);
            }
            Value::Object(merged)
        }
        (Value::Array(a), Value::Array(b)) => {
            let item = |new: &Value| {
                let twin = a.iter().find(|old| match (old, new) {
                    (Value::Object(a), Value::Object(b)) => has_identity(a, b) && same_identity(a, b),
                    _ => false,
                });
                twin.map_or_else(|| new.clone(), |old| overlay(old, new))
            };
            Value::Array(b.iter().map(item).collect())
        }
        _ => new.clone(),
    }
}

/// Whether both say by the same key which thing they are.
fn has_identity(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    let says = |map: &Map<String, Value>, key: &str| map.get(key).is_some_and(|value| !is_unset(value));
    IDENTITY.iter().any(|key| says(a, key) && says(b, key))
}

/// Whether nothing says that they are different things; a nested value says nothing of it.
fn same_identity(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    IDENTITY.iter().all(|key| match (a.get(*key), b.get(*key)) {
        (Some(a), Some(b)) if !a.is_object() && !a.is_array() && !b.is_object() && !b.is_array() => {
            a == b || (is_unset(a) && is_unset(b)) || integer(a).is_some_and(|id| integer(b) == Some(id))
        }
        _ => true,
    })
}

/// Hashes one member; unset ones leave no trace, so that absent and unset are alike.
fn hash_member<'a>(
    hasher: &mut Xxh3Default,
    table: &Table,
    path: &mut Vec<&'a str>,
    value: &'a Value,
    numeric: bool,
) {
    if is_unset_as(value, numeric) || table.is_volatile(path) {
        return;
    }
    if let Some(key) = path.last() {
        hash_text(hasher, b'k', key);
    }
    hash_value(hasher, table, path, value, numeric);
}

fn hash_value<'a>(
    hasher: &mut Xxh3Default,
    table: &Table,
    path: &mut Vec<&'a str>,
    value: &'a Value,
    numeric: bool,
) {
    match value {
        _ if is_unset(value) => hasher.update(b"0"),
        Value::Null => {}
        Value::Bool(flag) => hasher.update(if *flag { b"t" } else { b"f" }),
        Value::Number(number) => hash_number(hasher, number),
        Value::String(text) => match text.trim().parse::<Number>() {
            Ok(number) if numeric => hash_number(hasher, &number),
            _ => hash_text(hasher, b's', text),
        },
        Value::Array(items) => {
            hasher.update(b"[");
            items.iter().for_each(|item| hash_value(hasher, table, path, item, false));
            hasher.update(b"]");
        }
        Value::Object(map) => {
            hasher.update(b"{");
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            for key in keys {
                let Some(value) = map.get(key) else { continue };
                path.push(key);
                hash_member(hasher, table, path, value, false);
                path.pop();
            }
            hasher.update(b"}");
        }
    }
}

fn hash_number(hasher: &mut Xxh3Default, number: &Number) {
    match (number.as_i64().or_else(|| whole(number.as_f64()?)), number.as_u64()) {
        (Some(integer), _) => {
            hasher.update(b"i");
            hasher.update(&integer.to_le_bytes());
        }
        (None, Some(large)) => {
            hasher.update(b"u");
            hasher.update(&large.to_le_bytes());
        }
        (None, None) => {
            hasher.update(b"d");
            hasher.update(&number.as_f64().unwrap_or(f64::NAN).to_le_bytes());
        }
    }
}

fn hash_text(hasher: &mut Xxh3Default, tag: u8, text: &str) {
    hasher.update(&[tag]);
    hasher.update(&text.len().to_le_bytes());
    hasher.update(text.as_bytes());
}

impl Kind {
    fn is_number(self) -> bool {
        matches!(self, Kind::Integer | Kind::Real)
    }
}
