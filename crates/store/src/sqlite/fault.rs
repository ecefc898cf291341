//! What goes wrong underneath, and how a person is told.

use std::path::Path;

use engine::journal::JournalError;
use engine::lack::Lack;
use engine::problem::{Problem, Remedy};

/// What went wrong, before anybody is told.
#[derive(Debug)]
pub(crate) enum Fault {
    /// SQLite or its pool said so.
    Sql(sqlx::Error),
    /// The file system said so, outside of SQLite.
    Io(std::io::Error),
    /// What is stored cannot be what was written.
    Damaged(String),
    /// The file is a database, but of another application.
    Foreign,
    /// A later version of tributary wrote the file.
    Newer {
        /// The format it has.
        found: i64,
    },
    /// An earlier version of tributary wrote the file, and nobody has brought it to today's format yet.
    Older {
        /// The format it has.
        found: i64,
    },
    /// The file was opened for reading only.
    ReadOnly,
    /// A census was asked about that was not started by this opening.
    NoCensus,
    /// Something could not be turned into its stored form.
    Encode(String),
    /// What waits in the inbox takes all the room it may.
    Full {
        /// Bytes that wait.
        waiting: u64,
        /// Bytes that may wait.
        max: u64,
    },
    /// Whoever would do it has ended.
    Closed,
    /// The file is not in its place any more: somebody removed or replaced it.
    Gone,
}

/// Which file a fault is about: what a person does about it differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The journal: all of it can be read again.
    Journal,
    /// The inbox: what waits in it is found by a poll or a census, later.
    Inbox,
}

impl Kept {
    fn file(self) -> &'static str {
        match self {
            Kept::Journal => crate::journal::FILE,
            Kept::Inbox => crate::inbox::FILE,
        }
    }

    /// What to do about a file that cannot be read.
    fn start_afresh(self, dir: &std::path::Display<'_>) -> String {
        match self {
            Kept::Journal => format!(
                "Stop tributary, move the state directory {dir} away and start again: the target is rebuilt \
                 from a fresh reading; nothing is lost in the target."
            ),
            Kept::Inbox => format!(
                "Stop tributary, move the files {dir}/inbox.db* away and start again: deliveries that waited \
                 are gone, and the poll at the start finds what they were about."
            ),
        }
    }

    fn use_newer(self, dir: &std::path::Display<'_>) -> String {
        match self {
            Kept::Journal => format!(
                "Run the version of tributary that wrote {dir}, or move that directory away: the target is \
                 then rebuilt from a fresh reading."
            ),
            Kept::Inbox => format!(
                "Run the version of tributary that wrote {dir}, or move the files {dir}/inbox.db* away: \
                 deliveries that waited are then gone, and the poll at the start finds what they were about."
            ),
        }
    }

    fn made_by(self) -> &'static str {
        match self {
            Kept::Journal => "Check the path of the state directory; the first sync makes it.",
            Kept::Inbox => {
                "Check the path of the state directory; the first sync of a pipeline with hooks makes it."
            }
        }
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Fault {
        Fault::Sql(error)
    }
}

/// What a fault means, before the words.
enum Meaning {
    NoRoom,
    Lack(Lack),
    Busy,
    Damaged,
    Denied,
    Closed,
    Other,
}

/// Less room than this, and an I/O error means that the disk is full: SQLite could not even begin a log file.
const HARDLY_ANY_ROOM: u64 = 1024 * 1024;

/// Bytes that may still be written in a directory, where the system can tell.
fn room(dir: &Path) -> Option<u64> {
    fs4::available_space(dir).ok()
}

/// SQLite's result codes (<https://www.sqlite.org/rescode.html>); `lack` says what is behind one that does not tell.
fn meaning_of_code(code: i64, room: impl Fn() -> Option<u64>, lack: impl Fn(i64) -> Option<Lack>) -> Meaning {
    match code & 0xff {
        13 => Meaning::NoRoom,
        10 | 14 if room().is_some_and(|bytes| bytes < HARDLY_ANY_ROOM) => Meaning::NoRoom,
        5 | 6 => Meaning::Busy,
        11 | 26 => Meaning::Damaged,
        3 | 8 | 23 => Meaning::Denied,
        14 => lack(code).map_or(Meaning::Denied, Meaning::Lack),
        _ => lack(code).map_or(Meaning::Other, Meaning::Lack),
    }
}

/// What was lacking where SQLite merely says that it could not open, or not write (SQLITE_IOERR_WRITE, _TRUNCATE,
/// _SHMSIZE).
fn lack_behind(code: i64, file: &Path) -> Option<Lack> {
    match code {
        code if code & 0xff == 14 => Lack::behind_open(file),
        778 | 1_546 | 4_874 => Lack::behind_write(file),
        _ => None,
    }
}

fn meaning(error: &sqlx::Error, file: &Path, room: impl Fn() -> Option<u64>) -> Meaning {
    match error {
        sqlx::Error::Database(database) => {
            let code = database.code().and_then(|code| code.parse().ok());
            code.map_or(Meaning::Other, |code| meaning_of_code(code, room, |code| lack_behind(code, file)))
        }
        sqlx::Error::Io(io) => match (Lack::of(io), io.kind()) {
            (Some(lack), _) => Meaning::Lack(lack),
            (None, std::io::ErrorKind::ResourceBusy) => Meaning::Busy,
            (None, _) => Meaning::Other,
        },
        sqlx::Error::PoolTimedOut => Meaning::Busy,
        sqlx::Error::PoolClosed => Meaning::Closed,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Meaning::Damaged,
        _ => Meaning::Other,
    }
}

impl Fault {
    /// The error as the engine takes it. `what` is what could not be done, `dir` the state directory.
    pub(crate) fn told(self, kept: Kept, what: &str, dir: &Path) -> JournalError {
        let (path, room) = (dir.join(kept.file()), || room(dir));
        let (file, dir) = (path.display(), dir.display());
        let error = |remedy, code, why: String, fix: String| JournalError {
            remedy,
            problem: Problem::new(code, what, why, fix),
            source: None,
        };
        let damaged =
            |why: String| error(Remedy::NeedsHuman, "JOURNAL-DAMAGED", why, kept.start_afresh(&dir));
        let lacking = |lack: Lack| {
            let code = if lack == Lack::Descriptors { "JOURNAL-DESCRIPTORS" } else { "JOURNAL-NO-ROOM" };
            let why = format!("of {file}: {lack}");
            let fix = format!(
                "{}: what runs goes on by itself; what has ended is to be started again.",
                lack.remedy()
            );
            error(Remedy::Wait, code, why, fix)
        };
        let closed = || {
            let (why, fix) = ("it has been closed".to_owned(), "Start tributary again.".to_owned());
            error(Remedy::NeedsHuman, "JOURNAL-CLOSED", why, fix)
        };
        match self {
            Fault::Damaged(why) => damaged(format!("its file is damaged: {why}")),
            Fault::Foreign => damaged("its file belongs to another application".to_owned()),
            Fault::Newer { found } => error(
                Remedy::NeedsHuman,
                "JOURNAL-NEWER",
                format!("its format {found} is newer than this tributary understands"),
                kept.use_newer(&dir),
            ),
            Fault::Older { found } => error(
                Remedy::NeedsHuman,
                "JOURNAL-OLDER",
                format!("its format {found} is that of an earlier tributary"),
                "Start the sync of this version once: it brings the file to today's format.".to_owned(),
            ),
            Fault::Full { waiting, max } => error(
                Remedy::Wait,
                "INBOX-FULL",
                format!("deliveries of {waiting} bytes wait to be worked off, and {max} bytes may"),
                "See what keeps them waiting (`tributary status`): it goes on by itself once they are worked \
                 off. Or give the inbox more room in the pipeline file."
                    .to_owned(),
            ),
            Fault::Closed => closed(),
            Fault::Gone => error(
                Remedy::NeedsHuman,
                "STATE-GONE",
                format!("{file} was removed or replaced while it was in use"),
                "See who removes files there; then start tributary again: what is gone is read anew from CODING."
                    .to_owned(),
            ),
            Fault::ReadOnly => error(
                Remedy::NeedsHuman,
                "JOURNAL-READ-ONLY",
                "it was opened for reading only".to_owned(),
                "This is a mistake in tributary: please report it.".to_owned(),
            ),
            Fault::NoCensus => error(
                Remedy::Retry,
                "JOURNAL-NO-CENSUS",
                "no census of this table is under way".to_owned(),
                "The next census starts afresh.".to_owned(),
            ),
            Fault::Encode(why) => error(
                Remedy::NeedsHuman,
                "JOURNAL-ENCODE",
                why,
                "This is a mistake in tributary: please report it.".to_owned(),
            ),
            Fault::Io(io) if io.kind() == std::io::ErrorKind::NotFound => JournalError {
                source: Some(Box::new(io)),
                ..error(
                    Remedy::NeedsHuman,
                    "JOURNAL-MISSING",
                    format!("there is none in {dir}"),
                    kept.made_by().to_owned(),
                )
            },
            Fault::Io(io) => {
                let told = match Lack::of(&io) {
                    Some(lack) => lacking(lack),
                    None => error(
                        Remedy::NeedsHuman,
                        "JOURNAL-IO",
                        format!("{file} cannot be reached ({io})"),
                        "Check the disk and the permissions of the directory.".to_owned(),
                    ),
                };
                JournalError { source: Some(Box::new(io)), ..told }
            }
            Fault::Sql(sql) => {
                let told = match meaning(&sql, &path, room) {
                    Meaning::Lack(lack) => lacking(lack),
                    Meaning::NoRoom => error(
                        Remedy::Wait,
                        "JOURNAL-NO-ROOM",
                        format!("no room is left on the disk of {file} (or of the temporary directory)"),
                        "Make room: what runs goes on by itself; what has ended is to be started again."
                            .to_owned(),
                    ),
                    Meaning::Busy => error(
                        Remedy::Retry,
                        "JOURNAL-BUSY",
                        format!("{file} is in use"),
                        "It passes by itself; if not, see which other program has the file open.".to_owned(),
                    ),
                    Meaning::Damaged => damaged(format!("its file is damaged: {sql}")),
                    Meaning::Denied => error(
                        Remedy::NeedsHuman,
                        "JOURNAL-DENIED",
                        format!("{file} may not be opened or written: {sql}"),
                        "Give the user that runs tributary read and write access to that directory."
                            .to_owned(),
                    ),
                    Meaning::Closed => closed(),
                    Meaning::Other => error(
                        Remedy::NeedsHuman,
                        "JOURNAL-IO",
                        format!("SQLite says of {file}: {sql}"),
                        "Check the disk and the permissions of the directory; then start again, nothing \
                         that was acknowledged is lost."
                            .to_owned(),
                    ),
                };
                JournalError { source: Some(Box::new(sql)), ..told }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use engine::problem::Remedy;
    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{Connection, Executor, SqliteConnection};

    use super::{Fault, Kept, Meaning, meaning_of_code};

    async fn connect(dir: &Path) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(dir.join("file.db")).create_if_missing(true);
        SqliteConnection::connect_with(&options.busy_timeout(Duration::ZERO)).await.unwrap()
    }

    fn told(error: sqlx::Error) -> (Remedy, String) {
        let error =
            Fault::from(error).told(Kept::Journal, "The journal cannot be written", Path::new("/some.state"));
        assert!(error.to_string().contains("/some.state"));
        assert!(error.source.is_some());
        (error.remedy, error.problem.code)
    }

    #[tokio::test]
    async fn a_full_disk_is_waited_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = connect(dir.path()).await;
        // A file that may not grow gives the code of a disk that is full.
        connection.execute("CREATE TABLE t (x); PRAGMA max_page_count = 4").await.unwrap();
        let full = connection.execute("INSERT INTO t VALUES (zeroblob(1000000))").await.unwrap_err();
        assert_eq!(told(full), (Remedy::Wait, "JOURNAL-NO-ROOM".to_owned()));
    }

    /// SQLite's shared memory that cannot grow, a flush that fails, a file that cannot be made.
    #[test]
    fn other_errors_of_a_full_disk_are_waited_out_too() {
        for code in [4_874, 1_034, 14] {
            assert!(matches!(meaning_of_code(code, || Some(4_096), |_| None), Meaning::NoRoom), "{code}");
            for room in [None, Some(1 << 30)] {
                assert!(!matches!(meaning_of_code(code, || room, |_| None), Meaning::NoRoom), "{code}");
            }
        }
    }

    /// SQLite says no more than that it could not open the file.
    #[tokio::test]
    async fn a_file_that_could_not_be_opened_for_want_of_a_descriptor_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let cannot_open = async |file: &Path| {
            let options = SqliteConnectOptions::new().filename(file);
            SqliteConnection::connect_with(&options).await.unwrap_err()
        };
        let told = |error: sqlx::Error| {
            let error = Fault::from(error).told(Kept::Journal, "The journal cannot be opened", dir.path());
            (error.remedy, error.problem.code)
        };
        // Nothing stands in the way of the journal itself.
        let error = cannot_open(&dir.path().join("none.db")).await;
        assert_eq!(told(error), (Remedy::Wait, "JOURNAL-DESCRIPTORS".to_owned()));
        std::fs::create_dir(dir.path().join(crate::journal::FILE)).unwrap();
        let error = cannot_open(&dir.path().join("none.db")).await;
        assert_eq!(told(error), (Remedy::NeedsHuman, "JOURNAL-DENIED".to_owned()));
        for (number, code) in [(24, "JOURNAL-DESCRIPTORS"), (27, "JOURNAL-NO-ROOM")] {
            let error = sqlx::Error::Io(std::io::Error::from_raw_os_error(number));
            assert_eq!(told(error), (Remedy::Wait, code.to_owned()));
        }
    }

    #[tokio::test]
    async fn a_lock_of_somebody_else_passes() {
        let dir = tempfile::tempdir().unwrap();
        let (mut one, mut other) = (connect(dir.path()).await, connect(dir.path()).await);
        one.execute("BEGIN EXCLUSIVE").await.unwrap();
        let busy = other.execute("BEGIN EXCLUSIVE").await.unwrap_err();
        assert_eq!(told(busy), (Remedy::Retry, "JOURNAL-BUSY".to_owned()));
    }

    #[tokio::test]
    async fn a_file_that_may_not_be_written_needs_a_person() {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = connect(dir.path()).await;
        connection.execute("CREATE TABLE t (x); PRAGMA query_only = ON").await.unwrap();
        let denied = connection.execute("INSERT INTO t VALUES (1)").await.unwrap_err();
        assert_eq!(told(denied), (Remedy::NeedsHuman, "JOURNAL-DENIED".to_owned()));
    }
}
