//! Fetches in the background what only look-ups show, and looks rows up that a listing put in doubt.
//!
//! The queue is the mirror itself: rows whose detail is pending. So nothing is lost by a crash, and memory does
//! not grow with the backlog. A row that is not found here is left to the census, which knows how to tell a
//! deletion from a passing fault.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use tokio::time::Instant;

use super::listing::LOOK_UPS;
use super::{Capture, CaptureError, bearable};
use crate::journal::{Detail, Journal, Known};
use crate::observation::{Channel, Observation, Seen};
use crate::problem::Problem;
use crate::row::{ProjectId, RowKey};
use crate::source::{Source, Urgency};

/// Keys read from the journal at once.
const PAGE: u32 = 256;
/// Look-ups recorded in one commit.
const COMMIT: usize = 64;
/// A row that could not be looked up is tried again after this time, then after twice as long ...
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// ... but never later than this.
const RETRY_AT_LAST: Duration = Duration::from_mins(10);
/// Rows that may wait for another try; beyond it the whole worker waits.
const LARGEST_DEFERRED: usize = 1_000;
/// So many look-ups of a project that fail in a row, and the project waits as a row does: its rows would take the places
/// of the others.
const FAILURES: u32 = 16;
/// A project that had to wait so often in a row is not waited for by `once`.
const WAITS: u32 = 3;
/// How often the worker looks for work that nobody announced (rows due for another try).
const IDLE: Duration = Duration::from_millis(500);

/// What became of a look-up; `None` is tried again later.
type Fetched = Result<Option<Observation>, CaptureError>;

/// Keys being looked up, and keys waiting for another try.
#[derive(Debug, Default)]
pub(super) struct InFlight(Mutex<Flights>);

#[derive(Debug, Default)]
struct Flights {
    /// When a key may be looked up again; `None` while it is being looked up.
    keys: HashMap<RowKey, Option<Instant>>,
    /// How often look-ups of a key failed in a row.
    failures: HashMap<RowKey, u32>,
    /// Projects whose look-ups fail in a row.
    projects: HashMap<ProjectId, Failing>,
    /// Rows that the mirror has and that were not found.
    missing: HashSet<RowKey>,
}

/// Look-ups of a project that failed in a row.
#[derive(Debug, Default)]
struct Failing {
    failures: u32,
    waits: u32,
    until: Option<Instant>,
}

/// How long to wait before the next try, after so many.
fn pause(tries: u32) -> Duration {
    RETRY_AFTER.saturating_mul(2_u32.saturating_pow(tries)).min(RETRY_AT_LAST)
}

impl InFlight {
    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self, key: RowKey) {
        self.flights().keys.insert(key, None);
    }

    pub(super) fn done(&self, key: RowKey) {
        let mut flights = self.flights();
        flights.keys.remove(&key);
        flights.failures.remove(&key);
        flights.missing.remove(&key);
    }

    /// A look-up of this project was answered.
    fn answered(&self, project: ProjectId) {
        self.flights().projects.remove(&project);
    }

    /// A look-up of this project failed.
    fn failed(&self, project: ProjectId) {
        let now = Instant::now();
        let mut flights = self.flights();
        let failing = flights.projects.entry(project).or_default();
        failing.failures = failing.failures.saturating_add(1);
        if failing.failures >= FAILURES && failing.until.is_none_or(|until| until <= now) {
            failing.until = now.checked_add(pause(failing.waits));
            failing.waits = failing.waits.saturating_add(1);
        }
    }

    /// The rows that were not found, and not found since.
    pub(super) fn missing(&self) -> HashSet<RowKey> {
        self.flights().missing.clone()
    }

    /// The same, from here on anew.
    pub(super) fn take_missing(&self) -> HashSet<RowKey> {
        std::mem::take(&mut self.flights().missing)
    }

    /// Whether the rows of a project wait for another try.
    fn waits(&self, project: ProjectId) -> bool {
        let flights = self.flights();
        let until = flights.projects.get(&project).and_then(|failing| failing.until);
        until.is_some_and(|until| until > Instant::now())
    }

    /// Whether the rows of a project waited again and again.
    fn is_given_up(&self, project: ProjectId) -> bool {
        self.flights().projects.get(&project).is_some_and(|failing| failing.waits >= WAITS)
    }

    fn not_found(&self, key: RowKey) {
        let mut flights = self.flights();
        if flights.missing.len() < LARGEST_DEFERRED {
            flights.missing.insert(key);
        }
    }

    fn defer(&self, key: RowKey) {
        let mut flights = self.flights();
        if flights.failures.len() >= LARGEST_DEFERRED {
            flights.failures.clear();
        }
        let failures = flights.failures.entry(key).or_default();
        let pause = pause(*failures);
        *failures = failures.saturating_add(1);
        flights.keys.insert(key, Instant::now().checked_add(pause));
    }

    /// All of them, after those have been let go whose time has come.
    fn keys(&self) -> Vec<RowKey> {
        let now = Instant::now();
        let mut flights = self.flights();
        flights.keys.retain(|_, again| again.is_none_or(|again| again > now));
        flights.keys.keys().copied().collect()
    }

    fn deferred(&self) -> Vec<RowKey> {
        let flights = self.flights();
        flights.keys.iter().filter(|(_, again)| again.is_some()).map(|(key, _)| *key).collect()
    }

    /// Forgets who waits for another try, so that all are tried at once.
    pub(super) fn retry_now(&self) {
        let mut flights = self.flights();
        flights.keys.retain(|_, again| again.is_none());
        flights.projects.clear();
    }
}

impl<S: Source, J: Journal> Capture<S, J> {
    /// Looks rows up until the capture is cancelled.
    pub(super) async fn fetch_details(&self) -> Result<(), CaptureError> {
        let mut looking: FuturesUnordered<BoxFuture<'_, Fetched>> = FuturesUnordered::new();
        let mut queue: VecDeque<Known> = VecDeque::new();
        loop {
            while looking.len() < LOOK_UPS {
                if queue.is_empty() {
                    queue = bearable(self.next_pending().await)?.unwrap_or_default().into();
                }
                let Some(known) = queue.pop_front() else { break };
                looking.push(self.fetch(known).boxed());
            }
            if looking.is_empty() {
                tokio::time::sleep(IDLE).await;
                continue;
            }
            // Cancel-safe: only waits. A slow look-up must not keep others from beginning.
            let Ok(first) = tokio::time::timeout(IDLE, looking.next()).await else { continue };
            let mut chunk: Vec<Fetched> = first.into_iter().collect();
            while chunk.len() < COMMIT
                && let Some(Some(next)) = looking.next().now_or_never()
            {
                chunk.push(next);
            }
            self.record_details(chunk).await?;
        }
    }

    /// Projects whose details are fetched: those that are visible, and whose tables with details are not set aside.
    fn detailed_projects(&self) -> Vec<ProjectId> {
        let tables = || self.settings.tables.iter().filter(|table| table.has_detail());
        let visible = self.access.visible().into_iter().map(|project| project.id);
        visible.filter(|project| !tables().any(|table| self.aside.has(*project, table.id))).collect()
    }

    /// Whether no detail is pending but those that wait for another try.
    pub(super) async fn details_settled(&self) -> Result<bool, CaptureError> {
        let mut projects = self.detailed_projects();
        projects.retain(|project| !self.in_flight.is_given_up(*project));
        let deferred = self.in_flight.deferred();
        Ok(self.journal.pending_details(&projects, &deferred, 1).await?.is_empty())
    }

    async fn next_pending(&self) -> Result<Vec<Known>, CaptureError> {
        let busy = self.in_flight.keys();
        // Rows that a hook named do not count: however many these are, the others have their share of the budget.
        if self.in_flight.deferred().len() >= LARGEST_DEFERRED {
            return Ok(Vec::new());
        }
        let mut projects = self.detailed_projects();
        projects.retain(|project| !self.in_flight.waits(*project));
        let keys = self.journal.pending_details(&projects, &busy, PAGE).await?;
        let known = self.journal.known(&keys).await?;
        keys.iter().for_each(|key| self.in_flight.take(*key));
        // Rows changed while following come before the backlog of a load.
        let (mut first, rest): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|known| known.version.detail == Detail::Stale);
        first.extend(rest);
        Ok(first)
    }

    async fn fetch(&self, known: Known) -> Fetched {
        let key = known.key;
        let table = self.source.table(key.table);
        let (Some(project), Some(table)) = (self.access.find(key.project), table) else {
            self.in_flight.defer(key);
            return Ok(None);
        };
        self.settle(Some(known.version.updated_ms)).await;
        for again in [false, true] {
            let look_up = match self.source.look_up(&project, key, Urgency::Detail).await {
                Ok(look_up) => {
                    self.in_flight.answered(key.project);
                    look_up
                }
                Err(error) => {
                    self.in_flight.failed(key.project);
                    // Whether it is this row or the whole source is for the rounds to find out.
                    self.say_failed(error.problem);
                    self.in_flight.defer(key);
                    return Ok(None);
                }
            };
            let sent = look_up.sent;
            let observation = |seen| Observation { key, sent, channel: Channel::Detail, seen };
            match self.as_seen(table, look_up) {
                // A tombstone that a lagging listing had put in doubt.
                None if !known.alive => return Ok(Some(observation(Seen::Gone))),
                None => {
                    self.in_flight.not_found(key);
                    self.in_flight.defer(key);
                    return Ok(None);
                }
                Some(row) if row.settled || again => {
                    let row = crate::observation::LookedUp { settled: true, ..row };
                    return Ok(Some(observation(Seen::LookedUp(row))));
                }
                // Not recorded from here: nobody polls this look-up while others are being recorded, so it would
                // hold its place in the recorder's queue and, with some more like it, stop everything.
                Some(row) => self.settle(row.row.updated_ms(table)).await,
            }
        }
        Ok(None)
    }

    /// What failed and keeps nothing waiting is on the board at once, and in the log when it is another problem than the last.
    pub(super) fn say_failed(&self, problem: Problem) {
        self.board.update(|status| {
            let last = &mut status.capture.last_problem;
            if last.as_ref().is_none_or(|(_, known)| known.code != problem.code) {
                tracing::warn!(%problem, "a request failed and is made again later");
            }
            *last = Some((Timestamp::now(), problem));
        });
    }

    async fn record_details(&self, chunk: Vec<Fetched>) -> Result<(), CaptureError> {
        let observations: Vec<Observation> =
            chunk.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?;
        let keys: Vec<RowKey> = observations.iter().map(|observation| observation.key).collect();
        let recorded = self.recorder.observe(observations).await?;
        let mut fetched: BTreeMap<_, u64> = BTreeMap::new();
        for key in keys {
            self.in_flight.done(key);
            let rows = fetched.entry((key.table, key.project)).or_default();
            *rows = rows.saturating_add(1);
        }
        for ((table, project), rows) in fetched {
            let (Some(project), Some(table)) = (self.access.find(project), self.source.table(table)) else {
                continue;
            };
            self.board.table(&project.name, table.name, |status| {
                status.detailed = status.detailed.saturating_add(rows);
            });
            bearable(self.count(&project, table).await)?;
        }
        tracing::trace!(?recorded, "recorded details");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{FAILURES, InFlight, RETRY_AFTER, WAITS, pause};
    use crate::row::ProjectId;

    #[tokio::test(start_paused = true)]
    async fn a_project_whose_look_ups_fail_keeps_no_other_waiting() {
        let (in_flight, one, other) = (InFlight::default(), ProjectId(1), ProjectId(2));
        (1..FAILURES).for_each(|_| in_flight.failed(one));
        assert!(!in_flight.waits(one), "it may be these rows alone");
        in_flight.failed(one);
        assert!(in_flight.waits(one) && !in_flight.waits(other));
        tokio::time::advance(RETRY_AFTER).await;
        assert!(!in_flight.waits(one), "it is tried again");
        for wait in 1..WAITS {
            assert!(!in_flight.is_given_up(one));
            in_flight.failed(one);
            assert!(in_flight.waits(one));
            tokio::time::advance(pause(wait)).await;
        }
        assert!(in_flight.is_given_up(one) && !in_flight.is_given_up(other));
        in_flight.answered(one);
        assert!(!in_flight.waits(one) && !in_flight.is_given_up(one));
    }
}
