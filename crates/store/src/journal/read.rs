//! The ways out of the journal. Every function sees one snapshot of whole commits.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use engine::change::{Change, ChangeKind};
use engine::clock::Moment;
use engine::journal::{Bounds, Counts, Known, Limit, MirrorRow, Reference};
use engine::observation::Channel;
use engine::position::Sequence;
use engine::row::{ProjectId, RowId, RowKey};
use engine::schema::TableId;
use futures::TryStreamExt;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection, SqlitePool};

use super::meta::{self, COLUMNS, MISSING, STALE};
use crate::sqlite::fault::Fault;
use crate::sqlite::{blob, integers, limited};

/// Where a journal stands when it is opened, and after a commit.
#[derive(Debug)]
pub(super) struct Stand {
    pub(super) head: Sequence,
    pub(super) newest_moment: Moment,
}

/// Where the journal stands.
pub(super) async fn start(pool: &SqlitePool) -> Result<Stand, Fault> {
    let row = sqlx::query("SELECT head, newest_moment FROM bounds").fetch_one(pool).await?;
    Ok(Stand { head: Sequence(row.try_get(0)?), newest_moment: Moment(row.try_get(1)?) })
}

/// Where mirror and log begin and end.
pub(super) async fn bounds(pool: &SqlitePool) -> Result<Bounds, Fault> {
    let row = sqlx::query("SELECT head, log_floor, horizon FROM bounds").fetch_one(pool).await?;
    Ok(Bounds {
        head: Sequence(row.try_get(0)?),
        log_floor: Sequence(row.try_get(1)?),
        horizon: Sequence(row.try_get(2)?),
    })
}

/// Versions of the given keys.
pub(super) async fn known(pool: &SqlitePool, keys: &[RowKey]) -> Result<Vec<Known>, Fault> {
    let sql = format!(
        "SELECT {COLUMNS} FROM json_each(?3) k CROSS JOIN mirror m \
         ON m.tab = ?1 AND m.project = ?2 AND m.id = k.value"
    );
    of_keys(pool, &sql, keys, meta::known).await
}

/// Rows of the given keys.
pub(super) async fn rows(pool: &SqlitePool, keys: &[RowKey]) -> Result<Vec<MirrorRow>, Fault> {
    let sql = format!(
        "SELECT {COLUMNS}, c.body FROM json_each(?3) k CROSS JOIN mirror m \
         ON m.tab = ?1 AND m.project = ?2 AND m.id = k.value \
         LEFT JOIN content c ON c.sequence = m.sequence"
    );
    of_keys(pool, &sql, keys, |row| Ok(meta::mirror_row(row)?.0)).await
}

/// What a query says of the given keys, in one snapshot. Each trip to the driver's thread and back costs as much as
/// reading several rows, so a single query, which sees one snapshot by itself, is put into no transaction.
async fn of_keys<T>(
    pool: &SqlitePool,
    sql: &str,
    keys: &[RowKey],
    read: impl Fn(&SqliteRow) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let parts = meta::by_table(keys.iter().copied())?;
    let mut found = Vec::with_capacity(keys.len());
    match parts.as_slice() {
        [] => {}
        [part] => of_part(&mut *pool.acquire().await?, sql, part, &read, &mut found).await?,
        parts => {
            let mut snapshot = pool.begin().await?;
            for part in parts {
                of_part(&mut snapshot, sql, part, &read, &mut found).await?;
            }
            snapshot.rollback().await?;
        }
    }
    Ok(found)
}

async fn of_part<T>(
    connection: &mut SqliteConnection,
    sql: &str,
    (table, project, ids): &(i64, i64, String),
    read: impl Fn(&SqliteRow) -> Result<T, Fault>,
    found: &mut Vec<T>,
) -> Result<(), Fault> {
    let query = sqlx::query(AssertSqlSafe(sql)).bind(table).bind(project).bind(ids.as_str());
    let mut rows = query.fetch(connection);
    while let Some(row) = rows.try_next().await? {
        found.push(read(&row)?);
    }
    Ok(())
}

/// The mirror in sequence order.
pub(super) async fn mirror_after(
    pool: &SqlitePool,
    after: Sequence,
    limit: Limit,
) -> Result<Vec<MirrorRow>, Fault> {
    let sql = format!(
        "SELECT {COLUMNS}, c.body FROM mirror m INDEXED BY mirror_sequence \
         LEFT JOIN content c ON c.sequence = m.sequence \
         WHERE m.sequence > ?1 ORDER BY m.sequence LIMIT ?2"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(after.0).bind(i64::from(limit.rows)).fetch(pool);
    limited(rows, limit.bytes, meta::mirror_row).await
}

/// Living rows of a table of a project in id order.
pub(super) async fn scan(
    pool: &SqlitePool,
    table: TableId,
    project: ProjectId,
    after: Option<RowId>,
    limit: Limit,
) -> Result<Vec<MirrorRow>, Fault> {
    let Some(from) = after.map_or(Some(i64::MIN), |after| after.0.checked_add(1)) else {
        return Ok(Vec::new());
    };
    let sql = format!(
        "SELECT {COLUMNS}, c.body FROM mirror m LEFT JOIN content c ON c.sequence = m.sequence \
         WHERE m.tab = ?1 AND m.project = ?2 AND m.id >= ?3 AND m.alive = 1 ORDER BY m.id LIMIT ?4"
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(i64::from(table.0)).bind(project.0);
    let rows = query.bind(from).bind(i64::from(limit.rows)).fetch(pool);
    limited(rows, limit.bytes, meta::mirror_row).await
}

/// The log in sequence order.
pub(super) async fn log_after(
    pool: &SqlitePool,
    after: Sequence,
    limit: Limit,
) -> Result<Vec<Change>, Fault> {
    let rows = sqlx::query(
        "SELECT tab, project, id, sequence, kind, channel, observed, detailed, first_detail, body \
         FROM log WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
    );
    let rows = rows.bind(after.0).bind(i64::from(limit.rows)).fetch(pool);
    limited(rows, limit.bytes, change).await
}

fn change(row: &SqliteRow) -> Result<(Change, usize), Fault> {
    let body: &[u8] = row.try_get(9)?;
    let (before, after) = blob::unpack_change(body)?;
    let (kind, channel): (i64, i64) = (row.try_get(4)?, row.try_get(5)?);
    let first_detail: i64 = row.try_get(8)?;
    let change = Change {
        sequence: Sequence(row.try_get(3)?),
        key: meta::key(row, 0)?,
        kind: KINDS
            .iter()
            .find_map(|(known, number)| (*number == kind).then_some(*known))
            .ok_or_else(|| Fault::Damaged(format!("a change is of the kind {kind}")))?,
        channel: CHANNELS
            .iter()
            .find_map(|(known, number)| (*number == channel).then_some(*known))
            .ok_or_else(|| Fault::Damaged(format!("a change came through channel {channel}")))?,
        observed: Moment(row.try_get(6)?),
        detailed: row.try_get::<Option<i64>, _>(7)?.map(Moment),
        first_detail: first_detail == 1,
        before,
        after,
    };
    Ok((change, blob::unpacked_len(body)))
}

/// Stored numbers of the kinds of change; a number is never given to another kind.
pub(super) const KINDS: [(ChangeKind, i64); 4] =
    [(ChangeKind::Insert, 1), (ChangeKind::Update, 2), (ChangeKind::Delete, 3), (ChangeKind::Detail, 4)];

/// Stored numbers of the channels; a number is never given to another channel.
pub(super) const CHANNELS: [(Channel, i64); 6] = [
    (Channel::Load, 1),
    (Channel::Detail, 2),
    (Channel::Poll, 3),
    (Channel::Census, 4),
    (Channel::Relation, 5),
    (Channel::Hook, 6),
];

/// Keys whose detail is pending, the stale ones first.
pub(super) async fn pending_details(
    pool: &SqlitePool,
    projects: &[ProjectId],
    but: &[RowKey],
    limit: u32,
) -> Result<Vec<RowKey>, Fault> {
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let but: HashSet<RowKey> = but.iter().copied().collect();
    let projects = integers(&projects.iter().map(|project| project.0).collect::<Vec<_>>())?;
    let mut found = Vec::new();
    let mut snapshot = pool.begin().await?;
    for state in [STALE, MISSING] {
        // `detail >= 2` is for the planner: only so it sees that the partial index has every row.
        let query = sqlx::query(
            "SELECT m.tab, m.project, m.id FROM json_each(?1) p \
             CROSS JOIN mirror m INDEXED BY mirror_pending \
             ON m.detail >= 2 AND m.detail = ?2 AND m.project = p.value",
        );
        let mut rows = query.bind(projects.as_str()).bind(state).fetch(&mut *snapshot);
        while found.len() < wanted {
            let Some(row) = rows.try_next().await? else { break };
            let key = meta::key(&row, 0)?;
            if !but.contains(&key) {
                found.push(key);
            }
        }
    }
    snapshot.rollback().await?;
    Ok(found)
}

/// Living rows that refer to one of `to`, in the order of both.
pub(super) async fn referrers(
    pool: &SqlitePool,
    project: ProjectId,
    to: &[Reference],
    after: Option<(Reference, RowKey)>,
    limit: u32,
) -> Result<Vec<(Reference, RowKey)>, Fault> {
    // The row that was read to is that of the first of these: it may have more.
    let to = to.iter().filter(|to| after.is_none_or(|(first, _)| **to >= first));
    let mut parts: BTreeMap<TableId, BTreeSet<i64>> = BTreeMap::new();
    for to in to {
        parts.entry(to.table).or_default().insert(to.id.0);
    }
    let text = |(table, ids): (TableId, BTreeSet<i64>)| {
        let after = after.filter(|(first, _)| first.table == table);
        let runs =
            serde_json::to_string(&runs(ids, after)).map_err(|error| Fault::Encode(error.to_string()))?;
        Ok((table, runs))
    };
    let parts: Vec<(TableId, String)> = parts.into_iter().map(text).collect::<Result<_, Fault>>()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    match parts.as_slice() {
        [] => {}
        [part] => referring(&mut *pool.acquire().await?, project, part, limit, &mut found).await?,
        parts => {
            let mut snapshot = pool.begin().await?;
            for part in parts {
                referring(&mut snapshot, project, part, limit, &mut found).await?;
            }
            snapshot.rollback().await?;
        }
    }
    Ok(found)
}

/// References to ids that follow each other: those of a page do, and few of them are referred to. All that come after
/// the first id, table and row, up to the last id.
type Run = (i64, i64, i64, i64);

/// The runs of these ids, of which all has been read up to `after`.
fn runs(ids: BTreeSet<i64>, after: Option<(Reference, RowKey)>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for id in ids {
        let (table, row) = after
            .filter(|(first, _)| first.id.0 == id)
            .map_or((-1, 0), |(_, key)| (i64::from(key.table.0), key.id.0));
        match runs.last_mut() {
            Some((.., last)) if last.checked_add(1) == Some(id) => *last = id,
            _ => runs.push((id, table, row, id)),
        }
    }
    runs
}

/// Those of them that refer to rows of one table, until there are `limit` in all.
async fn referring(
    connection: &mut SqliteConnection,
    project: ProjectId,
    (to, runs): &(TableId, String),
    limit: usize,
    found: &mut Vec<(Reference, RowKey)>,
) -> Result<(), Fault> {
    // CROSS JOIN keeps to the order of the runs, and the references of each are walked in theirs: nothing is sorted,
    // and what is beyond the limit is not read. Keys order by table, project, id, and all of these share the project.
    let rows = sqlx::query(
        "SELECT r.to_id, r.tab, r.project, r.id FROM json_each(?3) t \
         CROSS JOIN refs r ON r.project = ?1 AND r.to_tab = ?2 \
         AND (r.to_id, r.tab, r.id) > (t.value ->> 0, t.value ->> 1, t.value ->> 2) \
         AND r.to_id <= t.value ->> 3 \
         CROSS JOIN mirror m ON m.tab = r.tab AND m.project = r.project AND m.id = r.id AND m.alive = 1",
    );
    let rows = rows.bind(project.0).bind(i64::from(to.0)).bind(runs.as_str());
    let mut rows = rows.fetch(connection);
    while found.len() < limit {
        let Some(row) = rows.try_next().await? else { break };
        found.push((Reference { table: *to, id: RowId(row.try_get(0)?) }, meta::key(&row, 1)?));
    }
    Ok(())
}

/// Living rows, last changed within the sequences, that refer to a row of `table` that the mirror does not have, dead
/// or alive. Goes through all references to the table: in the order of the mirror's key, so that it walks both
/// trees from left to right.
pub(super) async fn dangling(
    pool: &SqlitePool,
    project: ProjectId,
    table: TableId,
    (after, until): (Sequence, Sequence),
    limit: u32,
) -> Result<Vec<Known>, Fault> {
    let sql = format!(
        "SELECT DISTINCT {COLUMNS} FROM refs r CROSS JOIN mirror m \
         ON m.tab = r.tab AND m.project = r.project AND m.id = r.id AND m.alive = 1 \
         WHERE r.project = ?1 AND r.to_tab = ?2 AND NOT EXISTS (SELECT 1 FROM mirror o \
         WHERE o.tab = r.to_tab AND o.project = r.project AND o.id = r.to_id) \
         AND m.sequence > ?3 AND m.sequence <= ?4 ORDER BY m.sequence LIMIT ?5"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(project.0).bind(i64::from(table.0));
    let rows = rows.bind(after.0).bind(until.0).bind(i64::from(limit)).fetch_all(pool).await?;
    rows.iter().map(meta::known).collect()
}

/// Numbers of a table of a project.
pub(super) async fn counts(pool: &SqlitePool, table: TableId, project: ProjectId) -> Result<Counts, Fault> {
    let row = sqlx::query("SELECT alive, pending FROM tally WHERE tab = ?1 AND project = ?2");
    let row = row.bind(i64::from(table.0)).bind(project.0).fetch_optional(pool).await?;
    let Some(row) = row else { return Ok(Counts::default()) };
    let number = |index: usize| -> Result<u64, Fault> {
        let number: i64 = row.try_get(index)?;
        u64::try_from(number).map_err(|_| Fault::Damaged("a count is negative".to_owned()))
    };
    Ok(Counts { alive: number(0)?, pending: number(1)? })
}
