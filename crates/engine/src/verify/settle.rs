//! Rows that differ at first sight, looked at again until it can be told.
//!
//! The target is read first, with its task's position, then the mirror. A row whose newest change the position has
//! passed stands in the target as it stands in the mirror, or it is wrong; of any other nothing can be said yet.

use std::collections::HashMap;

use tokio::time::Instant;

use super::report::{Compared, Difference};
use super::table::{Place, TOGETHER};
use super::{PATIENCE, PAUSE, Verification, VerifyError, patiently};
use crate::journal::{Journal, MirrorRow};
use crate::position::{Position, Sequence};
use crate::row::{RowId, RowKey};
use crate::target::{FoundRow, Inspect};

impl<J: Journal, T: Inspect> Verification<'_, J, T> {
    /// Notes in what these rows differ, those that do.
    pub(super) async fn settle(
        &mut self,
        place: Place<'_>,
        ids: Vec<RowId>,
        compared: &mut Compared,
    ) -> Result<(), VerifyError> {
        let started = Instant::now();
        // The newest change of each row when it was first looked at here.
        let mut first: HashMap<RowId, Sequence> = HashMap::new();
        let (mut open, mut delivered) = (ids, Sequence(0));
        while !open.is_empty() {
            let mut left = Vec::new();
            for ids in open.chunks(TOGETHER) {
                delivered = self.look_again(place, ids, &mut first, &mut left, compared).await?;
            }
            open = left;
            if open.is_empty() || !self.running || started.elapsed() >= PATIENCE {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        for id in open {
            // What was delivered meanwhile was changed again.
            if first.get(&id).is_some_and(|first| *first <= delivered) {
                compared.moving = compared.moving.saturating_add(1);
            } else {
                compared.add(place.key(id), Difference::Undelivered);
            }
        }
        Ok(())
    }

    /// Looks at these rows; those of which nothing can be said yet are `left`. Gives how far the target is.
    async fn look_again(
        &mut self,
        place: Place<'_>,
        ids: &[RowId],
        first: &mut HashMap<RowId, Sequence>,
        left: &mut Vec<RowId>,
        compared: &mut Compared,
    ) -> Result<Sequence, VerifyError> {
        let team = self.shaper.task().team.clone();
        let name = place.project.name.as_str();
        let found = patiently!(self.target.read_some(place.index, &team, name, ids))?;
        let position = match found.position {
            Some(position) if patiently!(self.journal.knows(&position))? => Some(position),
            _ => None,
        };
        let mut found: HashMap<RowId, FoundRow> = found.rows.into_iter().map(|row| (row.0, row)).collect();
        let keys: Vec<RowKey> = ids.iter().map(|id| place.key(*id)).collect();
        let rows = patiently!(self.journal.rows(&keys))?;
        let mut mirrored: HashMap<RowId, MirrorRow> = rows.into_iter().map(|row| (row.key.id, row)).collect();
        for id in ids {
            let row = mirrored.remove(id);
            // Nothing is left of a row, or never was: then every task has passed that.
            let sequence = row.as_ref().map_or(Sequence(0), |row| row.version.sequence);
            let wanted = row.filter(|row| self.is_wanted(row));
            let Some(difference) = self.difference(place, wanted.as_ref(), found.remove(id).as_ref()) else {
                continue;
            };
            if is_settled(position.as_ref(), sequence, &difference, self.running) {
                compared.add(place.key(*id), difference);
            } else {
                first.entry(*id).or_insert(sequence);
                left.push(*id);
            }
        }
        let delivered = position.filter(|position| !position.rebuilding);
        Ok(delivered.map_or(Sequence(0), |position| position.sequence))
    }
}

/// Whether a difference counts in a target that stands at `position`; `None` where that says nothing of this journal.
fn is_settled(
    position: Option<&Position>,
    sequence: Sequence,
    difference: &Difference,
    running: bool,
) -> bool {
    match position {
        // Nobody has delivered from this journal. Whoever runs is about to.
        None => !running,
        // What is too many goes at the end of a rebuild.
        Some(position) if position.rebuilding && *difference == Difference::Extra => !running,
        Some(position) => sequence <= position.sequence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{Fingerprint, Generation};

    #[test]
    fn a_row_is_judged_when_its_newest_change_has_been_delivered() {
        let at = |sequence, rebuilding| Position {
            generation: Generation("g".into()),
            sequence: Sequence(sequence),
            fingerprint: Fingerprint("f".into()),
            rebuilding,
        };
        let check = |position: Option<Position>, sequence, difference, running, expected| {
            let settled = is_settled(position.as_ref(), Sequence(sequence), &difference, running);
            assert_eq!(settled, expected, "{position:?} {sequence} {difference:?} {running}");
        };
        check(Some(at(5, false)), 5, Difference::Lacking, true, true);
        check(Some(at(5, false)), 6, Difference::Lacking, true, false);
        check(Some(at(5, false)), 6, Difference::Extra, false, false);
        check(Some(at(5, true)), 5, Difference::Lacking, true, true);
        check(Some(at(5, true)), 0, Difference::Extra, true, false);
        check(None, 1, Difference::Lacking, true, false);
        check(None, 1, Difference::Lacking, false, true);
    }
}
