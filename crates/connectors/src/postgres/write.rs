//! How the rows of a batch get into a table.

use engine::schema::Kind;
use engine::target::{Cell, Effect, TableBatch, TargetTable};
use sqlx::postgres::PgArguments;
use sqlx::{Acquire as _, Arguments as _, AssertSqlSafe, PgConnection};

use super::encode::{self, Array, Single, Statements, Unstorable};
use super::fault::{NO_FEATURE, THERE_ALREADY, code};
use crate::fault::Fault;

/// From so many rows on, new ones are copied straight into the table.
///
/// Measured with 45 columns and 2 kB a row (`tests/speed.rs`; PostgreSQL 15, two busy cores), CPU of the server in µs
/// a row, merged / copied: 20 rows a batch 34 / 38, 100 rows 17 / 16, 500 rows 16 / 12, 2,000 rows 22 / 10. Our own
/// part is 2 to 3 in both ways.
pub(super) const COPIED_ROWS: usize = 200;

/// Rows merged by one statement: with 2,000 the arrays outgrow the server's working memory.
///
/// Measured in the same way, inserted / overwritten: 100 rows 17 / 22, 500 rows 16 / 21, 2,000 rows 22 / 20. Copying
/// into a temporary table and merging from there took 23 / 28, 16 / 20 and 15 / 18: no gain that is worth a second
/// path, and one that would depend on the session.
const MERGED_ROWS: usize = 500;

/// A copy is sent in pieces of so many bytes: the driver keeps a second copy of each.
const PIECE: usize = 256 << 10;

/// Deletes and writes the rows of `batch`; says what that did. New rows are copied where that `is_prompt`.
pub(super) async fn write_table(
    connection: &mut PgConnection,
    table: &TargetTable,
    statements: &Statements,
    batch: &TableBatch,
    is_prompt: bool,
) -> Result<Effect, Fault> {
    let deleted = delete(connection, table, statements, batch).await?;
    encode::fits(&batch.upserts, table.columns.len())?;
    let rows = batch.upserts.as_slice();
    let copied = batch.new && is_prompt && rows.len() >= COPIED_ROWS;
    if copied && copy(connection, table, statements, rows).await? {
        return Ok(Effect { inserted: u64::try_from(rows.len()).unwrap_or(u64::MAX), deleted });
    }
    Ok(Effect { inserted: merge(connection, table, statements, rows).await?, deleted })
}

async fn delete(
    connection: &mut PgConnection,
    table: &TargetTable,
    statements: &Statements,
    batch: &TableBatch,
) -> Result<u64, Fault> {
    if batch.deletes.is_empty() {
        return Ok(0);
    }
    encode::fits(&batch.deletes, table.key_columns)?;
    let mut arguments = arrays(table, table.key_columns, &batch.deletes)?;
    if table.deleted_at.is_some() {
        let now = Single(Kind::Timestamp, Cell::Timestamp(batch.now));
        arguments.add(now).map_err(unstorable)?;
    }
    let sql = AssertSqlSafe(statements.delete.clone());
    Ok(sqlx::query_with(sql, arguments).persistent(false).execute(connection).await?.rows_affected())
}

/// Copies rows straight into the table. `false` when one of them is there already, or when the table cannot be copied
/// into, as under row level security: then nothing was done.
async fn copy(
    connection: &mut PgConnection,
    table: &TargetTable,
    statements: &Statements,
    rows: &[Vec<Cell>],
) -> Result<bool, Fault> {
    // All of it beforehand: a value that cannot be stored shall not end a copy in its middle.
    let data = encode::copy_data(table, rows)?;
    let mut savepoint = connection.begin().await?;
    let copied = async {
        let mut copy = savepoint.copy_in_raw(&statements.copy).await?;
        for piece in data.chunks(PIECE) {
            copy.send(piece).await?;
        }
        copy.finish().await
    };
    match copied.await {
        Ok(_) => {
            savepoint.commit().await?;
            Ok(true)
        }
        Err(error) if matches!(code(&error).as_deref(), Some(THERE_ALREADY | NO_FEATURE)) => {
            savepoint.rollback().await?;
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Inserts or overwrites rows; says how many were not there before.
async fn merge(
    connection: &mut PgConnection,
    table: &TargetTable,
    statements: &Statements,
    rows: &[Vec<Cell>],
) -> Result<u64, Fault> {
    let mut inserted = 0_u64;
    for rows in rows.chunks(MERGED_ROWS) {
        let arguments = arrays(table, table.columns.len(), rows)?;
        let sql = AssertSqlSafe(statements.merge.clone());
        let new: i64 =
            sqlx::query_scalar_with(sql, arguments).persistent(false).fetch_one(&mut *connection).await?;
        inserted = inserted.saturating_add(u64::try_from(new).unwrap_or(0));
    }
    Ok(inserted)
}

/// The first `width` columns of rows, or of keys, as parameters.
fn arrays(table: &TargetTable, width: usize, rows: &[Vec<Cell>]) -> Result<PgArguments, Fault> {
    let mut arguments = PgArguments::default();
    for (at, column) in table.columns.iter().enumerate().take(width) {
        arguments.add(Array { rows, at, kind: column.kind }).map_err(unstorable)?;
    }
    Ok(arguments)
}

fn unstorable(error: sqlx::error::BoxDynError) -> Fault {
    match error.downcast::<Unstorable>() {
        Ok(unstorable) => (*unstorable).into(),
        Err(other) => sqlx::Error::Encode(other).into(),
    }
}
