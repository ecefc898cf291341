//! Which rows a census saw: ids in a temporary table, so that memory does not grow with the table and the
//! journal's file is not touched. What was seen is forgotten with the process: a census starts afresh then.

use engine::clock::Moment;
use engine::journal::Unseen;
use engine::row::{ProjectId, RowId};
use engine::schema::TableId;
use sqlx::{Row as _, SqliteConnection, SqlitePool};

use crate::sqlite::fault::Fault;
use crate::sqlite::integers;

/// Forgets the earlier census of the table of the project.
pub(super) async fn start(pool: &SqlitePool, table: TableId, project: ProjectId) -> Result<(), Fault> {
    let mut transaction = pool.begin().await?;
    for sql in [
        "DELETE FROM temp.seen WHERE tab = ?1 AND project = ?2",
        "INSERT OR IGNORE INTO temp.census VALUES (?1, ?2)",
    ] {
        sqlx::query(sql).bind(i64::from(table.0)).bind(project.0).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Refuses to go on with a census of which nothing is known: every row would seem gone.
async fn under_way(connection: &mut SqliteConnection, table: i64, project: i64) -> Result<(), Fault> {
    let known = sqlx::query("SELECT 1 FROM temp.census WHERE tab = ?1 AND project = ?2");
    let known = known.bind(table).bind(project).fetch_optional(connection).await?;
    known.map(|_| ()).ok_or(Fault::NoCensus)
}

/// Remembers ids; returns how many are new.
pub(super) async fn saw(
    pool: &SqlitePool,
    table: TableId,
    project: ProjectId,
    ids: &[RowId],
) -> Result<u64, Fault> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let (table, ids) = (i64::from(table.0), integers(&ids)?);
    let mut transaction = pool.begin().await?;
    under_way(&mut transaction, table, project.0).await?;
    let seen =
        sqlx::query("INSERT OR IGNORE INTO temp.seen SELECT ?1, ?2, value FROM json_each(?3) ORDER BY value");
    let seen = seen.bind(table).bind(project.0).bind(ids).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(seen.rows_affected())
}

/// Living rows that the census did not see and that were last changed before `before`.
pub(super) async fn unseen(
    pool: &SqlitePool,
    table: TableId,
    project: ProjectId,
    before: Moment,
    limit: u32,
) -> Result<Unseen, Fault> {
    let table = i64::from(table.0);
    // One transaction: the count and the ids are of the same moment.
    let mut snapshot = pool.begin().await?;
    under_way(&mut snapshot, table, project.0).await?;
    let count = sqlx::query_scalar::<_, i64>(
        "SELECT count(*) FROM main.mirror m WHERE m.tab = ?1 AND m.project = ?2 AND m.alive = 1 \
         AND m.observed < ?3 AND NOT EXISTS \
         (SELECT 1 FROM temp.seen s WHERE s.tab = ?1 AND s.project = ?2 AND s.id = m.id)",
    );
    let count = count.bind(table).bind(project.0).bind(before.0).fetch_one(&mut *snapshot).await?;
    let ids = sqlx::query(
        "SELECT m.id FROM main.mirror m WHERE m.tab = ?1 AND m.project = ?2 AND m.alive = 1 \
         AND m.observed < ?3 AND NOT EXISTS \
         (SELECT 1 FROM temp.seen s WHERE s.tab = ?1 AND s.project = ?2 AND s.id = m.id) \
         ORDER BY m.id LIMIT ?4",
    );
    let ids = ids.bind(table).bind(project.0).bind(before.0).bind(i64::from(limit));
    let ids = ids.fetch_all(&mut *snapshot).await?;
    snapshot.commit().await?;
    let ids = ids.iter().map(|row| Ok(RowId(row.try_get(0)?))).collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(Unseen { count: u64::try_from(count).unwrap_or(0), ids })
}
