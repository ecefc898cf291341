//! Says when each channel looks: load first, then poll and census on their rhythms; or everything once.
//!
//! At start, a problem that needs a person ends the capture. Once following, lost access or a refused credential
//! is waited out (`patience`): said, looked at again, resumed by itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::access::Access;
use super::aside::Aside;
use super::detail::InFlight;
use super::differ::Details;
use super::fields::Fields;
use super::hook::Hooked;
use super::proof::Rosters;
use super::recorder::{Onlookers, recorder};
use super::remembered::{LOG_BEGAN, remembered};
use super::rhythm::Rhythm;
use super::unreadable::AllUnreadable;
use super::{Capture, CaptureError, Progress, Settings, Until, anew, prune_every};
use crate::clock::Clock;
use crate::journal::{Ask, Journal, JournalError};
use crate::observation::Channel;
use crate::problem::{Problem, Remedy};
use crate::schema::{Table, TableId};
use crate::source::{Project, Source, Urgency};
use crate::status::{Board, Held, State, Status};

/// Projects read at the same time.
pub(super) const PROJECTS_AT_ONCE: usize = 4;
/// How often pruning is due, unless things are kept for so short that it is due more often.
const PRUNE_EVERY: Duration = Duration::from_hours(1);
/// The longest that a first census waits for what was read to be in the targets.
const ROWS_FIRST: Duration = Duration::from_secs(30);

/// What is left when a capture ends.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Held deletes by project and table.
    pub held: BTreeMap<(String, String), Held>,
    /// What is missing or wrong, in words, by project and table.
    pub notes: BTreeMap<(String, String), String>,
    /// Rows whose detail could not be fetched; those that changed after the last pass over everything had begun are none
    /// of them, and neither are those of `unread`.
    pub pending: u64,
    /// The projects that they are in.
    pub pending_in: Vec<String>,
    /// Why tables and projects could not be read, while others were.
    pub unread: Vec<Problem>,
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
        aside: Aside::default(),
        rosters: Rosters::default(),
        rhythm: Rhythm::default(),
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
        let outcome = tokio::select! {
            outcome = capture.channels(until, known).boxed() => outcome,
            () = cancel.cancelled() => capture.outcome(None).await,
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
    async fn channels(&self, until: Until, known: Progress) -> Result<Outcome, CaptureError> {
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
                Until::Once => self.once().await,
                Until::Cancelled => {
                    self.follow(began).await?;
                    self.outcome(None).await
                }
            }
        }
        .boxed();
        // Cancel-safe: the details that are under way when the rounds end are pending in the journal, deliveries
        // wait in the inbox.
        tokio::select! {
            result = rounds => return result,
            result = details => result?,
            result = hooks => result?,
        }
        self.outcome(None).await
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
    pub(super) async fn end_anew(&self) -> Result<(), CaptureError> {
        Ok(anew::end(&*self.journal, &self.settings.tables).await?)
    }

    /// Loads what is not loaded yet, in all visible projects.
    async fn load_all(&self, began: bool) -> Result<(), CaptureError> {
        // Without them the rows are still worth reading.
        let fields = self.read_fields_if_due().await;
        self.round(!began, &|project, table| self.load_part(project, table).boxed()).await?;
        self.note_loaded().await?;
        fields
    }

    /// Loads a table, unless that is done; whether the source was asked.
    pub(super) async fn load_part(
        &self,
        project: Project,
        table: &'static Table,
    ) -> Result<bool, CaptureError> {
        self.load(&project, table).await
    }

    /// Once everything has been read, the log begins, and the tasks are told.
    pub(super) async fn note_loaded(&self) -> Result<(), CaptureError> {
        let Progress { projects, loaded, logging, .. } = self.progress.borrow().clone();
        if loaded && logging {
            return Ok(());
        }
        for project in &projects {
            for table in &self.settings.tables {
                if !self.is_loaded(project, table).await? {
                    return Ok(());
                }
            }
        }
        if !logging {
            self.recorder.begin_log().await?;
            self.remember(LOG_BEGAN, &json!(true)).await?;
        }
        self.progress.send_if_modified(|progress| {
            !(std::mem::replace(&mut progress.loaded, true) & std::mem::replace(&mut progress.logging, true))
        });
        Ok(())
    }

    async fn poll_all(&self) -> Result<(), CaptureError> {
        self.round(false, &|project, table| self.poll_loaded(project, table).boxed()).await
    }

    /// Polls a table, once it has been read, unless the poll passes over it.
    pub(super) async fn poll_loaded(
        &self,
        project: Project,
        table: &'static Table,
    ) -> Result<bool, CaptureError> {
        let is_due = self.thorough || self.rhythm.is_due(&project, table);
        let asked = is_due && self.is_loaded(&project, table).await?;
        if asked {
            self.poll(&project, table).await?;
        }
        Ok(asked)
    }

    async fn census_all(&self) -> Result<(), CaptureError> {
        let compared = self.round(false, &|project, table| self.compare_loaded(project, table).boxed()).await;
        self.aside.owe_censuses();
        compared
    }

    /// Compares a table, once it has been read. Tables without an order by update are listed whole by every poll: that is
    /// their census.
    pub(super) async fn compare_loaded(
        &self,
        project: Project,
        table: &'static Table,
    ) -> Result<bool, CaptureError> {
        let due = table.newest_first && self.is_loaded(&project, table).await?;
        if due {
            self.compare(&project, table).await?;
        }
        Ok(due)
    }

    /// A census, and what it puts in doubt.
    pub(super) async fn compare(&self, project: &Project, table: &'static Table) -> Result<(), CaptureError> {
        let head = *self.journal.head().borrow();
        self.census(project, table, Urgency::Census, Channel::Census).await?;
        self.doubt_dangling(project, table, head).await
    }

    /// Load, then poll and census on their rhythms, for ever.
    async fn follow(&self, began: bool) -> Result<(), CaptureError> {
        self.patiently(!began, || self.first_round(began).boxed()).await?;
        if self.aside.is_empty() {
            self.patiently(false, || self.end_anew().boxed()).await?;
        }
        let first = FirstRound::default();
        let rounds = (self.polls(&first), self.censuses(&first), self.prunes(), self.retries());
        futures::future::try_join4(rounds.0, rounds.1, rounds.2, rounds.3).await.map(drop)
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
        self.look_around_once().await?;
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
        self.look_around_once().await?;
        // A project that came into view is read for the first time.
        let loaded = self.load_all(true).await;
        if self.lost_access().is_none() {
            self.board.update(|status| status.capture.enter(State::Polling));
        }
        self.rhythm.plan(&self.access.visible(), &self.settings.tables, self.settings.poll_interval);
        let polled = self.poll_all().await;
        loaded.and(polled)
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
    pub(super) async fn rows_first(&self) {
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
    pub(super) async fn prune(&self) -> Result<(), CaptureError> {
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
        // What was asked for and is not visible is waited for, while the others are followed.
        let state = match self.lost_access() {
            Some(problem) => State::Waiting { problem, next },
            None => State::Following { next },
        };
        self.board.update(|status| {
            status.head = head;
            status.requests = requests;
            status.capture.enter(state);
        });
        tokio::time::sleep(pause).await;
    }
}
