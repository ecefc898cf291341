//! Whether a target can be gone on from where it stands.
//!
//! Never a guess: a position that is not understood leads to writing everything from the mirror and deleting
//! the rest. That takes no call to the source.

use crate::capture::Progress;
use crate::journal::{Bounds, Journal, JournalError};
use crate::position::{Fingerprint, Position, RebuildReason, Sequence};
use crate::source::Project;
use crate::target::{Opened, Owned};

/// Why the target must be rebuilt from the beginning; `None` when it can be gone on from, in the middle of a
/// rebuild too.
///
/// # Errors
/// What the journal says.
pub async fn reason<J: Journal>(
    journal: &J,
    opened: &Opened,
    fingerprint: &Fingerprint,
    progress: &Progress,
) -> Result<Option<RebuildReason>, JournalError> {
    let Some(position) = &opened.position else { return Ok(Some(RebuildReason::New)) };
    // Before the shape is looked at: what a fresh reading lacks is not deleted without a look, and a column that
    // it lacks is no reason to.
    if !journal.knows(position).await? {
        return Ok(Some(RebuildReason::OtherJournal));
    }
    if position.fingerprint != *fingerprint {
        return Ok(Some(RebuildReason::Reshaped));
    }
    let Bounds { horizon, .. } = journal.bounds().await?;
    // The end of a rebuild deletes whatever the mirror lacks.
    if !position.rebuilding && position.sequence < horizon {
        return Ok(Some(RebuildReason::BehindTombstones));
    }
    if is_renamed(&opened.owned, &progress.projects) {
        return Ok(Some(RebuildReason::Renamed));
    }
    if position.rebuilding {
        // It goes on where it stopped, unless it cannot be told under which identifier the rows so far stand.
        return Ok(is_ambiguous(&opened.owned).then_some(RebuildReason::Unfinished));
    }
    if is_back(&opened.owned, progress) {
        return Ok(Some(RebuildReason::Returned));
    }
    Ok(None)
}

/// Whether a project's rows stand in the target under another identifier than its present one, and under
/// that one none; or whether an identifier has passed to another project.
fn is_renamed(owned: &[Owned], projects: &[Project]) -> bool {
    let renamed = |project: &Project| {
        let known = |owned: &Owned| owned.project_id == project.id.0 || owned.project == project.name;
        !owns(owned, project) && owned.iter().any(known)
    };
    projects.iter().any(renamed)
}

/// Whether a project came back into the configuration whose rows the target does not have any more.
pub(super) fn is_back(owned: &[Owned], progress: &Progress) -> bool {
    let lacks = |project: &&Project| progress.returned.contains(&project.id) && !owns(owned, project);
    progress.projects.iter().any(|project| lacks(&project))
}

/// Whether a project's rows may stand under two identifiers, or two projects' under one.
fn is_ambiguous(owned: &[Owned]) -> bool {
    let twice = |one: &Owned| {
        let alike = |other: &&Owned| other.project_id == one.project_id || other.project == one.project;
        owned.iter().filter(alike).count() > 1
    };
    owned.iter().any(twice)
}

pub(super) fn owns(owned: &[Owned], project: &Project) -> bool {
    owned.iter().any(|owned| owned.project_id == project.id.0 && owned.project == project.name)
}

/// The position that a session begins with.
pub(super) fn first_position<J: Journal>(
    journal: &J,
    opened: &Opened,
    reason: Option<RebuildReason>,
    fingerprint: Fingerprint,
) -> Position {
    let (sequence, rebuilding) = match (reason, &opened.position) {
        (None, Some(position)) => (position.sequence, position.rebuilding),
        _ => (Sequence(0), true),
    };
    Position { generation: journal.generation().clone(), sequence, fingerprint, rebuilding }
}
