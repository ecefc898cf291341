//! How names, columns and values are written in SQLite's own terms.
//!
//! Names go through `quote` and nothing else; values are always bound, never put into SQL. SQLite converts
//! what does not fit a column's affinity without a word (the text `007` in an INTEGER column becomes 7), so a
//! cell that would be converted is refused here: see [`Binder`].

use std::sync::Arc;

use engine::schema::Kind;
use engine::target::{Cell, TargetTable};
use sqlx::Arguments;
use sqlx::sqlite::SqliteArguments;

use crate::sql::{self, cell_name, day, join, quote, time};

/// Rows per statement. A batch is cut into these, largest first, so that a handful of prepared statements serve
/// every batch.
///
/// Measured with 45 columns and 2 kB a row, 500 and 5,000 rows a transaction, release build, rows per second
/// inserted / overwritten: 64 rows a statement 48,000 / 125,000; 500 rows at most a tenth more, for eight times
/// the memory of a prepared statement (256 rows: three of them write a batch); one row 15,000 / 19,000; `json_each`
/// 21,000 / 28,000, and it would read floats through text.
const ROWS_PER_STATEMENT: [usize; 5] = [256, 64, 16, 4, 1];

/// Keys that are looked up by one statement at most: each is a branch of the statement's plan.
const MOST_KEYS: usize = 64;

/// How many values SQLite binds in one statement at most (`SQLITE_MAX_VARIABLE_NUMBER` as it is by default).
const MAX_BINDS: usize = 32_766;

/// How many columns a table may have (`SQLITE_MAX_COLUMN` as it is by default).
pub(super) const MAX_COLUMNS: usize = 2_000;

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
    sql::create_table(&quote(&table.name), table, declared_type)
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
        let deleted = sizes(table.key_columns).filter(|rows| *rows <= MOST_KEYS);
        Statements {
            upsert: sizes(table.columns.len()).map(|n| (n, upsert(table, leftovers, n).into())).collect(),
            delete: deleted.map(|n| (n, delete(table, n).into())).collect(),
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

fn upsert(table: &TargetTable, leftovers: &[String], rows: usize) -> String {
    let columns = join(table.columns.iter().map(|column| quote(&column.name)));
    let row = format!("({})", vec!["?"; table.columns.len()].join(","));
    let values = vec![row.as_str(); rows].join(",");
    let name = quote(&table.name);
    format!("INSERT INTO {name} ({columns}) VALUES {values} {}", sql::on_conflict(table, leftovers))
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

/// Binds the cells of rows, one row after the other.
#[derive(Debug, Default)]
pub(super) struct Binder {
    /// The last time of each column, spelled out: all rows of a batch are written at the same one, all of a page observed
    /// so.
    times: Vec<Option<(i64, Arc<str>)>>,
}

impl Binder {
    /// Binds all cells of a row or of a key, which fill the first `width` columns of `table`.
    pub(super) fn row(
        &mut self,
        arguments: &mut SqliteArguments,
        table: &TargetTable,
        width: usize,
        cells: &[Cell],
    ) -> Result<(), Unstorable> {
        if cells.len() != width {
            return Err(Unstorable::Width { cells: cells.len(), columns: width });
        }
        let mut columns = table.columns.iter().zip(cells).enumerate();
        columns.try_for_each(|(at, (column, cell))| self.cell(arguments, at, column.kind, cell))
    }

    /// Binds one cell for column `at`, which is of `kind`, if it is stored as it is.
    fn cell(
        &mut self,
        arguments: &mut SqliteArguments,
        at: usize,
        kind: Kind,
        cell: &Cell,
    ) -> Result<(), Unstorable> {
        let declared = declared_type(kind);
        let added = match (cell, declared) {
            (Cell::Null, _) => arguments.add(None::<i64>),
            (Cell::Boolean(flag), "INTEGER") => arguments.add(i64::from(*flag)),
            (Cell::Integer(number), "INTEGER") => arguments.add(*number),
            (Cell::Real(number), "REAL") if number.is_nan() => return Err(Unstorable::NotANumber),
            (Cell::Real(number), "REAL") => arguments.add(*number),
            (Cell::Text(text) | Cell::Json(text), "TEXT") => arguments.add(Arc::clone(text)),
            (Cell::Timestamp(micros), "TEXT") => arguments.add(self.time(at, *micros)?),
            (Cell::Date(days), "TEXT") => arguments.add(day(*days).ok_or(Unstorable::Day(*days))?),
            _ => return Err(Unstorable::Kind { cell: cell_name(cell), declared }),
        };
        added.map_err(|_| Unstorable::Driver)
    }

    /// A moment, as column `at` has it.
    fn time(&mut self, at: usize, micros: i64) -> Result<Arc<str>, Unstorable> {
        if let Some(Some((_, text))) =
            self.times.get(at).filter(|last| matches!(last, Some((at, _)) if *at == micros))
        {
            return Ok(Arc::clone(text));
        }
        let text: Arc<str> = time(micros).ok_or(Unstorable::Time(micros))?.into();
        if self.times.len() <= at {
            self.times.resize(at.saturating_add(1), None);
        }
        if let Some(last) = self.times.get_mut(at) {
            *last = Some((micros, Arc::clone(&text)));
        }
        Ok(text)
    }
}
