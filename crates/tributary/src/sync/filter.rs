//! A pipeline's filter. It names issue types and iterations; whether they exist only the source can say. So it is
//! worked out when the capture has reached the source and before anything is written, and what was found is
//! remembered: a rebuild works it out without asking.

use std::time::Duration;

use connectors::coding::filter::{self, IssueTypes, unknown_iteration};
use connectors::coding::source::CodingSource;
use connectors::coding::tables::ITERATIONS;
use connectors::finding::Finding;
use engine::capture::Progress;
use engine::delivery::filter::Filter;
use engine::journal::{Journal, JournalError};
use engine::problem::Problem;
use engine::row::{ProjectId, RowId, RowKey};
use engine::source::{Project, SourceError, SourceErrorKind};
use engine::status::{Board, State};
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{recall, remember_once_there_is_room};
use crate::pipeline::{FileFinding, Pipeline};

/// Wait before the source is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// Where the task stands in a pipeline file.
const AT: &str = "task";

/// Why a filter cannot be worked out.
#[derive(Debug)]
pub(crate) enum FilterError {
    /// It names what the source does not have.
    Wrong(Vec<FileFinding>),
    /// The source or the journal needs a person.
    Problem(Problem),
}

impl From<JournalError> for FilterError {
    fn from(error: JournalError) -> FilterError {
        FilterError::Problem(error.problem)
    }
}

/// What the source says of everything that a filter names.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The issue types of each project, where they matter.
    types: Vec<(ProjectId, IssueTypes)>,
    /// Iteration codes that no project has now.
    pub(crate) unknown_iterations: Vec<i64>,
    /// Projects whose issue types could not be read.
    untyped: Vec<(Project, SourceError)>,
    /// Iteration codes of which it could not be said whether a project has them.
    doubtful: Vec<(i64, SourceError)>,
}

/// Asks the source about everything that the filter of a pipeline names.
///
/// # Errors
/// It cannot be asked about one of them.
pub(crate) async fn ask(
    pipeline: &Pipeline,
    source: &CodingSource,
    projects: &[Project],
) -> Result<Found, SourceError> {
    let mut found = inquire(pipeline, source, projects).await;
    let untyped = found.untyped.pop().map(|(_, error)| error);
    match untyped.or_else(|| found.doubtful.pop().map(|(_, error)| error)) {
        Some(error) => Err(error),
        None => Ok(found),
    }
}

/// Asks about as much of it as can be said.
async fn inquire(pipeline: &Pipeline, source: &CodingSource, projects: &[Project]) -> Found {
    let mut found = Found::default();
    if filter::names_types(types(pipeline)) {
        for project in projects {
            match source.issue_types(project).await {
                Ok(types) => found.types.push((project.id, types)),
                Err(error) => found.untyped.push((project.clone(), error)),
            }
        }
    }
    for code in codes(pipeline) {
        match source.has_iteration(code, projects).await {
            Ok(true) => {}
            Ok(false) => found.unknown_iterations.push(code),
            Err(error) => found.doubtful.push((code, error)),
        }
    }
    found
}

/// Takes from memory what one project did not say; the error, where that matters and memory does not know it either.
async fn recollect(
    pipeline: &Pipeline,
    found: &mut Found,
    projects: &[Project],
    journal: &impl Journal,
) -> Result<Option<SourceError>, JournalError> {
    let mut untyped = None;
    for (project, error) in std::mem::take(&mut found.untyped) {
        match recall(journal, &types_of(project.id)).await? {
            Some(types) => found.types.push((project.id, types)),
            None => untyped = Some((project, error)),
        }
    }
    for (code, error) in std::mem::take(&mut found.doubtful) {
        if !seen(pipeline, journal).await?.contains(&code) && !mirrored(code, projects, journal).await? {
            return Ok(Some(error));
        }
    }
    let Some((project, error)) = untyped else { return Ok(None) };
    if of(pipeline, found).is_err() {
        return Ok(Some(error));
    }
    // The others have the types that are named.
    tracing::warn!(
        project = %project.name, problem = %error.problem,
        "which issue types this project has cannot be read: until the next start, issues of its own types are not \
         among those that are wanted"
    );
    Ok(None)
}

/// The filter of a pipeline, iterations aside that are not there now.
pub(crate) fn of(pipeline: &Pipeline, found: &Found) -> Result<Filter, Vec<Finding>> {
    let known = found.types.iter().flat_map(|(_, types)| types.clone()).collect();
    filter::filter(types(pipeline), &codes(pipeline), &known, AT)
}

/// Works out the filter of a pipeline as soon as the capture knows the projects; `None` when it ended before.
pub(crate) async fn work_out(
    pipeline: &Pipeline,
    source: &CodingSource,
    journal: &impl Journal,
    progress: &mut watch::Receiver<Progress>,
    board: &Board,
    cancel: &CancellationToken,
) -> Result<Option<Filter>, FilterError> {
    if is_none(pipeline) {
        return Ok(Some(Filter::default()));
    }
    // Both arms may be dropped: nothing has begun.
    let projects = tokio::select! {
        known = progress.wait_for(|progress| !progress.projects.is_empty() || progress.finished) => match known {
            Ok(progress) => progress.projects.clone(),
            // The capture failed; it says why.
            Err(_) => return Ok(None),
        },
        () = cancel.cancelled() => return Ok(None),
    };
    loop {
        let mut found = inquire(pipeline, source, &projects).await;
        let Some(error) = recollect(pipeline, &mut found, &projects, journal).await? else {
            return judge(pipeline, &found, &projects, journal, cancel).await.map(Some);
        };
        // Where the capture has ended with everything else done, nobody waits any longer.
        if error.kind == SourceErrorKind::Credential || progress.borrow().finished {
            return Err(FilterError::Problem(error.problem));
        }
        let next = Timestamp::now().checked_add(ASK_AGAIN).ok();
        board.task(&pipeline.name, |task| {
            task.activity.enter(State::Waiting { problem: error.problem, next })
        });
        // Both arms may be dropped: nothing is under way.
        tokio::select! {
            () = tokio::time::sleep(ASK_AGAIN) => {}
            () = cancel.cancelled() => return Ok(None),
        }
    }
}

/// Works out the filter of a pipeline from what earlier runs found, asking nobody.
pub(crate) async fn remembered(
    pipeline: &Pipeline,
    projects: &[Project],
    journal: &impl Journal,
) -> Result<Filter, FilterError> {
    if is_none(pipeline) {
        return Ok(Filter::default());
    }
    let mut found = Found::default();
    if filter::names_types(types(pipeline)) {
        for project in projects {
            let Some(types) = recall(journal, &types_of(project.id)).await? else {
                return Err(FilterError::Problem(never_asked(
                    pipeline,
                    &format!("which issue types project `{}` has was never asked", project.name),
                )));
            };
            found.types.push((project.id, types));
        }
    }
    let seen = seen(pipeline, journal).await?;
    for code in codes(pipeline) {
        if !seen.contains(&code) && !mirrored(code, projects, journal).await? {
            let why = format!("whether there is an iteration {code} was never asked");
            return Err(FilterError::Problem(never_asked(pipeline, &why)));
        }
    }
    of(pipeline, &found).map_err(|findings| wrong(pipeline, findings))
}

fn never_asked(pipeline: &Pipeline, why: &str) -> Problem {
    Problem::new(
        "RESYNC-FILTER",
        format!("Cannot work out the filter of task `{}` from memory", pipeline.name),
        why,
        format!("Run `tributary sync {} --once` first: it asks CODING.", pipeline.file.display()),
    )
}

/// An iteration that was there once and is gone now is no mistake: its rows leave. One that never was is.
async fn judge(
    pipeline: &Pipeline,
    found: &Found,
    projects: &[Project],
    journal: &impl Journal,
    cancel: &CancellationToken,
) -> Result<Filter, FilterError> {
    let mut seen = seen(pipeline, journal).await?;
    let (filter, mut findings) = match of(pipeline, found) {
        Ok(filter) => (filter, Vec::new()),
        Err(findings) => (Filter::default(), findings),
    };
    for code in &found.unknown_iterations {
        if !seen.contains(code) && !mirrored(*code, projects, journal).await? {
            findings.push(never_was(pipeline, *code));
        }
    }
    if !findings.is_empty() {
        return Err(wrong(pipeline, findings));
    }
    seen.extend(codes(pipeline));
    seen.sort_unstable();
    seen.dedup();
    remember_once_there_is_room(journal, &seen_by(pipeline), &json!(seen), cancel).await?;
    for (project, types) in &found.types {
        remember_once_there_is_room(journal, &types_of(*project), &json!(types), cancel).await?;
    }
    Ok(filter)
}

fn wrong(pipeline: &Pipeline, findings: Vec<Finding>) -> FilterError {
    let in_file = |finding| FileFinding { file: pipeline.file.clone(), finding };
    FilterError::Wrong(findings.into_iter().map(in_file).collect())
}

fn is_none(pipeline: &Pipeline) -> bool {
    pipeline.task.issue_types.is_none() && pipeline.task.iterations.is_none()
}

fn types(pipeline: &Pipeline) -> &[String] {
    pipeline.task.issue_types.as_deref().unwrap_or_default()
}

fn codes(pipeline: &Pipeline) -> Vec<i64> {
    pipeline.task.iterations.iter().flatten().copied().collect()
}

/// The document with the codes of iterations that a task has seen.
fn seen_by(pipeline: &Pipeline) -> String {
    format!("filter/{}", pipeline.name)
}

/// The document with the issue types of a project.
fn types_of(project: ProjectId) -> String {
    format!("issue_types/{}", project.0)
}

async fn seen(pipeline: &Pipeline, journal: &impl Journal) -> Result<Vec<i64>, JournalError> {
    Ok(recall(journal, &seen_by(pipeline)).await?.unwrap_or_default())
}

/// What to say of a code that no iteration has.
pub(crate) fn never_was(pipeline: &Pipeline, code: i64) -> Finding {
    let position = pipeline.task.iterations.iter().flatten().position(|listed| *listed == code);
    unknown_iteration(code, position.unwrap_or(0), AT)
}

/// Whether the mirror has the iteration, or its tombstone.
async fn mirrored(code: i64, projects: &[Project], journal: &impl Journal) -> Result<bool, JournalError> {
    let key = |project: &Project| RowKey { table: ITERATIONS, project: project.id, id: RowId(code) };
    let keys: Vec<RowKey> = projects.iter().map(key).collect();
    Ok(!journal.known(&keys).await?.is_empty())
}
