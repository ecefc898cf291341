//! What a delivery of CODING's Service Hook means: from an event to the rows to look at.

use engine::inbox::{Delivery, Summary};
use engine::row::{Row, RowKey};
use engine::source::{Heard, Meaning, ProjectMark};

/// What a delivery means.
pub(super) fn hear(_delivery: &Delivery) -> Heard {
    Heard {
        summary: Summary::default(),
        project: ProjectMark::default(),
        meaning: Meaning::Nothing { reason: "not read yet".to_owned() },
        row: None,
    }
}

/// Rows that are touched when `row` comes, goes, or moves.
pub(super) fn neighbours(_key: RowKey, _row: &Row) -> Vec<RowKey> {
    Vec::new()
}
