//! The first reading of a table: every row once, usable as soon as it is listed, resumed where it stopped.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::listing::{Read, Reading};
use super::poll::Watermark;
use super::{Capture, CaptureError, document, recall};
use crate::journal::{Journal, JournalError};
use crate::observation::Channel;
use crate::schema::Table;
use crate::source::{Order, Project, Source, Urgency};
use crate::status::State;

/// Rows between two notes of how far a load is.
const NOTE_EVERY: u64 = 5_000;
/// Rows read again when a load is resumed: rows deleted meanwhile have moved the later ones forward.
const OVERLAP: u64 = 1_000;
/// Readings of a table that comes short of its total, before it is left to the census.
const READINGS: u32 = 3;

/// What documents are called that say how far a load is.
pub(super) const LOAD: &str = "load";

/// How far a load is.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Loaded {
    done: bool,
    rows: u64,
}

/// Where a load notes how far it is, and what it noted last.
pub(super) struct LoadNote {
    name: String,
    skip: u64,
    noted: u64,
}

/// Whether a table of a project has been read completely once.
pub(super) async fn is_loaded<J: Journal>(
    journal: &J,
    project: &Project,
    table: &Table,
) -> Result<bool, JournalError> {
    let loaded: Option<Loaded> = recall(journal, &document(LOAD, table, project.id)).await?;
    Ok(loaded.is_some_and(|loaded| loaded.done))
}

impl<S: Source, J: Journal> Capture<S, J> {
    /// Tells the board how far a load is, and now and then the journal.
    pub(super) async fn note_load(
        &self,
        reading: Reading<'_>,
        note: &mut LoadNote,
        read: &Read,
    ) -> Result<(), CaptureError> {
        let listed = note.skip.saturating_add(read.distinct);
        self.board.table(&reading.project.name, reading.table.name, |status| {
            status.listed = listed;
            status.total = read.total;
        });
        if listed >= note.noted.saturating_add(NOTE_EVERY) {
            note.noted = listed;
            self.remember(&note.name, &json!(Loaded { done: false, rows: listed })).await?;
        }
        Ok(())
    }

    /// Whether the table has been read completely once.
    pub(super) async fn is_loaded(&self, project: &Project, table: &Table) -> Result<bool, CaptureError> {
        Ok(is_loaded(&*self.journal, project, table).await?)
    }

    /// Reads a table for the first time, unless that is done. It is done when as many rows are there as the
    /// source says; a total that stays wrong by the same amount is reported and no longer awaited. Whether the source was
    /// asked.
    pub(super) async fn load(&self, project: &Project, table: &'static Table) -> Result<bool, CaptureError> {
        let name = document(LOAD, table, project.id);
        let mut loaded: Loaded = self.recall(&name).await?.unwrap_or_default();
        if loaded.done {
            self.board.table(&project.name, table.name, |status| status.loaded = true);
            self.count(project, table).await?;
            return Ok(false);
        }
        let _alone = self.alone(project, table).await;
        if !self.aside.has(project.id, table.id) {
            self.board.update(|status| status.capture.enter(State::Loading));
        }
        if table.newest_first && loaded.rows == 0 {
            self.start_watermark(project, table).await?;
        }
        let (mut missing_before, mut note) = (None, None);
        for _ in 0..READINGS {
            let skip = if table.newest_first { loaded.rows.saturating_sub(OVERLAP) } else { 0 };
            self.journal.census_start(table.id, project.id).await?;
            let mut progress = LoadNote { name: name.clone(), skip, noted: loaded.rows };
            let reading = Reading {
                project,
                table,
                order: Order::Stable { skip },
                urgency: Urgency::Load,
                channel: Channel::Load,
                until_ms: None,
                track: true,
            };
            let read = self.read(reading, Some(&mut progress)).await?;
            // Should it come short: from the beginning.
            loaded.rows = 0;
            let alive = self.journal.counts(table.id, project.id).await?.alive;
            // What cannot be read is named, and no reading brings it.
            let missing = read.total.unwrap_or(0).saturating_sub(alive).saturating_sub(read.unreadable_rows);
            note = match (missing, read.unread) {
                (0, _) => None,
                (missing, 0) => Some(format!("the source says there are {missing} more rows than it lists")),
                (missing, unread) => {
                    Some(format!("{missing} rows are missing; {unread} could not be read in detail"))
                }
            };
            if missing == 0 || missing_before == Some(missing) {
                break;
            }
            missing_before = Some(missing);
        }
        if let Some(note) = &note {
            tracing::warn!(project = %project.name, table = table.name, "first reading incomplete: {note}");
        }
        let note = self.with_unreadable(table, project.id, note);
        self.remember(&name, &json!(Loaded { done: true, rows: 0 })).await?;
        self.board.table(&project.name, table.name, |status| {
            status.loaded = true;
            status.note = note;
        });
        self.count(project, table).await?;
        Ok(true)
    }

    /// The first poll reads from before the load began: rows may have changed while they were listed.
    async fn start_watermark(&self, project: &Project, table: &Table) -> Result<(), CaptureError> {
        let now = self.server_ms(jiff::Timestamp::now().as_millisecond());
        let watermark = Watermark { ms: now, thorough_ms: 0 };
        self.remember(&document("poll", table, project.id), &json!(watermark)).await
    }
}
