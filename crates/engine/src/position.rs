//! Where a task stands in a journal, and whether that still means anything.

use serde::{Deserialize, Serialize};

/// Counts the changes of a journal; strictly growing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sequence(pub i64);

/// One opening of a journal, by a random name. The journal remembers at which sequence each opening began, so
/// a position that was reached after the journal's files were copied or restored is told apart from one that
/// this very journal gave.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Generation(pub String);

/// A digest of everything that shaped a target: tables, filters, mode, custom fields, naming, deletes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub String);

/// How far a task's target is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The opening of the journal in which `sequence` was reached.
    pub generation: Generation,
    /// Everything up to and with this sequence is in the target.
    pub sequence: Sequence,
    /// What shaped the target.
    pub fingerprint: Fingerprint,
    /// Set while a rebuild is under way: what the mirror lacks is still to be deleted.
    pub rebuilding: bool,
}

/// Why a position cannot be gone on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RebuildReason {
    /// The target has no position of this task yet.
    New,
    /// An earlier rebuild did not finish, and cannot be gone on with.
    Unfinished,
    /// The position was reached in another journal, or in another copy of this one.
    OtherJournal,
    /// Deletions after the position have been forgotten.
    BehindTombstones,
    /// Tables, filters, mode, custom fields, naming or deletes changed.
    Reshaped,
    /// A project's identifier changed.
    Renamed,
    /// A project came back into the configuration.
    Returned,
    /// Somebody asked for it.
    Asked,
}
