//! The largest id of each table of a project, so that the mirror need not be asked for rows beyond it.
//!
//! A first reading lists rows in the order of their ids: all of them are new, and looking each of them up, once to
//! judge it and once more to commit it, would find nothing.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use engine::row::{ProjectId, RowKey};
use engine::schema::TableId;

/// No row of the mirror, dead or alive, lies beyond what is here. What is not here is not known.
#[derive(Debug, Default)]
pub(super) struct Extent(Mutex<HashMap<(TableId, ProjectId), i64>>);

impl Extent {
    fn largest(&self) -> MutexGuard<'_, HashMap<(TableId, ProjectId), i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of the keys that the mirror may have.
    pub(super) fn reached(&self, keys: &[RowKey]) -> Vec<RowKey> {
        let largest = self.largest();
        let within = |key: &RowKey| largest.get(&(key.table, key.project)).is_none_or(|id| key.id.0 <= *id);
        keys.iter().copied().filter(within).collect()
    }

    /// The tables of projects that these keys are of and of which nothing is known.
    pub(super) fn unknown(&self, keys: &[RowKey]) -> HashSet<(TableId, ProjectId)> {
        let largest = self.largest();
        let places = keys.iter().map(|key| (key.table, key.project));
        places.filter(|place| !largest.contains_key(place)).collect()
    }

    /// The mirror has no larger id than this of a table of a project.
    pub(super) fn learn(&self, table: TableId, project: ProjectId, id: i64) {
        self.largest().entry((table, project)).or_insert(id);
    }

    /// These are about to be written. Before they are, so that nobody takes one of them for unknown; should they not
    /// come to the disk, the mirror is asked for them in vain.
    pub(super) fn grow(&self, keys: &[RowKey]) {
        let mut largest = self.largest();
        for key in keys {
            if let Some(id) = largest.get_mut(&(key.table, key.project)) {
                *id = key.id.0.max(*id);
            }
        }
    }
}
