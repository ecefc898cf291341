//! What "check" tries in a database. Start with [`check`].

use std::collections::BTreeMap;

use engine::target::TargetTable;
use jiff::Zoned;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::bookkeeping;
use super::config::Validated;
use super::fault::{NO_RIGHT, code, into_error};
use super::link::{CALL, Link, connect, within};
use super::shape;
use crate::check::{CheckItem, made_anew};
use crate::definition::{Fit, Standing};
use crate::fault::Fault;
use crate::sql::quote;

/// The oldest version that is still in use somewhere; older ones are not tried.
const OLDEST: i32 = 12;

/// Tries everything the target needs of the database, and whether these tables of the task can stand in it. Leaves
/// nothing behind.
pub async fn check(validated: &Validated, task: &str, tables: &[TargetTable]) -> Vec<CheckItem> {
    let mut items = Vec::new();
    let mut connection = match within(CALL, connect(validated)).await {
        Ok(connection) => connection,
        Err(fault) => return vec![failed("target: connect", validated, fault, "connect to")],
    };
    match within(CALL, facts(&mut connection)).await {
        Ok(facts) => items.extend(facts.items(validated)),
        Err(fault) => return vec![failed("target: connect", validated, fault, "read")],
    }
    let (made, found) = (
        within(CALL, scratch(validated, &mut connection)).await,
        within(CALL, rights(validated, &mut connection, tables)).await,
    );
    let is_complete = found.as_ref().is_ok_and(|found| found.is_complete);
    items.push(match made {
        Ok(detail) => CheckItem::ok("target: write", detail),
        Err(fault) if is_complete && lacks_right(&fault) => CheckItem::warning(
            "target: write",
            "tables cannot be made; all that are needed are there",
            format!(
                "Before a table must be made anew, let the owner run: GRANT CREATE ON SCHEMA {} TO {};",
                quote(validated.schema()),
                validated.user()
            ),
        ),
        Err(fault) => failed("target: write", validated, fault, "write to"),
    });
    match found {
        Ok(found) => {
            items.extend(found.lacking(validated));
            // Whoever may not read the bookkeeping cannot know which tables are ours.
            if found.tables.iter().all(|table| !table.lacking.iter().any(|right| right == "SELECT")) {
                items.extend(tables_items(validated, &mut connection, task, tables, &found).await);
            }
        }
        Err(fault) => items.push(failed("target: tables", validated, fault, "read")),
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

fn lacks_right(fault: &Fault) -> bool {
    matches!(fault, Fault::Sql(error) if code(error).as_deref() == Some(NO_RIGHT))
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

/// What is there of the tables that are needed, and what the user may do with them.
struct Found {
    /// Whether none is missing.
    is_complete: bool,
    tables: Vec<Rights>,
}

/// A table, and what the user may do with it.
struct Rights {
    name: String,
    owner: String,
    /// Whether the user counts as its owner: nobody else changes or drops a table.
    owns: bool,
    /// Which of the needed rights are missing.
    lacking: Vec<String>,
}

async fn rights(
    place: &Validated,
    connection: &mut PgConnection,
    tables: &[TargetTable],
) -> Result<Found, Fault> {
    let mut names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    names.extend_from_slice(&bookkeeping::names());
    let link = Link::new(place.clone());
    let mut transaction = link.begin(connection).await?;
    let found = sqlx::query_as(
        "SELECT relname::text, pg_get_userbyid(relowner)::text, \
                pg_has_role(relowner, 'USAGE'), \
                ARRAY(SELECT r FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) r \
                      WHERE NOT has_table_privilege(pg_class.oid, r)) \
         FROM pg_class WHERE relkind = 'r' AND relname = ANY($1) \
         AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) ORDER BY relname",
    );
    let found: Vec<(String, String, bool, Vec<String>)> =
        found.bind(&names).fetch_all(&mut *transaction).await?;
    transaction.rollback().await?;
    let tables = found.into_iter().map(|(name, owner, owns, lacking)| Rights { name, owner, owns, lacking });
    Ok(Found { is_complete: tables.len() == names.len(), tables: tables.collect() })
}

impl Found {
    /// Which rights are missing, and who helps.
    fn lacking(&self, place: &Validated) -> Option<CheckItem> {
        let mut lacking: BTreeMap<&[String], Vec<&str>> = BTreeMap::new();
        for table in self.tables.iter().filter(|table| !table.lacking.is_empty()) {
            lacking.entry(&table.lacking).or_default().push(&table.name);
        }
        if lacking.is_empty() {
            return None;
        }
        let said = lacking.iter().map(|(rights, tables)| {
            format!("the user may not {} in {}", rights.join(", "), tables.join(", "))
        });
        let grants = lacking.iter().map(|(rights, tables)| {
            let tables: Vec<String> = tables.iter().map(|table| full_name(place, table)).collect();
            format!("GRANT {} ON {} TO {};", rights.join(", "), tables.join(", "), place.user())
        });
        Some(CheckItem::failed(
            "target: rights",
            said.collect::<Vec<_>>().join("; "),
            format!("Let their owner or a superuser run: {}", grants.collect::<Vec<_>>().join(" ")),
        ))
    }

    /// Tables of these that belong to somebody else.
    fn of_others<'f>(&'f self, names: &[&str]) -> Vec<&'f Rights> {
        self.tables.iter().filter(|table| !table.owns && names.contains(&table.name.as_str())).collect()
    }
}

fn full_name(place: &Validated, table: &str) -> String {
    format!("{}.{}", quote(place.schema()), quote(table))
}

/// Whether the tables can be filled: whether something of somebody else's stands there, and what must be changed of
/// what is there.
async fn tables_items(
    place: &Validated,
    connection: &mut PgConnection,
    task: &str,
    tables: &[TargetTable],
    found: &Found,
) -> Vec<CheckItem> {
    let fits = match within(CALL, examine(place, connection, task, tables, found)).await {
        Ok(fits) => fits,
        Err(fault) => return vec![failed("target: tables", place, fault, "use")],
    };
    let changes: Vec<&str> =
        fits.iter().filter(|(_, fit)| *fit != Fit::Same).map(|(name, _)| name.as_str()).collect();
    let same: Vec<&str> =
        fits.iter().filter(|(_, fit)| *fit == Fit::Same).map(|(name, _)| name.as_str()).collect();
    let mut items = Vec::new();
    let names = |tables: &[&Rights]| {
        let name = |table: &&Rights| format!("{} (of `{}`)", table.name, table.owner);
        tables.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    let help = |tables: &[&Rights]| {
        let alter = |table: &&Rights| {
            format!("ALTER TABLE {} OWNER TO {};", full_name(place, &table.name), place.user())
        };
        format!(
            "Let their owner or a superuser run: {}",
            tables.iter().map(alter).collect::<Vec<_>>().join(" ")
        )
    };
    match (found.of_others(&changes), found.of_others(&same)) {
        (others, _) if !others.is_empty() => items.push(CheckItem::failed(
            "target: owner",
            format!("the next start must change tables that belong to somebody else: {}", names(&others)),
            help(&others),
        )),
        (_, others) if !others.is_empty() => items.push(CheckItem::warning(
            "target: owner",
            format!(
                "columns that come later, as for a new custom field, can be added by the owner only: {}",
                names(&others)
            ),
            help(&others),
        )),
        _ => {}
    }
    let anew = fits.into_iter().filter_map(|(name, fit)| match fit {
        Fit::Differs(points) => Some((name, points)),
        Fit::Same | Fit::Lacks(_) => None,
    });
    items.extend(made_anew(anew.collect()));
    if items.is_empty() && !tables.is_empty() {
        let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        items.push(CheckItem::ok("target: tables", format!("{} can be filled", names.join(", "))));
    }
    items
}

/// How those of the tables that are there fit. Fails at the first one that cannot be used: it is not ours, has been
/// changed, or cannot be made anew where that is due.
async fn examine(
    place: &Validated,
    connection: &mut PgConnection,
    task: &str,
    tables: &[TargetTable],
    found: &Found,
) -> Result<Vec<(String, Fit)>, Fault> {
    let link = Link::new(place.clone());
    let mut transaction = link.begin(connection).await?;
    let mut fits = Vec::new();
    for table in tables {
        let Standing::Ours(_, fit) = shape::examine(&mut transaction, table).await? else { continue };
        if let Fit::Differs(points) = &fit {
            shape::refuse_shared(&mut transaction, task, table, points).await?;
            if found.of_others(&[table.name.as_str()]).is_empty() {
                drop_and_take_back(&mut transaction, &table.name).await?;
            }
        }
        fits.push((table.name.clone(), fit));
    }
    transaction.rollback().await?;
    Ok(fits)
}

/// Tries whether a table can be dropped: whether something depends on it. Does not wait long for those who read it.
async fn drop_and_take_back(connection: &mut PgConnection, table: &str) -> Result<(), Fault> {
    let mut savepoint = connection.begin().await?;
    sqlx::query("SET LOCAL lock_timeout = '2s'").execute(&mut *savepoint).await?;
    sqlx::query(AssertSqlSafe(format!("DROP TABLE {}", quote(table)))).execute(&mut *savepoint).await?;
    Ok(savepoint.rollback().await?)
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
