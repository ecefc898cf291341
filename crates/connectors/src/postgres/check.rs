//! What "check" tries in a database. Start with [`check`].

use engine::target::TargetTable;
use jiff::Zoned;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::bookkeeping;
use super::config::Validated;
use super::fault::into_error;
use super::link::{CALL, Link, connect, within};
use super::shape;
use crate::check::CheckItem;
use crate::fault::Fault;
use crate::sql::quote;

/// The oldest version that is still in use somewhere; older ones are not tried.
const OLDEST: i32 = 12;

/// Tries everything the target needs of the database, and whether these tables can stand in it. Leaves nothing behind.
pub async fn check(validated: &Validated, tables: &[TargetTable]) -> Vec<CheckItem> {
    let mut items = Vec::new();
    let mut connection = match within(CALL, connect(validated)).await {
        Ok(connection) => connection,
        Err(fault) => return vec![failed("target: connect", validated, fault, "connect to")],
    };
    match within(CALL, facts(&mut connection)).await {
        Ok(facts) => items.extend(facts.items(validated)),
        Err(fault) => return vec![failed("target: connect", validated, fault, "read")],
    }
    match within(CALL, scratch(validated, &mut connection)).await {
        Ok(detail) => {
            items.push(CheckItem::ok("target: write", detail));
            items.extend(tables_item(validated, &mut connection, tables).await);
        }
        // Where nothing can be made, nothing can be said of the tables.
        Err(fault) => items.push(failed("target: write", validated, fault, "write to")),
    }
    if let Ok(true) = within(CALL, is_pooled(validated)).await {
        items.push(CheckItem::warning(
            "target: session",
            "a pooler gives each transaction another session",
            "Let the pooler keep prepared statements, or connect to the server itself.",
        ));
    }
    // Nothing was left to commit.
    let _ = connection.close().await;
    items
}

/// What a session says about itself.
struct Facts {
    version: i32,
    full_version: String,
    encoding: String,
    standby: bool,
    read_only: bool,
    tls: Option<String>,
}

async fn facts(connection: &mut PgConnection) -> Result<Facts, Fault> {
    let (version, full_version, encoding, standby, read_only): (i32, String, String, bool, bool) =
        sqlx::query_as(
            "SELECT current_setting('server_version_num')::int / 10000, current_setting('server_version'), \
                    current_setting('server_encoding'), pg_is_in_recovery(), \
                    current_setting('default_transaction_read_only')::bool",
        )
        .fetch_one(&mut *connection)
        .await?;
    let tls = sqlx::query_scalar("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl")
        .fetch_optional(&mut *connection)
        .await?;
    Ok(Facts { version, full_version, encoding, standby, read_only, tls })
}

impl Facts {
    fn items(&self, place: &Validated) -> Vec<CheckItem> {
        let tls = self.tls.as_deref().unwrap_or("no TLS");
        let connected = format!("connected to {} (PostgreSQL {}, {tls})", place.place(), self.full_version);
        let mut items = vec![CheckItem::ok("target: connect", connected)];
        if self.version < OLDEST {
            items.push(CheckItem::failed(
                "target: version",
                format!("PostgreSQL {} is older than {OLDEST}", self.full_version),
                "Use a newer server.",
            ));
        } else if is_over(self.version) {
            items.push(CheckItem::warning(
                "target: version",
                format!("PostgreSQL {} gets no fixes any more", self.version),
                "Upgrade the server.",
            ));
        }
        if self.encoding != "UTF8" {
            items.push(CheckItem::failed(
                "target: encoding",
                format!("the database keeps texts in {}, which lacks characters", self.encoding),
                "Use a database made with ENCODING 'UTF8'.",
            ));
        }
        if self.standby || self.read_only {
            let why = if self.standby { "the server is a standby" } else { "transactions are read-only" };
            items.push(CheckItem::warning(
                "target: role",
                why,
                "Name the primary server, or take `default_transaction_read_only` off the database and the user.",
            ));
        }
        items
    }
}

/// Whether a version is over: each lives for five years, until a day in November (12 ended in 2024).
fn is_over(version: i32) -> bool {
    let today = Zoned::now().date();
    let last_year = i32::from(today.year()).saturating_sub(2012);
    version < last_year || (version == last_year && (today.month(), today.day()) > (11, 15))
}

/// Makes what is missing and a table in it, fills it, and takes all of it back.
async fn scratch(place: &Validated, connection: &mut PgConnection) -> Result<String, Fault> {
    let link = Link::new(place.clone());
    let mut transaction = link.begin(connection).await?;
    let there = bookkeeping::create_schema(&mut transaction, place).await?;
    let scratch = format!("{}._tributary_scratch", quote(place.schema()));
    for sql in [
        format!("CREATE TABLE {scratch} (x text PRIMARY KEY, y jsonb)"),
        format!("INSERT INTO {scratch} VALUES ('x', '[1]') ON CONFLICT (x) DO UPDATE SET y = excluded.y"),
        format!("DROP TABLE {scratch}"),
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
    }
    transaction.rollback().await?;
    let made = if there { "" } else { "may make the schema; " };
    Ok(format!("{made}made, filled and dropped a scratch table"))
}

/// Whether something of somebody else's stands where the tables belong.
async fn tables_item(
    place: &Validated,
    connection: &mut PgConnection,
    tables: &[TargetTable],
) -> Option<CheckItem> {
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    if names.is_empty() {
        return None;
    }
    Some(match within(CALL, examine(place, connection, tables)).await {
        Ok(()) => CheckItem::ok("target: tables", format!("{} can be filled", names.join(", "))),
        Err(fault) => failed("target: tables", place, fault, "read"),
    })
}

/// Fails at the first table that is not ours or has been changed.
async fn examine(
    place: &Validated,
    connection: &mut PgConnection,
    tables: &[TargetTable],
) -> Result<(), Fault> {
    let link = Link::new(place.clone());
    let mut transaction = link.begin(connection).await?;
    for table in tables {
        shape::examine(&mut transaction, table).await?;
    }
    transaction.rollback().await?;
    Ok(())
}

/// Whether two connections that are open at once are served by one session: only a pooler does that.
async fn is_pooled(place: &Validated) -> Result<bool, Fault> {
    let (mut one, mut two) = (connect(place).await?, connect(place).await?);
    let pid = "SELECT pg_backend_pid()";
    let first: i32 = sqlx::query_scalar(pid).fetch_one(&mut one).await?;
    let second: i32 = sqlx::query_scalar(pid).fetch_one(&mut two).await?;
    // Nothing was left to commit.
    let _ = (one.close().await, two.close().await);
    Ok(first == second)
}

fn failed(name: &str, place: &Validated, fault: Fault, doing: &str) -> CheckItem {
    let problem = into_error(fault, place, doing).problem;
    CheckItem::failed(name, format!("{}: {}", problem.what, problem.why), problem.fix)
}
