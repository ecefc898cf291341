//! How the rows of a batch get into a table.

use engine::target::{Effect, TableBatch, TargetTable};
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, AssertSqlSafe, SqliteConnection};

use super::encode::{self, Binder, Statements, Unstorable};
use crate::fault::Fault;
use crate::sql::{quote, time};

/// Deletes and writes the rows of `batch`; says what that did.
pub(super) async fn write_table(
    connection: &mut SqliteConnection,
    table: &TargetTable,
    statements: &Statements,
    batch: &TableBatch,
) -> Result<Effect, Fault> {
    let (mut effect, mut binder) = (Effect::default(), Binder::default());
    for (statement, keys) in encode::pieces(&statements.delete, &batch.deletes) {
        let mut arguments = SqliteArguments::default();
        if table.deleted_at.is_some() {
            let now = time(batch.now).ok_or(Unstorable::Time(batch.now))?;
            arguments.add(now.as_str()).map_err(|_| Unstorable::Driver)?;
            arguments.add(now).map_err(|_| Unstorable::Driver)?;
        }
        for key in keys {
            binder.row(&mut arguments, table, table.key_columns, key)?;
        }
        let done =
            sqlx::query_with(AssertSqlSafe(statement.clone()), arguments).execute(&mut *connection).await?;
        effect.deleted = effect.deleted.saturating_add(done.rows_affected());
    }
    if batch.upserts.is_empty() {
        return Ok(effect);
    }
    // New rows get row numbers after the largest one.
    let name = quote(&table.name);
    let largest: i64 =
        sqlx::query_scalar(AssertSqlSafe(format!("SELECT coalesce(max(rowid), 0) FROM {name}")))
            .fetch_one(&mut *connection)
            .await?;
    let mut bound = encode::pieces(&statements.upsert, &batch.upserts).map(|(statement, rows)| {
        let mut arguments = SqliteArguments::default();
        arguments.reserve(rows.len().saturating_mul(table.columns.len()), 0);
        rows.iter().try_for_each(|row| binder.row(&mut arguments, table, table.columns.len(), row))?;
        Ok::<_, Fault>(sqlx::query_with(AssertSqlSafe(statement.clone()), arguments))
    });
    let mut next = bound.next();
    while let Some(upsert) = next {
        // The next rows are bound while the driver's thread writes these.
        let (written, after) = futures::join!(upsert?.execute(&mut *connection), async { bound.next() });
        written?;
        next = after;
    }
    let inserted: i64 =
        sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {name} WHERE rowid > ?")))
            .bind(largest)
            .fetch_one(&mut *connection)
            .await?;
    effect.inserted = u64::try_from(inserted).unwrap_or(0);
    Ok(effect)
}
