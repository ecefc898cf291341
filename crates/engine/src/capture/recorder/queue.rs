//! What waits for the recorder, and what of it is committed together.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Recorded;
use crate::journal::JournalError;
use crate::observation::{Observation, Seen};
use crate::row::RowKey;

/// Batches that may wait for the recorder: enough to keep it busy while pages are on their way.
const QUEUE: usize = 4;
/// Observations that wait for each other are committed together up to so many ...
const GROUP_ROWS: usize = 2_000;
/// ... or so many bytes of rows.
const GROUP_BYTES: usize = 2 << 20;

/// Observations, and who wants to know what became of them.
pub(super) type Asked = (Vec<Observation>, oneshot::Sender<Result<Recorded, Arc<JournalError>>>);

/// What the recorder is asked for.
pub(super) enum Job {
    /// To judge and write observations.
    Observe(Asked),
    /// To log every change from here on.
    BeginLog(oneshot::Sender<Result<(), Arc<JournalError>>>),
}

/// The way to the recorder. Cheap to clone.
#[derive(Clone)]
pub struct Recorder(mpsc::Sender<Job>);

/// The recorder's end of the queue.
pub(super) struct Queue {
    jobs: mpsc::Receiver<Job>,
    /// Comes next.
    aside: Option<Job>,
}

/// A queue, and the way into it.
pub(super) fn queue() -> (Recorder, Queue) {
    let (sender, jobs) = mpsc::channel(QUEUE);
    (Recorder(sender), Queue { jobs, aside: None })
}

impl Recorder {
    /// Has observations judged and what changed written; returns once it is on disk.
    ///
    /// # Errors
    /// Only what needs a person: the recorder itself waits out a full or busy journal.
    pub async fn observe(&self, observations: Vec<Observation>) -> Result<Recorded, Arc<JournalError>> {
        if observations.is_empty() {
            return Ok(Recorded::default());
        }
        self.ask(|reply| Job::Observe((observations, reply))).await
    }

    /// Waits until everything that was handed in before is on disk, and the copies of it are true.
    ///
    /// # Errors
    /// As [`Recorder::observe`].
    pub async fn settled(&self) -> Result<(), Arc<JournalError>> {
        self.ask(|reply| Job::Observe((Vec::new(), reply))).await.map(drop)
    }

    /// From here on every change is logged.
    ///
    /// # Errors
    /// As [`Recorder::observe`].
    pub async fn begin_log(&self) -> Result<(), Arc<JournalError>> {
        self.ask(Job::BeginLog).await
    }

    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, Arc<JournalError>>>) -> Job,
    ) -> Result<T, Arc<JournalError>> {
        let (reply, answer) = oneshot::channel();
        if self.0.send(job(reply)).await.is_err() {
            return Err(Arc::new(JournalError::stopped()));
        }
        answer.await.unwrap_or_else(|_| Err(Arc::new(JournalError::stopped())))
    }
}

impl Queue {
    /// The next job; `None` when every [`Recorder`] is gone, or it is cancelled.
    pub(super) async fn next(&mut self, cancel: &CancellationToken) -> Option<Job> {
        if let Some(job) = self.aside.take() {
            return Some(job);
        }
        // Cancel-safe: a job that was received is worked off, outside of the select.
        tokio::select! {
            job = self.jobs.recv() => job,
            () = cancel.cancelled() => None,
        }
    }

    /// `first`, and observations that wait already and may be committed together with it: none of a row that is among
    /// them.
    pub(super) fn together_with(&mut self, first: Asked) -> Vec<Asked> {
        let mut waiting = self.jobs.try_recv().ok();
        if waiting.is_none() {
            return vec![first];
        }
        let size = |observations: &[Observation]| observations.iter().map(row_bytes).sum::<usize>();
        let (mut rows, mut bytes) = (first.0.len(), size(&first.0));
        let mut keys: HashSet<RowKey> = first.0.iter().map(|observation| observation.key).collect();
        let mut asked = vec![first];
        while let Some(job) = waiting.take() {
            match job {
                Job::Observe(next)
                    if !next.0.is_empty()
                        && rows.saturating_add(next.0.len()) <= GROUP_ROWS
                        && bytes.saturating_add(size(&next.0)) <= GROUP_BYTES
                        && !next.0.iter().any(|observation| keys.contains(&observation.key)) =>
                {
                    rows = rows.saturating_add(next.0.len());
                    bytes = bytes.saturating_add(size(&next.0));
                    keys.extend(next.0.iter().map(|observation| observation.key));
                    asked.push(next);
                    waiting = self.jobs.try_recv().ok();
                }
                other => self.aside = Some(other),
            }
        }
        asked
    }
}

/// Bytes of the row that an observation shows.
fn row_bytes(observation: &Observation) -> usize {
    match &observation.seen {
        Seen::Listed(row) | Seen::Whole(row, _) | Seen::Derived(row) => row.json().len(),
        Seen::LookedUp(looked_up) => looked_up.row.json().len(),
        Seen::Gone | Seen::Doubted => 0,
    }
}
