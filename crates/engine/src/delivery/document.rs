//! Document mode: one column per top-level field, nested values as JSON, times as the source gives them.

use serde_json::{Map, Value};

use super::shape::{Extra, cell};
use crate::row::Row;
use crate::schema::{Kind, Shape, Table};
use crate::target::Cell;

/// The columns of a table after the key, by the source's names.
pub(super) fn columns(table: &Table) -> impl Iterator<Item = (&'static str, Kind)> {
    let project_id = table.project_id_column.then_some(("ProjectId", Kind::Integer));
    project_id.into_iter().chain(table.fields.iter().map(|field| (field.name, field.kind)))
}

/// The cells of a row, in the order of [`columns`].
pub(super) fn cells(
    table: &Table,
    row: &Row,
    project: (&str, i64),
    listed_only: bool,
    cells: &mut Vec<Cell>,
    extra: &mut Extra,
) {
    if table.project_id_column {
        cells.push(Cell::Integer(project.1));
    }
    for field in table.fields {
        let value = row.get(field.name).filter(|_| !listed_only || field.shape != Shape::Detail);
        let copied = value.and_then(|value| under_present_name(table, field.name, value, project.0));
        cells.push(copied.as_ref().or(value).map_or(Cell::Null, |value| {
            cell(field.kind, value).unwrap_or_else(|| {
                extra.insert(field.name.to_owned(), value.clone());
                Cell::Null
            })
        }));
    }
}

/// A field that repeats the project's identifier, with the one the project has now.
fn under_present_name(table: &Table, field: &str, value: &Value, project: &str) -> Option<Value> {
    let (_, key) = table.project_copy.filter(|(copy, _)| *copy == field)?;
    let mut copy: Map<String, Value> = value.as_object()?.clone();
    copy.get_mut(key)?.clone_from(&Value::from(project));
    Some(Value::Object(copy))
}
