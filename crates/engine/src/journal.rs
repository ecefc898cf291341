//! The journal of a connection: mirror (the last known content of every row) and log (every change in order),
//! kept together. The inbox of hook deliveries will lie beside it in a file of its own.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use crate::change::Change;
use crate::clock::Moment;
use crate::position::{Generation, Position, Sequence};
use crate::problem::{Problem, Remedy};
use crate::row::{Digest, ProjectId, Row, RowId, RowKey};
use crate::schema::TableId;

/// Whether what only a look-up shows is in the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Nobody asks for it.
    Off,
    /// It is there, as new as the rest.
    Done,
    /// It is missing or out of date because the row changed while following; fetched first.
    Stale,
    /// It was never fetched; fetched when nothing is `Stale`.
    Missing,
}

/// What the mirror knows of a row beside its content.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// Sequence of the newest change.
    pub sequence: Sequence,
    /// Sequence of the change that inserted the row (again).
    pub inserted: Sequence,
    /// Sequence of the change that brought the first look-up; 0 before.
    pub first_detail: Sequence,
    /// Digest of the listed shape as last seen; `None` when only looked up so far.
    pub listed_digest: Option<Digest>,
    /// When the newest listing was sent that changed the content.
    pub listed: Moment,
    /// When the newest look-up was sent whose answer counted; `Moment(0)` before the first.
    pub looked_up: Moment,
    /// When the newest observation was sent that changed the content, whatever it was.
    pub observed: Moment,
    /// The source's own time of the last update, milliseconds; 0 when there is none.
    pub updated_ms: i64,
    /// Whether what only a look-up shows is there.
    pub detail: Detail,
}

impl Version {
    /// When the look-up was sent whose fields the row carries; `None` while that is pending. A table without
    /// such fields has them with every listing.
    ///
    /// A row that is only to be looked up once more (a lagging listing put it in doubt, the second of its update
    /// was not over) still carries what the last look-up showed: the confirmation alone is no news.
    #[must_use]
    pub fn detailed(&self) -> Option<Moment> {
        match self.detail {
            Detail::Done if self.looked_up == Moment(0) => Some(self.observed),
            Detail::Done => Some(self.looked_up),
            Detail::Stale if self.first_detail > Sequence(0) && self.looked_up >= self.observed => {
                Some(self.looked_up)
            }
            Detail::Off | Detail::Stale | Detail::Missing => None,
        }
    }
}

/// What becomes of the details of living rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// They were switched on: `Off` becomes `Missing`.
    Wanted,
    /// They were switched off: `Missing` becomes `Off`.
    Unwanted,
    /// All are to be fetched again: `Done` becomes `Stale`.
    Again,
}

/// A row of the mirror.
#[derive(Clone, Debug, PartialEq)]
pub struct MirrorRow {
    /// Which row.
    pub key: RowKey,
    /// What is known beside the content.
    pub version: Version,
    /// The content; `None` is a tombstone.
    pub row: Option<Row>,
}

impl MirrorRow {
    /// [`Version::detailed`] of the row.
    #[must_use]
    pub fn detailed(&self) -> Option<Moment> {
        self.version.detailed()
    }
}

/// The versions of a key without its content, and whether it is alive.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// Which row.
    pub key: RowKey,
    /// What is known beside the content.
    pub version: Version,
    /// Whether the row is alive; a tombstone is not.
    pub alive: bool,
}

/// From one row to another: "this issue names that iteration". Rows that hold copies are found through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// Table of the row that is named, in the same project.
    pub table: TableId,
    /// The row that is named.
    pub id: RowId,
}

/// One row to be written by [`Journal::commit`].
#[derive(Clone, Debug)]
pub struct Entry {
    /// The row as it stands now, version included.
    pub row: MirrorRow,
    /// The change to log; `None` for bookkeeping that is no change, and for a load's inserts.
    pub change: Option<Change>,
    /// References that the row has now and had not before.
    pub new_references: Vec<Reference>,
    /// References that the row had before and has no more.
    pub old_references: Vec<Reference>,
}

/// Where the parts of a journal begin and end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Sequence of the newest change.
    pub head: Sequence,
    /// The log holds every change after this sequence.
    pub log_floor: Sequence,
    /// Tombstones up to this sequence may have been forgotten.
    pub horizon: Sequence,
}

/// How much to read at once; the first limit that is reached counts.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Rows.
    pub rows: u32,
    /// Bytes of content, before compression; at least one row is read.
    pub bytes: usize,
}

/// Numbers of a table of a project.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows alive.
    pub alive: u64,
    /// Rows whose detail is `Stale` or `Missing`.
    pub pending: u64,
}

/// Rows of the mirror that a census did not see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unseen {
    /// How many there are.
    pub count: u64,
    /// The first of them, at most as many as asked for, by id.
    pub ids: Vec<RowId>,
}

/// What goes wrong in a journal.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct JournalError {
    /// Who can do something about it.
    pub remedy: Remedy,
    /// What a person reads.
    pub problem: Problem,
    /// What the storage said.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl JournalError {
    /// What somebody gets who asks after the recorder has ended.
    #[must_use]
    pub fn stopped() -> JournalError {
        JournalError {
            remedy: Remedy::NeedsHuman,
            problem: Problem::new(
                "JOURNAL-STOPPED",
                "Cannot record what was observed",
                "the recorder has stopped",
                "Look for the error before this one.",
            ),
            source: None,
        }
    }
}

/// Keeps what the engine learns. One capture writes, any number of tasks read, all within one process.
///
/// Every method is safe to repeat after an error. What `commit` returned from is on disk: it is flushed before
/// anybody can read it, so nothing is delivered that a crash could take back. Reads see whole commits only.
/// Row ids are ordered as numbers.
pub trait Journal: Send + Sync + 'static {
    /// This opening of the journal.
    fn generation(&self) -> &Generation;

    /// Sequence of the newest commit that every read shows, as it moves. Readers wait on it.
    fn head(&self) -> watch::Receiver<Sequence>;

    /// The newest moment that any row holds: the clock starts after it.
    fn newest_moment(&self) -> Moment;

    /// Where mirror and log begin and end.
    fn bounds(&self) -> impl Future<Output = Result<Bounds, JournalError>> + Send;

    /// Whether `position` was reached in this very journal: its generation is one of this journal's openings,
    /// and its sequence lies no further than where that opening ended.
    fn knows(&self, position: &Position) -> impl Future<Output = Result<bool, JournalError>> + Send;

    /// Versions of the keys that the mirror has, tombstones included, in no particular order.
    fn known(&self, keys: &[RowKey]) -> impl Future<Output = Result<Vec<Known>, JournalError>> + Send;

    /// Rows of the keys that the mirror has, tombstones included, in no particular order.
    fn rows(&self, keys: &[RowKey]) -> impl Future<Output = Result<Vec<MirrorRow>, JournalError>> + Send;

    /// Writes entries in one flushed transaction. The caller is the only writer and has numbered the entries
    /// with sequences after the head. References are written with the rows.
    fn commit(&self, entries: &[Entry]) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// Rows whose newest change comes after `after`, in sequence order, tombstones included.
    fn mirror_after(
        &self,
        after: Sequence,
        limit: Limit,
    ) -> impl Future<Output = Result<Vec<MirrorRow>, JournalError>> + Send;

    /// Changes after `after`, in sequence order. Meaningful only from `Bounds::log_floor` on.
    fn log_after(
        &self,
        after: Sequence,
        limit: Limit,
    ) -> impl Future<Output = Result<Vec<Change>, JournalError>> + Send;

    /// Living rows of a table of a project with ids after `after`, in id order.
    fn scan(
        &self,
        table: TableId,
        project: ProjectId,
        after: Option<RowId>,
        limit: Limit,
    ) -> impl Future<Output = Result<Vec<MirrorRow>, JournalError>> + Send;

    /// Keys whose detail is `Stale` (first; also tombstones that are in doubt) or `Missing`, of the given
    /// projects; at most `limit`, without those in `but`.
    fn pending_details(
        &self,
        projects: &[ProjectId],
        but: &[RowKey],
        limit: u32,
    ) -> impl Future<Output = Result<Vec<RowKey>, JournalError>> + Send;

    /// Changes the state of the details of all living rows of `tables`.
    fn ask_details(
        &self,
        tables: &[TableId],
        ask: Ask,
    ) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// Living rows of `project` that refer to one of `to`: which of them, and the row's key. In the order of
    /// both, after `after`, at most `limit`; fewer are the last ones.
    fn referrers(
        &self,
        project: ProjectId,
        to: &[Reference],
        after: Option<(Reference, RowKey)>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<(Reference, RowKey)>, JournalError>> + Send;

    /// Living rows of `project` that refer to a row of `table` of which the mirror has never heard, and whose
    /// newest change comes after `after` and not after `until`; in sequence order, at most `limit`.
    fn dangling(
        &self,
        project: ProjectId,
        table: TableId,
        after: Sequence,
        until: Sequence,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Known>, JournalError>> + Send;

    /// Numbers of a table of a project.
    fn counts(
        &self,
        table: TableId,
        project: ProjectId,
    ) -> impl Future<Output = Result<Counts, JournalError>> + Send;

    /// Starts remembering which rows of a table of a project a census sees; forgets the earlier one's.
    fn census_start(
        &self,
        table: TableId,
        project: ProjectId,
    ) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// Remembers that the census saw these rows; returns how many it had not seen before.
    fn census_saw(
        &self,
        table: TableId,
        project: ProjectId,
        ids: &[RowId],
    ) -> impl Future<Output = Result<u64, JournalError>> + Send;

    /// Living rows whose content was last changed before `before` and that the census did not see.
    fn census_unseen(
        &self,
        table: TableId,
        project: ProjectId,
        before: Moment,
        limit: u32,
    ) -> impl Future<Output = Result<Unseen, JournalError>> + Send;

    /// Stores a small document under a name (progress, watermarks, holds); `Null` removes it.
    fn remember(&self, name: &str, value: &Value) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// The documents whose names begin with `prefix`, by name.
    fn recall(&self, prefix: &str)
    -> impl Future<Output = Result<Vec<(String, Value)>, JournalError>> + Send;

    /// The log begins here: every change up to the head is in the mirror only.
    fn begin_log(&self) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// Notes how far a task is, so that nothing it still needs is pruned.
    fn acknowledge(
        &self,
        task: &str,
        sequence: Sequence,
    ) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// Forgets log entries and tombstones older than `retention`; tombstones also earlier, when every task
    /// has passed them.
    fn prune(&self, retention: Duration) -> impl Future<Output = Result<(), JournalError>> + Send;
}
