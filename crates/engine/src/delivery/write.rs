//! How a batch gets into the target: the next one is made meanwhile, a row that cannot be stored is put aside.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::batch::{Ahead, Made, Maker, Noted, Tally};
use super::runner::{Delivery, DeliveryError};
use super::step::Step;
use crate::clock::Moment;
use crate::journal::Journal;
use crate::position::Sequence;
use crate::status::State;
use crate::target::{Batch, Cell, Effect, TableBatch, Target, TargetError, TargetErrorKind};

impl<J: Journal, T: Target> Delivery<J, T> {
    /// Writes steps as one batch, which leads to `last`. `false` when cancelled.
    pub(super) async fn write(
        &mut self,
        steps: Vec<Step>,
        last: Sequence,
        mirrored: Option<u64>,
    ) -> Result<bool, DeliveryError> {
        let mut position = self.position.clone();
        position.sequence = last;
        let made = self.maker().batch(steps, position, mirrored).await;
        Ok(self.write_made(Made { many: false, ..made }).await?.is_some())
    }

    /// Writes a batch; where many are to come, with the next one that was made beside. `None` when cancelled.
    pub(super) async fn write_made(&mut self, made: Made) -> Result<Option<Option<Ahead>>, DeliveryError> {
        let Made { batch, mut counted, noted, newest, mirrored, many, now } = made;
        let filling = self.was_empty || !self.position.rebuilding;
        self.enter(if filling { State::Loading } else { State::Rebuilding });
        let (rebuilding, last) = (self.position.rebuilding, batch.position.sequence);
        let (already, ahead) = if many { self.write_beside(&batch).await } else { (None, None) };
        let Some(Put { effects, aside }) = self.put_on(batch, already).await? else { return Ok(None) };
        self.leave_out(&aside, &noted, &mut counted);
        if mirrored.is_some() {
            // Read from the mirror a row has no before: the target itself says what was new to it.
            for (index, effect) in effects.into_iter().enumerate() {
                let Some(Tally { written: count, rows, complete }) = counted.get_mut(&index) else {
                    continue;
                };
                // It says how many rows it had, not which: as many may have been those with details.
                let there = rows.saturating_sub(effect.inserted);
                let known = count.inserted.saturating_add(count.updated).saturating_sub(effect.inserted);
                count.updated = known.min(count.updated);
                count.inserted = effect.inserted;
                count.deleted = effect.deleted;
                count.detailed = if rebuilding && !self.was_empty {
                    // What is written over what was there is no change.
                    count.updated = 0;
                    count.detailed.saturating_add(*complete).saturating_sub(there)
                } else {
                    count.detailed.saturating_add(complete.saturating_sub(there))
                };
            }
        }
        // A moment may be ahead of a clock that was put right since.
        let delay =
            Timestamp::now().as_millisecond().saturating_sub(newest.timestamp().as_millisecond()).max(0);
        let tables = self.shaper.task().tables.clone();
        self.board.task(&self.shaper.task().name, |status| {
            for (index, Tally { written: count, .. }) in counted {
                let Some(table) = tables.get(index) else { continue };
                let written = status.tables.entry(table.name.to_owned()).or_default();
                written.inserted = written.inserted.saturating_add(count.inserted);
                written.updated = written.updated.saturating_add(count.updated);
                written.deleted = written.deleted.saturating_add(count.deleted);
                written.detailed = written.detailed.saturating_add(count.detailed);
                written.rows = written.rows.saturating_add(count.inserted).saturating_sub(count.deleted);
            }
            status.position = last.0;
            status.last_write = Some(now);
            if newest > Moment(0) && !rebuilding {
                status.delay_ms = Some(delay);
            }
        });
        Ok(Some(ahead))
    }

    /// Tries to write a batch, and makes the next one meanwhile.
    async fn write_beside(
        &mut self,
        batch: &Batch,
    ) -> (Option<Result<Vec<Effect>, TargetError>>, Option<Ahead>) {
        let Delivery { journal, target, shaper, progress, was_empty, .. } = self;
        let maker = Maker { journal: &**journal, shaper, progress, was_empty: *was_empty };
        let (written, ahead) = futures::join!(target.write(batch), maker.ahead(&batch.position));
        (Some(written), ahead)
    }

    /// A batch without rows, at the position.
    pub(super) fn batch(&self, now: Timestamp) -> Batch {
        self.shaper.blank(now, self.position.clone())
    }

    /// What was put aside counts as nothing else.
    fn leave_out(&self, aside: &[Aside], noted: &[Noted], counted: &mut BTreeMap<usize, Tally>) {
        let projects = if aside.is_empty() { Vec::new() } else { self.projects() };
        for Aside { index, key } in aside {
            let (Some(tally), Some(table), [_, Cell::Text(name), Cell::Integer(id)]) =
                (counted.get_mut(index), self.shaper.task().tables.get(*index), key.as_slice())
            else {
                continue;
            };
            let project = projects.iter().find(|project| *project.name == **name).map(|project| project.id);
            let is_it = |step: &&Noted| {
                step.key.table == table.id && step.key.id.0 == *id && Some(step.key.project) == project
            };
            noted.iter().filter(is_it).for_each(|step| tally.take_out(step));
        }
    }

    /// Has a batch written, in halves where a row of it cannot be stored; says what that did to each table.
    /// `None` when cancelled.
    pub(super) async fn put(&mut self, batch: Batch) -> Result<Option<Vec<Effect>>, DeliveryError> {
        Ok(self.put_on(batch, None).await?.map(|put| put.effects))
    }

    /// As [`Delivery::put`], where the writing of the batch has been tried `already`.
    async fn put_on(
        &mut self,
        batch: Batch,
        mut already: Option<Result<Vec<Effect>, TargetError>>,
    ) -> Result<Option<Put>, DeliveryError> {
        let mut effects = vec![Effect::default(); self.shaper.tables().len()];
        let mut aside = Vec::new();
        let mut left = vec![batch];
        while let Some(batch) = left.pop() {
            let mut write = async |target: &mut T| {
                let written = match already.take() {
                    Some(written) => written,
                    None => target.write(&batch).await,
                };
                match written {
                    Err(error) if error.kind == TargetErrorKind::Data => Ok(Err(error)),
                    other => other.map(Ok),
                }
            };
            match persistently!(self, write(&mut self.target)) {
                None => return Ok(None),
                Some(Ok(written)) => {
                    self.position = batch.position;
                    for (sum, effect) in effects.iter_mut().zip(written) {
                        sum.inserted = sum.inserted.saturating_add(effect.inserted);
                        sum.deleted = sum.deleted.saturating_add(effect.deleted);
                    }
                }
                Some(Err(error)) => {
                    let Some(halves) = self.halve(batch, &error, &mut aside).await? else { return Ok(None) };
                    left.extend(halves);
                }
            }
        }
        // What is aside may have been written by now.
        if (self.aside > 0 || !aside.is_empty()) && !self.count_aside().await? {
            return Ok(None);
        }
        Ok(Some(Put { effects, aside }))
    }

    /// Splits a batch that holds a row which cannot be stored, or not be deleted; alone, such a row is put `aside`.
    /// `None` when cancelled.
    async fn halve(
        &mut self,
        mut batch: Batch,
        error: &TargetError,
        aside: &mut Vec<Aside>,
    ) -> Result<Option<[Batch; 2]>, DeliveryError> {
        let size = |table: &TableBatch| table.deletes.len().saturating_add(table.upserts.len());
        let rows: usize = batch.tables.iter().map(size).sum();
        if rows > 1 {
            // The first half must not move the position: it comes last in `left`, so it is written first.
            let mut first = Batch { position: self.position.clone(), tables: Vec::new() };
            let mut wanted = rows.div_euclid(2);
            for table in &mut batch.tables {
                // What goes makes room for what comes, where somebody's index lets a value be there once.
                let deletes = first_of(&mut table.deletes, &mut wanted);
                let upserts = first_of(&mut table.upserts, &mut wanted);
                first.tables.push(TableBatch { upserts, deletes, ..*table });
            }
            return Ok(Some([batch, first]));
        }
        let mut found = None;
        for (index, table) in batch.tables.iter_mut().enumerate() {
            if let Some(row) = table.upserts.pop().or_else(|| table.deletes.pop()) {
                let keys = self.shaper.tables().get(index).map_or(0, |table| table.key_columns);
                found = Some(Aside { index, key: row.into_iter().take(keys).collect() });
            }
        }
        let Some(row) = found else {
            return Err(DeliveryError::Target(TargetError {
                kind: TargetErrorKind::Fatal,
                problem: error.problem.clone(),
                source: None,
            }));
        };
        let Aside { index, key } = &row;
        tracing::error!(task = %self.shaper.task().name, ?key, problem = %error.problem, "row put aside");
        let reason = error.problem.why.clone();
        if persistently!(self, self.target.put_aside(*index, key, &reason)).is_none() {
            return Ok(None);
        }
        aside.push(row);
        self.refused = self.refused.saturating_add(1);
        let nothing = self.batch(Timestamp::now());
        Ok(Some([batch, nothing]))
    }

    /// Counts the rows that are aside, and brings the board up to date. `false` when cancelled.
    pub(super) async fn count_aside(&mut self) -> Result<bool, DeliveryError> {
        let Some(counts) = persistently!(self, self.target.aside()) else { return Ok(false) };
        self.aside = counts.iter().sum();
        let (total, task) = (self.aside, self.shaper.task());
        self.board.task(&task.name, |status| {
            status.put_aside = total;
            for (table, count) in task.tables.iter().zip(&counts) {
                status.tables.entry(table.name.to_owned()).or_default().put_aside = *count;
            }
        });
        Ok(true)
    }
}

/// What came of a batch.
struct Put {
    /// By table of the task.
    effects: Vec<Effect>,
    aside: Vec<Aside>,
}

/// A row that was put aside.
struct Aside {
    /// The place of its table among the task's.
    index: usize,
    key: Vec<Cell>,
}

/// Takes the first of `rows`, as many as are still `wanted`.
fn first_of(rows: &mut Vec<Vec<Cell>>, wanted: &mut usize) -> Vec<Vec<Cell>> {
    let take = rows.len().min(*wanted);
    *wanted = wanted.saturating_sub(take);
    let rest = rows.split_off(take);
    std::mem::replace(rows, rest)
}
