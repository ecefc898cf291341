//! How rows look in a target: the tables that a task makes of the source's, and the cells of a row.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::filter::Filter;
use super::names::{Taken, called};
use super::{document, flat, room};
use crate::clock::Moment;
use crate::custom::{CustomField, CustomFields};
use crate::position::Fingerprint;
use crate::row::{Places, Row, RowId, integer, value};
use crate::schema::{Kind, Table, TableId};
use crate::target::{Cell, Column, CustomColumn, Plan, Room, StoredField, Target, TargetTable};

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

/// What a row is made into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One column per field as the source has it, nested values as JSON.
    #[default]
    Document,
    /// Scalar columns only, custom fields among them.
    Flat,
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
    /// What a row is made into.
    pub mode: Mode,
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

/// Columns of the primary key: team, project, the row's own.
const KEY: usize = 3;

/// What of a row has no column of its own.
pub(super) type Extra = Map<String, Value>;

/// Turns rows into cells.
#[derive(Debug)]
pub struct Shaper {
    task: Task,
    team: Arc<str>,
    tables: Vec<TargetTable>,
    /// For each table the custom fields that have columns, by number.
    custom: Vec<Vec<CustomField>>,
    /// For each table where its fields stand in the row that was shaped last.
    places: Vec<Mutex<Places>>,
    /// For each table how many custom fields have none.
    beyond: Vec<usize>,
    /// Whether a row can be stored.
    fits: fn(&[Cell]) -> bool,
    /// Fields that no table definition has and that were told about already.
    told: Mutex<HashSet<(TableId, String)>>,
    /// Tables of which a row that is too long was told about already.
    told_long: Mutex<HashSet<TableId>>,
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
    /// The shapes of a task's tables, without custom fields.
    #[must_use]
    pub fn new(task: Task) -> Shaper {
        let (team, told) = (task.team.as_str().into(), Mutex::default());
        let places = task.tables.iter().map(|_| Mutex::default()).collect();
        let mut shaper = Shaper {
            task,
            team,
            tables: Vec::new(),
            custom: Vec::new(),
            places,
            beyond: Vec::new(),
            fits: |_| true,
            told,
            told_long: Mutex::default(),
        };
        shaper.assign(&CustomFields::default(), &[], &[]);
        shaper
    }

    /// The same for rows that this kind of target must be able to store: of one that is too long, custom fields go into
    /// `_extra`, the last ones first.
    #[must_use]
    pub fn for_target<T: Target>(self) -> Shaper {
        Shaper { fits: T::fits, ..self }
    }

    /// Gives each custom field a column, in flat mode: the one that the target has for it (`stored`), or a new one
    /// named after it. Where its table has no room for all (`rooms`, by table), the rest goes into `_extra`.
    pub fn assign(&mut self, custom: &CustomFields, stored: &[StoredField], rooms: &[Room]) {
        self.custom.clear();
        self.tables.clear();
        self.beyond.clear();
        for (at, table) in self.task.tables.iter().enumerate() {
            let fields: Vec<CustomField> = match self.task.mode {
                Mode::Document => Vec::new(),
                Mode::Flat => custom.of(table.id).cloned().collect(),
            };
            let all = fields.len();
            let (shaped, fields) = shaped(table, &self.task, fields, stored, rooms.get(at));
            self.beyond.push(all.saturating_sub(fields.len()));
            self.tables.push(shaped);
            self.custom.push(fields);
        }
    }

    /// How many custom fields of each table have no column, because there is no room for it.
    #[must_use]
    pub fn beyond(&self) -> &[usize] {
        &self.beyond
    }

    /// Whether a row of the task's table number `index` that has a value in every column may be too long.
    #[must_use]
    pub fn may_be_too_long(&self, index: usize) -> bool {
        // The longest of the values that are kept in their row.
        let text: Arc<str> = "x".repeat(23).into();
        let full = |column: &Column| match column.kind {
            Kind::Text | Kind::Json => Cell::Text(Arc::clone(&text)),
            _ => Cell::Integer(0),
        };
        let row = |table: &TargetTable| table.columns.iter().map(full).collect::<Vec<_>>();
        self.tables.get(index).is_some_and(|table| !(self.fits)(&row(table)))
    }

    /// The tables as the target shall have them, in the task's order.
    #[must_use]
    pub fn tables(&self) -> &[TargetTable] {
        &self.tables
    }

    /// What the task wants of its target.
    #[must_use]
    pub fn plan(&self) -> Plan {
        Plan { task: self.task.name.clone(), tables: self.tables.clone() }
    }

    /// The task.
    #[must_use]
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// Digest of everything that shapes the target.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let Task { team, filter, mode, naming, deletes, listed_only, .. } = &self.task;
        let tables: Vec<TableId> = self.task.tables.iter().map(|table| table.id).collect();
        let mut parts = serde_json::json!([1, mode, team, tables, filter, naming, deletes, listed_only]);
        if let (Mode::Flat, Value::Array(parts)) = (mode, &mut parts) {
            // A custom field that came must be filled in; one that was only renamed need not.
            let of = |field: &CustomField| serde_json::json!([field.id, field.holds]);
            let custom = |fields: &Vec<CustomField>| fields.iter().map(of).collect::<Value>();
            parts.push(self.custom.iter().map(custom).collect());
        }
        Fingerprint(format!("{:032x}", xxhash_rust::xxh3::xxh3_128(parts.to_string().as_bytes())))
    }

    /// The primary key of a row.
    #[must_use]
    pub fn key(&self, project: &str, id: RowId) -> Vec<Cell> {
        self.key_cells(project, id).into()
    }

    fn key_cells(&self, project: &str, id: RowId) -> [Cell; KEY] {
        [Cell::Text(Arc::clone(&self.team)), Cell::Text(project.into()), Cell::Integer(id.0)]
    }

    /// All cells of a row of the task's table number `index`.
    #[must_use]
    pub fn row(&self, index: usize, delivered: Delivered<'_>, now: Timestamp) -> Vec<Cell> {
        let (mut least, mut most) = (0, self.custom.get(index).map_or(0, Vec::len));
        let whole = self.cells(index, delivered, now, most);
        if most == 0 || (self.fits)(&whole) {
            return whole;
        }
        if let Some(table) = self.task.tables.get(index)
            && self.told_long.lock().unwrap_or_else(PoisonError::into_inner).insert(table.id)
        {
            let (table, id) = (table.name, delivered.id.0);
            tracing::warn!(
                table,
                id,
                "a row has more values than the target can store in columns: the rest goes into `_extra`"
            );
        }
        // As many of the custom fields as fit.
        most = most.saturating_sub(1);
        while least < most {
            let middle = least.saturating_add(most).div_ceil(2);
            if (self.fits)(&self.cells(index, delivered, now, middle)) {
                least = middle;
            } else {
                most = middle.saturating_sub(1);
            }
        }
        self.cells(index, delivered, now, least)
    }

    /// The cells of a row whose first `keep` custom fields stand in their columns.
    fn cells(&self, index: usize, delivered: Delivered<'_>, now: Timestamp, keep: usize) -> Vec<Cell> {
        let Delivered { project, row, id, project_id, observed, detailed } = delivered;
        let mut cells = Vec::with_capacity(self.tables.get(index).map_or(KEY, |table| table.columns.len()));
        cells.extend(self.key_cells(project, id));
        let (Some(table), Some(custom), Some(places)) =
            (self.task.tables.get(index), self.custom.get(index), self.places.get(index))
        else {
            return cells;
        };
        let (mut extra, listed_only) = (Extra::new(), self.task.listed_only);
        let known = match self.task.mode {
            Mode::Document => {
                let mut places = places.lock().unwrap_or_else(PoisonError::into_inner);
                let values = places.values(row, table.fields.iter().map(|field| field.name));
                document::cells(table, values, (project, project_id), listed_only, &mut cells, &mut extra)
            }
            Mode::Flat => {
                flat::cells(table, row, project_id, listed_only, &mut cells, &mut extra);
                flat::custom_cells(table, row, custom, keep, &mut cells, &mut extra);
                table.fields.iter().filter(|field| row.raw(field.name).is_some()).count()
            }
        };
        let known = known.saturating_add(usize::from(row.raw(table.key_field).is_some()));
        if known < row.width() {
            self.unheard_of(table, row, &mut extra);
        }
        cells.push(Cell::Timestamp(observed.0));
        cells.push(Cell::Timestamp(now.as_microsecond()));
        cells.push(detailed.map_or(Cell::Null, |moment| Cell::Timestamp(moment.0)));
        if self.task.deletes == Deletes::Soft {
            cells.push(Cell::Null);
        }
        cells.push(match self.task.mode {
            _ if extra.is_empty() => Cell::Null,
            Mode::Document => Cell::Json(Value::Object(extra).to_string().into()),
            Mode::Flat => Cell::Text(Value::Object(extra).to_string().into()),
        });
        cells
    }

    /// Puts the fields aside that no column is for.
    fn unheard_of(&self, table: &Table, row: &Row, extra: &mut Extra) {
        for (name, raw) in row.members() {
            if name == table.key_field || table.fields.iter().any(|field| field.name == name) {
                continue;
            }
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.insert((table.id, name.to_owned())) {
                tracing::info!(table = table.name, field = %name, "a field without a column goes into `_extra`");
            }
            extra.insert(name.to_owned(), value(raw));
        }
    }
}

/// The columns of a table, and the custom fields that have one.
fn shaped(
    table: &Table,
    task: &Task,
    custom: Vec<CustomField>,
    stored: &[StoredField],
    room: Option<&Room>,
) -> (TargetTable, Vec<CustomField>) {
    let table_name = called(task.naming, table.name);
    let own = |name: String, kind| Column { name, kind, custom: None };
    let mut columns: Vec<Column> =
        [("TeamName", Kind::Text), ("ProjectName", Kind::Text), (table.key_field, Kind::Integer)]
            .into_iter()
            .map(|(original, kind)| own(called(task.naming, original), kind))
            .collect();
    let plain = |(original, kind)| own(called(task.naming, original), kind);
    let extra = match task.mode {
        Mode::Document => {
            columns.extend(document::columns(table).map(plain));
            Kind::Json
        }
        Mode::Flat => {
            columns.extend(flat::columns(table).map(plain));
            Kind::Text
        }
    };
    let soft = task.deletes == Deletes::Soft;
    let after: Vec<Column> = [
        Some(("_observed_at", Kind::Timestamp)),
        Some(("_synced_at", Kind::Timestamp)),
        Some(("_detailed_at", Kind::Timestamp)),
        soft.then_some(("_deleted_at", Kind::Timestamp)),
        Some(("_extra", extra)),
    ]
    .into_iter()
    .flatten()
    .map(|(name, kind)| own(name.to_owned(), kind))
    .collect();
    let mut taken = Taken::of(columns.iter().chain(&after).map(|column| column.name.as_str()));
    let stored: Vec<&StoredField> =
        stored.iter().filter(|field| field.table.eq_ignore_ascii_case(&table_name)).collect();
    let kept = |field: &CustomField| {
        let same = |stored: &&&StoredField| stored.team == task.team && stored.field_id == field.id;
        stored
            .iter()
            .find(same)
            .filter(|stored| !taken.has(&stored.column))
            .map(|stored| stored.column.clone())
    };
    let kept: Vec<Option<String>> = custom.iter().map(kept).collect();
    let plain: Vec<&str> = columns.iter().chain(&after).map(|column| column.name.as_str()).collect();
    let chosen = room::chosen(&custom, &kept, &plain, room);
    stored.iter().for_each(|field| taken.take(&field.column));
    let all = custom.into_iter().zip(kept).enumerate();
    let (custom, kept): (Vec<CustomField>, Vec<Option<String>>) =
        all.filter(|(at, _)| chosen.binary_search(at).is_ok()).map(|(_, field)| field).unzip();
    for (field, kept) in custom.iter().zip(kept) {
        let name = kept.unwrap_or_else(|| taken.name(task.naming, &field.name, field.id));
        let (team, field_id, field_name) = (task.team.clone(), field.id, field.name.clone());
        let custom = Some(CustomColumn { team, field_id, field_name });
        columns.push(Column { name, kind: field.holds.kind(), custom });
    }
    let synced_at = columns.len().saturating_add(1);
    let deleted_at = soft.then(|| columns.len().saturating_add(3));
    columns.extend(after);
    (TargetTable { name: table_name, columns, key_columns: KEY, deleted_at, synced_at }, custom)
}

/// A value as a cell of `kind`; `None` when such a cell cannot hold it.
pub(super) fn cell(kind: Kind, value: &Value) -> Option<Cell> {
    Some(match (kind, value) {
        (_, Value::Null) => Cell::Null,
        (Kind::Json, value) => Cell::Json(value.to_string().into()),
        (Kind::Text, Value::String(text)) => Cell::Text(text.as_str().into()),
        (Kind::Text, Value::Number(number)) => Cell::Text(number.to_string().into()),
        (Kind::Text, Value::Bool(flag)) => Cell::Text(flag.to_string().into()),
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
        (Kind::Text | Kind::Real | Kind::Date, _) => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
