//! What "check" tries in a database. Start with [`check`].

use engine::target::{Owned, TargetTable};
use jiff::Zoned;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::bookkeeping;
use super::config::Validated;
use super::demands::{Demand, Facts, Rights, all, facts, foreign, is_usable, lacking, rights};
use super::fault::{LOCKED, NO_RIGHT, code, into_error};
use super::link::{CALL, Link, connect, within};
use super::statement::query;
use super::target::{kept, rehearse};
use crate::check::{CheckItem, Outcome, made_anew};
use crate::definition::{Fit, Standing};
use crate::fault::Fault;
use crate::sql::quote;

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
    match within(CALL, asked(validated, &mut connection)).await {
        Ok(facts) => items.extend(told(&facts, validated)),
        Err(fault) => return vec![failed("target: connect", validated, fault, "read")],
    }
    if items.iter().any(|item| item.outcome == Outcome::Failed) {
        return items;
    }
    items.extend(write_items(validated, &mut connection, task, tables, projects).await);
    // Nothing was left to commit.
    let _ = connection.close().await;
    items
}

/// What the session says about itself, in a transaction that sees what those of a start see.
async fn asked(place: &Validated, connection: &mut PgConnection) -> Result<Facts, Fault> {
    let link = Link::new(place.clone());
    let mut transaction = link.begin(connection).await?;
    let facts = facts(&mut transaction).await?;
    transaction.rollback().await?;
    Ok(facts)
}

async fn usable(place: &Validated, connection: &mut PgConnection) -> Result<bool, Fault> {
    let link = Link::new(place.clone());
    let mut transaction = link.begin(connection).await?;
    let usable = is_usable(&mut transaction, place).await?;
    transaction.rollback().await?;
    Ok(usable)
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
    // Whoever may not even look into the schema gets no further.
    let made = match (made, within(CALL, usable(place, connection)).await) {
        (Err(fault), Ok(false)) | (Ok(_), Err(fault)) => {
            return vec![failed("target: write", place, fault, "write to")];
        }
        (made, _) => made,
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
        Fault::Sql(error) | Fault::Rows(error) => code(error),
        Fault::Refused(_) => None,
    };
    found.is_some_and(|found| wanted.contains(&found.as_str()))
}

/// What of them is worth a word, good or bad.
fn told(facts: &Facts, place: &Validated) -> Vec<CheckItem> {
    let tls = facts.tls.as_deref().unwrap_or("no TLS");
    let connected = format!("connected to {} (PostgreSQL {}, {tls})", place.place(), facts.full_version);
    let mut items = vec![CheckItem::ok("target: connect", connected)];
    let unmet = facts.unmet();
    if unmet.is_empty() && is_over(facts.version) {
        items.push(CheckItem::warning(
            "target: version",
            format!("PostgreSQL {} gets no fixes any more", facts.version),
            "Upgrade the server.",
        ));
    }
    items.extend(unmet.into_iter().map(Demand::into_item));
    if facts.standby || facts.read_only {
        let why = if facts.standby { "the server is a standby" } else { "transactions are read-only" };
        items.push(CheckItem::warning(
            "target: role",
            why,
            "Name the primary server, or take `default_transaction_read_only` off the database and the user.",
        ));
    }
    items
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
        query(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
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
    // Said by its own name; the rest of what a start asks for is found by the rehearsal.
    if let Some(demand) = foreign(connection, place, &all(tables)).await? {
        return Ok(vec![demand.into_item()]);
    }
    let bookkeeping = rights(connection, place, &bookkeeping::names()).await?;
    if lacking(place, &bookkeeping).is_some() {
        let demand = lacking(place, &rights(connection, place, &all(tables)).await?);
        return Ok(demand.into_iter().map(Demand::into_item).collect());
    }
    let standings = rehearse(connection, place, task, tables, projects).await?;
    let found = rights(connection, place, &kept(tables, &standings)).await?;
    let anew = tables.iter().zip(standings).filter_map(|(table, standing)| match standing {
        Standing::Ours(_, Fit::Differs(points)) => Some((table.name.clone(), points)),
        _ => None,
    });
    let fine = || CheckItem::ok("target: tables", format!("{} can be filled", names.join(", ")));
    let last = match (lacking(place, &found), made_anew(anew.collect())) {
        (None, None) => (!names.is_empty()).then(fine),
        (None, anew) => anew,
        (lacking, _) => lacking.map(Demand::into_item),
    };
    Ok(of_others(place, &found).into_iter().chain(last).collect())
}

/// Tables to which no column can be added, and what helps.
fn of_others(place: &Validated, tables: &[Rights]) -> Option<CheckItem> {
    let others: Vec<&Rights> = tables.iter().filter(|table| !table.owns).collect();
    let names = others.iter().map(|table| format!("{} (of `{}`)", table.name, table.owner));
    let alter = others
        .iter()
        .map(|table| format!("ALTER TABLE {} OWNER TO {};", place.name(&table.name), place.user()));
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

fn failed(name: &str, place: &Validated, fault: Fault, doing: &str) -> CheckItem {
    let problem = into_error(fault, place, doing).problem;
    CheckItem::failed(name, format!("{}: {}", problem.what, problem.why), problem.fix)
}
