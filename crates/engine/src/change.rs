//! A change: what the differ makes of an observation, and what a task delivers.

use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::observation::Channel;
use crate::position::Sequence;
use crate::row::{Row, RowKey};

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is new.
    Insert,
    /// Its content changed.
    Update,
    /// It is gone.
    Delete,
    /// Its first look-up filled in what listings do not show.
    Detail,
}

/// One change of one row, as the log keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its place in the journal.
    pub sequence: Sequence,
    /// Which row.
    pub key: RowKey,
    /// What happened.
    pub kind: ChangeKind,
    /// Which channel found it.
    pub channel: Channel,
    /// When the request that showed it was sent.
    pub observed: Moment,
    /// When the look-up was sent whose fields the row carries; `None` while it is pending.
    pub detailed: Option<Moment>,
    /// Whether this is the row's first look-up (also when it brought a real change).
    pub first_detail: bool,
    /// The row before; `None` for an insert.
    pub before: Option<Row>,
    /// The row after; `None` for a delete.
    pub after: Option<Row>,
}
