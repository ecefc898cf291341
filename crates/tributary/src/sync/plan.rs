//! From what a pipeline wishes to what a delivery does: tables, filter, form.
//!
//! A filter names issue types and iterations; whether they exist only the source can say. So it is worked out
//! when the capture has reached the source, and before anything is written.

use std::time::Duration;

use connectors::coding::config::Details;
use connectors::coding::filter::{Resolved, unknown_iteration};
use connectors::coding::source::CodingSource;
use connectors::coding::tables::ITERATIONS;
use connectors::finding::Finding;
use engine::capture::Progress;
use engine::delivery::filter::Filter;
use engine::delivery::shape::{Deletes as ShapeDeletes, Mode as ShapeMode, Naming as ShapeNaming, Task};
use engine::journal::{Journal, JournalError};
use engine::problem::Problem;
use engine::row::{RowId, RowKey};
use engine::schema::Table;
use engine::source::{Project, SourceErrorKind};
use engine::status::{Board, State};
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::pipeline::config::{Deletes, Mode, Naming};
use crate::pipeline::{FileFinding, Pipeline};

/// Wait before the source is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(2);

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

/// The tables that any of the pipelines wants, in the source's order.
pub(crate) fn tables<'a>(
    pipelines: impl Iterator<Item = &'a Pipeline>,
    offered: &'static [Table],
) -> Vec<&'static Table> {
    let wanted: Vec<&str> = pipelines.flat_map(|p| &p.task.tables).map(|table| table.as_str()).collect();
    offered.iter().filter(|table| wanted.contains(&table.name)).collect()
}

/// What the delivery of a pipeline does.
pub(crate) fn task(
    pipeline: &Pipeline,
    offered: &'static [Table],
    filter: Filter,
    accept_deletes: bool,
) -> Task {
    Task {
        name: pipeline.name.clone(),
        team: pipeline.source.team.clone(),
        tables: tables(std::iter::once(pipeline), offered),
        filter,
        mode: match pipeline.task.mode {
            Mode::Document => ShapeMode::Document,
            Mode::Flat => ShapeMode::Flat,
        },
        naming: match pipeline.task.naming {
            Naming::SnakeCase => ShapeNaming::SnakeCase,
            Naming::Original => ShapeNaming::Original,
        },
        deletes: match pipeline.task.deletes {
            Deletes::Hard => ShapeDeletes::Hard,
            Deletes::Soft => ShapeDeletes::Soft,
        },
        listed_only: pipeline.source.details == Details::Off,
        accept_deletes,
    }
}

/// Works out the filter of a pipeline as soon as the capture knows the projects; `None` when it ended before.
pub(crate) async fn filter(
    pipeline: &Pipeline,
    source: &CodingSource,
    journal: &impl Journal,
    progress: &mut watch::Receiver<Progress>,
    board: &Board,
    cancel: &CancellationToken,
) -> Result<Option<Filter>, FilterError> {
    let wishes = &pipeline.task;
    if wishes.issue_types.is_none() && wishes.iterations.is_none() {
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
        let error = match resolve(pipeline, source, &projects).await {
            Ok(resolved) => return judge(pipeline, resolved, &projects, journal).await.map(Some),
            Err(error) => error,
        };
        if !matches!(error.kind, SourceErrorKind::Transient | SourceErrorKind::AccessLost) {
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

/// Asks the source about everything that the filter of a pipeline names.
pub(crate) async fn resolve(
    pipeline: &Pipeline,
    source: &CodingSource,
    projects: &[Project],
) -> Result<Resolved, engine::source::SourceError> {
    let wishes = &pipeline.task;
    let types = wishes.issue_types.as_deref().unwrap_or_default();
    let codes: Vec<i64> = wishes.iterations.iter().flatten().copied().collect();
    source.resolve(types, &codes, projects, "task").await
}

/// An iteration that was there once and is gone now is no mistake: its rows leave. One that never was is.
async fn judge(
    pipeline: &Pipeline,
    resolved: Resolved,
    projects: &[Project],
    journal: &impl Journal,
) -> Result<Filter, FilterError> {
    let name = format!("filter/{}", pipeline.name);
    let seen = journal.recall(&name).await?.into_iter().find(|(found, _)| *found == name);
    let mut seen: Vec<i64> =
        seen.and_then(|(_, codes)| serde_json::from_value(codes).ok()).unwrap_or_default();
    let mut findings = resolved.findings;
    for code in &resolved.unknown_iterations {
        if !seen.contains(code) && !mirrored(*code, projects, journal).await? {
            findings.push(never_was(pipeline, *code));
        }
    }
    if !findings.is_empty() {
        let in_file = |finding| FileFinding { file: pipeline.file.clone(), finding };
        return Err(FilterError::Wrong(findings.into_iter().map(in_file).collect()));
    }
    seen.extend(pipeline.task.iterations.iter().flatten());
    seen.sort_unstable();
    seen.dedup();
    journal.remember(&name, &json!(seen)).await?;
    Ok(resolved.filter)
}

/// What to say of a code that no iteration has.
pub(crate) fn never_was(pipeline: &Pipeline, code: i64) -> Finding {
    let position = pipeline.task.iterations.iter().flatten().position(|listed| *listed == code);
    unknown_iteration(code, position.unwrap_or(0), "task")
}

/// Whether the mirror has the iteration, or its tombstone.
async fn mirrored(code: i64, projects: &[Project], journal: &impl Journal) -> Result<bool, JournalError> {
    let key = |project: &Project| RowKey { table: ITERATIONS, project: project.id, id: RowId(code) };
    let keys: Vec<RowKey> = projects.iter().map(key).collect();
    Ok(!journal.known(&keys).await?.is_empty())
}
