//! The PostgreSQL target against a real server, as every target and in what only it has: values of every kind in
//! `values`, long rows in `long`, what codes mean in `codes`, lost connections and stopped servers in `lost`, the
//! configuration, rights and `check` in `place`. What others put in the way is in `edges`, TLS in `tls`, what keeps
//! writing fast in `fast`; `speed` measures.

mod codes;
mod edges;
mod fast;
mod long;
mod lost;
mod place;
mod speed;
mod tls;
mod values;

use engine::target::TargetTable;
use jiff::Timestamp;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, Row};
use test_postgres::Database;

use super::config::{PostgresConfig, Validated};
use super::encode::declared_type;
use super::target::PostgresTarget;
use crate::contract::{self, Site};

contract::contract!(Schema);

/// A schema in a database of its own. Its name must be quoted.
struct Schema {
    url: String,
    _database: Option<Database>,
}

const SCHEMA: &str = "Coding \"x\"";

impl Schema {
    fn place(&self) -> Validated {
        PostgresConfig { url: self.url.as_str().into(), schema: SCHEMA.to_owned() }.validate().unwrap()
    }

    /// Another program that reads and writes the schema.
    async fn other(&self) -> PgConnection {
        let mut other = self.url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
        other.execute(r#"SET search_path = "Coding ""x""""#).await.unwrap();
        other
    }
}

impl Site for Schema {
    type Target = PostgresTarget;
    const TYPES: [&str; 3] = ["text", "bigint", "double precision"];
    const MODULE: &str = "postgres";

    async fn new() -> Schema {
        let database = test_postgres::database().await;
        Schema { url: database.url().to_string(), _database: Some(database) }
    }

    fn at(address: &str) -> Schema {
        Schema { url: address.to_owned(), _database: None }
    }

    fn address(&self) -> String {
        self.url.clone()
    }

    fn target(&self) -> PostgresTarget {
        PostgresTarget::new(self.place())
    }

    async fn run(&self, sql: &str) {
        let mut other = self.other().await;
        other.execute(r#"CREATE SCHEMA IF NOT EXISTS "Coding ""x""""#).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut other).await.unwrap();
        other.close().await.unwrap();
    }

    async fn dump(&self, select: &str) -> Vec<String> {
        let mut other = self.other().await;
        // Unprepared, so that values come as texts.
        let rows = sqlx::raw_sql(AssertSqlSafe(select)).fetch_all(&mut other).await.unwrap();
        let lines = rows.iter().map(|row| {
            let cell =
                |at| row.try_get_unchecked::<Option<String>, _>(at).unwrap().unwrap_or("NULL".to_owned());
            (0..row.len()).map(cell).collect::<Vec<_>>().join("|")
        });
        let lines = lines.collect();
        other.close().await.unwrap();
        lines
    }

    fn create_table(table: &TargetTable) -> String {
        crate::sql::create_table(&crate::sql::quote(&table.name), table, declared_type)
    }

    fn moment(micros: i64) -> String {
        let moment = Timestamp::from_microsecond(micros).unwrap();
        moment.strftime("%Y-%m-%d %H:%M:%S.%6f+00").to_string()
    }
}
