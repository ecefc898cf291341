//! What a comparison found.

use crate::row::{RowId, RowKey};
use crate::target::Cell;

/// Differences of a table of a project that are spelled out; all are counted.
pub const SHOWN: usize = 20;

/// Differing rows of a table of a project whose keys are kept; of more it is only known that there are more.
pub const KEPT: usize = 10_000;

/// In what a row is not as it should be.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// It should be there.
    Lacking,
    /// It should not be there.
    Extra,
    /// Some of its values are others.
    Changed(Vec<Value>),
    /// It changed after what has been delivered so far.
    Undelivered,
}

/// A value that is another than it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// The column, or the field.
    pub column: String,
    /// What should be there.
    pub expected: Cell,
    /// What is there.
    pub found: Cell,
}

/// The rows of a table of a project, compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compared {
    /// Rows that should be there.
    pub expected: u64,
    /// Rows that are there.
    pub found: u64,
    /// Rows that are missing.
    pub lacking: u64,
    /// Rows that are too many.
    pub extra: u64,
    /// Rows with other values.
    pub changed: u64,
    /// Rows that changed after what has been delivered, and that nobody delivered meanwhile.
    pub undelivered: u64,
    /// Rows that kept changing, so that nothing can be said of them.
    pub moving: u64,
    /// Whether the rows that are there cannot be read.
    pub unread: bool,
    /// The first differences.
    pub shown: Vec<(RowId, Difference)>,
    /// The rows that differ, up to [`KEPT`].
    pub rows: Vec<RowKey>,
}

impl Compared {
    /// Rows that differ.
    #[must_use]
    pub fn different(&self) -> u64 {
        [self.lacking, self.extra, self.changed, self.undelivered].into_iter().fold(0, u64::saturating_add)
    }

    /// Notes a difference.
    pub(super) fn add(&mut self, key: RowKey, difference: Difference) {
        let count = match &difference {
            Difference::Lacking => &mut self.lacking,
            Difference::Extra => &mut self.extra,
            Difference::Changed(_) => &mut self.changed,
            Difference::Undelivered => &mut self.undelivered,
        };
        *count = count.saturating_add(1);
        if self.shown.len() < SHOWN {
            self.shown.push((key.id, difference));
        }
        if self.rows.len() < KEPT {
            self.rows.push(key);
        }
    }
}
