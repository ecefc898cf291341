//! How many requests a team's credentials may send: one budget per team, shared by all that spend from it.
//!
//! CODING counts requests per team and action. So does a [`Budget`]: at most `rate` requests of one action in
//! any sliding second, measured where it matters, at the server. A request takes a slot when it is sent and
//! gives it back one second after its answer came (or it was given up): whatever the network does in between,
//! the server saw it arrive before the answer, so never more than `rate` arrive within a second. Within that
//! limit requests are spaced evenly, higher [`Priority`] first; while others of lower priority wait, every fifth
//! request is one of theirs.
//!
//! When the server refuses for too many requests, the rate of that action is lowered, and raised again. Whether
//! that helped is looked at: what is refused at random, whatever the rate, does not keep it down.
//!
//! There is no background task: waiters wake one another. Start with [`Budget::acquire`].

mod lane;
mod pace;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::base_url::BaseUrl;
use lane::Lane;

/// The rate when none is configured: a little below the 30 requests per second, team and action that the
/// vendor states, so that people working in the browser are left some.
pub const DEFAULT_RATE: u32 = 25;

/// Who goes first when the budget is short. Derived order: the first variant is the highest. The lower ones together
/// keep a fifth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Fetching a row that a Service Hook named.
    Hook,
    /// Looking for changes.
    Poll,
    /// The first full read.
    Load,
    /// The slow full re-read.
    Census,
    /// Filling in details in the background.
    Detail,
}

/// All budgets of a process. Make one, pass it on.
///
/// ```
/// use coding_api::{BaseUrl, Budgets};
///
/// let budgets = Budgets::new();
/// let base = BaseUrl::for_team("acme")?;
/// let first = budgets.share(&base, "acme", 25);
/// let second = budgets.share(&base, "acme", 10);
/// assert_eq!(first.rate(), 10); // the smallest live one
/// drop(second);
/// assert_eq!(first.rate(), 25);
/// # Ok::<(), coding_api::BaseUrlError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Budgets {
    // Teams are few and their slots must outlive a reconnect, so entries stay.
    teams: Arc<Mutex<HashMap<TeamKey, Arc<Team>>>>,
}

/// Base URL and team.
type TeamKey = (String, String);

impl Budgets {
    /// No budgets yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A share in the budget of `team` at `base`. The same base URL and team give the same budget, whatever
    /// the credential. `rate` is in requests per second and action; 0 asks for no limit. Of all live shares
    /// the smallest rate that is not 0 holds for all.
    #[must_use]
    pub fn share(&self, base: &BaseUrl, team: &str, rate: u32) -> Budget {
        let key = (base.as_str().to_owned(), team.trim().to_lowercase());
        let team = Arc::clone(lock(&self.teams).entry(key).or_default());
        let id = team.join(rate);
        Budget { share: Arc::new(Share { team, id }) }
    }
}

/// A share in a team's budget. Clones are the same share; it ends with the last of them.
#[derive(Clone)]
pub struct Budget {
    share: Arc<Share>,
}

struct Share {
    team: Arc<Team>,
    id: u64,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.team.leave(self.id);
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("rate", &self.rate()).finish_non_exhaustive()
    }
}

impl Budget {
    /// The configured rate that holds now, in requests per second and action; 0 means no limit.
    #[must_use]
    pub fn rate(&self) -> u32 {
        lock(&self.share.team.state).rate().unwrap_or(0)
    }

    /// The rate at which `action` may be sent now: the configured one, or less after throttling. `None` means
    /// no limit.
    #[must_use]
    pub fn effective_rate(&self, action: &'static str) -> Option<f64> {
        self.share.team.lane(action).effective_rate()
    }

    /// Waits for leave to send one request. Dropping the future gives up the place in the queue.
    pub async fn acquire(&self, action: &'static str, priority: Priority) -> Permit {
        let lane = self.share.team.lane(action);
        Lane::acquire(&lane, priority).await;
        Permit { lane, sent: false }
    }

    /// Which part of what may be sent of `action` in a second was sent in the last one, 0 to 1; 0 where there is no
    /// limit.
    #[must_use]
    pub fn usage(&self, action: &'static str) -> f64 {
        self.share.team.lane(action).usage()
    }

    /// The server said that `action` was asked for too often. When that happens more often than now and then, the
    /// rate is lowered, for as long as that is of use.
    pub fn throttled(&self, action: &'static str) {
        self.share.team.lane(action).throttled();
    }
}

/// Leave to send one request. Call [`Permit::sent`] right before sending, and drop it when the answer is
/// complete or given up.
#[derive(Debug)]
#[must_use = "dropping the permit gives the slot back"]
pub struct Permit {
    lane: Arc<Lane>,
    sent: bool,
}

impl Permit {
    /// The request goes out now. A permit dropped without this call gives its slot back at once.
    pub fn sent(&mut self) -> Instant {
        self.sent = true;
        tokio::time::Instant::now().into_std()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.lane.release(self.sent);
    }
}

#[derive(Default)]
struct Team {
    state: Mutex<TeamState>,
}

#[derive(Default)]
struct TeamState {
    rates: BTreeMap<u64, u32>,
    next_share: u64,
    lanes: HashMap<&'static str, Arc<Lane>>,
}

impl TeamState {
    fn rate(&self) -> Option<u32> {
        self.rates.values().copied().filter(|rate| *rate > 0).min()
    }

    fn spread_rate(&self) {
        for lane in self.lanes.values() {
            lane.set_rate(self.rate());
        }
    }
}

impl Team {
    fn join(&self, rate: u32) -> u64 {
        let mut state = lock(&self.state);
        let id = state.next_share;
        state.next_share += 1;
        state.rates.insert(id, rate);
        state.spread_rate();
        id
    }

    fn leave(&self, id: u64) {
        let mut state = lock(&self.state);
        state.rates.remove(&id);
        state.spread_rate();
    }

    fn lane(&self, action: &'static str) -> Arc<Lane> {
        let mut state = lock(&self.state);
        let rate = state.rate();
        Arc::clone(state.lanes.entry(action).or_insert_with(|| Arc::new(Lane::new(rate))))
    }
}

impl fmt::Debug for Team {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Team").finish_non_exhaustive()
    }
}

/// Nothing here panics while it holds a lock, and the state is true after every statement: a poisoned lock is
/// as good as any.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
