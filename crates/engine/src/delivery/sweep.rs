//! The end of a rebuild: rows of the target that the mirror lacks are deleted.
//!
//! The mirror may be a fresh reading, made by a credential that sees less than the one before. So the rows are
//! counted first, and when too many of a table would go they are held until somebody accepts.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;

use super::runner::{Delivery, DeliveryError};
use crate::journal::Journal;
use crate::position::Sequence;
use crate::row::{RowId, RowKey};
use crate::source::Project;
use crate::status::{TableStatus, Written, is_suspicious};
use crate::target::{Owned, Target};

/// Ids compared at once.
const PAGE: u32 = 2_000;

impl<J: Journal, T: Target> Delivery<J, T> {
    /// Deletes what the mirror lacks and calls the target rebuilt up to `head`, unless the deletes are held. `false`
    /// when cancelled.
    pub(super) async fn finish_rebuild(&mut self, head: Sequence) -> Result<bool, DeliveryError> {
        let Some(bounds) = persistently!(self, self.journal.bounds()) else { return Ok(false) };
        if !self.was_empty || bounds.horizon > self.horizon {
            let tables = self.all_tables();
            let Some(held) = self.hold(&tables).await? else { return Ok(false) };
            if held {
                self.count().await?;
                return Ok(true);
            }
            let progress = self.progress.borrow().clone();
            let projects = &progress.projects;
            // Of all that the credential sees, a project that is missing may only be out of view, unless its
            // identifier is another's by now.
            let is_here =
                |owned: &Owned, one: &Project| one.id.0 == owned.project_id || one.name == owned.project;
            let out_of_view = |owned: &Owned| {
                progress.may_be_out_of_view(&owned.project)
                    && !projects.iter().any(|project| is_here(owned, project))
            };
            let owned: Vec<Owned> = self.owned.iter().filter(|owned| !out_of_view(owned)).cloned().collect();
            let refused = self.refused;
            if !self.sweep(&owned, &tables).await? {
                return Ok(false);
            }
            let left = |owned: &Owned| !is_kept(owned, projects);
            let gone: Vec<Owned> = owned.into_iter().filter(left).collect();
            if !gone.is_empty() && self.refused == refused && !self.disown(&gone).await? {
                return Ok(false);
            }
        }
        let mut batch = self.batch(Timestamp::now());
        batch.position.rebuilding = false;
        // Beyond the last row there may have been deletions that are forgotten, which a sweep makes up for.
        batch.position.sequence = batch.position.sequence.max(head);
        if self.put(batch).await?.is_none() {
            return Ok(false);
        }
        self.count().await?;
        Ok(true)
    }

    /// Whether the deletes of these tables are held; says so. `None` when cancelled.
    pub(super) async fn hold(&mut self, tables: &[usize]) -> Result<Option<bool>, DeliveryError> {
        self.held = Vec::new();
        if self.guarded && !self.shaper.task().accept_deletes {
            let Some(held) = self.suspicious(tables).await? else { return Ok(None) };
            self.held = held;
        }
        let rows: u64 = self.held.iter().sum();
        if rows > 0 {
            tracing::warn!(
                task = %self.shaper.task().name, rows,
                "the target has {rows} rows that the source no longer shows: their deletes are held until \
                 you run `tributary sync --accept-deletes`"
            );
        }
        Ok(Some(rows > 0))
    }

    /// Rows by table that would be deleted although their project is still read, where they are suspiciously
    /// many. `None` when cancelled.
    async fn suspicious(&mut self, tables: &[usize]) -> Result<Option<Vec<u64>>, DeliveryError> {
        let kept = self.kept();
        let mut held = vec![0_u64; self.shaper.tables().len()];
        for (index, held) in held.iter_mut().enumerate().filter(|(index, _)| tables.contains(index)) {
            for owned in &kept {
                let (mut rows, mut lacking, mut after) = (0_u64, 0_u64, None);
                loop {
                    let Some((found, gone)) = self.lacking(index, owned, after).await? else {
                        return Ok(None);
                    };
                    let Some(last) = found.last() else { break };
                    after = Some(*last);
                    rows = rows.saturating_add(u64::try_from(found.len()).unwrap_or(u64::MAX));
                    lacking = lacking.saturating_add(u64::try_from(gone.len()).unwrap_or(u64::MAX));
                }
                if is_suspicious(lacking, rows) || (lacking > 0 && lacking == rows) {
                    *held = held.saturating_add(lacking);
                }
            }
        }
        Ok(Some(held))
    }

    /// The places of all tables.
    pub(super) fn all_tables(&self) -> Vec<usize> {
        (0..self.shaper.tables().len()).collect()
    }

    /// Projects that are still read, under the identifiers that their rows carry.
    pub(super) fn kept(&self) -> Vec<Owned> {
        let projects = self.projects();
        self.owned.iter().filter(|owned| is_kept(owned, &projects)).cloned().collect()
    }

    /// Deletes the rows of these projects that the mirror lacks, in these tables; all of them where the project is
    /// read no more. `false` when cancelled.
    pub(super) async fn sweep(&mut self, swept: &[Owned], tables: &[usize]) -> Result<bool, DeliveryError> {
        for owned in swept {
            for index in tables.iter().copied() {
                let mut after = None;
                loop {
                    let Some((found, gone)) = self.lacking(index, owned, after).await? else {
                        return Ok(false);
                    };
                    let Some(last) = found.last() else { break };
                    after = Some(*last);
                    if !gone.is_empty() && !self.delete(index, owned, &gone).await? {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// The next ids of a table of the target, and those of them that the mirror lacks.
    async fn lacking(
        &mut self,
        index: usize,
        owned: &Owned,
        after: Option<RowId>,
    ) -> Result<Option<(Vec<RowId>, Vec<RowId>)>, DeliveryError> {
        let ids = persistently!(self, self.target.ids(index, &owned.team, &owned.project, after, PAGE));
        let (Some(found), Some(table)) = (ids, self.shaper.task().tables.get(index)) else { return Ok(None) };
        // Whose rows these are now: an identifier may have passed to another project.
        let present = self.projects().into_iter().find(|project| project.name == owned.project);
        let Some(Project { id: project, .. }) = present else {
            return Ok(Some((found.clone(), found)));
        };
        if table.from_inbox {
            // What was once told stays told: a mirror that is younger than the target does not know of it.
            return Ok(Some((found, Vec::new())));
        }
        let keys: Vec<RowKey> = found.iter().map(|id| RowKey { table: table.id, project, id: *id }).collect();
        let Some(known) = persistently!(self, self.journal.known(&keys)) else { return Ok(None) };
        let alive: HashSet<RowId> =
            known.into_iter().filter(|known| known.alive).map(|known| known.key.id).collect();
        let gone = found.iter().filter(|id| !alive.contains(id)).copied().collect();
        Ok(Some((found, gone)))
    }

    async fn delete(&mut self, index: usize, owned: &Owned, ids: &[RowId]) -> Result<bool, DeliveryError> {
        let mut batch = self.batch(Timestamp::now());
        if let Some(table) = batch.tables.get_mut(index) {
            table.deletes = ids.iter().map(|id| self.shaper.key(&owned.project, *id)).collect();
        }
        let Some(effects) = self.put(batch).await? else { return Ok(false) };
        let deleted: u64 = effects.iter().map(|effect| effect.deleted).sum();
        self.add(index, |written| written.deleted = written.deleted.saturating_add(deleted));
        Ok(true)
    }

    /// Forgets projects whose rows are gone. `false` when cancelled.
    pub(super) async fn disown(&mut self, gone: &[Owned]) -> Result<bool, DeliveryError> {
        if persistently!(self, self.target.disown(gone)).is_none() {
            return Ok(false);
        }
        self.owned.retain(|owned| !gone.contains(owned));
        Ok(true)
    }

    /// Counts the target's rows, by table, and brings the board up to date; nothing when cancelled.
    pub(super) async fn count(&mut self) -> Result<Vec<u64>, DeliveryError> {
        let mut rows = Vec::new();
        for index in 0..self.shaper.tables().len() {
            let owned = self.owned.clone();
            let Some(count) = persistently!(self, self.target.count(index, &owned)) else {
                return Ok(Vec::new());
            };
            self.add(index, |written| written.rows = count);
            rows.push(count);
        }
        if !self.count_aside().await? {
            return Ok(Vec::new());
        }
        self.show_held();
        let position = self.position.sequence.0;
        self.board.task(&self.shaper.task().name, |status| status.position = position);
        Ok(rows)
    }

    /// Brings the board's numbers of held deletes up to date: those of the capture, and those of the rebuild.
    pub(super) fn show_held(&self) {
        let status = self.board.read();
        for (index, table) in self.shaper.task().tables.iter().enumerate() {
            let of = |tables: &BTreeMap<String, TableStatus>| {
                tables.get(table.name).and_then(|table| table.held.as_ref()).map_or(0, |held| held.rows)
            };
            let captured: u64 = status.projects.values().map(of).sum();
            let own = self.held.get(index).copied().unwrap_or(0);
            self.add(index, |written| written.held = captured.saturating_add(own));
        }
    }

    fn add(&self, index: usize, change: impl FnOnce(&mut Written)) {
        let Some(table) = self.shaper.task().tables.get(index) else { return };
        self.board.task(&self.shaper.task().name, |status| {
            change(status.tables.entry(table.name.to_owned()).or_default());
        });
    }
}

/// Whether a project is still read, under the identifier that its rows carry.
fn is_kept(owned: &Owned, projects: &[Project]) -> bool {
    projects.iter().any(|project| project.id.0 == owned.project_id && project.name == owned.project)
}
