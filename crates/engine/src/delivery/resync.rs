//! Rebuilds that somebody asked for: of the whole target, of some of its tables, or of some rows.
//!
//! The whole target is rebuilt as after any other reason. Some rows are written again once the task is at the head,
//! and the position stays. Some tables are written again beside the others: first
//! the task is brought up to the head, so that no older version of a row follows; while they are written the
//! target's position says that everything is to be rebuilt, and that is what whoever comes after a crash does.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::runner::{self, Delivery, DeliveryError};
use super::shape::Task;
use super::step::{Step, Wanted};
use crate::capture::Progress;
use crate::journal::{Journal, JournalError, Limit};
use crate::position::{RebuildReason, Sequence};
use crate::row::{RowId, RowKey};
use crate::schema::TableId;
use crate::source::Project;
use crate::status::{Board, Copied};
use crate::target::Target;

/// Rows of the mirror that are read, and written, at once.
const PAGE: Limit = Limit { rows: 1_000, bytes: 2 << 20 };

/// Rows that are written again at once, when they were named.
const REWRITTEN: usize = 500;

/// What is to be rebuilt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All tables of the task.
    Everything,
    /// These tables of it; the others and the position stay.
    Tables(Vec<TableId>),
    /// These rows of it, as the mirror has them or lacks them; all others and the position stay.
    Rows(Vec<RowKey>),
}

/// Runs a task that begins with a rebuild from the mirror, until `progress` says that the capture has finished
/// and everything is delivered, or until it is cancelled. For a rebuild alone, without a capture, give a progress
/// from [`crate::capture::remembered`] and say in it that it has finished. Where not everything has been read
/// (`loaded`), nothing is deleted, and the target's position says that this is still to be done.
///
/// # Errors
/// What needs a person; everything that passes is waited out and said on the board.
pub async fn run<J: Journal, T: Target>(
    journal: Arc<J>,
    target: T,
    task: Task,
    scope: Scope,
    progress: watch::Receiver<Progress>,
    board: Board,
    cancel: CancellationToken,
) -> Result<(), DeliveryError> {
    runner::carry_out(journal, target, task, Some(scope), progress, board, cancel).await
}

impl<J: Journal, T: Target> Delivery<J, T> {
    /// Why the target is rebuilt, from why it must be (`reason`) and what somebody asked for.
    pub(super) async fn as_asked(
        &mut self,
        reason: Option<RebuildReason>,
    ) -> Result<Option<RebuildReason>, DeliveryError> {
        let reason = match self.asked {
            Some(Scope::Everything) => Some(RebuildReason::Asked),
            Some(Scope::Tables(_) | Scope::Rows(_)) | None => reason,
        };
        if reason.is_some() && self.asked.is_some() {
            // All tables are written, those that were asked for among them.
            self.asked = None;
            self.announce(&self.all_tables()).await?;
        }
        Ok(reason)
    }

    /// Says how many rows of these tables the mirror has, so that progress can be seen.
    async fn announce(&mut self, tables: &[usize]) -> Result<(), DeliveryError> {
        let Some(total) = persistently!(self, self.alive(tables)) else { return Ok(()) };
        let copied = Some(Copied { done: 0, total });
        self.board.task(&self.shaper.task().name, |status| status.rebuild = copied);
        Ok(())
    }

    /// How many living rows the mirror has of these tables.
    async fn alive(&self, tables: &[usize]) -> Result<u64, JournalError> {
        let mut alive = 0_u64;
        for project in self.projects() {
            for table in tables.iter().filter_map(|index| self.shaper.task().tables.get(*index)) {
                alive = alive.saturating_add(self.journal.counts(table.id, project.id).await?.alive);
            }
        }
        Ok(alive)
    }

    /// Notes that so many rows of the mirror have been worked off.
    pub(super) fn count_copied(&self, rows: u64) {
        self.board.task(&self.shaper.task().name, |status| {
            if let Some(copied) = &mut status.rebuild {
                copied.done = copied.done.saturating_add(rows).min(copied.total);
            }
        });
    }

    /// Rebuilds the tables, or the rows, that were asked for, once everything else is delivered.
    pub(super) async fn rebuild_tables(&mut self) -> Result<(), DeliveryError> {
        let tables = match self.asked.take() {
            Some(Scope::Tables(tables)) => tables,
            Some(Scope::Rows(rows)) => return self.rewrite(&rows).await,
            Some(Scope::Everything) | None => return Ok(()),
        };
        let Progress { loaded, finished, .. } = self.progress.borrow().clone();
        if !finished || self.cancel.is_cancelled() {
            return Ok(());
        }
        let task = self.shaper.task();
        let tables: Vec<usize> = tables.iter().filter_map(|table| task.index(*table)).collect();
        self.announce(&tables).await?;
        let reached = self.position.clone();
        (self.position.sequence, self.position.rebuilding) = (Sequence(0), true);
        for project in self.projects() {
            for index in &tables {
                if !self.copy(*index, &project, reached.sequence).await? {
                    return Ok(());
                }
            }
        }
        let mut swept = false;
        if loaded {
            let Some(held) = self.hold(&tables).await? else { return Ok(()) };
            if !held && !self.sweep(&self.kept(), &tables).await? {
                return Ok(());
            }
            swept = !held;
        }
        let mut batch = self.batch(Timestamp::now());
        batch.position.sequence = reached.sequence;
        // What is still to be deleted is the end of a rebuild whose rows are all there.
        batch.position.rebuilding = reached.rebuilding || !swept;
        if self.put(batch).await?.is_some() {
            self.count().await?;
        }
        Ok(())
    }

    /// Writes rows again as the mirror has them, and deletes those that it lacks or that the filter does not want.
    async fn rewrite(&mut self, keys: &[RowKey]) -> Result<(), DeliveryError> {
        let Progress { loaded, finished, .. } = self.progress.borrow().clone();
        if !finished {
            return Ok(());
        }
        let total = u64::try_from(keys.len()).unwrap_or(u64::MAX);
        let name = self.shaper.task().name.clone();
        self.board.task(&name, |status| status.rebuild = Some(Copied { done: 0, total }));
        for keys in keys.chunks(REWRITTEN) {
            if self.cancel.is_cancelled() {
                return Ok(());
            }
            let Some(rows) = persistently!(self, self.journal.rows(keys)) else { return Ok(()) };
            let (projects, reached) = (self.projects(), self.position.sequence);
            let known: HashSet<RowKey> = rows.iter().map(|row| row.key).collect();
            let wanted = Wanted { task: self.shaper.task(), projects: &projects };
            let mut steps: Vec<Step> = rows.into_iter().map(|row| wanted.mirrored(reached, row)).collect();
            // What was not all read yet may be lacking for that reason, deletes that are held wait for a person, and
            // a table of deliveries only grows.
            let may_go = loaded && !self.position.rebuilding;
            let task = self.shaper.task();
            let only_grows = |key: &RowKey| {
                task.index(key.table).and_then(|at| task.tables.get(at)).is_some_and(|table| table.from_inbox)
            };
            let unknown = keys.iter().filter(|key| may_go && !known.contains(key) && !only_grows(key));
            steps.extend(unknown.map(|key| Step::gone(*key, reached)));
            if !self.write(steps, reached, Some(0)).await? {
                return Ok(());
            }
            self.count_copied(u64::try_from(keys.len()).unwrap_or(u64::MAX));
        }
        self.count().await?;
        Ok(())
    }

    /// Writes all rows of a table of a project, and deletes those that the filter does not want. `reached` is how
    /// far the target was before. `false` when cancelled.
    async fn copy(
        &mut self,
        index: usize,
        project: &Project,
        reached: Sequence,
    ) -> Result<bool, DeliveryError> {
        let Some(table) = self.shaper.task().tables.get(index).map(|table| table.id) else { return Ok(true) };
        let mut after: Option<RowId> = None;
        while !self.cancel.is_cancelled() {
            let scanned = persistently!(self, self.journal.scan(table, project.id, after, PAGE));
            let Some(rows) = scanned else { return Ok(false) };
            let Some(last) = rows.last() else { return Ok(true) };
            after = Some(last.key.id);
            let read = u64::try_from(rows.len()).unwrap_or(u64::MAX);
            let projects = self.projects();
            let wanted = Wanted { task: self.shaper.task(), projects: &projects };
            let steps: Vec<Step> = rows.into_iter().map(|row| wanted.mirrored(reached, row)).collect();
            if !self.write(steps, self.position.sequence, Some(0)).await? {
                return Ok(false);
            }
            self.count_copied(read);
        }
        Ok(false)
    }
}
