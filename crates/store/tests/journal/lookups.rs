//! Pending details, references, remembered documents.

use engine::journal::{Ask, Counts, Detail, Journal, Reference};
use engine::position::Sequence;
use engine::row::{ProjectId, RowId, RowKey};
use engine::schema::TableId;
use serde_json::{Value, json};
use store::journal::SqliteJournal;

use super::{gone, key, put};

fn with_detail(id: i64, sequence: i64, detail: Detail) -> engine::journal::Entry {
    let mut entry = put(id, sequence);
    entry.row.version.detail = detail;
    entry
}

#[tokio::test]
async fn stale_details_come_first_tombstones_in_doubt_among_them_and_others_projects_never() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    let mut elsewhere = with_detail(6, 6, Detail::Stale);
    elsewhere.row.key.project = ProjectId(8);
    let mut deleted = with_detail(7, 7, Detail::Stale);
    deleted.row.row = None;
    let entries = [
        with_detail(1, 1, Detail::Missing),
        with_detail(2, 2, Detail::Stale),
        with_detail(3, 3, Detail::Done),
        with_detail(4, 4, Detail::Off),
        with_detail(5, 5, Detail::Missing),
        elsewhere,
        deleted,
    ];
    journal.commit(&entries).await.unwrap();
    let seven = [ProjectId(7)];
    let pending = |but: Vec<RowKey>, limit| {
        let journal = &journal;
        async move { journal.pending_details(&seven, &but, limit).await.unwrap() }
    };
    assert_eq!(pending(vec![], 10).await, [key(2), key(7), key(1), key(5)]);
    assert_eq!(pending(vec![], 2).await, [key(2), key(7)]);
    assert_eq!(pending(vec![key(2), key(7), key(1)], 1).await, [key(5)]);
    assert_eq!(pending(vec![], 0).await, []);
    assert_eq!(journal.pending_details(&[], &[], 10).await.unwrap(), []);
    assert_eq!(journal.pending_details(&[ProjectId(8), ProjectId(7)], &[], 10).await.unwrap().len(), 5);
    assert_eq!(journal.counts(TableId(1), ProjectId(7)).await.unwrap(), Counts { alive: 5, pending: 3 });

    journal.ask_details(&[TableId(1)], Ask::Wanted).await.unwrap();
    assert_eq!(pending(vec![], 10).await, [key(2), key(7), key(1), key(4), key(5)]);
    journal.ask_details(&[TableId(1), TableId(2)], Ask::Wanted).await.unwrap();
    assert_eq!(journal.counts(TableId(1), ProjectId(7)).await.unwrap().pending, 4);
    journal.commit(&[with_detail(2, 2, Detail::Done), gone(4, 8)]).await.unwrap();
    assert_eq!(pending(vec![], 10).await, [key(7), key(1), key(5)]);
    assert_eq!(journal.counts(TableId(1), ProjectId(7)).await.unwrap(), Counts { alive: 4, pending: 2 });

    // All once more: what was fetched is in doubt, what is missing stays missing; a tombstone is left alone.
    journal.ask_details(&[TableId(1)], Ask::Again).await.unwrap();
    assert_eq!(pending(vec![], 10).await, [key(2), key(3), key(7), key(1), key(5)]);
    assert_eq!(journal.counts(TableId(1), ProjectId(7)).await.unwrap(), Counts { alive: 4, pending: 4 });
}

#[tokio::test]
async fn rows_that_name_another_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    let sprint = Reference { table: TableId(2), id: RowId(30) };
    let other = Reference { table: TableId(2), id: RowId(31) };
    let naming = |id: i64, sequence: i64, new: &[Reference], old: &[Reference]| {
        let mut entry = put(id, sequence);
        (entry.new_references, entry.old_references) = (new.to_vec(), old.to_vec());
        entry
    };
    let mut elsewhere = naming(9, 4, &[sprint], &[]);
    elsewhere.row.key.project = ProjectId(8);
    let mut member = naming(1, 5, &[sprint], &[]);
    member.row.key.table = TableId(3);
    let entries = [
        naming(3, 1, &[sprint, other], &[]),
        naming(1, 2, &[sprint], &[]),
        naming(2, 3, &[other], &[]),
        elsewhere,
        member.clone(),
    ];
    journal.commit(&entries).await.unwrap();
    let referrers = |to: Vec<Reference>, after: Option<(Reference, RowKey)>, limit: u32| {
        let journal = &journal;
        async move { journal.referrers(ProjectId(7), &to, after, limit).await.unwrap() }
    };
    let member = member.row.key;
    let named = |to: Reference, keys: &[RowKey]| keys.iter().map(|key| (to, *key)).collect::<Vec<_>>();
    let of_sprint = named(sprint, &[key(1), key(3), member]);
    let of_other = named(other, &[key(2), key(3)]);
    assert_eq!(referrers(vec![sprint], None, 10).await, of_sprint);
    assert_eq!(referrers(vec![other], None, 10).await, of_other);
    assert_eq!(referrers(vec![], None, 10).await, []);
    // Both at once, in one order however they are named, page by page.
    let unknown = Reference { table: TableId(1), id: RowId(30) };
    let both = [of_sprint, of_other.clone()].concat();
    for limit in 1..=6 {
        let mut pages: Vec<(Reference, RowKey)> = Vec::new();
        loop {
            let page = referrers(vec![other, unknown, sprint, other], pages.last().copied(), limit).await;
            if page.is_empty() {
                break;
            }
            let limit = usize::try_from(limit).unwrap();
            assert!(page.len() <= limit);
            let is_last = page.len() < limit;
            pages.extend(page);
            assert!(!is_last || pages.len() == both.len(), "a page with room has the last ones");
        }
        assert_eq!(pages, both);
    }

    // 3 leaves the sprint, 1 is deleted, 2 joins and leaves within one batch.
    let moved = [
        naming(3, 6, &[], &[sprint]),
        gone(1, 7),
        naming(2, 8, &[sprint], &[]),
        naming(2, 9, &[], &[sprint]),
    ];
    for _ in 0..2 {
        journal.commit(&moved).await.unwrap();
        assert_eq!(referrers(vec![sprint], None, 10).await, [(sprint, member)]);
        assert_eq!(referrers(vec![other], None, 10).await, of_other);
    }
}

#[tokio::test]
async fn rows_that_name_neighbours_are_found_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    let to = |id: i64| Reference { table: TableId(1), id: RowId(id) };
    let named = |id: i64| to(100 + id % 7);
    let naming = |id: i64| {
        let mut entry = put(id, id);
        entry.new_references = vec![named(id), to(i64::MAX)];
        entry
    };
    journal.commit(&(1..=21).map(naming).collect::<Vec<_>>()).await.unwrap();
    // A run, a gap, a run, and one that stands alone at the end of all ids.
    let asked: Vec<Reference> = [102, 100, 101, 105, 104, i64::MAX].map(to).to_vec();
    let mut expected: Vec<(Reference, RowKey)> = (1..=21)
        .flat_map(|id| [(named(id), key(id)), (to(i64::MAX), key(id))])
        .filter(|(to, _)| asked.contains(to))
        .collect();
    expected.sort_unstable();
    for limit in 1..=40_u32 {
        let mut found: Vec<(Reference, RowKey)> = Vec::new();
        loop {
            let after = found.last().copied();
            let page = journal.referrers(ProjectId(7), &asked, after, limit).await.unwrap();
            let is_last = page.len() < usize::try_from(limit).unwrap();
            found.extend(page);
            if is_last {
                break;
            }
        }
        assert_eq!(found, expected, "{limit} at a time");
    }
}

#[tokio::test]
async fn rows_that_name_one_nobody_has_heard_of_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    let naming = |id: i64, sequence: i64, new: &[i64]| {
        let mut entry = put(id, sequence);
        let reference = |id: &i64| Reference { table: TableId(1), id: RowId(*id) };
        entry.new_references = new.iter().map(reference).collect();
        entry
    };
    let mut elsewhere = naming(9, 6, &[90]);
    elsewhere.row.key.project = ProjectId(8);
    let mut of_another_table = put(8, 7);
    of_another_table.new_references = vec![Reference { table: TableId(2), id: RowId(90) }];
    let entries = [
        put(1, 1),
        naming(5, 2, &[1, 90, 91]),
        naming(4, 3, &[92]),
        naming(3, 4, &[1, 2]),
        naming(2, 5, &[93]),
        elsewhere,
        of_another_table,
        // Gone is not unheard of, and what is gone names nobody.
        gone(1, 8),
        gone(2, 9),
    ];
    journal.commit(&entries).await.unwrap();
    let dangling = async |after: i64, until: i64, limit: u32| {
        let range = (Sequence(after), Sequence(until));
        let found = journal.dangling(ProjectId(7), TableId(1), range.0, range.1, limit).await.unwrap();
        found.into_iter().map(|known| (known.key, known.version.sequence.0)).collect::<Vec<_>>()
    };
    assert_eq!(dangling(0, 9, 10).await, [(key(5), 2), (key(4), 3)]);
    assert_eq!(dangling(2, 9, 10).await, [(key(4), 3)]);
    assert_eq!(dangling(0, 2, 10).await, [(key(5), 2)]);
    assert_eq!(dangling(0, 9, 1).await, [(key(5), 2)]);
    journal.commit(&[put(92, 10)]).await.unwrap();
    assert_eq!(dangling(2, 10, 10).await, []);
}

#[tokio::test]
async fn documents_are_remembered_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    for name in ["load/7/1", "load/7/2", "loa", "load%", "载入/7", "load/8"] {
        journal.remember(name, &json!({ "name": name, "big": u64::MAX, "float": 0.1 })).await.unwrap();
    }
    journal.remember("load/7/2", &json!([1])).await.unwrap();
    let names = |prefix: &'static str| {
        let journal = &journal;
        async move {
            let found = journal.recall(prefix).await.unwrap();
            found.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        }
    };
    assert_eq!(names("load/").await, ["load/7/1", "load/7/2", "load/8"]);
    assert_eq!(names("load%").await, ["load%"]);
    assert_eq!(names("载").await, ["载入/7"]);
    assert_eq!(names("").await.len(), 6);
    assert_eq!(journal.recall("load/7/2").await.unwrap(), [("load/7/2".to_owned(), json!([1]))]);
    let first = journal.recall("load/7/1").await.unwrap();
    assert_eq!(first[0].1, json!({ "name": "load/7/1", "big": u64::MAX, "float": 0.1 }));
    for _ in 0..2 {
        journal.remember("load/8", &Value::Null).await.unwrap();
        assert_eq!(names("load/8").await, Vec::<String>::new());
    }
}
