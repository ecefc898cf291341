//! How a batch gets into the target: the next one is made meanwhile, a row that cannot be stored is put aside.

use jiff::Timestamp;

use super::batch::{Ahead, Made, Maker, Tally};
use super::runner::{Delivery, DeliveryError};
use super::step::Step;
use crate::clock::Moment;
use crate::journal::Journal;
use crate::position::Sequence;
use crate::status::State;
use crate::target::{Batch, Effect, TableBatch, Target, TargetError, TargetErrorKind};

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
        let Made { batch, mut counted, newest, mirrored, many, now } = made;
        let filling = self.was_empty || !self.position.rebuilding;
        self.enter(if filling { State::Loading } else { State::Rebuilding });
        let (rebuilding, last) = (self.position.rebuilding, batch.position.sequence);
        let (already, ahead) = if many { self.write_beside(&batch).await } else { (None, None) };
        let Some(effects) = self.put_on(batch, already).await? else { return Ok(None) };
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
        let delay = Timestamp::now().as_millisecond().saturating_sub(newest.timestamp().as_millisecond());
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

    /// Has a batch written, in halves where a row of it cannot be stored; says what that did to each table.
    /// `None` when cancelled.
    pub(super) async fn put(&mut self, batch: Batch) -> Result<Option<Vec<Effect>>, DeliveryError> {
        self.put_on(batch, None).await
    }

    /// As [`Delivery::put`], where the writing of the batch has been tried `already`.
    async fn put_on(
        &mut self,
        batch: Batch,
        mut already: Option<Result<Vec<Effect>, TargetError>>,
    ) -> Result<Option<Vec<Effect>>, DeliveryError> {
        let mut effects = vec![Effect::default(); self.shaper.tables().len()];
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
                    let Some(halves) = self.halve(batch, &error).await? else { return Ok(None) };
                    left.extend(halves);
                }
            }
        }
        Ok(Some(effects))
    }

    /// Splits a batch that holds a row which cannot be stored; alone, such a row is put aside. `None` when cancelled.
    async fn halve(
        &mut self,
        mut batch: Batch,
        error: &TargetError,
    ) -> Result<Option<[Batch; 2]>, DeliveryError> {
        let rows: usize = batch.tables.iter().map(|table| table.upserts.len()).sum();
        if rows > 1 {
            // The first half must not move the position: it comes last in `left`, so it is written first.
            let mut first = Batch { position: self.position.clone(), tables: Vec::new() };
            let mut wanted = rows.div_euclid(2);
            for table in &mut batch.tables {
                let take = wanted.min(table.upserts.len());
                wanted = wanted.saturating_sub(take);
                let rest = table.upserts.split_off(take);
                let upserts = std::mem::replace(&mut table.upserts, rest);
                first.tables.push(TableBatch { upserts, deletes: Vec::new(), ..*table });
            }
            return Ok(Some([batch, first]));
        }
        let mut aside = None;
        for (index, table) in batch.tables.iter_mut().enumerate() {
            if let Some(row) = table.upserts.pop() {
                let keys = self.shaper.tables().get(index).map_or(0, |table| table.key_columns);
                aside = Some((index, row.into_iter().take(keys).collect::<Vec<_>>()));
            }
        }
        let Some((index, key)) = aside else {
            return Err(DeliveryError::Target(TargetError {
                kind: TargetErrorKind::Fatal,
                problem: error.problem.clone(),
                source: None,
            }));
        };
        tracing::error!(task = %self.shaper.task().name, ?key, problem = %error.problem, "row put aside");
        let reason = error.problem.why.clone();
        if persistently!(self, self.target.put_aside(index, &key, &reason)).is_none() {
            return Ok(None);
        }
        self.board.task(&self.shaper.task().name, |status| {
            status.put_aside = status.put_aside.saturating_add(1);
        });
        let nothing = self.batch(Timestamp::now());
        Ok(Some([batch, nothing]))
    }
}
