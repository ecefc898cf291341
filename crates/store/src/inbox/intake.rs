//! The way in: a task that takes what waits, writes it in one flushed transaction, and answers everybody.
//!
//! While a group is being flushed the next one gathers, so that the more senders there are, the more share a flush.
//! The task is the only one that accepts; it also looks whether another process wrote. What is there already, by its
//! delivery id or by its very body, is not written again: `known` finds it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use engine::failpoint::Step;
use engine::inbox::{Accepted, Arrival, DeliveryNumber};
use engine::journal::JournalError;
use jiff::Timestamp;
use sqlx::{Row as _, SqliteConnection, SqlitePool};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::handout::Handout;
use super::known::{Known, Repeats};
use super::read::{WAITING, unsigned};
use super::settle::Tally;
use super::{known, schema};
use crate::durable::Identity;
use crate::sqlite::checkpoint::Short;
use crate::sqlite::fault::{Fault, Kept};
use crate::sqlite::statement::{Statement, Values};
use crate::sqlite::{Writing, blob};

/// What could not be done, for people.
pub(super) const CANNOT: &str = "A delivery cannot be taken in";

/// Arrivals that may wait for the task; more wait where they are. Two of the largest groups.
const QUEUE: usize = 1_024;
/// Arrivals written at once: the flush is shared by enough of them.
const GROUP: usize = 512;
/// Bytes of stored bodies written at once, so that a few huge ones do not keep small ones waiting.
const GROUP_BYTES: usize = 4 << 20;
/// Bodies from this size on are compressed on a thread for blocking work: some 0.3 ms.
const LARGE: usize = 256 << 10;
/// How often it is looked whether another process wrote.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const ACCEPT: Step = Step::named("inbox::accept");

/// Rows a statement: a group of any size is a few statements.
const SIZES: &[usize] = &[512, 256, 128, 64, 32, 16, 8, 4, 2, 1];

const DELIVERIES: Statement = Statement {
    before: "INSERT INTO deliveries \
             (number, turn, delivery_id, received, last_received, size, digest, room) VALUES ",
    columns: 8,
    after: "",
    sizes: SIZES,
};

const CONTENT: Statement =
    Statement { before: "INSERT INTO content VALUES ", columns: 3, after: "", sizes: SIZES };

/// The task that accepts, how to reach it, and the one that keeps the write-ahead log short beside it.
#[derive(Debug)]
pub(super) struct Intake {
    asks: mpsc::Sender<Ask>,
    groups: Arc<AtomicU64>,
    task: Mutex<Option<JoinHandle<()>>>,
    short: Short,
}

enum Ask {
    TakeIn(Packed, Answer),
    /// Take nothing more.
    End,
}

type Answer = oneshot::Sender<Result<Accepted, JournalError>>;

/// An arrival, ready to be written.
pub(super) struct Packed {
    pub(super) delivery_id: Option<String>,
    /// Of the body as it arrived.
    pub(super) digest: Vec<u8>,
    pub(super) received: i64,
    headers: String,
    body: Vec<u8>,
    size: u64,
    /// What it takes on the disk.
    pub(super) room: u64,
    /// The body as it arrived: whoever counts bodies in memory counts it until it is written.
    _held: Bytes,
}

impl Packed {
    async fn of(arrival: Arrival) -> Result<Packed, Fault> {
        let headers =
            serde_json::to_string(&arrival.headers).map_err(|error| Fault::Encode(error.to_string()))?;
        let (body, held) = (arrival.body.clone(), arrival.body);
        let size = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let pack = move || Ok::<_, Fault>((known::digest(&body), blob::pack_bytes(&body)?));
        let (digest, body) = if held.len() < LARGE {
            pack()?
        } else {
            let packed = tokio::task::spawn_blocking(pack).await;
            packed.map_err(|error| Fault::Encode(error.to_string()))??
        };
        let stored = headers.len().saturating_add(body.len());
        Ok(Packed {
            delivery_id: arrival.delivery_id.map(super::settle::plain),
            digest,
            room: schema::room(u64::try_from(stored).unwrap_or(u64::MAX)),
            received: arrival.received.as_microsecond(),
            headers,
            body,
            size,
            _held: held,
        })
    }
}

impl Intake {
    /// Starts the task. It ends with [`Intake::end`], or when this is dropped.
    pub(super) fn start(work: Work, short: Short) -> Intake {
        let (asks, asked) = mpsc::channel(QUEUE);
        let groups = Arc::clone(&work.groups);
        let task = Mutex::new(Some(tokio::spawn(work.until_ended(asked))));
        Intake { asks, groups, task, short }
    }

    /// Takes an arrival in; an outer error is of the way there, an inner one of the group it was in.
    pub(super) async fn accept(&self, arrival: Arrival) -> Result<Result<Accepted, JournalError>, Fault> {
        let packed = Packed::of(arrival).await?;
        let (answer, answered) = oneshot::channel();
        self.asks.send(Ask::TakeIn(packed, answer)).await.map_err(|_| Fault::Closed)?;
        answered.await.map_err(|_| Fault::Closed)
    }

    /// Answers what waits, then ends the task and waits for it.
    pub(super) async fn end(&self) {
        // It has ended already where nobody listens any more.
        let _ = self.asks.send(Ask::End).await;
        self.short.end().await;
        if let Some(task) = self.task.lock().await.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the task of the inbox ended badly");
        }
    }

    /// Waits until nothing is accepted any more: it was ended, or its task broke down.
    pub(super) async fn ended(&self) {
        self.asks.closed().await;
    }

    pub(super) fn groups(&self) -> u64 {
        self.groups.load(Ordering::Relaxed)
    }
}

/// What the task has.
pub(super) struct Work {
    writer: SqlitePool,
    arrivals: watch::Sender<u64>,
    dir: PathBuf,
    max_bytes: u64,
    handout: Arc<Handout>,
    /// The file that was opened: another one, or none, may be in its place by now.
    file: Identity,
    groups: Arc<AtomicU64>,
}

impl Work {
    /// What takes deliveries into the inbox in `dir`, which has been opened.
    pub(super) fn new(
        writer: SqlitePool,
        arrivals: watch::Sender<u64>,
        dir: &Path,
        max_bytes: u64,
        handout: Arc<Handout>,
    ) -> Result<Work, Fault> {
        let file = Identity::of(&dir.join(super::FILE)).map_err(Fault::Io)?;
        let (dir, groups) = (dir.to_path_buf(), Arc::new(AtomicU64::new(0)));
        Ok(Work { writer, arrivals, dir, max_bytes, handout, file, groups })
    }

    async fn until_ended(self, mut asked: mpsc::Receiver<Ask>) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut taken, mut version) = (Vec::with_capacity(GROUP), None);
        loop {
            // Both arms may be dropped: neither takes anything before it is done.
            tokio::select! {
                count = asked.recv_many(&mut taken, GROUP) => {
                    if count == 0 {
                        return;
                    }
                    let mut group = Group::default();
                    for ask in taken.drain(..) {
                        match ask {
                            Ask::End => asked.close(),
                            Ask::TakeIn(packed, answer) => {
                                if !group.has_room_for(&packed) {
                                    self.take_in(std::mem::take(&mut group)).await;
                                }
                                group.add(packed, answer);
                            }
                        }
                    }
                    self.take_in(group).await;
                }
                _ = look.tick() => self.look(&mut version).await,
            }
        }
    }

    async fn take_in(&self, group: Group) {
        if group.packed.is_empty() {
            return;
        }
        let written = write(&self.writer, group.packed, self.max_bytes, &self.handout).await;
        // What was flushed into a file that nobody finds any more is not on the disk.
        let written = match self.file.is_at(&self.dir.join(super::FILE)) {
            true => written,
            false => Err(Fault::Gone),
        };
        match written {
            Ok(written) => {
                if written.moved {
                    self.groups.fetch_add(1, Ordering::Relaxed);
                    self.arrivals.send_modify(|moved| *moved = moved.wrapping_add(1));
                }
                for (outcome, answer) in written.outcomes.into_iter().zip(group.answers) {
                    let answered = outcome.map_err(|fault| fault.told(Kept::Inbox, CANNOT, &self.dir));
                    // Who does not wait for the answer any more does not need it.
                    let _ = answer.send(answered);
                }
            }
            Err(fault) => {
                let error = fault.told(Kept::Inbox, CANNOT, &self.dir);
                let mut answers = group.answers.into_iter();
                let first = answers.next();
                for answer in answers {
                    let problem = error.problem.clone();
                    let _ = answer.send(Err(JournalError { remedy: error.remedy, problem, source: None }));
                }
                if let Some(first) = first {
                    let _ = first.send(Err(error));
                }
            }
        }
    }

    /// Says so when another process wrote: perhaps it replayed. All that this process writes goes through the
    /// connection that is asked, and does not change its answer.
    async fn look(&self, version: &mut Option<i64>) {
        match sqlx::query_scalar::<_, i64>("PRAGMA data_version").fetch_one(&self.writer).await {
            Ok(now) => {
                if version.replace(now).is_some_and(|before| before != now) {
                    self.arrivals.send_modify(|moved| *moved = moved.wrapping_add(1));
                }
            }
            // Whoever waits for an answer of this file is told.
            Err(error) => tracing::debug!(%error, "the inbox cannot be looked at"),
        }
    }
}

/// Arrivals that share a flush.
#[derive(Default)]
struct Group {
    packed: Vec<Packed>,
    answers: Vec<Answer>,
    bytes: usize,
}

impl Group {
    fn has_room_for(&self, packed: &Packed) -> bool {
        self.packed.is_empty() || self.bytes.saturating_add(packed.body.len()) <= GROUP_BYTES
    }

    fn add(&mut self, packed: Packed, answer: Answer) {
        self.bytes = self.bytes.saturating_add(packed.body.len());
        self.packed.push(packed);
        self.answers.push(answer);
    }
}

/// What became of a group.
struct Written {
    outcomes: Vec<Result<Accepted, Fault>>,
    /// Whether something waits that did not before.
    moved: bool,
}

async fn write(
    writer: &SqlitePool,
    group: Vec<Packed>,
    max_bytes: u64,
    handout: &Handout,
) -> Result<Written, Fault> {
    let mut writing = Writing::begin(writer, ACCEPT).await?;
    let written = Box::pin(write_group(&mut writing, group, max_bytes, handout)).await;
    writing.end(written).await
}

async fn write_group(
    connection: &mut SqliteConnection,
    group: Vec<Packed>,
    max_bytes: u64,
    handout: &Handout,
) -> Result<Written, Fault> {
    let bounds = sqlx::query("SELECT number, turn, waiting_bytes FROM bounds").fetch_one(&mut *connection);
    let bounds = bounds.await?;
    let (mut number, mut turn): (i64, i64) = (bounds.try_get(0)?, bounds.try_get(1)?);
    let mut waiting = unsigned(&bounds, 2)?;
    let mut known = Known::among(connection, &group).await?;
    let now = Timestamp::now().as_microsecond();

    let (mut outcomes, mut rows, mut contents) = (Vec::new(), Vec::new(), Vec::new());
    let (mut tally, mut repeats) = (Tally::default(), Repeats::default());
    // What is larger than everything that may wait still gets its turn, alone.
    let has_room = |waiting: u64, with: u64| with <= max_bytes || (waiting == 0 && max_bytes > 0);
    for packed in group {
        if let Some(number) = known.by_id(&packed) {
            outcomes.push(Ok(Accepted::Repeated(number)));
            continue;
        }
        if let Some(there) = known.by_digest(&packed) {
            // It may tell of something newer than what was looked at, unless that look is still to come.
            if there.waits && !handout.has_begun(there.turn) {
                repeats.note(there.number, packed.received, None);
            } else if !there.waits && !has_room(waiting, waiting.saturating_add(there.room)) {
                outcomes.push(Err(Fault::Full { waiting, max: max_bytes }));
                continue;
            } else {
                turn = now.max(turn.saturating_add(1));
                if !there.waits {
                    waiting = waiting.saturating_add(there.room);
                }
                tally.count(there.standing(), -1, signed(there.room));
                tally.count(WAITING, 1, signed(there.room));
                (there.waits, there.turn) = (true, turn);
                repeats.note(there.number, packed.received, Some(turn));
            }
            outcomes.push(Ok(Accepted::Repeated(DeliveryNumber(there.number))));
            continue;
        }
        let with = waiting.saturating_add(packed.room);
        if !has_room(waiting, with) {
            outcomes.push(Err(Fault::Full { waiting, max: max_bytes }));
            continue;
        }
        waiting = with;
        number = packed.received.max(number.saturating_add(1));
        turn = now.max(turn.saturating_add(1));
        known.add(&packed, number, turn);
        tally.count(WAITING, 1, signed(packed.room));
        outcomes.push(Ok(Accepted::New(DeliveryNumber(number))));
        let Packed { delivery_id, digest, received, headers, body, size, room, .. } = packed;
        rows.push((number, turn, delivery_id, received, size, digest, room));
        contents.push((number, headers, body));
    }
    let moved = !rows.is_empty() || repeats.moves();
    if !rows.is_empty() {
        type Row = (i64, i64, Option<String>, i64, u64, Vec<u8>, u64);
        let bind = |values: &mut Values, (number, turn, id, received, size, digest, room): Row| {
            values.add(number)?;
            values.add(turn)?;
            values.add(id)?;
            values.add(received)?;
            values.add(received)?;
            values.add(signed(size))?;
            values.add(digest)?;
            values.add(signed(room))
        };
        DELIVERIES.write(connection, rows.into_iter(), bind).await?;
        let bind = |values: &mut Values, (number, headers, body): (i64, String, Vec<u8>)| {
            values.add(number)?;
            values.add(headers)?;
            values.add(body)
        };
        CONTENT.write(connection, contents.into_iter(), bind).await?;
    }
    repeats.write(connection).await?;
    if moved {
        let update = sqlx::query("UPDATE bounds SET number = ?1, turn = ?2").bind(number).bind(turn);
        update.execute(&mut *connection).await?;
        tally.write(connection).await?;
    }
    Ok(Written { outcomes, moved })
}

/// A number of bytes as SQLite keeps it.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
