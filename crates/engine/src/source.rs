//! What a source can show: which projects there are, their rows in listings, single rows by key.

use std::collections::BTreeMap;

use futures::Stream;
use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::custom::CustomField;
use crate::inbox::{Delivery, Summary};
use crate::journal::{MirrorRow, Reference};
use crate::problem::{Problem, Remedy};
use crate::row::{ProjectId, Row, RowId, RowKey};
use crate::schema::{Table, TableId};

/// A project that the credential sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// The number that never changes.
    pub id: ProjectId,
    /// Its identifier, which people may change.
    pub name: String,
}

/// How urgent a request is, highest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Urgency {
    /// A row that a hook named.
    Hook,
    /// Polls, and everything a person waits for.
    Poll,
    /// The first reading.
    Load,
    /// The census and its confirmations.
    Census,
    /// Details in the background.
    Detail,
}

/// In which order a listing comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By a key that does not move: for reading a whole table, without (about) the first `skip` rows.
    Stable {
        /// Rows that are known already; fewer may be left out, never more.
        skip: u64,
    },
    /// Newest updated first: for reading what changed.
    NewestFirst,
    /// Newest updated first, and about so many rows are enough: for rows that are known to have just changed.
    Newest {
        /// Rows.
        rows: u32,
    },
}

/// A page of a listing.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its rows in listed shape, with their ids.
    pub rows: Vec<(RowId, Row)>,
    /// When the request was sent.
    pub sent: Moment,
    /// How many rows the source says there are in all.
    pub total: Option<u64>,
    /// Rows that stand on it and cannot be read. They are there: none of them may pass for a missing one.
    pub unreadable: Vec<Unreadable>,
}

/// A listed row that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its id, as far as that can be read.
    pub id: Option<RowId>,
    /// Which row of the listing it is, from 1.
    pub place: u64,
    /// Why it cannot be read, in words; without its values.
    pub why: String,
}

/// What a look-up found.
#[derive(Clone, Debug)]
pub struct LookUp {
    /// When the request was sent.
    pub sent: Moment,
    /// The source's own time when it answered, in milliseconds, if it says.
    pub server_ms: Option<i64>,
    /// The row, or `None` when the source says that there is none.
    pub row: Option<Row>,
}

/// What kind of error a source met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceErrorKind {
    /// No answer at all: no connection, or a time-out.
    Unreachable,
    /// It passes by itself: server trouble, throttling, an answer that cannot be read.
    Transient,
    /// The credential may not see this any more.
    AccessLost,
    /// The credential is refused.
    Credential,
    /// The request cannot succeed as it is.
    Refused,
}

/// What goes wrong at a source.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct SourceError {
    /// What kind of error.
    pub kind: SourceErrorKind,
    /// What a person reads.
    pub problem: Problem,
    /// What lies beneath.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl SourceError {
    /// Who can do something about it.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        match self.kind {
            SourceErrorKind::Unreachable | SourceErrorKind::Transient => Remedy::Retry,
            SourceErrorKind::AccessLost => Remedy::Wait,
            SourceErrorKind::Credential | SourceErrorKind::Refused => Remedy::NeedsHuman,
        }
    }
}

/// Rows that may hold copies of a row that changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holders {
    /// These.
    pub keys: Vec<RowKey>,
    /// Those that refer to this row in the journal's references.
    pub referrers: Option<Reference>,
    /// All rows of these tables: the copy may be anywhere.
    pub scan: Vec<TableId>,
}

/// Rows that a row may hold copies of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Originals {
    /// Those whose copies it shows.
    pub keys: Vec<RowKey>,
    /// Those that refer to this row in the journal's references: it may lack the copy of one.
    pub referrers: Option<Reference>,
}

/// Which project a delivery is about, as far as it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectMark {
    /// Its number.
    pub id: Option<ProjectId>,
    /// Its identifier.
    pub name: Option<String>,
}

/// "Go and look at this row."
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hint {
    /// Its table. All rows of a table without look-ups are looked at together.
    pub table: TableId,
    /// The row.
    pub id: RowId,
    /// The row's time of update as the delivery has it, milliseconds; 0 when it does not say.
    pub updated_ms: i64,
    /// Whether the delivery says that the row is gone. It is looked for all the same.
    pub gone: bool,
    /// Whether the row is merely touched by what happened to another one: looked at when nothing else waits.
    pub beside: bool,
}

/// What a delivery means.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// The hook says that it works.
    Ping,
    /// Rows to look at.
    Hints(Vec<Hint>),
    /// Nothing to look at.
    Nothing {
        /// Why, in words.
        reason: String,
    },
}

/// A delivery as the source reads it.
#[derive(Clone, Debug)]
pub struct Heard {
    /// What to show of it.
    pub summary: Summary,
    /// Which project it is about.
    pub project: ProjectMark,
    /// What it means.
    pub meaning: Meaning,
    /// The row it makes in a table of deliveries ([`Table::from_inbox`]); the same at every reading.
    pub row: Option<Row>,
}

/// Shows rows. All methods may be called at the same time.
///
/// A listing's stream ends when the source has shown everything it will show; whether that is complete is for
/// the caller to judge, by the total and by what it knew before. Transient errors have been retried with a
/// limit before they come up; a stream ends after an error.
pub trait Source: Send + Sync + 'static {
    /// The tables it offers, those first whose rows others refer to.
    fn tables(&self) -> &'static [Table];

    /// One of its tables, by number.
    fn table(&self, id: TableId) -> Option<&'static Table> {
        self.tables().iter().find(|table| table.id == id)
    }

    /// The projects that the credential sees now: the proof of access.
    fn roster(&self, urgency: Urgency) -> impl Future<Output = Result<Vec<Project>, SourceError>> + Send;

    /// Lists a table of a project.
    fn list(
        &self,
        project: &Project,
        table: &'static Table,
        order: Order,
        urgency: Urgency,
    ) -> impl Stream<Item = Result<Page, SourceError>> + Send;

    /// Looks one row up. Only for tables with `look_up`.
    fn look_up(
        &self,
        project: &Project,
        key: RowKey,
        urgency: Urgency,
    ) -> impl Future<Output = Result<LookUp, SourceError>> + Send;

    /// The custom fields of a table of a project. Only for tables with [`Table::custom`].
    fn custom_fields(
        &self,
        project: &Project,
        table: &'static Table,
        urgency: Urgency,
    ) -> impl Future<Output = Result<Vec<CustomField>, SourceError>> + Send;

    /// What a delivery of the source's hook means. Pure: the same at every reading.
    fn hear(&self, delivery: &Delivery) -> Heard;

    /// Other rows that are touched when a row changes from `before` to `after`, because the source works them out from
    /// it: looked at when a hook told of the change, for none tells of them.
    fn touched(&self, key: RowKey, before: Option<&Row>, after: Option<&Row>) -> Vec<RowKey>;

    /// References of a row, for finding the holders of copies later.
    fn references(&self, table: &Table, row: &Row) -> Vec<Reference>;

    /// Which rows may hold copies of a row that changed from `before` to `after`; empty when nothing that is
    /// copied changed.
    fn holders(&self, key: RowKey, before: Option<&Row>, after: Option<&Row>) -> Holders;

    /// Which rows `row` holds copies of, or should.
    fn relatives(&self, key: RowKey, row: &Row) -> Originals;

    /// `holder` with its copies of `other` made true; `None` when they are. A copy that is newer than what the
    /// mirror knows of `other` stays: newer is what was observed later.
    fn renew(&self, holder: &MirrorRow, other: &MirrorRow) -> Option<Row>;

    /// Whether look-ups in this table take more than half of what may be asked now: then they are made sparingly. A
    /// source without a limit never is.
    fn is_busy(&self, _table: &Table) -> bool {
        false
    }

    /// How far the source's clock is ahead of ours, in milliseconds, as far as it is known.
    fn clock_ahead_ms(&self) -> i64;

    /// How many requests were answered so far, in whatever way: while that grows somebody is there. Always 0 where the
    /// source does not count them.
    fn answers(&self) -> u64 {
        0
    }

    /// Requests sent so far, by action.
    fn requests(&self) -> BTreeMap<String, u64>;
}
