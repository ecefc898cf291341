//! Runs pipelines: those that share a state directory share one capture; each file is a delivery.
//!
//! One place opens everything ([`group::Group::open`]), one runs it ([`group::Open::run`]). Every task is joined
//! here; nothing outlives [`run`]. Start with [`run`]; [`rebuild`] works without a source.

mod descriptors;
pub(crate) mod events;
pub(crate) mod filter;
pub(crate) mod group;
pub(crate) mod hooks;
pub(crate) mod plan;
pub(crate) mod rebuild;
pub(crate) mod source;
pub(crate) mod team;
mod watch;

use std::time::Duration;

use engine::delivery::resync::Scope;
use engine::journal::{Journal, JournalError};
use engine::problem::{Problem, Remedy};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;
use crate::pipeline::{FileFinding, Pipeline};
use crate::present::summary::Summary;
use crate::present::{self, Screen, Shown};
use crate::signals::Stop;
use group::{Ended, Group};
use hooks::Listeners;
use source::Shared;

/// What the command line says of a run.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Bring everything up to date and end.
    pub(crate) once: bool,
    /// Carry out deletes that were held.
    pub(crate) accept_deletes: bool,
    /// Read the source anew, and rebuild so much of the targets.
    pub(crate) anew: Option<Scope>,
    /// The operator's key for tokens at rest.
    pub(crate) vault_key: Option<SecretString>,
}

/// What a run did.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) summary: Summary,
    /// What is known to be missing or wrong, in words.
    pub(crate) notes: Vec<String>,
    /// What could not be read or fetched, while everything else was.
    pub(crate) unfinished: Vec<Problem>,
}

/// A stop lets work under way end for so long; with the time it takes to close, it stays below five seconds.
const GRACE: Duration = Duration::from_secs(4);
/// When a document is kept again that the journal had no room for.
const NOTE_AGAIN: Duration = Duration::from_secs(1);

/// Runs pipelines until they are done (`once`), until they are stopped, or until one of them needs a person.
///
/// # Errors
/// What needs a person, from every part that failed.
pub(crate) async fn run(
    pipelines: Vec<Pipeline>,
    options: Options,
    screen: Screen,
    stop: Stop,
) -> Result<Report, Failure> {
    let started = Instant::now();
    let groups = Group::divide(pipelines);
    let shares: Vec<_> = groups.iter().map(|group| group.share(!options.once)).collect();
    let connections = descriptors::connections(&shares)?;
    let shared = Shared::new(options.vault_key.clone());
    let mut open = Vec::new();
    let mut problems: Vec<Problem> = Vec::new();
    for group in groups {
        match group.open(&shared).await {
            Ok(group) => open.push(group),
            Err(problem) => problems.push(problem),
        }
    }
    // With `once` nobody stays to listen: a poll and a census find everything.
    let mut listeners = Listeners::new(connections);
    if !options.once {
        for group in &mut open {
            problems.extend(group.listen(&mut listeners).await.err());
        }
    }
    if !problems.is_empty() {
        for group in open {
            group.close().await;
        }
        return Err(Failure::Problems(problems));
    }
    let shown = open.iter().map(|g| Shown { label: g.label(), board: g.board().clone() }).collect();
    let shown_until = CancellationToken::new();
    let work = async {
        // One failing group ends the others: the process ends with an error, and no part of it goes on unseen.
        let failed = CancellationToken::new();
        let groups = open.into_iter().map(|group| group.run(&options, stop.clone(), failed.clone()));
        let listening_ends = CancellationToken::new();
        let groups = async {
            let ended = futures::future::join_all(groups).await;
            listening_ends.cancel();
            ended
        };
        let intake_ends = async {
            // Nothing more is taken in once the parts wind up. The arms only wait.
            tokio::select! {
                () = stop.graceful.cancelled() => {}
                () = failed.cancelled() => {}
                () = listening_ends.cancelled() => {}
            }
            listening_ends.cancel();
        };
        let (ended, (), ()) = tokio::join!(groups, listeners.run(listening_ends.clone()), intake_ends);
        shown_until.cancel();
        ended
    };
    let (ended, ()) = tokio::join!(work, present::follow(screen, shown, shown_until.clone()));
    let report = report(ended, started.elapsed())?;
    if options.once && stop.graceful.is_cancelled() {
        return Err(Failure::from(Problem::new(
            "STOPPED",
            "Not everything is up to date",
            "it was stopped before the end",
            "Run it again: it goes on from here.",
        )));
    }
    Ok(report)
}

fn report(ended: Vec<Ended>, took: Duration) -> Result<Report, Failure> {
    let problems: Vec<Problem> = ended.iter().flat_map(|group| group.problems.clone()).collect();
    if !problems.is_empty() {
        return Err(Failure::Problems(problems));
    }
    let findings: Vec<FileFinding> = ended.iter().flat_map(|group| group.findings.clone()).collect();
    if !findings.is_empty() {
        return Err(Failure::Configuration(findings));
    }
    let boards: Vec<_> = ended.iter().map(|group| group.status.clone()).collect();
    let notes = ended
        .iter()
        .flat_map(|group| &group.outcome.notes)
        .map(|((project, table), note)| format!("{project}/{table}: {note}"))
        .collect();
    let unfinished = ended.iter().flat_map(|group| group.unfinished.clone()).collect();
    Ok(Report { summary: Summary::of(&boards, took), notes, unfinished })
}

/// The document stored as `name`, if it is there and can be read.
async fn recall<T: DeserializeOwned>(journal: &impl Journal, name: &str) -> Result<Option<T>, JournalError> {
    let documents = journal.recall(name).await?;
    let document = documents.into_iter().find(|(found, _)| found == name);
    Ok(document.and_then(|(_, value)| serde_json::from_value(value).ok()))
}

/// Keeps a document: at once, or when the journal takes it again. Nothing is kept where it is cancelled meanwhile.
async fn remember_once_there_is_room(
    journal: &impl Journal,
    name: &str,
    document: &Value,
    cancel: &CancellationToken,
) -> Result<(), JournalError> {
    loop {
        match journal.remember(name, document).await {
            // Whoever records rows meets it too, and says it on the board.
            Err(error) if error.remedy != Remedy::NeedsHuman => {
                tracing::debug!(problem = %error.problem, "not noted yet");
            }
            done => return done,
        }
        // Both arms only wait.
        tokio::select! {
            () = tokio::time::sleep(NOTE_AGAIN) => {}
            () = cancel.cancelled() => return Ok(()),
        }
    }
}
