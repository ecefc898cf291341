//! What is noted of deliveries after they were accepted: how they stand, that they are through, that they are to be
//! worked off once more.

use std::collections::HashMap;

use engine::failpoint::Step;
use engine::inbox::{DeliveryNumber, Settled, Standing, StandingKind};
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::{Row as _, SqliteConnection, SqlitePool};

use super::read::standing_number;
use crate::sqlite::fault::Fault;
use crate::sqlite::{Writing, integers};

pub(super) const SETTLE: Step = Step::named("inbox::settle");
const DELIVERED: Step = Step::named("inbox::delivered");
const REPLAY: Step = Step::named("inbox::replay");

/// How many deliveries stand how, and the bytes of those that wait: changes to it.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// By stored number of the standing.
    standings: [i64; 5],
    bytes: i64,
    waiting_bytes: i64,
}

impl Tally {
    pub(super) fn count(&mut self, standing: i64, by: i64, room: i64) {
        if let Some(count) = usize::try_from(standing).ok().and_then(|index| self.standings.get_mut(index)) {
            *count += by;
        }
        self.bytes += by * room;
        if standing == standing_number(StandingKind::Waiting) {
            self.waiting_bytes += by * room;
        }
    }

    pub(super) async fn write(self, connection: &mut SqliteConnection) -> Result<(), Fault> {
        let mut update = sqlx::query(
            "UPDATE bounds SET waiting = waiting + ?1, applied = applied + ?2, unchanged = unchanged + ?3, \
             ignored = ignored + ?4, dead = dead + ?5, bytes = bytes + ?6, waiting_bytes = waiting_bytes + ?7",
        );
        for count in self.standings {
            update = update.bind(count);
        }
        update.bind(self.bytes).bind(self.waiting_bytes).execute(connection).await?;
        Ok(())
    }
}

/// Text as SQLite's JSON functions give it back: to them a null character is the end.
pub(super) fn plain(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

fn words(standing: &Standing) -> Option<&str> {
    match standing {
        Standing::Waiting { problem } => problem.as_deref(),
        Standing::Ignored { reason } | Standing::Dead { reason } => Some(reason),
        Standing::Applied | Standing::Unchanged => None,
    }
}

/// One of [`settle`]'s rows.
fn row(settled: &Settled, at: Timestamp) -> Value {
    let text = |text: Option<&str>| text.map(|text| plain(text.to_owned()));
    let kind = settled.standing.kind();
    let summary = settled.summary.as_ref();
    json!([
        settled.number.0,
        settled.turn.0,
        standing_number(kind),
        text(words(&settled.standing)),
        (kind != StandingKind::Waiting).then(|| at.as_microsecond()),
        summary.map(|summary| plain(summary.event.clone())),
        text(summary.and_then(|summary| summary.entity.as_deref())),
        text(summary.and_then(|summary| summary.project.as_deref())),
        text(summary.and_then(|summary| summary.sender.as_deref())),
    ])
}

/// Notes how deliveries stand, but for those that have been replayed since.
pub(super) async fn settle(writer: &SqlitePool, settled: Vec<Settled>, at: Timestamp) -> Result<(), Fault> {
    // The last word on a delivery counts, as if they were noted one after the other; only that a summary which a
    // later word leaves alone is kept.
    let mut last: HashMap<(i64, i64), Settled> = HashMap::with_capacity(settled.len());
    for mut settled in settled {
        let key = (settled.number.0, settled.turn.0);
        if settled.summary.is_none() {
            settled.summary = last.remove(&key).and_then(|earlier| earlier.summary);
        }
        last.insert(key, settled);
    }
    if last.is_empty() {
        return Ok(());
    }
    let rows = Value::Array(last.values().map(|settled| row(settled, at)).collect()).to_string();
    let mut writing = Writing::begin(writer, SETTLE).await?;
    let settled = settle_rows(&mut writing, &rows).await;
    writing.end(settled).await
}

async fn settle_rows(connection: &mut SqliteConnection, rows: &str) -> Result<(), Fault> {
    let olds = sqlx::query(
        "SELECT d.standing, d.room, j.value ->> 2 FROM json_each(?1) j \
         CROSS JOIN deliveries d ON d.number = j.value ->> 0 AND d.turn = j.value ->> 1",
    );
    let mut tally = Tally::default();
    for old in olds.bind(rows).fetch_all(&mut *connection).await? {
        let (before, room, after): (i64, i64, i64) = (old.try_get(0)?, old.try_get(1)?, old.try_get(2)?);
        tally.count(before, -1, room);
        tally.count(after, 1, room);
    }
    let update = sqlx::query(
        "UPDATE deliveries SET standing = j.value ->> 2, words = j.value ->> 3, settled = j.value ->> 4, \
             event = iif(j.value ->> 5 IS NULL, event, j.value ->> 5), \
             entity = iif(j.value ->> 5 IS NULL, entity, j.value ->> 6), \
             project = iif(j.value ->> 5 IS NULL, project, j.value ->> 7), \
             sender = iif(j.value ->> 5 IS NULL, sender, j.value ->> 8) \
         FROM json_each(?1) j WHERE number = j.value ->> 0 AND turn = j.value ->> 1",
    );
    update.bind(rows).execute(&mut *connection).await?;
    tally.write(connection).await
}

/// Notes that deliveries are through. The first time counts: repeating is safe.
pub(super) async fn delivered(
    writer: &SqlitePool,
    numbers: &[DeliveryNumber],
    at: Timestamp,
) -> Result<(), Fault> {
    if numbers.is_empty() {
        return Ok(());
    }
    let numbers = list(numbers)?;
    let mut writing = Writing::begin(writer, DELIVERED).await?;
    let update = sqlx::query(
        "UPDATE deliveries SET delivered = ?2 \
         WHERE number IN (SELECT value FROM json_each(?1)) AND delivered IS NULL",
    );
    let update = update.bind(numbers).bind(at.as_microsecond()).execute(&mut *writing).await;
    writing.end(update.map(drop).map_err(Fault::from)).await
}

/// Gives deliveries new turns, in the order of their numbers; returns how many of them there were.
pub(super) async fn replay(
    writer: &SqlitePool,
    numbers: &[DeliveryNumber],
    now: Timestamp,
) -> Result<u64, Fault> {
    if numbers.is_empty() {
        return Ok(0);
    }
    let numbers = list(numbers)?;
    let mut writing = Writing::begin(writer, REPLAY).await?;
    let replayed = replay_rows(&mut writing, &numbers, now.as_microsecond()).await;
    writing.end(replayed).await
}

async fn replay_rows(connection: &mut SqliteConnection, numbers: &str, now: i64) -> Result<u64, Fault> {
    let last: i64 = sqlx::query_scalar("SELECT turn FROM bounds").fetch_one(&mut *connection).await?;
    let olds = sqlx::query(
        "SELECT number, standing, room FROM deliveries \
         WHERE number IN (SELECT value FROM json_each(?1)) ORDER BY number",
    );
    let olds = olds.bind(numbers).fetch_all(&mut *connection).await?;
    let (mut tally, mut turns, mut turn) = (Tally::default(), Vec::with_capacity(olds.len()), last);
    for old in &olds {
        let (number, standing, room): (i64, i64, i64) = (old.try_get(0)?, old.try_get(1)?, old.try_get(2)?);
        turn = now.max(turn.saturating_add(1));
        turns.push((number, turn));
        tally.count(standing, -1, room);
        tally.count(standing_number(StandingKind::Waiting), 1, room);
    }
    if turns.is_empty() {
        return Ok(0);
    }
    let turns = serde_json::to_string(&turns).map_err(|error| Fault::Encode(error.to_string()))?;
    let update = sqlx::query(
        "UPDATE deliveries SET turn = j.value ->> 1, standing = 0, words = NULL, settled = NULL, \
             delivered = NULL, starts = 0, replays = replays + 1 \
         FROM json_each(?1) j WHERE number = j.value ->> 0",
    );
    update.bind(turns).execute(&mut *connection).await?;
    sqlx::query("UPDATE bounds SET turn = ?1").bind(turn).execute(&mut *connection).await?;
    tally.write(connection).await?;
    Ok(u64::try_from(olds.len()).unwrap_or(u64::MAX))
}

/// Forgets deliveries; `rows` are their numbers, standings and room.
pub(super) async fn forget(connection: &mut SqliteConnection, rows: &[(i64, i64, i64)]) -> Result<(), Fault> {
    let mut tally = Tally::default();
    for (_, standing, room) in rows {
        tally.count(*standing, -1, *room);
    }
    let numbers = integers(&rows.iter().map(|(number, _, _)| *number).collect::<Vec<_>>())?;
    for sql in [
        "DELETE FROM deliveries WHERE number IN (SELECT value FROM json_each(?1))",
        "DELETE FROM content WHERE number IN (SELECT value FROM json_each(?1))",
    ] {
        sqlx::query(sql).bind(numbers.as_str()).execute(&mut *connection).await?;
    }
    tally.write(connection).await
}

pub(super) fn list(numbers: &[DeliveryNumber]) -> Result<String, Fault> {
    integers(&numbers.iter().map(|number| number.0).collect::<Vec<_>>())
}
