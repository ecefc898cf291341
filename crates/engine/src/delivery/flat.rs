//! Flat mode: scalar columns only, unset values as NULL, moments and days as such, a column for each custom field.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use serde_json::Value;

use super::shape::{Extra, cell};
use crate::custom::{CustomField, Holds};
use crate::row::{Row, integer, is_unset};
use crate::schema::{FlatColumn, Kind, Path, Shape, Table, Take};
use crate::target::Cell;

/// Where CODING's days begin and end.
const EAST: Offset = Offset::constant(8);
/// Between the names of a list.
const BETWEEN: char = '|';

/// The columns of a table after the key and before custom fields, by the source's names.
pub(super) fn columns(table: &Table) -> impl Iterator<Item = (&'static str, Kind)> {
    let project_id = std::iter::once(("ProjectId", Kind::Integer));
    project_id.chain(table.flat.iter().map(|column| (column.name, column.kind)))
}

/// The cells of a row, in the order of [`columns`].
pub(super) fn cells(
    table: &Table,
    row: &Row,
    project_id: i64,
    listed_only: bool,
    cells: &mut Vec<Cell>,
    extra: &mut Extra,
) {
    cells.push(Cell::Integer(project_id));
    let look = Look { table, row, listed_only };
    for column in table.flat {
        cells.push(look.take(column).unwrap_or_else(|misfit| {
            extra.insert(column.name.to_owned(), misfit.clone());
            Cell::Null
        }));
    }
}

/// The cells of custom fields, in their order; those after the first `keep` are NULL. Entries without a column, those
/// that do not fit theirs, and those that are not kept, stay together under the name of their list.
pub(super) fn custom_cells(
    table: &Table,
    row: &Row,
    fields: &[CustomField],
    keep: usize,
    cells: &mut Vec<Cell>,
    extra: &mut Extra,
) {
    let first = cells.len();
    cells.resize(first.saturating_add(fields.len()), Cell::Null);
    let Some(values) = table.custom else { return };
    let entries = match row.get(values.list) {
        Some(Value::Array(entries)) => entries,
        Some(odd) if !is_unset(odd) => return drop(extra.insert(values.list.to_owned(), odd.clone())),
        _ => return,
    };
    let mut aside = Vec::new();
    for entry in entries {
        let id = entry.get(values.id).and_then(integer);
        let place = id.and_then(|id| fields.binary_search_by_key(&id, |field| field.id).ok());
        let place = place.filter(|place| *place < keep);
        let text = entry.get(values.value).unwrap_or(&Value::Null);
        let found = place.and_then(|place| custom_cell(fields.get(place)?.holds, text));
        match (place.and_then(|place| cells.get_mut(first.saturating_add(place))), found) {
            (Some(cell), Some(found)) => *cell = found,
            _ if entry.is_object() && is_unset(text) => {}
            _ => aside.push(entry.clone()),
        }
    }
    if !aside.is_empty() {
        extra.insert(values.list.to_owned(), Value::Array(aside));
    }
}

/// A look at a row.
struct Look<'a> {
    table: &'a Table,
    row: &'a Row,
    listed_only: bool,
}

impl<'a> Look<'a> {
    fn field(&self, name: &str) -> Option<&'a Value> {
        let unwanted = |name: &str| {
            self.listed_only
                && self.table.fields.iter().any(|field| field.name == name && field.shape == Shape::Detail)
        };
        self.row.get(name).filter(|_| !unwanted(name))
    }

    /// What stands at `path`, set or not; what stands in the way where the path cannot be gone.
    fn at(&self, path: Path) -> Result<Option<&'a Value>, &'a Value> {
        let Some((field, keys)) = path.split_first() else { return Ok(None) };
        let mut found = self.field(field);
        for key in keys {
            found = match found {
                Some(Value::Object(object)) => object.get(*key),
                Some(odd) if !is_unset(odd) => return Err(odd),
                _ => None,
            };
        }
        Ok(found.filter(|value| !value.is_null()))
    }

    /// What stands at the first of `paths` that the row has.
    fn first(&self, paths: &[Path]) -> Result<Option<&'a Value>, &'a Value> {
        let mut odd = None;
        for path in paths {
            match self.at(path) {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                Err(value) => odd = odd.or(Some(value)),
            }
        }
        odd.map_or(Ok(None), Err)
    }

    /// The value of a column; the value as it was where the column cannot hold it.
    fn take(&self, column: &FlatColumn) -> Result<Cell, &'a Value> {
        match column.take {
            Take::First(paths) => match self.first(paths)? {
                Some(value) => scalar(column.kind, value, column.zero).ok_or(value),
                None => Ok(Cell::Null),
            },
            Take::Named { by, id, within, key } => {
                // An id that is none has a column of its own, which says so.
                let id = self.first(id).ok().flatten().and_then(integer);
                let named = match id.filter(|id| *id != 0) {
                    Some(id) => self.object(within, by, id)?,
                    None => None,
                };
                Ok(named.and_then(|object| object.get(key)).map_or(Cell::Null, name))
            }
            Take::Joined { list, key } => match self.field(list) {
                Some(Value::Array(items)) => Ok(joined(items.iter().filter_map(|item| match item {
                    Value::Object(object) => object.get(key),
                    name => Some(name),
                }))),
                Some(odd) if !is_unset(odd) => Err(odd),
                _ => Ok(Cell::Null),
            },
            Take::Word(path, words) => {
                let Some(value) = self.at(path)?.filter(|value| value.as_str() != Some("")) else {
                    return Ok(Cell::Null);
                };
                let word = integer(value).and_then(|number| words.get(usize::try_from(number).ok()?));
                Ok(word.map_or_else(|| name(value), |word| Cell::Text((*word).into())))
            }
        }
    }

    /// The object whose key `by` is `id`, in one of these fields or in a list there.
    fn object(&self, within: &[&str], by: &str, id: i64) -> Result<Option<&'a Value>, &'a Value> {
        let is_it = |object: &&Value| object.get(by).and_then(integer) == Some(id);
        for field in within {
            let found = match self.field(field) {
                Some(Value::Array(items)) => items.iter().find(is_it),
                Some(object @ Value::Object(_)) => Some(object).filter(is_it),
                Some(odd) if !is_unset(odd) => return Err(odd),
                _ => None,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

/// A scalar as a cell; `None` when a cell of this kind cannot hold it.
fn scalar(kind: Kind, value: &Value, zero: bool) -> Option<Cell> {
    let found = match kind {
        Kind::Timestamp | Kind::Date => return time(kind, value),
        Kind::Text if value.as_str() == Some("") => Cell::Null,
        kind => cell(kind, value)?,
    };
    let is_zero = match &found {
        Cell::Integer(number) => *number == 0,
        Cell::Real(number) => *number == 0.0,
        _ => false,
    };
    Some(if is_zero && !zero { Cell::Null } else { found })
}

/// A moment or a day: milliseconds, or a text that spells a day or a time at UTC+8.
fn time(kind: Kind, value: &Value) -> Option<Cell> {
    if is_unset(value) {
        return Some(Cell::Null);
    }
    let when = match (integer(value), value.as_str().map(str::trim)) {
        (Some(ms), _) if is_unset(&ms.into()) => return Some(Cell::Null),
        (Some(ms), _) => When::Ms(ms),
        (None, Some("")) => return Some(Cell::Null),
        (None, Some(text)) => When::Spelled(text),
        (None, None) => return None,
    };
    Some(match kind {
        Kind::Date => Cell::Date(when.day()?),
        _ => Cell::Timestamp(when.moment()?.as_microsecond()),
    })
}

/// A time as the source has it.
enum When<'t> {
    Ms(i64),
    Spelled(&'t str),
}

impl When<'_> {
    fn moment(&self) -> Option<Timestamp> {
        match *self {
            When::Ms(ms) => Timestamp::from_millisecond(ms).ok(),
            When::Spelled(text) => spelled(text),
        }
    }

    /// Its day at UTC+8, counted from 1970. Not by way of a moment: the last day of the calendar ends after the last
    /// moment that can be told.
    fn day(&self) -> Option<i32> {
        const DAY_MS: i64 = 86_400_000;
        const EPOCH: Date = Date::constant(1970, 1, 1);
        match *self {
            When::Ms(ms) => {
                let east_ms = ms.checked_add(i64::from(EAST.seconds()).saturating_mul(1_000))?;
                let days = i32::try_from(east_ms.div_euclid(DAY_MS)).ok()?;
                // Only days that the calendar has.
                EPOCH.checked_add(jiff::Span::new().try_days(days).ok()?).ok().map(|_| days)
            }
            When::Spelled(text) => {
                let day = match text.parse::<Timestamp>() {
                    Ok(moment) => EAST.to_datetime(moment).date(),
                    Err(_) => text.parse::<DateTime>().ok()?.date(),
                };
                EPOCH.until(day).ok().map(|span| span.get_days())
            }
        }
    }
}

/// `2025-08-01`, `2025-08-01 12:00:00`, or a time with its own offset.
fn spelled(text: &str) -> Option<Timestamp> {
    let east = |at: DateTime| TimeZone::fixed(EAST).to_timestamp(at).ok();
    text.parse::<Timestamp>().ok().or_else(|| text.parse::<DateTime>().ok().and_then(east))
}

/// The value of a custom field, which is a text; `None` when its column cannot hold it.
fn custom_cell(holds: Holds, value: &Value) -> Option<Cell> {
    let text = value.as_str().map(str::trim);
    // A text that is not the JSON it should be stands for itself.
    let json = || text.and_then(|text| serde_json::from_str::<Value>(text).ok());
    Some(match holds {
        Holds::Text => name(value),
        _ if text == Some("") || value.is_null() => Cell::Null,
        Holds::Timestamp | Holds::Date => return time(holds.kind(), value),
        Holds::Integer | Holds::Real | Holds::Boolean => {
            // `12.0` spells a whole number, too.
            let number = || text.and_then(|text| text.parse().ok()).map(Value::Number);
            return cell(holds.kind(), value).or_else(|| cell(holds.kind(), &number()?));
        }
        Holds::Texts | Holds::Name | Holds::Names => match json() {
            Some(Value::Array(items)) => joined(items.iter().map(called)),
            Some(object @ Value::Object(_)) => name(called(&object)),
            Some(Value::Null) => Cell::Null,
            _ => name(value),
        },
    })
}

/// What a person or a choice is called; one without a name stands for itself.
fn called(item: &Value) -> &Value {
    item.get("Name").unwrap_or(if is_unset(item) { &Value::Null } else { item })
}

/// A name as a cell.
fn name(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::String(text) if text.is_empty() => Cell::Null,
        Value::String(text) => Cell::Text(text.as_str().into()),
        other => Cell::Text(other.to_string().into()),
    }
}

/// Names joined into one text; none is NULL. What joins them is escaped inside of them.
fn joined<'a>(names: impl Iterator<Item = &'a Value>) -> Cell {
    let mut text: Option<String> = None;
    for item in names {
        let Cell::Text(name) = name(item) else { continue };
        match &mut text {
            None => text = Some(String::new()),
            Some(text) => text.push(BETWEEN),
        }
        let text = text.get_or_insert_default();
        for letter in name.chars() {
            if matches!(letter, BETWEEN | '\\') {
                text.push('\\');
            }
            text.push(letter);
        }
    }
    text.map_or(Cell::Null, |text| Cell::Text(text.into()))
}
