//! "At this moment, through this channel, I saw this row": what every channel makes, and nothing else.

use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::row::{Row, RowKey};

/// How an observation came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// The first reading of a whole table.
    Load,
    /// A look-up for what listings do not show.
    Detail,
    /// The newest-updated-first listing.
    Poll,
    /// The listing of all rows.
    Census,
    /// A copy of another row, kept true from the mirror.
    Relation,
    /// A look because a hook's delivery named the row.
    Hook,
}

/// The looked-up shape of a row.
#[derive(Clone, Debug)]
pub struct LookedUp {
    /// The row.
    pub row: Row,
    /// When the look-up was sent.
    pub sent: Moment,
    /// Whether the second of the row's last update was over by then. Times have second precision: until it
    /// is, another edit would not show, so the look-up has to be repeated.
    pub settled: bool,
}

/// What was seen of a row.
#[derive(Clone, Debug)]
pub enum Seen {
    /// Its listed shape.
    Listed(Row),
    /// Its looked-up shape.
    LookedUp(LookedUp),
    /// Its listed shape, and the looked-up one that was asked for after it.
    Whole(Row, LookedUp),
    /// It is gone: a look-up said so and the look-up of a control row succeeded, or two complete listings lack it.
    Gone,
    /// Copies of other rows inside it, made true; the row is the whole mirrored row.
    Derived(Row),
    /// It was not seen, but what a look-up once showed of it may be untrue: it is to be looked up again.
    Doubted,
}

/// One observation of one row.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Which row.
    pub key: RowKey,
    /// When the request that shows it was sent.
    pub sent: Moment,
    /// Through which channel.
    pub channel: Channel,
    /// What was seen.
    pub seen: Seen,
}
