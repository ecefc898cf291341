//! The way in: a task that takes what waits, writes it in one flushed transaction, and answers everybody.
//!
//! While a group is being flushed the next one gathers, so that the more senders there are, the more share a flush.
//! The task is the only one that accepts; it also looks whether another process wrote.

use std::collections::HashMap;
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

use super::read::unsigned;
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
    before: "INSERT INTO deliveries (number, turn, delivery_id, received, size) VALUES ",
    columns: 5,
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
struct Packed {
    delivery_id: Option<String>,
    received: i64,
    headers: String,
    body: Vec<u8>,
    size: u64,
    /// The body as it arrived: whoever counts bodies in memory counts it until it is written.
    _held: Bytes,
}

impl Packed {
    async fn of(arrival: Arrival) -> Result<Packed, Fault> {
        let headers =
            serde_json::to_string(&arrival.headers).map_err(|error| Fault::Encode(error.to_string()))?;
        let (body, held) = (arrival.body.clone(), arrival.body);
        let size = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let body = if body.len() < LARGE {
            blob::pack_bytes(&body)?
        } else {
            let packed = tokio::task::spawn_blocking(move || blob::pack_bytes(&body)).await;
            packed.map_err(|error| Fault::Encode(error.to_string()))??
        };
        Ok(Packed {
            delivery_id: arrival.delivery_id.map(super::settle::plain),
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
    pub(super) fn start(
        writer: SqlitePool,
        short: Short,
        arrivals: watch::Sender<u64>,
        dir: &Path,
        max_bytes: u64,
    ) -> Intake {
        let (asks, asked) = mpsc::channel(QUEUE);
        let groups = Arc::new(AtomicU64::new(0));
        let work = Work { writer, arrivals, dir: dir.to_path_buf(), max_bytes, groups: Arc::clone(&groups) };
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
struct Work {
    writer: SqlitePool,
    arrivals: watch::Sender<u64>,
    dir: PathBuf,
    max_bytes: u64,
    groups: Arc<AtomicU64>,
}

impl Work {
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
        match write(&self.writer, group.packed, self.max_bytes).await {
            Ok(written) => {
                if written.new > 0 {
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
    new: usize,
}

async fn write(writer: &SqlitePool, group: Vec<Packed>, max_bytes: u64) -> Result<Written, Fault> {
    let mut writing = Writing::begin(writer, ACCEPT).await?;
    let written = Box::pin(write_group(&mut writing, group, max_bytes)).await;
    writing.end(written).await
}

async fn write_group(
    connection: &mut SqliteConnection,
    group: Vec<Packed>,
    max_bytes: u64,
) -> Result<Written, Fault> {
    let bounds = sqlx::query("SELECT number, turn, waiting_bytes FROM bounds").fetch_one(&mut *connection);
    let bounds = bounds.await?;
    let (mut number, mut turn): (i64, i64) = (bounds.try_get(0)?, bounds.try_get(1)?);
    let before = unsigned(&bounds, 2)?;
    let mut there = those_there(connection, &group).await?;
    let now = Timestamp::now().as_microsecond();

    let (mut outcomes, mut rows, mut contents) = (Vec::new(), Vec::new(), Vec::new());
    let mut waiting = before;
    for packed in group {
        let known = packed.delivery_id.as_ref().and_then(|id| there.get(id));
        if let Some(known) = known {
            outcomes.push(Ok(Accepted::Repeated(DeliveryNumber(*known))));
            continue;
        }
        let with = waiting.saturating_add(packed.size);
        // A body that is larger than everything that may wait still gets its turn, alone.
        if with > max_bytes && (waiting > 0 || max_bytes == 0) {
            outcomes.push(Err(Fault::Full { waiting, max: max_bytes }));
            continue;
        }
        waiting = with;
        number = packed.received.max(number.saturating_add(1));
        turn = now.max(turn.saturating_add(1));
        if let Some(id) = &packed.delivery_id {
            there.insert(id.clone(), number);
        }
        outcomes.push(Ok(Accepted::New(DeliveryNumber(number))));
        rows.push((number, turn, packed.delivery_id, packed.received, packed.size));
        contents.push((number, packed.headers, packed.body));
    }
    let new = rows.len();
    if new == 0 {
        return Ok(Written { outcomes, new });
    }

    type Row = (i64, i64, Option<String>, i64, u64);
    let bind = |values: &mut Values, (number, turn, id, received, size): Row| {
        values.add(number)?;
        values.add(turn)?;
        values.add(id)?;
        values.add(received)?;
        values.add(signed(size))
    };
    DELIVERIES.write(connection, rows.into_iter(), bind).await?;
    let bind = |values: &mut Values, (number, headers, body): (i64, String, Vec<u8>)| {
        values.add(number)?;
        values.add(headers)?;
        values.add(body)
    };
    CONTENT.write(connection, contents.into_iter(), bind).await?;
    let update = sqlx::query(
        "UPDATE bounds SET number = ?1, turn = ?2, waiting = waiting + ?3, bytes = bytes + ?4, \
         waiting_bytes = waiting_bytes + ?4",
    );
    let update = update.bind(number).bind(turn).bind(i64::try_from(new).unwrap_or(i64::MAX));
    update.bind(signed(waiting.saturating_sub(before))).execute(connection).await?;
    Ok(Written { outcomes, new })
}

/// Numbers of those deliveries whose delivery ids are there already.
async fn those_there(
    connection: &mut SqliteConnection,
    group: &[Packed],
) -> Result<HashMap<String, i64>, Fault> {
    let ids: Vec<&str> = group.iter().filter_map(|packed| packed.delivery_id.as_deref()).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let ids = serde_json::to_string(&ids).map_err(|error| Fault::Encode(error.to_string()))?;
    let rows = sqlx::query(
        "SELECT d.delivery_id, d.number FROM json_each(?1) j CROSS JOIN deliveries d INDEXED BY deliveries_id \
         ON d.delivery_id = j.value",
    );
    let rows = rows.bind(ids).fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// A number of bytes as SQLite keeps it.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
