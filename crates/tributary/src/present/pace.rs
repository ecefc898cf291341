//! How fast something goes, over the last few seconds, and when it will be done.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Long enough to even out pages, short enough to follow a throttled source.
const WINDOW: Duration = Duration::from_secs(10);
/// Less than this says nothing yet.
const LEAST: Duration = Duration::from_millis(500);

/// Remembers how much was done when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace {
    seen: VecDeque<(Instant, u64)>,
}

impl Pace {
    /// Notes that `done` are done now. What was done before the first note counts for nothing: it may have been
    /// done by an earlier run.
    pub(crate) fn note(&mut self, now: Instant, done: u64) {
        if self.seen.back().is_some_and(|(_, last)| done < *last) {
            self.seen.clear();
        }
        self.seen.push_back((now, done));
        // One note from before the window stays: the window is measured from it.
        while self.seen.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
            self.seen.pop_front();
        }
    }

    /// What was done, and in which time.
    fn stretch(&self) -> Option<(u64, Duration)> {
        let (from, before) = self.seen.front()?;
        let (to, after) = self.seen.back()?;
        let time = to.duration_since(*from);
        (time >= LEAST).then(|| (after.saturating_sub(*before), time))
    }

    /// Per second, rounded.
    pub(crate) fn per_second(&self) -> Option<u64> {
        let (done, time) = self.stretch()?;
        let millis = u64::try_from(time.as_millis()).ok()?.max(1);
        Some((done.saturating_mul(1_000) + millis / 2) / millis)
    }

    /// Time until `left` more are done; `None` while nothing moves.
    pub(crate) fn left(&self, left: u64) -> Option<Duration> {
        let (done, time) = self.stretch()?;
        let millis = u64::try_from(time.as_millis()).ok()?;
        (done > 0).then(|| Duration::from_millis(left.saturating_mul(millis) / done))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Pace;

    #[test]
    fn rate_and_rest_follow_the_last_seconds() {
        let start = Instant::now();
        let mut pace = Pace::default();
        // Resumed at 5,000: those were not done in this moment.
        pace.note(start, 5_000);
        assert_eq!(pace.per_second(), None);
        for second in 1..=20 {
            pace.note(start + Duration::from_secs(second), 5_000 + second * 100);
        }
        assert_eq!(pace.per_second(), Some(100));
        assert_eq!(pace.left(500), Some(Duration::from_secs(5)));
        for second in 21..=40 {
            pace.note(start + Duration::from_secs(second), 7_000);
        }
        assert_eq!(pace.per_second(), Some(0));
        assert_eq!(pace.left(500), None);
    }
}
