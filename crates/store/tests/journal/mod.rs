//! What a journal promises, asked of the SQLite one.

mod benchmark;
mod census;
mod crash;
mod files;
mod lineage;
mod lookups;
mod prune;
mod rows;

use engine::change::{Change, ChangeKind};
use engine::clock::Moment;
use engine::journal::{Detail, Entry, Limit, MirrorRow, Version};
use engine::observation::Channel;
use engine::position::Sequence;
use engine::row::{ProjectId, Row, RowId, RowKey};
use engine::schema::TableId;
use serde_json::{Value, json};

/// A limit that is never reached.
pub(crate) const ALL: Limit = Limit { rows: u32::MAX, bytes: usize::MAX };

/// The key of row `id` in table 1 of project 7.
pub(crate) fn key(id: i64) -> RowKey {
    RowKey { table: TableId(1), project: ProjectId(7), id: RowId(id) }
}

/// A row from a JSON object.
pub(crate) fn row(value: Value) -> Row {
    serde_json::from_value(value).unwrap()
}

/// A version whose numbers all follow from the sequence.
pub(crate) fn version(sequence: i64) -> Version {
    Version {
        sequence: Sequence(sequence),
        inserted: Sequence(sequence),
        first_detail: Sequence(0),
        listed_digest: None,
        listed: Moment(sequence * 10),
        looked_up: Moment(0),
        observed: Moment(sequence * 10),
        updated_ms: 0,
        detail: Detail::Off,
    }
}

/// An entry that brings row `id` with a content that names its sequence.
pub(crate) fn put(id: i64, sequence: i64) -> Entry {
    let content = row(json!({"Code": id, "Sequence": sequence}));
    Entry {
        row: MirrorRow { key: key(id), version: version(sequence), row: Some(content) },
        change: None,
        new_references: Vec::new(),
        old_references: Vec::new(),
    }
}

/// An entry that deletes row `id`.
pub(crate) fn gone(id: i64, sequence: i64) -> Entry {
    let mut entry = put(id, sequence);
    entry.row.row = None;
    entry
}

/// The same entry, logged as well.
pub(crate) fn logged(mut entry: Entry, before: Option<Row>) -> Entry {
    let after = entry.row.row.clone();
    let kind = match (&before, &after) {
        (None, _) => ChangeKind::Insert,
        (_, None) => ChangeKind::Delete,
        _ => ChangeKind::Update,
    };
    entry.change = Some(Change {
        sequence: entry.row.version.sequence,
        key: entry.row.key,
        kind,
        channel: Channel::Poll,
        observed: entry.row.version.observed,
        detailed: None,
        first_detail: false,
        before,
        after,
    });
    entry
}
