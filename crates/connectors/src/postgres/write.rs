//! How the rows of a batch get into a table.

use engine::schema::Kind;
use engine::target::{Cell, Effect, TableBatch, TargetTable};
use sqlx::postgres::PgArguments;
use sqlx::{Acquire as _, Arguments as _, AssertSqlSafe, PgConnection};

use super::encode::{self, Array, Single, Statements, Unstorable};
use crate::fault::Fault;

/// From so many rows on, new ones are copied.
pub(super) const COPIED_ROWS: usize = 50;

/// A copy is sent in pieces of so many bytes: the driver keeps a second copy of each.
const PIECE: usize = 256 << 10;

/// Deletes and writes the rows of `batch`; says what that did.
pub(super) async fn write_table(
    connection: &mut PgConnection,
    table: &TargetTable,
    statements: &Statements,
    batch: &TableBatch,
) -> Result<Effect, Fault> {
    let deleted = delete(connection, table, statements, batch).await?;
    encode::fits(&batch.upserts, table.columns.len())?;
    let rows = batch.upserts.as_slice();
    if batch.new && rows.len() >= COPIED_ROWS && copy(connection, table, statements, rows).await? {
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
    Ok(sqlx::query_with(sql, arguments).execute(connection).await?.rows_affected())
}

/// Copies rows straight into the table. `false` when one of them is there already: then nothing was done.
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
        Err(error) if error.as_database_error().is_some_and(|error| error.is_unique_violation()) => {
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
    if rows.is_empty() {
        return Ok(0);
    }
    let arguments = arrays(table, table.columns.len(), rows)?;
    let sql = AssertSqlSafe(statements.merge.clone());
    let inserted: i64 = sqlx::query_scalar_with(sql, arguments).fetch_one(connection).await?;
    Ok(u64::try_from(inserted).unwrap_or(0))
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
