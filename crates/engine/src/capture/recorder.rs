//! The one writer of a journal: takes observations from every channel, has the differ judge them, numbers the
//! changes, commits them, and keeps copies of other rows true.
//!
//! It is a task of its own with a bounded queue, so that observations of one key are judged one after the
//! other whatever channel they come from. It must not ask the source for anything.

mod pace;
mod queue;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::queue::Recorder;
use self::queue::{Job, Queue, queue};
use super::differ::{Changed, Details, Verdict};
use super::fields::Fields;
use super::missed::Missed;
use super::relation;
use crate::change::{Change, ChangeKind};
use crate::clock::Moment;
use crate::journal::{Entry, Journal, JournalError, Known, Limit, MirrorRow, Reference};
use crate::observation::{Channel, Observation, Seen};
use crate::position::Sequence;
use crate::problem::Remedy;
use crate::row::{Digest, Row, RowKey};
use crate::schema::Table;
use crate::source::Source;
use crate::status::{Board, State};

/// How long to wait before a commit is tried again when the journal has no room.
const ROOM_PAUSE: Duration = Duration::from_secs(5);
/// How long to wait before a commit is tried again when the journal was busy.
const BUSY_PAUSE: Duration = Duration::from_millis(200);
/// Waves of copies of copies: an issue's copy of a user inside another issue's copy is two.
const WAVES: usize = 4;

/// Document with the sequence up to which copies have been made true.
const FOLLOWED: &str = "relations";
/// How often that is noted: what came after the note is gone through again by the next start.
const NOTE_EVERY: Duration = Duration::from_secs(2);
/// Changes gone through at once by a start.
const CATCH_UP: Limit = Limit { rows: 500, bytes: 8 << 20 };

/// What became of a batch of observations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorded {
    /// Rows inserted.
    pub inserted: u64,
    /// Rows updated.
    pub updated: u64,
    /// Rows deleted.
    pub deleted: u64,
    /// First look-ups, and look-ups that completed a listed change.
    pub detailed: u64,
    /// Rows that must be looked up before they are written.
    pub needs_detail: HashSet<RowKey>,
    /// Changes that a hook told of.
    pub told: Vec<Change>,
}

impl Recorded {
    /// Whether a row is not as it was known.
    #[must_use]
    pub fn is_news(&self) -> bool {
        self.inserted > 0 || self.updated > 0 || self.deleted > 0 || self.detailed > 0
    }
}

/// Who looks at every change.
#[derive(Clone, Default)]
pub struct Onlookers {
    /// Where unknown custom fields are noted, if somebody wants to know.
    pub fields: Option<Arc<Fields>>,
    /// Where changes are counted that no hook told of, if there is a hook.
    pub missed: Option<Arc<Missed>>,
}

/// The recorder itself, to be run as a task.
pub struct Recording<S, J> {
    queue: Queue,
    source: Arc<S>,
    journal: Arc<J>,
    details: Details,
    onlookers: Onlookers,
    board: Board,
    cancel: CancellationToken,
    next: Sequence,
    logging: bool,
    noted: Instant,
}

/// A commit in the making.
#[derive(Default)]
struct Draft {
    entries: Vec<Entry>,
    /// Rows as they stand after the entries, by key.
    rows: HashMap<RowKey, MirrorRow>,
    recorded: Recorded,
}

/// A recorder of `journal`, which is `logging` when its log has begun, and the task that does its work.
pub fn recorder<S: Source, J: Journal>(
    source: Arc<S>,
    journal: Arc<J>,
    details: Details,
    logging: bool,
    onlookers: Onlookers,
    board: Board,
    cancel: CancellationToken,
) -> (Recorder, Recording<S, J>) {
    let (recorder, queue) = queue();
    let next = Sequence(journal.head().borrow().0.saturating_add(1));
    (
        recorder,
        Recording {
            queue,
            source,
            journal,
            details,
            onlookers,
            board,
            cancel,
            next,
            logging,
            noted: Instant::now(),
        },
    )
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What the mirror tells of a row's newest change: what it was before is not known, so all of it may have
/// changed.
fn as_change(row: MirrorRow) -> Change {
    let MirrorRow { key, version, row: after } = row;
    let updated = version.inserted < version.sequence;
    Change {
        sequence: version.sequence,
        key,
        kind: ChangeKind::Update,
        channel: Channel::Load,
        observed: version.observed,
        detailed: None,
        first_detail: false,
        before: updated.then(Row::default),
        after,
    }
}

impl<S: Source, J: Journal> Recording<S, J> {
    /// Works until every [`Recorder`] is gone, it is cancelled, or the journal needs a person.
    ///
    /// # Errors
    /// What the journal said; everybody who waits for an answer gets it too.
    pub async fn run(mut self) -> Result<(), Arc<JournalError>> {
        self.catch_up().await.map_err(Arc::new)?;
        loop {
            let failed = match self.queue.next(&self.cancel).await {
                None => return self.note_followed().await.map_err(Arc::new),
                Some(Job::Observe(first)) => {
                    let head = Sequence(self.next.0.saturating_sub(1));
                    pace::keep(&first.0, head, &self.board, &self.cancel).await;
                    let (observed, replies): (Vec<_>, Vec<_>) =
                        self.queue.together_with(first).into_iter().unzip();
                    let (results, failed) = match self.observe(observed).await {
                        Ok(recorded) => (recorded.into_iter().map(Ok).collect(), None),
                        Err(error) => {
                            let error = Arc::new(error);
                            (vec![Err(Arc::clone(&error)); replies.len()], Some(error))
                        }
                    };
                    for (reply, result) in replies.into_iter().zip(results) {
                        // Nobody waits any more when the channel that asked was cancelled.
                        reply.send(result).ok();
                    }
                    failed
                }
                Some(Job::BeginLog(reply)) => {
                    let result = self.retried(|| self.journal.begin_log()).await.map_err(Arc::new);
                    self.logging |= result.is_ok();
                    let failed = result.as_ref().err().cloned();
                    reply.send(result).ok();
                    failed
                }
            };
            if let Some(error) = failed {
                return if self.cancel.is_cancelled() { Ok(()) } else { Err(error) };
            }
        }
    }

    /// Judges and commits groups of observations; says of each group what became of it.
    async fn observe(&mut self, groups: Vec<Vec<Observation>>) -> Result<Vec<Recorded>, JournalError> {
        let (lengths, mut draft) = (groups.iter().map(Vec::len).collect::<Vec<_>>(), Draft::default());
        let observations: Vec<Observation> = groups.into_iter().flatten().collect();
        let began = Instant::now();
        let digests = self.digests(&observations);
        let (wanted, unheard_of) = self.unlike_known(&observations, &digests).await?;
        draft.rows = self.rows(wanted.iter().filter(|key| !unheard_of.contains(key)).copied()).await?;
        let known = Instant::now();
        let mut recorded = Vec::with_capacity(lengths.len());
        let mut judged = observations.iter().zip(digests);
        for length in lengths {
            for (observation, digest) in judged.by_ref().take(length) {
                if wanted.contains(&observation.key) {
                    self.judge(&mut draft, observation, digest);
                }
            }
            recorded.push(std::mem::take(&mut draft.recorded));
        }
        let (judged, newest) = (Instant::now(), self.journal.newest_moment());
        let pages = self.commit(draft.entries, newest).await?;
        let committed = Instant::now();
        self.follow(pages, newest).await?;
        let followed = Instant::now();
        tracing::debug!(
            groups = recorded.len(),
            rows = observations.len(),
            known_us = micros(known - began),
            judged_us = micros(judged - known),
            committed_us = micros(committed - judged),
            followed_us = micros(followed - committed),
            "recorded"
        );
        if self.noted.elapsed() >= NOTE_EVERY {
            self.note_followed().await?;
        }
        Ok(recorded)
    }

    /// Notes that copies of everything up to the head are true.
    async fn note_followed(&mut self) -> Result<(), JournalError> {
        self.noted = Instant::now();
        let head = json!(self.next.0.saturating_sub(1));
        self.retried(|| self.journal.remember(FOLLOWED, &head)).await
    }

    /// Makes copies true of what an earlier process committed and did not get to follow any more.
    async fn catch_up(&mut self) -> Result<(), JournalError> {
        let noted = self.retried(|| self.journal.recall(FOLLOWED)).await?;
        let noted =
            noted.into_iter().find(|(name, _)| name == FOLLOWED).and_then(|(_, value)| value.as_i64());
        let mut after = Sequence(noted.unwrap_or(0));
        let head = *self.journal.head().borrow();
        while after < head {
            let bounds = self.retried(|| self.journal.bounds()).await?;
            let changes: Vec<Change> = if self.logging && after >= bounds.log_floor {
                let changes = self.retried(|| self.journal.log_after(after, CATCH_UP)).await?;
                if after < self.retried(|| self.journal.bounds()).await?.log_floor {
                    // Some of them were forgotten while they were read.
                    continue;
                }
                changes
            } else {
                let rows = self.retried(|| self.journal.mirror_after(after, CATCH_UP)).await?;
                rows.into_iter().map(as_change).collect()
            };
            let Some(last) = changes.last() else { break };
            after = last.sequence;
            let newest = self.journal.newest_moment();
            let pages = relation::Pages::new(&*self.source, &changes, HashMap::new(), newest);
            self.follow(Some(pages), newest).await?;
        }
        self.note_followed().await
    }

    fn digests(&self, observations: &[Observation]) -> Vec<Option<Digest>> {
        let digest = |observation: &Observation| match &observation.seen {
            Seen::Listed(row) | Seen::Whole(row, _) => {
                self.source.table(observation.key.table).map(|table| row.digest(table))
            }
            Seen::LookedUp(_) | Seen::Gone | Seen::Derived(_) | Seen::Doubted => None,
        };
        observations.iter().map(digest).collect()
    }

    /// Keys to be judged: all but those listed just as they were listed last; and those that the mirror has never
    /// heard of, among the listed ones.
    async fn unlike_known(
        &self,
        observations: &[Observation],
        digests: &[Option<Digest>],
    ) -> Result<(HashSet<RowKey>, HashSet<RowKey>), JournalError> {
        let listed: Vec<RowKey> = observations
            .iter()
            .zip(digests)
            .filter(|(_, digest)| digest.is_some())
            .map(|(observation, _)| observation.key)
            .collect();
        let known: HashMap<RowKey, Option<Digest>> = self
            .retried(|| self.journal.known(&listed))
            .await?
            .into_iter()
            .map(|known| (known.key, known.version.listed_digest.filter(|_| known.alive)))
            .collect();
        let unheard_of = listed.into_iter().filter(|key| !known.contains_key(key)).collect();
        let unlike = observations
            .iter()
            .zip(digests)
            .filter(|(observation, digest)| match (digest, &observation.seen) {
                (Some(digest), Seen::Listed(_)) => known.get(&observation.key) != Some(&Some(*digest)),
                _ => true,
            })
            .map(|(observation, _)| observation.key);
        Ok((unlike.collect(), unheard_of))
    }

    async fn rows(
        &self,
        keys: impl IntoIterator<Item = RowKey>,
    ) -> Result<HashMap<RowKey, MirrorRow>, JournalError> {
        let keys: Vec<RowKey> = keys.into_iter().collect();
        let rows = self.retried(|| self.journal.rows(&keys)).await?;
        Ok(rows.into_iter().map(|row| (row.key, row)).collect())
    }

    fn judge(&mut self, draft: &mut Draft, observation: &Observation, digest: Option<Digest>) {
        let Some(table) = self.source.table(observation.key.table) else { return };
        let before = draft.rows.get(&observation.key);
        match self.details.judge(table, before, observation, digest) {
            Verdict::Nothing => {}
            Verdict::NeedsDetail => {
                draft.recorded.needs_detail.insert(observation.key);
            }
            Verdict::Note(version) => {
                if let Some(row) = draft.rows.get_mut(&observation.key) {
                    row.version = version;
                    let row = row.clone();
                    draft.entries.push(Entry {
                        row,
                        change: None,
                        new_references: Vec::new(),
                        old_references: Vec::new(),
                    });
                }
            }
            Verdict::Change(changed) => {
                let before = before.and_then(|row| row.row.clone());
                self.accept(draft, table, observation, *changed, before);
            }
        }
    }

    /// Numbers a change and puts it into the draft.
    fn accept(
        &mut self,
        draft: &mut Draft,
        table: &'static Table,
        observation: &Observation,
        changed: Changed,
        before: Option<Row>,
    ) {
        let Changed { kind, first_detail, after: mut row } = changed;
        if let (Some(fields), Some(row)) = (&self.onlookers.fields, &row.row) {
            fields.look_at(table, observation.key.project, row);
        }
        row.version.sequence = self.next;
        self.next = Sequence(self.next.0.saturating_add(1));
        let count = match kind {
            ChangeKind::Insert => {
                row.version.inserted = row.version.sequence;
                &mut draft.recorded.inserted
            }
            ChangeKind::Update => &mut draft.recorded.updated,
            ChangeKind::Delete => &mut draft.recorded.deleted,
            ChangeKind::Detail => &mut draft.recorded.detailed,
        };
        *count = count.saturating_add(1);
        if first_detail {
            row.version.first_detail = row.version.sequence;
            if kind != ChangeKind::Detail {
                draft.recorded.detailed = draft.recorded.detailed.saturating_add(1);
            }
        }
        let references =
            |row: Option<&Row>| row.map_or_else(Vec::new, |row| self.source.references(table, row));
        let (old, new) = (references(before.as_ref()), references(row.row.as_ref()));
        let lacks = |these: &[Reference], those: &[Reference]| {
            these.iter().filter(|one| !those.contains(one)).copied().collect::<Vec<_>>()
        };
        let change = Change {
            sequence: row.version.sequence,
            key: row.key,
            kind,
            channel: observation.channel,
            observed: row.version.observed,
            detailed: row.detailed(),
            first_detail,
            before,
            after: row.row.clone(),
        };
        // Rows that deliveries make of themselves cannot be missed, and say nothing about those that can.
        if let (Some(missed), false) = (&self.onlookers.missed, table.from_inbox) {
            missed.changed(&change, Timestamp::now());
        }
        if change.channel == Channel::Hook {
            draft.recorded.told.push(change.clone());
        }
        draft.rows.insert(row.key, row.clone());
        draft.entries.push(Entry {
            row,
            new_references: lacks(&new, &old),
            old_references: lacks(&old, &new),
            change: Some(change),
        });
    }

    /// Writes entries; finds out meanwhile where copies of the changed rows may be untrue. `newest` is when the newest
    /// look was sent of all that was there before: a row that was looked at later holds no copies that are older than
    /// their originals, unless of what came together with it, which finds it among those that refer to it.
    async fn commit(
        &self,
        mut entries: Vec<Entry>,
        newest: Moment,
    ) -> Result<Option<relation::Pages>, JournalError> {
        if entries.is_empty() {
            return Ok(None);
        }
        // The load's rows live in the mirror only; whoever reads them reads the mirror.
        let unlogged: Vec<Change> = match self.logging {
            true => Vec::new(),
            false => entries.iter_mut().filter_map(|entry| entry.change.take()).collect(),
        };
        let pages = async {
            let changes = entries.iter().filter_map(|entry| entry.change.as_ref()).chain(&unlogged);
            // Later entries come later: the last word on a key stays.
            let fresh = entries.iter().map(|Entry { row: MirrorRow { key, version, row }, .. }| {
                (*key, Known { key: *key, version: version.clone(), alive: row.is_some() })
            });
            let mut pages = relation::Pages::new(&*self.source, changes, fresh.collect(), newest);
            pages.look_ahead(&*self.journal).await;
            pages
        };
        let (committed, pages) = futures::join!(self.retried(|| self.journal.commit(&entries)), pages);
        committed.map(|()| Some(pages))
    }

    /// Makes copies of changed rows inside other rows true, wave after wave.
    async fn follow(&mut self, pages: Option<relation::Pages>, newest: Moment) -> Result<(), JournalError> {
        let mut wave: Vec<relation::Pages> = pages.into_iter().collect();
        for _ in 0..WAVES {
            let mut next = Vec::new();
            for mut pages in wave {
                while let Some(page) = self.next_page(&mut pages).await? {
                    let entries = self.renew(page);
                    next.extend(self.commit(entries, newest).await?);
                }
            }
            wave = next;
        }
        Ok(())
    }

    /// What makes the copies of a page true.
    fn renew(&mut self, page: relation::Page) -> Vec<Entry> {
        let mut draft = Draft { rows: page.holders, ..Draft::default() };
        let mut renewed: BTreeMap<RowKey, Row> = BTreeMap::new();
        for (holder, other) in page.pairs {
            let Some(before) = draft.rows.get(&holder) else { continue };
            let mut current = before.clone();
            if let Some(row) = renewed.get(&holder) {
                current.row = Some(row.clone());
            }
            if let Some(row) = self.source.renew(&current, &other) {
                renewed.insert(holder, row);
            }
        }
        for (key, row) in renewed {
            let sent = draft.rows.get(&key).map_or_else(Default::default, |r| r.version.observed);
            let (channel, seen) = (Channel::Relation, Seen::Derived(row));
            self.judge(&mut draft, &Observation { key, sent, channel, seen }, None);
        }
        draft.entries
    }

    /// Repeats a journal call until it succeeds, is cancelled, or needs a person.
    async fn retried<T, F>(&self, call: impl Fn() -> F) -> Result<T, JournalError>
    where
        F: Future<Output = Result<T, JournalError>>,
    {
        loop {
            match call().await {
                Err(error) => self.pause(error).await?,
                Ok(value) => return Ok(value),
            }
        }
    }

    async fn next_page(&self, pages: &mut relation::Pages) -> Result<Option<relation::Page>, JournalError> {
        loop {
            match pages.next(&*self.journal).await {
                Err(error) => self.pause(error).await?,
                Ok(page) => return Ok(page),
            }
        }
    }

    /// Waits before a journal call is repeated; hands the error back when that is no use.
    async fn pause(&self, error: JournalError) -> Result<(), JournalError> {
        let pause = match error.remedy {
            Remedy::NeedsHuman => return Err(error),
            Remedy::Retry => BUSY_PAUSE,
            Remedy::Wait => {
                tracing::warn!(problem = %error.problem, "the journal waits");
                self.board.update(|status| {
                    status.capture.enter(State::Waiting { problem: error.problem.clone(), next: None });
                });
                ROOM_PAUSE
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.cancel.cancelled() => Err(error),
        }
    }
}
