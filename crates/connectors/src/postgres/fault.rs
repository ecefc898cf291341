//! What goes wrong with a PostgreSQL database, and what a person reads about it.
//!
//! The error codes of PostgreSQL (SQLSTATE) are sorted here, and nowhere else, into the kinds the engine acts on.
//! Messages of the server are passed on, its details are not: they may hold values of rows.

use engine::problem::Problem;
use engine::target::{TargetError, TargetErrorKind};
use sqlx::postgres::PgDatabaseError;

use super::WORDS;
use super::config::Validated;
use super::encode::Unstorable;
use super::pooler;
use crate::fault::Fault;
use crate::sql::quote;

impl From<Unstorable> for Fault {
    fn from(error: Unstorable) -> Fault {
        WORDS.data(error)
    }
}

/// The error as the engine gets it. `doing` completes "Cannot …".
pub(super) fn into_error(fault: Fault, place: &Validated, doing: &str) -> TargetError {
    fault.into_error(|error, rows| {
        let (kind, code, why, fix) = explain(place, error, rows);
        let what = format!("Cannot {doing} schema `{}` of PostgreSQL, {}", place.schema(), place.place());
        (kind, Problem::new(code, what, why, fix))
    })
}

/// insufficient_privilege
pub(super) const NO_RIGHT: &str = "42501";

/// invalid_schema_name: also said of a schema that may not be used.
pub(super) const NO_SCHEMA: &str = "3F000";

/// unique_violation
pub(super) const THERE_ALREADY: &str = "23505";

/// feature_not_supported
pub(super) const NO_FEATURE: &str = "0A000";

/// lock_not_available
pub(super) const LOCKED: &str = "55P03";

/// The server's code for an error, if the server sent it.
pub(super) fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

type Explained = (TargetErrorKind, &'static str, String, String);

fn explain(place: &Validated, error: &sqlx::Error, rows: bool) -> Explained {
    use TargetErrorKind as Kind;
    if let sqlx::Error::Database(error) = error
        && let Some(error) = error.try_downcast_ref::<PgDatabaseError>()
    {
        return said(place, error, rows);
    }
    match error {
        // So TLS says that it does not trust the server, or the server says that it does not trust us.
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            no_tls(&error.to_string())
        }
        sqlx::Error::Tls(error) => no_tls(&error.to_string()),
        sqlx::Error::Io(error) => {
            let why = format!("the connection to the server failed ({error})");
            let fix = "It is tried again by itself; if it stays, see whether the server runs and the network lets \
                       connections to it pass.";
            (Kind::Transient, "POSTGRES-CONNECTION", why, fix.to_owned())
        }
        // Also what the driver makes of a connection that ends before its first answer.
        sqlx::Error::Protocol(message) => {
            let why = format!("the server does not speak as expected ({message})");
            let fix = "It is tried again by itself; if it stays, see whether the URL leads to a PostgreSQL server that \
                       lets its users in with a password.";
            (Kind::Transient, "POSTGRES-PROTOCOL", why, fix.to_owned())
        }
        other => {
            let fix = "Start again; if it stays, report it with the log.".to_owned();
            (Kind::Fatal, "POSTGRES", other.to_string(), fix)
        }
    }
}

fn no_tls(message: &str) -> Explained {
    let fix = "Let the server speak TLS with a certificate for its name, or set `sslmode` and `sslrootcert` in the URL \
               to what it speaks.";
    (
        TargetErrorKind::Fatal,
        "POSTGRES-TLS",
        format!("there is no agreement on TLS ({message})"),
        fix.to_owned(),
    )
}

/// What an error means that the server sent, while `rows` were written or not.
///
/// One code after the other is looked at here, then the classes that they belong to in [`by_class`], so that none of
/// Appendix A of PostgreSQL's manual is taken for what it is not.
fn said(place: &Validated, error: &PgDatabaseError, rows: bool) -> Explained {
    use TargetErrorKind as Kind;
    let message = error.message();
    let schema = quote(place.schema());
    let by_itself = |fix: &str| format!("It is tried again by itself; if it stays, {fix}");
    match error.code() {
        // disk_full
        "53100" => {
            let fix = "Make room on the server's disk; it goes on by itself.".to_owned();
            (
                Kind::Full,
                "POSTGRES-FULL",
                format!("there is no room left on the server's disk ({message})"),
                fix,
            )
        }
        // too_many_connections
        "53300" => {
            let fix =
                by_itself("end other connections, or raise `max_connections` or the limit of the user.");
            (Kind::Transient, "POSTGRES-CONNECTIONS", message.to_owned(), fix)
        }
        // read_only_sql_transaction
        "25006" => {
            let fix = "Name the primary server in the URL, not a standby; or take `default_transaction_read_only` \
                       off the database and the user.";
            (Kind::ReadOnly, "POSTGRES-READONLY", message.to_owned(), fix.to_owned())
        }
        NO_RIGHT if error.routine() == Some("ExecWithCheckOptions") => (
            Kind::ReadOnly,
            "POSTGRES-GRANT",
            message.to_owned(),
            format!(
                "A policy of yours refuses rows of tributary. Let a superuser run: ALTER ROLE {user} BYPASSRLS; or let \
                 the table's owner run: ALTER TABLE {schema}.… NO FORCE ROW LEVEL SECURITY;",
                user = place.user()
            ),
        ),
        NO_RIGHT | NO_SCHEMA => (
            Kind::ReadOnly,
            "POSTGRES-GRANT",
            message.to_owned(),
            format!(
                "Let a superuser or the owner run: GRANT USAGE, CREATE ON SCHEMA {schema} TO {user}; GRANT SELECT, \
                 INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {user}; where it must be the owner of a \
                 table, let a superuser run: ALTER TABLE {schema}.… OWNER TO {user};",
                user = place.user()
            ),
        ),
        // invalid_catalog_name, database_dropped
        "3D000" | "57P04" => {
            let fix = "Correct the name in the URL, or make the database: CREATE DATABASE … ENCODING 'UTF8'.";
            (Kind::Fatal, "POSTGRES-DATABASE", message.to_owned(), fix.to_owned())
        }
        // dependent_objects_still_exist
        "2BP01" => {
            let objects = error.detail().unwrap_or_default().replace('\n', "; ");
            let fix =
                "Drop what depends on the table, and make it again when the table is rebuilt.".to_owned();
            (Kind::Shape, "POSTGRES-DEPENDENTS", format!("{message} ({objects})"), fix)
        }
        // data_corrupted, index_corrupted
        "XX001" | "XX002" => {
            let fix =
                "Look into the server's log; a damaged database is restored by its administrator.".to_owned();
            (Kind::Fatal, "POSTGRES-CORRUPT", message.to_owned(), fix)
        }
        // too_many_columns, too_many_arguments: of every row, not of one.
        "54011" | "54023" => limit(message),
        // lock_not_available, object_in_use, query_canceled
        LOCKED | "55006" | "57014" => busy(message),
        // unique_violation, of what another session made at the same moment
        THERE_ALREADY if !rows => busy(message),
        // "cached plan must not change result type": a table was changed meanwhile.
        NO_FEATURE if error.routine() == Some("RevalidateCachedQuery") => busy(message),
        pooler::CODE if let Some((kind, code, fix)) = pooler::explain(message) => {
            (kind, code, message.to_owned(), fix.to_owned())
        }
        // A function that a trigger of somebody calls lacks something; not the tables.
        code if code.starts_with("42") && is_of_a_function(error) => refused_by_a_function(message),
        _ => by_class(error, rows),
    }
}

/// What the rest of a class of codes means.
fn by_class(error: &PgDatabaseError, rows: bool) -> Explained {
    use TargetErrorKind as Kind;
    let message = error.message();
    match error.code().get(..2).unwrap_or_default() {
        // Connection exceptions; the server or an operator ended the session (57P01 to 57P05, 25P03 and 25P04).
        "08" | "57" | "25" => {
            let fix = "It is tried again by itself; if it stays, see whether the server runs.".to_owned();
            (Kind::Transient, "POSTGRES-CONNECTION", message.to_owned(), fix)
        }
        // Insufficient resources; system errors such as io_error.
        "53" | "58" => {
            let fix = "It is tried again by itself; if it stays, look after the server's memory and disks.";
            (Kind::Transient, "POSTGRES-RESOURCES", message.to_owned(), fix.to_owned())
        }
        // Invalid authorization.
        "28" => {
            let fix =
                "Correct user and password in the URL, and see that the server's pg_hba.conf lets them in.";
            (Kind::Fatal, "POSTGRES-AUTH", message.to_owned(), fix.to_owned())
        }
        // Transactions rolled back (serialization failures, deadlocks); snapshots too old.
        "40" | "72" => busy(message),
        // Objects that are not in the state that is needed, foreign servers.
        "55" | "HV" => {
            let fix = "Put right what it names; it goes on by itself.".to_owned();
            (Kind::NotReady, "POSTGRES-STATE", message.to_owned(), fix)
        }
        // Internal errors, such as "tuple concurrently updated" when a GRANT was committed meanwhile.
        "XX" => {
            let fix = "It is tried again by itself; if it stays, look into the server's log.".to_owned();
            (Kind::Transient, "POSTGRES-INTERNAL", message.to_owned(), fix)
        }
        // Data exceptions, violated constraints, checks of views, limits of the program; whatever a trigger of somebody
        // may raise: triggered actions, missing cases, cardinality, changed data, ends of transactions, SQL routines,
        // external routines, PL/pgSQL.
        "09" | "20" | "21" | "22" | "23" | "27" | "2D" | "2F" | "38" | "39" | "44" | "54" | "P0" if rows => {
            does_not_fit(message)
        }
        // A code of somebody's own.
        _ if rows && error.routine() == Some("exec_stmt_raise") => does_not_fit(message),
        "54" => limit(message),
        "09" | "20" | "27" | "2F" | "38" | "39" | "P0" => refused_by_a_function(message),
        _ => {
            let fix =
                "Start again; tables that somebody changed or dropped meanwhile are then found and named.";
            (Kind::Fatal, "POSTGRES", message.to_owned(), fix.to_owned())
        }
    }
}

/// Whether it went wrong inside of a function of somebody.
fn is_of_a_function(error: &PgDatabaseError) -> bool {
    let mut context = error.r#where().unwrap_or_default().lines();
    context.any(|line| line.starts_with("PL/") || line.starts_with("SQL function"))
}

fn does_not_fit(message: &str) -> Explained {
    let fix = "The row is put aside and named; correct it at the source.".to_owned();
    (TargetErrorKind::Data, "POSTGRES-DATA", format!("a row does not fit ({message})"), fix)
}

fn busy(message: &str) -> Explained {
    let fix = "It is tried again by itself; if it stays, see who holds locks on the tables: SELECT * FROM \
               pg_stat_activity.";
    (TargetErrorKind::Transient, "POSTGRES-BUSY", message.to_owned(), fix.to_owned())
}

fn limit(message: &str) -> Explained {
    let fix = "Let the task fill fewer tables or columns, or raise the limit where the server lets you.";
    (TargetErrorKind::Fatal, "POSTGRES-LIMIT", message.to_owned(), fix.to_owned())
}

fn refused_by_a_function(message: &str) -> Explained {
    let why = format!("a trigger or a function of somebody refuses it ({message})");
    let fix = "Mend the function or drop its trigger, then start again.".to_owned();
    (TargetErrorKind::Fatal, "POSTGRES-TRIGGER", why, fix)
}
