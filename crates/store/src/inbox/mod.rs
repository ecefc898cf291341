//! The inbox in one SQLite file: `inbox.db` of the state directory.
//!
//! A file of its own, so that a load that fills the journal never delays a sender's answer. One connection writes,
//! flushing every transaction; what arrives while one is being flushed shares the next. Nothing here knows what a
//! delivery means.
//!
//! Start with [`SqliteInbox`]; `schema` has the tables, `intake` the way in, `settle` what is noted later, `read` the
//! ways out, `handout` care with what an earlier process left, `prune` the end.

mod handout;
mod intake;
mod known;
mod prune;
mod read;
mod schema;
mod settle;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::inbox::{
    Accepted, Arrival, Delivery, DeliveryNumber, Entry, Inbox, InboxCounts, Query, Settled, Turn,
};
use engine::journal::{JournalError, Limit};
use futures::future::BoxFuture;
use jiff::Timestamp;
use sqlx::SqlitePool;
use tokio::sync::watch;

use self::handout::Handout;
use self::intake::{Intake, Work};
use crate::sqlite::checkpoint::Short;
use crate::sqlite::fault::{Fault, Kept};
use crate::sqlite::file::keep_private;

/// Name of the file within the state directory.
pub const FILE: &str = "inbox.db";

/// An inbox in an SQLite file. One process accepts and settles (see [`crate::state_dir::StateDir`]); others may read
/// and replay beside it with [`SqliteInbox::open_beside`].
#[derive(Debug)]
pub struct SqliteInbox {
    dir: PathBuf,
    /// One connection; waiting for it is the queue of writers.
    writer: SqlitePool,
    readers: SqlitePool,
    arrivals: watch::Sender<u64>,
    /// Only in the process that accepts.
    intake: Option<Intake>,
    /// How far deliveries have been handed out; only in the process that accepts.
    handout: Option<Arc<Handout>>,
}

impl SqliteInbox {
    /// Opens the inbox in `dir`, making it when there is none, to accept deliveries as long as those that
    /// wait take at most `max_bytes` together, headers and what is noted of them included.
    ///
    /// # Errors
    /// A file that is damaged, not an inbox, or of a newer format needs a person; nothing is changed in it.
    pub async fn open(dir: &Path, max_bytes: u64) -> Result<SqliteInbox, JournalError> {
        let opened = Self::opened(dir, max_bytes).await;
        opened.map_err(|fault| fault.told(Kept::Inbox, "The inbox cannot be opened", dir))
    }

    async fn opened(dir: &Path, max_bytes: u64) -> Result<SqliteInbox, Fault> {
        let file = dir.join(FILE);
        keep_private(&file).map_err(Fault::Io)?;
        schema::FORMAT.check_header(&file)?;
        let writer = schema::writer(&file).await?;
        let readers = schema::readers(&file).await?;
        let arrivals = watch::Sender::new(0);
        let short = Short::keep(&file, writer.clone());
        let handout = Arc::new(Handout::begin(&writer).await?);
        let work = Work::new(writer.clone(), arrivals.clone(), dir, max_bytes, Arc::clone(&handout))?;
        let (dir, intake) = (dir.to_path_buf(), Some(Intake::start(work, short)));
        Ok(SqliteInbox { dir, writer, readers, arrivals, intake, handout: Some(handout) })
    }

    /// Opens the inbox in `dir` to read and replay, also while another process accepts into it. `arrivals` stands
    /// still; accepting, settling and pruning are refused.
    ///
    /// # Errors
    /// As [`SqliteInbox::open`]; also when there is no inbox yet.
    pub async fn open_beside(dir: &Path) -> Result<SqliteInbox, JournalError> {
        let opened = Self::opened_beside(dir).await;
        opened.map_err(|fault| fault.told(Kept::Inbox, "The inbox cannot be read", dir))
    }

    async fn opened_beside(dir: &Path) -> Result<SqliteInbox, Fault> {
        let file = dir.join(FILE);
        std::fs::metadata(&file).map_err(Fault::Io)?;
        schema::FORMAT.check_header(&file)?;
        let readers = schema::readers(&file).await?;
        schema::FORMAT.check(&readers).await?;
        let (writer, arrivals) = (schema::writer_beside(&file), watch::Sender::new(0));
        Ok(SqliteInbox { dir: dir.to_path_buf(), writer, readers, arrivals, intake: None, handout: None })
    }

    /// Accepts what was handed in before, then nothing more; writes everything into the one file and closes it.
    /// Dropping the inbox instead loses nothing that was accepted; the next opening then reads the write-ahead log.
    ///
    /// # Errors
    /// When the file cannot be written; everything accepted is safe all the same.
    pub async fn close(&self) -> Result<(), JournalError> {
        self.readers.close().await;
        let mut stored = Ok(());
        if let Some(intake) = &self.intake {
            intake.end().await;
            let checkpoint = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_all(&self.writer).await;
            stored = match checkpoint {
                Ok(_) | Err(sqlx::Error::PoolClosed) => Ok(()),
                Err(error) => Err(self.told("The inbox was not closed properly", error.into())),
            };
        }
        self.writer.close().await;
        stored
    }

    /// Waits until nothing is accepted any more: the inbox was closed, or the task that accepts broke down. Beside a
    /// process that accepts, at once.
    pub async fn ended(&self) {
        if let Some(intake) = &self.intake {
            intake.ended().await;
        }
    }

    /// How many transactions wrote arrivals so far: with many senders far fewer than arrivals.
    #[must_use]
    pub fn groups(&self) -> u64 {
        self.intake.as_ref().map_or(0, Intake::groups)
    }

    fn intake(&self) -> Result<&Intake, Fault> {
        self.intake.as_ref().ok_or(Fault::ReadOnly)
    }

    fn told(&self, what: &str, fault: Fault) -> JournalError {
        fault.told(Kept::Inbox, what, &self.dir)
    }

    fn unread(&self, fault: Fault) -> JournalError {
        self.told("The inbox cannot be read", fault)
    }

    fn unwritten(&self, fault: Fault) -> JournalError {
        self.told("The inbox cannot be written", fault)
    }
}

impl Inbox for SqliteInbox {
    fn accept(&self, arrival: Arrival) -> BoxFuture<'_, Result<Accepted, JournalError>> {
        Box::pin(async move {
            let accepted = async { self.intake()?.accept(arrival).await };
            accepted.await.unwrap_or_else(|fault| Err(self.told(intake::CANNOT, fault)))
        })
    }

    fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrivals.subscribe()
    }

    fn waiting(&self, after: Turn, limit: Limit) -> BoxFuture<'_, Result<Vec<Delivery>, JournalError>> {
        Box::pin(async move {
            let waiting = async {
                match &self.handout {
                    Some(handout) => handout.waiting((&self.readers, &self.writer), after, limit).await,
                    None => match read::reach(&self.readers, after, limit).await?.last() {
                        Some((last, _)) => read::waiting(&self.readers, after, *last).await,
                        None => Ok(Vec::new()),
                    },
                }
            };
            waiting.await.map_err(|fault| self.unread(fault))
        })
    }

    fn heard(&self, numbers: Vec<DeliveryNumber>) -> BoxFuture<'_, Result<(), JournalError>> {
        Box::pin(async move {
            let handout = self.handout.as_ref().ok_or(Fault::ReadOnly);
            let heard = async { handout?.heard(&self.writer, &numbers).await };
            heard.await.map_err(|fault| self.unwritten(fault))
        })
    }

    fn settle(&self, settled: Vec<Settled>) -> BoxFuture<'_, Result<(), JournalError>> {
        Box::pin(async move {
            let written = async {
                self.intake()?;
                settle::settle(&self.writer, settled, Timestamp::now()).await
            };
            written.await.map_err(|fault| self.unwritten(fault))
        })
    }

    fn delivered(
        &self,
        numbers: Vec<DeliveryNumber>,
        at: Timestamp,
    ) -> BoxFuture<'_, Result<(), JournalError>> {
        Box::pin(async move {
            let written = async {
                self.intake()?;
                settle::delivered(&self.writer, &numbers, at).await
            };
            written.await.map_err(|fault| self.unwritten(fault))
        })
    }

    fn list(&self, query: Query) -> BoxFuture<'_, Result<Vec<Entry>, JournalError>> {
        Box::pin(async move { read::list(&self.readers, query).await.map_err(|fault| self.unread(fault)) })
    }

    fn find(&self, id: String) -> BoxFuture<'_, Result<Option<Delivery>, JournalError>> {
        Box::pin(async move { read::find(&self.readers, &id).await.map_err(|fault| self.unread(fault)) })
    }

    fn replay(&self, numbers: Vec<DeliveryNumber>) -> BoxFuture<'_, Result<u64, JournalError>> {
        Box::pin(async move {
            let replayed = settle::replay(&self.writer, &numbers, Timestamp::now()).await;
            let replayed = replayed.map_err(|fault| self.unwritten(fault))?;
            if replayed > 0 {
                self.arrivals.send_modify(|moved| *moved = moved.wrapping_add(1));
            }
            Ok(replayed)
        })
    }

    fn counts(&self) -> BoxFuture<'_, Result<InboxCounts, JournalError>> {
        Box::pin(async move { read::counts(&self.readers).await.map_err(|fault| self.unread(fault)) })
    }

    fn prune(&self, keep: Duration, max_bytes: u64) -> BoxFuture<'_, Result<(), JournalError>> {
        Box::pin(async move {
            let kept = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
            let now = Timestamp::now().as_microsecond();
            let cutoff = now.saturating_sub(kept);
            let pruned = async {
                self.intake()?;
                prune::prune(&self.writer, cutoff, now, max_bytes).await
            };
            pruned.await.map_err(|fault| self.unwritten(fault))
        })
    }
}
