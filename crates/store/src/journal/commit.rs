//! The one way rows get into the journal, in one flushed transaction a batch.
//!
//! What is large is compressed while the driver's thread writes what is small. Rows are written in statements of many
//! rows each: a round through the driver costs more than a row.

use std::collections::HashMap;

use engine::change::Change;
use engine::clock::Moment;
use engine::failpoint::Step;
use engine::journal::{Ask, Detail, Entry, MirrorRow, Reference};
use engine::position::Sequence;
use engine::row::RowKey;
use engine::schema::TableId;
use sqlx::{Row as _, SqliteConnection, SqlitePool};

use super::extent::Extent;
use super::meta;
use super::read::{CHANNELS, KINDS, Stand};
use crate::sqlite::fault::Fault;
use crate::sqlite::statement::{Statement, Values};
use crate::sqlite::{Writing, blob, integers};

const COMMIT: Step = Step::named("journal::commit");
const BEGIN_LOG: Step = Step::named("journal::log");
const ASK_DETAILS: Step = Step::named("journal::details");

/// Rows a statement: a page of a listing takes one, as do two. One row a statement is five times slower, as measured.
const SIZES: &[usize] = &[1_000, 500, 100, 10, 1];

/// A batch has a handful of references or hundreds: finer steps spare statements.
const FINE_SIZES: &[usize] = &[500, 200, 80, 32, 12, 4, 1];

/// Rows packed before others get their turn (some 0.2 ms): the writing beside goes on.
const BREATH: usize = 32;

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
    Statement { before: "INSERT OR IGNORE INTO refs VALUES ", columns: 5, after: "", sizes: FINE_SIZES };

const UNREFER: Statement = Statement {
    before: "DELETE FROM refs WHERE (project, to_tab, to_id, tab, id) IN (VALUES ",
    columns: 5,
    after: ")",
    sizes: FINE_SIZES,
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

impl Size {
    /// Of both together: a change has the row after it, which is the same.
    pub(super) fn kept(self) -> usize {
        self.row.max(self.change)
    }
}

/// A batch, sorted out.
#[derive(Default)]
struct Batch<'a> {
    /// The last entry of every key, and where it stands among the entries.
    last: HashMap<RowKey, (usize, &'a Entry)>,
    log: Vec<&'a Change>,
    /// References, and whether each is there at the end of the batch; in the order of their tree.
    references: Vec<(RowKey, Reference, bool)>,
    head: Sequence,
    newest_moment: Moment,
}

impl<'a> Batch<'a> {
    fn of(entries: &'a [Entry]) -> Batch<'a> {
        let mut batch = Batch::default();
        for (at, entry) in entries.iter().enumerate() {
            let (key, version) = (entry.row.key, &entry.row.version);
            batch.last.insert(key, (at, entry));
            batch.references.extend(entry.old_references.iter().map(|to| (key, *to, false)));
            batch.references.extend(entry.new_references.iter().map(|to| (key, *to, true)));
            batch.head = batch.head.max(version.sequence);
            let newest = version.observed.max(version.listed).max(version.looked_up);
            batch.newest_moment = batch.newest_moment.max(newest);
            if let Some(change) = &entry.change {
                batch.log.push(change);
                batch.head = batch.head.max(change.sequence);
                batch.newest_moment = batch.newest_moment.max(change.observed);
            }
        }
        // Of what is said of the same reference, the last word stays.
        batch.references.sort_by_key(|(from, to, _)| (from.project, *to, from.table, from.id));
        batch.references.dedup_by(|later, earlier| {
            let same = (later.0, later.1) == (earlier.0, earlier.1);
            earlier.2 = if same { later.2 } else { earlier.2 };
            same
        });
        batch
    }
}

/// The large part of a batch, compressed.
#[derive(Default)]
struct Packed {
    /// Rows of the mirror, by sequence.
    contents: Vec<(i64, Vec<u8>)>,
    /// Of the log, in its order.
    bodies: Vec<Vec<u8>>,
    /// Of each entry.
    sizes: Vec<Size>,
}

impl Packed {
    async fn of(entries: &[Entry], batch: &Batch<'_>) -> Result<Packed, Fault> {
        let mut packed = Packed::default();
        for (at, entry) in entries.iter().enumerate() {
            if at % BREATH == BREATH - 1 {
                tokio::task::yield_now().await;
            }
            let mut size = Size::default();
            if let Some(row) = &entry.row.row {
                size.row = row.json().len();
                if batch.last.get(&entry.row.key).is_some_and(|(last, _)| *last == at) {
                    packed.contents.push((entry.row.version.sequence.0, blob::pack_row(row)?));
                }
            }
            if let Some(change) = &entry.change {
                let body = blob::pack_change(change.before.as_ref(), change.after.as_ref())?;
                size.change = blob::unpacked_len(&body);
                packed.bodies.push(body);
            }
            packed.sizes.push(size);
        }
        // Content is appended.
        packed.contents.sort_unstable_by_key(|(sequence, _)| *sequence);
        Ok(packed)
    }
}

/// What the mirror had of a key before the batch.
struct Before {
    sequence: i64,
    alive: bool,
    pending: bool,
}

/// Writes entries; returns where the journal stands afterwards, and the size of each entry.
pub(super) async fn commit(
    writer: &SqlitePool,
    extent: &Extent,
    entries: &[Entry],
) -> Result<(Stand, Vec<Size>), Fault> {
    let batch = Batch::of(entries);
    let mut writing = Writing::begin(writer, COMMIT).await?;
    let written = Box::pin(write(&mut writing, extent, entries, batch)).await;
    writing.end(written).await
}

async fn write(
    connection: &mut SqliteConnection,
    extent: &Extent,
    entries: &[Entry],
    batch: Batch<'_>,
) -> Result<(Stand, Vec<Size>), Fault> {
    // The driver's thread writes what is small while this one compresses what is large.
    let (indexed, packed) = futures::join!(index(connection, extent, &batch), Packed::of(entries, &batch));
    let (tally, Packed { contents, bodies, sizes }) = (indexed?, packed?);

    let bind = |values: &mut Values, (sequence, content): (i64, Vec<u8>)| {
        values.add(sequence)?;
        values.add(content)
    };
    CONTENT.write(connection, contents.into_iter(), bind).await?;
    let log: Vec<(&Change, Vec<u8>)> = batch.log.into_iter().zip(bodies).collect();
    LOG.write(connection, log.into_iter(), bind_change).await?;

    let bind = |values: &mut Values, ((table, project), (alive, pending)): ((i64, i64), (i64, i64))| {
        [table, project, alive, pending].into_iter().try_for_each(|value| values.add(value))
    };
    TALLY.write(connection, tally.into_iter(), bind).await?;

    let row = sqlx::query(
        "UPDATE bounds SET head = max(head, ?1), newest_moment = max(newest_moment, ?2) \
         RETURNING head, newest_moment",
    );
    let row = row.bind(batch.head.0).bind(batch.newest_moment.0).fetch_one(connection).await?;
    Ok((Stand { head: Sequence(row.try_get(0)?), newest_moment: Moment(row.try_get(1)?) }, sizes))
}

/// Alive and pending rows more, by table and project.
type Tally = HashMap<(i64, i64), (i64, i64)>;

/// Writes what is small: versions and references; takes away content that they outdate. Says what to count.
async fn index(
    connection: &mut SqliteConnection,
    extent: &Extent,
    batch: &Batch<'_>,
) -> Result<Tally, Fault> {
    let keys: Vec<RowKey> = batch.last.keys().copied().collect();
    learn(connection, extent, &keys).await?;
    let before = before(connection, extent.reached(&keys)).await?;
    extent.grow(&keys);
    let mut rows: Vec<&MirrorRow> = batch.last.values().map(|(_, entry)| &entry.row).collect();
    // In sequence order: the trees are walked from left to right.
    rows.sort_unstable_by_key(|row| row.version.sequence);

    let (mut outdated, mut tally) = (Vec::new(), Tally::new());
    for MirrorRow { key, version, row } in &rows {
        let (old, alive) = (before.get(key), row.is_some());
        let counted = tally.entry((i64::from(key.table.0), key.project.0)).or_default();
        counted.0 += i64::from(alive) - i64::from(old.is_some_and(|old| old.alive));
        counted.1 +=
            i64::from(alive && pending(version.detail)) - i64::from(old.is_some_and(|old| old.pending));
        if let Some(old) = old.filter(|old| old.alive && (!alive || old.sequence != version.sequence.0)) {
            outdated.push(old.sequence);
        }
    }
    tally.retain(|_, counted| *counted != (0, 0));
    if !outdated.is_empty() {
        let delete = sqlx::query("DELETE FROM content WHERE sequence IN (SELECT value FROM json_each(?1))");
        delete.bind(integers(&outdated)?).execute(&mut *connection).await?;
    }
    MIRROR.write(connection, rows.into_iter(), bind_mirror).await?;

    let references = |there: bool| {
        let these = batch.references.iter().filter(|(_, _, is_there)| *is_there == there);
        these.map(|(from, to, _)| (*from, *to)).collect::<Vec<_>>()
    };
    UNREFER.write(connection, UNREFER.filled_up(references(false)).into_iter(), bind_reference).await?;
    REFER.write(connection, REFER.filled_up(references(true)).into_iter(), bind_reference).await?;
    Ok(tally)
}

fn pending(detail: Detail) -> bool {
    matches!(detail, Detail::Stale | Detail::Missing)
}

/// Finds out how far the tables reach that these keys are of.
async fn learn(connection: &mut SqliteConnection, extent: &Extent, keys: &[RowKey]) -> Result<(), Fault> {
    for (table, project) in extent.unknown(keys) {
        let largest = sqlx::query_scalar("SELECT max(id) FROM mirror WHERE tab = ?1 AND project = ?2");
        let largest = largest.bind(i64::from(table.0)).bind(project.0);
        let largest: Option<i64> = largest.fetch_one(&mut *connection).await?;
        extent.learn(table, project, largest.unwrap_or(i64::MIN));
    }
    Ok(())
}

/// What the mirror has of the keys that are about to be written.
async fn before(
    connection: &mut SqliteConnection,
    keys: Vec<RowKey>,
) -> Result<HashMap<RowKey, Before>, Fault> {
    let mut before = HashMap::new();
    for (table, project, ids) in meta::by_table(keys.into_iter())? {
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

fn bind_mirror(values: &mut Values, row: &MirrorRow) -> Result<(), Fault> {
    let MirrorRow { key, version, row } = row;
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
    values.add(i64::from(row.is_some()))
}

fn bind_change(values: &mut Values, row: (&Change, Vec<u8>)) -> Result<(), Fault> {
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

fn bind_reference(values: &mut Values, (from, to): (RowKey, Reference)) -> Result<(), Fault> {
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
