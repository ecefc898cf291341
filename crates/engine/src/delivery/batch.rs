//! What comes next for a task: steps read from the journal, and the batch that they make.
//!
//! Nothing of it needs the target, so that the next batch is made while one is written.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use tokio::sync::watch;

use super::runner::DeliveryError;
use super::shape::{Delivered, Shaper};
use super::step::{Counted, Step, Wanted};
use crate::capture::Progress;
use crate::clock::Moment;
use crate::journal::{Journal, Limit};
use crate::position::{Position, Sequence};
use crate::row::RowKey;
use crate::source::Project;
use crate::status::Written;
use crate::target::{Batch, Cell, TableBatch};

/// A batch is cut at so many bytes of rows ...
const BATCH_BYTES: usize = 1_536 << 10;
/// ... or so many rows, whichever comes first.
const BATCH_ROWS: u32 = 768;
/// From so many steps on the next batch is made beside the writing of one: there is more where they came from.
const MANY: usize = 384;
/// The same for bytes.
const MANY_BYTES: usize = BATCH_BYTES / 2;
/// Rows shaped before others get their turn (some 0.2 ms): the write beside goes on.
const BREATH: usize = 32;

/// Makes batches.
pub(super) struct Maker<'a, J> {
    pub(super) journal: &'a J,
    pub(super) shaper: &'a Shaper,
    pub(super) progress: &'a watch::Receiver<Progress>,
    /// Whether the target had no row when the session began.
    pub(super) was_empty: bool,
}

/// What a journal has for a position.
pub(super) enum Next {
    /// Something to be written.
    Batch(Made),
    /// Nothing yet.
    Nothing,
    /// Deletions after the position have been forgotten.
    Lost,
}

/// What a batch counts as for a table.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) written: Written,
    /// Rows that are written.
    pub(super) rows: u64,
    /// Those of them with details that the target is taken to have.
    pub(super) complete: u64,
}

impl Tally {
    /// Takes one more step in.
    fn add(&mut self, step: &Noted) {
        self.change(step, |sum, one| *sum = sum.saturating_add(u64::from(one)));
    }

    /// Takes a step out that did not come to pass.
    pub(super) fn take_out(&mut self, step: &Noted) {
        self.change(step, |sum, one| *sum = sum.saturating_sub(u64::from(one)));
    }

    fn change(&mut self, step: &Noted, change: impl Fn(&mut u64, bool)) {
        let Tally { written: count, rows, complete } = self;
        change(rows, step.is_row);
        change(complete, step.counts.complete);
        change(&mut count.inserted, step.counts.inserted);
        change(&mut count.updated, step.counts.updated);
        change(&mut count.deleted, step.counts.deleted);
        change(&mut count.detailed, step.counts.detailed);
    }
}

/// As what a step was counted.
pub(super) struct Noted {
    pub(super) key: RowKey,
    /// Whether it writes a row.
    is_row: bool,
    counts: Counted,
}

/// A batch, and what it counts as.
pub(super) struct Made {
    pub(super) batch: Batch,
    /// By table of the task.
    pub(super) counted: BTreeMap<usize, Tally>,
    /// The steps behind that.
    pub(super) noted: Vec<Noted>,
    /// When the newest of its requests was sent.
    pub(super) newest: Moment,
    /// How many living rows of the task's tables it is, where it was read from the mirror.
    pub(super) mirrored: Option<u64>,
    /// Whether there is likely to be more.
    pub(super) many: bool,
    pub(super) now: Timestamp,
}

/// A batch that was made while the one before it was written.
pub(super) struct Ahead {
    pub(super) made: Made,
    after: Position,
    projects: Vec<Project>,
    logging: bool,
}

impl Made {
    /// The same batch, to be written at another time: rows say when that was.
    pub(super) fn stamped(mut self, shaper: &Shaper, now: Timestamp) -> Made {
        let micros = now.as_microsecond();
        for (rows, table) in self.batch.tables.iter_mut().zip(shaper.tables()) {
            rows.now = micros;
            let synced_at = rows.upserts.iter_mut().filter_map(|cells| cells.get_mut(table.synced_at));
            synced_at.for_each(|cell| *cell = Cell::Timestamp(micros));
        }
        self.now = now;
        self
    }
}

impl Ahead {
    /// Whether it is what would be made now.
    pub(super) fn leads_on(&self, from: &Position, progress: &Progress) -> bool {
        self.after == *from && self.projects == progress.projects && self.logging == progress.logging
    }
}

impl<J: Journal> Maker<'_, J> {
    /// What comes after `from`: out of the log where it reaches back to there, else out of the mirror.
    pub(super) async fn next(&self, from: &Position, logging: bool) -> Result<Next, DeliveryError> {
        let Some((steps, mirrored)) = self.steps(from, logging).await? else { return Ok(Next::Lost) };
        let Some(last) = steps.last().map(|step| step.sequence) else { return Ok(Next::Nothing) };
        let mut position = from.clone();
        position.sequence = last;
        Ok(Next::Batch(self.batch(steps, position, mirrored).await))
    }

    /// The batch after the one that leads to `from`, which is being written.
    pub(super) async fn ahead(&self, from: &Position) -> Option<Ahead> {
        let mut progress = self.progress.clone();
        let (projects, logging) = {
            let progress = progress.borrow_and_update();
            (progress.projects.clone(), progress.logging)
        };
        match self.next(from, logging).await {
            // While it was made, nobody said that anything is otherwise.
            Ok(Next::Batch(made)) if progress.has_changed().is_ok_and(|changed| !changed) => {
                Some(Ahead { made, after: from.clone(), projects, logging })
            }
            // Whatever it is, it will be met again when it is its turn.
            Ok(_) | Err(_) => None,
        }
    }

    /// The next steps in sequence order, and, read from the mirror, how many living rows of the task's tables they
    /// are. `None` when neither log nor mirror can tell.
    async fn steps(
        &self,
        from: &Position,
        logging: bool,
    ) -> Result<Option<(Vec<Step>, Option<u64>)>, DeliveryError> {
        let limit = Limit { rows: BATCH_ROWS, bytes: BATCH_BYTES };
        let after = from.sequence;
        // Asked for after each reading: what was forgotten meanwhile is missing in it.
        let lost = |horizon: Sequence| !from.rebuilding && after < horizon;
        if logging && !from.rebuilding && after >= self.journal.bounds().await?.log_floor {
            let changes = self.journal.log_after(after, limit).await?;
            let bounds = self.journal.bounds().await?;
            if lost(bounds.horizon) {
                return Ok(None);
            }
            if after >= bounds.log_floor {
                // What was read is of no project that was not in view by now.
                let projects = self.projects();
                let wanted = Wanted { task: self.shaper.task(), projects: &projects };
                return Ok(Some((changes.into_iter().map(|change| wanted.logged(change)).collect(), None)));
            }
        }
        let rows = self.journal.mirror_after(after, limit).await?;
        if lost(self.journal.bounds().await?.horizon) {
            return Ok(None);
        }
        let projects = self.projects();
        let wanted = Wanted { task: self.shaper.task(), projects: &projects };
        let mirrored = u64::try_from(rows.iter().filter(|row| wanted.covers(row)).count()).unwrap_or(0);
        Ok(Some((rows.into_iter().map(|row| wanted.mirrored(after, row)).collect(), Some(mirrored))))
    }

    fn projects(&self) -> Vec<Project> {
        self.progress.borrow().projects.clone()
    }

    /// The batch of these steps, which leads to `position`.
    pub(super) async fn batch(
        &self,
        mut steps: Vec<Step>,
        position: Position,
        mirrored: Option<u64>,
    ) -> Made {
        let (now, task) = (Timestamp::now(), self.shaper.task());
        let bytes = steps.iter().filter_map(|step| Some(step.row.as_ref()?.0.json().len())).sum::<usize>();
        let many = steps.len() >= MANY || bytes >= MANY_BYTES;
        let mut counted: BTreeMap<usize, Tally> = BTreeMap::new();
        let mut newest = Moment(0);
        let mut noted = Vec::with_capacity(steps.len());
        for step in &steps {
            let Some(index) = task.index(step.key.table) else { continue };
            let step_noted = Noted { key: step.key, is_row: step.row.is_some(), counts: step.counts };
            counted.entry(index).or_default().add(&step_noted);
            noted.push(step_noted);
            newest = newest.max(step.seen.unwrap_or_default());
        }
        // The last word on each key: of the same key, the one with the higher sequence. In the mirror it is alone.
        steps.sort_unstable_by_key(|step| (step.key, Reverse(step.sequence)));
        steps.dedup_by_key(|step| step.key);
        let mut batch = self.shaper.blank(now, position);
        let so_far = Moment(now.as_microsecond());
        let names: HashMap<i64, String> =
            self.projects().into_iter().map(|project| (project.id.0, project.name)).collect();
        // In a target that was empty, what the mirror inserted after the position is not there yet.
        let fresh = self.was_empty || mirrored.is_none();
        for (at, Step { key, row, counts, .. }) in steps.into_iter().enumerate() {
            if at % BREATH == BREATH - 1 {
                tokio::task::yield_now().await;
            }
            let index = task.index(key.table);
            let (Some(index), Some(project)) = (index, names.get(&key.project.0)) else { continue };
            let Some(table) = batch.tables.get_mut(index) else { continue };
            match row {
                Some((row, observed, detailed)) => {
                    let (id, project_id) = (key.id, key.project.0);
                    // A moment may be ahead of a clock that was put right since; nothing was observed later than now.
                    let (observed, detailed) = (observed.min(so_far), detailed.map(|at| at.min(so_far)));
                    let delivered = Delivered { project, row: &row, id, project_id, observed, detailed };
                    table.upserts.push(self.shaper.row(index, delivered, now));
                    table.new &= fresh && counts.inserted;
                }
                None => table.deletes.push(self.shaper.key(project, key.id)),
            }
        }
        Made { batch, counted, noted, newest, mirrored, many, now }
    }
}

impl Shaper {
    /// A batch without rows, which leads to `position`.
    pub(super) fn blank(&self, now: Timestamp, position: Position) -> Batch {
        let empty = TableBatch { now: now.as_microsecond(), new: true, ..TableBatch::default() };
        Batch { tables: vec![empty; self.tables().len()], position }
    }
}
