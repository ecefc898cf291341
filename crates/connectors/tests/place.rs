//! Where a task of a test writes, and how a test looks into it. Shared by the tests of the connectors and of the
//! binary.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};

use engine::schema::Kind;
use engine::target::TargetTable;
use serde_json::{Map, Value};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection, TypeInfo, ValueRef};
use test_postgres::Database;

/// A target that there is a test for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetKind {
    Sqlite,
    Postgres,
}

/// Makes each test for each target: a function that takes the [`TargetKind`] is run as `sqlite::…` and `postgres::…`.
macro_rules! on_each_target {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                Box::pin(super::$test(crate::place::TargetKind::Sqlite)).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                Box::pin(super::$test(crate::place::TargetKind::Postgres)).await;
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
    /// In a schema of a PostgreSQL database.
    Postgres { database: Box<Database>, schema: String },
}

impl Place {
    /// A place for a test alone: below its directory, or a database of its own.
    pub(crate) async fn new(target: TargetKind, dir: &Path) -> Place {
        match target {
            TargetKind::Sqlite => Place::Sqlite(dir.join("target.db")),
            TargetKind::Postgres => {
                let database = Box::new(test_postgres::database().await);
                Place::Postgres { database, schema: "coding".to_owned() }
            }
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
            Place::Postgres { database, schema } => {
                let mut connection = connect(database, schema).await;
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
            Place::Postgres { database, schema } => {
                let mut connection = connect(database, schema).await;
                sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
            }
        }
    }

    /// The texts that a query of one column finds.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<Option<String>> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Place::Sqlite(file) => {
                let options = SqliteConnectOptions::new().filename(file).read_only(true);
                let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
                sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
            }
            Place::Postgres { database, schema } => {
                let mut connection = connect(database, schema).await;
                sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
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
            Place::Postgres { database, schema } => {
                let mut connection = connect(database, schema).await;
                assert_postgres_types(&mut connection, schema, table).await;
                let sql = format!("SELECT to_jsonb(t)::text FROM \"{}\" t", table.name);
                let rows: Vec<String> =
                    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
                rows.iter().map(|row| postgres_row(row, table)).collect()
            }
        }
    }
}

async fn connect(database: &Database, schema: &str) -> PgConnection {
    let options: PgConnectOptions = database.url().as_str().parse().unwrap();
    // Quoted as an identifier, for the setting is a list of them.
    let options = options.options([("search_path", format!("\"{schema}\""))]);
    PgConnection::connect_with(&options).await.unwrap()
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

fn postgres_row(json: &str, table: &TargetTable) -> Map<String, Value> {
    let mut row: Map<String, Value> = serde_json::from_str(json).unwrap();
    for column in table.columns.iter().filter(|column| column.kind == Kind::Timestamp) {
        let value = row.get_mut(&column.name).unwrap();
        if let Some(written) = value.as_str() {
            *value = moment(written).into();
        }
    }
    row
}

/// A moment in one spelling.
fn moment(written: &str) -> String {
    written.parse::<jiff::Timestamp>().unwrap().to_string()
}

async fn assert_postgres_types(connection: &mut PgConnection, schema: &str, table: &TargetTable) {
    let sql = "SELECT column_name::text, data_type::text FROM information_schema.columns \
               WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position";
    let found: Vec<(String, String)> =
        sqlx::query_as(sql).bind(schema).bind(&table.name).fetch_all(connection).await.unwrap();
    for column in &table.columns {
        let wanted = match column.kind {
            Kind::Text => "text",
            Kind::Integer => "bigint",
            Kind::Real => "double precision",
            Kind::Boolean => "boolean",
            Kind::Json => "jsonb",
            Kind::Timestamp => "timestamp with time zone",
            Kind::Date => "date",
        };
        let of = found.iter().find(|(name, _)| *name == column.name).map(|(_, kind)| &**kind);
        assert_eq!(of, Some(wanted), "the type of {}.{}", table.name, column.name);
    }
}
