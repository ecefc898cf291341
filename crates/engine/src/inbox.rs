//! The inbox of a connection: every delivery of the source's hook as it was received, on disk before the sender is
//! told so, kept for the work it causes, for audit and for replay.
//!
//! A delivery is only a hint: *go and look at that row*. What it means is the source's business
//! ([`crate::source::Source::hear`]), what becomes of it the capture's ([`crate::capture`]).

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::journal::{JournalError, Limit};

/// A delivery's number: the microsecond of its receipt, made unique. Numbers only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeliveryNumber(pub i64);

/// A delivery's place in the queue of those that wait. A replayed delivery gets a new one, at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Turn(pub i64);

/// A delivery as it was received and verified.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// By what the sender tells it from others; repetitions carry the same.
    pub delivery_id: Option<String>,
    /// When it was received.
    pub received: Timestamp,
    /// Its headers, names in lower case, without secrets.
    pub headers: Vec<(String, String)>,
    /// Its body, byte for byte.
    pub body: Bytes,
}

/// What became of an arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is in the inbox, flushed.
    New(DeliveryNumber),
    /// One with its delivery id, or with its very body, is there already. Under the same id it is the same delivery, and
    /// nothing is done. Under another id it may tell of something new that merely looks the same: the one that is there
    /// is worked off once more, unless its work has not begun yet.
    Repeated(DeliveryNumber),
}

/// What is known of a delivery without reading it again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The event's code, `ISSUE_UPDATED`; empty when it could not be told.
    pub event: String,
    /// What it is about, for people: `issue 71`.
    pub entity: Option<String>,
    /// The project's identifier.
    pub project: Option<String>,
    /// Who caused it.
    pub sender: Option<String>,
}

/// How a delivery stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Standing {
    /// It is to be worked off.
    Waiting {
        /// What went wrong so far, while it is tried again.
        problem: Option<String>,
    },
    /// A row changed because of it.
    Applied,
    /// The row it names was looked at, and was as known.
    Unchanged,
    /// There was nothing to do.
    Ignored {
        /// Why.
        reason: String,
    },
    /// It was given up; it can be replayed.
    Dead {
        /// Why.
        reason: String,
    },
}

/// [`Standing`] without its words, to choose by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StandingKind {
    /// [`Standing::Waiting`].
    Waiting,
    /// [`Standing::Applied`].
    Applied,
    /// [`Standing::Unchanged`].
    Unchanged,
    /// [`Standing::Ignored`].
    Ignored,
    /// [`Standing::Dead`].
    Dead,
}

impl Standing {
    /// Which of them it is.
    #[must_use]
    pub fn kind(&self) -> StandingKind {
        match self {
            Standing::Waiting { .. } => StandingKind::Waiting,
            Standing::Applied => StandingKind::Applied,
            Standing::Unchanged => StandingKind::Unchanged,
            Standing::Ignored { .. } => StandingKind::Ignored,
            Standing::Dead { .. } => StandingKind::Dead,
        }
    }
}

/// A delivery without its headers and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub number: DeliveryNumber,
    /// Its place in the queue.
    pub turn: Turn,
    /// By what the sender tells it from others.
    pub delivery_id: Option<String>,
    /// When it was received.
    pub received: Timestamp,
    /// When its body was received last: later than `received` where it came again under another delivery id.
    pub last_received: Timestamp,
    /// What it is about, once it has been read.
    pub summary: Option<Summary>,
    /// How it stands.
    pub standing: Standing,
    /// When it was settled last.
    pub settled: Option<Timestamp>,
    /// When its change had reached every target.
    pub delivered: Option<Timestamp>,
    /// How often it was replayed by a person.
    pub replays: u32,
    /// How often its body came again under another delivery id.
    pub repeats: u32,
    /// How often in a row a process began to read it and ended before it had.
    pub starts: u32,
    /// Bytes of its body.
    pub size: u64,
    /// Bytes that it takes on the disk, about.
    pub room: u64,
}

/// A delivery, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What is known of it.
    pub entry: Entry,
    /// Its headers, names in lower case, without secrets.
    pub headers: Vec<(String, String)>,
    /// Its body, byte for byte.
    pub body: Bytes,
}

/// What is noted of a delivery once it has been worked on.
#[derive(Clone, Debug)]
pub struct Settled {
    /// Which delivery.
    pub number: DeliveryNumber,
    /// The turn in which it was worked on. One that was replayed meanwhile has a newer turn, waits on, and is not
    /// touched: what was done before says nothing about what is to be done again.
    pub turn: Turn,
    /// What it is about; `None` leaves what is known.
    pub summary: Option<Summary>,
    /// How it stands now. `Waiting` keeps it in its place.
    pub standing: Standing,
}

/// Numbers of the inbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InboxCounts {
    /// Deliveries that wait.
    pub waiting: u64,
    /// Deliveries that changed a row.
    pub applied: u64,
    /// Deliveries whose rows were as known.
    pub unchanged: u64,
    /// Deliveries with nothing to do.
    pub ignored: u64,
    /// Deliveries that were given up.
    pub dead: u64,
    /// Bytes that all deliveries take on the disk, about.
    pub bytes: u64,
}

/// Which deliveries to show.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// Only those that stand so.
    pub standing: Option<StandingKind>,
    /// Only those with smaller numbers.
    pub before: Option<DeliveryNumber>,
    /// At most so many.
    pub limit: u32,
}

/// Keeps deliveries. One process accepts and settles; others may read and replay beside it.
///
/// Every method is safe to repeat after an error. An error that is `Wait` says that there is no room: the sender
/// is asked to come again.
pub trait Inbox: fmt::Debug + Send + Sync + 'static {
    /// Takes a delivery in; it is on disk, flushed, when this returns. Many callers at once share a flush.
    fn accept(&self, arrival: Arrival) -> BoxFuture<'_, Result<Accepted, JournalError>>;

    /// Moves when something may wait that did not before; replays by other processes are seen within seconds.
    fn arrivals(&self) -> watch::Receiver<u64>;

    /// Deliveries that wait and whose turns come after `after`, in the order of turns.
    ///
    /// What an earlier process left behind may be what ended it. It is noted, on disk, that its reading begins, before
    /// it is handed out; [`Inbox::heard`] takes the note back. What has such a note from an earlier process is handed out
    /// alone, so that no other is blamed for it.
    fn waiting(&self, after: Turn, limit: Limit) -> BoxFuture<'_, Result<Vec<Delivery>, JournalError>>;

    /// Notes that these deliveries have been read: the start with them has come back. Costs nothing where
    /// [`Inbox::waiting`] noted nothing.
    fn heard(&self, numbers: Vec<DeliveryNumber>) -> BoxFuture<'_, Result<(), JournalError>>;

    /// Notes how deliveries stand, in one transaction. Those that have a newer turn, or are not there any more, are
    /// left out.
    fn settle(&self, settled: Vec<Settled>) -> BoxFuture<'_, Result<(), JournalError>>;

    /// Notes that what these deliveries changed has reached every target.
    fn delivered(
        &self,
        numbers: Vec<DeliveryNumber>,
        at: Timestamp,
    ) -> BoxFuture<'_, Result<(), JournalError>>;

    /// Deliveries, newest first.
    fn list(&self, query: Query) -> BoxFuture<'_, Result<Vec<Entry>, JournalError>>;

    /// The delivery with this number or delivery id.
    fn find(&self, id: String) -> BoxFuture<'_, Result<Option<Delivery>, JournalError>>;

    /// Has deliveries worked off once more, whatever became of them; returns how many there were.
    fn replay(&self, numbers: Vec<DeliveryNumber>) -> BoxFuture<'_, Result<u64, JournalError>>;

    /// Numbers of the inbox.
    fn counts(&self) -> BoxFuture<'_, Result<InboxCounts, JournalError>>;

    /// Forgets settled deliveries received longer ago than `keep`, and the oldest of them beyond `max_bytes`.
    fn prune(&self, keep: Duration, max_bytes: u64) -> BoxFuture<'_, Result<(), JournalError>>;
}
