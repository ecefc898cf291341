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
}

/// What was seen of a row.
#[derive(Clone, Debug)]
pub enum Seen {
    /// Its listed shape.
    Listed(Row),
    /// Its looked-up shape.
    LookedUp(Row),
    /// Its listed shape, and the looked-up one asked for after it at the given moment.
    Whole(Row, Row, Moment),
    /// It is gone: a look-up said so and the look-up of a control row succeeded, or two complete listings lack it.
    Gone,
    /// Copies of other rows inside it, made true; the row is the whole mirrored row.
    Derived(Row),
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
