//! How far deliveries have been handed out to whoever works them off, and care with those that an earlier process left
//! behind: one of them may be what ended it.
//!
//! Before such a delivery is handed out, it is noted on disk that its reading begins, and when it has been read, the note
//! goes. A note that is found at a start says that the start before did not come back.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use engine::inbox::{Delivery, DeliveryNumber, Turn};
use engine::journal::Limit;
use sqlx::SqlitePool;

use super::read;
use super::settle::{SETTLE, list};
use crate::sqlite::Writing;
use crate::sqlite::fault::Fault;

/// How far deliveries have been handed out.
#[derive(Debug)]
pub(super) struct Handout {
    /// The newest turn that an earlier process gave.
    left_behind: i64,
    /// Up to this turn they have been handed out, or are about to be.
    handed: AtomicI64,
    /// Whether there are notes of this process.
    noted: AtomicBool,
}

impl Handout {
    pub(super) async fn begin(pool: &SqlitePool) -> Result<Handout, Fault> {
        let left_behind = sqlx::query_scalar("SELECT turn FROM bounds").fetch_one(pool).await?;
        Ok(Handout { left_behind, handed: AtomicI64::new(0), noted: AtomicBool::new(false) })
    }

    /// Whether a delivery in this turn may have been read already: then what comes now may tell of something newer.
    pub(super) fn has_begun(&self, turn: i64) -> bool {
        turn <= self.handed.load(Ordering::SeqCst)
    }

    pub(super) async fn waiting(
        &self,
        (readers, writer): (&SqlitePool, &SqlitePool),
        after: Turn,
        limit: Limit,
    ) -> Result<Vec<Delivery>, Fault> {
        let mut reach = read::reach(readers, after, limit).await?;
        let handed = self.handed.load(Ordering::SeqCst);
        let careful = reach.first().is_some_and(|(turn, _)| *turn > handed && *turn <= self.left_behind);
        if careful {
            reach.retain(|(turn, _)| *turn <= self.left_behind);
            // What has not come back before is handed out alone.
            let blamed = reach.iter().position(|(_, starts)| *starts > 0).unwrap_or(reach.len());
            reach.truncate(blamed.max(1));
        }
        let Some((last, _)) = reach.last().copied() else { return Ok(Vec::new()) };
        // Before anything is read: an arrival that sees an older number is followed by the reading.
        self.handed.fetch_max(last, Ordering::SeqCst);
        if !careful {
            return read::waiting(readers, after, last).await;
        }
        let mut writing = Writing::begin(writer, SETTLE).await?;
        let update = sqlx::query(
            "UPDATE deliveries SET starts = starts + 1 WHERE standing = 0 AND turn > ?1 AND turn <= ?2",
        );
        let update = update.bind(after.0).bind(last).execute(&mut *writing).await;
        writing.end(update.map(drop).map_err(Fault::from)).await?;
        self.noted.store(true, Ordering::SeqCst);
        let mut deliveries = read::waiting(readers, after, last).await?;
        for delivery in &mut deliveries {
            delivery.entry.starts = delivery.entry.starts.saturating_sub(1);
        }
        Ok(deliveries)
    }

    /// The start with these has come back.
    pub(super) async fn heard(&self, writer: &SqlitePool, numbers: &[DeliveryNumber]) -> Result<(), Fault> {
        if numbers.is_empty() || !self.noted.load(Ordering::SeqCst) {
            return Ok(());
        }
        let numbers = list(numbers)?;
        let mut writing = Writing::begin(writer, SETTLE).await?;
        let update = sqlx::query(
            "UPDATE deliveries SET starts = 0 \
             WHERE number IN (SELECT value FROM json_each(?1)) AND starts > 0",
        );
        let update = update.bind(numbers).execute(&mut *writing).await;
        writing.end(update.map(drop).map_err(Fault::from)).await
    }
}
