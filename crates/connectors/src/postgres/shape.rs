//! Whether a table is there, whether tributary made it, and how it fits what is wanted.

use engine::target::{TableLook, TargetTable};
use sqlx::PgConnection;

use super::encode::declared_type;
use super::{WORDS, bookkeeping};
use crate::definition::{self, Definition, Names, Object, Standing};
use crate::fault::Fault;

/// What stands under a name in a schema, by the letter PostgreSQL keeps for it.
fn letter(letter: &str) -> &'static str {
    match letter {
        "v" => "a view",
        "m" => "a materialized view",
        "i" | "I" => "an index",
        "S" => "a sequence",
        "f" => "a foreign table",
        "c" => "a composite type",
        "p" => "a partitioned table",
        _ => "something",
    }
}

/// Looks how `table` stands; refuses one that is not ours or has been changed. Reads only.
pub(super) async fn examine(connection: &mut PgConnection, table: &TargetTable) -> Result<Standing, Fault> {
    let stored = stored_definition(connection, &table.name).await?;
    let object = object(connection, &table.name).await?;
    Standing::judge(table, stored, object, declared_type, Names::Exact, &WORDS)
}

/// Looks how `table` stands, and refuses nothing.
pub(super) async fn look(connection: &mut PgConnection, table: &TargetTable) -> Result<TableLook, Fault> {
    let stored = stored_definition(connection, &table.name).await?;
    let object = object(connection, &table.name).await?;
    Ok(definition::look(table, stored, object, declared_type, Names::Exact))
}

/// What stands under a table's name, if anything.
pub(super) async fn object(connection: &mut PgConnection, name: &str) -> Result<Option<Object>, Fault> {
    let found: Option<String> = sqlx::query_scalar(
        "SELECT relkind::text FROM pg_class \
         WHERE relname = $1 AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())",
    )
    .bind(name)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(found) = found else { return Ok(None) };
    if found != "r" {
        let why = format!("the schema has {} of this name, which tributary did not make", letter(&found));
        return Ok(Some(Object::Other(why)));
    }
    let real = sqlx::query_as(
        "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), \
                coalesce(array_position(k.indkey::int2[], a.attnum) + 1, 0)::int8 \
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
         LEFT JOIN pg_index k ON k.indrelid = c.oid AND k.indisprimary \
         WHERE c.relname = $1 AND a.attnum > 0 AND NOT a.attisdropped \
         AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) \
         ORDER BY a.attnum",
    )
    .bind(name)
    .fetch_all(connection)
    .await?;
    Ok(Some(Object::Table(real)))
}

/// The definition that a table was made with, if tributary made it.
pub(super) async fn stored_definition(
    connection: &mut PgConnection,
    table: &str,
) -> Result<Option<Definition>, Fault> {
    if !exists(connection, "_tributary_tables").await? {
        return Ok(None);
    }
    let json: Option<String> =
        sqlx::query_scalar("SELECT definition::text FROM _tributary_tables WHERE table_name = $1")
            .bind(table)
            .fetch_optional(&mut *connection)
            .await?;
    let Some(json) = json else { return Ok(None) };
    serde_json::from_str(&json).map(Some).map_err(|_| {
        WORDS.shape(table, "its definition in `_tributary_tables` cannot be read".to_owned(), &[])
    })
}

/// Whether the schema has a table of this name.
pub(super) async fn exists(connection: &mut PgConnection, table: &str) -> Result<bool, Fault> {
    let exists =
        "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = current_schema() AND tablename = $1)";
    Ok(sqlx::query_scalar(exists).bind(table).fetch_one(connection).await?)
}

/// Refuses a table of another shape if another task has rows in it.
pub(super) async fn refuse_shared(
    connection: &mut PgConnection,
    task: &str,
    table: &TargetTable,
    points: &[String],
) -> Result<(), Fault> {
    match bookkeeping::other_owner(connection, &table.name, task).await? {
        None => Ok(()),
        Some(other) => Err(WORDS.shared(&table.name, &other, points)),
    }
}
