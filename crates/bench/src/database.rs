//! The databases that are written into, looked at from outside as a user would.

use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, SqliteConnection};
use test_postgres::Cluster;

use crate::Result;
use crate::process::family_cpu;
use crate::simulator::{PROJECT, TEAM};

/// The schema in PostgreSQL.
pub(crate) const SCHEMA: &str = "coding";

/// A kind of database, and the server that has them where one is needed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind<'a> {
    Sqlite,
    /// A server with the settings that PostgreSQL comes with.
    Postgres(&'a Cluster),
}

/// A database of its own for one run.
#[derive(Debug)]
pub(crate) enum Database {
    /// A SQLite file.
    Sqlite(PathBuf),
    Postgres(Box<test_postgres::Database>),
}

/// A connection that reads.
#[derive(Debug)]
pub(crate) enum Reader {
    Sqlite(SqliteConnection),
    Postgres(Box<PgConnection>),
}

/// An issue as the target has it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) code: i64,
    pub(crate) name: Option<String>,
    /// Whether what only a look-up shows is there.
    pub(crate) detailed: bool,
}

impl Kind<'_> {
    /// As the tables call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Sqlite => "SQLite",
            Kind::Postgres(_) => "PostgreSQL",
        }
    }

    /// An empty one; a file lies in `dir`.
    pub(crate) async fn make(self, dir: &Path) -> Database {
        match self {
            Kind::Sqlite => Database::Sqlite(dir.join("target.db")),
            Kind::Postgres(server) => Database::Postgres(Box::new(server.database().await)),
        }
    }

    /// CPU seconds of the server so far, where there is one and the system says.
    pub(crate) fn cpu(self) -> Option<f64> {
        match self {
            Kind::Sqlite => None,
            Kind::Postgres(server) => family_cpu(server.pid()),
        }
    }
}

impl Database {
    /// `target:` of a pipeline.
    pub(crate) fn yaml(&self) -> String {
        match self {
            Database::Sqlite(file) => format!("sqlite: {{ path: \"{}\" }}", file.display()),
            Database::Postgres(database) => {
                format!("postgres: {{ url: \"{}\", schema: {SCHEMA} }}", database.url())
            }
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
            Database::Postgres(database) => {
                let mut connection = database.connect().await;
                // A look that was planned while the table was empty would go through all of it, again and again.
                let by_key = "SET enable_seqscan = off; SET plan_cache_mode = force_custom_plan";
                sqlx::raw_sql(by_key).execute(&mut connection).await?;
                Ok(Some(Reader::Postgres(Box::new(connection))))
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
            Reader::Postgres(connection) => {
                let sql = AssertSqlSafe(format!(
                    "SELECT code, name, _detailed_at IS NOT NULL FROM {SCHEMA}.issues \
                     WHERE team_name = $1 AND project_name = $2 AND code = ANY($3)"
                ));
                sqlx::query_as(sql).bind(TEAM).bind(PROJECT).bind(codes).fetch_all(&mut **connection).await
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
        self.number("issues WHERE _detailed_at IS NULL").await
    }

    /// Rows of a table.
    pub(crate) async fn count(&mut self, table: &str) -> Result<u64> {
        self.number(table).await
    }

    /// How many there are of `what`: a table, and which rows of it.
    async fn number(&mut self, what: &str) -> Result<u64> {
        let count: i64 = match self {
            Reader::Sqlite(connection) => {
                let sql = AssertSqlSafe(format!("SELECT count(*) FROM {what}"));
                sqlx::query_scalar(sql).fetch_one(connection).await?
            }
            Reader::Postgres(connection) => {
                let sql = AssertSqlSafe(format!("SELECT count(*) FROM {SCHEMA}.{what}"));
                sqlx::query_scalar(sql).fetch_one(&mut **connection).await?
            }
        };
        Ok(u64::try_from(count)?)
    }
}

/// Whether the table that was asked for is not there yet.
fn is_early(error: &sqlx::Error) -> bool {
    /// PostgreSQL's code for a table that is not there.
    const UNDEFINED_TABLE: &str = "42P01";
    error.as_database_error().is_some_and(|error| {
        error.code().is_some_and(|code| code == UNDEFINED_TABLE) || error.message().contains("no such table")
    })
}
