//! What the server, the database and the tables must be: asked at every open, and by `check` in the same words.

use std::collections::BTreeMap;

use engine::problem::Problem;
use engine::target::{TargetErrorKind, TargetTable};
use sqlx::PgConnection;

use super::bookkeeping;
use super::config::Validated;
use super::statement::{query_as, query_scalar};
use crate::check::CheckItem;
use crate::fault::Fault;
use crate::sql::quote;

/// The oldest version that is still in use somewhere; older ones are not tried.
const OLDEST: i32 = 12;

/// Something that must be otherwise before anything is read or written.
#[derive(Debug)]
pub(super) struct Demand {
    /// As `check` calls it.
    item: &'static str,
    kind: TargetErrorKind,
    code: &'static str,
    why: String,
    fix: String,
}

impl Demand {
    /// As a refusal to open the target.
    pub(super) fn into_fault(self, place: &Validated) -> Fault {
        let what = format!("Cannot use schema `{}` of PostgreSQL, {}", place.schema(), place.place());
        Fault::refused(self.kind, Problem::new(self.code, what, self.why, self.fix))
    }

    /// As what `check` found.
    pub(super) fn into_item(self) -> CheckItem {
        CheckItem::failed(self.item, self.why, self.fix)
    }
}

/// Refuses a server or a database that cannot hold the tables, and tables that the user must not touch or may not write.
/// Comes before anything is read from a table.
pub(super) async fn ask(
    connection: &mut PgConnection,
    place: &Validated,
    tables: &[TargetTable],
) -> Result<(), Fault> {
    if let Some(demand) = facts(connection).await?.unmet().into_iter().next() {
        return Err(demand.into_fault(place));
    }
    refuse_foreign(connection, place, tables).await?;
    // Whoever may not read the bookkeeping cannot know which of the tables are ours.
    let names = bookkeeping::names();
    if lacking(place, &rights(connection, place, &names).await?).is_some() {
        let all = rights(connection, place, &all(tables)).await?;
        return lacking(place, &all).map_or(Ok(()), |demand| Err(demand.into_fault(place)));
    }
    Ok(())
}

/// Refuses tables that the user must not touch.
pub(super) async fn refuse_foreign(
    connection: &mut PgConnection,
    place: &Validated,
    tables: &[TargetTable],
) -> Result<(), Fault> {
    let foreign = foreign(connection, place, &all(tables)).await?;
    foreign.map_or(Ok(()), |demand| Err(demand.into_fault(place)))
}

/// Refuses tables of ours that the user may not write.
pub(super) async fn refuse_lacking(
    connection: &mut PgConnection,
    place: &Validated,
    tables: &[&str],
) -> Result<(), Fault> {
    let lacking = lacking(place, &rights(connection, place, tables).await?);
    lacking.map_or(Ok(()), |demand| Err(demand.into_fault(place)))
}

/// The names of these tables and of the bookkeeping.
pub(super) fn all(tables: &[TargetTable]) -> Vec<&str> {
    tables.iter().map(|table| table.name.as_str()).chain(bookkeeping::names()).collect()
}

/// What a session says about itself.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) version: i32,
    pub(super) full_version: String,
    pub(super) encoding: String,
    pub(super) standby: bool,
    pub(super) read_only: bool,
    pub(super) tls: Option<String>,
}

pub(super) async fn facts(connection: &mut PgConnection) -> Result<Facts, Fault> {
    let (version, full_version, encoding, standby, read_only): (i32, String, String, bool, bool) = query_as(
        "SELECT current_setting('server_version_num')::int / 10000, current_setting('server_version'), \
                current_setting('server_encoding'), pg_is_in_recovery(), \
                current_setting('default_transaction_read_only')::bool",
    )
    .fetch_one(&mut *connection)
    .await?;
    let tls = query_scalar("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl")
        .fetch_optional(&mut *connection)
        .await?;
    Ok(Facts { version, full_version, encoding, standby, read_only, tls })
}

/// Whether the user may look into the schema, if it is there.
pub(super) async fn is_usable(connection: &mut PgConnection, place: &Validated) -> Result<bool, Fault> {
    let usable = "SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = $1";
    let usable: Option<bool> = query_scalar(usable).bind(place.schema()).fetch_optional(connection).await?;
    Ok(usable.unwrap_or(true))
}

impl Facts {
    /// What of them cannot be worked with.
    pub(super) fn unmet(&self) -> Vec<Demand> {
        let mut unmet = Vec::new();
        if self.version < OLDEST {
            unmet.push(Demand {
                item: "target: version",
                kind: TargetErrorKind::Fatal,
                code: "POSTGRES-VERSION",
                why: format!("PostgreSQL {} is older than {OLDEST}", self.full_version),
                fix: "Use a newer server.".to_owned(),
            });
        }
        if self.encoding != "UTF8" {
            unmet.push(Demand {
                item: "target: encoding",
                kind: TargetErrorKind::Fatal,
                code: "POSTGRES-ENCODING",
                why: format!("the database keeps texts in {}, which lacks characters", self.encoding),
                fix: "Use a database made with ENCODING 'UTF8': CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0."
                    .to_owned(),
            });
        }
        unmet
    }
}

/// Tables that belong to a role that the user has no reason to trust, and triggers on tables whose function does: what
/// these do, they do with the user's rights. Superusers can do anything anyway; whoever is made a member of a role
/// trusts it, but a superuser is a member of all.
pub(super) async fn foreign(
    connection: &mut PgConnection,
    place: &Validated,
    tables: &[&str],
) -> Result<Option<Demand>, Fault> {
    let foreign: Vec<(String, String, Option<String>)> = query_as(
        "WITH trusted AS ( \
             SELECT r.oid FROM pg_roles r, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) me \
             WHERE r.rolsuper OR r.rolname = current_user OR (NOT me.rolsuper AND pg_has_role(r.oid, 'USAGE')) \
         ), ours AS ( \
             SELECT c.oid, c.relname, c.relowner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = $1 AND c.relname = ANY($2) \
         ) \
         SELECT relname::text, pg_get_userbyid(relowner)::text, NULL FROM ours \
         WHERE relowner NOT IN (SELECT oid FROM trusted) \
         UNION ALL \
         SELECT ours.relname::text, pg_get_userbyid(p.proowner)::text, t.tgname::text \
         FROM ours JOIN pg_trigger t ON t.tgrelid = ours.oid AND NOT t.tgisinternal \
         JOIN pg_proc p ON p.oid = t.tgfoid WHERE p.proowner NOT IN (SELECT oid FROM trusted) \
         ORDER BY 1, 3 NULLS FIRST",
    )
    .bind(place.schema())
    .bind(tables)
    .fetch_all(connection)
    .await?;
    let found = foreign.iter().map(|(table, owner, trigger)| match trigger {
        None => format!("table `{table}` belongs to `{owner}`"),
        Some(trigger) => format!("trigger `{trigger}` on table `{table}` runs a function of `{owner}`"),
    });
    let remedies = foreign.iter().map(|(table, _, trigger)| match trigger {
        None => format!("ALTER TABLE {} OWNER TO {};", place.name(table), place.user()),
        Some(trigger) => format!("DROP TRIGGER {} ON {};", quote(trigger), place.name(table)),
    });
    let words = |words: Vec<String>, between: &str| words.join(between);
    Ok((!foreign.is_empty()).then(|| Demand {
        item: "target: owner",
        kind: TargetErrorKind::Shape,
        code: "POSTGRES-OWNER",
        why: format!(
            "{}; what others attach to a table runs with the rights of the user {}",
            words(found.collect(), ", "),
            place.user()
        ),
        fix: format!(
            "Drop what you do not know, or set another schema; if it is yours, let a superuser run: {}",
            words(remedies.collect(), " ")
        ),
    }))
}

/// A table that is there, and what the user may do with it.
#[derive(Debug)]
pub(super) struct Rights {
    pub(super) name: String,
    pub(super) owner: String,
    /// Whether the user counts as its owner, who alone may add columns.
    pub(super) owns: bool,
    /// Which of the needed rights are missing.
    lacking: Vec<String>,
}

pub(super) async fn rights(
    connection: &mut PgConnection,
    place: &Validated,
    tables: &[&str],
) -> Result<Vec<Rights>, Fault> {
    let found = query_as(
        "SELECT c.relname::text, pg_get_userbyid(c.relowner)::text, pg_has_role(c.relowner, 'USAGE'), \
                ARRAY(SELECT r FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) r \
                      WHERE NOT has_table_privilege(c.oid, r)) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'r' AND n.nspname = $1 AND c.relname = ANY($2) ORDER BY c.relname",
    );
    let found: Vec<(String, String, bool, Vec<String>)> =
        found.bind(place.schema()).bind(tables).fetch_all(connection).await?;
    let rights = |(name, owner, owns, lacking)| Rights { name, owner, owns, lacking };
    Ok(found.into_iter().map(rights).collect())
}

/// Which rights are missing, and what helps.
pub(super) fn lacking(place: &Validated, tables: &[Rights]) -> Option<Demand> {
    let mut lacking: BTreeMap<&[String], Vec<&str>> = BTreeMap::new();
    for table in tables.iter().filter(|table| !table.lacking.is_empty()) {
        lacking.entry(&table.lacking).or_default().push(&table.name);
    }
    let said = lacking
        .iter()
        .map(|(rights, tables)| format!("the user may not {} in {}", rights.join(", "), tables.join(", ")));
    let grants = lacking.iter().map(|(rights, tables)| {
        let tables: Vec<String> = tables.iter().map(|table| place.name(table)).collect();
        format!("GRANT {} ON {} TO {};", rights.join(", "), tables.join(", "), place.user())
    });
    (!lacking.is_empty()).then(|| Demand {
        item: "target: rights",
        kind: TargetErrorKind::ReadOnly,
        code: "POSTGRES-GRANT",
        why: said.collect::<Vec<_>>().join("; "),
        fix: format!("Let their owner or a superuser run: {}", grants.collect::<Vec<_>>().join(" ")),
    })
}
