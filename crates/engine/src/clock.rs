//! Time, so that a test can turn it: wall time for people, moments for the order of observations.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// When a request was sent: microseconds of wall time that never run backwards within a journal.
///
/// Moments order the observations of one key, also across restarts: a new process starts its clock after
/// the newest moment that the journal holds. That they are wall time too holds as long as the system's clock does: one
/// that was ahead is put right in the journal at its next opening, and whoever shows a moment shows none that is still
/// to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment(pub i64);

impl Moment {
    /// The moment as wall time.
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_microsecond(self.0).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// Further ahead than this the wall clock was set, or the machine slept: moments follow it.
const AHEAD: i64 = 1_000_000;

/// Gives moments. Cheap to clone; clones share one line of time.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// From each instant on moments are counted from that one. In order, and never empty.
    steps: RwLock<Vec<(Instant, i64)>>,
    last: AtomicI64,
}

impl Clock {
    /// A clock whose moments all come after `newest`, the newest moment the journal holds.
    #[must_use]
    pub fn after(newest: Moment) -> Clock {
        let first = Timestamp::now().as_microsecond().max(newest.0.saturating_add(1));
        let steps = RwLock::new(vec![(Instant::now(), first)]);
        Clock(Arc::new(Inner { steps, last: AtomicI64::new(first) }))
    }

    /// Now, later than every moment that `now` gave before.
    #[must_use]
    pub fn now(&self) -> Moment {
        let now = self.at(Instant::now()).0;
        let step = |last: i64| Some(now.max(last.saturating_add(1)));
        let last = self.0.last.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
        Moment(now.max(last.unwrap_or(now).saturating_add(1)))
    }

    /// The moment of an instant of this process.
    #[must_use]
    pub fn at(&self, instant: Instant) -> Moment {
        self.follow(Instant::now(), Timestamp::now().as_microsecond());
        Moment(self.0.counted(instant))
    }

    /// Follows a wall clock that was set forward. What came before keeps its moment; one that was set back is not
    /// followed, for moments never run backwards.
    fn follow(&self, now: Instant, wall: i64) {
        if wall.saturating_sub(self.0.counted(now)) > AHEAD {
            let mut steps = self.0.steps.write().unwrap_or_else(PoisonError::into_inner);
            if steps.last().is_none_or(|(since, _)| *since < now) {
                steps.push((now, wall));
            }
        }
    }
}

impl Inner {
    fn counted(&self, instant: Instant) -> i64 {
        let steps = self.steps.read().unwrap_or_else(PoisonError::into_inner);
        let step = steps.iter().rev().find(|(since, _)| *since <= instant).or(steps.first());
        step.map_or(0, |(since, moment)| {
            let elapsed = instant.saturating_duration_since(*since).as_micros();
            moment.saturating_add(i64::try_from(elapsed).unwrap_or(i64::MAX))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use jiff::Timestamp;

    use super::{Clock, Moment};

    #[test]
    fn moments_follow_a_clock_that_is_set_forward_and_never_run_back() {
        let clock = Clock::after(Moment(0));
        let (sent, before) = (Instant::now(), clock.now());
        let day = 86_400_000_000;
        let set = Instant::now() + Duration::from_millis(1);
        let wall = Timestamp::now().as_microsecond() + day;
        clock.follow(set, wall);
        assert_eq!(clock.0.counted(set), wall);
        assert!(clock.0.counted(sent) < before.0 + 1, "what was sent before keeps its moment");
        clock.follow(set + Duration::from_secs(5), wall - 400 * day);
        let later = clock.0.counted(set + Duration::from_secs(9));
        assert_eq!(later, wall + 9_000_000, "set back it is not followed");
    }
}
