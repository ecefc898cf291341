//! The loop of a task: read from the journal, filter, shape, write, store the position with the rows.
//!
//! One write is under way at a time. Read in sequence order the mirror is the compacted log: a task reads the
//! log where it reaches back far enough, else the mirror, and so needs no hand-over between the two.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::rebuild;
use super::resync::Scope;
use super::shape::{Delivered, Mode, Shaper, Task};
use super::step::{Step, Wanted};
use crate::capture::Progress;
use crate::clock::Moment;
use crate::custom::CustomFields;
use crate::journal::{Journal, JournalError, Limit};
use crate::position::{Position, RebuildReason, Sequence};
use crate::problem::{Problem, Remedy};
use crate::source::Project;
use crate::status::{Board, State, Written};
use crate::target::{Batch, Effect, Owned, TableBatch, Target, TargetError, TargetErrorKind};

/// A batch is cut at so many bytes of rows ...
const BATCH_BYTES: usize = 1 << 20;
/// ... or so many rows, whichever comes first.
const BATCH_ROWS: u32 = 500;
/// Wait before a call that may pass is repeated.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Wait before a write is repeated when there is no room.
const ROOM_PAUSE: Duration = Duration::from_secs(5);

/// What ends a task.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The target's fault.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The journal's fault.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl DeliveryError {
    /// What a person reads.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        match self {
            DeliveryError::Target(error) => &error.problem,
            DeliveryError::Journal(error) => &error.problem,
        }
    }

    fn remedy(&self) -> Remedy {
        match self {
            DeliveryError::Target(error) => error.remedy(),
            DeliveryError::Journal(error) => error.remedy,
        }
    }
}

/// A task at work.
pub(super) struct Delivery<J, T> {
    pub(super) journal: Arc<J>,
    pub(super) target: T,
    pub(super) shaper: Shaper,
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) board: Board,
    pub(super) cancel: CancellationToken,
    pub(super) position: Position,
    pub(super) owned: Vec<Owned>,
    /// Rows by table that the end of a rebuild would delete and that are held.
    pub(super) held: Vec<u64>,
    /// Whether the target had no row when the session began: then a rebuild has nothing to delete.
    pub(super) was_empty: bool,
    /// Up to where deletions had been forgotten when the session began. What is forgotten later may be in the target.
    pub(super) horizon: Sequence,
    /// Whether the mirror may be a fresh reading, so that what it lacks is not deleted without a look.
    pub(super) guarded: bool,
    /// What somebody asked to have rebuilt, until that has begun (all of it) or is done (some tables).
    pub(super) asked: Option<Scope>,
}

/// Runs a task until the capture has finished and everything is delivered, or until it is cancelled.
///
/// # Errors
/// What needs a person; everything that passes is waited out and said on the board.
pub async fn run<J: Journal, T: Target>(
    journal: Arc<J>,
    target: T,
    task: Task,
    progress: watch::Receiver<Progress>,
    board: Board,
    cancel: CancellationToken,
) -> Result<(), DeliveryError> {
    carry_out(journal, target, task, None, progress, board, cancel).await
}

/// Runs a task, with a rebuild that was `asked` for.
pub(super) async fn carry_out<J: Journal, T: Target>(
    journal: Arc<J>,
    target: T,
    task: Task,
    asked: Option<Scope>,
    mut progress: watch::Receiver<Progress>,
    board: Board,
    cancel: CancellationToken,
) -> Result<(), DeliveryError> {
    let shaper = Shaper::new(task);
    let name = shaper.task().name.clone();
    board.task(&name, |status| status.activity.enter(State::Starting));
    let flat = shaper.task().mode == Mode::Flat;
    let is_known = |progress: &Progress| {
        (!progress.projects.is_empty() && (!flat || progress.custom.is_some())) || progress.finished
    };
    // Cancel-safe: nothing has begun. The capture is gone when the sender is.
    tokio::select! {
        known = progress.wait_for(is_known) => {
            if known.is_err() {
                return Ok(());
            }
        }
        () = cancel.cancelled() => return Ok(()),
    }
    let position = Position {
        generation: journal.generation().clone(),
        sequence: Sequence(0),
        fingerprint: shaper.fingerprint(),
        rebuilding: false,
    };
    let mut delivery = Delivery {
        journal,
        target,
        shaper,
        progress,
        board,
        cancel,
        position,
        owned: Vec::new(),
        held: Vec::new(),
        was_empty: false,
        horizon: Sequence(0),
        guarded: true,
        asked,
    };
    let result = delivery.sessions().await;
    let Delivery { target, board, .. } = delivery;
    target.close().await;
    match &result {
        Ok(()) => board.task(&name, |status| status.activity.enter(State::Stopped)),
        Err(error) => board.task(&name, |status| {
            status.activity.enter(State::Waiting { problem: error.problem().clone(), next: None });
        }),
    }
    result
}

impl<J: Journal, T: Target> Delivery<J, T> {
    /// A session goes from taking the target over to its end, or to the next rebuild.
    async fn sessions(&mut self) -> Result<(), DeliveryError> {
        loop {
            let Some(opened) = persistently!(self, self.target.open(&self.shaper.plan())) else {
                return Ok(());
            };
            let progress = self.progress.borrow().clone();
            if let Some(custom) = &progress.custom {
                self.shaper.assign(custom, &opened.fields);
            }
            let plan = self.shaper.plan();
            let fingerprint = self.shaper.fingerprint();
            let reason =
                persistently!(self, rebuild::reason(&*self.journal, &opened, &fingerprint, &progress));
            let Some(reason) = reason else {
                return Ok(());
            };
            let rebuilding = opened.position.as_ref().is_some_and(|position| position.rebuilding);
            // After a change of shape or name the mirror is the one that the target was written from. So it is when
            // somebody asked for the rebuild of a target that can be gone on from and is in no other rebuild.
            self.guarded = match reason {
                Some(RebuildReason::Reshaped | RebuildReason::Renamed | RebuildReason::Returned) => false,
                None => rebuilding || self.asked.is_none(),
                Some(_) => true,
            };
            let reason = self.as_asked(reason).await?;
            let Progress { projects, custom, .. } = progress;
            self.say(reason);
            self.position = rebuild::first_position(&*self.journal, &opened, reason, fingerprint);
            let position = self.position.clone();
            self.owned = opened.owned;
            let prepared = persistently!(self, self.target.prepare(&plan, reason, &position));
            if prepared.is_none() || !self.let_go(&projects).await? || !self.take_in(&projects).await? {
                return Ok(());
            }
            // What the target stands on is needed from here on.
            let (task, sequence) = (self.shaper.task().name.clone(), self.position.sequence);
            if persistently!(self, self.journal.acknowledge(&task, sequence)).is_none() {
                return Ok(());
            }
            self.held.clear();
            let rows: u64 = self.count().await?.iter().sum();
            self.was_empty = reason.is_some() && rows == 0;
            let Some(bounds) = persistently!(self, self.journal.bounds()) else { return Ok(()) };
            self.horizon = bounds.horizon;
            if self.deliver(&projects, custom.as_deref()).await? {
                return self.rebuild_tables().await;
            }
        }
    }

    /// Delivers until the end (`true`), or until the identifier of one of the `projects` changes or, in flat mode,
    /// `custom` is not all any more (`false`).
    async fn deliver(
        &mut self,
        projects: &[Project],
        custom: Option<&CustomFields>,
    ) -> Result<bool, DeliveryError> {
        let mut head = self.journal.head();
        let mut acknowledged = Sequence(0);
        // Where the end of the rebuild was tried: held deletes are looked at again when something changed.
        let mut swept = None;
        loop {
            if self.cancel.is_cancelled() {
                return Ok(true);
            }
            // Where nothing comes after the position, nothing is left up to here.
            let newest = *head.borrow_and_update();
            let progress = self.progress.borrow_and_update().clone();
            let renamed = |project: &Project| {
                projects.iter().any(|known| known.id == project.id && known.name != project.name)
            };
            let passed_on = |project: &Project| {
                projects.iter().any(|known| known.name == project.name && known.id != project.id)
            };
            let moved = |project: &Project| renamed(project) || passed_on(project);
            let outgrown = self.shaper.task().mode == Mode::Flat && progress.custom.as_deref() != custom;
            if progress.projects.iter().any(moved) || rebuild::is_back(&self.owned, &progress) || outgrown {
                return Ok(false);
            }
            if !self.take_in(&progress.projects).await? {
                return Ok(true);
            }
            let Some(steps) = persistently!(self, self.next_steps(progress.logging)) else {
                return Ok(true);
            };
            let Some((steps, mirrored)) = steps else {
                // Deletions after the position have been forgotten meanwhile.
                return Ok(false);
            };
            if self.projects().iter().any(|project| !rebuild::owns(&self.owned, project)) {
                // A project came into view while the journal was read.
                continue;
            }
            if let Some(last) = steps.last().map(|step| step.sequence) {
                if !self.write(steps, last, mirrored.is_some()).await? {
                    return Ok(true);
                }
                self.count_copied(mirrored.unwrap_or(0));
                continue;
            }
            if self.position.rebuilding && progress.loaded && swept != Some(self.position.sequence) {
                swept = Some(self.position.sequence);
                if !self.finish_rebuild(newest).await? {
                    return Ok(true);
                }
                continue;
            }
            if progress.finished {
                self.count().await?;
                return Ok(true);
            }
            self.rest();
            let (task, sequence) = (self.shaper.task().name.clone(), self.position.sequence);
            if acknowledged < sequence {
                persistently!(self, self.journal.acknowledge(&task, sequence));
                acknowledged = sequence;
            }
            // Cancel-safe: only waits.
            tokio::select! {
                moved = head.changed() => if moved.is_err() { return Ok(true) },
                changed = self.progress.changed() => {
                    // The capture is gone without having finished: what there is has been delivered.
                    if changed.is_err() { return Ok(true) }
                }
                () = self.cancel.cancelled() => return Ok(true),
            }
        }
    }

    pub(super) fn projects(&self) -> Vec<Project> {
        self.progress.borrow().projects.clone()
    }

    fn say(&self, reason: Option<RebuildReason>) {
        let why = match reason {
            None | Some(RebuildReason::New) => return,
            Some(RebuildReason::Unfinished) => "an earlier rebuild did not finish",
            Some(RebuildReason::OtherJournal) => {
                "its position belongs to another state directory, or to an older copy of this one"
            }
            Some(RebuildReason::BehindTombstones) => "deletions since its position have been forgotten",
            Some(RebuildReason::Reshaped) => {
                "tables, filters, mode, custom fields, naming or deletes changed"
            }
            Some(RebuildReason::Renamed) => "a project's identifier changed",
            Some(RebuildReason::Returned) => "a project came back into the configuration",
            Some(RebuildReason::Asked) => "it was asked for",
        };
        tracing::info!(task = %self.shaper.task().name, "the target is rebuilt from the mirror: {why}");
    }

    /// Takes those of the `projects` in that came into view: such that nobody has renamed, by what the caller has
    /// seen of them. `false` when cancelled.
    async fn take_in(&mut self, projects: &[Project]) -> Result<bool, DeliveryError> {
        let team = &self.shaper.task().team;
        let new = projects.iter().filter(|project| !rebuild::owns(&self.owned, project));
        let new: Vec<Owned> = new
            .map(|Project { id, name }| Owned { team: team.clone(), project_id: id.0, project: name.clone() })
            .collect();
        if new.is_empty() {
            return Ok(true);
        }
        let done = persistently!(self, self.target.own(&new));
        self.owned.extend(new);
        Ok(done.is_some())
    }

    /// Deletes the rows of projects that are configured no more, unless a rebuild does it anyway.
    async fn let_go(&mut self, projects: &[Project]) -> Result<bool, DeliveryError> {
        let left = |owned: &&Owned| !projects.iter().any(|project| project.id.0 == owned.project_id);
        let gone: Vec<Owned> = self.owned.iter().filter(left).cloned().collect();
        // Of all that the credential sees, a project that is missing may only be out of view.
        if gone.is_empty() || self.position.rebuilding || self.progress.borrow().everything {
            return Ok(true);
        }
        Ok(self.sweep(&gone, &self.all_tables()).await? && self.disown(&gone).await?)
    }

    /// The next steps in sequence order: from the log where it reaches back to the position, else from the
    /// mirror, and then how many living rows of the task's tables they are. `None` when neither can tell.
    async fn next_steps(&self, logging: bool) -> Result<Option<(Vec<Step>, Option<u64>)>, DeliveryError> {
        let limit = Limit { rows: BATCH_ROWS, bytes: BATCH_BYTES };
        let after = self.position.sequence;
        let bounds = self.journal.bounds().await?;
        if !self.position.rebuilding && after < bounds.horizon {
            return Ok(None);
        }
        if logging && !self.position.rebuilding && after >= bounds.log_floor {
            let changes = self.journal.log_after(after, limit).await?;
            if after < self.journal.bounds().await?.log_floor {
                // Some of them were forgotten while they were read.
                return Box::pin(self.next_steps(logging)).await;
            }
            // Asked for after the reading: what was read is of no project that was not in view by then.
            let projects = self.projects();
            let wanted = Wanted { task: self.shaper.task(), projects: &projects };
            return Ok(Some((changes.into_iter().map(|change| wanted.logged(change)).collect(), None)));
        }
        let rows = self.journal.mirror_after(after, limit).await?;
        if !self.position.rebuilding && after < self.journal.bounds().await?.horizon {
            return Ok(None);
        }
        let projects = self.projects();
        let wanted = Wanted { task: self.shaper.task(), projects: &projects };
        let mirrored = u64::try_from(rows.iter().filter(|row| wanted.covers(row)).count()).unwrap_or(0);
        Ok(Some((rows.into_iter().map(|row| wanted.mirrored(after, row)).collect(), Some(mirrored))))
    }

    /// Writes steps as one batch. `false` when cancelled.
    pub(super) async fn write(
        &mut self,
        mut steps: Vec<Step>,
        last: Sequence,
        from_mirror: bool,
    ) -> Result<bool, DeliveryError> {
        let now = Timestamp::now();
        let mut counted: BTreeMap<usize, Written> = BTreeMap::new();
        let mut newest = Moment(0);
        for step in &steps {
            let Some(index) = self.shaper.task().index(step.key.table) else { continue };
            let count = counted.entry(index).or_default();
            let add = |sum: &mut u64, one: bool| *sum = sum.saturating_add(u64::from(one));
            add(&mut count.inserted, step.counts.inserted);
            add(&mut count.updated, step.counts.updated);
            add(&mut count.deleted, step.counts.deleted);
            add(&mut count.detailed, step.counts.detailed);
            newest = newest.max(step.seen.unwrap_or_default());
        }
        // The last word on each key: of the same key, the one with the higher sequence. In the mirror it is alone.
        steps.sort_unstable_by_key(|step| (step.key, Reverse(step.sequence)));
        steps.dedup_by_key(|step| step.key);
        let mut batch = self.batch(now);
        let names: HashMap<i64, String> =
            self.projects().into_iter().map(|project| (project.id.0, project.name)).collect();
        // In a target that was empty, what the mirror inserted after the position is not there yet.
        let fresh = self.was_empty || !from_mirror;
        for Step { key, row, counts, .. } in steps {
            let index = self.shaper.task().index(key.table);
            let (Some(index), Some(project)) = (index, names.get(&key.project.0)) else { continue };
            let Some(table) = batch.tables.get_mut(index) else { continue };
            match row {
                Some((row, observed, detailed)) => {
                    let (id, project_id) = (key.id, key.project.0);
                    let delivered = Delivered { project, row: &row, id, project_id, observed, detailed };
                    table.upserts.push(self.shaper.row(index, delivered, now));
                    table.new &= fresh && counts.inserted;
                }
                None => table.deletes.push(self.shaper.key(project, key.id)),
            }
        }
        batch.position.sequence = last;
        let filling = self.was_empty || !self.position.rebuilding;
        self.enter(if filling { State::Loading } else { State::Rebuilding });
        let rebuilding = self.position.rebuilding;
        let Some(effects) = self.put(batch).await? else { return Ok(false) };
        if from_mirror {
            // Read from the mirror a row has no before: the target itself says what was new to it.
            for (index, effect) in effects.into_iter().enumerate() {
                let Some(count) = counted.get_mut(&index) else { continue };
                let known = count.inserted.saturating_add(count.updated).saturating_sub(effect.inserted);
                count.updated = known.min(count.updated);
                count.inserted = effect.inserted;
                count.deleted = effect.deleted;
                if rebuilding && !self.was_empty {
                    // What is written over what was there is no change.
                    (count.updated, count.detailed) = (0, 0);
                }
            }
        }
        let delay = Timestamp::now().as_millisecond().saturating_sub(newest.timestamp().as_millisecond());
        let tables = self.shaper.task().tables.clone();
        self.board.task(&self.shaper.task().name, |status| {
            for (index, count) in counted {
                let Some(table) = tables.get(index) else { continue };
                let written = status.tables.entry(table.name.to_owned()).or_default();
                written.inserted = written.inserted.saturating_add(count.inserted);
                written.updated = written.updated.saturating_add(count.updated);
                written.deleted = written.deleted.saturating_add(count.deleted);
                written.detailed = written.detailed.saturating_add(count.detailed);
                written.rows = written.rows.saturating_add(count.inserted).saturating_sub(count.deleted);
            }
            status.position = last.0;
            status.last_write = Some(now);
            if newest > Moment(0) && !rebuilding {
                status.delay_ms = Some(delay);
            }
        });
        Ok(true)
    }

    pub(super) fn batch(&self, now: Timestamp) -> Batch {
        let empty = TableBatch { now: now.as_microsecond(), new: true, ..TableBatch::default() };
        Batch { tables: vec![empty; self.shaper.tables().len()], position: self.position.clone() }
    }

    /// Has a batch written, in halves where a row of it cannot be stored; says what that did to each table.
    /// `None` when cancelled.
    pub(super) async fn put(&mut self, batch: Batch) -> Result<Option<Vec<Effect>>, DeliveryError> {
        let mut effects = vec![Effect::default(); self.shaper.tables().len()];
        let mut left = vec![batch];
        while let Some(batch) = left.pop() {
            let write = async |target: &mut T| match target.write(&batch).await {
                Err(error) if error.kind == TargetErrorKind::Data => Ok(Err(error)),
                other => other.map(Ok),
            };
            match persistently!(self, write(&mut self.target)) {
                None => return Ok(None),
                Some(Ok(written)) => {
                    self.position = batch.position;
                    for (sum, effect) in effects.iter_mut().zip(written) {
                        sum.inserted = sum.inserted.saturating_add(effect.inserted);
                        sum.deleted = sum.deleted.saturating_add(effect.deleted);
                    }
                }
                Some(Err(error)) => {
                    let Some(halves) = self.halve(batch, &error).await? else { return Ok(None) };
                    left.extend(halves);
                }
            }
        }
        Ok(Some(effects))
    }

    /// Splits a batch that holds a row which cannot be stored; alone, such a row is put aside. `None` when cancelled.
    async fn halve(
        &mut self,
        mut batch: Batch,
        error: &TargetError,
    ) -> Result<Option<[Batch; 2]>, DeliveryError> {
        let rows: usize = batch.tables.iter().map(|table| table.upserts.len()).sum();
        if rows > 1 {
            // The first half must not move the position: it comes last in `left`, so it is written first.
            let mut first = Batch { position: self.position.clone(), tables: Vec::new() };
            let mut wanted = rows.div_euclid(2);
            for table in &mut batch.tables {
                let take = wanted.min(table.upserts.len());
                wanted = wanted.saturating_sub(take);
                let rest = table.upserts.split_off(take);
                let upserts = std::mem::replace(&mut table.upserts, rest);
                first.tables.push(TableBatch { upserts, deletes: Vec::new(), ..*table });
            }
            return Ok(Some([batch, first]));
        }
        let mut aside = None;
        for (index, table) in batch.tables.iter_mut().enumerate() {
            if let Some(row) = table.upserts.pop() {
                let keys = self.shaper.tables().get(index).map_or(0, |table| table.key_columns);
                aside = Some((index, row.into_iter().take(keys).collect::<Vec<_>>()));
            }
        }
        let Some((index, key)) = aside else {
            return Err(DeliveryError::Target(TargetError {
                kind: TargetErrorKind::Fatal,
                problem: error.problem.clone(),
                source: None,
            }));
        };
        tracing::error!(task = %self.shaper.task().name, ?key, problem = %error.problem, "row put aside");
        let reason = error.problem.why.clone();
        if persistently!(self, self.target.put_aside(index, &key, &reason)).is_none() {
            return Ok(None);
        }
        self.board.task(&self.shaper.task().name, |status| {
            status.put_aside = status.put_aside.saturating_add(1);
        });
        let nothing = self.batch(Timestamp::now());
        Ok(Some([batch, nothing]))
    }

    fn rest(&self) {
        let state = match self.progress.borrow().loaded {
            true => State::Following { next: None },
            false => State::Loading,
        };
        self.enter(state);
    }

    fn enter(&self, state: State) {
        self.board.task(&self.shaper.task().name, |status| status.activity.enter(state));
    }

    /// Waits before a call is repeated: `false` when cancelled meanwhile, an error when it needs a person.
    pub(super) async fn pause(&mut self, error: DeliveryError) -> Result<bool, DeliveryError> {
        let pause = match error.remedy() {
            Remedy::NeedsHuman => return Err(error),
            Remedy::Retry => RETRY_PAUSE,
            Remedy::Wait => ROOM_PAUSE,
        };
        let problem = error.problem().clone();
        // Whoever shows the board says it once; here it is said every time.
        tracing::debug!(task = %self.shaper.task().name, %problem, "waiting");
        let next = Timestamp::now().checked_add(pause).ok();
        self.enter(State::Waiting { problem, next });
        // Cancel-safe: only waits.
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(true),
            () = self.cancel.cancelled() => Ok(false),
        }
    }
}
