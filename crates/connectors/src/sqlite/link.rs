//! The connection: made when it is needed, thrown away after an error, and always to the same file.

use std::path::Path;
use std::time::Duration;

use engine::problem::Problem;
use engine::target::TargetErrorKind;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::time::Instant;

use super::config::{BUSY_TIMEOUT, Validated};
use super::fault::is_busy;
use crate::fault::Fault;

/// How soon to ask for WAL again: turning a file takes a few milliseconds.
const WAL_RETRY: Duration = Duration::from_millis(10);

/// The way to the file.
#[derive(Debug)]
pub(super) struct Link {
    file: Validated,
    adjust: fn(SqliteConnectOptions) -> SqliteConnectOptions,
    connection: Option<SqliteConnection>,
    /// What tells the opened file from another one of the same name.
    identity: Option<(u64, u64)>,
}

impl Link {
    /// Not open yet; `adjust` makes its connections different: smaller, or read-only.
    pub(super) fn new(file: Validated, adjust: fn(SqliteConnectOptions) -> SqliteConnectOptions) -> Link {
        Link { file, adjust, connection: None, identity: None }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// The connection: the one there is, or a new one. A missing file is made when `create` says so.
    pub(super) async fn connection(&mut self, create: bool) -> Result<&mut SqliteConnection, Fault> {
        if self.connection.is_none() {
            let options = self.file.options().create_if_missing(create);
            self.connection = Some((self.adjust)(options).connect().await?);
            self.identity = identity(self.file.path()).await;
        }
        self.connection.as_mut().ok_or_else(|| sqlx::Error::WorkerCrashed.into())
    }

    /// Fails when another file was put in the place of the opened one.
    pub(super) async fn same_file(&mut self) -> Result<(), Fault> {
        if self.connection.is_none() || identity(self.file.path()).await == self.identity {
            return Ok(());
        }
        self.drop_connection();
        let problem = Problem::new(
            "SQLITE-REPLACED",
            format!("Cannot go on writing to the SQLite file `{}`", self.file.path().display()),
            "the file was deleted, or another one was put in its place",
            "Start again; what the file lacks is written from the journal.",
        );
        Err(Fault::refused(TargetErrorKind::Fatal, problem))
    }

    /// Throws away a connection that something went wrong on.
    pub(super) fn drop_connection(&mut self) {
        self.connection = None;
    }

    /// Closes the connection after what is under way.
    pub(super) async fn close(self) {
        if let Some(connection) = self.connection
            && let Err(error) = connection.close().await
        {
            // Everything was committed before; the next one to open the file tidies up.
            tracing::warn!(%error, "the target file was not closed cleanly");
        }
    }
}

/// Turns the file to WAL and says in which mode it is then. SQLite gives up at once, without the busy time-out,
/// when another task turns the same new file at the same moment.
pub(super) async fn enter_wal(connection: &mut SqliteConnection) -> Result<String, sqlx::Error> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        let mode = sqlx::query_scalar("PRAGMA journal_mode = WAL").fetch_one(&mut *connection).await;
        match mode {
            Err(error) if is_busy(&error) && Instant::now() < deadline => tokio::time::sleep(WAL_RETRY).await,
            mode => return mode,
        }
    }
}

/// What tells a file from another one of the same name; `None` where the system cannot say.
async fn identity(path: &Path) -> Option<(u64, u64)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let metadata = tokio::fs::metadata(path).await.ok()?;
        Some((metadata.dev(), metadata.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}
