//! Reads a listing page by page and has every page recorded, while the next pages are on their way.

use std::pin::pin;
use std::time::Duration;

use futures::{FutureExt, StreamExt, TryStreamExt};

use super::differ::Details;
use super::load::LoadNote;
use super::unreadable::REMEMBERED;
use super::{Capture, CaptureError};
use crate::journal::Journal;
use crate::observation::{Channel, LookedUp, Observation, Seen};
use crate::row::{Row, RowId, RowKey};
use crate::schema::Table;
use crate::source::{LookUp, Order, Page, Project, Source, Unreadable, Urgency};

/// Pages being recorded while the next ones are read: those that wait are committed together.
const PIPELINE: usize = 4;
/// Look-ups of one page under way at the same time; the budget says how many there are a second.
pub(super) const LOOK_UPS: usize = 16;
/// Rows remembered as controls: if one is deleted meanwhile there is another.
const CONTROLS: usize = 3;
/// The longest wait for the second of an update to be over; clocks may disagree by more.
pub(super) const LONGEST_SETTLE: Duration = Duration::from_millis(2_200);

/// What to read, and how.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) project: &'a Project,
    pub(super) table: &'static Table,
    pub(super) order: Order,
    pub(super) urgency: Urgency,
    pub(super) channel: Channel,
    /// Stop once everything updated at or after this time (milliseconds) has been seen.
    pub(super) until_ms: Option<i64>,
    /// Whether the census is to remember what was seen.
    pub(super) track: bool,
}

/// What a listing showed.
#[derive(Clone, Debug, Default)]
pub(super) struct Read {
    /// Rows received, repetitions included.
    pub(super) rows: u64,
    /// Rows that the census had not seen before; only when tracking.
    pub(super) distinct: u64,
    /// How many rows the source says there are.
    pub(super) total: Option<u64>,
    /// Rows listed last, to prove that look-ups work.
    pub(super) controls: Vec<RowId>,
    /// Newest update seen, milliseconds.
    pub(super) newest_ms: i64,
    /// Rows that were listed but could not be read in detail (eager details).
    pub(super) unread: u64,
    /// Whether a row was not as it was known.
    pub(super) news: bool,
    /// Rows that are listed and cannot be read, as many as are remembered.
    pub(super) unreadable: Vec<Unreadable>,
    /// How many those are in all; they are among the `rows`, and among the `distinct` ones as far as their id is known.
    pub(super) unreadable_rows: u64,
    /// Those of them whose id is not known.
    pub(super) nameless: u64,
}

/// What one page contributed.
struct Recorded {
    ids: Vec<RowId>,
    distinct: u64,
    total: Option<u64>,
    newest_ms: i64,
    oldest_ms: Option<i64>,
    unread: u64,
    news: bool,
    unreadable: Vec<Unreadable>,
}

impl<S: Source, J: Journal> Capture<S, J> {
    /// Reads a listing to its end, or to `until_ms`; a load notes how far it is.
    pub(super) async fn read(
        &self,
        reading: Reading<'_>,
        mut load: Option<&mut LoadNote>,
    ) -> Result<Read, CaptureError> {
        let pages = self.source.list(reading.project, reading.table, reading.order, reading.urgency);
        let mut recorded = pin!(
            pages
                .map_err(CaptureError::from)
                .map(|page| async move { self.record(reading, page?).await }.boxed())
                .buffered(match reading.order {
                    Order::Stable { .. } => PIPELINE,
                    // The next page may not be needed.
                    Order::NewestFirst | Order::Newest { .. } => 1,
                })
        );
        let mut read = Read::default();
        while let Some(page) = recorded.try_next().await? {
            read.rows = read.rows.saturating_add(u64::try_from(page.ids.len()).unwrap_or(u64::MAX));
            read.distinct = read.distinct.saturating_add(page.distinct);
            read.total = page.total.or(read.total);
            read.newest_ms = read.newest_ms.max(page.newest_ms);
            read.unread = read.unread.saturating_add(page.unread);
            read.news |= page.news;
            for row in page.unreadable {
                read.rows = read.rows.saturating_add(1);
                read.unreadable_rows = read.unreadable_rows.saturating_add(1);
                read.nameless = read.nameless.saturating_add(u64::from(row.id.is_none()));
                if read.unreadable.len() < REMEMBERED {
                    read.unreadable.push(row);
                }
            }
            if !page.ids.is_empty() {
                read.controls = page.ids.iter().rev().take(CONTROLS).copied().collect();
            }
            if let Some(note) = load.as_deref_mut() {
                self.note_load(reading, note, &read).await?;
            }
            if let (Some(until), Some(oldest)) = (reading.until_ms, page.oldest_ms)
                && oldest < until
            {
                break;
            }
        }
        self.put_aside(reading, &read);
        Ok(read)
    }

    async fn record(&self, reading: Reading<'_>, page: Page) -> Result<Recorded, CaptureError> {
        let Reading { project, table, channel, .. } = reading;
        let ids: Vec<RowId> = page.rows.iter().map(|(id, _)| *id).collect();
        let updated: Vec<i64> = page.rows.iter().filter_map(|(_, row)| row.updated_ms(table)).collect();
        let updated = || updated.iter().copied();
        let (newest_ms, oldest_ms) = (updated().max().unwrap_or(0), updated().min());
        self.are_readable(reading, &ids);
        let distinct = match reading.track {
            // What cannot be read is there: no deletion.
            true if !page.unreadable.is_empty() => {
                let there = ids.iter().copied().chain(page.unreadable.iter().filter_map(|row| row.id));
                self.journal.census_saw(table.id, project.id, &there.collect::<Vec<_>>()).await?
            }
            true => self.journal.census_saw(table.id, project.id, &ids).await?,
            false => 0,
        };
        // Eager details come after the listing, for the rows that differ only: those are kept for it.
        let eager = self.settings.details == Details::Eager && table.has_detail();
        let kept = if eager { page.rows.clone() } else { Vec::new() };
        let observe = |(id, row): (RowId, Row)| {
            let key = RowKey { table: table.id, project: project.id, id };
            Observation { key, sent: page.sent, channel, seen: Seen::Listed(row) }
        };
        let observed = self.recorder.observe(page.rows.into_iter().map(observe).collect()).await?;
        let wanted: Vec<_> = kept
            .into_iter()
            .filter(|(id, _)| {
                observed.needs_detail.contains(&RowKey { table: table.id, project: project.id, id: *id })
            })
            .collect();
        let asked = wanted.len();
        let looked_up: Vec<Option<Observation>> = futures::stream::iter(wanted)
            .map(|(id, row)| {
                async move {
                    let key = RowKey { table: table.id, project: project.id, id };
                    self.settle(row.updated_ms(table)).await;
                    match self.source.look_up(project, key, reading.urgency).await.map_err(CaptureError::from)
                    {
                        Ok(look_up) => Ok(self.as_seen(table, look_up).map(|detail| Observation {
                            key,
                            sent: page.sent,
                            channel,
                            seen: Seen::Whole(row, detail),
                        })),
                        // One row that cannot be read holds nobody up; the next round asks for it again.
                        Err(error) if error.spares_others() => Ok(None),
                        Err(error) => Err(error),
                    }
                }
                .boxed()
            })
            .buffer_unordered(LOOK_UPS)
            .try_collect()
            .await?;
        let whole: Vec<Observation> = looked_up.into_iter().flatten().collect();
        let unread = u64::try_from(asked.saturating_sub(whole.len())).unwrap_or(u64::MAX);
        let news = observed.is_news() | self.recorder.observe(whole).await?.is_news();
        if news && channel != Channel::Load {
            self.rhythm.news(project.id);
        }
        let (total, unreadable) = (page.total, page.unreadable);
        Ok(Recorded { ids, distinct, total, newest_ms, oldest_ms, unread, news, unreadable })
    }

    /// What a look-up showed, and whether it has to be repeated; `None` when there is no such row.
    pub(super) fn as_seen(&self, table: &Table, look_up: LookUp) -> Option<LookedUp> {
        let LookUp { sent, server_ms, row } = look_up;
        let row = row?;
        let server_ms = server_ms.unwrap_or_else(|| {
            let sent = sent.timestamp().min(jiff::Timestamp::now());
            self.server_ms(sent.as_millisecond())
        });
        let settled = row
            .updated_ms(table)
            .is_none_or(|updated| server_ms.div_euclid(1_000) > updated.div_euclid(1_000));
        Some(LookedUp { row, sent, settled })
    }

    /// Our time in milliseconds as the source's clock has it.
    pub(super) fn server_ms(&self, ours_ms: i64) -> i64 {
        ours_ms.saturating_add(self.source.clock_ahead_ms())
    }

    /// Waits until the second of an update is over, so that one look-up is enough.
    pub(super) async fn settle(&self, updated_ms: Option<i64>) {
        let wait = updated_ms.map_or(Duration::ZERO, |updated_ms| self.until_over(updated_ms));
        if !wait.is_zero() && wait <= LONGEST_SETTLE {
            tokio::time::sleep(wait).await;
        }
    }

    /// How long until the second of an update is over, as the source's clock has it.
    pub(super) fn until_over(&self, updated_ms: i64) -> Duration {
        let over = updated_ms.div_euclid(1_000).saturating_add(1).saturating_mul(1_000);
        let left = over.saturating_sub(self.server_ms(jiff::Timestamp::now().as_millisecond()));
        Duration::from_millis(u64::try_from(left).unwrap_or(0))
    }
}
