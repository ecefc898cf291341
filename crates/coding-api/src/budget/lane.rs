//! The queue and the slots of one action.
//!
//! Invariant: the first waiter of the queue is the only one that looks at the clock; everybody else sleeps
//! until woken. Whoever changes something the first waiter depends on (its place, a slot, the rate) wakes the
//! first waiter, after the change.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::pace::Pace;
use super::{Priority, lock};

/// How long a slot stays taken after the answer: the server's sliding second, and a little for clocks that
/// tick in milliseconds or run at different speeds.
const COOLING: Duration = Duration::from_millis(1_002);
/// How far the even pace may be made up for when a timer fires late. Far below a second, so no burst.
const LATENESS: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(super) struct Lane {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    pace: Pace,
    queue: BTreeMap<Ticket, Arc<Notify>>,
    next_ticket: u64,
    /// Requests that were let through and not answered yet.
    in_flight: usize,
    /// When the slots of answered requests become free, in order.
    cooling: VecDeque<Instant>,
    /// The even pace: not before this.
    not_before: Instant,
}

type Ticket = (Priority, u64);

/// What the first waiter has to do.
enum Turn {
    Go,
    At(Instant),
    /// Every slot is in flight; an answer will wake.
    WhenWoken,
}

impl Lane {
    pub(super) fn new(rate: Option<u32>) -> Self {
        Self {
            state: Mutex::new(State {
                pace: Pace::new(rate),
                queue: BTreeMap::new(),
                next_ticket: 0,
                in_flight: 0,
                cooling: VecDeque::new(),
                not_before: Instant::now(),
            }),
        }
    }

    pub(super) fn set_rate(&self, rate: Option<u32>) {
        let mut state = lock(&self.state);
        state.pace.set(rate);
        state.wake_first();
    }

    pub(super) fn effective_rate(&self) -> Option<f64> {
        lock(&self.state).pace.rate(Instant::now())
    }

    pub(super) fn throttled(&self) {
        lock(&self.state).pace.throttled(Instant::now());
        // A lower rate only makes the first waiter wait longer; it finds out when it wakes.
    }

    /// Returns when a slot was taken.
    pub(super) async fn acquire(this: &Arc<Self>, priority: Priority) {
        let mut waiter = Waiter::join(this, priority);
        loop {
            let turn = {
                let mut state = lock(&this.state);
                let turn = state.turn(waiter.ticket, Instant::now());
                if matches!(turn, Turn::Go) {
                    waiter.leave(&mut state);
                }
                turn
            };
            match turn {
                Turn::Go => return,
                Turn::WhenWoken => waiter.woken.notified().await,
                Turn::At(instant) => {
                    // Either arm may be dropped: the state is looked at afresh after both.
                    tokio::select! {
                        () = sleep_until(instant) => {}
                        () = waiter.woken.notified() => {}
                    }
                }
            }
        }
    }

    pub(super) fn release(&self, sent: bool) {
        let mut state = lock(&self.state);
        state.in_flight = state.in_flight.saturating_sub(1);
        if sent {
            let now = Instant::now();
            state.forget_cooled(now);
            state.cooling.push_back(now + COOLING);
        }
        state.wake_first();
    }
}

impl State {
    fn turn(&mut self, ticket: Ticket, now: Instant) -> Turn {
        if self.queue.first_key_value().is_some_and(|(first, _)| *first != ticket) {
            return Turn::WhenWoken;
        }
        self.forget_cooled(now);
        let Some((slots, distance)) = self.pace.slots(now) else {
            self.in_flight += 1;
            return Turn::Go;
        };
        let taken = self.in_flight + self.cooling.len();
        if taken >= slots {
            // So many slots must cool down before one is free; the answers that are still out cannot.
            return match self.cooling.get(taken - slots) {
                Some(instant) => Turn::At(*instant),
                None => Turn::WhenWoken,
            };
        }
        if now < self.not_before {
            return Turn::At(self.not_before);
        }
        let due = now.checked_sub(LATENESS).map_or(self.not_before, |early| self.not_before.max(early));
        self.not_before = due + distance;
        self.in_flight += 1;
        Turn::Go
    }

    fn forget_cooled(&mut self, now: Instant) {
        while self.cooling.front().is_some_and(|free| *free <= now) {
            self.cooling.pop_front();
        }
    }

    fn wake_first(&self) {
        if let Some((_, woken)) = self.queue.first_key_value() {
            woken.notify_one();
        }
    }
}

/// A place in the queue; given up on drop.
struct Waiter<'a> {
    lane: &'a Lane,
    ticket: Ticket,
    woken: Arc<Notify>,
    queued: bool,
}

impl<'a> Waiter<'a> {
    fn join(lane: &'a Lane, priority: Priority) -> Self {
        let mut state = lock(&lane.state);
        let ticket = (priority, state.next_ticket);
        state.next_ticket += 1;
        let woken = Arc::new(Notify::new());
        state.queue.insert(ticket, Arc::clone(&woken));
        Self { lane, ticket, woken, queued: true }
    }

    fn leave(&mut self, state: &mut State) {
        self.queued = false;
        state.queue.remove(&self.ticket);
        state.wake_first();
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if self.queued {
            let lane = self.lane;
            self.leave(&mut lock(&lane.state));
        }
    }
}
