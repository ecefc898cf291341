//! Wall time as an argument, so that a test can turn it.

use jiff::Timestamp;

/// Tells the wall time. Only expiry of tokens, `Retry-After` dates and the clock skew are judged by it; waits
/// use the monotonic clock of tokio.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
