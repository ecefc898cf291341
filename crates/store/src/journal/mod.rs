//! The journal in one SQLite file: `journal.db` of the state directory.
//!
//! One connection writes, flushing every transaction; a small pool reads snapshots beside it; a third kind of
//! connection holds what a census saw in a temporary table, which costs the journal's file nothing. Nothing
//! here decides what a change is or who may prune what: callers number, this keeps.
//!
//! Start with [`SqliteJournal`]; `schema` has the tables, `commit` the one way rows get in, `read` the ways out
//! and `recent` the short one.

mod census;
mod commit;
mod extent;
mod memory;
mod meta;
mod moments;
mod prune;
mod read;
mod recent;
mod schema;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use engine::change::Change;
use engine::clock::Moment;
use engine::journal::{
    Ask, Bounds, Counts, Entry, Journal, JournalError, Known, Limit, MirrorRow, Reference, Unseen,
};
use engine::position::{Generation, Position, Sequence};
use engine::row::{ProjectId, RowId, RowKey};
use engine::schema::TableId;
use jiff::Timestamp;
use serde_json::Value;
use sqlx::SqlitePool;
use tokio::sync::watch;

use self::extent::Extent;
use self::recent::Recent;
use crate::sqlite::checkpoint::Short;
use crate::sqlite::fault::{Fault, Kept};
use crate::sqlite::file::keep_private;

/// Name of the file within the state directory.
pub const FILE: &str = "journal.db";

/// A journal in an SQLite file. One process writes it (see [`crate::state_dir::StateDir`]); any number may
/// read it beside with [`SqliteJournal::open_read_only`].
#[derive(Debug)]
pub struct SqliteJournal {
    dir: PathBuf,
    generation: Generation,
    head: watch::Sender<Sequence>,
    newest_moment: AtomicI64,
    readers: SqlitePool,
    writing: Option<Writing>,
    /// Kept by the process that writes; nobody else knows what is new.
    recent: Option<Recent>,
}

/// What only the writing process has.
#[derive(Debug)]
struct Writing {
    /// One connection; waiting for it is the queue of writers.
    writer: SqlitePool,
    /// One connection with the temporary tables of the census.
    census: SqlitePool,
    /// Beyond it a key is new.
    extent: Extent,
    /// How far each task is. Newer than what is stored, never behind it for a new name: losing the difference
    /// in a crash only makes tombstones live a little longer.
    acknowledged: Mutex<BTreeMap<String, Sequence>>,
    /// Keeps the write-ahead log short.
    short: Short,
}

impl SqliteJournal {
    /// Opens the journal in `dir`, making it when there is none. A new generation begins.
    ///
    /// # Errors
    /// A file that is damaged, not a journal, or of a newer format needs a person; nothing is changed in it.
    pub async fn open(dir: &Path) -> Result<SqliteJournal, JournalError> {
        Self::opened(dir)
            .await
            .map_err(|fault| fault.told(Kept::Journal, "The journal cannot be opened", dir))
    }

    async fn opened(dir: &Path) -> Result<SqliteJournal, Fault> {
        let file = dir.join(FILE);
        keep_private(&file).map_err(Fault::Io)?;
        schema::FORMAT.check_header(&file)?;
        let writer = schema::writer(&file).await?;
        schema::prepare(&writer).await?;
        let generation = memory::begin_opening(&writer).await?;
        let start = read::start(&writer).await?;
        let acknowledged = memory::tasks(&writer).await?;
        let census = schema::census(&file).await?;
        let readers = schema::readers(&file).await?;
        let short = Short::keep(&file, writer.clone());
        Ok(SqliteJournal {
            dir: dir.to_path_buf(),
            generation,
            head: watch::Sender::new(start.head),
            newest_moment: AtomicI64::new(start.newest_moment.0),
            readers,
            writing: Some(Writing {
                writer,
                census,
                extent: Extent::default(),
                acknowledged: Mutex::new(acknowledged),
                short,
            }),
            recent: Some(Recent::after(start.head)),
        })
    }

    /// Opens the journal in `dir` for reading only, also while another process writes it. No generation
    /// begins (`generation` is the newest one) and `head` stands still; what would write is refused.
    ///
    /// # Errors
    /// As [`SqliteJournal::open`]; also when there is no journal yet.
    pub async fn open_read_only(dir: &Path) -> Result<SqliteJournal, JournalError> {
        Self::opened_read_only(dir)
            .await
            .map_err(|fault| fault.told(Kept::Journal, "The journal cannot be read", dir))
    }

    async fn opened_read_only(dir: &Path) -> Result<SqliteJournal, Fault> {
        let file = dir.join(FILE);
        std::fs::metadata(&file).map_err(Fault::Io)?;
        schema::FORMAT.check_header(&file)?;
        let readers = schema::readers(&file).await?;
        schema::check(&readers).await?;
        let start = read::start(&readers).await?;
        Ok(SqliteJournal {
            dir: dir.to_path_buf(),
            generation: memory::newest_opening(&readers).await?,
            head: watch::Sender::new(start.head),
            newest_moment: AtomicI64::new(start.newest_moment.0),
            readers,
            writing: None,
            recent: None,
        })
    }

    /// Waits for what is under way, writes everything into the one file and closes it. Dropping the journal
    /// instead loses nothing; the next opening then reads the write-ahead log.
    ///
    /// # Errors
    /// When the file cannot be written; everything committed is safe all the same.
    pub async fn close(self) -> Result<(), JournalError> {
        self.readers.close().await;
        let Some(writing) = &self.writing else { return Ok(()) };
        writing.census.close().await;
        writing.short.end().await;
        let stored = async {
            memory::store_tasks(&writing.writer, &writing.tasks()).await?;
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_all(&writing.writer).await?;
            Ok::<(), Fault>(())
        };
        let stored = stored.await;
        writing.writer.close().await;
        stored.map_err(|fault| self.told("The journal was not closed properly", fault))
    }

    /// The file was changed otherwise than by a commit.
    fn forget_recent(&self) {
        if let Some(recent) = &self.recent {
            recent.forget(*self.head.borrow());
        }
    }

    fn writing(&self) -> Result<&Writing, Fault> {
        self.writing.as_ref().ok_or(Fault::ReadOnly)
    }

    fn told(&self, what: &str, fault: Fault) -> JournalError {
        fault.told(Kept::Journal, what, &self.dir)
    }

    fn unread(&self, fault: Fault) -> JournalError {
        self.told("The journal cannot be read", fault)
    }

    fn unwritten(&self, fault: Fault) -> JournalError {
        self.told("The journal cannot be written", fault)
    }
}

impl Writing {
    fn tasks(&self) -> BTreeMap<String, Sequence> {
        self.acknowledged.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl Journal for SqliteJournal {
    fn generation(&self) -> &Generation {
        &self.generation
    }

    fn head(&self) -> watch::Receiver<Sequence> {
        self.head.subscribe()
    }

    fn newest_moment(&self) -> Moment {
        Moment(self.newest_moment.load(Ordering::Acquire))
    }

    async fn bounds(&self) -> Result<Bounds, JournalError> {
        read::bounds(&self.readers).await.map_err(|fault| self.unread(fault))
    }

    async fn knows(&self, position: &Position) -> Result<bool, JournalError> {
        memory::knows(&self.readers, position).await.map_err(|fault| self.unread(fault))
    }

    async fn known(&self, keys: &[RowKey]) -> Result<Vec<Known>, JournalError> {
        let Some(writing) = &self.writing else {
            return read::known(&self.readers, keys).await.map_err(|fault| self.unread(fault));
        };
        let mut reached = writing.extent.reached(keys);
        loop {
            let known = read::known(&self.readers, &reached).await.map_err(|fault| self.unread(fault))?;
            let reached_now = writing.extent.reached(keys);
            if reached_now.len() == reached.len() {
                return Ok(known);
            }
            // A commit under way has some of the others, and what was read may be of after it.
            reached = reached_now;
        }
    }

    async fn rows(&self, keys: &[RowKey]) -> Result<Vec<MirrorRow>, JournalError> {
        read::rows(&self.readers, keys).await.map_err(|fault| self.unread(fault))
    }

    async fn commit(&self, entries: &[Entry]) -> Result<(), JournalError> {
        let written = async {
            let writing = self.writing()?;
            commit::commit(&writing.writer, &writing.extent, entries).await
        };
        let doubt = self.recent.as_ref().map(|recent| recent.begin(entries));
        let (after, sizes) = written.await.map_err(|fault| self.unwritten(fault))?;
        if let Some(doubt) = doubt {
            doubt.settle(&sizes);
        }
        self.newest_moment.fetch_max(after.newest_moment.0, Ordering::AcqRel);
        self.head.send_if_modified(|head| {
            let moved = after.head > *head;
            *head = after.head.max(*head);
            moved
        });
        Ok(())
    }

    async fn mirror_after(&self, after: Sequence, limit: Limit) -> Result<Vec<MirrorRow>, JournalError> {
        match self.recent.as_ref().and_then(|recent| recent.mirror_after(after, limit)) {
            Some(rows) => Ok(rows),
            None => read::mirror_after(&self.readers, after, limit).await.map_err(|fault| self.unread(fault)),
        }
    }

    async fn log_after(&self, after: Sequence, limit: Limit) -> Result<Vec<Change>, JournalError> {
        match self.recent.as_ref().and_then(|recent| recent.log_after(after, limit)) {
            Some(changes) => Ok(changes),
            None => read::log_after(&self.readers, after, limit).await.map_err(|fault| self.unread(fault)),
        }
    }

    async fn scan(
        &self,
        table: TableId,
        project: ProjectId,
        after: Option<RowId>,
        limit: Limit,
    ) -> Result<Vec<MirrorRow>, JournalError> {
        read::scan(&self.readers, table, project, after, limit).await.map_err(|fault| self.unread(fault))
    }

    async fn pending_details(
        &self,
        projects: &[ProjectId],
        but: &[RowKey],
        limit: u32,
    ) -> Result<Vec<RowKey>, JournalError> {
        read::pending_details(&self.readers, projects, but, limit).await.map_err(|fault| self.unread(fault))
    }

    async fn ask_details(&self, tables: &[TableId], ask: Ask) -> Result<(), JournalError> {
        let written = async { commit::ask_details(&self.writing()?.writer, tables, ask).await }.await;
        self.forget_recent();
        written.map_err(|fault| self.unwritten(fault))
    }

    async fn referrers(
        &self,
        project: ProjectId,
        to: &[Reference],
        after: Option<(Reference, RowKey)>,
        limit: u32,
    ) -> Result<Vec<(Reference, RowKey)>, JournalError> {
        read::referrers(&self.readers, project, to, after, limit).await.map_err(|fault| self.unread(fault))
    }

    async fn dangling(
        &self,
        project: ProjectId,
        table: TableId,
        after: Sequence,
        until: Sequence,
        limit: u32,
    ) -> Result<Vec<Known>, JournalError> {
        let found = read::dangling(&self.readers, project, table, (after, until), limit).await;
        found.map_err(|fault| self.unread(fault))
    }

    async fn counts(&self, table: TableId, project: ProjectId) -> Result<Counts, JournalError> {
        read::counts(&self.readers, table, project).await.map_err(|fault| self.unread(fault))
    }

    async fn census_start(&self, table: TableId, project: ProjectId) -> Result<(), JournalError> {
        let started = async { census::start(&self.writing()?.census, table, project).await };
        started.await.map_err(|fault| self.unwritten(fault))
    }

    async fn census_saw(
        &self,
        table: TableId,
        project: ProjectId,
        ids: &[RowId],
    ) -> Result<u64, JournalError> {
        let seen = async { census::saw(&self.writing()?.census, table, project, ids).await };
        seen.await.map_err(|fault| self.unwritten(fault))
    }

    async fn census_unseen(
        &self,
        table: TableId,
        project: ProjectId,
        before: Moment,
        limit: u32,
    ) -> Result<Unseen, JournalError> {
        let unseen = async { census::unseen(&self.writing()?.census, table, project, before, limit).await };
        unseen.await.map_err(|fault| self.unread(fault))
    }

    async fn remember(&self, name: &str, value: &Value) -> Result<(), JournalError> {
        let written = async { memory::remember(&self.writing()?.writer, name, value).await };
        written.await.map_err(|fault| self.unwritten(fault))
    }

    async fn recall(&self, prefix: &str) -> Result<Vec<(String, Value)>, JournalError> {
        memory::recall(&self.readers, prefix).await.map_err(|fault| self.unread(fault))
    }

    async fn begin_log(&self) -> Result<(), JournalError> {
        let written = async { commit::begin_log(&self.writing()?.writer).await };
        written.await.map_err(|fault| self.unwritten(fault))
    }

    async fn acknowledge(&self, task: &str, sequence: Sequence) -> Result<(), JournalError> {
        let written = async {
            let writing = self.writing()?;
            let old = writing.tasks().get(task).copied();
            // Only what would let prune forget too much must be on disk before it counts.
            if old.is_none_or(|old| sequence < old) {
                memory::store_tasks(&writing.writer, &BTreeMap::from([(task.to_owned(), sequence)])).await?;
            }
            let mut tasks = writing.acknowledged.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            tasks.insert(task.to_owned(), sequence);
            Ok::<(), Fault>(())
        };
        written.await.map_err(|fault| self.unwritten(fault))
    }

    async fn prune(&self, retention: Duration) -> Result<(), JournalError> {
        let pruned = async {
            let writing = self.writing()?;
            let tasks = writing.tasks();
            memory::store_tasks(&writing.writer, &tasks).await?;
            let kept = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
            let cutoff = Moment(Timestamp::now().as_microsecond().saturating_sub(kept));
            prune::prune(&writing.writer, cutoff, tasks.values().min().copied()).await
        };
        let pruned = pruned.await;
        self.forget_recent();
        pruned.map_err(|fault| self.unwritten(fault))
    }
}
