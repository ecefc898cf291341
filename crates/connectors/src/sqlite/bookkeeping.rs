//! The `_tributary_*` tables: where each task stands, which tables are ours, whose rows are whose.
//!
//! Every function works inside a transaction of its caller; none commits. Whoever writes anything calls
//! [`fence`] or [`advance`] in the same transaction.

use engine::failpoint::Step;
use engine::position::{Fingerprint, Generation, Position, Sequence};
use engine::target::{CustomColumn, Owned, StoredField, TargetTable};
use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::shape::exists;
use super::{WORDS, aside};
use crate::definition::{Definition, Names, has_other_use};
use crate::fault::Fault;

/// The version of these tables. A file with a greater one was made by a newer tributary.
const FORMAT: i64 = 1;

const ADVANCE: Step = Step::named("sqlite::position");

/// Names of tables compare as SQLite compares them.
const TABLES: [&str; 6] = [
    "CREATE TABLE IF NOT EXISTS _tributary_format (version INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS _tributary_tasks (
        task TEXT NOT NULL PRIMARY KEY,
        epoch INTEGER NOT NULL,
        generation TEXT,
        sequence INTEGER,
        fingerprint TEXT,
        rebuilding INTEGER NOT NULL DEFAULT 0,
        updated_at TEXT NOT NULL
    )",
    "CREATE TABLE IF NOT EXISTS _tributary_tables (
        table_name TEXT NOT NULL COLLATE NOCASE PRIMARY KEY,
        definition TEXT NOT NULL,
        made_by TEXT NOT NULL
    )",
    "CREATE TABLE IF NOT EXISTS _tributary_owners (
        table_name TEXT NOT NULL COLLATE NOCASE,
        team TEXT NOT NULL,
        project_id INTEGER NOT NULL,
        project TEXT NOT NULL,
        task TEXT NOT NULL,
        PRIMARY KEY (table_name, team, project_id, project)
    )",
    "CREATE TABLE IF NOT EXISTS _tributary_aside (
        task TEXT NOT NULL,
        table_name TEXT NOT NULL COLLATE NOCASE,
        key TEXT NOT NULL,
        reason TEXT NOT NULL,
        at TEXT NOT NULL,
        PRIMARY KEY (task, table_name, key)
    )",
    // For people too: which custom field stands behind which column.
    "CREATE TABLE IF NOT EXISTS _tributary_fields (
        table_name TEXT NOT NULL COLLATE NOCASE,
        column_name TEXT NOT NULL COLLATE NOCASE,
        team TEXT NOT NULL,
        field_id INTEGER NOT NULL,
        field_name TEXT NOT NULL,
        type TEXT NOT NULL,
        added_at TEXT NOT NULL,
        named_at TEXT NOT NULL,
        PRIMARY KEY (table_name, column_name),
        UNIQUE (table_name, team, field_id)
    )",
];

/// Refuses what a newer version made. Comes before anything else is read: what is in it may mean something else.
pub(super) async fn refuse_newer(connection: &mut SqliteConnection) -> Result<(), Fault> {
    if !exists(connection, "_tributary_format").await? {
        return Ok(());
    }
    let version: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM _tributary_format").fetch_one(connection).await?;
    match version {
        Some(version) if version > FORMAT => Err(WORDS.newer(version, FORMAT)),
        _ => Ok(()),
    }
}

/// Makes what is missing; refuses what a newer version made.
pub(super) async fn create(connection: &mut SqliteConnection) -> Result<(), Fault> {
    refuse_newer(connection).await?;
    for table in TABLES {
        sqlx::query(table).execute(&mut *connection).await?;
    }
    sqlx::query(
        "INSERT INTO _tributary_format (version) SELECT ? WHERE NOT EXISTS (SELECT 1 FROM _tributary_format)",
    )
    .bind(FORMAT)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) fn now() -> String {
    format!("{:.6}", Timestamp::now())
}

/// Takes the task over; gives the new epoch.
pub(super) async fn raise_epoch(connection: &mut SqliteConnection, task: &str) -> Result<i64, Fault> {
    let raise = "INSERT INTO _tributary_tasks (task, epoch, updated_at) VALUES (?1, 1, ?2) \
                 ON CONFLICT (task) DO UPDATE SET epoch = epoch + 1 RETURNING epoch";
    Ok(sqlx::query_scalar(raise).bind(task).bind(now()).fetch_one(connection).await?)
}

/// Fails unless `epoch` is still the task's.
pub(super) async fn fence(connection: &mut SqliteConnection, task: &str, epoch: i64) -> Result<(), Fault> {
    let hit = sqlx::query("UPDATE _tributary_tasks SET updated_at = ? WHERE task = ? AND epoch = ?")
        .bind(now())
        .bind(task)
        .bind(epoch)
        .execute(connection)
        .await?;
    WORDS.fenced(hit.rows_affected(), task)
}

/// Stores where the task stands; fails unless `epoch` is still the task's.
pub(super) async fn advance(
    connection: &mut SqliteConnection,
    task: &str,
    epoch: i64,
    position: &Position,
) -> Result<(), Fault> {
    ADVANCE.before()?;
    let advance = "UPDATE _tributary_tasks SET generation = ?, sequence = ?, fingerprint = ?, rebuilding = ?, \
                   updated_at = ? WHERE task = ? AND epoch = ?";
    let hit = sqlx::query(advance)
        .bind(&position.generation.0)
        .bind(position.sequence.0)
        .bind(&position.fingerprint.0)
        .bind(position.rebuilding)
        .bind(now())
        .bind(task)
        .bind(epoch)
        .execute(connection)
        .await?;
    WORDS.fenced(hit.rows_affected(), task)?;
    Ok(ADVANCE.after()?)
}

/// Where the task stands, if it ever stood anywhere.
pub(super) async fn position(
    connection: &mut SqliteConnection,
    task: &str,
) -> Result<Option<Position>, Fault> {
    type Stored = (Option<String>, Option<i64>, Option<String>, bool);
    let stored: Option<Stored> = sqlx::query_as(
        "SELECT generation, sequence, fingerprint, rebuilding <> 0 FROM _tributary_tasks WHERE task = ?",
    )
    .bind(task)
    .fetch_optional(connection)
    .await?;
    Ok(match stored {
        Some((Some(generation), Some(sequence), Some(fingerprint), rebuilding)) => Some(Position {
            generation: Generation(generation),
            sequence: Sequence(sequence),
            fingerprint: Fingerprint(fingerprint),
            rebuilding,
        }),
        _ => None,
    })
}

/// Projects whose rows the task has written, in any table.
pub(super) async fn owned(connection: &mut SqliteConnection, task: &str) -> Result<Vec<Owned>, Fault> {
    let owned: Vec<(String, i64, String)> = sqlx::query_as(
        "SELECT DISTINCT team, project_id, project FROM _tributary_owners WHERE task = ? ORDER BY 1, 2, 3",
    )
    .bind(task)
    .fetch_all(connection)
    .await?;
    Ok(owned.into_iter().map(|(team, project_id, project)| Owned { team, project_id, project }).collect())
}

/// Another task that has rows in `table`.
pub(super) async fn other_owner(
    connection: &mut SqliteConnection,
    table: &str,
    task: &str,
) -> Result<Option<String>, Fault> {
    let other = "SELECT task FROM _tributary_owners WHERE table_name = ? AND task <> ? LIMIT 1";
    Ok(sqlx::query_scalar(other).bind(table).bind(task).fetch_optional(connection).await?)
}

/// Notes that the task fills `table` for a project; refuses if another one does.
pub(super) async fn own(
    connection: &mut SqliteConnection,
    task: &str,
    table: &str,
    owned: &Owned,
) -> Result<(), Fault> {
    let other: Option<String> = sqlx::query_scalar(
        "SELECT task FROM _tributary_owners \
         WHERE table_name = ? AND team = ? AND (project_id = ? OR project = ?) AND task <> ? LIMIT 1",
    )
    .bind(table)
    .bind(&owned.team)
    .bind(owned.project_id)
    .bind(&owned.project)
    .bind(task)
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(other) = other {
        return Err(WORDS.owned(&owned.project, table, task, &other));
    }
    sqlx::query(
        "INSERT INTO _tributary_owners (table_name, team, project_id, project, task) VALUES (?, ?, ?, ?, ?) \
         ON CONFLICT DO NOTHING",
    )
    .bind(table)
    .bind(&owned.team)
    .bind(owned.project_id)
    .bind(&owned.project)
    .bind(task)
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets a project of the task, in all tables.
pub(super) async fn disown(
    connection: &mut SqliteConnection,
    task: &str,
    owned: &Owned,
) -> Result<(), Fault> {
    sqlx::query(
        "DELETE FROM _tributary_owners WHERE task = ? AND team = ? AND project_id = ? AND project = ?",
    )
    .bind(task)
    .bind(&owned.team)
    .bind(owned.project_id)
    .bind(&owned.project)
    .execute(&mut *connection)
    .await?;
    aside::forget(connection, task, owned).await
}

/// Gives up tables that the task does not fill any more, so that another one may. Their rows stay.
pub(super) async fn release(
    connection: &mut SqliteConnection,
    task: &str,
    kept: &[&str],
) -> Result<(), Fault> {
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT table_name FROM _tributary_owners WHERE task = ?")
            .bind(task)
            .fetch_all(&mut *connection)
            .await?;
    for table in tables.iter().filter(|table| !kept.iter().any(|kept| kept.eq_ignore_ascii_case(table))) {
        sqlx::query("DELETE FROM _tributary_owners WHERE task = ? AND table_name = ?")
            .bind(task)
            .bind(table)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Makes the other tasks that have rows in `table` start anew: their rows in it are lost.
pub(super) async fn restart_others(
    connection: &mut SqliteConnection,
    task: &str,
    table: &str,
) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE _tributary_tasks SET generation = NULL, epoch = epoch + 1 WHERE task <> ?1 \
         AND task IN (SELECT task FROM _tributary_owners WHERE table_name = ?2)",
    )
    .bind(task)
    .bind(table)
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes all tasks that have rows in `table` start anew: some of its columns are empty now.
pub(super) async fn restart_all(connection: &mut SqliteConnection, table: &str) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE _tributary_tasks SET generation = NULL, epoch = epoch + 1 \
         WHERE task IN (SELECT task FROM _tributary_owners WHERE table_name = ?1)",
    )
    .bind(table)
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores the definition of a table that was made or extended.
pub(super) async fn define(
    connection: &mut SqliteConnection,
    table: &str,
    definition: &Definition,
) -> Result<(), Fault> {
    let json = serde_json::to_string(definition).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query(
        "INSERT INTO _tributary_tables (table_name, definition, made_by) VALUES (?, ?, ?) ON CONFLICT (table_name) \
         DO UPDATE SET table_name = excluded.table_name, definition = excluded.definition, \
         made_by = excluded.made_by",
    )
    .bind(table)
    .bind(json)
    .bind(env!("CARGO_PKG_VERSION"))
    .execute(connection)
    .await?;
    Ok(())
}

/// The columns of `table` that stand for custom fields.
pub(super) async fn fields(
    connection: &mut SqliteConnection,
    table: &str,
) -> Result<Vec<StoredField>, Fault> {
    let fields: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT column_name, team, field_id FROM _tributary_fields WHERE table_name = ? ORDER BY added_at, field_id",
    )
    .bind(table)
    .fetch_all(connection)
    .await?;
    let stored = |(column, team, field_id)| StoredField { table: table.to_owned(), column, team, field_id };
    Ok(fields.into_iter().map(stored).collect())
}

/// Notes which custom fields stand behind which columns of `table`, and how they are called now. Other teams'
/// fields stay; a column that another task has just given to one of them is refused.
pub(super) async fn note_fields(connection: &mut SqliteConnection, table: &TargetTable) -> Result<(), Fault> {
    let now = now();
    for stored in fields(connection, &table.name).await? {
        if has_other_use(table, &stored, Names::AnyCase) {
            sqlx::query("DELETE FROM _tributary_fields WHERE table_name = ? AND column_name = ?")
                .bind(&table.name)
                .bind(&stored.column)
                .execute(&mut *connection)
                .await?;
        }
    }
    for column in &table.columns {
        let Some(CustomColumn { team, field_id, field_name }) = &column.custom else { continue };
        let noted = sqlx::query(
            "INSERT INTO _tributary_fields \
             (table_name, column_name, team, field_id, field_name, type, added_at, named_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7) ON CONFLICT (table_name, column_name) DO UPDATE SET \
             named_at = CASE WHEN field_name = excluded.field_name THEN named_at ELSE excluded.named_at END, \
             field_name = excluded.field_name, type = excluded.type \
             WHERE team = excluded.team AND field_id = excluded.field_id",
        )
        .bind(&table.name)
        .bind(&column.name)
        .bind(team)
        .bind(field_id)
        .bind(field_name)
        .bind(column.kind.name())
        .bind(&now)
        .execute(&mut *connection)
        .await?;
        if noted.rows_affected() == 0 {
            return Err(WORDS.field_taken(&column.name, &table.name, field_name));
        }
    }
    Ok(())
}
