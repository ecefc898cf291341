//! Rebuilds the target of a pipeline from the mirror: no source is opened, nobody is asked. What the source would
//! have to say (projects, custom fields, what the filter names) comes from the journal.

use std::sync::Arc;
use std::time::Duration;

use connectors::coding::tables::TABLES;
use engine::capture::Progress;
use engine::capture::remembered::remembered;
use engine::delivery::resync::Scope;
use engine::delivery::runner::DeliveryError;
use engine::delivery::shape::{Mode, Task};
use engine::problem::Problem;
use engine::status::{Board, Status};
use store::journal::SqliteJournal;
use store::state_dir::StateDir;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::filter::{self, FilterError};
use super::group::{broke_down, close, deliver};
use super::{GRACE, plan, team};
use crate::exit::Failure;
use crate::pipeline::Pipeline;
use crate::present::{self, Screen, Shown};
use crate::signals::Stop;

/// How often the status is written for others to read.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// What a rebuild left behind.
pub(crate) struct Rebuilt {
    /// What the board said last.
    pub(crate) status: Status,
    /// Whether the mirror holds everything: else nothing was deleted.
    pub(crate) complete: bool,
}

/// Rebuilds from the mirror.
///
/// # Errors
/// A sync runs on the state; what has to be known was never read; whatever else needs a person.
pub(crate) async fn run(
    pipeline: &Pipeline,
    scope: Scope,
    screen: Screen,
    stop: Stop,
) -> Result<Rebuilt, Failure> {
    // Nothing is made where nothing has been read.
    if !pipeline.state.join(store::journal::FILE).exists() {
        return Err(never_read(pipeline, "its state directory has no journal yet").into());
    }
    let dir = open(pipeline)?;
    let journal = Arc::new(SqliteJournal::open(dir.path()).await.map_err(|error| error.problem)?);
    let board = Board::default();
    let result = work(pipeline, &dir, &journal, scope, &board, screen, stop).await;
    if let Some(journal) = Arc::into_inner(journal) {
        close(journal).await;
    }
    result.map(|complete| Rebuilt { status: board.read(), complete })
}

/// The state directory, for this process alone.
pub(crate) fn open(pipeline: &Pipeline) -> Result<StateDir, Problem> {
    StateDir::open(&pipeline.state).map_err(|error| match error.problem.code.as_str() {
        "STATE-IN-USE" => Problem::new(
            "STATE-IN-USE",
            "Cannot rebuild the target now",
            format!("a sync runs on its state directory ({})", pipeline.state.display()),
            "Stop the sync, run this again, and start the sync again afterwards.",
        ),
        _ => error.problem,
    })
}

async fn work(
    pipeline: &Pipeline,
    dir: &StateDir,
    journal: &Arc<SqliteJournal>,
    scope: Scope,
    board: &Board,
    screen: Screen,
    stop: Stop,
) -> Result<bool, Failure> {
    team::check(pipeline, &**journal).await?;
    let (task, progress) = prepare(pipeline, journal).await?;
    let complete = progress.loaded;
    let (cancel, ended) = (CancellationToken::new(), CancellationToken::new());
    let (_told, progress) = watch::channel(Progress { finished: true, ..progress });
    let (target, journal, shown, stopped) =
        (pipeline.target.clone(), Arc::clone(journal), board.clone(), cancel.clone());
    // On a thread of its own: batches that are shaped hold up nobody who shows progress.
    let mut delivering = JoinSet::new();
    delivering
        .spawn(async move { deliver(&target, journal, task, Some(scope), progress, shown, stopped).await });
    let working = async {
        let result = stoppable(&mut delivering, &cancel, &stop).await;
        delivering.shutdown().await;
        ended.cancel();
        result
    };
    let shown = vec![Shown { label: pipeline.name.clone(), board: board.clone() }];
    let following = present::follow(screen, shown, ended.clone());
    let ((), result, ()) = tokio::join!(following, working, write_status(dir, board, ended.clone()));
    result.map(|()| complete)
}

/// Waits for the end, or until somebody asked to stop: then the work ends between two writes, or soon after.
async fn stoppable(
    work: &mut JoinSet<Result<(), DeliveryError>>,
    cancel: &CancellationToken,
    stop: &Stop,
) -> Result<(), Failure> {
    let broken_off = async {
        stop.graceful.cancelled().await;
        cancel.cancel();
        // Both arms only wait.
        tokio::select! {
            () = tokio::time::sleep(GRACE) => {}
            () = stop.at_once.cancelled() => {}
        }
    };
    // Both arms only wait. The work may be broken off anywhere: what is written is whole, and the position says
    // what is left.
    let ended = tokio::select! {
        ended = work.join_next() => ended,
        () = broken_off => None,
    };
    match ended {
        Some(Ok(Err(error))) => return Err(error.problem().clone().into()),
        Some(Err(error)) => return Err(broke_down(&error).into()),
        Some(Ok(Ok(()))) | None => {}
    }
    if stop.graceful.is_cancelled() {
        return Err(Failure::from(Problem::new(
            "STOPPED",
            "The target is not rebuilt",
            "it was stopped before the end",
            "Run it again, or `tributary sync`: either brings the rebuild to its end.",
        )));
    }
    Ok(())
}

/// What the delivery does, and what it has to know of the source.
pub(crate) async fn prepare(
    pipeline: &Pipeline,
    journal: &SqliteJournal,
) -> Result<(Task, Progress), Failure> {
    let tables = plan::tables(std::iter::once(pipeline), &TABLES);
    let progress = remembered(journal, &plan::projects(pipeline), &tables).await;
    let progress = progress.map_err(|error| error.problem)?;
    if progress.projects.is_empty() {
        return Err(never_read(pipeline, "one of its projects was never read, or none").into());
    }
    let filter = match filter::remembered(pipeline, &progress.projects, journal).await {
        Ok(filter) => filter,
        Err(FilterError::Wrong(findings)) => return Err(Failure::Configuration(findings)),
        Err(FilterError::Problem(problem)) => return Err(problem.into()),
    };
    let task = plan::task(pipeline, &TABLES, filter, false);
    if task.mode == Mode::Flat && progress.custom.is_none() {
        return Err(never_read(pipeline, "the custom fields, which flat mode needs, were never read").into());
    }
    Ok((task, progress))
}

pub(crate) fn never_read(pipeline: &Pipeline, why: &str) -> Problem {
    Problem::new(
        "RESYNC-UNREAD",
        format!("Cannot say from memory what the target of task `{}` should hold", pipeline.name),
        why,
        format!("Run `tributary sync {} --once` first: it reads what is missing.", pipeline.file.display()),
    )
}

/// Writes how far the rebuild is, beside what the last run said of everything else.
async fn write_status(dir: &StateDir, board: &Board, ended: CancellationToken) {
    let last = StateDir::read_status(dir.path()).ok().flatten().unwrap_or_default();
    loop {
        // Both arms may be dropped: the board is read whole each time.
        let over = tokio::select! {
            () = tokio::time::sleep(STATUS_EVERY) => false,
            () = ended.cancelled() => true,
        };
        let mut status = last.clone();
        status.requests.clear();
        status.tasks.extend(board.read().tasks);
        // A small file, not flushed: it does not block for long.
        if let Err(error) = tokio::task::block_in_place(|| dir.write_status(&status)) {
            tracing::debug!(problem = %error.problem, "the status command does not see how the rebuild goes");
        }
        if over {
            return;
        }
    }
}
