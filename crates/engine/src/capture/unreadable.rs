//! Rows that the source lists and that cannot be read: named until they can be, and never taken for missing ones.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Capture;
use super::listing::{Read, Reading};
use crate::journal::Journal;
use crate::row::{ProjectId, RowId};
use crate::schema::{Table, TableId};
use crate::source::{Order, Source, Unreadable};

/// Rows of a table that are remembered by name; more are only counted.
pub(super) const REMEMBERED: usize = 1_000;
/// Rows that a note names.
const NAMED: usize = 5;

/// What cannot be read, by table and project.
#[derive(Debug, Default)]
pub(super) struct AllUnreadable(Mutex<HashMap<(TableId, ProjectId), OfTable>>);

#[derive(Debug, Default)]
struct OfTable {
    /// By id.
    known: BTreeMap<RowId, Unreadable>,
    /// Those whose id cannot be read either, as the newest reading that met some had them.
    nameless: Vec<Unreadable>,
    /// How many more there are.
    more: u64,
}

impl AllUnreadable {
    fn tables(&self) -> MutexGuard<'_, HashMap<(TableId, ProjectId), OfTable>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OfTable {
    fn count(&self) -> u64 {
        let held = self.known.len().saturating_add(self.nameless.len());
        self.more.saturating_add(u64::try_from(held).unwrap_or(u64::MAX))
    }

    /// Which rows they are and why, in words.
    fn note(&self, table: &Table) -> Option<String> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let named = self.known.values().chain(&self.nameless).take(NAMED).map(|row| {
            let why = &row.why;
            match row.id {
                Some(RowId(id)) => {
                    format!("{} {id} (row {} of the listing): {why}", table.key_field, row.place)
                }
                None => format!("row {} of the listing: {why}", row.place),
            }
        });
        let named: Vec<String> = named.collect();
        let rest = count.saturating_sub(u64::try_from(named.len()).unwrap_or(u64::MAX));
        let rows = if count == 1 { "1 row".to_owned() } else { format!("{count} rows") };
        let rest = if rest == 0 { String::new() } else { format!("; and {rest} more") };
        Some(format!("{rows} of the source cannot be read: {}{rest}", named.join("; ")))
    }
}

impl<S: Source, J: Journal> Capture<S, J> {
    /// Rows that were read: none of them is unreadable any more.
    pub(super) fn are_readable(&self, Reading { table, project, .. }: Reading<'_>, ids: &[RowId]) {
        if let Some(found) = self.unreadable.tables().get_mut(&(table.id, project.id))
            && !found.known.is_empty()
        {
            ids.iter().for_each(|id| drop(found.known.remove(id)));
        }
    }

    /// Takes down what a reading met that cannot be read: all there is, where it read the whole table.
    pub(super) fn put_aside(&self, reading: Reading<'_>, read: &Read) {
        let Reading { table, project, .. } = reading;
        let whole = matches!(reading.order, Order::Stable { skip: 0 });
        let mut tables = self.unreadable.tables();
        let known = tables.contains_key(&(table.id, project.id));
        if !known && read.unreadable.is_empty() {
            return;
        }
        let found = tables.entry((table.id, project.id)).or_default();
        let before = if whole { std::mem::take(found) } else { OfTable::default() };
        let mut nameless = Vec::new();
        for row in &read.unreadable {
            match row.id {
                Some(id) => {
                    if !before.known.contains_key(&id) && !found.known.contains_key(&id) {
                        tracing::warn!(
                            project = %project.name, table = table.name, row = row.place, id = id.0,
                            "a row of the source cannot be read and is put aside: {}", row.why
                        );
                    }
                    found.known.insert(id, row.clone());
                }
                None => nameless.push(row.clone()),
            }
        }
        if whole || nameless.len() > found.nameless.len() {
            if nameless.len() > before.nameless.len().max(found.nameless.len()) {
                tracing::warn!(
                    project = %project.name, table = table.name, rows = nameless.len(),
                    "rows of the source cannot be read, not even by which `{}`", table.key_field
                );
            }
            found.nameless = nameless;
        }
        if whole {
            let held = u64::try_from(read.unreadable.len()).unwrap_or(u64::MAX);
            found.more = read.unreadable_rows.saturating_sub(held);
        }
        let (count, note) = (found.count(), found.note(table));
        if count == 0 {
            tables.remove(&(table.id, project.id));
        }
        drop(tables);
        self.board.table(&project.name, table.name, |status| {
            // A census and a load say the whole note at their end.
            if status.unreadable != count {
                (status.unreadable, status.note) = (count, note);
            }
        });
    }

    /// A note, and what cannot be read.
    pub(super) fn with_unreadable(
        &self,
        table: &Table,
        project: ProjectId,
        note: Option<String>,
    ) -> Option<String> {
        let unreadable =
            self.unreadable.tables().get(&(table.id, project)).and_then(|found| found.note(table));
        match (note, unreadable) {
            (Some(note), Some(unreadable)) => Some(format!("{note}; {unreadable}")),
            (note, unreadable) => note.or(unreadable),
        }
    }
}
