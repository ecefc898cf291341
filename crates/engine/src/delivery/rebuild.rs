//! Whether a target can be gone on from where it stands, and the end of a rebuild: what the mirror lacks goes.
//!
//! Never a guess: a position that is not understood leads to writing everything from the mirror and deleting
//! the rest. That takes no call to the source.

use std::collections::HashSet;

use super::shape::Shaper;
use crate::journal::{Bounds, Journal, JournalError};
use crate::position::{Fingerprint, Position, RebuildReason, Sequence};
use crate::row::{ProjectId, RowId, RowKey};
use crate::source::Project;
use crate::target::{Opened, Owned, Target, TargetError};

/// Ids compared at once.
const PAGE: u32 = 2_000;

/// Why the target must be rebuilt from the beginning; `None` when it can be gone on from, in the middle of a
/// rebuild too.
///
/// # Errors
/// What the journal says.
pub async fn reason<J: Journal>(
    journal: &J,
    opened: &Opened,
    fingerprint: &Fingerprint,
    projects: &[Project],
    shaper: &Shaper,
) -> Result<Option<RebuildReason>, JournalError> {
    let Some(position) = &opened.position else { return Ok(Some(RebuildReason::New)) };
    if position.fingerprint != *fingerprint {
        return Ok(Some(RebuildReason::Reshaped));
    }
    if !journal.knows(position).await? {
        return Ok(Some(RebuildReason::OtherJournal));
    }
    let Bounds { horizon, .. } = journal.bounds().await?;
    if position.sequence < horizon {
        return Ok(Some(RebuildReason::BehindTombstones));
    }
    if is_renamed(&opened.owned, projects) {
        return Ok(Some(RebuildReason::Renamed));
    }
    if position.rebuilding {
        // It goes on where it stopped, unless it cannot be told under which identifier the rows so far stand.
        return Ok(is_ambiguous(&opened.owned).then_some(RebuildReason::Unfinished));
    }
    // A project that was captured before and comes (back) into the configuration.
    for project in projects.iter().filter(|project| !owns(&opened.owned, project)) {
        for table in &shaper.task().tables {
            if journal.counts(table.id, project.id).await?.alive > 0 {
                return Ok(Some(RebuildReason::Reshaped));
            }
        }
    }
    Ok(None)
}

/// Whether a project's rows stand in the target under another identifier than its present one, and under
/// that one none.
fn is_renamed(owned: &[Owned], projects: &[Project]) -> bool {
    let renamed = |project: &Project| {
        !owns(owned, project) && owned.iter().any(|owned| owned.project_id == project.id.0)
    };
    projects.iter().any(renamed)
}

/// Whether a project's rows may stand under two identifiers.
fn is_ambiguous(owned: &[Owned]) -> bool {
    let twice = |one: &Owned| owned.iter().filter(|other| other.project_id == one.project_id).count() > 1;
    owned.iter().any(twice)
}

pub(super) fn owns(owned: &[Owned], project: &Project) -> bool {
    owned.iter().any(|owned| owned.project_id == project.id.0 && owned.project == project.name)
}

/// Rows of the target that the mirror lacks, a page at a time.
pub(super) struct Sweep {
    /// Projects and tables still to be compared.
    left: Vec<(Owned, usize)>,
    after: Option<RowId>,
}

/// What one page of a sweep found.
pub(super) struct Lacking {
    pub(super) table: usize,
    pub(super) project: String,
    pub(super) ids: Vec<RowId>,
}

impl Sweep {
    /// Compares the rows of these projects.
    pub(super) fn new(owned: &[Owned], tables: usize) -> Sweep {
        let pairs = |owned: &Owned| (0..tables).map(|table| (owned.clone(), table)).collect::<Vec<_>>();
        Sweep { left: owned.iter().flat_map(pairs).collect(), after: None }
    }

    /// The next page's rows that are to go; `None` at the end. After an error it can be asked again.
    pub(super) async fn next<J: Journal, T: Target>(
        &mut self,
        journal: &J,
        target: &mut T,
        shaper: &Shaper,
        projects: &[Project],
    ) -> Result<Option<Lacking>, SweepError> {
        let Some((owned, table)) = self.left.last().cloned() else { return Ok(None) };
        let found = target.ids(table, &owned.team, &owned.project, self.after, PAGE).await?;
        let kept = projects.iter().any(|p| p.id.0 == owned.project_id && p.name == owned.project);
        let lacking = match (kept, shaper.task().tables.get(table)) {
            (true, Some(table)) => {
                let project = ProjectId(owned.project_id);
                let keys: Vec<RowKey> =
                    found.iter().map(|id| RowKey { table: table.id, project, id: *id }).collect();
                let known = journal.known(&keys).await?;
                let alive: HashSet<RowId> =
                    known.into_iter().filter(|known| known.alive).map(|known| known.key.id).collect();
                found.iter().filter(|id| !alive.contains(id)).copied().collect()
            }
            _ => found.clone(),
        };
        match found.last() {
            Some(last) => self.after = Some(*last),
            None => {
                self.left.pop();
                self.after = None;
            }
        }
        Ok(Some(Lacking { table, project: owned.project, ids: lacking }))
    }
}

/// A sweep reads on both sides.
pub(super) enum SweepError {
    Journal(JournalError),
    Target(TargetError),
}

impl From<JournalError> for SweepError {
    fn from(error: JournalError) -> SweepError {
        SweepError::Journal(error)
    }
}

impl From<TargetError> for SweepError {
    fn from(error: TargetError) -> SweepError {
        SweepError::Target(error)
    }
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
