//! Document mode: one column per top-level field, nested values as JSON, times as the source gives them.

use serde_json::Value;

use super::shape::{Extra, cell};
use crate::row::value;
use crate::schema::{Kind, Shape, Table};
use crate::target::Cell;

/// The columns of a table after the key, by the source's names.
pub(super) fn columns(table: &Table) -> impl Iterator<Item = (&'static str, Kind)> {
    let project_id = table.project_id_column.then_some(("ProjectId", Kind::Integer));
    project_id.into_iter().chain(table.fields.iter().map(|field| (field.name, field.kind)))
}

/// The cells of a row, in the order of [`columns`], from the `values` of the table's fields; says how many the row has.
pub(super) fn cells<'r>(
    table: &Table,
    values: impl Iterator<Item = Option<&'r str>>,
    project: (&str, i64),
    listed_only: bool,
    cells: &mut Vec<Cell>,
    extra: &mut Extra,
) -> usize {
    if table.project_id_column {
        cells.push(Cell::Integer(project.1));
    }
    let mut known = 0_usize;
    for (field, raw) in table.fields.iter().zip(values) {
        known = known.saturating_add(usize::from(raw.is_some()));
        let Some(raw) = raw.filter(|_| !listed_only || field.shape != Shape::Detail) else {
            cells.push(Cell::Null);
            continue;
        };
        let copied = under_present_name(table, field.name, raw, project.0);
        let raw = copied.as_deref().unwrap_or(raw);
        cells.push(written(field.kind, raw).unwrap_or_else(|| {
            extra.insert(field.name.to_owned(), value(raw));
            Cell::Null
        }));
    }
    known
}

/// A value, as JSON, as a cell of `kind`; `None` when such a cell cannot hold it.
fn written(kind: Kind, raw: &str) -> Option<Cell> {
    // Most values need no parser.
    let plain = match kind {
        _ if raw == "null" => Some(Cell::Null),
        Kind::Json => Some(Cell::Json(raw.into())),
        Kind::Text => {
            let text = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            text.filter(|text| !text.contains('\\')).map(|text| Cell::Text(text.into()))
        }
        Kind::Integer => raw.parse().ok().map(Cell::Integer),
        Kind::Real | Kind::Boolean | Kind::Timestamp | Kind::Date => None,
    };
    plain.or_else(|| cell(kind, &value(raw)))
}

/// A field that repeats the project's identifier, with the one the project has now.
fn under_present_name(table: &Table, field: &str, raw: &str, project: &str) -> Option<String> {
    let (_, key) = table.project_copy.filter(|(copy, _)| *copy == field)?;
    let Value::Object(mut copy) = value(raw) else { return None };
    copy.get_mut(key)?.clone_from(&Value::from(project));
    Some(Value::Object(copy).to_string())
}
