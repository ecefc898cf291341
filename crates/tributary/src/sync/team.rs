//! Whose rows a state directory holds. The team is part of the key of every row, and nothing in the rows tells it:
//! the rows of one team must not be delivered as another's.

use engine::capture::Progress;
use engine::journal::{Journal, JournalError};
use engine::problem::{Problem, Remedy};
use serde_json::Value;
use tokio::sync::watch;

use super::recall;
use crate::pipeline::Pipeline;

/// The document with the team's name.
const TEAM: &str = "team";

/// Fails when the journal holds rows of another team than the pipeline's.
pub(crate) async fn check(pipeline: &Pipeline, journal: &impl Journal) -> Result<(), Problem> {
    let team: Option<String> = recall(journal, TEAM).await.map_err(|error| error.problem)?;
    match team {
        Some(team) if team != pipeline.source.team => Err(Problem::new(
            "STATE-TEAM",
            format!("Cannot use the state directory {}", pipeline.state.display()),
            format!("it holds rows of team `{team}`, and the pipeline reads team `{}`", pipeline.source.team),
            "Give this pipeline a `state` of its own, or correct `source.team`.",
        )),
        Some(_) | None => Ok(()),
    }
}

/// Remembers the team once the source has shown everything: by then it has proven whose it is.
pub(crate) async fn remember(
    team: &str,
    journal: &impl Journal,
    progress: &mut watch::Receiver<Progress>,
) -> Result<(), JournalError> {
    // The capture is gone when the sender is.
    if progress.wait_for(|progress| progress.loaded).await.is_err() {
        return Ok(());
    }
    match journal.remember(TEAM, &Value::from(team)).await {
        // No room, or busy: the next start notes it.
        Err(error) if error.remedy != Remedy::NeedsHuman => {
            tracing::debug!(problem = %error.problem, "not noted");
            Ok(())
        }
        noted => noted,
    }
}
