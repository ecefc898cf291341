//! Rows in, rows out.

use engine::clock::Moment;
use engine::journal::{Bounds, Counts, Detail, Journal, Limit};
use engine::position::Sequence;
use engine::row::{Digest, ProjectId, RowId, RowKey};
use engine::schema::TableId;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};
use store::journal::SqliteJournal;

use super::{ALL, gone, key, logged, put, row};

#[tokio::test]
async fn what_is_committed_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    let mut head = journal.head();
    assert_eq!(*head.borrow_and_update(), Sequence(0));
    let mut first = put(3, 1);
    first.row.version.listed_digest = Some(Digest([7; 16]));
    first.row.version.detail = Detail::Missing;
    let entries = [first.clone(), put(1, 2), put(2, 3)];
    journal.commit(&entries).await.unwrap();
    assert_eq!(*head.borrow_and_update(), Sequence(3));
    assert_eq!(journal.newest_moment(), Moment(30));

    let by_sequence = journal.mirror_after(Sequence(0), ALL).await.unwrap();
    assert_eq!(by_sequence, entries.iter().map(|entry| entry.row.clone()).collect::<Vec<_>>());
    let by_id = journal.scan(TableId(1), ProjectId(7), None, ALL).await.unwrap();
    assert_eq!(by_id.iter().map(|row| row.key.id.0).collect::<Vec<_>>(), [1, 2, 3]);
    let after = journal.scan(TableId(1), ProjectId(7), Some(RowId(1)), ALL).await.unwrap();
    assert_eq!(after.len(), 2);
    let known = journal.known(&[key(3), key(99), key(3)]).await.unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!((known[0].key, &known[0].version, known[0].alive), (key(3), &first.row.version, true));
    assert_eq!(journal.rows(&[key(3)]).await.unwrap(), [first.row]);
    assert_eq!(journal.counts(TableId(1), ProjectId(7)).await.unwrap(), Counts { alive: 3, pending: 1 });
    journal.close().await.unwrap();
}

/// A journal asks its file for no key beyond the largest one: which that is it must know, whatever came in between.
#[tokio::test]
async fn keys_are_known_in_whatever_order_they_come() {
    let dir = tempfile::tempdir().unwrap();
    let keys = [1, 3, 5, 8, 9, 12].map(key);
    let known = async |journal: &SqliteJournal| {
        let mut known: Vec<i64> =
            journal.known(&keys).await.unwrap().iter().map(|known| known.key.id.0).collect();
        known.sort_unstable();
        known
    };
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    assert_eq!(known(&journal).await, [0_i64; 0]);
    let mut elsewhere = put(12, 1);
    elsewhere.row.key.project = ProjectId(8);
    journal.commit(&[elsewhere, put(5, 2)]).await.unwrap();
    assert_eq!(known(&journal).await, [5]);
    journal.commit(&[put(9, 3), put(3, 4)]).await.unwrap();
    assert_eq!(known(&journal).await, [3, 5, 9]);
    // The largest one is taken away, comes again, and is written over: it is counted once.
    for sequence in [5, 7, 8] {
        journal.commit(&[gone(9, sequence)]).await.unwrap();
        journal.commit(&[put(9, sequence + 1)]).await.unwrap();
    }
    let counts = Counts { alive: 3, pending: 0 };
    assert_eq!(journal.counts(TableId(1), ProjectId(7)).await.unwrap(), counts);
    journal.close().await.unwrap();

    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    assert_eq!(known(&journal).await, [3, 5, 9]);
    journal.commit(&[put(8, 10), put(9, 11)]).await.unwrap();
    assert_eq!(known(&journal).await, [3, 5, 8, 9]);
    let counts = Counts { alive: 4, pending: 0 };
    assert_eq!(journal.counts(TableId(1), ProjectId(7)).await.unwrap(), counts);
    // A commit that fails leaves nothing known, and can be repeated under a number that is free.
    journal.commit(&[put(12, 11)]).await.unwrap_err();
    assert_eq!(known(&journal).await, [3, 5, 8, 9]);
    let beside = SqliteJournal::open_read_only(dir.path()).await.unwrap();
    journal.commit(&[put(12, 12)]).await.unwrap();
    for journal in [&journal, &beside] {
        assert_eq!(known(journal).await, [3, 5, 8, 9, 12]);
        let counts = Counts { alive: 5, pending: 0 };
        assert_eq!(journal.counts(TableId(1), ProjectId(7)).await.unwrap(), counts);
    }
}

#[tokio::test]
async fn keys_of_several_tables_and_projects_are_kept_apart() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    let keys: Vec<RowKey> = [(1, 7), (1, 8), (2, 7), (255, -3)]
        .map(|(table, project)| RowKey { table: TableId(table), project: ProjectId(project), id: RowId(1) })
        .to_vec();
    let entries: Vec<_> = (1..)
        .zip(&keys)
        .map(|(sequence, key)| {
            let mut entry = put(1, sequence);
            entry.row.key = *key;
            entry
        })
        .collect();
    journal.commit(&entries).await.unwrap();
    let mut found: Vec<_> = journal.rows(&keys).await.unwrap();
    found.sort_by_key(|row| row.version.sequence);
    assert_eq!(found, entries.into_iter().map(|entry| entry.row).collect::<Vec<_>>());
    assert_eq!(journal.known(&keys).await.unwrap().len(), 4);
    assert_eq!(journal.scan(TableId(1), ProjectId(8), None, ALL).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_update_moves_the_row_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    journal.commit(&[put(1, 1), put(2, 2)]).await.unwrap();
    let before = put(1, 1).row.row;
    // Twice in one batch: the last one stands, the log has both.
    let between = put(1, 3).row.row;
    let update = [logged(put(1, 3), before.clone()), logged(put(1, 4), between.clone())];
    journal.commit(&update).await.unwrap();
    let rows = journal.mirror_after(Sequence(0), ALL).await.unwrap();
    assert_eq!(rows, [put(2, 2).row, put(1, 4).row]);
    let log = journal.log_after(Sequence(0), ALL).await.unwrap();
    assert_eq!(log, update.map(|entry| entry.change.unwrap()));
    assert_eq!(journal.counts(TableId(1), ProjectId(7)).await.unwrap().alive, 2);

    journal.commit(&[logged(gone(1, 5), between)]).await.unwrap();
    let rows = journal.mirror_after(Sequence(2), ALL).await.unwrap();
    assert_eq!(rows, [gone(1, 5).row]);
    assert!(!journal.known(&[key(1)]).await.unwrap()[0].alive);
    assert_eq!(journal.scan(TableId(1), ProjectId(7), None, ALL).await.unwrap(), [put(2, 2).row]);
    assert_eq!(journal.counts(TableId(1), ProjectId(7)).await.unwrap().alive, 1);

    journal.commit(&[logged(put(1, 6), None)]).await.unwrap();
    assert_eq!(journal.rows(&[key(1)]).await.unwrap(), [put(1, 6).row]);
    assert_eq!(journal.counts(TableId(1), ProjectId(7)).await.unwrap().alive, 2);
}

#[tokio::test]
async fn bookkeeping_keeps_the_place_of_the_row() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    journal.commit(&[put(1, 1), put(2, 2)]).await.unwrap();
    let head = journal.head();
    let mut entry = put(1, 1);
    entry.row.version.looked_up = Moment(500);
    entry.row.version.detail = Detail::Done;
    entry.row.row = Some(row(json!({"Code": 1, "Extra": "x"})));
    // As often as anybody likes.
    for _ in 0..3 {
        journal.commit(std::slice::from_ref(&entry)).await.unwrap();
    }
    assert!(!head.has_changed().unwrap(), "no change, no new head");
    assert_eq!(journal.newest_moment(), Moment(500));
    assert_eq!(journal.mirror_after(Sequence(0), ALL).await.unwrap(), [entry.row, put(2, 2).row]);
}

#[tokio::test]
async fn a_repeated_commit_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    let entries = [logged(put(1, 1), None), logged(put(2, 2), None), logged(gone(3, 3), None)];
    for _ in 0..2 {
        journal.commit(&entries).await.unwrap();
    }
    assert_eq!(journal.mirror_after(Sequence(0), ALL).await.unwrap().len(), 3);
    assert_eq!(journal.log_after(Sequence(0), ALL).await.unwrap().len(), 3);
    assert_eq!(journal.counts(TableId(1), ProjectId(7)).await.unwrap().alive, 2);
}

#[tokio::test]
async fn limits_count_rows_and_bytes_and_always_let_one_through() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    let big = |id: i64| {
        let mut entry = put(id, id);
        entry.row.row = Some(row(json!({"Text": "x".repeat(990)})));
        logged(entry, None)
    };
    journal.commit(&(1..=20).map(big).collect::<Vec<_>>()).await.unwrap();
    for (rows, bytes, expected) in
        [(5, usize::MAX, 5), (100, 3_500, 3), (100, 0, 1), (100, 1, 1), (100, usize::MAX, 20), (0, 9_999, 0)]
    {
        let limit = Limit { rows, bytes };
        let sequences: Vec<i64> = (2..2 + i64::from(expected)).filter(|id| *id <= 20).collect();
        let mirror = journal.mirror_after(Sequence(1), limit).await.unwrap();
        assert_eq!(mirror.iter().map(|row| row.version.sequence.0).collect::<Vec<_>>(), sequences);
        let log = journal.log_after(Sequence(1), limit).await.unwrap();
        assert_eq!(log.iter().map(|change| change.sequence.0).collect::<Vec<_>>(), sequences);
        let scan = journal.scan(TableId(1), ProjectId(7), Some(RowId(1)), limit).await.unwrap();
        assert_eq!(scan.iter().map(|row| row.key.id.0).collect::<Vec<_>>(), sequences);
    }
}

#[tokio::test]
async fn the_log_begins_where_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    journal.commit(&[put(1, 1), put(2, 2)]).await.unwrap();
    journal.begin_log().await.unwrap();
    journal.commit(&[logged(put(3, 3), None)]).await.unwrap();
    let expected = Bounds { head: Sequence(3), log_floor: Sequence(2), horizon: Sequence(0) };
    assert_eq!(journal.bounds().await.unwrap(), expected);
    assert_eq!(journal.log_after(Sequence(2), ALL).await.unwrap().len(), 1);
}

/// Any JSON that a row may hold.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no infinities", |float| float.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[漢字かな한글🙂é\"\\\\\n]{0,80}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

#[test]
fn every_row_comes_back_as_it_was() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let journal = runtime.block_on(SqliteJournal::open(dir.path())).unwrap();
    let sequence = std::cell::Cell::new(0);
    let contents = prop::collection::btree_map(any::<String>(), values(), 0..12);
    TestRunner::default()
        .run(&(contents, any::<i64>()), |(content, id)| {
            sequence.set(sequence.get() + 1);
            let mut entry = put(id, sequence.get());
            entry.row.row = Some(row(Value::Object(content.into_iter().collect())));
            let entry = logged(entry, Some(row(json!({"Before": true}))));
            runtime.block_on(async {
                journal.commit(std::slice::from_ref(&entry)).await.unwrap();
                let after = Sequence(sequence.get() - 1);
                assert_eq!(journal.rows(&[key(id)]).await.unwrap(), [entry.row]);
                assert_eq!(journal.log_after(after, ALL).await.unwrap(), [entry.change.unwrap()]);
            });
            Ok(())
        })
        .unwrap();
}

#[test]
fn what_was_committed_a_moment_ago_is_read_as_from_the_file() {
    // Key, what happens to it: inserted or updated, deleted, only noted; a large row now and then, so that some
    // leave memory again.
    let steps = prop::collection::vec((0_i64..6, 0_u8..4, 0_u8..8), 1..60);
    let limits =
        prop_oneof![Just(ALL), (1_u32..9, 1_usize..4_000).prop_map(|(rows, bytes)| Limit { rows, bytes })];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = ProptestConfig { cases: 24, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&(steps, limits), |(steps, limit)| {
            runtime.block_on(async {
                let dir = tempfile::tempdir().unwrap();
                let journal = SqliteJournal::open(dir.path()).await.unwrap();
                let mut mirror: std::collections::BTreeMap<i64, engine::journal::Entry> = Default::default();
                let mut sequence = 0;
                for (id, what, size) in steps {
                    let before = mirror.get(&id).and_then(|entry| entry.row.row.clone());
                    let entry = match (what, mirror.get(&id)) {
                        (0, Some(known)) => {
                            let mut noted = known.clone();
                            noted.change = None;
                            noted.row.version.listed_digest = Some(Digest([size; 16]));
                            noted
                        }
                        (1, Some(_)) => {
                            sequence += 1;
                            logged(gone(id, sequence), before)
                        }
                        _ => {
                            sequence += 1;
                            let mut entry = put(id, sequence);
                            let text =
                                if size == 7 { "x".repeat(2_500_000) } else { "y".repeat(size.into()) };
                            entry.row.row = Some(row(json!({"Code": id, "Text": text})));
                            logged(entry, before)
                        }
                    };
                    mirror.insert(id, entry.clone());
                    journal.commit(&[entry]).await.unwrap();
                    if sequence % 5 == 0 {
                        let file = SqliteJournal::open_read_only(dir.path()).await.unwrap();
                        for after in (0..=sequence).map(Sequence) {
                            let rows = journal.mirror_after(after, limit).await.unwrap();
                            prop_assert_eq!(rows, file.mirror_after(after, limit).await.unwrap());
                            let changes = journal.log_after(after, limit).await.unwrap();
                            prop_assert_eq!(changes, file.log_after(after, limit).await.unwrap());
                        }
                        file.close().await.unwrap();
                    }
                }
                journal.close().await.unwrap();
                Ok(())
            })
        })
        .unwrap();
}
