//! Rows that are aside: `_tributary_aside`. As in `bookkeeping`, every function works inside a transaction of its caller.

use engine::target::{Owned, TableBatch};
use sqlx::PgConnection;

use super::config::Validated;
use super::statement::{query, query_as, query_scalar};
use crate::fault::Fault;
use crate::sql::{key_json, project_prefix};

/// How many rows the task has put aside.
pub(super) async fn count(
    connection: &mut PgConnection,
    place: &Validated,
    task: &str,
) -> Result<u64, Fault> {
    let count: i64 = query_scalar(place.sql("SELECT count(*) FROM _tributary_aside WHERE task = $1"))
        .bind(task)
        .fetch_one(connection)
        .await?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// How many rows of each of its tables the task has put aside.
pub(super) async fn counts(
    connection: &mut PgConnection,
    place: &Validated,
    task: &str,
) -> Result<Vec<(String, i64)>, Fault> {
    let counts = "SELECT table_name, count(*) FROM _tributary_aside WHERE task = $1 GROUP BY table_name";
    Ok(query_as(place.sql(counts)).bind(task).fetch_all(connection).await?)
}

/// Names a row that cannot be stored, or not be deleted.
pub(super) async fn put(
    connection: &mut PgConnection,
    place: &Validated,
    task: &str,
    table: &str,
    key: &str,
    reason: &str,
) -> Result<(), Fault> {
    query(place.sql(
        "INSERT INTO _tributary_aside (task, table_name, key, reason, at) VALUES ($1, $2, $3, $4, now()) \
         ON CONFLICT (task, table_name, key) DO UPDATE SET reason = excluded.reason, at = excluded.at",
    ))
    .bind(task)
    .bind(table)
    .bind(key)
    .bind(reason)
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets those rows that a batch writes or deletes.
pub(super) async fn settle(
    connection: &mut PgConnection,
    place: &Validated,
    task: &str,
    table: &str,
    key_columns: usize,
    batch: &TableBatch,
) -> Result<(), Fault> {
    let rows = batch.upserts.iter().chain(&batch.deletes);
    let keys: Vec<String> = rows.filter_map(|row| row.get(..key_columns)).map(key_json).collect();
    if keys.is_empty() {
        return Ok(());
    }
    query(place.sql("DELETE FROM _tributary_aside WHERE task = $1 AND table_name = $2 AND key = ANY($3)"))
        .bind(task)
        .bind(table)
        .bind(keys)
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets the rows of a project.
pub(super) async fn forget(
    connection: &mut PgConnection,
    place: &Validated,
    task: &str,
    owned: &Owned,
) -> Result<(), Fault> {
    query(place.sql("DELETE FROM _tributary_aside WHERE task = $1 AND starts_with(key, $2)"))
        .bind(task)
        .bind(project_prefix(owned))
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets all rows: they are about to be written anew.
pub(super) async fn clear(connection: &mut PgConnection, place: &Validated, task: &str) -> Result<(), Fault> {
    query(place.sql("DELETE FROM _tributary_aside WHERE task = $1")).bind(task).execute(connection).await?;
    Ok(())
}
