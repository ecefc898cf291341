//! Pipelines that share a state directory: one journal, one source, one capture, and a delivery for each.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use connectors::coding::config::Details;
use connectors::coding::source::CodingSource;
use connectors::postgres::target::PostgresTarget;
use connectors::sqlite::target::SqliteTarget;
use engine::capture::differ::Details as CaptureDetails;
use engine::capture::runner::Outcome;
use engine::capture::{CaptureError, Hooks, Progress, Settings, Until, anew};
use engine::clock::Clock;
use engine::delivery::resync::{self, Scope};
use engine::delivery::runner::{self, DeliveryError};
use engine::delivery::shape::Task;
use engine::journal::Journal;
use engine::problem::Problem;
use engine::schema::Table;
use engine::source::Source;
use engine::status::{Board, State, Status};
use engine::target::Target;
use server::receiver::Doors;
use store::journal::SqliteJournal;
use store::state_dir::StateDir;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::descriptors::Share;
use super::events::Keepers;
use super::filter::{self, FilterError};
use super::hooks::{Hook, Listeners, Tending};
use super::source::Shared;
use super::watch::watch_state;
use super::{GRACE, Options, plan, team};
use crate::pipeline::config::Mode;
use crate::pipeline::{FileFinding, Pipeline, TargetSettings, same_directory};
use crate::signals::Stop;

/// How often the status of a running sync is written for others to read.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// Pipelines that share a state directory and so, as was checked, the source.
#[derive(Debug)]
pub(crate) struct Group {
    first: Pipeline,
    others: Vec<Pipeline>,
}

impl Group {
    /// Divides pipelines by their state directories.
    pub(crate) fn divide(pipelines: Vec<Pipeline>) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for pipeline in pipelines {
            match groups.iter_mut().find(|group| same_directory(&group.first.state, &pipeline.state)) {
                Some(group) => group.others.push(pipeline),
                None => groups.push(Group { first: pipeline, others: Vec::new() }),
            }
        }
        groups
    }

    /// What it needs of the process.
    pub(super) fn share(&self, listens: bool) -> Share {
        Share::of(std::iter::once(&self.first).chain(&self.others), listens)
    }

    /// Has the capture read anew what is to be read anew.
    async fn begin_anew(
        &self,
        journal: &SqliteJournal,
        source: &CodingSource,
        options: &Options,
    ) -> Result<(), Problem> {
        let Some(scope) = &options.anew else { return Ok(()) };
        let mut tables = plan::tables(std::iter::once(&self.first), source.tables());
        if let Scope::Tables(wanted) = scope {
            tables.retain(|table| wanted.contains(&table.id));
        }
        let details = self.first.source.details != Details::Off;
        anew::begin(journal, &tables, details).await.map_err(|error| error.problem)
    }

    /// Opens what the group works on. Connects to nothing.
    pub(crate) async fn open(self, shared: &Shared) -> Result<Open, Problem> {
        let dir = StateDir::open(&self.first.state).map_err(|error| error.problem)?;
        let journal = SqliteJournal::open(dir.path()).await.map_err(|error| error.problem)?;
        let clock = Clock::after(journal.newest_moment());
        let opened = async {
            team::check(&self.first, &journal).await?;
            let source = shared.open(&self.first.source, dir.path(), clock.clone())?;
            match Hook::open(&self.first, dir.path(), shared.vault_key()).await {
                Ok(hook) => Ok((source, hook)),
                Err(problem) => {
                    source.close().await;
                    Err(problem)
                }
            }
        };
        match opened.await {
            Ok((source, hook)) => {
                let (source, board, hook) = (Arc::new(source), Board::default(), hook.map(Arc::new));
                Ok(Open { group: self, dir, source, clock, journal, board, hook, doors: None })
            }
            Err(problem) => {
                close(journal).await;
                Err(problem)
            }
        }
    }
}

/// A group that is ready to run.
pub(crate) struct Open {
    group: Group,
    dir: StateDir,
    source: Arc<CodingSource>,
    clock: Clock,
    journal: SqliteJournal,
    board: Board,
    hook: Option<Arc<Hook>>,
    /// Where the hook's deliveries come in, once somebody listens.
    doors: Option<Doors>,
}

/// How a group ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// What the board said last.
    pub(crate) status: Status,
    pub(crate) outcome: Outcome,
    /// What needs a person; empty when all went well.
    pub(crate) problems: Vec<Problem>,
    /// What could not be read or fetched, while everything else was: with `once`.
    pub(crate) unfinished: Vec<Problem>,
    /// What the configuration names and the source does not have.
    pub(crate) findings: Vec<FileFinding>,
}

/// How a part of a group ended.
enum Part {
    Capture(Result<Outcome, CaptureError>),
    Delivery(Result<(), DeliveryError>),
    Filter(FilterError),
    Hook(Result<(), Problem>),
    Aborted,
}

impl Open {
    /// What to call the group where there are several.
    pub(crate) fn label(&self) -> String {
        let state: PathBuf = self.group.first.state.clone();
        state
            .file_stem()
            .map_or_else(|| state.display().to_string(), |name| name.to_string_lossy().into_owned())
    }

    /// The board that its parts write on.
    pub(crate) fn board(&self) -> &Board {
        &self.board
    }

    /// Has somebody listen for the group's hook, if it has one.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub(crate) async fn listen(&mut self, listeners: &mut Listeners) -> Result<(), Problem> {
        if let Some(hook) = &self.hook {
            let (doors, address) = listeners.listen(hook.listen()).await?;
            self.doors = Some(doors);
            self.board.hooks(|hooks| hooks.listening = Some(address.to_string()));
        }
        Ok(())
    }

    /// Closes what was opened, without having run.
    pub(crate) async fn close(self) {
        self.source.close().await;
        close_hook(self.hook).await;
        close(self.journal).await;
    }

    /// Runs capture and deliveries until they are done, stopped, or one of them fails. `failed` is cancelled by
    /// the first group that fails and ends the others.
    pub(crate) async fn run(self, options: &Options, stop: Stop, failed: CancellationToken) -> Ended {
        let Open { group, dir, source, clock, journal, board, hook, doors } = self;
        let (journal, tended) = (Arc::new(journal), hook.clone().zip(doors.clone()));
        let ended = CancellationToken::new();
        let writing = write_status(&dir, &board, &source, ended.clone());
        let watching = watch_state(&dir, &ended, &failed);
        let working = async {
            let begun = async {
                group.begin_anew(&journal, &source, options).await?;
                Keepers::remembered(&*journal).await.map_err(|error| error.problem)
            };
            let result = match begun.await {
                Ok(keepers) => {
                    let shared = (&source, &journal, &board);
                    let hook = hook.as_deref().map(Hook::for_capture);
                    let mut parts = Parts::start(&group, shared, clock, hook, (tended, keepers), options);
                    parts.join(&stop, &failed).await
                }
                Err(problem) => {
                    failed.cancel();
                    Joined { problems: vec![problem], ..Joined::default() }
                }
            };
            source.close().await;
            ended.cancel();
            result
        };
        let (joined, (), gone) = tokio::join!(working, writing, watching);
        if let Some(doors) = doors {
            doors.remove(&group.first.name);
        }
        close_hook(hook).await;
        if let Some(journal) = Arc::into_inner(journal) {
            close(journal).await;
        }
        let Joined { outcome, mut problems, unfinished, findings } = joined;
        if let Some(gone) = gone {
            // What else failed, failed because of it.
            problems.insert(0, gone);
        }
        Ended { status: board.read(), outcome, problems, unfinished, findings }
    }
}

async fn close_hook(hook: Option<Arc<Hook>>) {
    if let Some(hook) = hook.and_then(Arc::into_inner) {
        hook.close().await;
    }
}

pub(super) async fn close(journal: SqliteJournal) {
    if let Err(error) = journal.close().await {
        // Everything was flushed when it was written; closing only tidies up.
        tracing::warn!(problem = %error.problem, "the journal was not closed cleanly");
    }
}

/// The running parts of a group. Each has a thread of its own: a part that computes for long (a page of rows
/// parsed, a batch shaped) holds nobody up, and its future need not move between threads.
struct Parts {
    tasks: JoinSet<Part>,
    /// Finish what is under way, then end.
    cancel: CancellationToken,
    /// End at once.
    abort: CancellationToken,
    /// Whether the capture ends by itself when all is read.
    once: bool,
}

impl Parts {
    fn start(
        group: &Group,
        (source, journal, board): (&Arc<CodingSource>, &Arc<SqliteJournal>, &Board),
        clock: Clock,
        hooks: Option<Hooks>,
        (tended, keepers): (Option<(Arc<Hook>, Doors)>, Keepers),
        options: &Options,
    ) -> Parts {
        let (cancel, abort) = (CancellationToken::new(), CancellationToken::new());
        let mut parts = Parts { tasks: JoinSet::new(), cancel: cancel.clone(), abort, once: options.once };
        let (progress, following) = watch::channel(Progress::default());
        let pipelines = || std::iter::once(&group.first).chain(&group.others);
        for pipeline in pipelines() {
            let (pipeline, source, journal) = (pipeline.clone(), Arc::clone(source), Arc::clone(journal));
            let (board, cancel, mut following) = (board.clone(), cancel.clone(), following.clone());
            let (accept_deletes, anew) = (options.accept_deletes, options.anew.clone());
            parts.spawn(async move {
                match filter::work_out(&pipeline, &source, &*journal, &mut following, &board, &cancel).await {
                    Ok(Some(filter)) => {
                        let task = plan::task(&pipeline, source.tables(), filter, accept_deletes);
                        let ended = deliver(&pipeline.target, journal, task, anew, following, board, cancel);
                        Part::Delivery(ended.await)
                    }
                    Ok(None) => Part::Delivery(Ok(())),
                    Err(error) => Part::Filter(error),
                }
            });
        }
        let keepers = keepers.with(pipelines(), source.tables());
        let tables = match &hooks {
            Some(_) => keepers.tables(pipelines(), source.tables()),
            None => plan::tables(pipelines(), source.tables()),
        };
        let (kept, ending) = (Arc::clone(journal), cancel.clone());
        parts.spawn(async move {
            Part::Delivery(keepers.note(&*kept, &ending).await.map_err(DeliveryError::from))
        });
        if let Some((hook, doors)) = tended {
            let tending = Tending {
                hook,
                source: Arc::clone(source),
                journal: Arc::clone(journal),
                tables: tables.clone(),
                doors,
                board: board.clone(),
            };
            let (following, cancel) = (following.clone(), cancel.clone());
            parts.spawn(async move { Part::Hook(tending.run(following, cancel).await) });
        }
        let (team, kept, mut seen) = (group.first.source.team.clone(), Arc::clone(journal), following);
        parts.spawn(async move {
            let remembered = team::remember(&team, &*kept, &mut seen).await;
            Part::Delivery(remembered.map_err(DeliveryError::from))
        });
        let custom_fields = pipelines().any(|pipeline| pipeline.task.mode == Mode::Flat);
        let settings = Settings { custom_fields, hooks, ..settings(&group.first, &tables, options) };
        let (source, journal, board) = (Arc::clone(source), Arc::clone(journal), board.clone());
        parts.spawn(async move {
            let capture =
                engine::capture::runner::run(source, journal, clock, settings, board, progress, cancel);
            Part::Capture(Box::pin(capture).await)
        });
        parts
    }

    fn spawn(&mut self, part: impl Future<Output = Part> + Send + 'static) {
        let abort = self.abort.clone();
        self.tasks.spawn(async move {
            // The part may be dropped anywhere: that is what ending at once means, and a later run goes on from
            // what was committed.
            tokio::select! {
                ended = part => ended,
                () = abort.cancelled() => Part::Aborted,
            }
        });
    }

    /// Waits until every part has ended.
    async fn join(&mut self, stop: &Stop, failed: &CancellationToken) -> Joined {
        let mut joined = Joined::default();
        let mut deadline: Option<Instant> = None;
        loop {
            let stopping = deadline.is_some();
            // Every arm may be dropped: joining, waiting for a token and sleeping lose nothing.
            let part = tokio::select! {
                part = self.tasks.join_next() => part,
                () = stop.graceful.cancelled(), if !stopping => {
                    deadline = Some(self.wind_up());
                    continue;
                }
                () = failed.cancelled(), if !stopping => {
                    deadline = Some(self.wind_up());
                    continue;
                }
                () = stop.at_once.cancelled(), if !self.abort.is_cancelled() => {
                    self.abort.cancel();
                    continue;
                }
                () = sleep_until(deadline), if stopping && !self.abort.is_cancelled() => {
                    tracing::warn!("work under way did not end in time; it is broken off and done again next time");
                    self.abort.cancel();
                    continue;
                }
            };
            let Some(part) = part else { return joined };
            if !self.judge(part, &mut joined) {
                failed.cancel();
            }
        }
    }

    /// Tells all parts to end, and until when.
    fn wind_up(&self) -> Instant {
        self.cancel.cancel();
        let now = Instant::now();
        now.checked_add(GRACE).unwrap_or(now)
    }

    /// Notes how a part ended; false when it failed.
    fn judge(&self, part: Result<Part, JoinError>, joined: &mut Joined) -> bool {
        let problem = match part {
            Ok(Part::Capture(Ok(outcome))) => {
                // What vanished and is held cannot be looked up: then the hold is what there is to say.
                let held = outcome.held.values().fold(0_u64, |sum, held| sum.saturating_add(held.rows));
                let pending = outcome.pending.saturating_sub(held);
                if self.once && !self.cancel.is_cancelled() {
                    // What could be read is brought to its end.
                    joined.unfinished.extend(outcome.unread.clone());
                    if pending > 0 {
                        joined.unfinished.push(incomplete(pending, &outcome.pending_in));
                    }
                }
                joined.outcome = outcome;
                return true;
            }
            Ok(Part::Delivery(Ok(())) | Part::Hook(Ok(())) | Part::Aborted) => return true,
            Ok(Part::Hook(Err(problem))) => problem,
            Ok(Part::Capture(Err(error))) => error.problem().clone(),
            Ok(Part::Delivery(Err(error))) => error.problem().clone(),
            Ok(Part::Filter(FilterError::Problem(problem))) => problem,
            Ok(Part::Filter(FilterError::Wrong(findings))) => {
                joined.findings.extend(findings);
                return false;
            }
            Err(error) => broke_down(&error),
        };
        if !joined.problems.contains(&problem) {
            joined.problems.push(problem);
        }
        false
    }
}

/// How the parts of a group ended.
#[derive(Debug, Default)]
struct Joined {
    outcome: Outcome,
    problems: Vec<Problem>,
    unfinished: Vec<Problem>,
    findings: Vec<FileFinding>,
}

/// Delivers to a target, until the capture has finished or it is cancelled; with a rebuild where one was asked for.
pub(super) async fn deliver(
    settings: &TargetSettings,
    journal: Arc<SqliteJournal>,
    task: Task,
    asked: Option<Scope>,
    progress: watch::Receiver<Progress>,
    board: Board,
    cancel: CancellationToken,
) -> Result<(), DeliveryError> {
    match settings {
        TargetSettings::Sqlite(sqlite) => {
            let target = SqliteTarget::new(sqlite.clone());
            deliver_to(target, journal, task, asked, progress, board, cancel).await
        }
        TargetSettings::Postgres(postgres) => {
            let target = PostgresTarget::new(postgres.clone());
            deliver_to(target, journal, task, asked, progress, board, cancel).await
        }
    }
}

async fn deliver_to(
    target: impl Target,
    journal: Arc<SqliteJournal>,
    task: Task,
    asked: Option<Scope>,
    progress: watch::Receiver<Progress>,
    board: Board,
    cancel: CancellationToken,
) -> Result<(), DeliveryError> {
    match asked {
        None => Box::pin(runner::run(journal, target, task, progress, board, cancel)).await,
        Some(scope) => Box::pin(resync::run(journal, target, task, scope, progress, board, cancel)).await,
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

pub(super) fn broke_down(error: &JoinError) -> Problem {
    bug(error.to_string())
}

pub(super) fn bug(why: impl Into<String>) -> Problem {
    Problem::new(
        "BUG",
        "A part of tributary broke down",
        why,
        "Start again: nothing is lost. Report this with the lines above it.",
    )
}

fn incomplete(pending: u64, projects: &[String]) -> Problem {
    let names: Vec<String> = projects.iter().map(|project| format!("`{project}`")).collect();
    let kind = if names.len() == 1 { "project" } else { "projects" };
    Problem::new(
        "SYNC-INCOMPLETE",
        "Cannot fetch every detail",
        format!(
            "{} of {kind} {} still without",
            crate::present::text::plural(pending, "row"),
            names.join(", ")
        ),
        "Run it again: what is there stays, what is missing is fetched.",
    )
}

fn settings(first: &Pipeline, tables: &[&'static Table], options: &Options) -> Settings {
    let source = &first.source;
    Settings {
        projects: plan::projects(first),
        tables: tables.to_vec(),
        custom_fields: false,
        details: match source.details {
            Details::Background => CaptureDetails::Background,
            Details::Eager => CaptureDetails::Eager,
            Details::Off => CaptureDetails::Off,
        },
        poll_interval: source.poll_interval,
        census_interval: source.census_interval,
        look_back: source.look_back,
        retention: first.retention,
        accept_deletes: options.accept_deletes,
        hooks: None,
        until: if options.once { Until::Once } else { Until::Cancelled },
    }
}

/// Writes the board to the state directory until `ended`, and then once more.
async fn write_status(dir: &StateDir, board: &Board, source: &CodingSource, ended: CancellationToken) {
    let mut changes = board.watch();
    let mut told = false;
    loop {
        // Both arms may be dropped: the board is read whole each time.
        let last = tokio::select! {
            () = tokio::time::sleep(STATUS_EVERY) => false,
            () = ended.cancelled() => true,
        };
        let requests = source.requests();
        if board.read().requests != requests {
            board.update(|status| status.requests = requests);
        }
        if last {
            board.update(stopped);
        } else if !changes.has_changed().unwrap_or(false) {
            continue;
        }
        changes.mark_unchanged();
        let status = board.read();
        // A small file, not flushed: it does not block for long.
        if let Err(error) = tokio::task::block_in_place(|| dir.write_status(&status))
            && !std::mem::replace(&mut told, true)
        {
            tracing::warn!(problem = %error.problem, "the status command will not see how this run goes");
        }
        if last {
            return;
        }
    }
}

/// Nobody works any more; what somebody waited for stays to be read.
fn stopped(status: &mut Status) {
    let activities =
        std::iter::once(&mut status.capture).chain(status.tasks.values_mut().map(|task| &mut task.activity));
    for activity in activities {
        if !matches!(activity.state, State::Waiting { .. }) {
            activity.enter(State::Stopped);
        }
    }
}
