//! Keeps the write-ahead log short without keeping those waiting who write.
//!
//! Where the writer itself carries the log over into the file, everybody waits for a flush of scattered pages. So
//! another connection carries over the bulk beside it, and the writer only the little that came meanwhile; with its
//! next transaction the log begins anew.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::sqlite::SqliteSynchronous;
use sqlx::{Row as _, SqlitePool};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::fault::Fault;
use super::file::{options, pool};

/// How often the log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Pages from which on it is carried over (16 MiB, or 32 of larger pages): the more at once, the more often a page is
/// written once for many.
const PAGES: i64 = 4_096;

/// The pages after which the writer carries the log over itself, as SQLite's setting has it: only where the other
/// connection cannot do it.
pub(crate) const AT_LAST: &str = "16384";

/// The task that carries over whenever it is worth it. It ends with [`Short::end`], or when this is dropped.
#[derive(Debug)]
pub(crate) struct Short {
    ended: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Short {
    /// Starts the task, for a `file` that is in WAL mode and has this `writer`.
    pub(crate) fn keep(file: &Path, writer: SqlitePool) -> Short {
        // Opened when it has something to do. It must not set up the file: that would be writing.
        let beside = pool(1).connect_lazy_with(options(file).synchronous(SqliteSynchronous::Full));
        let ended = watch::Sender::new(false);
        let task = tokio::spawn(keep_short(beside, writer, ended.subscribe()));
        Short { ended, task: Mutex::new(Some(task)) }
    }

    /// Ends the task and waits for it.
    pub(crate) async fn end(&self) {
        self.ended.send_replace(true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the task that keeps a write-ahead log short ended badly");
        }
    }
}

async fn keep_short(beside: SqlitePool, writer: SqlitePool, mut ended: watch::Receiver<bool>) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ended.wait_for(|ended| *ended) => break,
            _ = look.tick() => {}
        }
        if let Err(error) = carry_over(&beside, &writer).await {
            // The writer carries over by itself where this fails for long, and its errors are told.
            tracing::debug!(?error, "a write-ahead log cannot be carried over");
        }
    }
    beside.close().await;
}

async fn carry_over(beside: &SqlitePool, writer: &SqlitePool) -> Result<(), Fault> {
    if left(beside, "PRAGMA wal_checkpoint(NOOP)").await? < PAGES {
        return Ok(());
    }
    left(beside, "PRAGMA wal_checkpoint(PASSIVE)").await?;
    left(writer, "PRAGMA wal_checkpoint(PASSIVE)").await?;
    Ok(())
}

/// Runs a checkpoint; returns how many pages it left.
async fn left(pool: &SqlitePool, sql: &'static str) -> Result<i64, Fault> {
    let row = sqlx::query(sql).fetch_one(pool).await?;
    let (log, done): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
    Ok(log - done)
}
