//! What the databases themselves can do: the issues of a filled target written once more, into an empty table of
//! the same definition, in the fastest plain way, in one transaction. Nothing of tributary is in the way.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Connection, Row, SqliteConnection, TypeInfo, ValueRef};

use crate::Result;
use crate::database::SCHEMA;

/// Rows that are held in memory, outside of the time that is measured.
const CHUNK: usize = 4_096;
/// Bytes that are sent at a time.
const COPY_CHUNK: usize = 1 << 20;
/// Rows a statement: what binds fewer than 32,766 values in a table of 45 columns, with room to spare.
const ROWS_PER_STATEMENT: usize = 64;

/// One COPY in text form, into a table with the same primary key. Seconds.
pub(crate) async fn postgres(database: &test_postgres::Database) -> Result<f64> {
    let (mut from, mut into) = (database.connect().await, database.connect().await);
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE TABLE bulk (LIKE {SCHEMA}.issues INCLUDING ALL)")))
        .execute(&mut into)
        .await?;
    // All of it is held in memory, so that reading is no part of the time.
    let mut chunks: Vec<Vec<u8>> = Vec::new();
    let mut rows = from.copy_out_raw(format!("COPY {SCHEMA}.issues TO STDOUT").as_str()).await?;
    while let Some(row) = rows.try_next().await? {
        match chunks.last_mut() {
            Some(chunk) if chunk.len() < COPY_CHUNK => chunk.extend_from_slice(&row),
            _ => chunks.push(row.to_vec()),
        }
    }
    let began = Instant::now();
    let mut copy = into.copy_in_raw("COPY bulk FROM STDIN").await?;
    for chunk in chunks {
        copy.send(chunk).await?;
    }
    copy.finish().await?;
    Ok(began.elapsed().as_secs_f64())
}

/// One transaction of prepared inserts of many rows each, as durable as the target itself. Seconds.
pub(crate) async fn sqlite(file: &Path, dir: &Path) -> Result<f64> {
    let mut from = SqliteConnectOptions::new().filename(file).read_only(true).connect().await?;
    let sql: String = sqlx::query_scalar("SELECT sql FROM sqlite_schema WHERE name = 'issues'")
        .fetch_one(&mut from)
        .await?;
    let options = SqliteConnectOptions::new().filename(dir.join("bulk.db")).create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
    let mut into = options.disable_statement_logging().connect().await?;
    sqlx::query(AssertSqlSafe(sql)).execute(&mut into).await?;

    let mut spent = Duration::ZERO;
    let mut transaction = into.begin().await?;
    let mut rows = sqlx::query("SELECT * FROM issues ORDER BY rowid").fetch(&mut from).try_chunks(CHUNK);
    while let Some(chunk) = rows.try_next().await? {
        let mut statements = Vec::with_capacity(CHUNK / ROWS_PER_STATEMENT);
        for rows in chunk.chunks(ROWS_PER_STATEMENT) {
            statements.push(bound(rows)?);
        }
        let began = Instant::now();
        insert(&mut transaction, statements).await?;
        spent += began.elapsed();
    }
    let began = Instant::now();
    transaction.commit().await?;
    spent += began.elapsed();
    into.close().await?;
    Ok(spent.as_secs_f64())
}

async fn insert(into: &mut SqliteConnection, statements: Vec<(String, SqliteArguments)>) -> Result<()> {
    for (sql, values) in statements {
        sqlx::query_with(AssertSqlSafe(sql), values).execute(&mut *into).await?;
    }
    Ok(())
}

/// An insert of these rows, with their values bound.
fn bound(rows: &[SqliteRow]) -> Result<(String, SqliteArguments)> {
    let columns = rows.first().map_or(0, Row::len);
    let places = format!("({})", vec!["?"; columns].join(","));
    let sql = format!("INSERT INTO issues VALUES {}", vec![places; rows.len()].join(","));
    let mut values = SqliteArguments::default();
    values.reserve(rows.len().saturating_mul(columns), 0);
    for row in rows {
        for column in 0..columns {
            let value = row.try_get_raw(column)?;
            let kind = if value.is_null() { "NULL".to_owned() } else { value.type_info().name().to_owned() };
            match kind.as_str() {
                "NULL" => values.add(None::<i64>)?,
                "INTEGER" => values.add(row.try_get_unchecked::<i64, _>(column)?)?,
                "REAL" => values.add(row.try_get_unchecked::<f64, _>(column)?)?,
                _ => values.add(row.try_get_unchecked::<String, _>(column)?)?,
            }
        }
    }
    Ok((sql, values))
}
