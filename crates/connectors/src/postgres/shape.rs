//! Whether a table is there, whether tributary made it, and how it fits what is wanted.

use engine::target::{Room, TableLook, TargetTable};
use sqlx::PgConnection;
use sqlx::postgres::types::Oid;

use super::config::Validated;
use super::encode::{MAX_COLUMNS, declared_type, type_of};
use super::statement::{query_as, query_scalar};
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
pub(super) async fn examine(
    connection: &mut PgConnection,
    place: &Validated,
    table: &TargetTable,
) -> Result<Standing, Fault> {
    let stored = stored_definition(connection, place, &table.name).await?;
    let object = object(connection, place, &table.name).await?;
    Standing::judge(table, stored, object, declared_type, Names::Exact, &WORDS)
}

/// Looks how `table` stands, and refuses nothing.
pub(super) async fn look(
    connection: &mut PgConnection,
    place: &Validated,
    table: &TargetTable,
) -> Result<TableLook, Fault> {
    let stored = stored_definition(connection, place, &table.name).await?;
    let object = object(connection, place, &table.name).await?;
    Ok(definition::look(table, stored, object, declared_type, Names::Exact))
}

/// The room for columns in `table`.
pub(super) async fn room(
    connection: &mut PgConnection,
    place: &Validated,
    table: &TargetTable,
) -> Result<Room, Fault> {
    let stored = stored_definition(connection, place, &table.name).await?;
    // Columns that were dropped count for ever.
    let used: Option<i64> = query_scalar(
        "SELECT c.relnatts::int8 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'r'",
    )
    .bind(place.schema())
    .bind(&table.name)
    .fetch_optional(&mut *connection)
    .await?;
    let used = usize::try_from(used.unwrap_or(0)).unwrap_or(usize::MAX);
    Ok(definition::room(table, stored, used, MAX_COLUMNS, Names::Exact))
}

/// What stands under a table's name, if anything.
pub(super) async fn object(
    connection: &mut PgConnection,
    place: &Validated,
    name: &str,
) -> Result<Option<Object>, Fault> {
    let found: Option<(Oid, String)> = query_as(
        "SELECT c.oid, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1 AND c.relname = $2",
    )
    .bind(place.schema())
    .bind(name)
    .fetch_optional(&mut *connection)
    .await?;
    let Some((table, found)) = found else { return Ok(None) };
    if found != "r" {
        let why = format!("the schema has {} of this name, which tributary did not make", letter(&found));
        return Ok(Some(Object::Other(why)));
    }
    let found: Vec<(String, Oid, bool, String, i64)> = query_as(
        "SELECT a.attname::text, a.atttypid, a.atttypmod = -1, format_type(a.atttypid, a.atttypmod), \
                coalesce(array_position(k.indkey::int2[], a.attnum) + 1, 0)::int8 \
         FROM pg_attribute a LEFT JOIN pg_index k ON k.indrelid = a.attrelid AND k.indisprimary \
         WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
    )
    .bind(table)
    .fetch_all(connection)
    .await?;
    // By the number of its type: how that is printed is a matter of settings and versions.
    let real = found.into_iter().map(|(name, oid, is_plain, printed, key)| {
        let known = type_of(oid.0).filter(|_| is_plain);
        (name, known.map_or(printed, str::to_owned), key)
    });
    let real = real.collect();
    Ok(Some(Object::Table(real)))
}

/// The definition that a table was made with, if tributary made it.
pub(super) async fn stored_definition(
    connection: &mut PgConnection,
    place: &Validated,
    table: &str,
) -> Result<Option<Definition>, Fault> {
    if !exists(connection, place, "_tributary_tables").await? {
        return Ok(None);
    }
    let json: Option<String> =
        query_scalar(place.sql("SELECT definition::text FROM _tributary_tables WHERE table_name = $1"))
            .bind(table)
            .fetch_optional(&mut *connection)
            .await?;
    let Some(json) = json else { return Ok(None) };
    serde_json::from_str(&json).map(Some).map_err(|_| {
        WORDS.shape(table, "its definition in `_tributary_tables` cannot be read".to_owned(), &[])
    })
}

/// Whether the schema has a table of this name.
pub(super) async fn exists(
    connection: &mut PgConnection,
    place: &Validated,
    table: &str,
) -> Result<bool, Fault> {
    let exists = "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = $2)";
    Ok(query_scalar(exists).bind(place.schema()).bind(table).fetch_one(connection).await?)
}

/// Refuses a table of another shape if another task has rows in it.
pub(super) async fn refuse_shared(
    connection: &mut PgConnection,
    place: &Validated,
    task: &str,
    table: &TargetTable,
    points: &[String],
) -> Result<(), Fault> {
    match bookkeeping::other_owner(connection, place, &table.name, task).await? {
        None => Ok(()),
        Some(other) => Err(WORDS.shared(&table.name, &other, points)),
    }
}
