//! Forgetting: old log entries, tombstones that nobody needs any more, and the room they took.
//!
//! All in steps with a transaction each, so that commits get their turn in between, and in sequence order, so
//! that one number says up to where things may be missing.

use engine::clock::Moment;
use engine::failpoint::Step;
use engine::position::Sequence;
use sqlx::{Row as _, SqliteConnection, SqlitePool};

use crate::sqlite::fault::Fault;
use crate::sqlite::{Writing, vacuum_step};

/// Rows forgotten in one transaction: some milliseconds.
const STEP: i64 = 2_000;

const PRUNE: Step = Step::named("journal::prune");

/// Forgets what was observed before `cutoff`, and tombstones that all tasks have passed (`acknowledged`).
pub(super) async fn prune(
    writer: &SqlitePool,
    cutoff: Moment,
    acknowledged: Option<Sequence>,
) -> Result<(), Fault> {
    let mut more = true;
    while more {
        let mut writing = Writing::begin(writer, PRUNE).await?;
        let step = log_step(&mut writing, cutoff).await;
        more = writing.end(step).await?;
    }
    more = true;
    while more {
        let mut writing = Writing::begin(writer, PRUNE).await?;
        let step = tombstone_step(&mut writing, cutoff, acknowledged).await;
        more = writing.end(step).await?;
    }
    while vacuum_step(writer).await? {}
    Ok(())
}

/// The last sequence before the first row that must stay, and whether to look further.
fn prefix(
    rows: &[sqlx::sqlite::SqliteRow],
    goes: impl Fn(i64, i64) -> bool,
) -> Result<(Option<i64>, bool), Fault> {
    let mut last = None;
    for row in rows {
        let (sequence, observed): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        if !goes(sequence, observed) {
            return Ok((last, false));
        }
        last = Some(sequence);
    }
    Ok((last, i64::try_from(rows.len()).is_ok_and(|rows| rows == STEP)))
}

/// Forgets the oldest log entries; says whether there may be more. The mirror replaces whatever goes.
async fn log_step(connection: &mut SqliteConnection, cutoff: Moment) -> Result<bool, Fault> {
    let floor: i64 = sqlx::query_scalar("SELECT log_floor FROM bounds").fetch_one(&mut *connection).await?;
    let rows = sqlx::query("SELECT sequence, observed FROM log ORDER BY sequence LIMIT ?1").bind(STEP);
    let rows = rows.fetch_all(&mut *connection).await?;
    let (last, more) = prefix(&rows, |sequence, observed| sequence <= floor || observed < cutoff.0)?;
    if let Some(last) = last {
        for sql in
            ["DELETE FROM log WHERE sequence <= ?1", "UPDATE bounds SET log_floor = max(log_floor, ?1)"]
        {
            sqlx::query(sql).bind(last).execute(&mut *connection).await?;
        }
    }
    Ok(more)
}

/// Forgets the oldest tombstones; says whether there may be more.
async fn tombstone_step(
    connection: &mut SqliteConnection,
    cutoff: Moment,
    acknowledged: Option<Sequence>,
) -> Result<bool, Fault> {
    let rows = sqlx::query(
        "SELECT sequence, observed FROM mirror INDEXED BY mirror_tombstones WHERE alive = 0 \
         ORDER BY sequence LIMIT ?1",
    );
    let rows = rows.bind(STEP).fetch_all(&mut *connection).await?;
    let passed = |sequence: i64| acknowledged.is_some_and(|acknowledged| sequence <= acknowledged.0);
    let (last, more) = prefix(&rows, |sequence, observed| passed(sequence) || observed < cutoff.0)?;
    if let Some(last) = last {
        for sql in [
            "DELETE FROM mirror WHERE alive = 0 AND sequence <= ?1",
            "UPDATE bounds SET horizon = max(horizon, ?1)",
        ] {
            sqlx::query(sql).bind(last).execute(&mut *connection).await?;
        }
    }
    Ok(more)
}
