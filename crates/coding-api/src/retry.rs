//! When an attempt is repeated, and after how long.

use std::time::Duration;

use rand::RngExt as _;

/// How often and how patiently a refused or failed request is repeated.
///
/// Only reads are repeated, and writes that do no harm when done twice; only failures that may pass by themselves ([`crate::Remedy::Retry`] and
/// [`crate::Remedy::Wait`]). Each attempt waits for the budget again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts of one call, the first included; at least 1.
    pub attempts: u32,
    /// Attempts of one call that may end in "too many requests" on top: throttling lowers the rate and is not
    /// a failure of the call.
    pub throttled_attempts: u32,
    /// Wait after the first failure; doubles with each further one.
    pub first_delay: Duration,
    /// The longest wait that doubling leads to.
    pub longest_delay: Duration,
    /// The longest `Retry-After` that is obeyed inside a call; what goes beyond is left to the caller, who
    /// finds it in the error.
    pub longest_retry_after: Duration,
}

impl Default for RetryPolicy {
    /// Five attempts within about three seconds of waiting: enough for a lost connection or a gateway that
    /// restarts; longer outages are the caller's to wait out, visibly.
    fn default() -> Self {
        Self {
            attempts: 5,
            throttled_attempts: 30,
            first_delay: Duration::from_millis(200),
            longest_delay: Duration::from_secs(5),
            longest_retry_after: Duration::from_secs(30),
        }
    }
}

impl RetryPolicy {
    /// One attempt, no more.
    #[must_use]
    pub fn never() -> Self {
        Self { attempts: 1, throttled_attempts: 0, ..Self::default() }
    }

    /// The wait after the `failures`-th failure in a row (from 1): doubling, then taken down by up to a half
    /// at random, so that clients that failed together do not come back together.
    pub(crate) fn delay(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        let full = self.first_delay.saturating_mul(1 << doublings).min(self.longest_delay);
        full.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}
