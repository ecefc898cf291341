//! The small things a journal remembers: its openings, how far tasks are, documents by name.

use std::collections::BTreeMap;

use engine::clock::Moment;
use engine::failpoint::Step;
use engine::position::{Generation, Position, Sequence};
use jiff::Timestamp;
use serde_json::Value;
use sqlx::{Row as _, SqliteConnection, SqlitePool};

use super::moments;
use crate::sqlite::Writing;
use crate::sqlite::fault::Fault;

/// Openings that are remembered: years of restarts, and a megabyte at most. A position of an older one leads
/// to a rebuild.
const OPENINGS: i64 = 10_000;

const OPEN: Step = Step::named("journal::open");
const STORE_TASKS: Step = Step::named("journal::tasks");
const REMEMBER: Step = Step::named("journal::remember");

/// Begins an opening under a random name.
pub(super) async fn begin_opening(writer: &SqlitePool) -> Result<Generation, Fault> {
    let name = format!("{:032x}", rand::random::<u128>());
    let mut writing = Writing::begin(writer, OPEN).await?;
    let begun = async {
        moments::put_right(&mut writing, Moment(Timestamp::now().as_microsecond())).await?;
        begin_opening_row(&mut writing, &name).await
    };
    let begun = begun.await;
    writing.end(begun).await?;
    Ok(Generation(name))
}

async fn begin_opening_row(connection: &mut SqliteConnection, name: &str) -> Result<(), Fault> {
    let begun = sqlx::query("INSERT INTO openings (generation, first_sequence) SELECT ?1, head FROM bounds");
    begun.bind(name).execute(&mut *connection).await?;
    let forget =
        sqlx::query("DELETE FROM openings WHERE ordinal <= (SELECT max(ordinal) FROM openings) - ?1");
    forget.bind(OPENINGS).execute(connection).await?;
    Ok(())
}

/// The newest opening.
pub(super) async fn newest_opening(pool: &SqlitePool) -> Result<Generation, Fault> {
    let name = sqlx::query_scalar("SELECT generation FROM openings ORDER BY ordinal DESC LIMIT 1");
    let name: Option<String> = name.fetch_optional(pool).await?;
    name.map(Generation).ok_or_else(|| Fault::Damaged("it was never opened".to_owned()))
}

/// Whether a position was reached in this journal. An opening ended where the next one began: what a copy of
/// the files gave after that is not in here.
pub(super) async fn knows(pool: &SqlitePool, position: &Position) -> Result<bool, Fault> {
    let end = sqlx::query_scalar(
        "SELECT coalesce((SELECT n.first_sequence FROM openings n WHERE n.ordinal > o.ordinal \
                          ORDER BY n.ordinal LIMIT 1), b.head) \
         FROM openings o CROSS JOIN bounds b WHERE o.generation = ?1",
    );
    let end: Option<i64> = end.bind(position.generation.0.as_str()).fetch_optional(pool).await?;
    Ok(end.is_some_and(|end| position.sequence.0 <= end))
}

/// How far every task is, as stored.
pub(super) async fn tasks(pool: &SqlitePool) -> Result<BTreeMap<String, Sequence>, Fault> {
    let rows = sqlx::query("SELECT name, acknowledged FROM tasks").fetch_all(pool).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, Sequence(row.try_get(1)?)))).collect()
}

/// Stores how far tasks are; those that already stand there cost no write.
pub(super) async fn store_tasks(
    writer: &SqlitePool,
    tasks: &BTreeMap<String, Sequence>,
) -> Result<(), Fault> {
    let mut writing = Writing::begin(writer, STORE_TASKS).await?;
    let stored = store_task_rows(&mut writing, tasks).await;
    writing.end(stored).await
}

async fn store_task_rows(
    connection: &mut SqliteConnection,
    tasks: &BTreeMap<String, Sequence>,
) -> Result<(), Fault> {
    for (name, sequence) in tasks {
        let stored = sqlx::query(
            "INSERT INTO tasks VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE \
             SET acknowledged = excluded.acknowledged WHERE acknowledged <> excluded.acknowledged",
        );
        stored.bind(name.as_str()).bind(sequence.0).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Stores a document; `Null` removes it.
pub(super) async fn remember(writer: &SqlitePool, name: &str, value: &Value) -> Result<(), Fault> {
    let query = if value.is_null() {
        sqlx::query("DELETE FROM memory WHERE name = ?1").bind(name)
    } else {
        let stored = sqlx::query(
            "INSERT INTO memory VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET document = excluded.document",
        );
        stored.bind(name).bind(value.to_string())
    };
    REMEMBER.before().map_err(sqlx::Error::Io)?;
    query.execute(writer).await?;
    Ok(REMEMBER.after().map_err(sqlx::Error::Io)?)
}

/// Documents by the beginning of their names.
pub(super) async fn recall(pool: &SqlitePool, prefix: &str) -> Result<Vec<(String, Value)>, Fault> {
    let rows = sqlx::query(
        "SELECT name, document FROM memory WHERE name >= ?1 AND substr(name, 1, length(?1)) = ?1 ORDER BY name",
    );
    let mut found = Vec::new();
    for row in rows.bind(prefix).fetch_all(pool).await? {
        let (name, document): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let value = serde_json::from_str(&document).map_err(|error| {
            Fault::Damaged(format!("what it remembers of {name} is not readable: {error}"))
        })?;
        found.push((name, value));
    }
    Ok(found)
}
