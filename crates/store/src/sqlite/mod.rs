//! What the journal and the inbox have in common: each is one SQLite file, written by one connection at a time.
//!
//! Nothing here knows a table. `fault` tells people what goes wrong, `file` opens, `checkpoint` keeps the write-ahead
//! log short, `blob` packs.

pub(crate) mod blob;
pub(crate) mod checkpoint;
pub(crate) mod fault;
pub(crate) mod file;
pub(crate) mod statement;

use engine::failpoint::Step;
use futures::TryStreamExt;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteRow;
use sqlx::{Executor, Sqlite, SqliteConnection, SqlitePool};

use self::fault::Fault;

/// Pages given back to the disk in one transaction.
const PAGES: i64 = 1_024;

/// Reads rows until a limit is reached; the query itself ends at the limit of rows.
pub(crate) async fn limited<T>(
    mut rows: impl futures::Stream<Item = Result<SqliteRow, sqlx::Error>> + Unpin,
    max_bytes: usize,
    read: impl Fn(&SqliteRow) -> Result<(T, usize), Fault>,
) -> Result<Vec<T>, Fault> {
    let (mut found, mut bytes) = (Vec::new(), 0_usize);
    while let Some(row) = rows.try_next().await? {
        let (item, size) = read(&row)?;
        bytes = bytes.saturating_add(size);
        if bytes > max_bytes && !found.is_empty() {
            break;
        }
        found.push(item);
        if bytes >= max_bytes {
            break;
        }
    }
    Ok(found)
}

/// Integers as a JSON array, for `json_each`.
pub(crate) fn integers(numbers: &[i64]) -> Result<String, Fault> {
    serde_json::to_string(numbers).map_err(|error| Fault::Encode(error.to_string()))
}

/// Gives free pages back while they are more than a quarter of the file; fewer are soon used again.
pub(crate) async fn vacuum_step(writer: &SqlitePool) -> Result<bool, Fault> {
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(writer).await?;
    let free: i64 = sqlx::query_scalar("PRAGMA freelist_count").fetch_one(writer).await?;
    if free <= PAGES.max(pages / 4) {
        return Ok(false);
    }
    sqlx::query("PRAGMA incremental_vacuum(1024)").execute(writer).await?;
    // Where pages cannot be given back (the file was made without auto-vacuum), asking again is no use.
    let left: i64 = sqlx::query_scalar("PRAGMA freelist_count").fetch_one(writer).await?;
    Ok(left < free)
}

/// A transaction that writes. Begun and ended in plain words, because the driver's own does not know that SQLite ends
/// some transactions by itself (a full disk): from then on it would refuse to begin another one.
pub(crate) struct Writing {
    connection: PoolConnection<Sqlite>,
    step: Step,
    ended: bool,
}

impl Writing {
    /// Begins a step, when it is this writer's turn: also other processes wait.
    pub(crate) async fn begin(writer: &SqlitePool, step: Step) -> Result<Writing, Fault> {
        let mut writing = Writing { connection: writer.acquire().await?, step, ended: false };
        match writing.run("BEGIN IMMEDIATE").await {
            Ok(()) => Ok(writing),
            Err(fault) => writing.end(Err(fault)).await,
        }
    }

    /// Commits what was done, or takes it back where it failed.
    pub(crate) async fn end<T>(mut self, done: Result<T, Fault>) -> Result<T, Fault> {
        let ended = match done {
            Ok(value) => self.commit().await.map(|()| value),
            Err(fault) => Err(fault),
        };
        // Where SQLite has ended the transaction by itself, this says that there is none.
        self.ended = ended.is_ok() || self.run("ROLLBACK").await.is_ok() || self.is_clear().await;
        ended
    }

    async fn commit(&mut self) -> Result<(), Fault> {
        self.step.before().map_err(sqlx::Error::Io)?;
        self.run("COMMIT").await?;
        Ok(self.step.after().map_err(sqlx::Error::Io)?)
    }

    async fn run(&mut self, sql: &'static str) -> Result<(), Fault> {
        self.connection.execute(sql).await?;
        Ok(())
    }

    /// Whether no transaction is open: then one can be begun.
    async fn is_clear(&mut self) -> bool {
        self.run("BEGIN").await.is_ok() && self.run("ROLLBACK").await.is_ok()
    }
}

impl std::ops::Deref for Writing {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl std::ops::DerefMut for Writing {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

impl Drop for Writing {
    /// Dropped half-way, the connection is in doubt: closing it takes back what was not committed.
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}
