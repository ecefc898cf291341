//! How files are made, recognised and opened.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use engine::failpoint::Step;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Connection, Executor, SqliteConnection, SqlitePool};

use super::fault::Fault;
use crate::durable;

/// How long a connection waits for another one's lock; only checkpoints and other programs hold any.
const BUSY: Duration = Duration::from_secs(10);

/// What a file is, as its header says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    /// Marks the file as ours.
    pub(crate) application_id: i64,
    /// The format of its tables. A file with a higher one is refused.
    pub(crate) number: i64,
    /// Makes the tables, or brings them to this format.
    pub(crate) make: Step,
    /// What makes of each earlier format, from the first one on, the next.
    pub(crate) migrations: &'static [&'static str],
}

/// How every connection is set up.
pub(crate) fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(BUSY)
        .foreign_keys(false)
        // Rows that the driver's thread may read ahead: each time it waits costs two switches of threads.
        .row_buffer_size(512)
        .pragma("temp_store", "FILE")
}

/// A pool that keeps its connections for life: they hold caches and temporary tables.
pub(crate) fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .min_connections(0)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// Makes the file, if there is none, so that only its owner can read it: it holds everything that was observed or
/// received. SQLite gives its other files the same mode and, as root, the same owner.
pub(crate) fn keep_private(file: &Path) -> std::io::Result<()> {
    durable::open_private(file).map(drop)
}

impl Format {
    /// Looks at the first bytes of a file before SQLite does, so that a foreign file, or one of a newer format, is left
    /// as it is.
    pub(crate) fn check_header(self, file: &Path) -> Result<(), Fault> {
        let mut header = Vec::with_capacity(100);
        match std::fs::File::open(file) {
            Ok(file) => file.take(100).read_to_end(&mut header).map_err(Fault::Io)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Fault::Io(error)),
        };
        if header.is_empty() {
            return Ok(());
        }
        if !header.starts_with(b"SQLite format 3\0") || header.len() < 100 {
            return Err(Fault::Damaged("it does not begin as a database does".to_owned()));
        }
        let number = |place: std::ops::Range<usize>| {
            let bytes = header.get(place).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
            bytes.map(i32::from_be_bytes).map(i64::from)
        };
        match (number(68..72), number(60..64)) {
            (Some(id), Some(found)) if id == self.application_id && found > self.number => {
                Err(Fault::Newer { found })
            }
            // 0: made a moment ago, its first page still lies in the write-ahead log.
            (Some(id), _) if id == 0 || id == self.application_id => Ok(()),
            _ => Err(Fault::Foreign),
        }
    }

    /// Makes the tables of a new file; brings an old one to this format, or says why it cannot.
    pub(crate) async fn prepare(self, writer: &SqlitePool, tables: &'static str) -> Result<(), Fault> {
        let mut connection = writer.acquire().await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let objects: i64 =
            sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *transaction).await?;
        if objects == 0 {
            (&mut *transaction).execute(tables).await?;
        } else {
            for migration in self.needed(&mut transaction).await? {
                (&mut *transaction).execute(*migration).await?;
            }
        }
        self.make.before().map_err(Fault::Io)?;
        transaction.commit().await?;
        self.make.after().map_err(Fault::Io)?;
        drop(connection);
        self.check(writer).await
    }

    /// The migrations that a file of ours still needs.
    async fn needed(self, connection: &mut SqliteConnection) -> Result<&'static [&'static str], Fault> {
        let id: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
        let format: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
        let done = format.checked_sub(1).and_then(|done| usize::try_from(done).ok());
        let needed = done.filter(|_| id == self.application_id).and_then(|done| self.migrations.get(done..));
        Ok(needed.unwrap_or_default())
    }

    /// Refuses files of other applications and of newer formats; also of older ones, which whoever writes the file
    /// brings to this one.
    pub(crate) async fn check(self, pool: &SqlitePool) -> Result<(), Fault> {
        let id: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(pool).await?;
        let format: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(pool).await?;
        match format {
            _ if id != self.application_id => Err(Fault::Foreign),
            found if found == self.number => Ok(()),
            found if found > self.number => Err(Fault::Newer { found }),
            found if found >= 1 => Err(Fault::Older { found }),
            _ => Err(Fault::Damaged(format!("its format {format} never existed"))),
        }
    }
}

/// Carries over into the file what an earlier process left in the write-ahead log. It may have ended, or failed,
/// before it flushed that; what is read there might then be nowhere else. Copied and flushed it is on the disk.
pub(crate) async fn secure(writer: &SqlitePool) -> Result<(), Fault> {
    sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_all(writer).await?;
    Ok(())
}
