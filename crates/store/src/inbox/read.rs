//! The ways out of the inbox, and how a delivery stands in columns.

use engine::inbox::{
    Delivery, DeliveryNumber, Entry, InboxCounts, Query, Standing, StandingKind, Summary, Turn,
};
use engine::journal::Limit;
use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row as _, SqlitePool};

use crate::sqlite::fault::Fault;
use crate::sqlite::{blob, limited};

/// What [`entry`] reads.
const COLUMNS: &str = "d.number, d.turn, d.delivery_id, d.received, d.size, d.standing, d.words, d.event, \
     d.entity, d.project, d.sender, d.settled, d.delivered, d.replays, d.last_received, d.repeats, d.starts, d.room";

/// Where headers and body stand when they are selected after [`COLUMNS`].
const HEADERS: usize = 18;
const BODY: usize = 19;

/// Stored number of [`StandingKind::Waiting`]; indexes rely on it.
pub(super) const WAITING: i64 = 0;

/// The stored number; a number is never given to another kind.
pub(super) fn standing_number(kind: StandingKind) -> i64 {
    match kind {
        StandingKind::Waiting => WAITING,
        StandingKind::Applied => 1,
        StandingKind::Unchanged => 2,
        StandingKind::Ignored => 3,
        StandingKind::Dead => 4,
    }
}

fn standing(number: i64, words: Option<String>) -> Result<Standing, Fault> {
    let reason = |words: Option<String>| words.unwrap_or_default();
    Ok(match number {
        WAITING => Standing::Waiting { problem: words },
        1 => Standing::Applied,
        2 => Standing::Unchanged,
        3 => Standing::Ignored { reason: reason(words) },
        4 => Standing::Dead { reason: reason(words) },
        _ => return Err(Fault::Damaged(format!("a delivery stands as {number}"))),
    })
}

/// A number that cannot be negative.
pub(super) fn unsigned(row: &SqliteRow, index: usize) -> Result<u64, Fault> {
    let number: i64 = row.try_get(index)?;
    u64::try_from(number).map_err(|_| Fault::Damaged("a count is negative".to_owned()))
}

fn time(microseconds: i64) -> Result<Timestamp, Fault> {
    Timestamp::from_microsecond(microseconds)
        .map_err(|error| Fault::Damaged(format!("a time is impossible ({error})")))
}

/// Reads [`COLUMNS`].
fn entry(row: &SqliteRow) -> Result<Entry, Fault> {
    let event: Option<String> = row.try_get(7)?;
    let summary = match event {
        None => None,
        Some(event) => Some(Summary {
            event,
            entity: row.try_get(8)?,
            project: row.try_get(9)?,
            sender: row.try_get(10)?,
        }),
    };
    let count = |index| -> Result<u32, Fault> {
        Ok(u32::try_from(row.try_get::<i64, _>(index)?).unwrap_or(u32::MAX))
    };
    Ok(Entry {
        number: DeliveryNumber(row.try_get(0)?),
        turn: Turn(row.try_get(1)?),
        delivery_id: row.try_get(2)?,
        received: time(row.try_get(3)?)?,
        last_received: time(row.try_get(14)?)?,
        summary,
        standing: standing(row.try_get(5)?, row.try_get(6)?)?,
        settled: row.try_get::<Option<i64>, _>(11)?.map(time).transpose()?,
        delivered: row.try_get::<Option<i64>, _>(12)?.map(time).transpose()?,
        replays: count(13)?,
        repeats: count(15)?,
        starts: count(16)?,
        size: unsigned(row, 4)?,
        room: unsigned(row, 17)?,
    })
}

/// Reads [`COLUMNS`], headers and body.
fn delivery(row: &SqliteRow) -> Result<Delivery, Fault> {
    let headers: &str = row.try_get(HEADERS)?;
    let headers = serde_json::from_str(headers)
        .map_err(|error| Fault::Damaged(format!("a delivery's headers are not readable ({error})")))?;
    let body: &[u8] = row.try_get(BODY)?;
    let body = blob::unpack_bytes(body)?.into_owned().into();
    Ok(Delivery { entry: entry(row)?, headers, body })
}

/// How far the limits reach from a turn on, before any body is read: the turns, and how often a process began with
/// them and did not come back.
pub(super) async fn reach(pool: &SqlitePool, after: Turn, limit: Limit) -> Result<Vec<(i64, i64)>, Fault> {
    let sizes = sqlx::query(
        "SELECT turn, size, starts FROM deliveries INDEXED BY deliveries_waiting \
         WHERE standing = 0 AND turn > ?1 ORDER BY turn LIMIT ?2",
    );
    let sizes = sizes.bind(after.0).bind(i64::from(limit.rows)).fetch(pool);
    let size = |row: &SqliteRow| {
        let turn = (row.try_get(0)?, row.try_get(2)?);
        Ok((turn, usize::try_from(unsigned(row, 1)?).unwrap_or(usize::MAX)))
    };
    limited(sizes, limit.bytes, size).await
}

/// Deliveries that wait, up to the turn `last`, in the order of turns.
pub(super) async fn waiting(pool: &SqlitePool, after: Turn, last: i64) -> Result<Vec<Delivery>, Fault> {
    // What was settled or replayed in between is missing here, and nothing comes in between.
    let sql = format!(
        "SELECT {COLUMNS}, c.headers, c.body FROM deliveries d INDEXED BY deliveries_waiting \
         CROSS JOIN content c ON c.number = d.number \
         WHERE d.standing = 0 AND d.turn > ?1 AND d.turn <= ?2 ORDER BY d.turn"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(after.0).bind(last).fetch_all(pool).await?;
    rows.iter().map(delivery).collect()
}

/// Deliveries, newest first.
pub(super) async fn list(pool: &SqlitePool, query: Query) -> Result<Vec<Entry>, Fault> {
    let before = query.before.map_or(i64::MAX, |before| before.0);
    let only = if query.standing.is_some() { "d.standing = ?3 AND" } else { "" };
    let sql = format!(
        "SELECT {COLUMNS} FROM deliveries d WHERE {only} d.number < ?1 ORDER BY d.number DESC LIMIT ?2"
    );
    let mut rows = sqlx::query(AssertSqlSafe(sql)).bind(before).bind(i64::from(query.limit));
    if let Some(standing) = query.standing {
        rows = rows.bind(standing_number(standing));
    }
    rows.fetch_all(pool).await?.iter().map(entry).collect()
}

/// The delivery with this number, or else with this delivery id.
pub(super) async fn find(pool: &SqlitePool, id: &str) -> Result<Option<Delivery>, Fault> {
    let sql = |by: &str| {
        AssertSqlSafe(format!(
            "SELECT {COLUMNS}, c.headers, c.body FROM deliveries d \
             CROSS JOIN content c ON c.number = d.number WHERE {by} = ?1"
        ))
    };
    if let Ok(number) = id.parse::<i64>()
        && let Some(row) = sqlx::query(sql("d.number")).bind(number).fetch_optional(pool).await?
    {
        return delivery(&row).map(Some);
    }
    let row = sqlx::query(sql("d.delivery_id")).bind(id).fetch_optional(pool).await?;
    row.as_ref().map(delivery).transpose()
}

/// Numbers of the inbox.
pub(super) async fn counts(pool: &SqlitePool) -> Result<InboxCounts, Fault> {
    let row = sqlx::query("SELECT waiting, applied, unchanged, ignored, dead, bytes FROM bounds");
    let row = row.fetch_one(pool).await?;
    Ok(InboxCounts {
        waiting: unsigned(&row, 0)?,
        applied: unsigned(&row, 1)?,
        unchanged: unsigned(&row, 2)?,
        ignored: unsigned(&row, 3)?,
        dead: unsigned(&row, 4)?,
        bytes: unsigned(&row, 5)?,
    })
}
