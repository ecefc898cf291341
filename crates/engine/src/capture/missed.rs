//! How many changes no hook told of: the measure of whether the hook can be relied on.
//!
//! A change that poll or census found is *missed* when no delivery came for its row shortly before or after. What
//! a hook's look-up found was told of, by definition. Counted by the hour, shown for a day, and remembered, so that a
//! restart does not begin at zero.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::change::{Change, ChangeKind};
use crate::observation::Channel;
use crate::row::RowKey;

/// Document with the counts of the last day.
pub(super) const DOCUMENT: &str = "missed";
/// Hours that are shown and kept.
const HOURS: i64 = 24;
const HOUR_SECONDS: i64 = 3_600;
/// Changes that wait for their delivery; beyond it the oldest are judged early. A load is not among them.
const LARGEST_OPEN: usize = 20_000;

/// Counts of one hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Share {
    /// Changes that a hook should have told of.
    pub(super) changes: u64,
    /// Those of them that no hook told of.
    pub(super) missed: u64,
}

/// What is known of changes and deliveries. Shared by the recorder, which sees changes, and the hook's worker, which
/// sees deliveries.
#[derive(Debug)]
pub struct Missed {
    within: Duration,
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct Ledger {
    /// Counting has begun: what was missed while nobody could be told is not the hook's fault.
    counting: bool,
    /// Changes found without a hook, and when.
    open: VecDeque<(Timestamp, RowKey)>,
    /// When a delivery came last for a row.
    heard: HashMap<RowKey, Timestamp>,
    /// By the number of the hour.
    hours: BTreeMap<i64, Share>,
    changed: bool,
}

impl Ledger {
    fn count(&mut self, now: Timestamp, missed: bool) {
        let share = self.hours.entry(hour(now)).or_default();
        share.changes = share.changes.saturating_add(1);
        share.missed = share.missed.saturating_add(u64::from(missed));
        self.changed = true;
    }
}

fn hour(time: Timestamp) -> i64 {
    time.as_second().div_euclid(HOUR_SECONDS)
}

impl Missed {
    /// Nothing is counted before [`Missed::begin`].
    pub(super) fn within(within: Duration) -> Missed {
        Missed { within, ledger: Mutex::default() }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on from what an earlier process counted.
    pub(super) fn resume(&self, hours: BTreeMap<i64, Share>) {
        self.ledger().hours = hours;
    }

    /// From here on changes count.
    pub(super) fn begin(&self) {
        self.ledger().counting = true;
    }

    /// The recorder wrote a change.
    pub(super) fn changed(&self, change: &Change, now: Timestamp) {
        if change.kind == ChangeKind::Detail {
            return;
        }
        let mut ledger = self.ledger();
        if !ledger.counting {
            return;
        }
        match change.channel {
            Channel::Hook => ledger.count(now, false),
            Channel::Poll | Channel::Census => {
                let told = ledger.heard.get(&change.key).is_some_and(|heard| self.is_near(*heard, now));
                if told {
                    ledger.count(now, false);
                } else {
                    ledger.open.push_back((now, change.key));
                    if ledger.open.len() > LARGEST_OPEN {
                        ledger.open.pop_front();
                        ledger.count(now, true);
                    }
                }
            }
            Channel::Load | Channel::Detail | Channel::Relation => {}
        }
    }

    /// A delivery named these rows.
    pub(super) fn heard(&self, keys: &[RowKey], received: Timestamp) {
        let mut ledger = self.ledger();
        for key in keys {
            let heard = ledger.heard.entry(*key).or_insert(received);
            *heard = received.max(*heard);
        }
        let told: Vec<usize> = (0..ledger.open.len())
            .filter(|at| {
                let open = ledger.open.get(*at);
                // One that was received before the change was found and is read only now told of it, too.
                let told = |found: Timestamp| found >= received || self.is_near(found, received);
                open.is_some_and(|(found, key)| told(*found) && keys.contains(key))
            })
            .collect();
        for at in told.into_iter().rev() {
            ledger.open.remove(at);
            ledger.count(received, false);
        }
    }

    /// Judges what has waited long enough. The counts, where they are others than at the last call.
    pub(super) fn judge(&self, now: Timestamp) -> Option<BTreeMap<i64, Share>> {
        let mut ledger = self.ledger();
        while let Some((found, _)) = ledger.open.front()
            && !self.is_near(*found, now)
        {
            ledger.open.pop_front();
            ledger.count(now, true);
        }
        ledger.heard.retain(|_, heard| self.is_near(*heard, now));
        let oldest = hour(now).saturating_sub(HOURS);
        ledger.hours.retain(|at, _| *at > oldest);
        std::mem::take(&mut ledger.changed).then(|| ledger.hours.clone())
    }

    /// The counts could not be remembered.
    pub(super) fn remember_again(&self) {
        self.ledger().changed = true;
    }

    /// The counts of the last day.
    pub(super) fn day(&self) -> Share {
        self.ledger().hours.values().fold(Share::default(), |sum, hour| Share {
            changes: sum.changes.saturating_add(hour.changes),
            missed: sum.missed.saturating_add(hour.missed),
        })
    }

    fn is_near(&self, one: Timestamp, other: Timestamp) -> bool {
        Duration::try_from(one.duration_since(other).abs()).unwrap_or(Duration::MAX) <= self.within
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::{SignedDuration, Timestamp};

    use super::{Missed, Share};
    use crate::change::{Change, ChangeKind};
    use crate::clock::Moment;
    use crate::observation::Channel;
    use crate::position::Sequence;
    use crate::row::{ProjectId, RowId, RowKey};
    use crate::schema::TableId;

    fn key(id: i64) -> RowKey {
        RowKey { table: TableId(1), project: ProjectId(1), id: RowId(id) }
    }

    fn change(id: i64, kind: ChangeKind, channel: Channel) -> Change {
        Change {
            sequence: Sequence(1),
            key: key(id),
            kind,
            channel,
            observed: Moment(1),
            detailed: None,
            first_detail: false,
            before: None,
            after: None,
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap() + SignedDuration::from_secs(seconds)
    }

    fn counting() -> Missed {
        let missed = Missed::within(Duration::from_mins(2));
        missed.begin();
        missed
    }

    #[test]
    fn a_change_that_no_delivery_came_for_is_missed() {
        let missed = counting();
        missed.changed(&change(1, ChangeKind::Update, Channel::Poll), at(0));
        missed.judge(at(120));
        assert_eq!(missed.day(), Share::default(), "its delivery may still come");
        missed.judge(at(121));
        assert_eq!(missed.day(), Share { changes: 1, missed: 1 });
    }

    #[test]
    fn a_delivery_shortly_before_or_after_told_of_it() {
        let missed = counting();
        missed.heard(&[key(1)], at(0));
        missed.changed(&change(1, ChangeKind::Update, Channel::Poll), at(60));
        missed.changed(&change(2, ChangeKind::Delete, Channel::Census), at(60));
        missed.heard(&[key(2), key(3)], at(170));
        missed.judge(at(1_000));
        assert_eq!(missed.day(), Share { changes: 2, missed: 0 });
    }

    #[test]
    fn a_delivery_that_waits_for_its_look_told_of_its_change() {
        let missed = counting();
        missed.heard(&[key(1)], at(0));
        // The source does not answer for ten minutes; then a poll is faster than the look.
        missed.judge(at(500));
        missed.heard(&[key(1)], at(599));
        missed.changed(&change(1, ChangeKind::Update, Channel::Poll), at(600));
        // This one was received long before, and is read only now.
        missed.changed(&change(2, ChangeKind::Update, Channel::Poll), at(600));
        missed.heard(&[key(2)], at(10));
        missed.judge(at(1_000));
        assert_eq!(missed.day(), Share { changes: 2, missed: 0 });
    }

    #[test]
    fn what_a_hook_found_was_told_of() {
        let missed = counting();
        missed.changed(&change(1, ChangeKind::Insert, Channel::Hook), at(0));
        missed.changed(&change(1, ChangeKind::Detail, Channel::Hook), at(1));
        missed.changed(&change(1, ChangeKind::Update, Channel::Relation), at(1));
        assert_eq!(missed.day(), Share { changes: 1, missed: 0 });
    }

    #[test]
    fn nothing_counts_before_it_begins_and_a_day_later() {
        let missed = Missed::within(Duration::from_mins(2));
        missed.changed(&change(1, ChangeKind::Update, Channel::Poll), at(0));
        missed.begin();
        missed.changed(&change(2, ChangeKind::Update, Channel::Poll), at(0));
        assert!(missed.judge(at(200)).is_some());
        assert!(missed.judge(at(201)).is_none(), "nothing new");
        assert_eq!(missed.day(), Share { changes: 1, missed: 1 });
        missed.judge(at(90_000));
        assert_eq!(missed.day(), Share::default());
    }
}
