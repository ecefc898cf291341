//! What a census saw.

use engine::clock::Moment;
use engine::journal::{Journal, Unseen};
use engine::problem::Remedy;
use engine::row::{ProjectId, RowId};
use engine::schema::TableId;
use store::journal::SqliteJournal;

use super::{gone, put};

const TABLE: TableId = TableId(1);
const PROJECT: ProjectId = ProjectId(7);
const EVER: Moment = Moment(i64::MAX);

fn ids(ids: impl IntoIterator<Item = i64>) -> Vec<RowId> {
    ids.into_iter().map(RowId).collect()
}

#[tokio::test]
async fn a_census_of_a_hundred_thousand_rows_finds_those_it_did_not_see() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    for batch in 0..50 {
        let entries: Vec<_> = (1..=2_000).map(|n| put(batch * 2_000 + n, batch * 2_000 + n)).collect();
        journal.commit(&entries).await.unwrap();
    }
    let wal = || std::fs::metadata(dir.path().join("journal.db-wal")).unwrap();
    let before = (wal().len(), wal().modified().unwrap());
    journal.census_start(TABLE, PROJECT).await.unwrap();
    let missing = |id: i64| id % 20_000 == 77;
    for page in 0..200 {
        let page = ids((page * 500 + 1..=page * 500 + 500).filter(|id| !missing(*id)));
        let expected = u64::try_from(page.len()).unwrap();
        assert_eq!(journal.census_saw(TABLE, PROJECT, &page).await.unwrap(), expected);
        // A page seen again brings nothing new.
        assert_eq!(journal.census_saw(TABLE, PROJECT, &page).await.unwrap(), 0);
    }
    let all = ids([77, 20_077, 40_077, 60_077, 80_077]);
    let unseen = journal.census_unseen(TABLE, PROJECT, EVER, 100).await.unwrap();
    assert_eq!(unseen, Unseen { count: 5, ids: all.clone() });
    let unseen = journal.census_unseen(TABLE, PROJECT, EVER, 2).await.unwrap();
    assert_eq!(unseen, Unseen { count: 5, ids: all[..2].to_vec() });
    // Row 40,077 was last changed at moment 400,770.
    let unseen = journal.census_unseen(TABLE, PROJECT, Moment(400_770), 100).await.unwrap();
    assert_eq!(unseen, Unseen { count: 2, ids: all[..2].to_vec() });
    assert_eq!((wal().len(), wal().modified().unwrap()), before, "the journal's file is not touched");
}

#[tokio::test]
async fn tombstones_and_other_tables_do_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    let mut elsewhere = put(5, 3);
    elsewhere.row.key.project = ProjectId(8);
    journal.commit(&[put(1, 1), gone(2, 2), elsewhere]).await.unwrap();
    journal.census_start(TABLE, PROJECT).await.unwrap();
    let unseen = journal.census_unseen(TABLE, PROJECT, EVER, 10).await.unwrap();
    assert_eq!(unseen, Unseen { count: 1, ids: ids([1]) });
    // The same id seen in another project says nothing about this one.
    journal.census_start(TABLE, ProjectId(8)).await.unwrap();
    journal.census_saw(TABLE, ProjectId(8), &ids([1])).await.unwrap();
    assert_eq!(journal.census_unseen(TABLE, PROJECT, EVER, 10).await.unwrap().count, 1);
}

#[tokio::test]
async fn a_new_census_forgets_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    journal.commit(&[put(1, 1)]).await.unwrap();
    journal.census_start(TABLE, PROJECT).await.unwrap();
    journal.census_saw(TABLE, PROJECT, &ids([1])).await.unwrap();
    assert_eq!(journal.census_unseen(TABLE, PROJECT, EVER, 10).await.unwrap().count, 0);
    journal.census_start(TABLE, PROJECT).await.unwrap();
    assert_eq!(journal.census_unseen(TABLE, PROJECT, EVER, 10).await.unwrap().count, 1);
}

#[tokio::test]
async fn without_a_start_nothing_seems_gone() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    journal.commit(&[put(1, 1)]).await.unwrap();
    let error = journal.census_unseen(TABLE, PROJECT, EVER, 10).await.unwrap_err();
    assert_eq!((error.remedy, error.problem.code.as_str()), (Remedy::Retry, "JOURNAL-NO-CENSUS"));
    assert!(journal.census_saw(TABLE, PROJECT, &ids([1])).await.is_err());
}

#[tokio::test]
async fn a_census_sees_rows_that_come_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    journal.commit(&[put(1, 1)]).await.unwrap();
    journal.census_start(TABLE, PROJECT).await.unwrap();
    journal.census_saw(TABLE, PROJECT, &ids([1])).await.unwrap();
    journal.commit(&[put(2, 2)]).await.unwrap();
    assert_eq!(journal.census_unseen(TABLE, PROJECT, Moment(20), 10).await.unwrap().count, 0);
    assert_eq!(journal.census_unseen(TABLE, PROJECT, Moment(21), 10).await.unwrap().ids, ids([2]));
}
