//! The loop of a task: read from the journal, filter, shape, write, store the position with the rows.
//!
//! One write is under way at a time; the next batch is made meanwhile (`batch`). Read in sequence order the mirror is the
//! compacted log: a task reads the log where it reaches back far enough, else the mirror, and so needs no hand-over
//! between the two.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::batch::{Ahead, Maker, Next};
use super::rebuild;
use super::resync::Scope;
use super::shape::{Mode, Shaper, Task};
use crate::capture::Progress;
use crate::custom::CustomFields;
use crate::journal::{Journal, JournalError};
use crate::position::{Position, RebuildReason, Sequence};
use crate::problem::{Problem, Remedy};
use crate::source::Project;
use crate::status::{Board, State};
use crate::target::{Owned, Target, TargetError};

/// Wait before a call that may pass is repeated.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Wait before a write is repeated when there is no room.
const ROOM_PAUSE: Duration = Duration::from_secs(5);
/// The longest wait before the next session, when sessions end where they began.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// So many sessions in a row that end where they began are too many for somebody who waits for the end.
const IN_VAIN: u32 = 3;

/// What ends a task.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The target's fault.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The journal's fault.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Sessions end where they began.
    #[error("{0}")]
    InVain(Box<Problem>),
}

impl DeliveryError {
    /// What a person reads.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        match self {
            DeliveryError::Target(error) => &error.problem,
            DeliveryError::Journal(error) => &error.problem,
            DeliveryError::InVain(problem) => problem,
        }
    }

    fn remedy(&self) -> Remedy {
        match self {
            DeliveryError::Target(error) => error.remedy(),
            DeliveryError::Journal(error) => error.remedy,
            DeliveryError::InVain(_) => Remedy::NeedsHuman,
        }
    }
}

/// How a session ended.
enum End {
    /// Everything is delivered, or the task was cancelled.
    Done,
    /// The target has to be looked at anew, for this reason.
    Again(&'static str),
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
    /// How many rows are aside in the target.
    pub(super) aside: u64,
    /// How often a row was put aside.
    pub(super) refused: u64,
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
    let shaper = Shaper::new(task).for_target::<T>();
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
        aside: 0,
        refused: 0,
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
        let mut in_vain = 0_u32;
        loop {
            let Some(opened) = persistently!(self, self.target.open(&self.shaper.plan())) else {
                return Ok(());
            };
            let progress = self.progress.borrow().clone();
            if let Some(custom) = &progress.custom {
                let before = self.shaper.beyond().to_vec();
                self.shaper.assign(custom, &opened.fields, &opened.rooms);
                self.say_beyond(&before);
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
            if in_vain == 0 {
                self.say(reason);
            }
            let Progress { projects, custom, returned, .. } = progress;
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
            let End::Again(why) = self.deliver(&projects, custom.as_deref()).await? else {
                return self.rebuild_tables().await;
            };
            let moved = self.position != position || {
                let now = self.progress.borrow();
                (&now.projects, &now.custom, &now.returned) != (&projects, &custom, &returned)
            };
            in_vain = if moved { 0 } else { in_vain.saturating_add(1) };
            if in_vain > 0 && !self.pause_in_vain(in_vain, why).await? {
                return Ok(());
            }
        }
    }

    /// A session ended where it began, for the `times`-th time in a row: the next one would do the same at once. `false`
    /// when cancelled meanwhile.
    async fn pause_in_vain(&mut self, times: u32, why: &str) -> Result<bool, DeliveryError> {
        let problem = Problem::new(
            "DELIVERY-IN-VAIN",
            format!("Task `{}` cannot begin to write", self.shaper.task().name),
            format!("it begins again because {why}, and ends where it began"),
            "It is tried again by itself, and at once when the projects of the source change. If it stays, report it \
             with the log.",
        );
        let finished = self.progress.borrow().finished;
        if finished && times >= IN_VAIN {
            return Err(DeliveryError::InVain(Box::new(problem)));
        }
        let pause =
            RETRY_PAUSE.saturating_mul(2_u32.saturating_pow(times.saturating_sub(1))).min(LONGEST_PAUSE);
        let next = Timestamp::now().checked_add(pause).ok();
        self.enter(State::Waiting { problem, next });
        // Cancel-safe: only waits. Where the capture is gone nothing changes any more.
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(true),
            Ok(()) = self.progress.changed() => Ok(true),
            () = self.cancel.cancelled() => Ok(false),
        }
    }

    /// Delivers until the end, or until the identifier of one of the `projects` changes or, in flat mode, `custom` is
    /// not all any more.
    async fn deliver(
        &mut self,
        projects: &[Project],
        custom: Option<&CustomFields>,
    ) -> Result<End, DeliveryError> {
        let mut head = self.journal.head();
        let mut acknowledged = Sequence(0);
        // Where the end of the rebuild was tried: held deletes are looked at again when something changed.
        let mut swept = None;
        let mut ahead: Option<Ahead> = None;
        loop {
            if self.cancel.is_cancelled() {
                return Ok(End::Done);
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
            if progress.projects.iter().any(moved) {
                return Ok(End::Again("a project's identifier changed"));
            }
            if rebuild::is_back(&self.owned, &progress) {
                return Ok(End::Again("a project came back"));
            }
            if outgrown {
                return Ok(End::Again("custom fields changed"));
            }
            if !self.take_in(&progress.projects).await? {
                return Ok(End::Done);
            }
            let next = match ahead.take().filter(|ahead| ahead.leads_on(&self.position, &progress)) {
                Some(ahead) => Next::Batch(ahead.made.stamped(&self.shaper, Timestamp::now())),
                None => match persistently!(self, self.maker().next(&self.position, progress.logging)) {
                    Some(next) => next,
                    None => return Ok(End::Done),
                },
            };
            if matches!(next, Next::Lost) {
                return Ok(End::Again("deletions after its position have been forgotten"));
            }
            if self.projects().iter().any(|project| !rebuild::owns(&self.owned, project)) {
                // A project came into view while the journal was read.
                continue;
            }
            if let Next::Batch(made) = next {
                let mirrored = made.mirrored.unwrap_or(0);
                match self.write_made(made).await? {
                    Some(made_beside) => ahead = made_beside,
                    None => return Ok(End::Done),
                }
                self.count_copied(mirrored);
                continue;
            }
            if self.position.rebuilding && progress.loaded && swept != Some(self.position.sequence) {
                swept = Some(self.position.sequence);
                if !self.finish_rebuild(newest).await? {
                    return Ok(End::Done);
                }
                continue;
            }
            if progress.finished {
                self.count().await?;
                return Ok(End::Done);
            }
            self.rest();
            let (task, sequence) = (self.shaper.task().name.clone(), self.position.sequence);
            if acknowledged < sequence {
                persistently!(self, self.journal.acknowledge(&task, sequence));
                acknowledged = sequence;
            }
            // Cancel-safe: only waits.
            tokio::select! {
                moved = head.changed() => if moved.is_err() { return Ok(End::Done) },
                changed = self.progress.changed() => {
                    // The capture is gone without having finished: what there is has been delivered.
                    if changed.is_err() { return Ok(End::Done) }
                }
                () = self.cancel.cancelled() => return Ok(End::Done),
            }
        }
    }

    pub(super) fn projects(&self) -> Vec<Project> {
        self.progress.borrow().projects.clone()
    }

    /// Says of which tables not all custom fields have a column, unless that was so before.
    fn say_beyond(&self, before: &[usize]) {
        let tables = self.shaper.task().tables.iter().zip(self.shaper.tables());
        for (at, ((table, shaped), beyond)) in tables.zip(self.shaper.beyond()).enumerate() {
            if *beyond > 0 && before.get(at) != Some(beyond) {
                tracing::warn!(
                    task = %self.shaper.task().name, table = table.name, fields = beyond,
                    "{beyond} custom fields have no column, because table `{}` cannot have more; their values stand in \
                     `_extra`",
                    shaped.name
                );
            }
        }
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
        let progress = self.progress.borrow().clone();
        let left = |owned: &&Owned| {
            !projects.iter().any(|project| project.id.0 == owned.project_id)
                // Of all that the credential sees, a project that is missing may only be out of view.
                && !progress.may_be_out_of_view(&owned.project)
        };
        let gone: Vec<Owned> = self.owned.iter().filter(left).cloned().collect();
        if gone.is_empty() || self.position.rebuilding {
            return Ok(true);
        }
        let refused = self.refused;
        // Who keeps rows keeps the task as their owner: the next start tries again.
        Ok(self.sweep(&gone, &self.all_tables()).await?
            && (self.refused > refused || self.disown(&gone).await?))
    }

    /// What makes the next batch.
    pub(super) fn maker(&self) -> Maker<'_, J> {
        let (journal, shaper, progress) = (&*self.journal, &self.shaper, &self.progress);
        Maker { journal, shaper, progress, was_empty: self.was_empty }
    }

    fn rest(&self) {
        let state = match self.progress.borrow().loaded {
            true => State::Following { next: None },
            false => State::Loading,
        };
        self.enter(state);
    }

    pub(super) fn enter(&self, state: State) {
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
