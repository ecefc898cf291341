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
    fault.into_error(|error| {
        let (kind, code, why, fix) = explain(place, error);
        let what = format!("Cannot {doing} schema `{}` of PostgreSQL, {}", place.schema(), place.place());
        (kind, Problem::new(code, what, why, fix))
    })
}

/// insufficient_privilege
pub(super) const NO_RIGHT: &str = "42501";

/// invalid_schema_name: also said of a schema that may not be used.
pub(super) const NO_SCHEMA: &str = "3F000";

/// lock_not_available
pub(super) const LOCKED: &str = "55P03";

/// The server's code for an error, if the server sent it.
pub(super) fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

type Explained = (TargetErrorKind, &'static str, String, String);

fn explain(place: &Validated, error: &sqlx::Error) -> Explained {
    use TargetErrorKind as Kind;
    if let sqlx::Error::Database(error) = error
        && let Some(error) = error.try_downcast_ref::<PgDatabaseError>()
    {
        return said(place, error);
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

/// What an error means that the server sent.
fn said(place: &Validated, error: &PgDatabaseError) -> Explained {
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
        // lock_not_available, object_in_use, serialization_failure, deadlock_detected, query_canceled
        LOCKED | "55006" | "40001" | "40P01" | "57014" => {
            let fix = by_itself("see who holds locks on the tables: SELECT * FROM pg_stat_activity.");
            (Kind::Transient, "POSTGRES-BUSY", message.to_owned(), fix)
        }
        // read_only_sql_transaction
        "25006" => {
            let fix = "Name the primary server in the URL, not a standby; or take `default_transaction_read_only` \
                       off the database and the user.";
            (Kind::ReadOnly, "POSTGRES-READONLY", message.to_owned(), fix.to_owned())
        }
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
        pooler::CODE if let Some((kind, code, fix)) = pooler::explain(message) => {
            (kind, code, message.to_owned(), fix.to_owned())
        }
        code => by_class(code, message),
    }
}

/// What the rest of a class of codes means.
fn by_class(code: &str, message: &str) -> Explained {
    use TargetErrorKind as Kind;
    match code.get(..2).unwrap_or_default() {
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
        // Data exceptions, violated constraints, limits of the program.
        "22" | "23" | "54" => {
            let fix = "The row is put aside and named; correct it at the source.".to_owned();
            (Kind::Data, "POSTGRES-DATA", format!("a row does not fit ({message})"), fix)
        }
        // Damaged data.
        "XX" => {
            let fix =
                "Look into the server's log; a damaged database is restored by its administrator.".to_owned();
            (Kind::Fatal, "POSTGRES-CORRUPT", message.to_owned(), fix)
        }
        _ => {
            let fix =
                "Start again; tables that somebody changed or dropped meanwhile are then found and named.";
            (Kind::Fatal, "POSTGRES", message.to_owned(), fix.to_owned())
        }
    }
}
