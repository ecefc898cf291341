//! Whether a table is there, whether tributary made it, and how it fits what is wanted.

use engine::target::TargetTable;
use sqlx::SqliteConnection;

use super::WORDS;
use super::encode::declared_type;
use crate::definition::{Definition, Names, RealColumn, Standing};
use crate::fault::Fault;

/// Looks how `table` stands; refuses one that is not ours or has been changed. Reads only.
pub(super) async fn examine(
    connection: &mut SqliteConnection,
    table: &TargetTable,
) -> Result<Standing, Fault> {
    let stored = stored_definition(connection, &table.name).await?;
    let found: Option<(String, String)> = sqlx::query_as(
        "SELECT type, name FROM sqlite_schema WHERE name = ? COLLATE NOCASE AND type <> 'trigger'",
    )
    .bind(&table.name)
    .fetch_optional(&mut *connection)
    .await?;
    let Some((object, name)) = found else {
        return Ok(if stored.is_some() { Standing::Lost } else { Standing::Missing });
    };
    if object != "table" {
        let why = format!("the file has {object} `{name}`, which tributary did not make");
        return Err(WORDS.shape(&table.name, why, &[]));
    }
    let real: Vec<RealColumn> =
        sqlx::query_as("SELECT name, type, pk FROM pragma_table_xinfo(?) ORDER BY cid")
            .bind(&name)
            .fetch_all(&mut *connection)
            .await?;
    Standing::judge(table, stored, &real, declared_type, Names::AnyCase, &WORDS)
}

async fn stored_definition(
    connection: &mut SqliteConnection,
    table: &str,
) -> Result<Option<Definition>, Fault> {
    let kept = "SELECT count(*) FROM sqlite_schema WHERE name = '_tributary_tables' AND type = 'table'";
    let kept: i64 = sqlx::query_scalar(kept).fetch_one(&mut *connection).await?;
    if kept == 0 {
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
