//! The journal's log, read from outside whenever nobody runs: each row's changes must be a life that it can have led.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use connectors::coding::tables::EVENTS;
use engine::change::{Change, ChangeKind};
use engine::journal::{Journal, Limit};
use engine::observation::Channel;
use engine::position::Sequence;
use engine::row::{Row, RowKey};
use store::journal::SqliteJournal;

use super::life::Life;

/// Changes read at once.
const PAGE: Limit = Limit { rows: 500, bytes: 16 << 20 };

/// What the log has told so far.
#[derive(Default)]
pub(super) struct History {
    state: PathBuf,
    /// Read up to here; nothing before there was a journal.
    read: Option<Sequence>,
    /// Rows as their newest change left them; `None` is gone.
    rows: HashMap<RowKey, Option<Row>>,
    deletes: HashMap<RowKey, usize>,
    /// Changes of rows that the source lists, by what happened and who found it.
    pub(super) changes: BTreeMap<(&'static str, &'static str), usize>,
    /// Deletes of rows that had not gone as often at the source.
    pub(super) false_deletes: Vec<RowKey>,
}

impl History {
    pub(super) fn of(state: PathBuf) -> History {
        History { state, ..History::default() }
    }

    /// Reads what is new. Nobody may write meanwhile.
    pub(super) async fn read_on(&mut self, life: &Life) {
        let journal = match SqliteJournal::open_read_only(&self.state).await {
            Ok(journal) => journal,
            // Killed before its tables were made.
            Err(_) if self.read.is_none() => return,
            Err(error) => panic!("{error}"),
        };
        let floor = journal.bounds().await.unwrap().log_floor;
        let mut after = self.read.map_or(floor, |read| read.max(floor));
        loop {
            let page = journal.log_after(after, PAGE).await.unwrap();
            let Some(last) = page.last() else { break };
            let next = last.sequence;
            for change in page {
                assert!(change.sequence > after, "{} comes after {after:?}", shown(&change));
                after = change.sequence;
                self.judge(change, life);
            }
            assert_eq!(after, next);
        }
        self.read = Some(after);
        journal.close().await.unwrap();
    }

    fn judge(&mut self, change: Change, life: &Life) {
        let known = self.rows.get(&change.key);
        let Change { kind, channel, before, after, .. } = &change;
        match (kind, before, after) {
            (ChangeKind::Insert, None, Some(_)) => {
                assert!(!matches!(known, Some(Some(_))), "{}: it was there", shown(&change));
            }
            (ChangeKind::Update | ChangeKind::Detail, Some(before), Some(after)) => {
                assert!(*kind == ChangeKind::Detail || before != after, "{}: of nothing", shown(&change));
            }
            (ChangeKind::Delete, Some(_), None) => {}
            _ => panic!("{}: {} before, {} after", shown(&change), is(before), is(after)),
        }
        if *kind != ChangeKind::Insert
            && let Some(known) = known
        {
            assert!(known.is_some(), "{}: it was gone", shown(&change));
            assert!(before == known, "{}: it was not like that before", shown(&change));
        }
        if *kind == ChangeKind::Delete {
            let deletes = self.deletes.entry(change.key).or_default();
            *deletes += 1;
            if *deletes > life.went(&change.key) {
                self.false_deletes.push(change.key);
            }
        }
        if change.key.table != EVENTS {
            *self.changes.entry((word(*kind), by(*channel))).or_default() += 1;
        }
        self.rows.insert(change.key, change.after);
    }

    /// Fails unless the mirror is where the log ends. What is gone and has reached every task it may have forgotten.
    pub(super) async fn assert_mirrored(&self) {
        let journal = SqliteJournal::open_read_only(&self.state).await.unwrap();
        let keys: Vec<RowKey> = self.rows.keys().copied().collect();
        let mut mirrored = HashMap::new();
        for keys in keys.chunks(500) {
            mirrored.extend(journal.rows(keys).await.unwrap().into_iter().map(|row| (row.key, row.row)));
        }
        journal.close().await.unwrap();
        for (key, row) in &self.rows {
            let same = *row == mirrored.remove(key).flatten();
            assert!(same, "{key:?}: the mirror is not where the log ends");
        }
    }

    /// Changes found by one of these channels; none = all.
    pub(super) fn found_by(&self, channels: &[&str]) -> usize {
        let wanted = |by: &str| channels.is_empty() || channels.contains(&by);
        self.changes.iter().filter(|((_, by), _)| wanted(by)).map(|(_, count)| count).sum()
    }

    /// Changes of a kind.
    pub(super) fn of_kind(&self, kind: &str) -> usize {
        self.changes.iter().filter(|((known, _), _)| *known == kind).map(|(_, count)| count).sum()
    }
}

fn is(row: &Option<Row>) -> &'static str {
    if row.is_some() { "a row" } else { "nothing" }
}

/// A change without its rows.
fn shown(change: &Change) -> String {
    let Change { sequence, key, kind, channel, observed, .. } = change;
    format!("{kind:?} {} of {key:?} by {channel:?} at {}", sequence.0, observed.timestamp())
}

fn word(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Insert => "inserts",
        ChangeKind::Update => "updates",
        ChangeKind::Delete => "deletes",
        ChangeKind::Detail => "details",
    }
}

fn by(channel: Channel) -> &'static str {
    match channel {
        Channel::Load => "load",
        Channel::Detail => "detail",
        Channel::Poll => "poll",
        Channel::Census => "census",
        Channel::Relation => "relation",
        Channel::Hook => "hook",
    }
}
