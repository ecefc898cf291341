//! Keeps the write-ahead log short without keeping arrivals waiting.
//!
//! Where the writer itself carries the log over into the file, everybody waits for a flush of scattered pages. So
//! another connection carries over the bulk beside it, and the writer only the little that came meanwhile; with its
//! next transaction the log begins anew.

use std::time::Duration;

use sqlx::{Row as _, SqlitePool};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::sqlite::fault::Fault;

/// How often the log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Pages from which on it is carried over (16 MiB): the more at once, the more often a page is written once for many.
const PAGES: i64 = 4_096;

/// Carries over whenever it is worth it, until `ended` says so.
pub(super) async fn keep_short(beside: SqlitePool, writer: SqlitePool, mut ended: watch::Receiver<bool>) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ended.wait_for(|ended| *ended) => break,
            _ = look.tick() => {}
        }
        if let Err(error) = carry_over(&beside, &writer).await {
            // The writer carries over by itself where this fails for long, and its errors are told.
            tracing::debug!(?error, "the inbox's log cannot be carried over");
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
