//! The post: takes deliveries from the world, puts the faults into their way, and hands them to the
//! sender in the order of the events.
//!
//! [`Post::raise`] is the way in and never waits; [`crate::hooks::send::run`] takes out with
//! [`Post::next`]. One short lock guards everything; none is held across an await.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::calendar::now_ms;
use crate::config::SimConfig;
use crate::dice::Dice;
use crate::distort;
use crate::hooks::book::Address;
use crate::hooks::counters::{HookCounters, RowKey, Tallies};
use crate::hooks::disguise;
use crate::hooks::faults::{HookFaults, Signature, Way};
use crate::hooks::log::{HookDelivery, Log, LogEntry};

/// What one hook is to be sent.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) address: Arc<Address>,
    pub(crate) body: Bytes,
}

/// One request to make.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) address: Arc<Address>,
    /// The event that it tells of.
    pub(crate) event: String,
    /// The event that the headers name.
    pub(crate) shown_event: String,
    /// The delivery id.
    pub(crate) id: String,
    pub(crate) body: Bytes,
    pub(crate) content_type: &'static str,
    pub(crate) signature: Signature,
    /// True for the headers of the older product.
    pub(crate) is_legacy: bool,
    /// True when a receiver can make no use of it.
    is_spoiled: bool,
    row: Option<RowKey>,
    pub(crate) raised_at: i64,
}

/// The post of one simulator.
#[derive(Debug)]
pub(crate) struct Post {
    /// Requests of one hook that are under way at the same time.
    concurrency: usize,
    pub(crate) timeout: Duration,
    log_rows: usize,
    spells_broken_texts: bool,
    seed: u64,
    began: Instant,
    state: Mutex<State>,
    pub(crate) arrived: Notify,
    /// Deliveries that are queued, delayed or under way.
    pending: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    faults: HookFaults,
    tallies: Tallies,
    lanes: BTreeMap<String, Lane>,
    /// By time and number.
    delayed: BTreeMap<(Instant, u64), Delivery>,
    queued_bytes: usize,
    /// Deliveries so far; each has dice of its own.
    delivery: u64,
    code: u64,
    comment: u64,
    id: u64,
}

/// What waits for one hook, and what came of the earlier ones.
#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<Delivery>,
    under_way: usize,
    /// The delivery that waits to be overtaken by the next one.
    held: Option<(Instant, u64)>,
    log: Log,
    latest: Option<bool>,
    last_succeed_at: i64,
}

/// What the management actions show of a hook's deliveries.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Health {
    /// Whether the latest delivery succeeded; nothing before the first.
    pub(crate) latest: Option<bool>,
    pub(crate) last_succeed_at: i64,
}

/// Bodies that wait, of all hooks together. A receiver that is away for long loses the rest.
const QUEUED_BYTES: usize = 256 * 1024 * 1024;
/// A swapped delivery that no other one overtakes goes out after this time.
const HELD_FOR: Duration = Duration::from_millis(250);

impl Post {
    pub(crate) fn new(config: &SimConfig) -> Self {
        let state = State { faults: config.hook_faults.clone(), ..State::default() };
        Self {
            concurrency: config.hook_concurrency.max(1),
            timeout: config.hook_timeout,
            log_rows: config.hook_log_rows,
            spells_broken_texts: config.broken_text_one_in != 0,
            seed: config.seed,
            began: Instant::now(),
            state: Mutex::new(state),
            arrived: Notify::new(),
            pending: watch::Sender::new(0),
        }
    }

    // A panic while holding the lock leaves plain data behind, so a poisoned one is used all the same.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what an event makes to send, and rolls what becomes of it.
    pub(crate) fn raise(&self, event: &str, row: Option<RowKey>, parcels: Vec<Parcel>) {
        let now = now_ms();
        let mut state = self.state();
        let state = &mut *state;
        state.tallies.count(event, |tally| tally.raised += 1);
        for parcel in parcels {
            let mut dice = self.dice(&mut state.delivery, DELIVERIES);
            let fate = state.faults.fate(&mut dice);
            state.tallies.count(event, |tally| tally.deliveries += 1);
            state.tallies.row(row.as_ref(), |tally| tally.deliveries += 1);
            if fate.dropped {
                state.tallies.fault("drop");
                state.tallies.count(event, |tally| tally.dropped += 1);
                state.tallies.row(row.as_ref(), |tally| tally.dropped += 1);
                continue;
            }
            let mut delivery = self.delivery(state, event, parcel.address, parcel.body);
            (delivery.raised_at, delivery.row) = (now, row.clone());
            if let Some(fault) = fate.body
                && disguise::body(&mut delivery, fault)
            {
                delivery.is_spoiled = true;
                state.tallies.fault(fault.name());
            }
            delivery.is_spoiled |= disguise::as_told(&mut delivery);
            if fate.signature != Signature::Right && !delivery.address.token.is_empty() {
                (delivery.signature, delivery.is_spoiled) = (fate.signature, true);
                let wrong = fate.signature == Signature::Wrong;
                state.tallies.fault(if wrong { "wrong_signature" } else { "truncated_signature" });
            }
            let mut copies = vec![delivery.clone()];
            if fate.duplicate_same_id {
                state.tallies.fault("duplicate_same_id");
                copies.push(delivery.clone());
            }
            if fate.duplicate_new_id {
                state.tallies.fault("duplicate_new_id");
                copies.push(Delivery { id: self.uuid(&mut state.id), ..delivery });
            }
            for (index, copy) in copies.into_iter().enumerate() {
                state.tallies.count(event, |tally| tally.duplicated += u64::from(index > 0));
                let way = state.faults.way(&mut dice);
                self.put(state, copy, way);
            }
        }
        self.arrived.notify_one();
    }

    /// Sends something that no fault strikes, to one hook.
    pub(crate) fn send_now(&self, event: &str, address: Arc<Address>, body: Bytes) {
        let mut state = self.state();
        let delivery = self.delivery(&mut state, event, address, body);
        self.put(&mut state, delivery, Way::Straight);
        self.arrived.notify_one();
    }

    /// Sends the content of a log entry once more.
    pub(crate) fn resend(&self, entry: LogEntry, address: Arc<Address>) {
        let mut state = self.state();
        let mut delivery = self.delivery(&mut state, &entry.event, address, entry.content);
        delivery.content_type = entry.content_type;
        if !state.faults.resend_new_id {
            delivery.id = entry.delivery;
        }
        self.put(&mut state, delivery, Way::Straight);
        self.arrived.notify_one();
    }

    fn delivery(&self, state: &mut State, event: &str, address: Arc<Address>, body: Bytes) -> Delivery {
        Delivery {
            address,
            event: event.to_owned(),
            shown_event: event.to_owned(),
            id: self.uuid(&mut state.id),
            body,
            content_type: "application/json",
            signature: Signature::Right,
            is_legacy: false,
            is_spoiled: false,
            row: None,
            raised_at: now_ms(),
        }
    }

    /// Puts a delivery where its way begins.
    fn put(&self, state: &mut State, delivery: Delivery, way: Way) {
        let event = delivery.event.clone();
        let size = delivery.body.len();
        if state.queued_bytes.saturating_add(size) > QUEUED_BYTES {
            state.tallies.count(&event, |tally| tally.overflowed += 1);
            return;
        }
        state.queued_bytes += size;
        self.pending.send_modify(|pending| *pending += 1);
        let number = state.id;
        let now = Instant::now();
        let lane = state.lanes.entry(delivery.address.hook.clone()).or_default();
        let due = match way {
            Way::Straight => {
                let ms = state.faults.burst_ms;
                (ms > 0).then(|| self.end_of_burst(now, ms))
            }
            Way::Swapped if lane.held.is_some() => None,
            Way::Swapped => {
                state.tallies.fault("swap");
                state.tallies.count(&event, |tally| tally.swapped += 1);
                lane.held = Some((now + HELD_FOR, number));
                Some(now + HELD_FOR)
            }
            Way::Delayed(ms) | Way::Late(ms) => {
                state.tallies.fault(if matches!(way, Way::Late(_)) { "late" } else { "delay" });
                state.tallies.count(&event, |tally| tally.delayed += 1);
                Some(now + Duration::from_millis(ms))
            }
        };
        match due {
            // Copies share a number; the next free place keeps their order.
            Some(due) => {
                let mut place = (due, number);
                while state.delayed.contains_key(&place) {
                    place.1 += 1;
                }
                if way == Way::Swapped {
                    lane.held = Some(place);
                }
                state.delayed.insert(place, delivery);
            }
            None => {
                lane.queue.push_back(delivery);
                // The one that was held goes after this.
                let held = lane.held.take().and_then(|held| state.delayed.remove(&held));
                lane.queue.extend(held);
            }
        }
    }

    /// The next whole multiple of `ms` since the start.
    fn end_of_burst(&self, now: Instant, ms: u64) -> Instant {
        let passed = u64::try_from(now.duration_since(self.began).as_millis()).unwrap_or(u64::MAX);
        let end = (passed / ms).saturating_add(1).saturating_mul(ms);
        self.began + Duration::from_millis(end)
    }

    /// A delivery that may be begun now, of the hook with the fewest under way.
    pub(crate) fn next(&self) -> Option<Delivery> {
        let mut state = self.state();
        let state = &mut *state;
        let now = Instant::now();
        while let Some(entry) = state.delayed.first_entry().filter(|entry| entry.key().0 <= now) {
            let (place, delivery) = entry.remove_entry();
            let lane = state.lanes.entry(delivery.address.hook.clone()).or_default();
            if lane.held == Some(place) {
                lane.held = None;
            }
            lane.queue.push_back(delivery);
        }
        let free = |lane: &&mut Lane| !lane.queue.is_empty() && lane.under_way < self.concurrency;
        let lane = state.lanes.values_mut().filter(free).min_by_key(|lane| lane.under_way)?;
        let delivery = lane.queue.pop_front()?;
        lane.under_way += 1;
        state.queued_bytes = state.queued_bytes.saturating_sub(delivery.body.len());
        state.tallies.count(&delivery.event, |tally| tally.attempted += 1);
        Some(delivery)
    }

    /// When the next delayed delivery is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.state().delayed.first_key_value().map(|((due, _), _)| *due)
    }

    /// Notes what came of a delivery. The log of a hook that is gone is not kept.
    pub(crate) fn finish(&self, delivery: &Delivery, mut entry: LogEntry) {
        {
            let mut state = self.state();
            let state = &mut *state;
            entry.id = self.uuid(&mut state.id);
            let succeeded = entry.succeeded();
            let answered = entry.response_status != 0;
            state.tallies.count(&delivery.event, |tally| {
                tally.answered_2xx += u64::from(succeeded);
                tally.answered_other += u64::from(answered && !succeeded);
                tally.failed += u64::from(!answered);
            });
            if succeeded && !delivery.is_spoiled {
                state.tallies.row(delivery.row.as_ref(), |tally| tally.arrived += 1);
            }
            if let Some(lane) = state.lanes.get_mut(&delivery.address.hook) {
                lane.under_way = lane.under_way.saturating_sub(1);
                lane.latest = Some(succeeded);
                if succeeded {
                    lane.last_succeed_at = entry.response_at;
                }
                lane.log.push(entry, self.log_rows);
            }
        }
        self.pending.send_modify(|pending| *pending = pending.saturating_sub(1));
    }

    /// Forgets a hook that was deleted: what waits for it, and its log.
    pub(crate) fn forget(&self, hook: &str) {
        let mut gone = 0;
        {
            let mut state = self.state();
            let state = &mut *state;
            let before = state.delayed.len();
            let mut bytes = 0;
            state.delayed.retain(|_, delivery| {
                let keep = delivery.address.hook != hook;
                bytes += if keep { 0 } else { delivery.body.len() };
                keep
            });
            gone += before - state.delayed.len();
            if let Some(lane) = state.lanes.remove(hook) {
                gone += lane.queue.len();
                bytes += lane.queue.iter().map(|delivery| delivery.body.len()).sum::<usize>();
            }
            state.queued_bytes = state.queued_bytes.saturating_sub(bytes);
        }
        self.pending.send_modify(|pending| *pending = pending.saturating_sub(gone));
    }

    /// Waits until nothing is queued, delayed or under way.
    pub(crate) async fn settled(&self) {
        // The sender lives as long as this, so that waiting cannot fail.
        let _ = self.pending.subscribe().wait_for(|pending| *pending == 0).await;
    }

    pub(crate) fn counters(&self) -> HookCounters {
        let pending = u64::try_from(*self.pending.borrow()).unwrap_or(u64::MAX);
        self.state().tallies.snapshot(pending)
    }

    pub(crate) fn reset_counters(&self) {
        self.state().tallies = Tallies::default();
    }

    pub(crate) fn faults(&self) -> HookFaults {
        self.state().faults.clone()
    }

    pub(crate) fn change_faults(&self, change: impl FnOnce(&mut HookFaults)) {
        change(&mut self.state().faults);
    }

    pub(crate) fn health(&self, hook: &str) -> Health {
        let state = self.state();
        state.lanes.get(hook).map_or_else(Health::default, |lane| Health {
            latest: lane.latest,
            last_succeed_at: lane.last_succeed_at,
        })
    }

    /// A page of a hook's log, newest first, and the number of all entries. Clones share the bodies.
    pub(crate) fn log(&self, hook: &str, skip: usize, take: usize) -> (usize, Vec<LogEntry>) {
        let state = self.state();
        let Some(lane) = state.lanes.get(hook) else { return (0, Vec::new()) };
        (lane.log.len(), lane.log.newest().skip(skip).take(take).cloned().collect())
    }

    /// A hook's whole log in short, oldest first.
    pub(crate) fn deliveries(&self, hook: &str) -> Vec<HookDelivery> {
        let state = self.state();
        let mut all: Vec<HookDelivery> = state
            .lanes
            .get(hook)
            .into_iter()
            .flat_map(|lane| lane.log.newest())
            .map(HookDelivery::from)
            .collect();
        all.reverse();
        all
    }

    /// The log entry with this id.
    pub(crate) fn log_entry(&self, id: &str) -> Option<LogEntry> {
        let state = self.state();
        state.lanes.values().find_map(|lane| lane.log.newest().find(|entry| entry.id == id).cloned())
    }

    /// The body as it goes out: stored lone surrogates as the wire has them.
    pub(crate) fn spelled(&self, body: Vec<u8>) -> Bytes {
        Bytes::from(if self.spells_broken_texts { distort::broken_texts(&body) } else { body })
    }

    /// Dice for one event of code.
    pub(crate) fn code_dice(&self) -> Dice {
        self.dice(&mut self.state().code, CODE)
    }

    /// The number of a new comment.
    pub(crate) fn next_comment(&self) -> u64 {
        let mut state = self.state();
        state.comment += 1;
        4_000_000 + state.comment
    }

    /// The id of a new hook.
    pub(crate) fn next_id(&self) -> String {
        self.uuid(&mut self.state().id)
    }

    fn dice(&self, count: &mut u64, stream: u64) -> Dice {
        *count += 1;
        Dice::of(self.seed, &[stream, *count])
    }

    /// Another id at every start: a receiver that outlives the simulator must not take the first
    /// deliveries of the next one for repetitions.
    fn uuid(&self, count: &mut u64) -> String {
        *count += 1;
        let started = u64::from_ne_bytes(now_ms().to_ne_bytes());
        let mut dice = Dice::of(self.seed, &[IDS, started, *count]);
        let (high, low) = (dice.bits(), dice.bits());
        let (a, b, c) = (high >> 32, high >> 16 & 0xFFFF, high & 0x0FFF);
        let (d, e) = (low >> 48 & 0x3FFF | 0x8000, low & 0xFFFF_FFFF_FFFF);
        format!("{a:08x}-{b:04x}-4{c:03x}-{d:04x}-{e:012x}")
    }
}

/// The streams of chance of the post.
const DELIVERIES: u64 = 31;
const CODE: u64 = 32;
const IDS: u64 = 33;
