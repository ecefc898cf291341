//! Whether a table is there, whether tributary made it, and how it fits what is wanted.

use engine::target::{Room, TableLook, TargetTable};
use sqlx::SqliteConnection;

use super::encode::{MAX_COLUMNS, declared_type};
use super::{WORDS, bookkeeping};
use crate::definition::{self, Definition, Names, Object, Standing};
use crate::fault::Fault;

/// Looks how `table` stands; refuses one that is not ours or has been changed. Reads only.
pub(super) async fn examine(
    connection: &mut SqliteConnection,
    table: &TargetTable,
) -> Result<Standing, Fault> {
    let stored = stored_definition(connection, &table.name).await?;
    let object = object(connection, &table.name).await?;
    Standing::judge(table, stored, object, declared_type, Names::AnyCase, &WORDS)
}

/// Looks how `table` stands, and refuses nothing.
pub(super) async fn look(connection: &mut SqliteConnection, table: &TargetTable) -> Result<TableLook, Fault> {
    let stored = stored_definition(connection, &table.name).await?;
    let object = object(connection, &table.name).await?;
    Ok(definition::look(table, stored, object, declared_type, Names::AnyCase))
}

/// The room for columns in `table`.
pub(super) async fn room(connection: &mut SqliteConnection, table: &TargetTable) -> Result<Room, Fault> {
    let stored = stored_definition(connection, &table.name).await?;
    let used: i64 = sqlx::query_scalar("SELECT count(*) FROM pragma_table_xinfo(?)")
        .bind(&table.name)
        .fetch_one(&mut *connection)
        .await?;
    let used = usize::try_from(used).unwrap_or(usize::MAX);
    Ok(definition::room(table, stored, used, MAX_COLUMNS, Names::AnyCase))
}

/// What stands under a table's name, if anything.
pub(super) async fn object(connection: &mut SqliteConnection, name: &str) -> Result<Option<Object>, Fault> {
    let found: Option<(String, String)> = sqlx::query_as(
        "SELECT type, name FROM sqlite_schema WHERE name = ? COLLATE NOCASE AND type <> 'trigger'",
    )
    .bind(name)
    .fetch_optional(&mut *connection)
    .await?;
    let Some((object, name)) = found else { return Ok(None) };
    if object != "table" {
        let why = format!("the file has {object} `{name}`, which tributary did not make");
        return Ok(Some(Object::Other(why)));
    }
    let real = sqlx::query_as("SELECT name, type, pk FROM pragma_table_xinfo(?) ORDER BY cid")
        .bind(&name)
        .fetch_all(connection)
        .await?;
    Ok(Some(Object::Table(real)))
}

/// Whether the file has a table of this name.
pub(super) async fn exists(connection: &mut SqliteConnection, table: &str) -> Result<bool, Fault> {
    let kept = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = ? AND type = 'table'";
    Ok(sqlx::query_scalar(kept).bind(table).fetch_one(connection).await?)
}

/// The definition that a table was made with, if tributary made it.
pub(super) async fn stored_definition(
    connection: &mut SqliteConnection,
    table: &str,
) -> Result<Option<Definition>, Fault> {
    if !exists(connection, "_tributary_tables").await? {
        return Ok(None);
    }
    let json: Option<String> =
        sqlx::query_scalar("SELECT definition FROM _tributary_tables WHERE table_name = ?")
            .bind(table)
            .fetch_optional(&mut *connection)
            .await?;
    let Some(json) = json else { return Ok(None) };
    serde_json::from_str(&json).map(Some).map_err(|_| {
        WORDS.shape(table, "its definition in `_tributary_tables` cannot be read".to_owned(), &[])
    })
}

/// Refuses a table of another shape if another task has rows in it.
pub(super) async fn refuse_shared(
    connection: &mut SqliteConnection,
    task: &str,
    table: &TargetTable,
    points: &[String],
) -> Result<(), Fault> {
    match bookkeeping::other_owner(connection, &table.name, task).await? {
        None => Ok(()),
        Some(other) => Err(WORDS.shared(&table.name, &other, points)),
    }
}
