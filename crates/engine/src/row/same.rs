//! When two values say the same, and what a newer look at one makes of it.

use serde_json::{Map, Number, Value};

use super::{integer, is_unset};
use crate::schema::Table;

/// Keys that say which thing a nested object is.
const IDENTITY: [&str; 3] = ["Code", "Id", "FileId"];

/// [`is_unset`], where `numeric` texts that spell numbers count as numbers.
fn is_unset_as(value: &Value, numeric: bool) -> bool {
    let spelled = |text: &str| text.trim().parse().is_ok_and(|number| is_unset(&Value::Number(number)));
    is_unset(value) || (numeric && value.as_str().is_some_and(spelled))
}

/// Whether two values at `path` say the same. `numeric`: texts that spell numbers count as numbers.
pub(super) fn same<'a>(
    table: &Table,
    path: &mut Vec<&'a str>,
    old: &Value,
    new: &'a Value,
    numeric: bool,
) -> bool {
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
pub(super) fn adds<'a>(table: &Table, path: &mut Vec<&'a str>, old: &Value, new: &'a Value) -> bool {
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
pub(super) fn united(old: &Value, new: &Value) -> Value {
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
pub(super) fn overlay(old: &Value, new: &Value) -> Value {
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
