//! Deliveries that failed while nobody listened, out of the hook's own log.
//!
//! CODING does not repeat a delivery that failed; it only remembers it. What it remembers whole is put into the inbox
//! as if it had just arrived, under its own delivery id, so that fetching it twice does nothing. What it remembers
//! without a body it is asked to send once more.

use std::collections::HashSet;

use bytes::Bytes;
use coding_api::HookLog;
use engine::inbox::Arrival;
use engine::source::{Project, SourceError, Urgency};
use futures::TryStreamExt;
use jiff::Timestamp;

use super::super::source::CodingSource;
use super::register::hook_error;

/// Entries that are read at most: CODING's log is long, and what is older than this a poll and a census have found.
const ENTRIES_MOST: usize = 10_000;
/// Bytes of bodies that are fetched at most.
const BYTES_MOST: usize = 64 * 1024 * 1024;
/// So many entries in a row from before the time that is asked for are the end: that the log comes newest first is
/// not documented, and entries of one moment may stand in any order.
const OLD_ENTRIES: usize = 20;

/// What a hook's log had of deliveries that nobody answered with success.
#[derive(Debug, Default)]
pub struct MissedDeliveries {
    /// Those that the log has whole, oldest first: for the inbox.
    pub arrivals: Vec<Arrival>,
    /// Those that CODING was asked to send once more; they arrive by themselves.
    pub resent: u64,
    /// Whether there were more than are fetched at once: what those would have told, polls and censuses find.
    pub cut: bool,
}

impl CodingSource {
    /// The deliveries of a hook that failed since then.
    ///
    /// # Errors
    /// When CODING cannot be asked, or the credential may not manage hooks.
    pub async fn missed_deliveries(
        &self,
        project: &Project,
        id: &str,
        since: Timestamp,
    ) -> Result<MissedDeliveries, SourceError> {
        let what = format!("read what the hook of project `{}` sent", project.name);
        self.may_manage(&what)?;
        let client = self.at(Urgency::Poll);
        let failed = |error| hook_error(&what, error);
        let logs = client.service_hook_logs(project.id.0, id);
        let mut logs = std::pin::pin!(logs);
        let mut missed = Missed::new(since);
        while let Some(log) = logs.try_next().await.map_err(failed)? {
            if !missed.take(log) {
                break;
            }
        }
        for log in &missed.without_body {
            client.resend_service_hook_log(log).await.map_err(failed)?;
            missed.found.resent = missed.found.resent.saturating_add(1);
        }
        missed.found.arrivals.reverse();
        Ok(missed.found)
    }
}

/// Goes through a log, newest first.
pub(super) struct Missed {
    since_ms: i64,
    pub(super) found: MissedDeliveries,
    /// Ids of log entries.
    without_body: Vec<String>,
    /// Delivery ids that came through, or are fetched already.
    done: HashSet<String>,
    /// Ids of log entries that were read: pages drift.
    seen: HashSet<String>,
    bytes: usize,
    old: usize,
}

impl Missed {
    pub(super) fn new(since: Timestamp) -> Missed {
        Missed {
            since_ms: since.as_millisecond(),
            found: MissedDeliveries::default(),
            without_body: Vec::new(),
            done: HashSet::new(),
            seen: HashSet::new(),
            bytes: 0,
            old: 0,
        }
    }

    /// Takes an entry; whether more are wanted.
    pub(super) fn take(&mut self, log: HookLog) -> bool {
        if !self.seen.insert(log.id.clone()) {
            return true;
        }
        let made = log.send_ms.max(log.created_ms);
        if made.is_some_and(|made| made < self.since_ms) {
            self.old = self.old.saturating_add(1);
            return self.old < OLD_ENTRIES;
        }
        self.old = 0;
        if self.seen.len() > ENTRIES_MOST || self.bytes > BYTES_MOST {
            self.found.cut = true;
            return false;
        }
        let came_through = log.response_status.is_some_and(|status| (200..300).contains(&status));
        // A delivery that was sent again under its own id has an entry for each time; the newest comes first.
        let is_new = log.delivery_id.as_ref().is_none_or(|id| self.done.insert(id.clone()));
        if came_through || !is_new || log.event.as_deref() == Some("PING") {
            return true;
        }
        if log.content.is_empty() {
            self.without_body.push(log.id);
            return true;
        }
        self.bytes = self.bytes.saturating_add(log.content.len());
        self.found.arrivals.push(arrival(log));
        true
    }
}

fn arrival(log: HookLog) -> Arrival {
    let mut headers = log.headers;
    let mut lacking = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|_| !headers.iter().any(|(known, _)| known == name)) {
            headers.push((name.to_owned(), value));
        }
    };
    lacking("x-coding-service-hook-event", log.event);
    lacking("x-coding-delivery", log.delivery_id.clone());
    Arrival {
        delivery_id: log.delivery_id,
        received: Timestamp::now(),
        headers,
        body: Bytes::from(log.content),
    }
}
