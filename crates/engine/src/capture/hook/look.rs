//! Looking at rows that deliveries named: one newest-updated listing for all rows of a table that are due together,
//! then the look-up of each. What was not found is confirmed as a census would before it counts as gone.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, StreamExt};

use super::desk::{Done, Wanted};
use crate::capture::differ::Details;
use crate::capture::listing::Reading;
use crate::capture::recorder::Recorded;
use crate::capture::{Capture, CaptureError};
use crate::change::Change;
use crate::clock::Moment;
use crate::inbox::DeliveryNumber;
use crate::journal::Journal;
use crate::observation::{Channel, Observation, Seen};
use crate::problem::{Problem, Remedy};
use crate::row::{Row, RowId, RowKey};
use crate::schema::Table;
use crate::source::{Order, Project, Source, Urgency};

/// Rows listed for each that is due: others may have been updated since.
const ROWS_EACH: usize = 4;
/// The fewest rows listed; the source knows the most.
const FEWEST_ROWS: usize = 20;
/// Listed rows that are to vouch for look-ups.
const CONTROLS: usize = 3;
/// When a row is to be looked at again whose second was not over.
const AGAIN: Duration = Duration::from_millis(1_000);

/// What a shared listing showed.
#[derive(Debug)]
struct Listed {
    sent: Moment,
    rows: HashMap<RowId, Row>,
}

/// A listing that all rows due together wait for.
type SharedListing<'a> = Shared<BoxFuture<'a, Arc<Result<Listed, CaptureError>>>>;

impl<S: Source, J: Journal> Capture<S, J> {
    /// A look at each of the rows.
    pub(super) fn looks<'a>(
        &'a self,
        project: Project,
        table: &'static Table,
        wanted: Vec<(RowKey, Wanted)>,
    ) -> Vec<BoxFuture<'a, Done>> {
        if !table.look_up {
            let keys = wanted.into_iter().map(|(key, _)| key);
            return keys.map(|key| self.look_at_all(project.clone(), table, key).boxed()).collect();
        }
        let listed = wanted.iter().filter(|(_, wanted)| !wanted.only_again).count();
        let listing = (table.newest_first && listed > 0).then(|| {
            let (project, rows) = (project.clone(), listed.saturating_mul(ROWS_EACH).max(FEWEST_ROWS));
            async move { Arc::new(self.newest(&project, table, rows).await) }.boxed().shared()
        });
        let look = |(key, wanted): (RowKey, Wanted)| {
            let listing = listing.clone().filter(|_| !wanted.only_again);
            self.look_at(project.clone(), table, key, wanted, listing).boxed()
        };
        wanted.into_iter().map(look).collect()
    }

    /// Records the rows that deliveries make of themselves.
    pub(super) async fn record_rows(&self, rows: Vec<Observation>) -> Done {
        let keys: Vec<RowKey> = rows.iter().map(|row| row.key).collect();
        let recorded = match self.recorder.observe(rows).await {
            Ok(recorded) => recorded,
            Err(error) => return Done::Broken(error.into()),
        };
        let projects: HashSet<_> = keys.iter().map(|key| key.project).collect();
        for project in projects.into_iter().filter_map(|project| self.access.find(project)) {
            // For the board only: the next rows are counted again.
            if let Some(table) = self.events
                && let Err(error) = self.count(&project, table).await
            {
                tracing::debug!(problem = %error.problem(), "not counted");
            }
        }
        let is_new = |key: &RowKey| recorded.told.iter().any(|change| change.key == *key);
        Done::Recorded { numbers: keys.iter().map(|key| (DeliveryNumber(key.id.0), is_new(key))).collect() }
    }

    async fn newest(
        &self,
        project: &Project,
        table: &'static Table,
        rows: usize,
    ) -> Result<Listed, CaptureError> {
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        let mut pages = pin!(self.source.list(project, table, Order::Newest { rows }, Urgency::Hook));
        match pages.next().await.transpose()? {
            Some(page) => Ok(Listed { sent: page.sent, rows: page.rows.into_iter().collect() }),
            None => Ok(Listed { sent: self.clock.now(), rows: HashMap::new() }),
        }
    }

    /// Looks at one row.
    async fn look_at(
        &self,
        project: Project,
        table: &'static Table,
        key: RowKey,
        wanted: Wanted,
        listing: Option<SharedListing<'_>>,
    ) -> Done {
        let listed = match listing {
            None => None,
            Some(listing) => match &*listing.await {
                Ok(Listed { sent, rows }) => rows.get(&key.id).cloned().map(|row| (*sent, row)),
                Err(error) => return self.failed(vec![key], error).await,
            },
        };
        // A listing that lags behind what the delivery knew shows nothing.
        let second = |ms: i64| ms.div_euclid(1_000);
        let listed = listed.filter(|(_, row)| {
            row.updated_ms(table).is_none_or(|updated| second(updated) >= second(wanted.updated_ms))
        });
        let (sent, seen, again) = match listed {
            // A row that is said to be gone is looked up whatever the listing shows.
            Some((sent, row)) if self.settings.details == Details::Off && !wanted.gone => {
                (sent, Seen::Listed(row), None)
            }
            listed => {
                let look_up = match self.source.look_up(&project, key, Urgency::Hook).await {
                    Ok(look_up) => look_up,
                    Err(error) => return self.failed(vec![key], &error.into()).await,
                };
                let sent = look_up.sent;
                let Some(looked_up) = self.as_seen(table, look_up) else { return self.not_found(key).await };
                let again = (!looked_up.settled).then_some(AGAIN);
                match listed {
                    Some((sent, row)) => (sent, Seen::Whole(row, looked_up), again),
                    None => (sent, Seen::LookedUp(looked_up), again),
                }
            }
        };
        let observation = Observation { key, sent, channel: Channel::Hook, seen };
        match self.recorder.observe(vec![observation]).await {
            Ok(recorded) => self.looked(key, &recorded, again),
            Err(error) => Done::Broken(error.into()),
        }
    }

    /// A row that the mirror does not have either needs no proof.
    async fn not_found(&self, key: RowKey) -> Done {
        match self.journal.known(&[key]).await {
            Ok(known) if known.iter().any(|known| known.alive) => Done::Doubtful { key },
            Ok(_) => Done::Looked { key, changed: false, again: None, touched: Vec::new() },
            Err(error) => self.failed(vec![key], &error.into()).await,
        }
    }

    fn looked(&self, key: RowKey, recorded: &Recorded, again: Option<Duration>) -> Done {
        let own = |change: &&Change| change.key == key;
        let changed = recorded.told.iter().any(|change| own(&change));
        let touched =
            |change: &Change| self.source.touched(change.key, change.before.as_ref(), change.after.as_ref());
        let touched = recorded.told.iter().filter(own).flat_map(touched).collect();
        Done::Looked { key, changed, again, touched }
    }

    /// Lists a table whole whose rows cannot be looked up.
    async fn look_at_all(&self, project: Project, table: &'static Table, key: RowKey) -> Done {
        match self.census(&project, table, Urgency::Hook, Channel::Hook).await {
            Ok(changed) => Done::Looked { key, changed, again: None, touched: Vec::new() },
            Err(error) => self.failed(vec![key], &error).await,
        }
    }

    /// Looks rows up once more, with look-ups of other rows and the roster before and after to vouch for the
    /// answers. What is still not found is gone.
    pub(super) async fn confirm(&self, project: Project, table: &'static Table, keys: Vec<RowKey>) -> Done {
        let looks = match self.confirmed(&project, table, &keys).await {
            Ok(looks) => looks,
            Err(error) => vec![self.failed(keys.clone(), &error).await],
        };
        Done::Confirmed { project: project.id, table: table.id, looks }
    }

    async fn confirmed(
        &self,
        project: &Project,
        table: &'static Table,
        keys: &[RowKey],
    ) -> Result<Vec<Done>, CaptureError> {
        let reading = Reading {
            project,
            table,
            order: Order::NewestFirst,
            urgency: Urgency::Hook,
            channel: Channel::Hook,
            until_ms: None,
            track: false,
        };
        let ids: Vec<RowId> = keys.iter().map(|key| key.id).collect();
        self.prove_access(project, Urgency::Hook).await?;
        let rows = ids.len().saturating_add(FEWEST_ROWS);
        let listed = self.newest(project, table, rows).await?;
        let controls: Vec<RowId> =
            listed.rows.keys().filter(|id| !ids.contains(id)).take(CONTROLS).copied().collect();
        let before = self.control(reading, &controls).await?;
        let (found, lost) = self.look_up_all(reading, &ids).await?;
        let vouched = before && self.control(reading, &controls).await?;
        self.prove_access(project, Urgency::Hook).await?;
        let unproven: Vec<RowKey> =
            if vouched { Vec::new() } else { lost.iter().map(|observation| observation.key).collect() };
        let settled: Vec<Observation> =
            found.into_iter().chain(lost.into_iter().filter(|_| vouched)).collect();
        let looked: Vec<RowKey> = settled.iter().map(|observation| observation.key).collect();
        let recorded = self.recorder.observe(settled).await?;
        let mut looks: Vec<Done> = looked.iter().map(|key| self.looked(*key, &recorded, None)).collect();
        let failed: Vec<RowKey> =
            keys.iter().filter(|key| !looked.contains(key) && !unproven.contains(key)).copied().collect();
        if !unproven.is_empty() {
            looks.push(Done::Failed { keys: unproven, problem: unproven_problem(project), own: true });
        }
        if !failed.is_empty() {
            looks.push(Done::Failed { keys: failed, problem: unanswered(project), own: false });
        }
        Ok(looks)
    }

    /// Looks failed. Lost access is looked into at once: whoever shows the board says it.
    async fn failed(&self, keys: Vec<RowKey>, error: &CaptureError) -> Done {
        if let CaptureError::Journal(error) = error
            && error.remedy == Remedy::NeedsHuman
        {
            return Done::Broken(CaptureError::Journal(Arc::clone(error)));
        }
        if error.is_access_lost()
            && let Err(error) = self.look_around().await
        {
            tracing::debug!(problem = %error.problem(), "the roster cannot be read");
        }
        Done::Failed { keys, problem: error.problem().clone(), own: false }
    }
}

fn unproven_problem(project: &Project) -> Problem {
    Problem::new(
        "HOOK-UNPROVEN",
        format!("Cannot tell whether a row of project `{}` is gone", project.name),
        "it is not found, but no other row was found either that could vouch for the answer",
        "Nothing is deleted because of it. The next census looks again; `tributary hooks replay` tries it at once.",
    )
}

fn unanswered(project: &Project) -> Problem {
    Problem::new(
        "HOOK-LOOK",
        format!("Cannot look up rows of project `{}`", project.name),
        "their look-ups failed",
        "They are tried again by themselves.",
    )
}
