//! Whose rows are in which table: each project of a table belongs to one task.

use engine::target::Owned;
use sqlx::PgConnection;

use super::super::config::Validated;
use super::super::statement::{query, query_as, query_scalar};
use super::super::{WORDS, aside};
use crate::fault::Fault;

/// Projects whose rows the task has written, in any table.
pub(crate) async fn owned(
    connection: &mut PgConnection,
    place: &Validated,
    task: &str,
) -> Result<Vec<Owned>, Fault> {
    let owned: Vec<(String, i64, String)> = query_as(place.sql(
        "SELECT DISTINCT team, project_id, project FROM _tributary_owners WHERE task = $1 ORDER BY \
             1, 2, 3",
    ))
    .bind(task)
    .fetch_all(connection)
    .await?;
    Ok(owned.into_iter().map(|(team, project_id, project)| Owned { team, project_id, project }).collect())
}

/// Another task that has rows in `table`.
pub(crate) async fn other_owner(
    connection: &mut PgConnection,
    place: &Validated,
    table: &str,
    task: &str,
) -> Result<Option<String>, Fault> {
    let other = "SELECT task FROM _tributary_owners WHERE table_name = $1 AND task <> $2 LIMIT 1";
    Ok(query_scalar(place.sql(other)).bind(table).bind(task).fetch_optional(connection).await?)
}

/// Notes that the task fills `table` for a project; refuses if another one does. Needs [`lock`](super::lock).
pub(crate) async fn own(
    connection: &mut PgConnection,
    place: &Validated,
    task: &str,
    table: &str,
    owned: &Owned,
) -> Result<(), Fault> {
    let other: Option<String> = query_scalar(place.sql(
        "SELECT task FROM _tributary_owners WHERE table_name = $1 AND team = $2 AND (project_id = \
             $3 OR project = $4) AND task <> $5 LIMIT 1",
    ))
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
    query(place.sql(
        "INSERT INTO _tributary_owners (table_name, team, project_id, project, task) VALUES ($1, \
             $2, $3, $4, $5) ON CONFLICT DO NOTHING",
    ))
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
pub(crate) async fn disown(
    connection: &mut PgConnection,
    place: &Validated,
    task: &str,
    owned: &Owned,
) -> Result<(), Fault> {
    query(place.sql(
        "DELETE FROM _tributary_owners WHERE task = $1 AND team = $2 AND project_id = $3 AND \
             project = $4",
    ))
    .bind(task)
    .bind(&owned.team)
    .bind(owned.project_id)
    .bind(&owned.project)
    .execute(&mut *connection)
    .await?;
    aside::forget(connection, place, task, owned).await
}

/// Gives up tables that the task does not fill any more, so that another one may. Their rows stay.
pub(crate) async fn release(
    connection: &mut PgConnection,
    place: &Validated,
    task: &str,
    kept: &[&str],
) -> Result<(), Fault> {
    let tables: Vec<String> =
        query_scalar(place.sql("SELECT DISTINCT table_name FROM _tributary_owners WHERE task = $1"))
            .bind(task)
            .fetch_all(&mut *connection)
            .await?;
    for table in tables.iter().filter(|table| !kept.contains(&table.as_str())) {
        query(place.sql("DELETE FROM _tributary_owners WHERE task = $1 AND table_name = $2"))
            .bind(task)
            .bind(table)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Makes the other tasks that have rows in `table` start anew: their rows in it are lost.
pub(crate) async fn restart_others(
    connection: &mut PgConnection,
    place: &Validated,
    task: &str,
    table: &str,
) -> Result<(), Fault> {
    query(place.sql(
        "UPDATE _tributary_tasks SET generation = NULL, epoch = epoch + 1 WHERE task <> $1 \
         AND task IN (SELECT task FROM _tributary_owners WHERE table_name = $2)",
    ))
    .bind(task)
    .bind(table)
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes all tasks that have rows in `table` start anew: some of its columns are empty now.
pub(crate) async fn restart_all(
    connection: &mut PgConnection,
    place: &Validated,
    table: &str,
) -> Result<(), Fault> {
    query(place.sql(
        "UPDATE _tributary_tasks SET generation = NULL, epoch = epoch + 1 \
         WHERE task IN (SELECT task FROM _tributary_owners WHERE table_name = $1)",
    ))
    .bind(table)
    .execute(connection)
    .await?;
    Ok(())
}
