//! The table of deliveries, where only some of the pipelines that share a state directory keep it.
//!
//! A delivery becomes a row when it is worked off, or never: no poll brings it again. So whoever runs alone keeps the
//! table for those that do not run, and leaves on the hook the events that only they want.

use std::collections::BTreeSet;

use engine::journal::{Journal, JournalError};
use engine::schema::Table;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{plan, recall, remember_once_there_is_room};
use crate::pipeline::Pipeline;

/// Document with the names of the tasks that keep the table.
const KEPT_BY: &str = "events/kept-by";

/// Who keeps the table, by the names of tasks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Keepers(BTreeSet<String>);

impl Keepers {
    /// Those that a state directory remembers.
    pub(crate) async fn remembered(journal: &impl Journal) -> Result<Keepers, JournalError> {
        Ok(Keepers(recall(journal, KEPT_BY).await?.unwrap_or_default()))
    }

    /// What these pipelines say of themselves counts; of others, what is remembered.
    pub(crate) fn with<'a>(
        mut self,
        pipelines: impl Iterator<Item = &'a Pipeline>,
        offered: &'static [Table],
    ) -> Keepers {
        for pipeline in pipelines {
            let tables = plan::tables(std::iter::once(pipeline), offered);
            match tables.iter().any(|table| table.from_inbox) {
                true => self.0.insert(pipeline.name.clone()),
                false => self.0.remove(&pipeline.name),
            };
        }
        self
    }

    /// The tables that a capture with a hook reads for these pipelines, in the source's order: theirs, and that of
    /// deliveries for whoever keeps it.
    pub(crate) fn tables<'a>(
        &self,
        pipelines: impl Iterator<Item = &'a Pipeline>,
        offered: &'static [Table],
    ) -> Vec<&'static Table> {
        let theirs = plan::tables(pipelines, offered);
        let is_read = |table: &&Table| match table.from_inbox {
            true => !self.0.is_empty(),
            false => theirs.iter().any(|read| read.id == table.id),
        };
        offered.iter().filter(is_read).collect()
    }

    /// Remembers them.
    pub(crate) async fn note(
        &self,
        journal: &impl Journal,
        cancel: &CancellationToken,
    ) -> Result<(), JournalError> {
        if Keepers::remembered(journal).await.is_ok_and(|remembered| remembered == *self) {
            return Ok(());
        }
        remember_once_there_is_room(journal, KEPT_BY, &json!(self.0), cancel).await
    }
}
