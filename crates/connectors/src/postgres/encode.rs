//! How names, columns and values are written in PostgreSQL's own terms.
//!
//! Names go through `quote` and nothing else; values travel in PostgreSQL's binary format, the same bytes for COPY
//! and for the arrays of a statement, so that nothing is read through text. A cell that its column would not hold as
//! it is, is refused here: see [`put`].

use std::sync::Arc;

use engine::schema::Kind;
use engine::target::{Cell, TargetTable};
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo};
use sqlx::{Postgres, Type};

use super::config::Validated;
use crate::sql::{self, cell_name, join, quote};

/// How many columns a table may have.
pub(super) const MAX_COLUMNS: usize = 1_600;

/// The declared type of a column, as PostgreSQL itself writes it.
pub(super) fn declared_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Integer => "bigint",
        Kind::Real => "double precision",
        Kind::Boolean => "boolean",
        Kind::Json => "jsonb",
        Kind::Timestamp => "timestamp with time zone",
        Kind::Date => "date",
    }
}

/// The declared type that has this number; `None` for one that no column of ours has.
pub(super) fn type_of(oid: u32) -> Option<&'static str> {
    let kinds =
        [Kind::Text, Kind::Integer, Kind::Real, Kind::Boolean, Kind::Json, Kind::Timestamp, Kind::Date];
    kinds.into_iter().find(|kind| oids(*kind).0 == oid).map(declared_type)
}

/// The numbers of a type and of its arrays. They are the same in every database.
fn oids(kind: Kind) -> (u32, u32) {
    match kind {
        Kind::Text => (25, 1009),
        Kind::Integer => (20, 1016),
        Kind::Real => (701, 1022),
        Kind::Boolean => (16, 1000),
        Kind::Json => (3802, 3807),
        Kind::Timestamp => (1184, 1185),
        Kind::Date => (1082, 1182),
    }
}

/// The statement that adds a column.
pub(super) fn add_column(place: &Validated, table: &str, column: &str, kind: Kind) -> String {
    format!("ALTER TABLE {} ADD COLUMN {} {}", place.name(table), quote(column), declared_type(kind))
}

/// The statements that write a table.
#[derive(Clone, Debug)]
pub(super) struct Statements {
    /// Takes rows that are not there yet, in binary.
    pub(super) copy: Arc<str>,
    /// Inserts or overwrites; one array for each column. Counts what it inserted.
    pub(super) merge: Arc<str>,
    /// Deletes, or marks as deleted; one array for each column of the key, then, for the latter, the time.
    pub(super) delete: Arc<str>,
}

impl Statements {
    /// The statements of `table`. `leftovers` are columns of the table that the plan does not know: an
    /// overwritten row has none of their old values.
    pub(super) fn of(place: &Validated, table: &TargetTable, leftovers: &[String]) -> Statements {
        let name = &place.name(&table.name);
        let columns = join(table.columns.iter().map(|column| quote(&column.name)));
        Statements {
            copy: format!("COPY {name} ({columns}) FROM STDIN (FORMAT binary)").into(),
            merge: merge(name, table, &columns, leftovers).into(),
            delete: delete(name, table).into(),
        }
    }
}

fn merge(name: &str, table: &TargetTable, columns: &str, leftovers: &[String]) -> String {
    // A row that was there has been locked by its own overwriting; a new one has not.
    format!(
        "WITH merged AS (INSERT INTO {name} ({columns}) SELECT * FROM unnest({}) {} RETURNING xmax = 0 AS new) \
         SELECT count(*) FROM merged WHERE new",
        arrays(table, table.columns.len()),
        sql::on_conflict(table, leftovers)
    )
}

fn delete(name: &str, table: &TargetTable) -> String {
    let named = join(table.columns.iter().take(table.key_columns).map(|column| quote(&column.name)));
    let gone = format!("unnest({}) AS gone ({named})", arrays(table, table.key_columns));
    let keys = table.columns.iter().take(table.key_columns).map(|column| {
        let column = quote(&column.name);
        format!("own.{column} = gone.{column}")
    });
    let is_it = keys.collect::<Vec<_>>().join(" AND ");
    match table.deleted_at.and_then(|at| table.columns.get(at)) {
        None => format!("DELETE FROM {name} AS own USING {gone} WHERE {is_it}"),
        Some(deleted_at) => {
            let deleted_at = quote(&deleted_at.name);
            let synced_at = table.columns.get(table.synced_at).map(|column| quote(&column.name));
            let synced_at = synced_at.unwrap_or_else(|| deleted_at.clone());
            let time = table.key_columns.saturating_add(1);
            format!(
                "UPDATE {name} AS own SET {deleted_at} = ${time}, {synced_at} = ${time} FROM {gone} \
                 WHERE {is_it} AND own.{deleted_at} IS NULL"
            )
        }
    }
}

/// The first `width` columns of `table` as parameters that are arrays.
fn arrays(table: &TargetTable, width: usize) -> String {
    let array = |(number, column): (usize, &engine::target::Column)| {
        format!("${number}::{}[]", declared_type(column.kind))
    };
    join((1..).zip(table.columns.iter().take(width)).map(array))
}

/// A cell that PostgreSQL cannot store as it is.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Unstorable {
    /// The column is of another type.
    #[error("a {cell} does not fit a column of type {declared}")]
    Kind { cell: &'static str, declared: &'static str },
    /// Texts end with it inside of PostgreSQL.
    #[error("PostgreSQL cannot store the character U+0000")]
    Nul,
    /// The calendar of PostgreSQL does not reach that far.
    #[error("the time {0} µs is outside of the years -4713 to 294276")]
    Time(i64),
    /// The calendar of PostgreSQL does not reach that far.
    #[error("the day {0} is outside of the years -4713 to 5874897")]
    Day(i32),
    /// More than a message to the server holds.
    #[error("a value of {0} bytes is too long")]
    Long(usize),
    /// Too few or too many cells.
    #[error("{cells} cells for {columns} columns")]
    Width { cells: usize, columns: usize },
}

/// Refuses rows, or keys, that do not fill just the first `width` columns.
pub(super) fn fits(rows: &[Vec<Cell>], width: usize) -> Result<(), Unstorable> {
    match rows.iter().find(|cells| cells.len() != width) {
        None => Ok(()),
        Some(cells) => Err(Unstorable::Width { cells: cells.len(), columns: width }),
    }
}

/// Rows as COPY takes them.
pub(super) fn copy_data(table: &TargetTable, rows: &[Vec<Cell>]) -> Result<Vec<u8>, Unstorable> {
    let width = table.columns.len();
    let fields = i16::try_from(width).map_err(|_| Unstorable::Width { cells: width, columns: width })?;
    let head = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
    // Megabytes that grew by doubling would take twice as many.
    let length = |cells: &Vec<Cell>| 2 + cells.iter().map(|cell| 4 + size(cell)).sum::<usize>();
    let mut data = Vec::with_capacity(head.len() + rows.iter().map(length).sum::<usize>() + 2);
    data.extend_from_slice(head);
    for row in rows {
        data.extend(fields.to_be_bytes());
        for (column, cell) in table.columns.iter().zip(row) {
            put(&mut data, column.kind, cell)?;
        }
    }
    data.extend((-1_i16).to_be_bytes());
    Ok(data)
}

/// One column of many rows, as an array.
pub(super) struct Array<'r> {
    pub(super) rows: &'r [Vec<Cell>],
    pub(super) at: usize,
    pub(super) kind: Kind,
}

impl Encode<'_, Postgres> for Array<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let (element, _) = oids(self.kind);
        // One dimension, NULLs may be among the elements; the type, how many, counted from 1.
        buffer.extend(1_i32.to_be_bytes());
        buffer.extend(1_i32.to_be_bytes());
        buffer.extend(element.to_be_bytes());
        buffer.extend(length(self.rows.len())?.to_be_bytes());
        buffer.extend(1_i32.to_be_bytes());
        for row in self.rows {
            put(buffer, self.kind, row.get(self.at).unwrap_or(&Cell::Null))?;
        }
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        let (_, array) = oids(self.kind);
        Some(PgTypeInfo::with_oid(Oid(array)))
    }
}

impl Type<Postgres> for Array<'_> {
    /// Never asked: [`Array::produces`] knows better.
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(0))
    }
}

/// One cell, as a parameter.
pub(super) struct Single(pub(super) Kind, pub(super) Cell);

impl Encode<'_, Postgres> for Single {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        put_value(buffer, self.0, &self.1)?;
        Ok(if self.1 == Cell::Null { IsNull::Yes } else { IsNull::No })
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(oids(self.0).0)))
    }
}

impl Type<Postgres> for Single {
    /// Never asked: [`Single::produces`] knows better.
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(0))
    }
}

/// Writes a cell for a column of `kind`, with its length before it; NULL has the length -1.
fn put(buffer: &mut Vec<u8>, kind: Kind, cell: &Cell) -> Result<(), Unstorable> {
    if *cell == Cell::Null {
        buffer.extend((-1_i32).to_be_bytes());
        return Ok(());
    }
    buffer.extend(length(size(cell))?.to_be_bytes());
    put_value(buffer, kind, cell)
}

/// How many bytes [`put_value`] writes.
fn size(cell: &Cell) -> usize {
    match cell {
        Cell::Null => 0,
        Cell::Boolean(_) => 1,
        Cell::Date(_) => 4,
        Cell::Integer(_) | Cell::Real(_) | Cell::Timestamp(_) => 8,
        Cell::Text(text) => text.len(),
        Cell::Json(text) => text.len().saturating_add(1),
    }
}

fn put_value(buffer: &mut Vec<u8>, kind: Kind, cell: &Cell) -> Result<(), Unstorable> {
    match (cell, kind) {
        (Cell::Null, _) => {}
        (Cell::Boolean(flag), Kind::Boolean) => buffer.push(u8::from(*flag)),
        (Cell::Integer(number), Kind::Integer) => buffer.extend(number.to_be_bytes()),
        (Cell::Real(number), Kind::Real) => buffer.extend(number.to_be_bytes()),
        (Cell::Text(text), Kind::Text) => buffer.extend_from_slice(without_nul(text)?),
        (Cell::Json(text), Kind::Json) => {
            // The version of jsonb's binary format; the text follows.
            buffer.push(1);
            buffer.extend_from_slice(without_nul(text)?);
        }
        (Cell::Timestamp(micros), Kind::Timestamp) => buffer.extend(time(*micros)?.to_be_bytes()),
        (Cell::Date(days), Kind::Date) => buffer.extend(day(*days)?.to_be_bytes()),
        _ => {
            let declared = declared_type(kind);
            return Err(Unstorable::Kind { cell: cell_name(cell), declared });
        }
    }
    Ok(())
}

/// The cell that a value of a column of `kind` was written from; JSON comes as its text. `None` when it is cut short.
pub(super) fn cell_of(kind: Kind, bytes: &[u8]) -> Option<Cell> {
    let text = || Arc::from(String::from_utf8_lossy(bytes));
    Some(match kind {
        Kind::Text => Cell::Text(text()),
        Kind::Json => Cell::Json(text()),
        Kind::Integer => Cell::Integer(i64::from_be_bytes(bytes.try_into().ok()?)),
        Kind::Real => Cell::Real(f64::from_be_bytes(bytes.try_into().ok()?)),
        Kind::Boolean => Cell::Boolean(*bytes.first()? != 0),
        // The ends of the range mean infinity.
        Kind::Timestamp => {
            Cell::Timestamp(i64::from_be_bytes(bytes.try_into().ok()?).saturating_add(TIME_EPOCH))
        }
        Kind::Date => Cell::Date(i32::from_be_bytes(bytes.try_into().ok()?).saturating_add(DAY_EPOCH)),
    })
}

/// From 1970 to 2000, in microseconds.
const TIME_EPOCH: i64 = 946_684_800_000_000;
/// From 1970 to 2000, in days.
const DAY_EPOCH: i32 = 10_957;

fn length(bytes: usize) -> Result<i32, Unstorable> {
    i32::try_from(bytes).map_err(|_| Unstorable::Long(bytes))
}

fn without_nul(text: &str) -> Result<&[u8], Unstorable> {
    let bytes = text.as_bytes();
    if bytes.contains(&0) { Err(Unstorable::Nul) } else { Ok(bytes) }
}

/// Microseconds since 2000. The ends of the range of numbers mean infinity, so the range of times is kept here.
fn time(micros: i64) -> Result<i64, Unstorable> {
    /// From the beginning of Julian days, up to the year 294277.
    const TIMES: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;
    micros.checked_sub(TIME_EPOCH).filter(|time| TIMES.contains(time)).ok_or(Unstorable::Time(micros))
}

/// Days since 2000, in the same way.
fn day(days: i32) -> Result<i32, Unstorable> {
    /// From the beginning of Julian days, up to the year 5874898.
    const DAYS: std::ops::Range<i32> = -2_451_545..2_145_031_949;
    days.checked_sub(DAY_EPOCH).filter(|day| DAYS.contains(day)).ok_or(Unstorable::Day(days))
}
