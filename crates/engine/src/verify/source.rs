//! The mirror against the source: a listing of everything, or look-ups of some rows.
//!
//! A row that differs from what was listed is looked at again, by a look-up where there is one, because listings
//! lag; and while somebody captures, again and again, because that one may be about to see it. Nothing is recorded
//! here.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::StreamExt;
use futures::future::try_join_all;
use tokio::time::Instant;

use super::report::{Compared, Difference, Value};
use super::{PAUSE, Telling, VerifyError, patiently};
use crate::journal::{Detail, Journal, Known, Limit, MirrorRow};
use crate::position::Sequence;
use crate::row::{Row, RowId, RowKey};
use crate::schema::{Shape, Table};
use crate::source::{Order, Project, Source, Urgency};
use crate::target::Cell;

/// Rows of the mirror read at once.
const PAGE: Limit = Limit { rows: 1_000, bytes: 4 << 20 };
/// Look-ups under way at once; the budget says how fast they go.
const AT_ONCE: usize = 8;

/// A table of a project at a source and in the mirror.
#[derive(Debug)]
pub struct Both<'a, S, J> {
    /// The source.
    pub source: &'a S,
    /// The journal with the mirror.
    pub journal: &'a J,
    /// The project.
    pub project: &'a Project,
    /// The table.
    pub table: &'static Table,
    /// Whether the mirror has listed fields only.
    pub listed_only: bool,
    /// How long a row that differs is looked at again; nothing where nobody captures meanwhile.
    pub patience: Duration,
}

/// Number of rows of a table of a project, as the source says; `None` when it does not say. One page is read.
///
/// # Errors
/// What the source says.
pub async fn count(
    source: &impl Source,
    project: &Project,
    table: &'static Table,
) -> Result<Option<u64>, VerifyError> {
    let order = if table.newest_first { Order::Newest { rows: 1 } } else { Order::Stable { skip: 0 } };
    let mut pages = std::pin::pin!(source.list(project, table, order, Urgency::Census));
    Ok(pages.next().await.transpose()?.and_then(|page| page.total))
}

impl<S: Source, J: Journal> Both<'_, S, J> {
    /// Compares all rows. In what comes back, the source's rows are the expected ones.
    ///
    /// # Errors
    /// What source and journal say.
    pub async fn compare(&self, telling: &Telling) -> Result<Compared, VerifyError> {
        let mut compared = Compared::default();
        let (mut seen, mut suspicious) = (Vec::new(), HashSet::new());
        let alive = self.journal.counts(self.table.id, self.project.id).await?.alive;
        telling.begin(self.project, self.table.name, alive);
        let order = Order::Stable { skip: 0 };
        let mut pages = std::pin::pin!(self.source.list(self.project, self.table, order, Urgency::Census));
        while let Some(page) = pages.next().await {
            let rows = page?.rows;
            telling.add(rows.len());
            seen.extend(rows.iter().map(|(id, _)| *id));
            suspicious.extend(self.unlike(&rows).await?);
        }
        // Only ids are kept, of what was seen and of what is suspicious: eight bytes a row.
        seen.sort_unstable();
        seen.dedup();
        compared.expected = u64::try_from(seen.len()).unwrap_or(u64::MAX);
        let mut after = None;
        loop {
            let rows = patiently!(self.journal.scan(self.table.id, self.project.id, after, PAGE))?;
            let Some(last) = rows.last() else { break };
            after = Some(last.key.id);
            compared.found = compared.found.saturating_add(u64::try_from(rows.len()).unwrap_or(u64::MAX));
            let unseen = rows.iter().map(|row| row.key.id).filter(|id| seen.binary_search(id).is_err());
            suspicious.extend(unseen);
        }
        let mut suspicious: Vec<RowId> = suspicious.into_iter().collect();
        suspicious.sort_unstable();
        self.settle(suspicious, &mut compared, telling).await?;
        Ok(compared)
    }

    /// Looks these rows up and compares them.
    ///
    /// # Errors
    /// What source and journal say.
    pub async fn check(&self, ids: &[RowId], telling: &Telling) -> Result<Compared, VerifyError> {
        let mut compared = Compared::default();
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        self.settle(ids.clone(), &mut compared, telling).await?;
        compared.expected = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        compared.found = compared.expected;
        Ok(compared)
    }

    /// Those of a page's rows that the mirror has otherwise.
    async fn unlike(&self, listed: &[(RowId, Row)]) -> Result<Vec<RowId>, VerifyError> {
        let keys: Vec<RowKey> = listed.iter().map(|(id, _)| self.key(*id)).collect();
        let known = patiently!(self.journal.known(&keys))?;
        let known: HashMap<RowId, Known> = known.into_iter().map(|known| (known.key.id, known)).collect();
        let is_known = |id: &RowId, row: &Row| {
            let known = known.get(id).filter(|known| known.alive);
            known.is_some_and(|known| known.version.listed_digest == Some(row.digest(self.table)))
        };
        let unlike: Vec<&(RowId, Row)> = listed.iter().filter(|(id, row)| !is_known(id, row)).collect();
        let keys: Vec<RowKey> = unlike.iter().map(|(id, _)| self.key(*id)).collect();
        let rows = patiently!(self.journal.rows(&keys))?;
        let mirrored: HashMap<RowId, MirrorRow> = rows.into_iter().map(|row| (row.key.id, row)).collect();
        let differs = |(id, row): &&&(RowId, Row)| self.difference(Some(row), mirrored.get(id)).is_some();
        Ok(unlike.iter().filter(differs).map(|(id, _)| *id).collect())
    }

    /// Looks at these rows again, until it can be told in what they differ. All of them together: rows that only
    /// wait to be seen by somebody wait at the same time.
    async fn settle(
        &self,
        ids: Vec<RowId>,
        compared: &mut Compared,
        telling: &Telling,
    ) -> Result<(), VerifyError> {
        let started = Instant::now();
        // The newest change of each row in the mirror when it was first looked at here, and how it differs now.
        let mut first: HashMap<RowId, Sequence> = HashMap::new();
        let mut open = ids;
        let mut pause = PAUSE;
        while !open.is_empty() {
            let mut left = Vec::new();
            let together = if self.table.look_up { AT_ONCE } else { open.len() };
            // Decided before the round: a last look comes after the wait.
            let last = started.elapsed() >= self.patience;
            telling.begin(self.project, self.table.name, u64::try_from(open.len()).unwrap_or(u64::MAX));
            for ids in open.chunks(together) {
                telling.add(ids.len());
                let truth = self.look(ids).await?;
                let keys: Vec<RowKey> = ids.iter().map(|id| self.key(*id)).collect();
                let rows = patiently!(self.journal.rows(&keys))?;
                let rows: HashMap<RowId, MirrorRow> = rows.into_iter().map(|row| (row.key.id, row)).collect();
                for id in ids {
                    let mirrored = rows.get(id);
                    let Some(difference) = self.difference(truth.get(id), mirrored) else { continue };
                    let sequence = mirrored.map_or(Sequence(0), |row| row.version.sequence);
                    let moved = *first.entry(*id).or_insert(sequence) != sequence;
                    left.push((*id, difference, moved));
                }
            }
            if last {
                for (id, difference, moved) in left {
                    match moved {
                        true => compared.moving = compared.moving.saturating_add(1),
                        false => compared.add(self.key(id), difference),
                    }
                }
                return Ok(());
            }
            open = left.into_iter().map(|(id, _, _)| id).collect();
            if !open.is_empty() {
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2).min(PAUSE.saturating_mul(16));
            }
        }
        Ok(())
    }

    /// What the source shows of these rows now.
    async fn look(&self, ids: &[RowId]) -> Result<HashMap<RowId, Row>, VerifyError> {
        if self.table.look_up {
            let look = async |id: &RowId| {
                let found = self.source.look_up(self.project, self.key(*id), Urgency::Census).await?;
                Ok::<_, VerifyError>(found.row.map(|row| (*id, row)))
            };
            return Ok(try_join_all(ids.iter().map(look)).await?.into_iter().flatten().collect());
        }
        let order = Order::Stable { skip: 0 };
        let mut pages = std::pin::pin!(self.source.list(self.project, self.table, order, Urgency::Census));
        let mut found = HashMap::new();
        while let Some(page) = pages.next().await {
            found.extend(page?.rows.into_iter().filter(|(id, _)| ids.contains(id)));
        }
        Ok(found)
    }

    fn key(&self, id: RowId) -> RowKey {
        RowKey { table: self.table.id, project: self.project.id, id }
    }

    fn difference(&self, truth: Option<&Row>, mirrored: Option<&MirrorRow>) -> Option<Difference> {
        let alive = mirrored.and_then(|mirrored| Some((mirrored, mirrored.row.as_ref()?)));
        let (truth, (mirrored, row)) = match (truth, alive) {
            (None, None) => return None,
            (Some(_), None) => return Some(Difference::Lacking),
            (None, Some(_)) => return Some(Difference::Extra),
            (Some(truth), Some(alive)) => (truth, alive),
        };
        // What only look-ups show may be still to come.
        let with_detail = !self.listed_only && mirrored.version.detail == Detail::Done;
        let is_wanted = |field: &str| {
            let shape = self.table.fields.iter().find(|own| own.name == field).map(|own| own.shape);
            with_detail || shape != Some(Shape::Detail)
        };
        let json = |row: &Row, field: &str| {
            row.get(field).map_or(Cell::Null, |value| Cell::Json(value.to_string().into()))
        };
        let changed = row.merge(truth, self.table).map(|merged| merged.changed).unwrap_or_default();
        let values: Vec<Value> = changed
            .into_iter()
            .filter(|field| is_wanted(field))
            .map(|field| Value { expected: json(truth, &field), found: json(row, &field), column: field })
            .collect();
        (!values.is_empty()).then_some(Difference::Changed(values))
    }
}
