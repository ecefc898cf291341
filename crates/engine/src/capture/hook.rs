//! Works deliveries of the source's hook off: from the inbox to hints, from hints to looks, one look for all that
//! ask for the same row.
//!
//! A delivery is never believed: the row it names is looked at, and the differ says what changed. A delivery is
//! settled when every row it names has been looked at *after* it arrived. What fails is tried again; what goes on
//! failing while other looks succeed goes aside, where a person finds it, and the stream goes on. `desk` keeps
//! the books, `look` does the looking; here is when what happens.

mod desk;
mod look;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;

use self::desk::{Batch, Desk, Done, Timing};
use super::listing::LONGEST_SETTLE;
use super::missed::{self, Missed};
use super::{Capture, CaptureError, Hooks, bearable, prune_every};
use crate::inbox::{Delivery, Entry, InboxCounts, Standing};
use crate::journal::{Journal, JournalError, Limit};
use crate::observation::{Channel, Observation, Seen};
use crate::problem::{Problem, Remedy};
use crate::row::{RowId, RowKey};
use crate::schema::Table;
use crate::source::{Heard, Hint, Meaning, Project, ProjectMark, Source};

/// Deliveries read from the inbox at once.
const READ: Limit = Limit { rows: 128, bytes: 4 << 20 };
/// Looks under way at the same time; the budget says how many there are a second.
const LOOKS: usize = 32;
/// How often what was settled is noted: a note that a crash takes back only means that a row is looked at again.
const NOTE_EVERY: Duration = Duration::from_millis(100);
/// How often the counts on the board are brought up to date.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// How often the inbox is pruned, unless deliveries are kept for so short that it is due more often.
const PRUNE_EVERY: Duration = Duration::from_mins(10);
/// Wait before a call to the inbox is repeated.
const INBOX_PAUSE: Duration = Duration::from_secs(1);
/// So many starts in a row that ended while a delivery was being read, and it goes aside.
const STARTS_MOST: u32 = 2;
/// With `once`, how long deliveries that wait are borne with.
const ONCE_PATIENCE: Duration = Duration::from_mins(1);

/// The hook's side of a capture.
pub(super) struct Hooked {
    pub(super) settings: Hooks,
    pub(super) missed: Arc<Missed>,
}

impl Hooked {
    pub(super) fn new(settings: Hooks) -> Hooked {
        let missed = Arc::new(Missed::within(settings.missed_after));
        Hooked { settings, missed }
    }
}

/// Looks under way.
type Looks<'a> = FuturesUnordered<BoxFuture<'a, Done>>;

/// Things that are due now and then.
struct Chores {
    note: Instant,
    count: Instant,
    prune: Instant,
}

impl<S: Source, J: Journal> Capture<S, J> {
    /// Works deliveries off until the capture is cancelled.
    pub(super) async fn work_off(&self, hooked: &Hooked) -> Result<(), CaptureError> {
        let inbox = &hooked.settings.inbox;
        hooked.missed.resume(bearable(self.recall(missed::DOCUMENT).await)?.flatten().unwrap_or_default());
        if let Some(table) = self.events {
            for project in self.access.visible() {
                bearable(self.count(&project, table).await)?;
            }
        }
        let mut desk = Desk::default();
        let mut arrivals = inbox.arrivals();
        let mut board = self.board.watch();
        let (mut looks, mut done) = (Looks::new(), Vec::new());
        let now = Instant::now();
        let mut chores = Chores { note: now, count: now, prune: now };
        loop {
            if desk.has_room() {
                let read = async { passing(inbox.waiting(desk.read_up_to(), READ).await).await };
                if let Some(deliveries) = meanwhile(&mut looks, &mut done, read).await? {
                    let safe = deliveries.iter().filter(|delivery| !is_poison(&delivery.entry));
                    let heard = safe.map(|delivery| delivery.entry.number).collect();
                    let rows = self.take_all_in(hooked, &mut desk, deliveries);
                    if !rows.is_empty() {
                        looks.push(self.record_rows(rows).boxed());
                    }
                    let heard = async { passing(inbox.heard(heard).await).await };
                    meanwhile(&mut looks, &mut done, heard).await?;
                }
            }
            self.begin_looks(&mut desk, &mut looks);
            desk.see_arrived(&board.borrow_and_update());
            let work = self.chores(hooked, &mut desk, &mut chores);
            meanwhile(&mut looks, &mut done, work.boxed()).await?;
            // While all looks are under way it is one of them that comes next.
            let due = if looks.len() < LOOKS { desk.next_due() } else { None };
            let next = due.unwrap_or(chores.count).min(chores.count);
            let next = if desk.has_notes() { next.min(chores.note) } else { next };
            // Every arm only waits.
            tokio::select! {
                Some(look) = looks.next(), if !looks.is_empty() => done.push(look),
                changed = arrivals.changed() => {
                    if changed.is_err() {
                        return Err(JournalError::stopped().into());
                    }
                    desk.expect_more();
                }
                _ = board.changed(), if desk.awaits_targets() => {}
                () = tokio::time::sleep_until(next) => {}
                () = std::future::ready(()), if !done.is_empty() => {}
            }
            while let Some(Some(look)) = looks.next().now_or_never() {
                done.push(look);
            }
            for look in done.drain(..) {
                self.finish(hooked, &mut desk, look)?;
            }
        }
    }

    /// Waits until no delivery waits but those that fail; not for ever.
    pub(super) async fn hooks_settled(&self) -> Result<(), CaptureError> {
        let Some(hooked) = &self.hooked else { return Ok(()) };
        let deadline = Instant::now().checked_add(ONCE_PATIENCE);
        let none_waits = |counts: Option<InboxCounts>| counts.is_some_and(|counts| counts.waiting == 0);
        while !none_waits(passing(hooked.settings.inbox.counts().await).await?)
            && deadline.is_none_or(|deadline| Instant::now() < deadline)
        {
            tokio::time::sleep(NOTE_EVERY).await;
        }
        Ok(())
    }

    /// Enters deliveries into the books; the rows that they make of themselves.
    fn take_all_in(&self, hooked: &Hooked, desk: &mut Desk, deliveries: Vec<Delivery>) -> Vec<Observation> {
        desk.has_read(deliveries.last().map(|delivery| delivery.entry.turn));
        let heard = |delivery: &Delivery| {
            if is_poison(&delivery.entry) {
                set_aside(desk, &delivery.entry);
                return None;
            }
            let heard = self.source.hear(delivery);
            self.take_in(hooked, desk, delivery, heard)
        };
        deliveries.iter().filter_map(heard).collect()
    }

    /// Enters a delivery into the books; the row it makes of itself, where somebody wants it.
    fn take_in(
        &self,
        hooked: &Hooked,
        desk: &mut Desk,
        delivery: &Delivery,
        heard: Heard,
    ) -> Option<Observation> {
        let Heard { summary, project: mark, meaning, row } = heard;
        let entry = &delivery.entry;
        let project = self.project_of(&mark);
        let row = match (&project, self.events, row) {
            (Some(project), Some(table), Some(row)) => {
                let key = RowKey { table: table.id, project: project.id, id: RowId(entry.number.0) };
                let (sent, channel) = (self.clock.now(), Channel::Hook);
                Some(Observation { key, sent, channel, seen: Seen::Listed(row) })
            }
            _ => None,
        };
        let reason = match (meaning, project) {
            (Meaning::Ping, _) => {
                self.board.hooks(|hooks| hooks.reached = Some(entry.last_received));
                "a ping: the hook reaches tributary".to_owned()
            }
            (Meaning::Nothing { reason }, _) => reason,
            (Meaning::Hints(_), None) => elsewhere(&mark),
            (Meaning::Hints(hints), Some(project)) => {
                let key = |hint: &Hint| RowKey { table: hint.table, project: project.id, id: hint.id };
                let keys: Vec<RowKey> = hints.iter().map(key).collect();
                // What is replayed told of its change when it came.
                if entry.replays == 0 {
                    hooked.missed.heard(&keys, entry.last_received);
                }
                let wanted = hints.iter().filter_map(|hint| Some((hint, self.table(hint.table)?)));
                let wanted: Vec<_> = wanted.collect();
                if !wanted.is_empty() {
                    desk.open(entry, summary, row.is_some());
                    for (hint, table) in wanted {
                        // Tables without look-ups are looked at whole.
                        let key =
                            if table.look_up { key(hint) } else { RowKey { id: RowId(0), ..key(hint) } };
                        self.in_flight.take(key);
                        desk.wish(key, entry.number, hint, self.timing(hint, table, entry));
                    }
                    return row;
                }
                "no table of this connection is concerned".to_owned()
            }
        };
        if row.is_some() {
            desk.open(entry, summary, true);
        } else {
            desk.settle(entry, Some(summary), Standing::Ignored { reason });
        }
        row
    }

    /// When the look that a delivery asks for may begin.
    fn timing(&self, hint: &Hint, table: &'static Table, entry: &Entry) -> Timing {
        // What does not say when it was updated was so just before it was told, but for what is merely touched.
        let told = if hint.beside { 0 } else { self.server_ms(entry.received.as_millisecond()) };
        let patient = self.source.is_busy(table);
        let updated_ms = if hint.updated_ms == 0 && patient { told } else { hint.updated_ms };
        Timing { settle: self.until_over(updated_ms).min(LONGEST_SETTLE), patient }
    }

    /// The captured project that a delivery is about. Its number counts; only where there is none, its name.
    fn project_of(&self, mark: &ProjectMark) -> Option<Project> {
        match (mark.id, &mark.name) {
            (Some(id), _) => self.access.find(id),
            (None, Some(name)) => {
                self.access.visible().into_iter().find(|project| project.name.eq_ignore_ascii_case(name))
            }
            (None, None) => None,
        }
    }

    /// Begins the looks that are due, as many as there is room for.
    fn begin_looks<'a>(&'a self, desk: &mut Desk, looks: &mut Looks<'a>) {
        for (id, number, keys) in desk.doubtful() {
            match (self.access.find(id), self.table(number)) {
                (Some(project), Some(table)) => looks.push(self.confirm(project, table, keys).boxed()),
                _ => {
                    let looked = vec![out_of_view(keys)];
                    let done = Done::Confirmed { project: id, table: number, looks: looked };
                    looks.push(std::future::ready(done).boxed());
                }
            }
        }
        let room = LOOKS.saturating_sub(looks.len());
        let is_busy = |number| self.table(number).is_some_and(|table| self.source.is_busy(table));
        for Batch { project, table, wanted } in desk.due(room, is_busy) {
            match (self.access.find(project), self.table(table)) {
                (Some(project), Some(table)) => looks.extend(self.looks(project, table, wanted)),
                _ => {
                    let keys = wanted.into_iter().map(|(key, _)| key).collect();
                    looks.push(async { out_of_view(keys) }.boxed());
                }
            }
        }
    }

    /// Enters what a look brought.
    fn finish(&self, hooked: &Hooked, desk: &mut Desk, done: Done) -> Result<(), CaptureError> {
        if let Done::Failed { problem, .. } = &done {
            self.say_failed(problem.clone());
        }
        let head = *self.journal.head().borrow();
        for key in desk.finish(done, head, hooked.settings.give_up_after)?.touched {
            if self.table(key.table).is_some_and(|table| table.look_up) && desk.wish_beside(key) {
                self.in_flight.take(key);
            }
        }
        Ok(())
    }

    /// Notes, counts and prunes, each when it is due.
    async fn chores(
        &self,
        hooked: &Hooked,
        desk: &mut Desk,
        chores: &mut Chores,
    ) -> Result<(), CaptureError> {
        let now = Instant::now();
        let inbox = &hooked.settings.inbox;
        if desk.has_notes() && now >= chores.note {
            chores.note = after(now, NOTE_EVERY);
            let settled = desk.notes();
            if !settled.is_empty() && passing(inbox.settle(settled.clone()).await).await?.is_none() {
                desk.note_again(settled);
            }
            for (at, numbers) in desk.arrived() {
                // For people only: a note that is lost shows a delivery as on its way.
                passing(inbox.delivered(numbers, at).await).await?;
            }
        }
        if now >= chores.count {
            chores.count = after(now, COUNT_EVERY);
            for key in desk.tidy() {
                self.in_flight.done(key);
            }
            for (project, table) in desk.looked_at() {
                if let (Some(project), Some(table)) = (self.access.find(project), self.table(table)) {
                    bearable(self.count(&project, table).await)?;
                }
            }
            // What waits for its look was told of, however long that takes.
            hooked.missed.heard(&desk.waiting(), Timestamp::now());
            if let Some(hours) = hooked.missed.judge(Timestamp::now())
                && bearable(self.remember(missed::DOCUMENT, &json!(hours)).await)?.is_none()
            {
                hooked.missed.remember_again();
            }
            let (counts, day) = (passing(inbox.counts().await).await?, hooked.missed.day());
            if counts.is_some_and(|counts| counts.bytes > hooked.settings.max_bytes) {
                chores.prune = now;
            }
            self.board.hooks(|hooks| {
                if let Some(counts) = counts {
                    (hooks.waiting, hooks.dead) = (counts.waiting, counts.dead);
                }
                (hooks.changes, hooks.missed) = (day.changes, day.missed);
            });
        }
        if now >= chores.prune {
            chores.prune = after(now, prune_every(hooked.settings.keep, PRUNE_EVERY));
            passing(inbox.prune(hooked.settings.keep, hooked.settings.max_bytes).await).await?;
        }
        Ok(())
    }
}

/// Whether processes ended while they read it, again and again: then it is not read any more.
fn is_poison(entry: &Entry) -> bool {
    entry.starts >= STARTS_MOST
}

fn set_aside(desk: &mut Desk, entry: &Entry) {
    let reason = format!(
        "tributary began to read it {} times and ended each time before it had; it can be replayed",
        entry.starts
    );
    tracing::warn!(delivery = entry.number.0, bytes = entry.size, "a delivery goes aside: {reason}");
    desk.settle(entry, entry.summary.clone(), Standing::Dead { reason });
}

/// What the inbox answered; `None` when it has to be asked again, after a pause.
async fn passing<T>(answer: Result<T, JournalError>) -> Result<Option<T>, CaptureError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.remedy == Remedy::NeedsHuman => Err(error.into()),
        Err(error) => {
            tracing::warn!(problem = %error.problem, "the inbox waits");
            tokio::time::sleep(INBOX_PAUSE).await;
            Ok(None)
        }
    }
}

/// Works while the looks go on. They must not be left alone: each may hold a place in the recorder's queue or a
/// connection of the journal that the work itself waits for.
async fn meanwhile<T>(looks: &mut Looks<'_>, done: &mut Vec<Done>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        // Either arm only waits, and the work goes on where it was.
        tokio::select! {
            result = &mut work => return result,
            Some(look) = looks.next(), if !looks.is_empty() => done.push(look),
        }
    }
}

fn after(now: Instant, pause: Duration) -> Instant {
    now.checked_add(pause).unwrap_or(now)
}

/// A project that was in view when its rows were wished for is not any more.
fn out_of_view(keys: Vec<RowKey>) -> Done {
    let problem = Problem::new(
        "SOURCE-ACCESS",
        "Cannot look at rows that a hook named",
        "the credential no longer sees their project",
        "Give the credential's user access to the project again; tributary goes on by itself.",
    );
    Done::Failed { keys, problem, own: false }
}

/// Why a delivery about another project is not used.
fn elsewhere(mark: &ProjectMark) -> String {
    match (&mark.name, mark.id) {
        (Some(name), _) => format!("project `{name}` is not one of this connection's"),
        (None, Some(id)) => format!("project {} is not one of this connection's", id.0),
        (None, None) => "it does not say which project it is about".to_owned(),
    }
}
