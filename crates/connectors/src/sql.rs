//! What the SQL of all targets has in common: how names are quoted, where a row's place stands in its table, how
//! a value is written where only text will do.

use engine::target::{Cell, Owned, Plan, TargetTable};
use jiff::civil::Date;
use jiff::{Span, Timestamp};

use crate::fault::Fault;

/// `name` as an identifier.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `parts` with commas between them.
pub(crate) fn join(parts: impl IntoIterator<Item = String>) -> String {
    parts.into_iter().collect::<Vec<_>>().join(", ")
}

/// The key of `table`, quoted.
pub(crate) fn keys(table: &TargetTable) -> String {
    join(table.columns.iter().take(table.key_columns).map(|column| quote(&column.name)))
}

/// The statement that makes `table` under `name`, quoted; `declared` gives the type behind a kind.
pub(crate) fn create_table(
    name: &str,
    table: &TargetTable,
    declared: fn(engine::schema::Kind) -> &'static str,
) -> String {
    let columns = join(table.columns.iter().enumerate().map(|(at, column)| {
        let not_null = if at < table.key_columns { " NOT NULL" } else { "" };
        format!("{} {}{not_null}", quote(&column.name), declared(column.kind))
    }));
    format!("CREATE TABLE {name} ({columns}, PRIMARY KEY ({}))", keys(table))
}

/// What overwrites a row that is there: the columns outside of the key, and `leftovers`, columns of the table
/// that the plan does not know and of whose old values nothing shall stay.
pub(crate) fn on_conflict(table: &TargetTable, leftovers: &[String]) -> String {
    let overwrite = table.columns.iter().skip(table.key_columns).map(|column| {
        let name = quote(&column.name);
        format!("{name} = excluded.{name}")
    });
    let clear = leftovers.iter().map(|name| format!("{} = NULL", quote(name)));
    let set = join(overwrite.chain(clear));
    let action = if set.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {set}") };
    format!("ON CONFLICT ({}) DO {action}", keys(table))
}

/// Table number `at` of the plan.
pub(crate) fn table_at(plan: &Plan, at: usize) -> Result<&TargetTable, Fault> {
    plan.tables
        .get(at)
        .ok_or_else(|| sqlx::Error::ColumnIndexOutOfBounds { index: at, len: plan.tables.len() }.into())
}

/// The numbers `found` by table's name, for each table of the plan.
pub(crate) fn by_table(plan: &Plan, found: &[(String, i64)]) -> Vec<u64> {
    let number = |table: &TargetTable| {
        let found = found.iter().find(|(name, _)| *name == table.name);
        found.and_then(|(_, number)| u64::try_from(*number).ok()).unwrap_or(0)
    };
    plan.tables.iter().map(number).collect()
}

/// The columns that say where a row belongs, quoted: team, project, id.
pub(crate) fn place_columns(table: &TargetTable) -> Result<[String; 3], Fault> {
    match table.columns.as_slice() {
        [team, project, id, ..] => Ok([quote(&team.name), quote(&project.name), quote(&id.name)]),
        columns => Err(sqlx::Error::ColumnIndexOutOfBounds { index: 2, len: columns.len() }.into()),
    }
}

/// The condition that a row is not marked as deleted.
pub(crate) fn alive(table: &TargetTable) -> String {
    let column = table.deleted_at.and_then(|at| table.columns.get(at));
    column.map_or_else(String::new, |column| format!(" AND {} IS NULL", quote(&column.name)))
}

/// All columns of `table` for reading, NULL for the `unreadable` ones; `cast` writes a column that is read otherwise
/// than as it is.
pub(crate) fn read_columns(
    table: &TargetTable,
    unreadable: &[usize],
    cast: fn(engine::schema::Kind, String) -> String,
) -> String {
    join(table.columns.iter().enumerate().map(|(at, column)| {
        if unreadable.contains(&at) { "NULL".to_owned() } else { cast(column.kind, quote(&column.name)) }
    }))
}

/// About how many bytes a cell holds.
pub(crate) fn size(cell: &Cell) -> usize {
    match cell {
        Cell::Text(text) | Cell::Json(text) => text.len(),
        _ => size_of::<Cell>(),
    }
}

/// What a cell is called in a message.
pub(crate) fn cell_name(cell: &Cell) -> &'static str {
    match cell {
        Cell::Null => "NULL",
        Cell::Boolean(_) => "boolean",
        Cell::Integer(_) => "integer",
        Cell::Real(_) => "float",
        Cell::Text(_) => "text",
        Cell::Json(_) => "JSON value",
        Cell::Timestamp(_) => "time",
        Cell::Date(_) => "day",
    }
}

/// A moment as RFC 3339 in UTC, always with six digits, so that texts sort as times do.
pub(crate) fn time(micros: i64) -> Option<String> {
    Timestamp::from_microsecond(micros).ok().map(|moment| format!("{moment:.6}"))
}

/// A day as ISO 8601 has it.
pub(crate) fn day(days: i32) -> Option<String> {
    let day = Date::constant(1970, 1, 1).checked_add(Span::new().try_days(days).ok()?).ok()?;
    Some(day.to_string())
}

/// What the keys of a project's rows begin with, as [`key_json`] writes them.
pub(crate) fn project_prefix(owned: &Owned) -> String {
    let key = [Cell::Text(owned.team.as_str().into()), Cell::Text(owned.project.as_str().into())];
    let mut prefix = key_json(&key);
    prefix.pop();
    prefix.push(',');
    prefix
}

/// A key as a JSON list.
pub(crate) fn key_json(key: &[Cell]) -> String {
    let value = |cell: &Cell| match cell {
        Cell::Null => serde_json::Value::Null,
        Cell::Boolean(flag) => (*flag).into(),
        Cell::Integer(number) => (*number).into(),
        Cell::Real(number) => (*number).into(),
        Cell::Text(text) | Cell::Json(text) => (&**text).into(),
        Cell::Timestamp(micros) => time(*micros).map_or_else(|| (*micros).into(), Into::into),
        Cell::Date(days) => day(*days).map_or_else(|| (*days).into(), Into::into),
    };
    serde_json::Value::Array(key.iter().map(value).collect()).to_string()
}
