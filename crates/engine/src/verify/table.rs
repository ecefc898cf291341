//! Mirror and target side by side, in the order of ids. What differs at first sight is only suspicious:
//! [`settle`](super::settle) has the last word.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::report::{Compared, Difference, Value};
use super::{Verification, VerifyError, cells, patiently};
use crate::delivery::shape::Delivered;
use crate::journal::{Detail, Journal, Limit, MirrorRow};
use crate::row::{RowId, RowKey};
use crate::schema::Table;
use crate::source::Project;
use crate::target::{Cell, FoundRow, Inspect};

/// Rows read at once on either side.
const PAGE: Limit = Limit { rows: 500, bytes: 1 << 20 };

/// So many suspicious rows are settled together.
pub(super) const TOGETHER: usize = 500;

/// A table of a project.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    pub(super) index: usize,
    pub(super) table: &'static Table,
    pub(super) project: &'p Project,
}

impl Place<'_> {
    pub(super) fn key(self, id: RowId) -> RowKey {
        RowKey { table: self.table.id, project: self.project.id, id }
    }
}

/// Rows of one side, read page by page in the order of ids.
struct Side<R> {
    rows: VecDeque<R>,
    after: Option<RowId>,
    ended: bool,
}

impl<R> Side<R> {
    fn new() -> Side<R> {
        Side { rows: VecDeque::new(), after: None, ended: false }
    }

    fn take_in(&mut self, rows: Vec<R>, last: Option<RowId>) {
        self.ended = last.is_none();
        self.after = last.or(self.after);
        self.rows.extend(rows);
    }

    fn is_thirsty(&self) -> bool {
        self.rows.is_empty() && !self.ended
    }
}

impl<J: Journal, T: Inspect> Verification<'_, J, T> {
    pub(super) async fn compare(&mut self, index: usize, project: &Project) -> Result<Compared, VerifyError> {
        let mut compared = Compared::default();
        let Some(table) = self.shaper.task().tables.get(index).copied() else { return Ok(compared) };
        let place = Place { index, table, project };
        let total = self.journal.counts(table.id, project.id).await?.alive;
        self.telling.begin(project, table.name, total);
        // What cannot be read is told by how the table stands.
        let readable = self.looked.tables.get(index).is_some_and(|look| look.readable);
        let (mut mirror, mut target) = (Side::<MirrorRow>::new(), Side::<FoundRow>::new());
        let mut suspicious: Vec<RowId> = Vec::new();
        loop {
            while mirror.is_thirsty() {
                self.read_mirror(place, &mut mirror).await?;
            }
            while readable && target.is_thirsty() {
                self.read_target(place, &mut target).await?;
            }
            let ids = (mirror.rows.front().map(|row| row.key.id), target.rows.front().map(|(id, _)| *id));
            let id = match ids {
                (None, None) => break,
                (Some(id), None) | (None, Some(id)) => id,
                (Some(one), Some(other)) => one.min(other),
            };
            let expected = mirror.rows.pop_front_if(|row| row.key.id == id);
            let found = target.rows.pop_front_if(|(found, _)| *found == id);
            compared.expected = compared.expected.saturating_add(u64::from(expected.is_some()));
            compared.found = compared.found.saturating_add(u64::from(found.is_some()));
            if expected.is_some() && table.look_up {
                self.sample.offer(place.key(id));
            }
            if readable && self.difference(place, expected.as_ref(), found.as_ref()).is_some() {
                suspicious.push(id);
            }
            if suspicious.len() >= TOGETHER {
                self.settle(place, std::mem::take(&mut suspicious), &mut compared).await?;
            }
        }
        self.settle(place, suspicious, &mut compared).await?;
        compared.unread = !readable;
        Ok(compared)
    }

    async fn read_mirror(&mut self, place: Place<'_>, side: &mut Side<MirrorRow>) -> Result<(), VerifyError> {
        let (table, project) = (place.table.id, place.project.id);
        let mut rows = patiently!(self.journal.scan(table, project, side.after, PAGE))?;
        let last = rows.last().map(|row| row.key.id);
        self.telling.add(rows.len());
        rows.retain(|row| self.is_wanted(row));
        side.take_in(rows, last);
        Ok(())
    }

    async fn read_target(&mut self, place: Place<'_>, side: &mut Side<FoundRow>) -> Result<(), VerifyError> {
        let team = self.shaper.task().team.clone();
        let name = place.project.name.as_str();
        let found = patiently!(self.target.read(place.index, &team, name, side.after, PAGE))?;
        let last = found.rows.last().map(|(id, _)| *id);
        side.take_in(found.rows, last);
        Ok(())
    }

    /// Whether a row of the mirror belongs into the target.
    pub(super) fn is_wanted(&self, row: &MirrorRow) -> bool {
        let filter = &self.shaper.task().filter;
        row.row.as_ref().is_some_and(|content| filter.admits(row.key.table, content))
    }

    /// In what the target's row is not what the mirror's, which is wanted, calls for.
    pub(super) fn difference(
        &mut self,
        place: Place<'_>,
        expected: Option<&MirrorRow>,
        found: Option<&FoundRow>,
    ) -> Option<Difference> {
        let expected = expected.and_then(|expected| Some((expected, expected.row.as_ref()?)));
        let ((mirrored, row), (_, found)) = match (expected, found) {
            (None, None) => return None,
            (Some(_), None) => return Some(Difference::Lacking),
            // It only grows: what came before the mirror began stays.
            (None, Some(_)) if place.table.from_inbox => return None,
            (None, Some(_)) => return Some(Difference::Extra),
            (Some(expected), Some(found)) => (expected, found),
        };
        let delivered = Delivered {
            project: &place.project.name,
            row,
            id: mirrored.key.id,
            project_id: place.project.id.0,
            observed: mirrored.version.observed,
            detailed: mirrored.detailed(),
        };
        let expected = self.shaper.row(place.index, delivered, Timestamp::UNIX_EPOCH);
        let (table, look) = (self.shaper.tables().get(place.index)?, self.looked.tables.get(place.index)?);
        let mut values = Vec::new();
        for (at, (column, (expected, found))) in
            table.columns.iter().zip(expected.into_iter().zip(found)).enumerate()
        {
            let same = match column.name.as_str() {
                _ if at == table.synced_at || look.unreadable.contains(&at) => true,
                // What a clock that was ahead gave is put right in the mirror alone.
                "_observed_at" if *found != Cell::Null => true,
                // When the look-up was: a later one that showed nothing new is not delivered, nor is a doubt.
                "_detailed_at" => {
                    mirrored.version.detail == Detail::Stale
                        || (expected == Cell::Null) == (*found == Cell::Null)
                }
                _ => cells::alike(&expected, found),
            };
            if !same {
                values.push(Value { column: column.name.clone(), expected, found: found.clone() });
            }
        }
        (!values.is_empty()).then_some(Difference::Changed(values))
    }
}
