//! Flat mode: scalar columns only, unset values as NULL, moments and days as such, a column for each custom field.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use serde_json::Value;

use super::shape::{Extra, cell};
use crate::custom::{CustomField, Holds};
use crate::row::{Row, UNSET_DAY_MS, integer, is_unset};
use crate::schema::{FlatColumn, Kind, Path, Shape, Table, Take};
use crate::target::Cell;

/// Where CODING's days begin and end.
const EAST: Offset = Offset::constant(8);
/// Seconds of a day.
const DAY_SECONDS: i64 = 86_400;
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
            extra.insert(column.name.to_owned(), misfit);
            Cell::Null
        }));
    }
}

/// The cells of custom fields, in their order.
pub(super) fn custom_cells(
    table: &Table,
    row: &Row,
    fields: &[CustomField],
    cells: &mut Vec<Cell>,
    extra: &mut Extra,
) {
    let first = cells.len();
    cells.resize(first.saturating_add(fields.len()), Cell::Null);
    let Some(values) = table.custom else { return };
    for item in row.get(values.list).and_then(Value::as_array).into_iter().flatten() {
        let (id, text) = (item.get(values.id).and_then(integer), item.get(values.value));
        let (Some(id), Some(text)) = (id, text) else { continue };
        let Ok(place) = fields.binary_search_by_key(&id, |field| field.id) else { continue };
        let (Some(field), Some(cell)) = (fields.get(place), cells.get_mut(first.saturating_add(place)))
        else {
            continue;
        };
        match custom_cell(field.holds, text) {
            Some(found) => *cell = found,
            None => {
                extra.insert(field.name.clone(), text.clone());
            }
        }
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

    fn at(&self, path: Path) -> Option<&'a Value> {
        let (field, keys) = path.split_first()?;
        keys.iter()
            .try_fold(self.field(field)?, |value, key| value.get(*key))
            .filter(|value| !value.is_null())
    }

    /// The value of a column; the value as it was where the column cannot hold it.
    fn take(&self, column: &FlatColumn) -> Result<Cell, Value> {
        match column.take {
            Take::First(paths) => {
                let Some(value) = paths.iter().find_map(|path| self.at(path)) else { return Ok(Cell::Null) };
                scalar(column.kind, value, column.zero).ok_or_else(|| value.clone())
            }
            Take::Named { id, within, key } => {
                let id = id.iter().find_map(|path| self.at(path)).and_then(integer);
                let named = id.filter(|id| *id != 0).and_then(|id| self.object(within, id));
                Ok(named.and_then(|object| object.get(key)).map_or(Cell::Null, name))
            }
            Take::Joined { list, key } => {
                let items = self.field(list).and_then(Value::as_array).into_iter().flatten();
                Ok(joined(items.filter_map(|item| item.get(key))))
            }
            Take::Word(path, words) => {
                let Some(value) = self.at(path).filter(|value| value.as_str() != Some("")) else {
                    return Ok(Cell::Null);
                };
                let word = integer(value).and_then(|number| words.get(usize::try_from(number).ok()?));
                Ok(word.map_or_else(|| name(value), |word| Cell::Text((*word).to_owned())))
            }
        }
    }

    /// The object with this `Id`, in one of these fields or in a list there.
    fn object(&self, within: &[&str], id: i64) -> Option<&'a Value> {
        let is_it = |object: &&Value| object.get("Id").and_then(integer) == Some(id);
        within.iter().find_map(|field| match self.field(field)? {
            Value::Array(items) => items.iter().find(is_it),
            object => Some(object).filter(is_it),
        })
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
    let moment = match (integer(value), value.as_str().map(str::trim)) {
        (Some(0), _) => return Some(Cell::Null),
        #[expect(clippy::cast_precision_loss, reason = "compared with a small whole number")]
        (Some(ms), _) if ms as f64 == UNSET_DAY_MS => return Some(Cell::Null),
        (Some(ms), _) => Timestamp::from_millisecond(ms).ok()?,
        (None, Some("")) => return Some(Cell::Null),
        (None, Some(text)) => spelled(text)?,
        (None, None) => return None,
    };
    Some(match kind {
        Kind::Date => {
            let seconds = moment.as_second().checked_add(i64::from(EAST.seconds()))?;
            Cell::Date(i32::try_from(seconds.div_euclid(DAY_SECONDS)).ok()?)
        }
        _ => Cell::Timestamp(moment.as_microsecond()),
    })
}

/// `2025-08-01`, `2025-08-01 12:00:00`, or a time with its own offset.
fn spelled(text: &str) -> Option<Timestamp> {
    let east = |at: DateTime| TimeZone::fixed(EAST).to_timestamp(at).ok();
    text.parse::<Timestamp>()
        .ok()
        .or_else(|| text.parse::<DateTime>().ok().and_then(east))
        .or_else(|| text.parse::<Date>().ok().and_then(|day| east(day.to_datetime(Time::midnight()))))
}

/// The value of a custom field, which is a text; `None` when its column cannot hold it.
fn custom_cell(holds: Holds, value: &Value) -> Option<Cell> {
    let text = value.as_str().map(str::trim);
    if text == Some("") || value.is_null() {
        return Some(Cell::Null);
    }
    // A text that is not the JSON it should be stands for itself.
    let json = || text.and_then(|text| serde_json::from_str::<Value>(text).ok());
    Some(match holds {
        Holds::Integer | Holds::Real | Holds::Boolean => return cell(holds.kind(), value),
        Holds::Timestamp | Holds::Date => return time(holds.kind(), value),
        Holds::Text => name(value),
        Holds::Texts => match json() {
            Some(Value::Array(items)) => joined(items.iter()),
            _ => name(value),
        },
        Holds::Name | Holds::Names => match json() {
            Some(Value::Array(items)) => joined(items.iter().filter_map(|item| item.get("Name"))),
            Some(Value::Object(object)) => object.get("Name").map_or(Cell::Null, name),
            Some(Value::Null) => Cell::Null,
            _ => name(value),
        },
    })
}

/// A name as a cell.
fn name(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::String(text) if text.is_empty() => Cell::Null,
        Value::String(text) => Cell::Text(text.clone()),
        other => Cell::Text(other.to_string()),
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
    text.map_or(Cell::Null, Cell::Text)
}
