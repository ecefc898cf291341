//! The queue and the slots of one action.
//!
//! Invariant: the next waiter is the only one that looks at the clock; everybody else sleeps until woken. Whoever
//! changes something the next waiter depends on (who it is, a slot, the rate) wakes the next waiter, after the
//! change. The next one is the first of the queue, which is sorted by priority; but after some of the first were
//! let past others of lower priority, the one of these that has waited longest.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::pace::Pace;
use super::{Priority, lock};

/// How long a slot stays taken after the answer: the server's sliding second, and a little for clocks that
/// tick in milliseconds or run at different speeds.
const COOLING: Duration = Duration::from_millis(1_002);
/// So many requests may be let past others of lower priority that wait, then it is the turn of one of these: whatever
/// is urgent, the rest keeps a fifth.
const PASSES: u32 = 4;
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
    /// Requests let past others of lower priority, one after the other.
    passes: u32,
    /// Requests that were let through and not answered yet.
    in_flight: usize,
    /// When the slots of answered requests become free, in order.
    cooling: VecDeque<Instant>,
    /// The even pace: not before this.
    not_before: Instant,
}

type Ticket = (Priority, u64);

/// What the next waiter has to do.
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
                passes: 0,
                in_flight: 0,
                cooling: VecDeque::new(),
                not_before: Instant::now(),
            }),
        }
    }

    pub(super) fn set_rate(&self, rate: Option<u32>) {
        let mut state = lock(&self.state);
        state.pace.set(rate);
        state.wake_next();
    }

    pub(super) fn effective_rate(&self) -> Option<f64> {
        lock(&self.state).pace.rate(Instant::now())
    }

    pub(super) fn throttled(&self) {
        lock(&self.state).pace.throttled(Instant::now());
        // A lower rate only makes the next waiter wait longer; it finds out when it wakes.
    }

    /// Which part of the slots is taken by the requests of the last second: 1 = all; 0 where there is no limit.
    pub(super) fn usage(&self) -> f64 {
        let mut state = lock(&self.state);
        let now = Instant::now();
        state.forget_cooled(now);
        let Some((slots, _)) = state.pace.slots(now) else { return 0.0 };
        let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        count(state.in_flight.saturating_add(state.cooling.len())) / count(slots.max(1))
    }

    /// Returns when a slot was taken.
    pub(super) async fn acquire(this: &Arc<Self>, priority: Priority) {
        let mut waiter = Waiter::join(this, priority);
        loop {
            let turn = {
                let mut state = lock(&this.state);
                let turn = state.turn(waiter.ticket, Instant::now());
                if matches!(turn, Turn::Go) {
                    state.note_pass(waiter.ticket);
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
            state.pace.answered(now);
        }
        state.wake_next();
    }
}

impl State {
    fn turn(&mut self, ticket: Ticket, now: Instant) -> Turn {
        if self.next().is_some_and(|next| next != ticket) {
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

    /// Of those whose priority is lower than that of the first, the one that has waited longest.
    fn longest_passed_over(&self) -> Option<Ticket> {
        let ((first, _), _) = self.queue.first_key_value()?;
        // The lowest ticket of each priority comes first: at most one step for each of the few priorities.
        let mut passed: Option<Ticket> = None;
        let mut above = *first;
        while let Some(((priority, number), _)) =
            self.queue.range((Bound::Excluded((above, u64::MAX)), Bound::Unbounded)).next()
        {
            if passed.is_none_or(|(_, longest)| *number < longest) {
                passed = Some((*priority, *number));
            }
            above = *priority;
        }
        passed
    }

    /// Whose turn it is.
    fn next(&self) -> Option<Ticket> {
        let first = || self.queue.first_key_value().map(|(first, _)| *first);
        let passed = if self.passes >= PASSES { self.longest_passed_over() } else { None };
        passed.or_else(first)
    }

    /// `ticket`, still in the queue, goes now.
    fn note_pass(&mut self, ticket: Ticket) {
        let is_first = self.queue.first_key_value().is_some_and(|(first, _)| first.0 == ticket.0);
        self.passes = match is_first {
            true if self.longest_passed_over().is_some() => self.passes.saturating_add(1),
            true => self.passes,
            false => 0,
        };
    }

    fn wake_next(&self) {
        if let Some(woken) = self.next().and_then(|next| self.queue.get(&next)) {
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
        // Who joins may make another one the next, not only itself.
        state.wake_next();
        Self { lane, ticket, woken, queued: true }
    }

    fn leave(&mut self, state: &mut State) {
        self.queued = false;
        state.queue.remove(&self.ticket);
        state.wake_next();
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
