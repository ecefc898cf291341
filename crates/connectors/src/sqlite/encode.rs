//! How names, columns and values are written in SQLite's own terms.
//!
//! Names go through [`quote`] and nothing else; values are always bound, never put into SQL. SQLite converts
//! what does not fit a column's affinity without a word (the text `007` in an INTEGER column becomes 7), so a
//! cell that would be converted is refused here: see [`bind`].

use std::sync::Arc;

use engine::schema::Kind;
use engine::target::{Cell, TargetTable};
use jiff::civil::Date;
use jiff::{Span, Timestamp};
use sqlx::Arguments;
use sqlx::sqlite::SqliteArguments;

/// Rows per statement. A batch is cut into these, largest first, so that a handful of prepared statements serve
/// every batch.
///
/// Measured with 45 columns and 2 kB a row, 500 and 5,000 rows a transaction, release build, rows per second
/// inserted / overwritten: 64 rows a statement 48,000 / 125,000; 500 rows at most a tenth more, for eight times
/// the memory of a prepared statement; one row 15,000 / 19,000; `json_each` 21,000 / 28,000, and it would read
/// floats through text.
const ROWS_PER_STATEMENT: [usize; 4] = [64, 16, 4, 1];

/// How many values SQLite binds in one statement at most (`SQLITE_MAX_VARIABLE_NUMBER` as it is by default).
const MAX_BINDS: usize = 32_766;

/// `name` as an identifier.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The declared type of a column. JSON and times are TEXT: a type called JSON or TIMESTAMP would have numeric
/// affinity, which turns the text `5` into a number.
pub(super) fn declared_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Json | Kind::Timestamp | Kind::Date => "TEXT",
        Kind::Integer | Kind::Boolean => "INTEGER",
        Kind::Real => "REAL",
    }
}

/// The statement that makes `table`. A table with a rowid: rows of kilobytes make an index-organised one slow.
pub(super) fn create_table(table: &TargetTable) -> String {
    let column = |(at, column): (usize, &engine::target::Column)| {
        let not_null = if at < table.key_columns { " NOT NULL" } else { "" };
        format!("{} {}{not_null}", quote(&column.name), declared_type(column.kind))
    };
    let columns: Vec<String> = table.columns.iter().enumerate().map(column).collect();
    format!("CREATE TABLE {} ({}, PRIMARY KEY ({}))", quote(&table.name), columns.join(", "), keys(table))
}

/// The statement that adds a column.
pub(super) fn add_column(table: &str, column: &str, kind: Kind) -> String {
    format!("ALTER TABLE {} ADD COLUMN {} {}", quote(table), quote(column), declared_type(kind))
}

/// The statements that write a table, each for a fixed number of rows, largest first.
#[derive(Clone, Debug)]
pub(super) struct Statements {
    /// Insert or overwrite.
    pub(super) upsert: Vec<(usize, Arc<str>)>,
    /// Delete, or mark as deleted. The latter begins with two binds of its own: `deleted_at`, `synced_at`.
    pub(super) delete: Vec<(usize, Arc<str>)>,
}

impl Statements {
    /// The statements of `table`. `leftovers` are columns of the table that the plan does not know: an
    /// overwritten row has none of their old values.
    pub(super) fn of(table: &TargetTable, leftovers: &[String]) -> Statements {
        let sizes = |binds_per_row: usize| {
            let fits = move |rows: &usize| *rows == 1 || rows.saturating_mul(binds_per_row) <= MAX_BINDS - 2;
            ROWS_PER_STATEMENT.into_iter().filter(fits)
        };
        Statements {
            upsert: sizes(table.columns.len()).map(|n| (n, upsert(table, leftovers, n).into())).collect(),
            delete: sizes(table.key_columns).map(|n| (n, delete(table, n).into())).collect(),
        }
    }
}

/// Cuts `rows` into pieces for which there is a statement.
pub(super) fn pieces<'a, R>(
    statements: &'a [(usize, Arc<str>)],
    rows: &'a [R],
) -> impl Iterator<Item = (&'a Arc<str>, &'a [R])> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let (size, statement) = statements.iter().find(|(size, _)| *size <= rest.len())?;
        let (piece, after) = rest.split_at_checked(*size).filter(|(piece, _)| !piece.is_empty())?;
        rest = after;
        Some((statement, piece))
    })
}

fn keys(table: &TargetTable) -> String {
    join(table.columns.iter().take(table.key_columns).map(|column| quote(&column.name)))
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

fn upsert(table: &TargetTable, leftovers: &[String], rows: usize) -> String {
    let columns = join(table.columns.iter().map(|column| quote(&column.name)));
    let row = format!("({})", vec!["?"; table.columns.len()].join(","));
    let values = vec![row.as_str(); rows].join(",");
    let overwrite = table.columns.iter().skip(table.key_columns).map(|column| {
        let name = quote(&column.name);
        format!("{name} = excluded.{name}")
    });
    let clear = leftovers.iter().map(|name| format!("{} = NULL", quote(name)));
    let set = join(overwrite.chain(clear));
    let action = if set.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {set}") };
    let (name, keys) = (quote(&table.name), keys(table));
    format!("INSERT INTO {name} ({columns}) VALUES {values} ON CONFLICT ({keys}) DO {action}")
}

fn delete(table: &TargetTable, rows: usize) -> String {
    let equal = |column: &engine::target::Column| format!("{} = ?", quote(&column.name));
    let key = table.columns.iter().take(table.key_columns).map(equal).collect::<Vec<_>>().join(" AND ");
    // A chain of ORs is looked up key by key in the primary key; `(a, b, c) IN (VALUES …)` would scan the table.
    let any = vec![format!("({key})"); rows].join(" OR ");
    let name = quote(&table.name);
    match table.deleted_at.and_then(|at| table.columns.get(at)) {
        None => format!("DELETE FROM {name} WHERE {any}"),
        Some(deleted_at) => {
            let deleted_at = quote(&deleted_at.name);
            let synced_at = table.columns.get(table.synced_at).map(|column| quote(&column.name));
            let synced_at = synced_at.unwrap_or_else(|| deleted_at.clone());
            format!(
                "UPDATE {name} SET {deleted_at} = ?, {synced_at} = ? WHERE ({any}) AND {deleted_at} IS NULL"
            )
        }
    }
}

/// A cell that SQLite cannot store as it is.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Unstorable {
    /// The value would be converted.
    #[error("a {cell} does not fit a column of type {declared}")]
    Kind { cell: &'static str, declared: &'static str },
    /// SQLite stores NaN as NULL.
    #[error("SQLite has no NaN")]
    NotANumber,
    /// No calendar reaches that far.
    #[error("the time {0} µs is outside of the years -9999 to 9999")]
    Time(i64),
    /// No calendar reaches that far.
    #[error("the day {0} is outside of the years -9999 to 9999")]
    Day(i32),
    /// Too few or too many cells.
    #[error("{cells} cells for {columns} columns")]
    Width { cells: usize, columns: usize },
    /// More than a driver takes.
    #[error("the driver refused a value")]
    Driver,
}

/// Binds all cells of a row or of a key, which fill the first `width` columns of `table`.
pub(super) fn bind_row(
    arguments: &mut SqliteArguments,
    table: &TargetTable,
    width: usize,
    cells: &[Cell],
) -> Result<(), Unstorable> {
    if cells.len() != width {
        return Err(Unstorable::Width { cells: cells.len(), columns: width });
    }
    table.columns.iter().zip(cells).try_for_each(|(column, cell)| bind(arguments, column.kind, cell))
}

/// Binds one cell for a column of `kind`, if it is stored as it is.
pub(super) fn bind(arguments: &mut SqliteArguments, kind: Kind, cell: &Cell) -> Result<(), Unstorable> {
    let declared = declared_type(kind);
    let wrong = |cell| Err(Unstorable::Kind { cell, declared });
    let added = match (cell, declared) {
        (Cell::Null, _) => arguments.add(None::<i64>),
        (Cell::Boolean(flag), "INTEGER") => arguments.add(i64::from(*flag)),
        (Cell::Integer(number), "INTEGER") => arguments.add(*number),
        (Cell::Real(number), "REAL") if number.is_nan() => return Err(Unstorable::NotANumber),
        (Cell::Real(number), "REAL") => arguments.add(*number),
        (Cell::Text(text) | Cell::Json(text), "TEXT") => arguments.add(text.as_str()),
        (Cell::Timestamp(micros), "TEXT") => arguments.add(time(*micros).ok_or(Unstorable::Time(*micros))?),
        (Cell::Date(days), "TEXT") => arguments.add(day(*days).ok_or(Unstorable::Day(*days))?),
        (Cell::Boolean(_), _) => return wrong("boolean"),
        (Cell::Integer(_), _) => return wrong("integer"),
        (Cell::Real(_), _) => return wrong("float"),
        (Cell::Text(_), _) => return wrong("text"),
        (Cell::Json(_), _) => return wrong("JSON value"),
        (Cell::Timestamp(_), _) => return wrong("time"),
        (Cell::Date(_), _) => return wrong("day"),
    };
    added.map_err(|_| Unstorable::Driver)
}

/// A moment as RFC 3339 in UTC, always with six digits, so that texts sort as times do.
pub(super) fn time(micros: i64) -> Option<String> {
    Timestamp::from_microsecond(micros).ok().map(|moment| format!("{moment:.6}"))
}

/// A day as ISO 8601 has it.
pub(super) fn day(days: i32) -> Option<String> {
    let day = Date::constant(1970, 1, 1).checked_add(Span::new().try_days(days).ok()?).ok()?;
    Some(day.to_string())
}

/// A key as a JSON list.
pub(super) fn key_json(key: &[Cell]) -> String {
    let value = |cell: &Cell| match cell {
        Cell::Null => serde_json::Value::Null,
        Cell::Boolean(flag) => (*flag).into(),
        Cell::Integer(number) => (*number).into(),
        Cell::Real(number) => (*number).into(),
        Cell::Text(text) | Cell::Json(text) => text.as_str().into(),
        Cell::Timestamp(micros) => time(*micros).map_or_else(|| (*micros).into(), Into::into),
        Cell::Date(days) => day(*days).map_or_else(|| (*days).into(), Into::into),
    };
    serde_json::Value::Array(key.iter().map(value).collect()).to_string()
}
