//! The rate of one action over time: configured, halved by throttling, recovering.
//!
//! Pure arithmetic over instants; no waiting here.

use std::time::Duration;

use tokio::time::Instant;

/// Throttling never takes the rate below this many requests a second: slower than that nothing moves, and the
/// server's window is one second anyway.
const FLOOR: f64 = 2.0;
/// From a cut back to the configured rate.
const RECOVERY: Duration = Duration::from_secs(30);
/// Refusals within this time of a cut are of the same congestion.
const BETWEEN_CUTS: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Pace {
    configured: Option<f64>,
    cut: Option<Cut>,
}

#[derive(Clone, Copy, Debug)]
struct Cut {
    at: Instant,
    to: f64,
}

impl Pace {
    pub(super) fn new(rate: Option<u32>) -> Self {
        Self { configured: rate.map(f64::from), cut: None }
    }

    pub(super) fn set(&mut self, rate: Option<u32>) {
        self.configured = rate.map(f64::from);
    }

    /// Requests per second that may go out at `now`; `None` for no limit.
    pub(super) fn rate(&self, now: Instant) -> Option<f64> {
        let configured = self.configured?;
        let Some(cut) = self.cut else { return Some(configured) };
        let recovered = now.saturating_duration_since(cut.at).as_secs_f64() / RECOVERY.as_secs_f64();
        Some((cut.to + (configured - cut.to) * recovered.min(1.0)).min(configured))
    }

    /// How many slots there are at `now`, and the even distance between two requests.
    pub(super) fn slots(&self, now: Instant) -> Option<(usize, Duration)> {
        let rate = self.rate(now)?.max(1.0);
        let whole = format!("{:.0}", rate.floor()).parse().unwrap_or(1);
        Some((whole, Duration::from_secs_f64(1.0 / rate)))
    }

    /// The server refused for too many requests. Without a limit of our own there is nothing to halve; the
    /// caller's backoff does what it can.
    pub(super) fn throttled(&mut self, now: Instant) {
        if self.cut.is_some_and(|cut| now.saturating_duration_since(cut.at) < BETWEEN_CUTS) {
            return;
        }
        if let (Some(rate), Some(configured)) = (self.rate(now), self.configured) {
            self.cut = Some(Cut { at: now, to: (rate / 2.0).max(FLOOR).min(configured) });
        }
    }
}
