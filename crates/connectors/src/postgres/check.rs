//! What "check" tries in a database. Start with [`check`].

use std::collections::BTreeMap;

use engine::target::{Owned, TargetTable};
use jiff::Zoned;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::bookkeeping;
use super::config::Validated;
use super::fault::{LOCKED, NO_RIGHT, NO_SCHEMA, code, into_error};
use super::link::{CALL, Link, connect, within};
use super::target::rehearse;
use crate::check::{CheckItem, Outcome, made_anew};
use crate::definition::{Fit, Standing};
use crate::fault::Fault;
use crate::sql::quote;

/// The oldest version that is still in use somewhere; older ones are not tried.
const OLDEST: i32 = 12;

/// Tries everything the target needs of the database, and whether these tables of the task can stand in it, with rows of
/// these projects. Leaves nothing behind.
pub async fn check(
    validated: &Validated,
    task: &str,
    tables: &[TargetTable],
    projects: &[Owned],
) -> Vec<CheckItem> {
    let mut items = Vec::new();
    let mut connection = match within(CALL, connect(validated)).await {
        Ok(connection) => connection,
        Err(fault) => return vec![failed("target: connect", validated, fault, "connect to")],
    };
    match within(CALL, facts(&mut connection)).await {
        Ok(facts) => items.extend(facts.items(validated)),
        Err(fault) => return vec![failed("target: connect", validated, fault, "read")],
    }
    items.extend(write_items(validated, &mut connection, task, tables, projects).await);
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

/// Whether tables can be made and filled, and those of the task in particular.
async fn write_items(
    place: &Validated,
    connection: &mut PgConnection,
    task: &str,
    tables: &[TargetTable],
    projects: &[Owned],
) -> Vec<CheckItem> {
    let made = within(CALL, scratch(place, connection)).await;
    let made = match made {
        // The tables may be there already.
        Err(fault) if has_code(&fault, &[NO_RIGHT]) => Err(fault),
        Err(fault) => return vec![failed("target: write", place, fault, "write to")],
        made => made,
    };
    let rehearsed = within(CALL, rehearsal(place, connection, task, tables, projects)).await;
    let mut items = Vec::new();
    match (made, &rehearsed) {
        (Ok(detail), _) => items.push(CheckItem::ok("target: write", detail)),
        // Whether tables must be made shows once these can be read.
        (Err(_), Ok(told)) if told.iter().any(|item| item.outcome == Outcome::Failed) => {}
        (Err(_), Ok(_)) => items.push(CheckItem::warning(
            "target: write",
            "tables cannot be made; all that are needed are there",
            format!(
                "Before a table must be made anew, let the owner run: GRANT CREATE ON SCHEMA {} TO {};",
                quote(place.schema()),
                place.user()
            ),
        )),
        // Whoever may not even look into the schema gets no further.
        (Err(fault), Err(same)) if has_code(same, &[NO_SCHEMA]) => {
            return vec![failed("target: write", place, fault, "write to")];
        }
        // What the next start would stumble over is said below.
        (Err(_), Err(_)) => {}
    }
    match rehearsed {
        Ok(told) => items.extend(told),
        Err(fault) if has_code(&fault, &[LOCKED]) => items.push(CheckItem::warning(
            "target: tables",
            "whether they can be filled could not be tried: somebody is at work on them",
            "Run this again when they are done.",
        )),
        Err(fault) => items.push(failed("target: tables", place, fault, "use")),
    }
    items
}

/// Whether the server sent one of these codes.
fn has_code(fault: &Fault, wanted: &[&str]) -> bool {
    let found = match fault {
        Fault::Sql(error) => code(error),
        Fault::Refused(_) => None,
    };
    found.is_some_and(|found| wanted.contains(&found.as_str()))
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

/// Does with the tables what the next start does, and takes it back.
async fn rehearsal(
    place: &Validated,
    connection: &mut PgConnection,
    task: &str,
    tables: &[TargetTable],
    projects: &[Owned],
) -> Result<Vec<CheckItem>, Fault> {
    let link = Link::new(place.clone());
    let mut transaction = link.begin(connection).await?;
    let tried = rehearsed(&mut transaction, place, task, tables, projects).await;
    let taken_back = transaction.rollback().await;
    let items = tried?;
    taken_back?;
    Ok(items)
}

async fn rehearsed(
    connection: &mut PgConnection,
    place: &Validated,
    task: &str,
    tables: &[TargetTable],
    projects: &[Owned],
) -> Result<Vec<CheckItem>, Fault> {
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let bookkeeping = bookkeeping::names();
    let all: Vec<&str> = names.iter().chain(&bookkeeping).copied().collect();
    // Whoever may not read the bookkeeping cannot know which tables are ours.
    if lacking(place, &rights(connection, &bookkeeping).await?).is_some() {
        return Ok(lacking(place, &rights(connection, &all).await?).into_iter().collect());
    }
    let standings = rehearse(connection, place, task, tables, projects).await?;
    let (mut kept, mut anew) = (Vec::new(), Vec::new());
    for (table, standing) in tables.iter().zip(standings) {
        match standing {
            Standing::Ours(_, Fit::Differs(points)) => anew.push((table.name.clone(), points)),
            Standing::Ours(_, Fit::Same | Fit::Lacks(_)) => kept.push(table.name.as_str()),
            Standing::Missing | Standing::Lost => {}
        }
    }
    let found = rights(connection, &kept).await?;
    let fine = || CheckItem::ok("target: tables", format!("{} can be filled", names.join(", ")));
    let last = match (lacking(place, &found), made_anew(anew)) {
        (None, None) => (!names.is_empty()).then(fine),
        (None, anew) => anew,
        (lacking, _) => lacking,
    };
    Ok(of_others(place, &found).into_iter().chain(last).collect())
}

/// A table that is there, and what the user may do with it.
struct Rights {
    name: String,
    owner: String,
    /// Whether the user counts as its owner, who alone may add columns.
    owns: bool,
    /// Which of the needed rights are missing.
    lacking: Vec<String>,
}

async fn rights(connection: &mut PgConnection, tables: &[&str]) -> Result<Vec<Rights>, Fault> {
    let found = sqlx::query_as(
        "SELECT relname::text, pg_get_userbyid(relowner)::text, pg_has_role(relowner, 'USAGE'), \
                ARRAY(SELECT r FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) r \
                      WHERE NOT has_table_privilege(pg_class.oid, r)) \
         FROM pg_class WHERE relkind = 'r' AND relname = ANY($1) \
         AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) ORDER BY relname",
    );
    let found: Vec<(String, String, bool, Vec<String>)> = found.bind(tables).fetch_all(connection).await?;
    let rights = |(name, owner, owns, lacking)| Rights { name, owner, owns, lacking };
    Ok(found.into_iter().map(rights).collect())
}

/// Which rights are missing, and what helps.
fn lacking(place: &Validated, tables: &[Rights]) -> Option<CheckItem> {
    let mut lacking: BTreeMap<&[String], Vec<&str>> = BTreeMap::new();
    for table in tables.iter().filter(|table| !table.lacking.is_empty()) {
        lacking.entry(&table.lacking).or_default().push(&table.name);
    }
    let said = lacking
        .iter()
        .map(|(rights, tables)| format!("the user may not {} in {}", rights.join(", "), tables.join(", ")));
    let grants = lacking.iter().map(|(rights, tables)| {
        let tables: Vec<String> = tables.iter().map(|table| full_name(place, table)).collect();
        format!("GRANT {} ON {} TO {};", rights.join(", "), tables.join(", "), place.user())
    });
    (!lacking.is_empty()).then(|| {
        CheckItem::failed(
            "target: rights",
            said.collect::<Vec<_>>().join("; "),
            format!("Let their owner or a superuser run: {}", grants.collect::<Vec<_>>().join(" ")),
        )
    })
}

/// Tables to which no column can be added, and what helps.
fn of_others(place: &Validated, tables: &[Rights]) -> Option<CheckItem> {
    let others: Vec<&Rights> = tables.iter().filter(|table| !table.owns).collect();
    let names = others.iter().map(|table| format!("{} (of `{}`)", table.name, table.owner));
    let alter = others
        .iter()
        .map(|table| format!("ALTER TABLE {} OWNER TO {};", full_name(place, &table.name), place.user()));
    (!others.is_empty()).then(|| {
        CheckItem::warning(
            "target: owner",
            format!(
                "columns that come later, as for a new custom field, can be added by the owner only: {}",
                names.collect::<Vec<_>>().join(", ")
            ),
            format!("Let a superuser run: {}", alter.collect::<Vec<_>>().join(" ")),
        )
    })
}

fn full_name(place: &Validated, table: &str) -> String {
    format!("{}.{}", quote(place.schema()), quote(table))
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
