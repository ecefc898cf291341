//! Rows that are aside: `_tributary_aside`. As in `bookkeeping`, every function works inside a transaction of its caller.

use engine::target::{Owned, TableBatch};
use sqlx::SqliteConnection;

use super::bookkeeping::now;
use crate::fault::Fault;
use crate::sql::{key_json, project_prefix};

/// How many rows the task has put aside.
pub(super) async fn count(connection: &mut SqliteConnection, task: &str) -> Result<u64, Fault> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM _tributary_aside WHERE task = ?")
        .bind(task)
        .fetch_one(connection)
        .await?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// How many rows of each of its tables the task has put aside.
pub(super) async fn counts(
    connection: &mut SqliteConnection,
    task: &str,
) -> Result<Vec<(String, i64)>, Fault> {
    let counts = "SELECT table_name, count(*) FROM _tributary_aside WHERE task = ? GROUP BY table_name";
    Ok(sqlx::query_as(counts).bind(task).fetch_all(connection).await?)
}

/// Names a row that cannot be stored, or not be deleted.
pub(super) async fn put(
    connection: &mut SqliteConnection,
    task: &str,
    table: &str,
    key: &str,
    reason: &str,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO _tributary_aside (task, table_name, key, reason, at) VALUES (?, ?, ?, ?, ?) \
         ON CONFLICT (task, table_name, key) DO UPDATE SET reason = excluded.reason, at = excluded.at",
    )
    .bind(task)
    .bind(table)
    .bind(key)
    .bind(reason)
    .bind(now())
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets those rows that a batch writes or deletes.
pub(super) async fn settle(
    connection: &mut SqliteConnection,
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
    sqlx::query(
        "DELETE FROM _tributary_aside WHERE task = ? AND table_name = ? AND key IN (SELECT value FROM json_each(?))",
    )
    .bind(task)
    .bind(table)
    .bind(serde_json::Value::from(keys).to_string())
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets the rows of a project.
pub(super) async fn forget(
    connection: &mut SqliteConnection,
    task: &str,
    owned: &Owned,
) -> Result<(), Fault> {
    sqlx::query("DELETE FROM _tributary_aside WHERE task = ?1 AND substr(key, 1, length(?2)) = ?2")
        .bind(task)
        .bind(project_prefix(owned))
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets all rows: they are about to be written anew.
pub(super) async fn clear(connection: &mut SqliteConnection, task: &str) -> Result<(), Fault> {
    sqlx::query("DELETE FROM _tributary_aside WHERE task = ?").bind(task).execute(connection).await?;
    Ok(())
}
