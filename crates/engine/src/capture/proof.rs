//! Proof that the credential sees a project: the roster, read once for everybody who asked before.
//!
//! An absence is believed only between two rosters that show the project. Many ask for one at the same time, each for
//! a project of its own, and one roster answers them all: it counts for whoever asked before it was sent, and nobody
//! later.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::access::no_access;
use super::{Capture, CaptureError};
use crate::journal::Journal;
use crate::problem::Problem;
use crate::source::{Project, Source, SourceError, SourceErrorKind, Urgency};

/// So long a roster proves that there was access *before* a listing. When the listing lacks rows, what follows is
/// framed by rosters that are asked for then.
const BEFORE: Duration = Duration::from_secs(60);

/// The newest roster. Held while one is read: who waits for it, and asked before it was sent, takes it.
#[derive(Debug, Default)]
pub(super) struct Rosters(Mutex<Option<Roster>>);

#[derive(Debug)]
struct Roster {
    sent: Instant,
    answer: Result<Arc<Vec<Project>>, (SourceErrorKind, Problem)>,
}

impl Roster {
    fn answer(&self) -> Result<Arc<Vec<Project>>, CaptureError> {
        let failed = |(kind, problem): &(SourceErrorKind, Problem)| SourceError {
            kind: *kind,
            problem: problem.clone(),
            source: None,
        };
        self.answer.as_ref().map(Arc::clone).map_err(|error| failed(error).into())
    }
}

impl<S: Source, J: Journal> Capture<S, J> {
    /// A roster that was asked for at `since` or later.
    async fn roster_since(
        &self,
        since: Instant,
        urgency: Urgency,
    ) -> Result<Arc<Vec<Project>>, CaptureError> {
        let mut newest = self.rosters.0.lock().await;
        if let Some(roster) = newest.as_ref().filter(|roster| roster.sent >= since) {
            return roster.answer();
        }
        let sent = Instant::now();
        // Others wait for it, whose work may be more urgent.
        let answer = self.source.roster(urgency.min(Urgency::Poll)).await;
        let answer = answer.map(Arc::new).map_err(|error| (error.kind, error.problem));
        newest.insert(Roster { sent, answer }).answer()
    }

    /// The roster as it is now.
    pub(super) async fn roster(&self, urgency: Urgency) -> Result<Arc<Vec<Project>>, CaptureError> {
        self.roster_since(Instant::now(), urgency).await
    }

    /// Fails unless the roster shows the project under the same identifier, now.
    pub(super) async fn prove_access(&self, project: &Project, urgency: Urgency) -> Result<(), CaptureError> {
        shows(&self.roster(urgency).await?, project)
    }

    /// Fails unless a roster of the last minute shows the project: enough before a listing, see the constant.
    pub(super) async fn had_access(&self, project: &Project, urgency: Urgency) -> Result<(), CaptureError> {
        let now = Instant::now();
        shows(&self.roster_since(now.checked_sub(BEFORE).unwrap_or(now), urgency).await?, project)
    }
}

fn shows(roster: &[Project], project: &Project) -> Result<(), CaptureError> {
    if roster.contains(project) { Ok(()) } else { Err(no_access(project).into()) }
}
