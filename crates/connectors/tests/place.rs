//! Where a task of a test writes, and how a test looks into it. Shared by the tests of the connectors and of the
//! binary.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};

use engine::schema::Kind;
use engine::target::TargetTable;
use serde_json::{Map, Value};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection, TypeInfo, ValueRef};

/// A target that there is a test for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetKind {
    Sqlite,
}

/// Makes each test for each target: a function that takes the [`TargetKind`] is run as `sqlite::…`.
macro_rules! on_each_target {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                Box::pin(super::$test(crate::place::TargetKind::Sqlite)).await;
            })+
        }
    };
}
pub(crate) use on_each_target;

/// Where the tables of a task stand.
#[derive(Debug)]
pub(crate) enum Place {
    /// In a SQLite file.
    Sqlite(PathBuf),
}

impl Place {
    /// A place for a test alone: below its directory, or a database of its own.
    pub(crate) async fn new(target: TargetKind, dir: &Path) -> Place {
        match target {
            TargetKind::Sqlite => Place::Sqlite(dir.join("target.db")),
        }
    }

    /// Runs SQL that both understand: names as the source spells them stand in double quotes.
    pub(crate) async fn execute(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Place::Sqlite(file) => {
                let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
                let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }

    /// The one number that a query finds.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Place::Sqlite(file) => {
                let options = SqliteConnectOptions::new().filename(file).read_only(true);
                let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
                sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
            }
        }
    }

    /// All rows of a table by the names of its columns. Whatever the target: JSON is JSON, a boolean a boolean, a
    /// moment RFC 3339 in UTC, a day `YYYY-MM-DD`. Fails when a value is not of the type that its column shall have.
    pub(crate) async fn rows(&self, table: &TargetTable) -> Vec<Map<String, Value>> {
        match self {
            Place::Sqlite(file) => {
                let options = SqliteConnectOptions::new().filename(file).read_only(true);
                let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
                let sql = format!("SELECT * FROM \"{}\"", table.name);
                let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
                rows.iter().map(|row| sqlite_row(row, table)).collect()
            }
        }
    }
}

fn sqlite_row(row: &SqliteRow, table: &TargetTable) -> Map<String, Value> {
    let value = |column: &engine::target::Column| {
        let name = &*column.name;
        let raw = row.try_get_raw(name).unwrap();
        if raw.is_null() {
            return Value::Null;
        }
        match (column.kind, raw.type_info().name()) {
            (Kind::Integer, "INTEGER") => row.get::<i64, _>(name).into(),
            (Kind::Boolean, "INTEGER") => row.get::<bool, _>(name).into(),
            (Kind::Real, "REAL") => row.get::<f64, _>(name).into(),
            (Kind::Json, "TEXT") => serde_json::from_str(row.get(name)).unwrap(),
            (Kind::Timestamp, "TEXT") => moment(row.get(name)).into(),
            (Kind::Text | Kind::Date, "TEXT") => row.get::<String, _>(name).into(),
            (kind, stored) => panic!("{name}, a {kind:?}, is stored as {stored}"),
        }
    };
    table.columns.iter().map(|column| (column.name.clone(), value(column))).collect()
}

/// A moment in one spelling.
fn moment(written: &str) -> String {
    written.parse::<jiff::Timestamp>().unwrap().to_string()
}
