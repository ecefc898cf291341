//! What the post has done since the start or the last reset.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counts of hooks. Only events that a hook wants are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookCounters {
    /// All events together.
    pub total: HookTally,
    /// By event code.
    pub by_event: BTreeMap<String, HookTally>,
    /// Faults that struck, by the name of their field in [`crate::HookFaults`].
    pub faults: BTreeMap<String, u64>,
    /// What became of the deliveries about each row; those of code and of unknown events are not in it.
    pub rows: Vec<HookRow>,
    /// Deliveries that are queued, delayed or under way.
    pub pending: u64,
}

/// Counts of one event or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookTally {
    /// Events raised: things that happened and that at least one hook wants to know.
    pub raised: u64,
    /// Deliveries that these make before any fault: one for each hook.
    pub deliveries: u64,
    /// Deliveries that the fault lost.
    pub dropped: u64,
    /// Deliveries that the full queue lost.
    pub overflowed: u64,
    /// Additional copies, under the same and under another id.
    pub duplicated: u64,
    /// Deliveries that changed places.
    pub swapped: u64,
    /// Deliveries that were sent later, the late ones included.
    pub delayed: u64,
    /// Requests that were begun, copies, pings and resent ones included.
    pub attempted: u64,
    /// Requests answered 2xx.
    pub answered_2xx: u64,
    /// Requests answered otherwise.
    pub answered_other: u64,
    /// Requests without an answer: refused, cut, too slow.
    pub failed: u64,
}

/// The deliveries about one row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRow {
    /// `Issues`, `Iterations` or `ProjectMembers`.
    pub table: String,
    /// Identifier of the project at that time.
    pub project: String,
    /// Code or id of the row.
    pub key: u32,
    /// Deliveries before any fault.
    pub deliveries: u64,
    /// Those that were lost before they were sent.
    pub dropped: u64,
    /// Copies that were answered 2xx and of which a receiver could make use.
    pub arrived: u64,
}

impl HookRow {
    /// True when a receiver had no chance to learn of the row: deliveries were due, and none arrived
    /// whole.
    #[must_use]
    pub const fn is_missed(&self) -> bool {
        self.deliveries > 0 && self.arrived == 0
    }
}

impl HookCounters {
    /// The counts of one event.
    #[must_use]
    pub fn of(&self, event: &str) -> HookTally {
        self.by_event.get(event).copied().unwrap_or_default()
    }

    /// The rows of which a receiver could not learn.
    pub fn missed(&self) -> impl Iterator<Item = &HookRow> {
        self.rows.iter().filter(|row| row.is_missed())
    }
}

/// Which row an event is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowKey {
    pub(crate) table: &'static str,
    pub(crate) project: String,
    pub(crate) key: u32,
}

/// Rows that are counted one by one; more are only in the totals.
const ROWS: usize = 200_000;

/// The counters while they count.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    total: HookTally,
    by_event: BTreeMap<String, HookTally>,
    faults: BTreeMap<&'static str, u64>,
    rows: BTreeMap<RowKey, RowTally>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RowTally {
    pub(crate) deliveries: u64,
    pub(crate) dropped: u64,
    pub(crate) arrived: u64,
}

impl Tallies {
    /// Counts in the total and for the event.
    pub(crate) fn count(&mut self, event: &str, count: impl Fn(&mut HookTally)) {
        count(&mut self.total);
        if let Some(tally) = self.by_event.get_mut(event) {
            count(tally);
        } else {
            count(self.by_event.entry(event.to_owned()).or_default());
        }
    }

    /// Counts a fault.
    pub(crate) fn fault(&mut self, name: &'static str) {
        *self.faults.entry(name).or_default() += 1;
    }

    /// Counts for a row, if the event is about one.
    pub(crate) fn row(&mut self, row: Option<&RowKey>, count: impl FnOnce(&mut RowTally)) {
        let Some(row) = row else { return };
        if let Some(tally) = self.rows.get_mut(row) {
            count(tally);
        } else if self.rows.len() < ROWS {
            count(self.rows.entry(row.clone()).or_default());
        }
    }

    pub(crate) fn snapshot(&self, pending: u64) -> HookCounters {
        HookCounters {
            total: self.total,
            by_event: self.by_event.clone(),
            faults: self.faults.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            rows: self
                .rows
                .iter()
                .map(|(row, tally)| HookRow {
                    table: row.table.to_owned(),
                    project: row.project.clone(),
                    key: row.key,
                    deliveries: tally.deliveries,
                    dropped: tally.dropped,
                    arrived: tally.arrived,
                })
                .collect(),
            pending,
        }
    }
}
