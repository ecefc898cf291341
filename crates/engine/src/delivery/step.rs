//! What a change, or a row of the mirror, means for a task: write the row, delete it, or pass it over; and how
//! it counts.
//!
//! Pure: judged on the task, the row before and the row after, and nothing else.

use super::shape::Task;
use crate::change::{Change, ChangeKind};
use crate::clock::Moment;
use crate::journal::MirrorRow;
use crate::observation::Channel;
use crate::position::Sequence;
use crate::row::{Row, RowKey};
use crate::source::Project;

/// One thing to be done to the target.
#[derive(Debug, PartialEq)]
pub(super) struct Step {
    pub(super) sequence: Sequence,
    pub(super) key: RowKey,
    /// The row as it shall be, when it was observed and looked up; `None` deletes it if it is there.
    pub(super) row: Option<(Row, Moment, Option<Moment>)>,
    /// When the request was sent that showed it; `None` for a copy of another row.
    pub(super) seen: Option<Moment>,
    pub(super) counts: Counted,
}

impl Step {
    /// A row that nobody knows is not to be there.
    pub(super) fn gone(key: RowKey, sequence: Sequence) -> Step {
        let counts = Counted { deleted: true, ..Counted::default() };
        Step { sequence, key, row: None, seen: None, counts }
    }
}

/// As what a step counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) inserted: bool,
    pub(super) updated: bool,
    pub(super) deleted: bool,
    pub(super) detailed: bool,
    /// Details of the row came before: a target that lacks the row gets them with it.
    pub(super) complete: bool,
}

/// What a task wants: its tables, its filter, the projects that are captured.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) task: &'a Task,
    pub(super) projects: &'a [Project],
}

impl Wanted<'_> {
    fn admits(self, key: RowKey, row: &Row) -> bool {
        self.task.index(key.table).is_some()
            && self.task.filter.admits(key.table, row)
            && self.projects.iter().any(|project| project.id == key.project)
    }

    /// Whether a row of the mirror is alive and belongs to what the task reads, filter or not.
    pub(super) fn covers(self, row: &MirrorRow) -> bool {
        row.row.is_some()
            && self.task.index(row.key.table).is_some()
            && self.projects.iter().any(|project| project.id == row.key.project)
    }

    /// What a change of the log means: in→in is an update, out→in an insert, in→out a delete.
    pub(super) fn logged(self, change: Change) -> Step {
        let Change { sequence, key, kind, channel, observed, detailed, first_detail, before, after } = change;
        let was = before.as_ref().is_some_and(|row| self.admits(key, row));
        let row = after.filter(|row| self.admits(key, row));
        let counts = match (was, row.is_some()) {
            (false, false) => Counted::default(),
            (false, true) => Counted { inserted: true, detailed: first_detail, ..Counted::default() },
            (true, false) => Counted { deleted: true, ..Counted::default() },
            (true, true) => Counted {
                updated: kind != ChangeKind::Detail,
                detailed: first_detail || kind == ChangeKind::Detail,
                ..Counted::default()
            },
        };
        let seen = (channel != Channel::Relation).then(|| observed.max(detailed.unwrap_or_default()));
        Step { sequence, key, row: row.map(|row| (row, observed, detailed)), seen, counts }
    }

    /// What a row of the mirror means to a target that stands at `position`. There is no before: what is not
    /// wanted is deleted if it is there.
    pub(super) fn mirrored(self, position: Sequence, mirrored: MirrorRow) -> Step {
        let detailed = mirrored.detailed();
        let MirrorRow { key, version, row } = mirrored;
        let row = row.filter(|row| self.admits(key, row));
        let known = version.inserted <= position;
        let counts = match &row {
            Some(_) => Counted {
                inserted: !known,
                updated: known && version.first_detail <= position,
                detailed: version.first_detail > position,
                complete: Sequence(0) < version.first_detail && version.first_detail <= position,
                ..Counted::default()
            },
            None => Counted { deleted: known, ..Counted::default() },
        };
        let seen = Some(version.observed.max(version.looked_up));
        let row = row.map(|row| (row, version.observed, detailed));
        Step { sequence: version.sequence, key, row, seen, counts }
    }
}
