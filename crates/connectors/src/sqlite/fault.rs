//! What goes wrong with a SQLite file, and what a person reads about it.
//!
//! The result codes of SQLite are sorted here, and nowhere else, into the kinds the engine acts on.

use std::path::Path;

use engine::lack::Lack;
use engine::problem::Problem;
use engine::target::{TargetError, TargetErrorKind};

use super::WORDS;
use super::encode::Unstorable;
use crate::fault::Fault;

/// Less room than this, and an I/O error means that the disk is full: SQLite could not even begin a log file.
const HARDLY_ANY_ROOM: u64 = 1024 * 1024;

/// With less room than this a load is likely to fill the disk: ten thousand issues take about 30 MB.
pub(super) const COMFORTABLE_ROOM: u64 = 256 * 1024 * 1024;

impl From<Unstorable> for Fault {
    fn from(error: Unstorable) -> Fault {
        WORDS.data(error)
    }
}

/// The error as the engine gets it. `doing` completes "Cannot …".
pub(super) fn into_error(fault: Fault, file: &Path, doing: &str) -> TargetError {
    fault.into_error(|error, rows| {
        let (kind, code, why, fix) = explain(file, error, rows);
        let what = format!("Cannot {doing} the SQLite file `{}`", file.display());
        (kind, Problem::new(code, what, why, fix))
    })
}

/// Extended result code of SQLite, and what it says.
fn result_code(error: &sqlx::Error) -> Option<(i32, String)> {
    let error = error.as_database_error()?;
    let extended: i32 = error.code()?.parse().ok()?;
    Some((extended, error.message().to_owned()))
}

/// The primary result code of an extended one.
fn primary(extended: i32) -> i32 {
    extended & 0xff
}

/// What was lacking where SQLite merely says that it could not open, or not write (SQLITE_IOERR_WRITE, _TRUNCATE,
/// _SHMSIZE).
fn lack_behind(file: &Path, extended: i32) -> Option<Lack> {
    match extended {
        code if primary(code) == 14 => Lack::behind_open(file),
        778 | 1_546 | 4_874 => Lack::behind_write(file),
        _ => None,
    }
}

/// Whether another connection stands in the way.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    result_code(error).is_some_and(|(code, _)| matches!(primary(code), 5 | 6 | 15))
}

/// Bytes that may still be written where `file` lies.
pub(super) fn room(file: &Path) -> Option<u64> {
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty());
    fs4::available_space(directory.unwrap_or(Path::new("."))).ok()
}

fn explain(file: &Path, error: &sqlx::Error, rows: bool) -> (TargetErrorKind, &'static str, String, String) {
    use TargetErrorKind as Kind;
    let full = || {
        let why = "there is no room left on the disk, or the file has reached its largest size".to_owned();
        let fix = "Make room on the disk; it goes on by itself.".to_owned();
        (Kind::Full, "SQLITE-FULL", why, fix)
    };
    let read_only = |why: &str| {
        let fix = format!(
            "Let the user that runs tributary write `{}` and its directory (which must exist), or set another path.",
            file.display()
        );
        (Kind::ReadOnly, "SQLITE-READONLY", why.to_owned(), fix)
    };
    let broken = |why: &str| {
        let fix = "Move the file (and its -wal and -shm) away, or set another path; the tables are made anew \
                   from the journal without reading the source again.";
        (Kind::Fatal, "SQLITE-CORRUPT", why.to_owned(), fix.to_owned())
    };
    let no_memory = || {
        let fix = "It is tried again by itself; if it stays, give the process more memory.";
        (Kind::Transient, "SQLITE-MEMORY", "there is no memory left".to_owned(), fix.to_owned())
    };
    let lacking = |lack: Lack| {
        let (kind, code) = match lack {
            Lack::Descriptors => (Kind::Transient, "SQLITE-DESCRIPTORS"),
            Lack::Room | Lack::FileSize => (Kind::Full, "SQLITE-FULL"),
        };
        (kind, code, lack.to_string(), format!("{}; it goes on by itself.", lack.remedy()))
    };
    let Some((extended, message)) = result_code(error) else {
        return match error {
            sqlx::Error::Io(error) if let Some(lack) = Lack::of(error) => lacking(lack),
            sqlx::Error::WorkerCrashed | sqlx::Error::Io(_) => {
                let why = match error {
                    sqlx::Error::Io(error) => format!("the connection to the file ended: {error}"),
                    _ => "the connection to the file ended".to_owned(),
                };
                (Kind::Transient, "SQLITE-CONNECTION", why, "It is opened again by itself.".to_owned())
            }
            other => {
                let fix = "Start again; if it stays, report it with the log.".to_owned();
                (Kind::Fatal, "SQLITE", other.to_string(), fix)
            }
        };
    };
    match extended {
        // SQLITE_IOERR_NOMEM
        3082 => return no_memory(),
        // SQLITE_CORRUPT_VTAB: what a virtual table keeps, such as a full-text index that triggers fill.
        267 => {
            let why = format!(
                "a full-text index or another virtual table that somebody made is not as its triggers take it to be \
                 ({message}); the file itself is not damaged"
            );
            let fix = "Make it anew, for FTS5 with INSERT INTO name(name) VALUES('rebuild'), or drop its triggers; it \
                       goes on by itself.";
            return (Kind::NotReady, "SQLITE-INDEX", why, fix.to_owned());
        }
        // SQLITE_CORRUPT_INDEX
        779 => {
            let fix = "Run REINDEX on the file and start again; if it stays, move the file (and its -wal and -shm) away: \
                       the tables are made anew from the journal.";
            return (
                Kind::Fatal,
                "SQLITE-CORRUPT",
                "an index in the file is damaged".to_owned(),
                fix.to_owned(),
            );
        }
        _ => {}
    }
    match primary(extended) {
        // SQLITE_BUSY, SQLITE_LOCKED, SQLITE_PROTOCOL
        5 | 6 | 15 => {
            let why = "another program holds a lock on it".to_owned();
            let fix = "It is tried again by itself; if it stays, end the program that writes to the file.";
            (Kind::Transient, "SQLITE-BUSY", why, fix.to_owned())
        }
        // SQLITE_INTERNAL, SQLITE_ABORT, SQLITE_INTERRUPT, SQLITE_SCHEMA
        2 | 4 | 9 | 17 => {
            let why = format!("SQLite gave up ({message})");
            let fix = "It is tried again by itself; if it stays, report it with the log.".to_owned();
            (Kind::Transient, "SQLITE-INTERNAL", why, fix)
        }
        // SQLITE_FULL; SQLITE_NOLFS, files that would be larger than the system lets them be
        13 | 22 => full(),
        // SQLITE_IOERR, SQLITE_CANTOPEN
        10 | 14 if room(file).is_some_and(|bytes| bytes < HARDLY_ANY_ROOM) => full(),
        10 | 14 if let Some(lack) = lack_behind(file, extended) => lacking(lack),
        10 => {
            let why = format!("the disk reports an error ({message})");
            let fix = "It is tried again by itself; if it stays, look after the disk or the network share.";
            (Kind::Transient, "SQLITE-IO", why, fix.to_owned())
        }
        // SQLITE_NOMEM
        7 => no_memory(),
        // SQLITE_READONLY; SQLITE_PERM, SQLITE_CANTOPEN, SQLITE_AUTH
        8 => read_only("it may only be read"),
        3 | 14 | 23 => read_only("it cannot be opened for writing"),
        // SQLITE_CORRUPT, SQLITE_NOTADB
        11 => broken("the file is damaged"),
        26 => broken("the file is not a SQLite database"),
        // SQLITE_TOOBIG, SQLITE_CONSTRAINT (RAISE of a trigger, too), SQLITE_MISMATCH
        18..=20 if rows => {
            let fix = "The row is put aside and named; correct it at the source.".to_owned();
            (Kind::Data, "SQLITE-DATA", format!("a row does not fit ({message})"), fix)
        }
        _ => {
            let fix =
                "Start again; tables that somebody changed or dropped meanwhile are then found and named.";
            (Kind::Fatal, "SQLITE", message, fix.to_owned())
        }
    }
}
