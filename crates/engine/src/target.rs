//! What a target takes: batches of shaped rows together with the position they lead to.

use std::sync::Arc;

use crate::journal::Limit;
use crate::position::{Position, RebuildReason};
use crate::problem::{Problem, Remedy};
use crate::row::RowId;
use crate::schema::Kind;

/// A column of a target table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in the target.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// The custom field behind it; `None` for all others.
    pub custom: Option<CustomColumn>,
}

/// The custom field behind a column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CustomColumn {
    /// The team that defined it.
    pub team: String,
    /// Its number there.
    pub field_id: i64,
    /// What people call it now.
    pub field_name: String,
}

/// A column that stands for a custom field in a target, as the target's `_tributary_fields` says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoredField {
    /// The target's table.
    pub table: String,
    /// The column. It keeps its name when people rename the field.
    pub column: String,
    /// The field's team.
    pub team: String,
    /// The field's number.
    pub field_id: i64,
}

/// A table as the target shall have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetTable {
    /// Its name in the target.
    pub name: String,
    /// Its columns; the first `key_columns` of them are the primary key and never NULL.
    /// The first two are the team and the project, the third the row's id.
    pub columns: Vec<Column>,
    /// How many columns make the primary key.
    pub key_columns: usize,
    /// With soft deletes, the column that holds the time of deletion (NULL = alive); it is one of `columns`.
    pub deleted_at: Option<usize>,
    /// The column that holds the time of writing; it is one of `columns`.
    pub synced_at: usize,
}

/// One value of a shaped row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// NULL.
    Null,
    /// A boolean.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A float.
    Real(f64),
    /// A text. Shared: drivers take it without copying it, and rows of a batch have much in common.
    Text(Arc<str>),
    /// JSON, as text.
    Json(Arc<str>),
    /// A moment, microseconds since 1970, UTC.
    Timestamp(i64),
    /// A day, days since 1970-01-01.
    Date(i32),
}

/// What a batch does to one table. A key stands in at most one of the two lists, and at most once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableBatch {
    /// Rows to insert or overwrite, all cells in the order of the table's columns.
    pub upserts: Vec<Vec<Cell>>,
    /// Keys to delete if present (hard), or to mark as deleted if present and alive (soft).
    pub deletes: Vec<Vec<Cell>>,
    /// The time of this write, microseconds; a soft delete stores it in `deleted_at` and `synced_at`.
    pub now: i64,
    /// Whether most likely none of the `upserts` has a row yet, so that inserting them straight is worth a try. A
    /// hint: a repeated batch finds its rows there.
    pub new: bool,
}

/// Rows and the position they lead to, written in one transaction.
#[derive(Clone, Debug)]
pub struct Batch {
    /// For each table of [`Plan::tables`], in its order.
    pub tables: Vec<TableBatch>,
    /// Where the target stands once the batch is in it.
    pub position: Position,
}

/// What a write did to one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Rows that were not there before.
    pub inserted: u64,
    /// Rows that are gone now (hard), or marked as deleted now (soft).
    pub deleted: u64,
}

/// What a task wants of its target.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The task's name; bookkeeping is kept under it.
    pub task: String,
    /// The tables.
    pub tables: Vec<TargetTable>,
}

/// What a target answered when it was opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The position stored there, if the task has been there before.
    pub position: Option<Position>,
    /// The team and projects whose rows this task has written.
    pub owned: Vec<Owned>,
    /// The columns that stand for custom fields in the plan's tables, whichever task made them.
    pub fields: Vec<StoredField>,
    /// The room for columns in each of the plan's tables.
    pub rooms: Vec<Room>,
}

/// The room for columns in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Those that it has; none where it is made, or made anew.
    pub columns: Vec<String>,
    /// How many more it can get.
    pub left: usize,
}

impl Room {
    /// That of a table which is made, and may have so many columns.
    #[must_use]
    pub fn of_new(most: usize) -> Room {
        Room { columns: Vec::new(), left: most }
    }
}

/// A project whose rows a task has written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owned {
    /// The team.
    pub team: String,
    /// The project's id at the source.
    pub project_id: i64,
    /// The project's identifier as it stands in the rows.
    pub project: String,
}

/// What kind of error a target met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetErrorKind {
    /// It passes by itself: busy, connection lost.
    Transient,
    /// There is no room.
    Full,
    /// Something in it stands in the way until somebody there acts; then it goes on by itself.
    NotReady,
    /// Another writer has taken the task over.
    Fenced,
    /// A table stands in the way that is not ours, or that another task fills.
    Shape,
    /// It may not be written.
    ReadOnly,
    /// One of the rows cannot be stored, or not be deleted; a smaller batch shows which.
    Data,
    /// Anything else that needs a person.
    Fatal,
}

/// What goes wrong at a target.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct TargetError {
    /// What kind of error.
    pub kind: TargetErrorKind,
    /// What a person reads.
    pub problem: Problem,
    /// What the driver said.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl TargetError {
    /// Who can do something about it.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        match self.kind {
            TargetErrorKind::Transient => Remedy::Retry,
            TargetErrorKind::Full | TargetErrorKind::NotReady => Remedy::Wait,
            TargetErrorKind::Fenced
            | TargetErrorKind::Shape
            | TargetErrorKind::ReadOnly
            | TargetErrorKind::Data
            | TargetErrorKind::Fatal => Remedy::NeedsHuman,
        }
    }
}

/// Takes shaped rows. One task writes through one `Target`, one call at a time.
///
/// A call that returned an error has done nothing, or has done all of it and the reply was lost: the engine
/// repeats it, and the repetition leaves the target as one execution would. A call that returned is durable.
/// Every write checks, in its own transaction, that nobody opened the task after us ([`TargetErrorKind::Fenced`]).
pub trait Target: Send + 'static {
    /// How many columns a table may have.
    const COLUMNS: usize = usize::MAX;

    /// Whether a row can be stored whose values are long or many. Only those of custom fields can be too many.
    #[must_use]
    fn fits(_row: &[Cell]) -> bool {
        true
    }

    /// Takes the task over: raises its epoch in the target, so that an older writer cannot commit any more,
    /// and reads what is stored. Touches no table of rows, except that it refuses a foreign one. The plan may
    /// still lack columns of custom fields: which they are is known when this has returned.
    fn open(&mut self, plan: &Plan) -> impl Future<Output = Result<Opened, TargetError>> + Send;

    /// Makes the tables fit the plan, which is the one of every call from now on: creates what is missing, adds
    /// missing columns, notes custom fields in `_tributary_fields`. With a `rebuild`, tables whose definition
    /// differs are dropped and made anew. Stores `position`, whose `rebuilding` is set for a rebuild.
    fn prepare(
        &mut self,
        plan: &Plan,
        rebuild: Option<RebuildReason>,
        position: &Position,
    ) -> impl Future<Output = Result<(), TargetError>> + Send;

    /// Notes that the task writes rows of these projects, before it does. Refuses a project of a table that
    /// belongs to another task.
    fn own(&mut self, projects: &[Owned]) -> impl Future<Output = Result<(), TargetError>> + Send;

    /// Forgets projects whose rows are all gone, and those of them that are aside.
    fn disown(&mut self, projects: &[Owned]) -> impl Future<Output = Result<(), TargetError>> + Send;

    /// Writes a batch; says what that did to each table of the plan. What is written, or deleted, is not aside any more.
    fn write(&mut self, batch: &Batch) -> impl Future<Output = Result<Vec<Effect>, TargetError>> + Send;

    /// Ids of the rows of a table of a project (alive ones, with soft deletes) after `after`, in order.
    fn ids(
        &mut self,
        table: usize,
        team: &str,
        project: &str,
        after: Option<RowId>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<RowId>, TargetError>> + Send;

    /// Number of rows of a table of the given projects (alive ones, with soft deletes).
    fn count(
        &mut self,
        table: usize,
        projects: &[Owned],
    ) -> impl Future<Output = Result<u64, TargetError>> + Send;

    /// Puts a row aside that the target cannot hold, or that it does not let go: names it in the bookkeeping, with the
    /// reason.
    fn put_aside(
        &mut self,
        table: usize,
        key: &[Cell],
        reason: &str,
    ) -> impl Future<Output = Result<(), TargetError>> + Send;

    /// How many rows of each table of the plan are aside.
    fn aside(&mut self) -> impl Future<Output = Result<Vec<u64>, TargetError>> + Send;

    /// Closes the connection after what is under way.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// What a target shows to whoever only looks.
#[derive(Clone, Debug)]
pub struct Looked {
    /// The position stored there, if the task has been there.
    pub position: Option<Position>,
    /// The team and projects whose rows the task has written.
    pub owned: Vec<Owned>,
    /// The columns that stand for custom fields in the plan's tables, whichever task made them.
    pub fields: Vec<StoredField>,
    /// The room for columns in each of the plan's tables.
    pub rooms: Vec<Room>,
    /// How many rows the task has put aside.
    pub put_aside: u64,
    /// How each of the plan's tables stands, in its order.
    pub tables: Vec<TableLook>,
}

/// How a table stands in a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableLook {
    /// In what it is not as it should be, in words; empty when all is well.
    pub differs: Vec<String>,
    /// The plan's columns, by place, that are missing or of another type: they are read as NULL.
    pub unreadable: Vec<usize>,
    /// Whether rows can be told by their keys; without that none is read.
    pub readable: bool,
}

/// A row as it stands in a target: its id, and all cells in the order of the table's columns. A value that its
/// column's kind does not have (SQLite takes any) comes as the kind of cell that it is.
pub type FoundRow = (RowId, Vec<Cell>);

/// Rows as they stand in a target.
#[derive(Clone, Debug)]
pub struct Found {
    /// The task's position; no row of `rows` is older than that.
    pub position: Option<Position>,
    /// Alive rows, by id.
    pub rows: Vec<FoundRow>,
}

/// Looks into a target without taking the task over: whoever writes goes on. [`Inspect::look`] comes first.
pub trait Inspect: Target {
    /// Reads what is stored, and how the tables stand. Changes nothing, and refuses nothing that can be read.
    fn look(&mut self, plan: &Plan) -> impl Future<Output = Result<Looked, TargetError>> + Send;

    /// Rows of a table of a project (alive ones, with soft deletes) with ids after `after`, in order. Fewer than the
    /// limit say nothing: at the end there is none.
    fn read(
        &mut self,
        table: usize,
        team: &str,
        project: &str,
        after: Option<RowId>,
        limit: Limit,
    ) -> impl Future<Output = Result<Found, TargetError>> + Send;

    /// Those of the given rows that are there (and alive, with soft deletes), in order.
    fn read_some(
        &mut self,
        table: usize,
        team: &str,
        project: &str,
        ids: &[RowId],
    ) -> impl Future<Output = Result<Found, TargetError>> + Send;

    /// Makes columns outside of the key that somebody dropped, or gave another type, anew and empty, and has every
    /// task that fills such a table write its rows again. Says how many columns. Where there is beside them what cannot
    /// be mended nothing is touched, and it is refused as [`Target::open`] refuses it.
    fn mend(&mut self, plan: &Plan) -> impl Future<Output = Result<u64, TargetError>> + Send;
}
