//! Time, so that a test can turn it: wall time for people, moments for the order of observations.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// When a request was sent: microseconds of wall time that never run backwards within a journal.
///
/// Moments order the observations of one key, also across restarts: a new process starts its clock after
/// the newest moment that the journal holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment(pub i64);

impl Moment {
    /// The moment as wall time.
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_microsecond(self.0).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// Gives moments. Cheap to clone; clones share one line of time.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    base: Instant,
    base_moment: i64,
    last: AtomicI64,
}

impl Clock {
    /// A clock whose moments all come after `newest`, the newest moment the journal holds.
    #[must_use]
    pub fn after(newest: Moment) -> Clock {
        let base_moment = Timestamp::now().as_microsecond().max(newest.0.saturating_add(1));
        Clock(Arc::new(Inner { base: Instant::now(), base_moment, last: AtomicI64::new(base_moment) }))
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
        let elapsed = instant.saturating_duration_since(self.0.base).as_micros();
        Moment(self.0.base_moment.saturating_add(i64::try_from(elapsed).unwrap_or(i64::MAX)))
    }
}
