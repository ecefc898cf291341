//! Forgetting: settled deliveries that are old or take too much room. What waits is never forgotten.
//!
//! In steps with a transaction each, so that arrivals get their turn in between.

use engine::failpoint::Step;
use sqlx::{Row as _, SqliteConnection, SqlitePool};

use super::read::unsigned;
use super::settle::forget;
use crate::sqlite::fault::Fault;
use crate::sqlite::{Writing, vacuum_step};

/// Deliveries forgotten in one transaction: some milliseconds, which arrivals wait.
const STEP: i64 = 250;

const PRUNE: Step = Step::named("inbox::prune");

/// Forgets what was received before `cutoff` (in microseconds), and the oldest beyond `max_bytes`. What a clock that was
/// ahead dated after `now` counts from now on.
pub(super) async fn prune(writer: &SqlitePool, cutoff: i64, now: i64, max_bytes: u64) -> Result<(), Fault> {
    let mut writing = Writing::begin(writer, PRUNE).await?;
    let dated = "UPDATE deliveries INDEXED BY deliveries_settled SET received = ?1 WHERE standing <> 0 AND received > ?1";
    let put_right = sqlx::query(dated).bind(now).execute(&mut *writing).await;
    writing.end(put_right.map(drop).map_err(Fault::from)).await?;
    loop {
        let mut writing = Writing::begin(writer, PRUNE).await?;
        let forgotten = step(&mut writing, cutoff, max_bytes).await;
        if !writing.end(forgotten).await? {
            break;
        }
    }
    while vacuum_step(writer).await? {}
    Ok(())
}

/// Forgets the oldest; says whether there may be more.
async fn step(connection: &mut SqliteConnection, cutoff: i64, max_bytes: u64) -> Result<bool, Fault> {
    let bytes = sqlx::query("SELECT bytes FROM bounds").fetch_one(&mut *connection).await?;
    let mut bytes = unsigned(&bytes, 0)?;
    let oldest = sqlx::query(
        "SELECT number, standing, room, received FROM deliveries INDEXED BY deliveries_settled \
         WHERE standing <> 0 ORDER BY received LIMIT ?1",
    );
    let mut rows = Vec::new();
    for row in oldest.bind(STEP).fetch_all(&mut *connection).await? {
        let received: i64 = row.try_get(3)?;
        if received >= cutoff && bytes <= max_bytes {
            break;
        }
        bytes = bytes.saturating_sub(unsigned(&row, 2)?);
        rows.push((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
    }
    if rows.is_empty() {
        return Ok(false);
    }
    forget(connection, &rows).await?;
    Ok(i64::try_from(rows.len()).is_ok_and(|rows| rows == STEP))
}
