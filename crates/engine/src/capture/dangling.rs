//! Finds rows that hold copies of rows nobody has heard of.
//!
//! A row that came and went between a look-up that showed its copy and the next listing was never in the mirror: no
//! tombstone says that the copy is untrue, and the holder itself did not change. After a census, which would have
//! shown the original, such holders are looked up once more. That may confirm the copy (the original is in another
//! project, or out of sight), so a holder is looked at once for what it holds, not at every census.

use serde_json::json;

use super::{Capture, CaptureError, document};
use crate::journal::{Journal, Known};
use crate::observation::{Channel, Observation, Seen};
use crate::position::Sequence;
use crate::schema::Table;
use crate::source::{Project, Source};

/// Holders put in doubt by one census; the next goes on after them.
const DOUBTS: u32 = 1_000;

impl<S: Source, J: Journal> Capture<S, J> {
    /// After a census of `table`, which began when the journal's head was `until`: has holders of copies of its rows
    /// looked up again where the mirror has never heard of the original.
    pub(super) async fn doubt_dangling(
        &self,
        project: &Project,
        table: &'static Table,
        until: Sequence,
    ) -> Result<(), CaptureError> {
        let name = document("dangling", table, project.id);
        let after = Sequence(self.recall(&name).await?.unwrap_or(0));
        let found = self.journal.dangling(project.id, table.id, after, until, DOUBTS).await?;
        let reached = match found.last() {
            Some(last) if u32::try_from(found.len()).is_ok_and(|found| found == DOUBTS) => {
                last.version.sequence
            }
            _ => until,
        };
        let sent = self.clock.now();
        let doubt =
            |Known { key, .. }| Observation { key, sent, channel: Channel::Census, seen: Seen::Doubted };
        self.recorder.observe(found.into_iter().map(doubt).collect()).await?;
        if reached > after {
            self.remember(&name, &json!(reached.0)).await?;
        }
        Ok(())
    }
}
