//! How rows look in a target. Document mode: one column per top-level field, nested values as JSON, times as
//! the source gives them.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::filter::Filter;
use crate::clock::Moment;
use crate::position::Fingerprint;
use crate::row::{Row, RowId, integer};
use crate::schema::{Kind, Shape, Table, TableId};
use crate::target::{Cell, Column, TargetTable};

/// How columns and tables are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Naming {
    /// `project_members`, `issue_status_name`.
    SnakeCase,
    /// `ProjectMembers`, `IssueStatusName`, as the source spells them.
    Original,
}

/// What a delete does in the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Deletes {
    /// The row goes.
    Hard,
    /// The row stays and says since when it is deleted.
    Soft,
}

/// What a task delivers.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its name.
    pub name: String,
    /// The team, as it stands in the rows.
    pub team: String,
    /// Its tables.
    pub tables: Vec<&'static Table>,
    /// Which rows.
    pub filter: Filter,
    /// How columns are called.
    pub naming: Naming,
    /// What a delete does.
    pub deletes: Deletes,
    /// Whether only listed fields are wanted.
    pub listed_only: bool,
    /// Whether the end of a rebuild may delete however many rows the mirror lacks.
    pub accept_deletes: bool,
}

impl Task {
    /// The place of a table among the task's tables.
    #[must_use]
    pub fn index(&self, table: TableId) -> Option<usize> {
        self.tables.iter().position(|own| own.id == table)
    }
}

/// Turns rows into cells.
#[derive(Debug)]
pub struct Shaper {
    task: Task,
    tables: Vec<TargetTable>,
    /// Fields that no table definition has and that were told about already.
    told: HashSet<(TableId, String)>,
}

/// A row and what the bookkeeping columns say of it.
#[derive(Clone, Copy, Debug)]
pub struct Delivered<'a> {
    /// The project's identifier.
    pub project: &'a str,
    /// The row.
    pub row: &'a Row,
    /// Its id.
    pub id: RowId,
    /// The project's id.
    pub project_id: i64,
    /// When it was observed.
    pub observed: Moment,
    /// When its look-up was sent.
    pub detailed: Option<Moment>,
}

impl Shaper {
    /// The shapes of a task's tables.
    #[must_use]
    pub fn new(task: Task) -> Shaper {
        let tables = task.tables.iter().map(|table| shaped(table, &task)).collect();
        Shaper { task, tables, told: HashSet::new() }
    }

    /// The tables as the target shall have them, in the task's order.
    #[must_use]
    pub fn tables(&self) -> &[TargetTable] {
        &self.tables
    }

    /// The task.
    #[must_use]
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// Digest of everything that shapes the target.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let Task { team, filter, naming, deletes, listed_only, .. } = &self.task;
        let tables: Vec<TableId> = self.task.tables.iter().map(|table| table.id).collect();
        let text = serde_json::json!([1, "document", team, tables, filter, naming, deletes, listed_only]);
        Fingerprint(format!("{:032x}", xxhash_rust::xxh3::xxh3_128(text.to_string().as_bytes())))
    }

    /// The primary key of a row.
    #[must_use]
    pub fn key(&self, project: &str, id: RowId) -> Vec<Cell> {
        vec![Cell::Text(self.task.team.clone()), Cell::Text(project.to_owned()), Cell::Integer(id.0)]
    }

    /// All cells of a row of the task's table number `index`.
    #[must_use]
    pub fn row(&mut self, index: usize, delivered: Delivered<'_>, now: Timestamp) -> Vec<Cell> {
        let Delivered { project, row, id, project_id, observed, detailed } = delivered;
        let mut cells = self.key(project, id);
        let Some(table) = self.task.tables.get(index) else { return cells };
        if table.project_id_column {
            cells.push(Cell::Integer(project_id));
        }
        let mut extra = Map::new();
        for field in table.fields {
            let value =
                row.get(field.name).filter(|_| !self.task.listed_only || field.shape != Shape::Detail);
            let copied = value.and_then(|value| under_present_name(table, field.name, value, project));
            cells.push(copied.as_ref().or(value).map_or(Cell::Null, |value| {
                cell(field.kind, value).unwrap_or_else(|| {
                    extra.insert(field.name.to_owned(), value.clone());
                    Cell::Null
                })
            }));
        }
        for (name, value) in &row.0 {
            if name == table.key_field || table.fields.iter().any(|field| field.name == name) {
                continue;
            }
            if self.told.insert((table.id, name.clone())) {
                tracing::info!(table = table.name, field = %name, "a field without a column goes into `_extra`");
            }
            extra.insert(name.clone(), value.clone());
        }
        cells.push(Cell::Timestamp(observed.0));
        cells.push(Cell::Timestamp(now.as_microsecond()));
        cells.push(detailed.map_or(Cell::Null, |moment| Cell::Timestamp(moment.0)));
        if self.task.deletes == Deletes::Soft {
            cells.push(Cell::Null);
        }
        cells.push(if extra.is_empty() { Cell::Null } else { Cell::Json(Value::Object(extra).to_string()) });
        cells
    }
}

/// A field that repeats the project's identifier, with the one the project has now.
fn under_present_name(table: &Table, field: &str, value: &Value, project: &str) -> Option<Value> {
    let (_, key) = table.project_copy.filter(|(copy, _)| *copy == field)?;
    let mut copy = value.as_object()?.clone();
    copy.get_mut(key)?.clone_from(&Value::from(project));
    Some(Value::Object(copy))
}

/// The columns of a table in document mode.
fn shaped(table: &Table, task: &Task) -> TargetTable {
    let name = |original: &str| match task.naming {
        Naming::SnakeCase => snake_case(original),
        Naming::Original => original.to_owned(),
    };
    let column = |original: &str, kind| Column { name: name(original), kind };
    let mut columns = vec![
        column("TeamName", Kind::Text),
        column("ProjectName", Kind::Text),
        column(table.key_field, Kind::Integer),
    ];
    if table.project_id_column {
        columns.push(column("ProjectId", Kind::Integer));
    }
    columns.extend(table.fields.iter().map(|field| column(field.name, field.kind)));
    let own = |name: &str, kind| Column { name: name.to_owned(), kind };
    columns.push(own("_observed_at", Kind::Timestamp));
    let synced_at = columns.len();
    columns.push(own("_synced_at", Kind::Timestamp));
    columns.push(own("_detailed_at", Kind::Timestamp));
    let deleted_at = (task.deletes == Deletes::Soft).then_some(columns.len());
    if deleted_at.is_some() {
        columns.push(own("_deleted_at", Kind::Timestamp));
    }
    columns.push(own("_extra", Kind::Json));
    TargetTable { name: name(table.name), columns, key_columns: 3, deleted_at, synced_at }
}

/// A value as a cell of `kind`; `None` when such a cell cannot hold it.
fn cell(kind: Kind, value: &Value) -> Option<Cell> {
    Some(match (kind, value) {
        (_, Value::Null) => Cell::Null,
        (Kind::Json, value) => Cell::Json(value.to_string()),
        (Kind::Text, Value::String(text)) => Cell::Text(text.clone()),
        (Kind::Text, Value::Number(number)) => Cell::Text(number.to_string()),
        (Kind::Text, Value::Bool(flag)) => Cell::Text(flag.to_string()),
        // "Unset", spelled as text.
        (Kind::Integer | Kind::Real | Kind::Boolean, Value::String(text)) if text.is_empty() => Cell::Null,
        (Kind::Integer, value) => Cell::Integer(integer(value)?),
        // An integer that a float cannot hold exactly does not fit.
        (Kind::Real, Value::Number(number)) => Cell::Real(
            number.as_f64().filter(|float| number.is_f64() || format!("{float:.0}") == number.to_string())?,
        ),
        (Kind::Real, Value::String(text)) => {
            Cell::Real(text.trim().parse().ok().filter(|float: &f64| float.is_finite())?)
        }
        (Kind::Boolean, Value::Bool(flag)) => Cell::Boolean(*flag),
        (Kind::Boolean, Value::String(text)) => Cell::Boolean(text.parse().ok()?),
        (Kind::Boolean, value) => match integer(value)? {
            0 => Cell::Boolean(false),
            1 => Cell::Boolean(true),
            _ => return None,
        },
        (Kind::Timestamp, value) => Cell::Timestamp(integer(value)?.checked_mul(1_000)?),
        (Kind::Text | Kind::Real, _) => return None,
    })
}

/// `IssueStatusName` → `issue_status_name`.
fn snake_case(original: &str) -> String {
    let letters: Vec<char> = original.chars().collect();
    let mut name = String::with_capacity(letters.len().saturating_add(8));
    for (index, letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|index| letters.get(index));
        let after = letters.get(index.saturating_add(1));
        let word_begins = letter.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_ascii_digit()
                    || (before.is_uppercase() && after.is_some_and(|after| after.is_lowercase()))
            });
        if word_begins {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_columns_in_snake_case() {
        let check = |original, expected: &str| assert_eq!(snake_case(original), expected);
        check("Issues", "issues");
        check("ProjectMembers", "project_members");
        check("IssueStatusName", "issue_status_name");
        check("NamePinYin", "name_pin_yin");
        check("HTMLUrl", "html_url");
        check("_extra", "_extra");
    }

    #[test]
    fn a_cell_takes_what_its_kind_can_hold() {
        let check = |kind, value: Value, expected: Option<Cell>| assert_eq!(cell(kind, &value), expected);
        check(Kind::Integer, json!("12"), Some(Cell::Integer(12)));
        check(Kind::Integer, json!(12.0), Some(Cell::Integer(12)));
        check(Kind::Integer, json!("twelve"), None);
        check(Kind::Integer, json!(""), Some(Cell::Null));
        check(Kind::Real, json!("0.1"), Some(Cell::Real(0.1)));
        check(Kind::Text, json!(1), Some(Cell::Text("1".into())));
        check(Kind::Text, json!({"a": 1}), None);
        check(Kind::Json, json!([1, "x"]), Some(Cell::Json("[1,\"x\"]".into())));
        check(Kind::Json, json!(null), Some(Cell::Null));
        check(Kind::Real, json!(9_007_199_254_740_993_i64), None);
        check(Kind::Boolean, json!("false"), Some(Cell::Boolean(false)));
        check(Kind::Boolean, json!(1.0), Some(Cell::Boolean(true)));
        check(Kind::Boolean, json!(2), None);
    }
}
