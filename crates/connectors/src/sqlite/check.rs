//! What "check" tries with a file. Start with [`check`].

use std::path::Path;

use engine::target::{Owned, TargetTable};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::config::Validated;
use super::fault::{COMFORTABLE_ROOM, into_error, room};
use super::{bookkeeping, shape};
use crate::check::{CheckItem, Outcome, made_anew};
use crate::definition::{Fit, Standing};
use crate::fault::Fault;

/// Tries everything the target needs of the file, and whether these tables of the task can stand in it, with rows of these
/// projects. Leaves no table behind, and the file in the mode it was in.
pub async fn check(
    validated: &Validated,
    task: &str,
    tables: &[TargetTable],
    projects: &[Owned],
) -> Vec<CheckItem> {
    let path = validated.path();
    let mut items = Vec::new();
    let new = !path.exists();
    match open(validated).await {
        Ok((mut connection, version)) => {
            let made = if new { "made" } else { "opened" };
            items
                .push(CheckItem::ok("target: open", format!("{made} {} (SQLite {version})", path.display())));
            items.push(match scratch(&mut connection).await {
                Ok(()) => CheckItem::ok("target: write", "made, filled and dropped a scratch table"),
                Err(error) => failed("target: write", path, error.into(), "write to"),
            });
            items.extend(match examine(&mut connection, task, tables, projects).await {
                Ok(item) => item,
                Err(fault) => Some(failed("target: tables", path, fault, "use")),
            });
            let _ = connection.close().await;
        }
        Err(error) => items.push(failed("target: open", path, error.into(), "open")),
    }
    if items.iter().all(|item| item.outcome != Outcome::Failed) {
        items.push(match wal(validated).await {
            Ok(mode) if mode.eq_ignore_ascii_case("wal") => {
                CheckItem::ok("target: WAL", "others can read while tributary writes")
            }
            Ok(mode) => CheckItem::failed(
                "target: WAL",
                format!("the file system allows journal mode `{mode}` only"),
                "Put the file on a local disk; network shares cannot do it.",
            ),
            Err(error) => failed("target: WAL", path, error.into(), "write beside"),
        });
    }
    match room(path) {
        Some(bytes) if bytes < COMFORTABLE_ROOM => items.push(CheckItem::warning(
            "target: room",
            format!("{} MB left on the disk", bytes >> 20),
            "Make room, or set a path on another disk.",
        )),
        Some(bytes) => {
            items.push(CheckItem::ok("target: room", format!("{} MB left on the disk", bytes >> 20)));
        }
        None => items.push(CheckItem::warning(
            "target: room",
            "how much room the disk has left cannot be told",
            "See that there is enough: ten thousand issues take about 30 MB.",
        )),
    }
    items
}

/// Whether the tables can be filled: whether something of somebody else's stands there, and what must be made anew.
async fn examine(
    connection: &mut SqliteConnection,
    task: &str,
    tables: &[TargetTable],
    projects: &[Owned],
) -> Result<Option<CheckItem>, Fault> {
    bookkeeping::refuse_newer(connection).await?;
    let mut standings = Vec::with_capacity(tables.len());
    for table in tables {
        standings.push(shape::examine(connection, table).await?);
    }
    // The rest needs the bookkeeping: made, and taken back.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    bookkeeping::create(&mut transaction).await?;
    let mut anew = Vec::new();
    for (table, standing) in tables.iter().zip(standings) {
        if let Standing::Ours(_, Fit::Differs(points)) = standing {
            shape::refuse_shared(&mut transaction, task, table, &points).await?;
            anew.push((table.name.clone(), points));
        }
        for owned in projects {
            bookkeeping::own(&mut transaction, task, &table.name, owned).await?;
        }
    }
    transaction.rollback().await?;
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let fine = || CheckItem::ok("target: tables", format!("{} can be filled", names.join(", ")));
    Ok(made_anew(anew).or_else(|| (!names.is_empty()).then(fine)))
}

async fn open(validated: &Validated) -> Result<(SqliteConnection, String), sqlx::Error> {
    let mut connection = validated.options().create_if_missing(true).connect().await?;
    // Reads the header, so that a file that is no database shows itself.
    sqlx::query("SELECT count(*) FROM sqlite_schema").execute(&mut connection).await?;
    let version = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut connection).await?;
    Ok((connection, version))
}

async fn scratch(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("CREATE TABLE _tributary_scratch (x TEXT)").execute(&mut *transaction).await?;
    sqlx::query("INSERT INTO _tributary_scratch (x) VALUES ('x')").execute(&mut *transaction).await?;
    sqlx::query("DROP TABLE _tributary_scratch").execute(&mut *transaction).await?;
    transaction.commit().await
}

/// Tries WAL with a file of its own beside the target, so that a file of somebody else keeps its mode.
async fn wal(validated: &Validated) -> Result<String, sqlx::Error> {
    let name = validated.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside =
        |suffix: &str| validated.path.with_file_name(format!("{name}.check-{}{suffix}", std::process::id()));
    let probe = Validated { path: beside("") };
    let tried = async {
        let mut connection = probe.options().create_if_missing(true).connect().await?;
        let mode = sqlx::query_scalar("PRAGMA journal_mode = WAL").fetch_one(&mut connection).await?;
        scratch(&mut connection).await?;
        connection.close().await?;
        Ok(mode)
    };
    let tried = tried.await;
    for suffix in ["", "-wal", "-shm", "-journal"] {
        // Most of them are not there.
        let _ = tokio::fs::remove_file(beside(suffix)).await;
    }
    tried
}

fn failed(name: &str, path: &Path, fault: Fault, doing: &str) -> CheckItem {
    let problem = into_error(fault, path, doing).problem;
    CheckItem::failed(name, format!("{}: {}", problem.what, problem.why), problem.fix)
}
