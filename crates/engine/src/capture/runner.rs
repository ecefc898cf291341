//! Says when each channel looks: load first, then poll and census on their rhythms; or everything once.
//!
//! At start, a problem that needs a person ends the capture. Once following, lost access or a refused credential
//! is waited out (`patience`): said, looked at again, resumed by itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::access::Access;
use super::detail::InFlight;
use super::differ::Details;
use super::fields::Fields;
use super::hook::Hooked;
use super::patience::ONCE_PATIENCE;
use super::recorder::{Onlookers, recorder};
use super::remembered::{LOG_BEGAN, remembered};
use super::unreadable::AllUnreadable;
use super::{Capture, CaptureError, Progress, Settings, Until, anew, bearable, prune_every};
use crate::clock::Clock;
use crate::journal::{Ask, Journal, JournalError};
use crate::observation::Channel;
use crate::problem::Remedy;
use crate::schema::TableId;
use crate::source::{Project, Source, Urgency};
use crate::status::{Board, Held, State, Status};

/// Projects read at the same time.
pub(super) const PROJECTS_AT_ONCE: usize = 4;
/// With `once`, passes over everything: what changes meanwhile never prolongs it further.
const PASSES: u32 = 3;
/// How often pruning is due, unless things are kept for so short that it is due more often.
const PRUNE_EVERY: Duration = Duration::from_hours(1);
/// The longest that a first census waits for what was read to be in the targets.
const ROWS_FIRST: Duration = Duration::from_secs(30);
/// How often a wait for details looks whether they are there.
const DETAILS_LOOK: Duration = Duration::from_millis(100);

/// What is left when a capture ends.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Held deletes by project and table.
    pub held: BTreeMap<(String, String), Held>,
    /// What is missing or wrong, in words, by project and table.
    pub notes: BTreeMap<(String, String), String>,
    /// Rows whose detail could not be fetched.
    pub pending: u64,
}

/// Runs a capture.
///
/// # Errors
/// What needs a person: at start anything but passing trouble, later only a broken journal.
pub async fn run<S: Source, J: Journal>(
    source: Arc<S>,
    journal: Arc<J>,
    clock: Clock,
    mut settings: Settings,
    board: Board,
    progress: watch::Sender<Progress>,
    cancel: CancellationToken,
) -> Result<Outcome, CaptureError> {
    let events = settings.tables.iter().copied().find(|table| table.from_inbox);
    settings.tables.retain(|table| !table.from_inbox);
    let hooked = settings.hooks.take().map(Hooked::new);
    let known = remembered(&*journal, &settings.projects, &settings.tables).await?;
    let began = known.logging;
    let (details, until) = (settings.details, settings.until);
    let fields = settings.custom_fields.then(Arc::<Fields>::default);
    // The recorder outlives the channels, so that what they observed is written.
    let recording_ends = CancellationToken::new();
    let missed = hooked.as_ref().map(|hooked| Arc::clone(&hooked.missed));
    let onlookers = Onlookers { fields: fields.clone(), missed };
    let (recorder, recording) = recorder(
        Arc::clone(&source),
        Arc::clone(&journal),
        details,
        began,
        onlookers,
        board.clone(),
        recording_ends.clone(),
    );
    // A task of its own, so that it judges and packs rows while the channels parse the next ones. In a set, because
    // that ends it when the capture is dropped.
    let mut recording_task = JoinSet::new();
    recording_task.spawn(recording.run());
    let told = board.clone();
    let capture = Capture {
        source,
        journal,
        recorder,
        settings,
        clock,
        board,
        progress,
        access: Access::default(),
        in_flight: InFlight::default(),
        unreadable: AllUnreadable::default(),
        fields,
        hooked,
        events,
        whole: Mutex::default(),
        counting: tokio::sync::Mutex::default(),
        accepted: Mutex::default(),
        thorough: until == Until::Once,
    };
    let channels = async {
        // Cancel-safe: everything a channel has observed is either recorded or will be observed again.
        let result = tokio::select! {
            result = capture.channels(until, known).boxed() => result,
            () = cancel.cancelled() => Ok(()),
        };
        let outcome = match result {
            Ok(()) => capture.outcome().await,
            Err(error) => Err(error),
        };
        recording_ends.cancel();
        outcome
    };
    let outcome = channels.boxed().await;
    let recorded = match recording_task.join_next().await.transpose() {
        Ok(recorded) => recorded.unwrap_or_else(|| Err(Arc::new(JournalError::stopped()))),
        Err(broken) => match broken.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Arc::new(JournalError::stopped())),
        },
    };
    // The recorder's error is the cause when both failed.
    let outcome = recorded.map_err(CaptureError::from).and(outcome);
    if let Err(error) = &outcome {
        let problem = error.problem().clone();
        told.update(|status| status.capture.enter(State::Waiting { problem, next: None }));
    }
    outcome
}

/// Which of the first rounds after a start are over.
#[derive(Debug, Default)]
struct FirstRound {
    polled: AtomicBool,
    compared: AtomicBool,
}

/// Document with what shapes the rows of the mirror.
const SHAPE: &str = "details";

impl<S: Source, J: Journal> Capture<S, J> {
    async fn channels(&self, until: Until, known: Progress) -> Result<(), CaptureError> {
        let (began, was_here) = (known.logging, !known.projects.is_empty());
        // Whether everything has been read is to be seen: a project that comes into view has not.
        self.progress.send_replace(Progress { loaded: false, ..known });
        self.start(until, was_here).await?;
        let switched = || self.switch_details().boxed();
        match until {
            Until::Once => self.insistently(switched).await?,
            Until::Cancelled => self.patiently(false, switched).await?,
        }
        let details = self.fetch_details().boxed();
        let hooks = async {
            match &self.hooked {
                Some(hooked) => self.work_off(hooked).await,
                None => std::future::pending().await,
            }
        }
        .boxed();
        let rounds = async {
            match until {
                Until::Once => self.once(began).await,
                Until::Cancelled => self.follow(began).await,
            }
        }
        .boxed();
        // Cancel-safe: the details that are under way when the rounds end are pending in the journal, deliveries
        // wait in the inbox.
        tokio::select! {
            result = rounds => result,
            result = details => result,
            result = hooks => result,
        }
    }

    /// Details may have been switched on or off since the last run.
    async fn switch_details(&self) -> Result<(), CaptureError> {
        let wanted = self.settings.details != Details::Off;
        if self.recall::<bool>(SHAPE).await? == Some(wanted) {
            return Ok(());
        }
        let tables: Vec<TableId> =
            self.settings.tables.iter().filter(|table| table.has_detail()).map(|table| table.id).collect();
        self.journal.ask_details(&tables, if wanted { Ask::Wanted } else { Ask::Unwanted }).await?;
        self.remember(SHAPE, &json!(wanted)).await
    }

    /// What was to be read anew has been.
    async fn end_anew(&self) -> Result<(), CaptureError> {
        Ok(anew::end(&*self.journal, &self.settings.tables).await?)
    }

    /// Loads what is not loaded yet, in all visible projects.
    async fn load_all(&self, began: bool) -> Result<(), CaptureError> {
        // Without them the rows are still worth reading.
        let fields = self.read_fields_if_due().await;
        self.each_project(|project| self.load_project(project).boxed()).await?;
        if self.complain_of_lost_access().is_err() {
            return Ok(());
        }
        if !began {
            self.recorder.begin_log().await?;
            self.remember(LOG_BEGAN, &json!(true)).await?;
        }
        self.progress.send_if_modified(|progress| {
            !(std::mem::replace(&mut progress.loaded, true) & std::mem::replace(&mut progress.logging, true))
        });
        fields
    }

    /// One table that cannot be read keeps no other from being read; here and below.
    async fn load_project(&self, project: Project) -> Result<(), CaptureError> {
        let mut outcome = Ok(());
        for table in &self.settings.tables {
            outcome = outcome.and(self.load(&project, table).await);
        }
        outcome
    }

    async fn poll_all(&self) -> Result<(), CaptureError> {
        self.each_project(|project| self.poll_project(project).boxed()).await
    }

    async fn poll_project(&self, project: Project) -> Result<(), CaptureError> {
        let mut outcome = Ok(());
        for table in &self.settings.tables {
            if self.is_loaded(&project, table).await? {
                outcome = outcome.and(self.poll(&project, table).await);
            }
        }
        outcome
    }

    async fn census_all(&self) -> Result<(), CaptureError> {
        self.each_project(|project| self.census_project(project).boxed()).await
    }

    /// Tables without an order by update are listed whole by every poll: that is their census.
    async fn census_project(&self, project: Project) -> Result<(), CaptureError> {
        let mut outcome = Ok(());
        for table in self.settings.tables.iter().filter(|table| table.newest_first) {
            if self.is_loaded(&project, table).await? {
                let head = *self.journal.head().borrow();
                let census = async {
                    self.census(&project, table, Urgency::Census, Channel::Census).await?;
                    self.doubt_dangling(&project, table, head).await
                };
                outcome = outcome.and(census.await);
            }
        }
        outcome
    }

    async fn each_project<F>(&self, work: impl Fn(Project) -> F) -> Result<(), CaptureError>
    where
        F: Future<Output = Result<(), CaptureError>>,
    {
        futures::stream::iter(self.access.visible())
            .map(work)
            .buffer_unordered(PROJECTS_AT_ONCE)
            .fold(Ok(()), async |outcome: Result<(), CaptureError>, project| outcome.and(project))
            .await
    }

    /// Load, then poll and census on their rhythms, for ever.
    async fn follow(&self, began: bool) -> Result<(), CaptureError> {
        self.patiently(!began, || self.first_round(began).boxed()).await?;
        self.patiently(false, || self.end_anew().boxed()).await?;
        let first = FirstRound::default();
        let rounds = (self.polls(&first), self.censuses(&first), self.prunes());
        futures::future::try_join3(rounds.0, rounds.1, rounds.2).await.map(drop)
    }

    /// One of the first poll and the first census is over. What they find happened while nobody could be told: from
    /// here on a change that no hook told of was missed.
    fn has_caught_up(&self, this: &AtomicBool, other: &AtomicBool) {
        let first = !this.swap(true, Ordering::AcqRel);
        if let (true, true, Some(hooked)) = (first, other.load(Ordering::Acquire), &self.hooked) {
            hooked.missed.begin();
        }
    }

    async fn first_round(&self, began: bool) -> Result<(), CaptureError> {
        self.look_around().await?;
        let began = began || self.progress.borrow().logging;
        let loaded = self.load_all(began).await;
        // Where only the custom fields could not be read and earlier ones are known, changes need not wait for that:
        // every poll asks for them again, and says what is wrong.
        let (all_loaded, custom) = {
            let progress = self.progress.borrow();
            (progress.loaded, progress.custom.is_some())
        };
        if all_loaded && custom { Ok(()) } else { loaded }
    }

    async fn polls(&self, first: &FirstRound) -> Result<(), CaptureError> {
        loop {
            self.patiently(false, || self.poll_round().boxed()).await?;
            self.has_caught_up(&first.polled, &first.compared);
            self.rest(self.settings.poll_interval).await;
        }
    }

    async fn poll_round(&self) -> Result<(), CaptureError> {
        self.look_around().await?;
        // A project that came into view is read for the first time.
        let logging = self.progress.borrow().logging;
        let loaded = self.load_all(logging).await;
        self.board.update(|status| status.capture.enter(State::Polling));
        let polled = self.poll_all().await;
        loaded.and(polled).and(self.complain_of_lost_access())
    }

    async fn censuses(&self, first: &FirstRound) -> Result<(), CaptureError> {
        self.rows_first().await;
        // The load has just read the fields.
        self.patiently(false, || self.census_all().boxed()).await?;
        self.has_caught_up(&first.compared, &first.polled);
        loop {
            tokio::time::sleep(self.settings.census_interval).await;
            self.patiently(false, || self.census_round().boxed()).await?;
        }
    }

    /// Waits, within reason, until tasks that are on their way have written what was read: a census proves what people
    /// would rather see first.
    async fn rows_first(&self) {
        let head = self.journal.head().borrow().0;
        let on_the_way = |status: &Status| {
            status.tasks.values().any(|task| {
                task.position < head && matches!(task.activity.state, State::Loading | State::Rebuilding)
            })
        };
        let mut board = self.board.watch();
        let written = board.wait_for(|status| !on_the_way(status));
        // The board is there as long as this is; and later is later.
        tokio::time::timeout(ROWS_FIRST, written).await.ok();
    }

    async fn census_round(&self) -> Result<(), CaptureError> {
        self.census_all().await?;
        match self.read_fields(Urgency::Census).await {
            // That is no reason to list everything again.
            Err(CaptureError::Source(error)) => self.say_failed(error.problem),
            other => return other,
        }
        Ok(())
    }

    async fn prunes(&self) -> Result<(), CaptureError> {
        loop {
            self.prune().await?;
            tokio::time::sleep(prune_every(self.settings.retention, PRUNE_EVERY)).await;
        }
    }

    /// Forgets what nobody needs any more; where there is no room to do so it is left to the next time.
    async fn prune(&self) -> Result<(), CaptureError> {
        match self.journal.prune(self.settings.retention).await {
            Err(error) if error.remedy == Remedy::NeedsHuman => Err(error.into()),
            Err(error) => {
                tracing::debug!(problem = %error.problem, "not pruned");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn rest(&self, pause: Duration) {
        let next = Timestamp::now().checked_add(pause).ok();
        let head = self.journal.head().borrow().0;
        let requests = self.source.requests();
        self.board.update(|status| {
            status.head = head;
            status.requests = requests;
            status.capture.enter(State::Following { next });
        });
        tokio::time::sleep(pause).await;
    }

    /// Everything once: load, poll, census, and the details that are due; again only where something is open.
    async fn once(&self, began: bool) -> Result<(), CaptureError> {
        let mut began = began;
        for pass in 1..=PASSES {
            self.insistently(|| self.look_around_once().boxed()).await?;
            self.insistently(|| self.in_full_view(self.load_all(began)).boxed()).await?;
            began = true;
            self.board.update(|status| status.capture.enter(State::Polling));
            self.insistently(|| self.in_full_view(self.poll_all()).boxed()).await?;
            if pass == 1 {
                self.board.update(|status| status.capture.enter(State::Delivering));
                self.rows_first().await;
            }
            self.board.update(|status| status.capture.enter(State::Census));
            self.insistently(|| self.in_full_view(self.census_all()).boxed()).await?;
            self.board.update(|status| status.capture.enter(State::Detailing));
            self.in_flight.retry_now();
            self.await_details().await?;
            self.hooks_settled().await?;
            self.insistently(|| self.read_fields_if_due().boxed()).await?;
            let outcome = self.outcome().await?;
            if outcome.pending == 0 {
                self.insistently(|| self.end_anew().boxed()).await?;
                if outcome.notes.is_empty() || pass > 1 {
                    break;
                }
            }
        }
        self.prune().await?;
        // The last look-up is no longer pending as soon as it is written; the copies of its row come after it.
        self.recorder.settled().await?;
        self.progress.send_modify(|progress| progress.finished = true);
        self.board.update(|status| status.capture.enter(State::Stopped));
        Ok(())
    }

    /// A step of `once`, unless a project has gone out of view: left out in silence it would pass for done.
    async fn in_full_view(
        &self,
        step: impl Future<Output = Result<(), CaptureError>>,
    ) -> Result<(), CaptureError> {
        self.complain_of_lost_access()?;
        step.await
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

    async fn outcome(&self) -> Result<Outcome, CaptureError> {
        let mut outcome = Outcome::default();
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
        for project in self.access.visible() {
            for table in &self.settings.tables {
                self.count(&project, table).await?;
            }
        }
        outcome.pending = self.pending().await?;
        let (head, requests) = (self.journal.head().borrow().0, self.source.requests());
        self.board.update(|status| {
            status.head = head;
            status.requests = requests;
        });
        Ok(outcome)
    }
}
