//! Counts requests and holds them to the limit: per team and action, in any sliding second.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// What the server has seen since the start or the last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Requests per action, refused ones included.
    pub requests: BTreeMap<String, u64>,
    /// The most requests of an action that fell into one sliding second.
    pub peak_per_second: BTreeMap<String, u64>,
    /// Requests refused by the rate limit.
    pub throttled: u64,
    /// Faults that struck, by name.
    pub faults: BTreeMap<String, u64>,
}

impl Counters {
    /// All requests together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.requests.values().sum()
    }

    /// Requests of one action.
    #[must_use]
    pub fn of(&self, action: &str) -> u64 {
        self.requests.get(action).copied().unwrap_or(0)
    }
}

/// The counters and what the limit needs to remember.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) counters: Counters,
    arrived: BTreeMap<String, VecDeque<Instant>>,
    admitted: BTreeMap<String, VecDeque<Instant>>,
}

/// The window of the limit.
const WINDOW: Duration = Duration::from_secs(1);

impl Traffic {
    /// Counts a request; false when the limit (0 = none) refuses it.
    pub(crate) fn admit(&mut self, action: &str, limit: u32) -> bool {
        let now = Instant::now();
        *self.counters.requests.entry(action.to_owned()).or_default() += 1;
        let arrived = recent(&mut self.arrived, action, now);
        arrived.push_back(now);
        let width = u64::try_from(arrived.len()).unwrap_or(u64::MAX);
        let peak = self.counters.peak_per_second.entry(action.to_owned()).or_default();
        *peak = width.max(*peak);
        if limit == 0 {
            return true;
        }
        let admitted = recent(&mut self.admitted, action, now);
        if admitted.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
            self.counters.throttled += 1;
            return false;
        }
        admitted.push_back(now);
        true
    }

    /// Counts a fault.
    pub(crate) fn struck(&mut self, name: String) {
        *self.counters.faults.entry(name).or_default() += 1;
    }

    /// Forgets the counts; the limit remembers its window.
    pub(crate) fn reset(&mut self) {
        self.counters = Counters::default();
        self.arrived.clear();
    }
}

fn recent<'a>(
    times: &'a mut BTreeMap<String, VecDeque<Instant>>,
    action: &str,
    now: Instant,
) -> &'a mut VecDeque<Instant> {
    let window = times.entry(action.to_owned()).or_default();
    while window.front().is_some_and(|first| now.duration_since(*first) >= WINDOW) {
        window.pop_front();
    }
    window
}
