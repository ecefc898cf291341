//! The one way rows get into the journal, in one flushed transaction a batch.
//!
//! Everything is prepared (turned into JSON, compressed) before the transaction begins, so that it is short.
//! Rows are written in statements of many rows each: a round through the driver costs more than a row.

use std::collections::HashMap;

use engine::clock::Moment;
use engine::failpoint::Step;
use engine::journal::{Ask, Detail, Entry, Reference, Version};
use engine::position::Sequence;
use engine::row::RowKey;
use engine::schema::TableId;
use sqlx::{Row as _, SqliteConnection, SqlitePool};

use super::meta;
use super::read::{CHANNELS, KINDS, Stand};
use crate::sqlite::fault::Fault;
use crate::sqlite::statement::{Statement, Values};
use crate::sqlite::{Writing, blob, integers};

const COMMIT: Step = Step::named("journal::commit");
const BEGIN_LOG: Step = Step::named("journal::log");
const ASK_DETAILS: Step = Step::named("journal::details");

/// Rows a statement: a page of a listing takes one. One row a statement is five times slower, as measured.
const SIZES: &[usize] = &[500, 100, 10, 1];

/// Rows packed before the runtime gets its thread back (a millisecond).
const BREATH: usize = 256;

/// Rows of one step of a change that touches a whole table.
const STEP: i64 = 20_000;

const MIRROR: Statement = Statement {
    before: "INSERT INTO mirror VALUES ",
    columns: 13,
    after: " ON CONFLICT (tab, project, id) DO UPDATE SET sequence = excluded.sequence, \
            inserted = excluded.inserted, first_detail = excluded.first_detail, \
            listed_digest = excluded.listed_digest, listed = excluded.listed, \
            looked_up = excluded.looked_up, observed = excluded.observed, \
            updated_ms = excluded.updated_ms, detail = excluded.detail, alive = excluded.alive",
    sizes: SIZES,
};

/// Bookkeeping comes with the content it found: equal content is compared and not written.
const CONTENT: Statement = Statement {
    before: "INSERT INTO content VALUES ",
    columns: 2,
    after: " ON CONFLICT (sequence) DO UPDATE SET body = excluded.body WHERE body <> excluded.body",
    sizes: SIZES,
};

const LOG: Statement =
    Statement { before: "INSERT OR REPLACE INTO log VALUES ", columns: 10, after: "", sizes: SIZES };

const REFER: Statement =
    Statement { before: "INSERT OR IGNORE INTO refs VALUES ", columns: 5, after: "", sizes: SIZES };

const UNREFER: Statement = Statement {
    before: "DELETE FROM refs WHERE (project, to_tab, to_id, tab, id) IN (VALUES ",
    columns: 5,
    after: ")",
    sizes: SIZES,
};

const TALLY: Statement = Statement {
    before: "INSERT INTO tally VALUES ",
    columns: 4,
    after: " ON CONFLICT (tab, project) DO UPDATE SET alive = alive + excluded.alive, \
            pending = pending + excluded.pending",
    sizes: SIZES,
};

/// Bytes of an entry's JSON.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    /// Of the row.
    pub(super) row: usize,
    /// Of the change in the log, where it is logged.
    pub(super) change: usize,
}

/// A batch, ready to be written.
#[derive(Default)]
struct Batch<'a> {
    /// The last entry of every key; its content, where it has one.
    rows: HashMap<RowKey, (&'a Version, Option<Vec<u8>>)>,
    log: Vec<(&'a engine::change::Change, Vec<u8>)>,
    /// Whether a reference is there at the end of the batch.
    references: HashMap<(RowKey, Reference), bool>,
    head: Sequence,
    newest_moment: Moment,
    sizes: Vec<Size>,
}

impl<'a> Batch<'a> {
    async fn of(entries: &'a [Entry]) -> Result<Batch<'a>, Fault> {
        let mut batch = Batch::default();
        for (index, entry) in entries.iter().enumerate() {
            if index % BREATH == BREATH - 1 {
                tokio::task::yield_now().await;
            }
            let (key, version) = (entry.row.key, &entry.row.version);
            let content = entry.row.row.as_ref().map(blob::pack_row).transpose()?;
            let mut size = Size { row: content.as_deref().map_or(0, blob::unpacked_len), change: 0 };
            batch.rows.insert(key, (version, content));
            batch.references.extend(entry.old_references.iter().map(|to| ((key, *to), false)));
            batch.references.extend(entry.new_references.iter().map(|to| ((key, *to), true)));
            batch.head = batch.head.max(version.sequence);
            let newest = version.observed.max(version.listed).max(version.looked_up);
            batch.newest_moment = batch.newest_moment.max(newest);
            if let Some(change) = &entry.change {
                let body = blob::pack_change(change.before.as_ref(), change.after.as_ref())?;
                size.change = blob::unpacked_len(&body);
                batch.log.push((change, body));
                batch.head = batch.head.max(change.sequence);
                batch.newest_moment = batch.newest_moment.max(change.observed);
            }
            batch.sizes.push(size);
        }
        Ok(batch)
    }
}

/// What the mirror had of a key before the batch.
struct Before {
    sequence: i64,
    alive: bool,
    pending: bool,
}

/// Writes entries; returns where the journal stands afterwards, and the size of each entry.
pub(super) async fn commit(writer: &SqlitePool, entries: &[Entry]) -> Result<(Stand, Vec<Size>), Fault> {
    let mut batch = Batch::of(entries).await?;
    let sizes = std::mem::take(&mut batch.sizes);
    let mut writing = Writing::begin(writer, COMMIT).await?;
    let stand = Box::pin(write(&mut writing, batch)).await;
    Ok((writing.end(stand).await?, sizes))
}

async fn write(connection: &mut SqliteConnection, batch: Batch<'_>) -> Result<Stand, Fault> {
    let before = before(connection, batch.rows.keys().copied()).await?;
    let mut rows: Vec<(RowKey, &Version, Option<Vec<u8>>)> =
        batch.rows.into_iter().map(|(key, (version, content))| (key, version, content)).collect();
    // In sequence order: content is appended, and the trees are walked from left to right.
    rows.sort_unstable_by_key(|(_, version, _)| version.sequence);

    let mut outdated = Vec::new();
    let mut tally: HashMap<(i64, i64), (i64, i64)> = HashMap::new();
    for (key, version, content) in &rows {
        let old = before.get(key);
        let counted = tally.entry((i64::from(key.table.0), key.project.0)).or_default();
        let alive = content.is_some();
        counted.0 += i64::from(alive) - i64::from(old.is_some_and(|old| old.alive));
        counted.1 +=
            i64::from(alive && pending(version.detail)) - i64::from(old.is_some_and(|old| old.pending));
        if let Some(old) = old.filter(|old| old.alive && (!alive || old.sequence != version.sequence.0)) {
            outdated.push(old.sequence);
        }
    }
    if !outdated.is_empty() {
        let delete = sqlx::query("DELETE FROM content WHERE sequence IN (SELECT value FROM json_each(?1))");
        delete.bind(integers(&outdated)?).execute(&mut *connection).await?;
    }
    let keys = rows.iter().map(|(key, version, content)| (*key, *version, content.is_some()));
    MIRROR.write(connection, keys.collect::<Vec<_>>().into_iter(), bind_mirror).await?;
    let contents: Vec<(i64, Vec<u8>)> =
        rows.into_iter().filter_map(|(_, version, content)| Some((version.sequence.0, content?))).collect();
    let bind = |values: &mut Values, (sequence, content): (i64, Vec<u8>)| {
        values.add(sequence)?;
        values.add(content)
    };
    CONTENT.write(connection, contents.into_iter(), bind).await?;
    LOG.write(connection, batch.log.into_iter(), bind_change).await?;

    let (add, remove): (Vec<_>, Vec<_>) = batch.references.into_iter().partition(|(_, there)| *there);
    UNREFER.write(connection, remove.into_iter(), bind_reference).await?;
    REFER.write(connection, add.into_iter(), bind_reference).await?;

    tally.retain(|_, counted| *counted != (0, 0));
    let bind = |values: &mut Values, ((table, project), (alive, pending)): ((i64, i64), (i64, i64))| {
        [table, project, alive, pending].into_iter().try_for_each(|value| values.add(value))
    };
    TALLY.write(connection, tally.into_iter(), bind).await?;

    let row = sqlx::query(
        "UPDATE bounds SET head = max(head, ?1), newest_moment = max(newest_moment, ?2) \
         RETURNING head, newest_moment",
    );
    let row = row.bind(batch.head.0).bind(batch.newest_moment.0).fetch_one(connection).await?;
    Ok(Stand { head: Sequence(row.try_get(0)?), newest_moment: Moment(row.try_get(1)?) })
}

fn pending(detail: Detail) -> bool {
    matches!(detail, Detail::Stale | Detail::Missing)
}

/// What the mirror has of the keys that are about to be written.
async fn before(
    connection: &mut SqliteConnection,
    keys: impl Iterator<Item = RowKey>,
) -> Result<HashMap<RowKey, Before>, Fault> {
    let mut before = HashMap::new();
    for (table, project, ids) in meta::by_table(keys)? {
        let rows = sqlx::query(
            "SELECT m.tab, m.project, m.id, m.sequence, m.alive, m.detail FROM json_each(?3) k \
             CROSS JOIN mirror m ON m.tab = ?1 AND m.project = ?2 AND m.id = k.value",
        );
        let rows = rows.bind(table).bind(project).bind(ids).fetch_all(&mut *connection).await?;
        for row in rows {
            let (alive, detail): (i64, i64) = (row.try_get(4)?, row.try_get(5)?);
            let (alive, pending) = (alive == 1, alive == 1 && detail >= meta::STALE);
            before.insert(meta::key(&row, 0)?, Before { sequence: row.try_get(3)?, alive, pending });
        }
    }
    Ok(before)
}

fn bind_mirror(values: &mut Values, row: (RowKey, &Version, bool)) -> Result<(), Fault> {
    let (key, version, alive) = row;
    values.add(i64::from(key.table.0))?;
    values.add(key.project.0)?;
    values.add(key.id.0)?;
    values.add(version.sequence.0)?;
    values.add(version.inserted.0)?;
    values.add(version.first_detail.0)?;
    values.add(version.listed_digest.map(|digest| digest.0.to_vec()))?;
    values.add(version.listed.0)?;
    values.add(version.looked_up.0)?;
    values.add(version.observed.0)?;
    values.add(version.updated_ms)?;
    values.add(meta::detail_number(version.detail))?;
    values.add(i64::from(alive))
}

fn bind_change(values: &mut Values, row: (&engine::change::Change, Vec<u8>)) -> Result<(), Fault> {
    let (change, body) = row;
    let kind = KINDS.iter().find(|(kind, _)| *kind == change.kind).map(|(_, number)| *number);
    let channel = CHANNELS.iter().find(|(channel, _)| *channel == change.channel).map(|(_, number)| *number);
    values.add(change.sequence.0)?;
    values.add(change.observed.0)?;
    values.add(i64::from(change.key.table.0))?;
    values.add(change.key.project.0)?;
    values.add(change.key.id.0)?;
    values.add(kind.ok_or_else(|| Fault::Encode("a kind of change has no stored number".to_owned()))?)?;
    values.add(channel.ok_or_else(|| Fault::Encode("a channel has no stored number".to_owned()))?)?;
    values.add(change.detailed.map(|moment| moment.0))?;
    values.add(i64::from(change.first_detail))?;
    values.add(body)
}

fn bind_reference(values: &mut Values, row: ((RowKey, Reference), bool)) -> Result<(), Fault> {
    let ((from, to), _) = row;
    let columns = [from.project.0, i64::from(to.table.0), to.id.0, i64::from(from.table.0), from.id.0];
    columns.into_iter().try_for_each(|value| values.add(value))
}

/// The log begins at the head. Entries up to there are pruned with the others.
pub(super) async fn begin_log(writer: &SqlitePool) -> Result<(), Fault> {
    BEGIN_LOG.before().map_err(sqlx::Error::Io)?;
    sqlx::query("UPDATE bounds SET log_floor = head").execute(writer).await?;
    Ok(BEGIN_LOG.after().map_err(sqlx::Error::Io)?)
}

/// Turns one state of the details of living rows into another, in steps, so that commits get their turn in
/// between.
pub(super) async fn ask_details(writer: &SqlitePool, tables: &[TableId], ask: Ask) -> Result<(), Fault> {
    let (from_detail, to_detail) = match ask {
        Ask::Wanted => (Detail::Off, Detail::Missing),
        Ask::Unwanted => (Detail::Missing, Detail::Off),
        Ask::Again => (Detail::Done, Detail::Stale),
    };
    let (from_detail, to_detail) = (meta::detail_number(from_detail), meta::detail_number(to_detail));
    let tables: Vec<i64> = tables.iter().map(|table| i64::from(table.0)).collect();
    let parts = sqlx::query("SELECT tab, project FROM tally WHERE tab IN (SELECT value FROM json_each(?1))");
    for part in parts.bind(integers(&tables)?).fetch_all(writer).await? {
        let (table, project): (i64, i64) = (part.try_get(0)?, part.try_get(1)?);
        let mut from = Some(i64::MIN);
        while let Some(first) = from {
            let mut writing = Writing::begin(writer, ASK_DETAILS).await?;
            let last = ask_step(&mut writing, (table, project), first, from_detail, to_detail, ask).await;
            from = writing.end(last).await?.and_then(|last| last.checked_add(1));
        }
    }
    Ok(())
}

/// One step of [`ask_details`], from the row `first` on; returns the last row it looked at, if there was any.
async fn ask_step(
    connection: &mut SqliteConnection,
    (table, project): (i64, i64),
    first: i64,
    from_detail: i64,
    to_detail: i64,
    ask: Ask,
) -> Result<Option<i64>, Fault> {
    let last = sqlx::query_scalar::<_, Option<i64>>(
        "SELECT max(id) FROM \
         (SELECT id FROM mirror WHERE tab = ?1 AND project = ?2 AND id >= ?3 ORDER BY id LIMIT ?4)",
    );
    let last = last.bind(table).bind(project).bind(first).bind(STEP).fetch_one(&mut *connection);
    let Some(last) = last.await? else { return Ok(None) };
    let asked = sqlx::query(
        "UPDATE mirror SET detail = ?6 \
         WHERE tab = ?1 AND project = ?2 AND id BETWEEN ?3 AND ?4 AND alive = 1 AND detail = ?5",
    );
    let asked = asked.bind(table).bind(project).bind(first).bind(last).bind(from_detail).bind(to_detail);
    let asked = asked.execute(&mut *connection).await?.rows_affected();
    let count = sqlx::query("UPDATE tally SET pending = pending + ?3 WHERE tab = ?1 AND project = ?2");
    let asked = i64::try_from(asked).unwrap_or(0);
    let count = count.bind(table).bind(project).bind(if ask == Ask::Unwanted { -asked } else { asked });
    count.execute(connection).await?;
    Ok(Some(last))
}
