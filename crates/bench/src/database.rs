//! The databases that are written into, looked at from outside as a user would.

use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, SqliteConnection};

use crate::Result;
use crate::simulator::{PROJECT, TEAM};

/// A database of its own for one run.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    /// A SQLite file.
    Sqlite(PathBuf),
}

/// A connection that reads.
#[derive(Debug)]
pub(crate) enum Reader {
    Sqlite(SqliteConnection),
}

/// An issue as the target has it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) code: i64,
    pub(crate) name: Option<String>,
    /// Whether what only a look-up shows is there.
    pub(crate) detailed: bool,
}

impl Database {
    /// A SQLite file in `dir`.
    pub(crate) fn sqlite(dir: &Path) -> Database {
        Database::Sqlite(dir.join("target.db"))
    }

    /// As the tables call it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Database::Sqlite(_) => "SQLite",
        }
    }

    /// `target:` of a pipeline.
    pub(crate) fn yaml(&self) -> String {
        match self {
            Database::Sqlite(file) => format!("sqlite: {{ path: \"{}\" }}", file.display()),
        }
    }

    /// Connects; `None` as long as nobody has made it.
    pub(crate) async fn reader(&self) -> Result<Option<Reader>> {
        match self {
            Database::Sqlite(file) if !file.exists() => Ok(None),
            Database::Sqlite(file) => {
                let options = SqliteConnectOptions::new().filename(file).read_only(true);
                Ok(Some(Reader::Sqlite(options.connect().await?)))
            }
        }
    }
}

impl Reader {
    /// Issues with these codes, as far as they are there.
    pub(crate) async fn issues(&mut self, codes: &[i64]) -> Result<Vec<Seen>> {
        let rows: sqlx::Result<Vec<(i64, Option<String>, bool)>> = match self {
            Reader::Sqlite(connection) => {
                let sql = "SELECT code, name, _detailed_at IS NOT NULL AS detailed FROM issues \
                           WHERE team_name = ? AND project_name = ? AND code IN (SELECT value FROM json_each(?))";
                let query = sqlx::query_as(sql).bind(TEAM).bind(PROJECT).bind(serde_json::to_string(codes)?);
                query.fetch_all(connection).await
            }
        };
        match rows {
            // The tables come a moment after the database.
            Err(error) if is_early(&error) => Ok(Vec::new()),
            rows => {
                Ok(rows?.into_iter().map(|(code, name, detailed)| Seen { code, name, detailed }).collect())
            }
        }
    }

    /// Issues of which the detail is pending.
    pub(crate) async fn pending(&mut self) -> Result<u64> {
        let sql = "SELECT count(*) FROM issues WHERE _detailed_at IS NULL";
        let count: i64 = match self {
            Reader::Sqlite(connection) => sqlx::query_scalar(sql).fetch_one(connection).await?,
        };
        Ok(u64::try_from(count)?)
    }

    /// Rows of a table.
    pub(crate) async fn count(&mut self, table: &str) -> Result<u64> {
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let count: i64 = match self {
            Reader::Sqlite(connection) => sqlx::query_scalar(sql).fetch_one(connection).await?,
        };
        Ok(u64::try_from(count)?)
    }
}

/// Whether the table that was asked for is not there yet.
fn is_early(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.message().contains("no such table"))
}
