//! The journal.

use engine::change::{Change, ChangeKind};
use engine::clock::Moment;
use engine::journal::{Bounds, Counts, Detail, Entry, Journal, MirrorRow, Reference, Version};
use engine::observation::Channel;
use engine::position::{Fingerprint, Generation, Position, Sequence};
use engine::row::{Digest, ProjectId, Row, RowId, RowKey};
use engine::schema::TableId;
use serde_json::{Value, json};
use store::journal::{FILE, SqliteJournal};

use super::{assert_newer, copy, format, golden, keep, set_format};
use crate::journal::{ALL, key, row};

/// The golden file of today's format.
const NEWEST: &str = "journal-1.db";

const ITERATION: Reference = Reference { table: TableId(2), id: RowId(3) };

/// A row with a value of each kind; `text` decides whether it is compressed.
fn content(id: i64, text: &str) -> Row {
    row(json!({
        "Code": id, "Name": format!("行 {id} 🏁"), "Description": text, "Estimate": 12.345_678_901_234_567,
        "Large": 9_007_199_254_740_993_i64, "Done": false, "Parent": null, "Labels": [{"Id": 1, "Name": "a\"b"}],
    }))
}

fn long() -> String {
    "a description that is worth compressing; ".repeat(40)
}

/// A version of which every number is another.
fn version(sequence: i64, detail: Detail) -> Version {
    Version {
        sequence: Sequence(sequence),
        inserted: Sequence(sequence - 1),
        first_detail: Sequence(if detail == Detail::Done { sequence } else { 0 }),
        listed_digest: (detail != Detail::Off).then_some(Digest([7; 16])),
        listed: Moment(1_700_000_000_000_000 + sequence),
        looked_up: Moment(1_700_000_000_100_000 + sequence),
        observed: Moment(1_700_000_000_200_000 + sequence),
        updated_ms: 1_700_000_000_300 + sequence,
        detail,
    }
}

fn entry(id: i64, version: Version, row: Option<Row>, change: Option<(ChangeKind, Channel)>) -> Entry {
    let change = change.map(|(kind, channel)| Change {
        sequence: version.sequence,
        key: key(id),
        kind,
        channel,
        observed: version.observed,
        detailed: (kind == ChangeKind::Detail).then_some(version.looked_up),
        first_detail: kind == ChangeKind::Detail,
        before: (kind != ChangeKind::Insert).then(|| content(id, "before")),
        after: (kind != ChangeKind::Delete).then(|| content(id, &long())),
    });
    let row = MirrorRow { key: key(id), version, row };
    Entry { row, change, new_references: Vec::new(), old_references: Vec::new() }
}

/// What is loaded before the log begins: one row of each state of the detail.
fn loaded() -> Vec<Entry> {
    let details = [Detail::Off, Detail::Done, Detail::Stale, Detail::Missing];
    let entries = (1..).zip(details).map(|(id, detail)| {
        let mut entry = entry(id, version(id + 10, detail), Some(content(id, "short")), None);
        entry.new_references.extend((detail == Detail::Done).then_some(ITERATION));
        entry
    });
    entries.collect()
}

/// What is logged: each kind and each channel.
fn logged() -> Vec<Entry> {
    let changes = [
        (ChangeKind::Insert, Channel::Load),
        (ChangeKind::Detail, Channel::Detail),
        (ChangeKind::Update, Channel::Poll),
        (ChangeKind::Delete, Channel::Census),
        (ChangeKind::Update, Channel::Relation),
        (ChangeKind::Insert, Channel::Hook),
    ];
    let entries = (5..).zip(changes).map(|(id, (kind, channel))| {
        let row = (kind != ChangeKind::Delete).then(|| content(id, &long()));
        entry(id, version(id + 10, Detail::Done), row, Some((kind, channel)))
    });
    entries.collect()
}

/// Documents that it remembers.
fn documents() -> Vec<(String, Value)> {
    let numbers =
        json!({"whole": 9_007_199_254_740_993_i64, "texts": ["漢", "", null], "nested": {"yes": true}});
    vec![("golden/a".to_owned(), numbers), ("golden/b".to_owned(), json!("text"))]
}

/// Under this name it remembers the name of its first opening, which is made by chance.
const GENERATION: &str = "generation";

#[tokio::test]
#[ignore = "makes the golden file of a new format"]
async fn make() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    journal.commit(&loaded()).await.unwrap();
    journal.begin_log().await.unwrap();
    journal.commit(&logged()).await.unwrap();
    for (name, value) in documents() {
        journal.remember(&name, &value).await.unwrap();
    }
    journal.remember(GENERATION, &json!(journal.generation().0)).await.unwrap();
    journal.acknowledge("task", Sequence(16)).await.unwrap();
    journal.close().await.unwrap();
    keep(&dir.path().join(FILE), NEWEST);
}

#[tokio::test]
async fn a_journal_of_format_1_is_read_whole() {
    let dir = copy("journal-1.db", FILE);
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    let bounds = Bounds { head: Sequence(20), log_floor: Sequence(14), horizon: Sequence(0) };
    assert_eq!(journal.bounds().await.unwrap(), bounds);
    assert_eq!(journal.newest_moment(), Moment(1_700_000_000_200_020));

    let wanted: Vec<MirrorRow> = loaded().into_iter().chain(logged()).map(|entry| entry.row).collect();
    let found = journal.mirror_after(Sequence(0), ALL).await.unwrap();
    assert_eq!(found, wanted);
    // Equal rows may be spelled differently; what was stored was not.
    let spelled = |rows: &[MirrorRow]| rows.iter().map(|row| json!(row.row).to_string()).collect::<Vec<_>>();
    assert_eq!(spelled(&found), spelled(&wanted));
    let changes: Vec<Change> = logged().into_iter().filter_map(|entry| entry.change).collect();
    assert_eq!(journal.log_after(Sequence(14), ALL).await.unwrap(), changes);

    let (table, project) = (TableId(1), ProjectId(7));
    assert_eq!(journal.counts(table, project).await.unwrap(), Counts { alive: 9, pending: 2 });
    assert_eq!(journal.pending_details(&[project], &[], 9).await.unwrap(), [key(3), key(4)]);
    let referrers: Vec<RowKey> = journal
        .referrers(project, &[ITERATION], None, 9)
        .await
        .unwrap()
        .into_iter()
        .map(|(_, key)| key)
        .collect();
    assert_eq!(referrers, [key(2)]);
    assert_eq!(journal.recall("golden/").await.unwrap(), documents());

    // A position of its first opening is known as far as that got, and no further.
    let generation = journal.recall(GENERATION).await.unwrap()[0].1.as_str().unwrap().to_owned();
    for (sequence, known) in [(16, true), (20, true), (21, false)] {
        let position = Position {
            generation: Generation(generation.clone()),
            sequence: Sequence(sequence),
            fingerprint: Fingerprint("f".to_owned()),
            rebuilding: false,
        };
        assert_eq!(journal.knows(&position).await.unwrap(), known, "{sequence}");
    }
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_journal_of_format_1_goes_on() {
    let dir = copy("journal-1.db", FILE);
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    // Row 8 is gone; the task has not passed its tombstone, and a second one says nothing of the first.
    let again = entry(8, version(21, Detail::Done), Some(content(8, "short")), None);
    journal.commit(std::slice::from_ref(&again)).await.unwrap();
    assert_eq!(journal.mirror_after(Sequence(20), ALL).await.unwrap(), [again.row]);
    journal.acknowledge("task", Sequence(21)).await.unwrap();
    journal.prune(std::time::Duration::from_secs(1)).await.unwrap();
    assert_eq!(journal.log_after(Sequence(0), ALL).await.unwrap(), []);
    assert_eq!(journal.mirror_after(Sequence(0), ALL).await.unwrap().len(), 10);
    assert_eq!(journal.counts(TableId(1), ProjectId(7)).await.unwrap().alive, 10);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_journal_of_a_newer_format_is_refused_and_left_as_it_is() {
    let dir = copy(NEWEST, FILE);
    let file = dir.path().join(FILE);
    let newer = format(&golden(NEWEST)) + 1;
    set_format(&file, newer);
    let before = std::fs::read(&file).unwrap();
    for error in [
        SqliteJournal::open(dir.path()).await.unwrap_err(),
        SqliteJournal::open_read_only(dir.path()).await.unwrap_err(),
    ] {
        assert_newer(&error, newer);
    }
    assert!(std::fs::read(&file).unwrap() == before);
}

/// Whatever byte of the file is another one, what is read is refused with words, or it is read: nothing breaks down.
#[tokio::test]
async fn a_byte_that_flipped_breaks_nothing_down() {
    let dir = tempfile::tempdir().unwrap();
    let golden = std::fs::read(golden(NEWEST)).unwrap();
    let mut refused = 0;
    // Odd steps through the file, so that headers, keys, numbers and content are all hit.
    for number in 0..200 {
        let mut bytes = golden.clone();
        let place = number * 7_919 % bytes.len();
        bytes[place] ^= [0xff, 0x01, 0x80][number % 3];
        std::fs::write(dir.path().join(FILE), bytes).unwrap();
        let read = async {
            let journal = SqliteJournal::open_read_only(dir.path()).await?;
            let project = ProjectId(7);
            let read = async {
                journal.mirror_after(Sequence(0), ALL).await?;
                journal.log_after(Sequence(0), ALL).await?;
                journal.pending_details(&[project], &[], 9).await?;
                journal.referrers(project, &[ITERATION], None, 9).await?;
                journal.counts(TableId(1), project).await?;
                journal.recall("").await?;
                journal.bounds().await
            };
            let read = read.await;
            journal.close().await?;
            read
        };
        if let Err(error) = read.await {
            assert!(error.problem.code.starts_with("JOURNAL-"), "byte {place}: {error}");
            refused += 1;
        }
    }
    assert!(refused > 5, "{refused} of 200 were noticed");
}

#[tokio::test]
async fn todays_format_has_a_golden_file() {
    let dir = tempfile::tempdir().unwrap();
    SqliteJournal::open(dir.path()).await.unwrap().close().await.unwrap();
    assert_eq!(
        format(&dir.path().join(FILE)),
        format(&golden(NEWEST)),
        "make one, and never change an old one"
    );
}
