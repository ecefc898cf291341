//! `once`: everything that is there now, in some passes, and what is left at the end.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;

use super::access::no_access;
use super::patience::ONCE_PATIENCE;
use super::runner::Outcome;
use super::{Capture, CaptureError, bearable};
use crate::clock::Moment;
use crate::journal::{Journal, Known};
use crate::position::Sequence;
use crate::problem::Problem;
use crate::row::{ProjectId, RowKey};
use crate::schema::TableId;
use crate::source::Source;
use crate::status::State;

/// Passes over everything: what changes meanwhile never prolongs it further.
const PASSES: u32 = 3;
/// How often a wait for details looks whether they are there.
const DETAILS_LOOK: Duration = Duration::from_millis(100);
/// So often the details are awaited that the ones before made necessary.
const SETTLES: u32 = 20;
/// Of so many pending rows it is asked whether they changed a moment ago. More of them are more than people change.
const CHANGED: u32 = 20_000;
/// Versions asked for at once.
const CHUNK: usize = 1_000;

/// How things stood when a pass over everything began.
#[derive(Clone, Debug)]
pub(super) struct Began {
    head: Sequence,
    at: Moment,
    /// Rows that were listed and could not be found in the pass before.
    missing: HashSet<RowKey>,
}

impl<S: Source, J: Journal> Capture<S, J> {
    /// Everything once: load, poll, census, and the details that are due; again only where something is open. What
    /// cannot be read while other things can is left out, and named in the outcome.
    pub(super) async fn once(&self) -> Result<Outcome, CaptureError> {
        let mut pass = 1;
        let outcome = loop {
            self.insistently(|| self.look_around_once().boxed()).await?;
            let missing = self.in_flight.take_missing();
            let began = Began { head: *self.journal.head().borrow(), at: self.clock.now(), missing };
            // Without them the rows are still worth reading; they are asked for again below.
            bearable_of_source(self.read_fields_if_due().await)?;
            self.thoroughly(&|project, table| self.load_part(project, table).boxed()).await?;
            self.insistently(|| self.note_loaded().boxed()).await?;
            self.board.update(|status| status.capture.enter(State::Polling));
            self.thoroughly(&|project, table| self.poll_loaded(project, table).boxed()).await?;
            if pass == 1 {
                self.board.update(|status| status.capture.enter(State::Delivering));
                self.rows_first().await;
            }
            self.board.update(|status| status.capture.enter(State::Census));
            self.thoroughly(&|project, table| self.compare_loaded(project, table).boxed()).await?;
            self.board.update(|status| status.capture.enter(State::Detailing));
            self.in_flight.retry_now();
            self.await_details_and_copies().await?;
            self.hooks_settled().await?;
            self.insistently(|| self.read_fields_if_due().boxed()).await?;
            // What the first pass met may have waited for long.
            let outcome = self.outcome((pass > 1).then_some(began)).await?;
            let is_done = outcome.pending == 0 && (outcome.notes.is_empty() || pass > 1);
            if is_done || pass >= PASSES {
                break outcome;
            }
            pass = pass.saturating_add(1);
        };
        if outcome.pending == 0 && outcome.unread.is_empty() {
            self.insistently(|| self.end_anew().boxed()).await?;
        }
        self.prune().await?;
        // The last look-up is no longer pending as soon as it is written; the copies of its row come after it.
        self.recorder.settled().await?;
        self.progress.send_modify(|progress| progress.finished = true);
        self.board.update(|status| status.capture.enter(State::Stopped));
        Ok(outcome)
    }

    /// Waits for details, and for what they bring with them: a look-up that shows a change makes copies of its row untrue,
    /// and some of them are to be looked up, too.
    async fn await_details_and_copies(&self) -> Result<(), CaptureError> {
        for _ in 0..SETTLES {
            self.await_details().await?;
            self.recorder.settled().await?;
            if bearable(self.details_settled().await)? == Some(true) {
                break;
            }
        }
        Ok(())
    }

    /// Waits until every detail is there that can be had; not for ever where none comes any more.
    async fn await_details(&self) -> Result<(), CaptureError> {
        let (mut least, mut progressed) = (u64::MAX, Instant::now());
        while bearable(self.details_settled().await)? != Some(true) {
            if let Some(pending) = bearable(self.pending().await)?
                && pending < least
            {
                (least, progressed) = (pending, Instant::now());
            }
            if progressed.elapsed() > ONCE_PATIENCE {
                return Ok(());
            }
            tokio::time::sleep(DETAILS_LOOK).await;
        }
        Ok(())
    }

    /// Rows whose detail is pending, in all visible projects.
    async fn pending(&self) -> Result<u64, CaptureError> {
        let mut pending = 0_u64;
        for project in self.access.visible() {
            for table in &self.settings.tables {
                let counts = self.journal.counts(table.id, project.id).await?;
                pending = pending.saturating_add(counts.pending);
            }
        }
        Ok(pending)
    }

    /// What is left; rows that changed `since` a pass over everything began are not missing, and only noted.
    pub(super) async fn outcome(&self, since: Option<Began>) -> Result<Outcome, CaptureError> {
        let mut outcome = Outcome { unread: self.unread(), ..Outcome::default() };
        let status = self.board.read();
        for (project, tables) in &status.projects {
            for (table, status) in tables {
                let key = (project.clone(), table.clone());
                if let Some(held) = &status.held {
                    outcome.held.insert(key.clone(), held.clone());
                }
                if let Some(note) = &status.note {
                    outcome.notes.insert(key, note.clone());
                }
            }
        }
        let changed = match since {
            Some(since) => self.changed_since(since).await?,
            None => BTreeMap::new(),
        };
        for project in self.access.visible() {
            for table in self.settings.tables.iter().filter(|table| !self.aside.has(project.id, table.id)) {
                self.count(&project, table).await?;
                let changed = changed.get(&(project.id, table.id)).copied().unwrap_or(0);
                let counts = self.journal.counts(table.id, project.id).await?;
                let pending = counts.pending.saturating_sub(changed);
                outcome.pending = outcome.pending.saturating_add(pending);
                if pending > 0 && !outcome.pending_in.contains(&project.name) {
                    outcome.pending_in.push(project.name.clone());
                }
                if changed > 0 {
                    let note = changed_note(changed);
                    let noted = outcome.notes.entry((project.name.clone(), table.name.to_owned()));
                    noted.and_modify(|known| *known = format!("{known}; {note}")).or_insert(note);
                }
            }
        }
        let (head, requests) = (self.journal.head().borrow().0, self.source.requests());
        self.board.update(|status| {
            status.head = head;
            status.requests = requests;
        });
        Ok(outcome)
    }

    /// Pending rows that changed after `since`, by project and table: their present version is younger, or their details
    /// were there. One that was listed and is not found was deleted in between, unless the pass before met the same.
    async fn changed_since(&self, since: Began) -> Result<BTreeMap<(ProjectId, TableId), u64>, CaptureError> {
        let projects: Vec<_> = self.access.visible().iter().map(|project| project.id).collect();
        let missing = self.in_flight.missing();
        let keys = self.journal.pending_details(&projects, &[], CHANGED).await?;
        let mut changed: BTreeMap<_, u64> = BTreeMap::new();
        for keys in keys.chunks(CHUNK) {
            let known = self.journal.known(keys).await?;
            let changed_since = |Known { key, version, .. }: &&Known| {
                let vanished = missing.contains(key) && !since.missing.contains(key);
                vanished || version.sequence > since.head || version.looked_up >= since.at
            };
            for known in known.iter().filter(changed_since) {
                let rows = changed.entry((known.key.project, known.key.table)).or_default();
                *rows = rows.saturating_add(1);
            }
        }
        Ok(changed)
    }

    /// Why something could not be read.
    fn unread(&self) -> Vec<Problem> {
        let mut unread = self.aside.problems();
        if !self.settings.projects.is_everything() {
            unread.extend(self.access.lost().iter().map(|project| no_access(project).problem));
        }
        unread.extend(self.fields.iter().flat_map(|fields| fields.unread()));
        let mut told: HashSet<String> = HashSet::new();
        unread.retain(|problem| told.insert(problem.to_string()));
        unread
    }
}

fn changed_note(rows: u64) -> String {
    let rows = if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
    format!("{rows} changed while it ran; the next run has what is new of them")
}

/// An error of the source is left for later.
fn bearable_of_source(result: Result<(), CaptureError>) -> Result<(), CaptureError> {
    match result {
        Err(CaptureError::Source(error)) => {
            tracing::debug!(problem = %error.problem, "asked again later");
            Ok(())
        }
        other => other,
    }
}
