//! Lists all rows and compares them with the mirror: finds deletions, moves, and edits that no poll can see.
//!
//! A row that a listing lacks is only a candidate. It is gone when a look-up says so while the look-up of a row
//! just listed succeeds; in tables without look-ups, when two complete listings in a row lack it; and never
//! unless the roster shows the project before and after (`proof`). When too much vanishes at once nothing is deleted
//! until it comes back or a person accepts.

use std::collections::HashSet;
use std::sync::PoisonError;

use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::listing::{LOOK_UPS, Read, Reading};
use super::{Capture, CaptureError, document};
use crate::clock::Moment;
use crate::journal::{Journal, Unseen};
use crate::observation::{Channel, Observation, Seen};
use crate::row::{RowId, RowKey};
use crate::schema::Table;
use crate::source::{Order, Project, Source, Urgency};
use crate::status::{Held, is_suspicious};

/// More candidates than this, and the table is listed again before any is looked up.
const LIST_AGAIN: u64 = 50;
/// Candidates looked up in one round.
const CANDIDATES: u32 = 1_000;
/// Not-found answers that one control look-up vouches for.
const PER_CONTROL: usize = 100;

impl<S: Source, J: Journal> Capture<S, J> {
    /// Compares a table with the mirror, and deletes what is proven gone. Whether a row was not as it was known.
    pub(super) async fn census(
        &self,
        project: &Project,
        table: &'static Table,
        urgency: Urgency,
        channel: Channel,
    ) -> Result<bool, CaptureError> {
        let _alone = self.alone(project, table).await;
        self.rhythm.begin(project, table);
        self.had_access(project, urgency).await?;
        let started = self.clock.now();
        self.journal.census_start(table.id, project.id).await?;
        let reading = Reading {
            project,
            table,
            order: Order::Stable { skip: 0 },
            urgency,
            channel,
            until_ms: None,
            track: true,
        };
        let mut read = self.read(reading, None).await?;
        let mut unseen = self.journal.census_unseen(table.id, project.id, started, CANDIDATES).await?;
        let mut complete = is_complete(&read);
        let mut sent = started;
        if unseen.count > 0 {
            // From here on every absence stands between two rosters.
            self.prove_access(project, urgency).await?;
        }
        let again = unseen.count > LIST_AGAIN || (unseen.count > 0 && !table.look_up);
        if again {
            sent = self.clock.now();
            (read, unseen, complete) = self.list_again(reading, read, unseen, complete, started).await?;
        }
        let note = match read.total {
            Some(total) if read.unread == 0 && total != listed(&read) && unseen.count == 0 => {
                Some(format!("the source says there are {total} rows and lists {}", listed(&read)))
            }
            _ if read.unread > 0 => Some(format!("{} rows could not be read in detail", read.unread)),
            _ => None,
        };
        let note = self.with_unreadable(table, project.id, note);
        let alive = self.journal.counts(table.id, project.id).await?.alive;
        let mut news = read.news;
        if self.hold(project, table, &read, &unseen, alive).await? {
            self.count(project, table).await?;
            self.rhythm.end(project, table);
            return Ok(news);
        }
        if unseen.count > 0 {
            if again {
                self.prove_access(project, urgency).await?;
            }
            if table.look_up {
                self.look_up_candidates(reading, &read, unseen, started).await?;
            } else if complete {
                let gone = gone(reading, &unseen.ids, sent);
                news |= self.recorder.observe(gone).await?.is_news();
            }
            if self.accepts(project, table) {
                // Accepted deletes that could not be proven stay held.
                self.accepted.lock().unwrap_or_else(PoisonError::into_inner).insert((table.id, project.id));
                let alive = self.journal.counts(table.id, project.id).await?.alive;
                let unseen = self.journal.census_unseen(table.id, project.id, started, 1).await?;
                self.hold(project, table, &read, &unseen, alive).await?;
            }
        }
        self.board.table(&project.name, table.name, |status| status.note = note);
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).insert((table.id, project.id));
        self.count(project, table).await?;
        self.rhythm.end(project, table);
        Ok(news)
    }

    /// Whether held deletes of a table are to be carried out: by the first census that comes to its end.
    fn accepts(&self, project: &Project, table: &Table) -> bool {
        let accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        self.settings.accept_deletes && !accepted.contains(&(table.id, project.id))
    }

    /// Lists once more; what both listings lack remains. Tables without look-ups want two listings that each
    /// agree with their totals, the others just more chances for a row to be seen.
    async fn list_again(
        &self,
        reading: Reading<'_>,
        first: Read,
        unseen: Unseen,
        complete: bool,
        started: Moment,
    ) -> Result<(Read, Unseen, bool), CaptureError> {
        let Reading { project, table, .. } = reading;
        if table.look_up {
            let mut second = self.read(reading, None).await?;
            second.news |= first.news;
            second.distinct = second.distinct.saturating_add(first.distinct);
            second.rows = second.rows.saturating_add(first.rows);
            if second.controls.is_empty() {
                second.controls = first.controls;
            }
            let unseen = self.journal.census_unseen(table.id, project.id, started, CANDIDATES).await?;
            return Ok((second, unseen, complete));
        }
        self.journal.census_start(table.id, project.id).await?;
        let mut second = self.read(reading, None).await?;
        second.news |= first.news;
        let both = complete && is_complete(&second) && second.total == first.total;
        let again = self.journal.census_unseen(table.id, project.id, started, CANDIDATES).await?;
        let before: HashSet<RowId> = unseen.ids.into_iter().collect();
        let ids: Vec<RowId> = again.ids.into_iter().filter(|id| before.contains(id)).collect();
        let count = again.count.min(unseen.count);
        Ok((second, Unseen { count, ids }, both))
    }

    /// Whether deletes are held; says so, and ends an earlier hold when its reason has passed.
    async fn hold(
        &self,
        project: &Project,
        table: &Table,
        read: &Read,
        unseen: &Unseen,
        alive: u64,
    ) -> Result<bool, CaptureError> {
        let name = document("held", table, project.id);
        let before: Option<Held> = self.recall(&name).await?;
        let emptied = read.rows == 0 && unseen.count > 0;
        let suspicious = emptied || is_suspicious(unseen.count, alive);
        let held = if suspicious && !self.accepts(project, table) {
            let since = before.as_ref().map_or_else(Timestamp::now, |held| held.since);
            Some(Held { rows: unseen.count, of: alive, since })
        } else {
            None
        };
        if held != before {
            match &held {
                // Whoever shows the board says it; here it is for whoever reads along.
                Some(held) => tracing::debug!(
                    project = %project.name, table = table.name, rows = held.rows, of = held.of,
                    "{} of {} rows vanished at once: their deletes are held until the rows are seen again or \
                     you run `tributary sync --accept-deletes`",
                    held.rows, held.of
                ),
                None => {
                    tracing::debug!(project = %project.name, table = table.name, "deletes are no longer held")
                }
            }
            self.remember(&name, &held.as_ref().map_or(Value::Null, |held| json!(held))).await?;
        }
        self.board.table(&project.name, table.name, |status| status.held = held.clone());
        Ok(held.is_some())
    }

    /// Looks candidates up; those not found are deleted once a control look-up has vouched for the answers and
    /// the roster has shown the project again.
    async fn look_up_candidates(
        &self,
        reading: Reading<'_>,
        read: &Read,
        mut unseen: Unseen,
        started: Moment,
    ) -> Result<(), CaptureError> {
        let Reading { project, table, urgency, .. } = reading;
        let mut tried_again = false;
        loop {
            let (mut found, mut lost) = (Vec::new(), Vec::new());
            let mut vouched = self.control(reading, &read.controls).await?;
            for ids in unseen.ids.chunks(PER_CONTROL) {
                let (here, gone) = self.look_up_all(reading, ids).await?;
                found.extend(here);
                // Look-ups worked before these answers and after them, so "not found" is believed.
                let before = vouched;
                vouched = gone.is_empty() || self.control(reading, &read.controls).await?;
                if before && vouched {
                    lost.extend(gone);
                }
            }
            self.prove_access(project, urgency).await?;
            let settled = found.len().saturating_add(lost.len());
            // What was found is there, though no listing shows it: no candidate of this census any more.
            let ids: Vec<RowId> = found.iter().map(|observation| observation.key.id).collect();
            self.journal.census_saw(table.id, project.id, &ids).await?;
            found.extend(lost);
            self.recorder.observe(found).await?;
            let drain = self.thorough || self.accepts(project, table);
            let more =
                drain && settled > 0 && unseen.count > u64::try_from(unseen.ids.len()).unwrap_or(u64::MAX);
            // One whose look-up failed would wait for the next census.
            let failed = settled < unseen.ids.len();
            if !more && (!failed || std::mem::replace(&mut tried_again, true)) {
                return Ok(());
            }
            unseen = self.journal.census_unseen(table.id, project.id, started, CANDIDATES).await?;
        }
    }

    /// Looks rows up: what was found, and what was not. A row whose look-up fails stays a candidate.
    pub(super) async fn look_up_all(
        &self,
        reading: Reading<'_>,
        ids: &[RowId],
    ) -> Result<(Vec<Observation>, Vec<Observation>), CaptureError> {
        let Reading { project, table, urgency, channel, .. } = reading;
        let mut answers = futures::stream::iter(ids.iter().copied())
            .map(|id| {
                async move {
                    let key = RowKey { table: table.id, project: project.id, id };
                    (key, self.source.look_up(project, key, urgency).await)
                }
                .boxed()
            })
            .buffer_unordered(LOOK_UPS);
        let (mut found, mut lost) = (Vec::new(), Vec::new());
        while let Some((key, answer)) = answers.next().await {
            match answer.map_err(CaptureError::from) {
                Ok(look_up) => {
                    let sent = look_up.sent;
                    match self.as_seen(table, look_up) {
                        Some(row) => {
                            found.push(Observation { key, sent, channel, seen: Seen::LookedUp(row) });
                        }
                        None => lost.push(Observation { key, sent, channel, seen: Seen::Gone }),
                    }
                }
                Err(error) if error.spares_others() => {
                    tracing::debug!(project = %project.name, table = table.name, %error, "look-up failed");
                }
                Err(error) => return Err(error),
            }
        }
        Ok((found, lost))
    }

    /// Whether the look-up of a row that was just listed succeeds.
    pub(super) async fn control(
        &self,
        reading: Reading<'_>,
        controls: &[RowId],
    ) -> Result<bool, CaptureError> {
        let Reading { project, table, urgency, .. } = reading;
        if controls.is_empty() && self.accepts(project, table) {
            // Nothing is listed that could be looked up: the operator's word counts, and the roster.
            return Ok(true);
        }
        for id in controls {
            let key = RowKey { table: table.id, project: project.id, id: *id };
            match self.source.look_up(project, key, urgency).await.map_err(CaptureError::from) {
                Ok(look_up) if look_up.row.is_some() => return Ok(true),
                Ok(_) => {}
                Err(error) if error.spares_others() => {}
                Err(error) => return Err(error),
            }
        }
        // Everything was deleted, or nothing can be looked up: no way to tell, so nothing is believed.
        Ok(false)
    }
}

/// Whether a listing agrees with its total, and it is known of every row which one it is.
fn is_complete(read: &Read) -> bool {
    read.total == Some(read.distinct) && read.nameless == 0
}

/// Rows that were listed, those too of which it is not known which ones they are.
fn listed(read: &Read) -> u64 {
    read.distinct.saturating_add(read.nameless)
}

fn gone(reading: Reading<'_>, ids: &[RowId], sent: Moment) -> Vec<Observation> {
    let Reading { project, table, channel, .. } = reading;
    let gone = |id: &RowId| Observation {
        key: RowKey { table: table.id, project: project.id, id: *id },
        sent,
        channel,
        seen: Seen::Gone,
    };
    ids.iter().map(gone).collect()
}
