//! The books of whoever works deliveries off: which rows are to be looked at, for which deliveries, and when.
//!
//! Keeps no time of its own but what it is told, asks nobody, and writes nowhere. A row has one *wish*, however many
//! deliveries name it: those that come before its look begins share the look, those that come later cause another
//! one, a second later, so that a burst costs two.
//!
//! While the source has time, a look begins at once. Within the second of an update it has to be repeated when that
//! second is over, and has a listing of its own: three requests. While the source is busy, looks wait until the second
//! is over, and some more of them begin together and share a listing: little more than one request each.

mod wish;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use self::wish::{PAUSE, Wish};
pub(super) use self::wish::{Timing, Wanted};
use crate::inbox::{DeliveryNumber, Entry, Settled, Standing, Summary, Turn};
use crate::position::Sequence;
use crate::problem::Problem;
use crate::row::{ProjectId, RowKey};
use crate::schema::TableId;
use crate::source::Hint;
use crate::status::Status;

/// Deliveries under work at once; the others wait in the inbox.
const ROOM: usize = 512;
/// Rows to look at at once, those included that are merely touched.
const LARGEST_WISHES: usize = 4_096;
/// While the source is busy, looks wait until so many rows of a table are due ...
const TOGETHER: usize = 8;
/// ... or one of them has waited for so long.
const GATHERING: Duration = Duration::from_millis(250);
/// A look that failed is tried again after this time, then after twice as long ...
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// ... but never later than this.
const RETRY_AT_LAST: Duration = Duration::from_mins(1);
/// Deliveries whose way into the targets is watched; what a target that is down keeps waiting is not.
const LARGEST_WATCHED: usize = 10_000;

/// Rows of one table of one project to look at now.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) project: ProjectId,
    pub(super) table: TableId,
    pub(super) wanted: Vec<(RowKey, Wanted)>,
}

/// What a look brought.
#[derive(Debug)]
pub(super) enum Done {
    /// The row was looked at and recorded.
    Looked {
        key: RowKey,
        /// Whether it was not as known.
        changed: bool,
        /// The second of its update was not over; look again after this time.
        again: Option<Duration>,
        /// Rows that the change touches.
        touched: Vec<RowKey>,
    },
    /// There is no such row, and the mirror has one: to be confirmed.
    Doubtful { key: RowKey },
    /// The confirmation has ended; what became of the rows is told apart from it.
    Confirmed { project: ProjectId, table: TableId, looks: Vec<Done> },
    /// Looks failed.
    Failed {
        keys: Vec<RowKey>,
        problem: Problem,
        /// Whether it is about these rows, not about the source.
        own: bool,
    },
    /// The rows that deliveries make of themselves were recorded.
    Recorded {
        /// Which deliveries, and whether their rows are new.
        numbers: Vec<(DeliveryNumber, bool)>,
    },
    /// Nothing can be recorded any more.
    Broken(super::CaptureError),
}

/// What follows from a look.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Rows that are touched.
    pub(super) touched: Vec<RowKey>,
}

/// A delivery under work.
#[derive(Debug, Default)]
struct Open {
    turn: Turn,
    summary: Summary,
    /// Looks it waits for.
    looks: usize,
    changed: bool,
    /// The journal's head when its newest change was written.
    up_to: Sequence,
    dead: Option<String>,
}

/// The books.
#[derive(Debug, Default)]
pub(super) struct Desk {
    read_up_to: Turn,
    /// Nothing more is in the inbox, as far as is known.
    drained: bool,
    open: HashMap<DeliveryNumber, Open>,
    wishes: HashMap<RowKey, Wish>,
    doubts: HashMap<(ProjectId, TableId), Vec<RowKey>>,
    confirming: HashSet<(ProjectId, TableId)>,
    settled: Vec<Settled>,
    on_the_way: Vec<(Sequence, DeliveryNumber)>,
    arrived: Vec<(Timestamp, Vec<DeliveryNumber>)>,
    /// When a look last succeeded.
    succeeded: Option<Instant>,
    /// Tables whose rows were looked at since they were counted.
    looked_at: HashSet<(ProjectId, TableId)>,
    /// When the next look is due, but for those that wait for room.
    next_due: Option<Instant>,
}

/// Rows of one table of one project that are due.
#[derive(Clone, Copy, Debug)]
struct Group {
    rows: usize,
    /// When the first of them was due.
    since: Instant,
}

impl Desk {
    /// Whether more deliveries can be taken in, and there may be some.
    pub(super) fn has_room(&self) -> bool {
        !self.drained && self.open.len() < ROOM && self.settled.len() < ROOM
    }

    pub(super) fn read_up_to(&self) -> Turn {
        self.read_up_to
    }

    /// The inbox was read up to `turn`; nothing at all says that there is no more.
    pub(super) fn has_read(&mut self, turn: Option<Turn>) {
        self.drained = turn.is_none();
        self.read_up_to = turn.unwrap_or(self.read_up_to);
    }

    /// The inbox has more.
    pub(super) fn expect_more(&mut self) {
        self.drained = false;
    }

    /// Takes a delivery in; `row` when it makes a row of itself.
    pub(super) fn open(&mut self, entry: &Entry, summary: Summary, row: bool) {
        let open = self.open.entry(entry.number).or_default();
        // One that was replayed while it was under work goes on, in its new turn.
        (open.turn, open.summary) = (entry.turn, summary);
        open.looks = open.looks.saturating_add(usize::from(row));
    }

    /// Settles a delivery that needs no look.
    pub(super) fn settle(&mut self, entry: &Entry, summary: Option<Summary>, standing: Standing) {
        self.settled.push(Settled { number: entry.number, turn: entry.turn, summary, standing });
    }

    /// A delivery asks for a row.
    pub(super) fn wish(&mut self, key: RowKey, number: DeliveryNumber, hint: &Hint, timing: Timing) {
        let now = Instant::now();
        let wish = self.wishes.entry(key).or_insert_with(|| Wish::new(now));
        if wish.deliveries.contains(&number) {
            return;
        }
        wish.ask(now, timing);
        wish.want(Wanted {
            updated_ms: hint.updated_ms,
            gone: hint.gone,
            only_again: false,
            beside: hint.beside,
        });
        wish.deliveries.push(number);
        if let Some(open) = self.open.get_mut(&number) {
            open.looks = open.looks.saturating_add(1);
        }
    }

    /// A row is touched by what happened to another. Whether there was room for it; what is passed over, polls see.
    pub(super) fn wish_beside(&mut self, key: RowKey) -> bool {
        if self.wishes.len() >= LARGEST_WISHES && !self.wishes.contains_key(&key) {
            return false;
        }
        let now = Instant::now();
        let wish = self.wishes.entry(key).or_insert_with(|| Wish::new(now));
        if !wish.wished {
            wish.ask(now, Timing::default());
            wish.want(Wanted { beside: true, ..Wanted::default() });
        }
        true
    }

    /// Rows to look at now, at most `room`; their looks are under way from here on. `is_busy` says of a table whether
    /// its looks are to be made sparingly.
    pub(super) fn due(&mut self, room: usize, is_busy: impl Fn(TableId) -> bool) -> Vec<Batch> {
        let now = Instant::now();
        let ready = self.wishes.iter().filter(|(_, wish)| wish.is_ready());
        let (mut due, later): (Vec<_>, Vec<_>) = ready
            .map(|(key, wish)| (wish.wanted.is_some_and(|wanted| wanted.beside), wish.due, *key))
            .partition(|(_, at, _)| *at <= now);
        self.next_due = later.into_iter().map(|(_, at, _)| at).min();
        self.gather(&mut due, now, room, is_busy);
        due.sort_unstable();
        let mut batches: Vec<Batch> = Vec::new();
        for (_, _, key) in due.into_iter().take(room) {
            let Some(wish) = self.wishes.get_mut(&key) else { continue };
            let wanted = wish.begin(now);
            let same = |batch: &&mut Batch| batch.project == key.project && batch.table == key.table;
            match batches.iter_mut().find(same) {
                Some(batch) => batch.wanted.push((key, wanted)),
                None => {
                    let wanted = vec![(key, wanted)];
                    batches.push(Batch { project: key.project, table: key.table, wanted });
                }
            }
        }
        batches
    }

    /// Leaves out rows of busy tables that had better wait for others, with which they share a listing.
    fn gather(
        &mut self,
        due: &mut Vec<(bool, Instant, RowKey)>,
        now: Instant,
        room: usize,
        is_busy: impl Fn(TableId) -> bool,
    ) {
        let mut groups: HashMap<(ProjectId, TableId), Option<Group>> = HashMap::new();
        for (_, at, key) in due.iter() {
            let group = groups
                .entry((key.project, key.table))
                .or_insert_with(|| is_busy(key.table).then_some(Group { rows: 0, since: *at }));
            if let Some(group) = group {
                group.rows = group.rows.saturating_add(1);
                group.since = group.since.min(*at);
            }
        }
        let mut next = self.next_due;
        due.retain(|(_, _, key)| {
            let Some(Some(group)) = groups.get(&(key.project, key.table)) else { return true };
            let enough = group.rows.min(TOGETHER);
            match group.since.checked_add(GATHERING) {
                Some(end) if enough < TOGETHER && now < end => {
                    next = Some(next.map_or(end, |next| next.min(end)));
                    false
                }
                // Where there is no room for so many, the end of a look makes some.
                _ => enough <= room,
            }
        });
        self.next_due = next;
    }

    /// When the next look is due, as far as [`Desk::due`] saw; looks that wait for the end of others left out.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.next_due
    }

    /// Rows whose absence is to be confirmed, of tables that have no confirmation under way.
    pub(super) fn doubtful(&mut self) -> Vec<(ProjectId, TableId, Vec<RowKey>)> {
        let free: Vec<_> =
            self.doubts.keys().filter(|table| !self.confirming.contains(*table)).copied().collect();
        free.into_iter()
            .filter_map(|table| {
                let keys = self.doubts.remove(&table)?;
                self.confirming.insert(table);
                Some((table.0, table.1, keys))
            })
            .collect()
    }

    /// Enters what a look brought, when the journal's head was `head`.
    pub(super) fn finish(
        &mut self,
        done: Done,
        head: Sequence,
        give_up_after: Duration,
    ) -> Result<Ended, super::CaptureError> {
        let mut ended = Ended::default();
        match done {
            Done::Looked { key, changed, again, touched } => {
                self.succeeded = Some(Instant::now());
                self.looked_at.insert((key.project, key.table));
                self.looked(key, changed, again, head);
                ended.touched = touched;
            }
            Done::Doubtful { key } => self.doubts.entry((key.project, key.table)).or_default().push(key),
            Done::Confirmed { project, table, looks } => {
                self.confirming.remove(&(project, table));
                for look in looks {
                    ended.touched.extend(self.finish(look, head, give_up_after)?.touched);
                }
            }
            Done::Failed { keys, problem, own } => {
                for key in keys {
                    self.failed(key, &problem, own, give_up_after);
                }
            }
            Done::Recorded { numbers } => {
                for (number, changed) in numbers {
                    self.had_its_look(number, changed, head, None);
                }
            }
            Done::Broken(error) => return Err(error),
        }
        Ok(ended)
    }

    fn looked(&mut self, key: RowKey, changed: bool, again: Option<Duration>, head: Sequence) {
        let Some(wish) = self.wishes.get_mut(&key) else { return };
        wish.failing = None;
        let (_, deliveries) = wish.flight.take().unwrap_or_default();
        if let Some(pause) = again
            && !wish.wished
        {
            wish.ask(Instant::now(), Timing { settle: pause, patient: false });
            wish.want(Wanted { only_again: true, ..Wanted::default() });
        }
        for number in deliveries {
            self.had_its_look(number, changed, head, None);
        }
    }

    fn failed(&mut self, key: RowKey, problem: &Problem, own: bool, give_up_after: Duration) {
        let Some(wish) = self.wishes.get_mut(&key) else { return };
        let now = Instant::now();
        let (wanted, mut deliveries) = wish.flight.take().unwrap_or_default();
        let (since, tries) = wish.failing.unwrap_or((now, 0));
        // While nothing succeeds at all it is the source that is in trouble, not this delivery.
        let others = own || self.succeeded.is_some_and(|succeeded| succeeded > since);
        if now.duration_since(since) >= give_up_after && others {
            wish.failing = None;
            for number in deliveries {
                self.had_its_look(number, false, Sequence(0), Some(&problem.to_string()));
            }
            return;
        }
        wish.failing = Some((since, tries.saturating_add(1)));
        let pause = RETRY_AFTER.saturating_mul(2_u32.saturating_pow(tries)).min(RETRY_AT_LAST);
        wish.due = now.checked_add(pause).unwrap_or(now);
        // A touched row that cannot be looked at is left to the polls.
        wish.wished |= !deliveries.is_empty();
        if wish.wished {
            wish.want(wanted);
        }
        for number in &deliveries {
            if let (0, Some(open)) = (tries, self.open.get(number)) {
                let standing = Standing::Waiting { problem: Some(problem.to_string()) };
                let summary = Some(open.summary.clone());
                self.settled.push(Settled { number: *number, turn: open.turn, summary, standing });
            }
        }
        deliveries.append(&mut wish.deliveries);
        wish.deliveries = deliveries;
    }

    /// One of the looks that a delivery waits for is over.
    fn had_its_look(&mut self, number: DeliveryNumber, changed: bool, head: Sequence, dead: Option<&str>) {
        let Some(open) = self.open.get_mut(&number) else { return };
        open.looks = open.looks.saturating_sub(1);
        if changed {
            (open.changed, open.up_to) = (true, head);
        }
        if let Some(reason) = dead {
            open.dead = Some(reason.to_owned());
        }
        if open.looks > 0 {
            return;
        }
        let Some(Open { turn, summary, changed, up_to, dead, .. }) = self.open.remove(&number) else {
            return;
        };
        let standing = match dead {
            Some(reason) => Standing::Dead { reason },
            None if changed => Standing::Applied,
            None => Standing::Unchanged,
        };
        self.settled.push(Settled { number, turn, summary: Some(summary), standing });
        if changed && self.on_the_way.len() < LARGEST_WATCHED {
            self.on_the_way.push((up_to, number));
        }
    }

    /// Lets rows go that have had their look and need no pause any more.
    pub(super) fn tidy(&mut self) -> Vec<RowKey> {
        let now = Instant::now();
        let over = |wish: &Wish| {
            let rested = wish.last.is_none_or(|last| now.duration_since(last) >= PAUSE);
            !wish.wished && wish.flight.is_none() && rested
        };
        let keys: Vec<RowKey> =
            self.wishes.iter().filter(|(_, wish)| over(wish)).map(|(key, _)| *key).collect();
        for key in &keys {
            self.wishes.remove(key);
        }
        keys
    }

    /// Rows that a delivery waits for.
    pub(super) fn waiting(&self) -> Vec<RowKey> {
        let waits = |wish: &Wish| {
            let under_way = wish.flight.as_ref().is_some_and(|(_, deliveries)| !deliveries.is_empty());
            under_way || !wish.deliveries.is_empty()
        };
        self.wishes.iter().filter(|(_, wish)| waits(wish)).map(|(key, _)| *key).collect()
    }

    /// Takes the tables whose rows were looked at since the last call.
    pub(super) fn looked_at(&mut self) -> HashSet<(ProjectId, TableId)> {
        std::mem::take(&mut self.looked_at)
    }

    /// The targets' positions may have moved.
    pub(super) fn see_arrived(&mut self, status: &Status) {
        let Some(position) = status.tasks.values().map(|task| task.position).min() else { return };
        let (arrived, left) =
            std::mem::take(&mut self.on_the_way).into_iter().partition(|(up_to, _)| up_to.0 <= position);
        self.on_the_way = left;
        let arrived: Vec<(Sequence, DeliveryNumber)> = arrived;
        if !arrived.is_empty() {
            let numbers = arrived.into_iter().map(|(_, number)| number).collect();
            self.arrived.push((Timestamp::now(), numbers));
        }
    }

    /// Whether deliveries are on their way into the targets.
    pub(super) fn awaits_targets(&self) -> bool {
        !self.on_the_way.is_empty()
    }

    /// Whether there is something to note in the inbox.
    pub(super) fn has_notes(&self) -> bool {
        !self.settled.is_empty() || !self.arrived.is_empty()
    }

    /// Takes what is to be noted.
    pub(super) fn notes(&mut self) -> Vec<Settled> {
        std::mem::take(&mut self.settled)
    }

    /// What could not be noted is to be noted later, before what came since.
    pub(super) fn note_again(&mut self, mut settled: Vec<Settled>) {
        settled.append(&mut self.settled);
        self.settled = settled;
    }

    /// Takes the deliveries whose changes have reached every target, and when.
    pub(super) fn arrived(&mut self) -> Vec<(Timestamp, Vec<DeliveryNumber>)> {
        std::mem::take(&mut self.arrived)
    }
}

#[cfg(test)]
mod tests;
