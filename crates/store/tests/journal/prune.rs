//! What is forgotten, and what the journal says about it.

use std::time::Duration;

use engine::clock::Moment;
use engine::journal::{Bounds, Entry, Journal};
use engine::position::Sequence;
use jiff::Timestamp;
use serde_json::json;
use store::journal::SqliteJournal;

use super::{ALL, gone, logged, put, row};

const DAY: Duration = Duration::from_hours(24);

/// An entry observed as long ago as told.
fn ago(mut entry: Entry, ago: Duration) -> Entry {
    let micros = i64::try_from(ago.as_micros()).unwrap();
    let moment = Moment(Timestamp::now().as_microsecond() - micros);
    entry.row.version.observed = moment;
    if let Some(change) = &mut entry.change {
        change.observed = moment;
    }
    entry
}

async fn sequences(journal: &SqliteJournal) -> (Vec<i64>, Vec<i64>) {
    let mirror = journal.mirror_after(Sequence(0), ALL).await.unwrap();
    let log = journal.log_after(Sequence(0), ALL).await.unwrap();
    (
        mirror.iter().map(|row| row.version.sequence.0).collect(),
        log.iter().map(|change| change.sequence.0).collect(),
    )
}

#[tokio::test]
async fn old_changes_go_and_the_floor_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    let entries = [
        ago(logged(put(1, 1), None), 3 * DAY),
        ago(logged(put(2, 2), None), 2 * DAY),
        ago(logged(put(3, 3), None), Duration::ZERO),
        // Older than the one before it: it stays, the log has no holes.
        ago(logged(put(4, 4), None), 3 * DAY),
    ];
    journal.commit(&entries).await.unwrap();
    journal.prune(DAY).await.unwrap();
    assert_eq!(sequences(&journal).await, (vec![1, 2, 3, 4], vec![3, 4]));
    let bounds = Bounds { head: Sequence(4), log_floor: Sequence(2), horizon: Sequence(0) };
    assert_eq!(journal.bounds().await.unwrap(), bounds);
    // What lies before the beginning of the log goes, however young.
    journal.begin_log().await.unwrap();
    journal.prune(DAY).await.unwrap();
    assert_eq!(sequences(&journal).await, (vec![1, 2, 3, 4], vec![]));
    assert_eq!(journal.bounds().await.unwrap().log_floor, Sequence(4));
}

#[tokio::test]
async fn a_tombstone_lives_until_every_task_has_passed_it() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    let tombstones = (1..=4).map(|n| ago(gone(n, n), Duration::ZERO));
    journal.commit(&tombstones.collect::<Vec<_>>()).await.unwrap();
    journal.prune(DAY).await.unwrap();
    assert_eq!(sequences(&journal).await.0, [1, 2, 3, 4], "no task, no hurry");
    journal.acknowledge("a", Sequence(4)).await.unwrap();
    journal.acknowledge("b", Sequence(0)).await.unwrap();
    journal.prune(DAY).await.unwrap();
    assert_eq!(sequences(&journal).await.0, [1, 2, 3, 4]);
    journal.acknowledge("b", Sequence(2)).await.unwrap();
    journal.prune(DAY).await.unwrap();
    assert_eq!(sequences(&journal).await.0, [3, 4]);
    assert_eq!(journal.bounds().await.unwrap().horizon, Sequence(2));
    // What tasks said survives a close; a task that starts over holds everything again.
    journal.close().await.unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    journal.acknowledge("a", Sequence(0)).await.unwrap();
    journal.acknowledge("b", Sequence(4)).await.unwrap();
    journal.prune(DAY).await.unwrap();
    assert_eq!(sequences(&journal).await.0, [3, 4]);
    drop(journal);
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    journal.acknowledge("b", Sequence(4)).await.unwrap();
    journal.prune(DAY).await.unwrap();
    assert_eq!(sequences(&journal).await.0, [3, 4], "a's restart was on the disk");
}

#[tokio::test]
async fn a_tombstone_older_than_the_retention_goes_whatever_tasks_say() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    let entries = [ago(gone(1, 1), 2 * DAY), ago(put(2, 2), 2 * DAY), ago(gone(3, 3), Duration::ZERO)];
    journal.commit(&entries).await.unwrap();
    journal.acknowledge("slow", Sequence(0)).await.unwrap();
    journal.prune(DAY).await.unwrap();
    assert_eq!(sequences(&journal).await.0, [2, 3]);
    assert_eq!(journal.bounds().await.unwrap().horizon, Sequence(1));
    // A row that comes back after its tombstone went is a new one.
    journal.commit(&[put(1, 4)]).await.unwrap();
    assert_eq!(sequences(&journal).await.0, [2, 3, 4]);
}

#[tokio::test]
async fn the_file_gives_its_room_back() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    // Text that does not compress: five thousand changes of four kilobytes.
    let noise = || format!("{:?}", rand::random_iter::<u64>().take(200).collect::<Vec<_>>());
    for batch in 0..10 {
        let entry = |n: i64| {
            let mut entry = put(n, batch * 500 + n);
            entry.row.row = Some(row(json!({ "Noise": noise() })));
            ago(logged(entry, None), 2 * DAY)
        };
        journal.commit(&(1..=500).map(entry).collect::<Vec<_>>()).await.unwrap();
    }
    let size = || std::fs::metadata(dir.path().join("journal.db")).unwrap().len();
    journal.close().await.unwrap();
    let before = size();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    journal.prune(DAY).await.unwrap();
    journal.close().await.unwrap();
    assert!(size() < before / 2, "{} of {before} bytes are left", size());
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    assert_eq!(sequences(&journal).await, ((4_501..=5_000).collect(), vec![]));
}

/// As the journal stands after a run whose clock was ahead, opened when it is right again.
#[tokio::test]
async fn what_a_clock_that_was_ahead_recorded_is_put_right_in_its_order() {
    for days in [1, 400] {
        let dir = tempfile::tempdir().unwrap();
        let journal = SqliteJournal::open(dir.path()).await.unwrap();
        let now = || Timestamp::now().as_microsecond();
        let began = now();
        let ahead = began + days * 86_400_000_000;
        let mut entries = vec![ago(logged(put(1, 1), None), 2 * DAY)];
        let before = entries[0].row.version.observed;
        for (sequence, after) in [(2, 1_000_000), (3, 2_000_000), (4, 2_000_001)] {
            let mut entry = logged(put(sequence, sequence), None);
            let version = &mut entry.row.version;
            (version.listed, version.observed) = (Moment(ahead + after), Moment(ahead + after));
            version.looked_up = Moment(ahead + after + 1);
            let change = entry.change.as_mut().unwrap();
            (change.observed, change.detailed) = (version.observed, Some(version.looked_up));
            entries.push(entry);
        }
        journal.commit(&entries).await.unwrap();
        journal.close().await.unwrap();

        let journal = SqliteJournal::open(dir.path()).await.unwrap();
        let newest = journal.newest_moment();
        assert!((began..=now()).contains(&newest.0), "{newest:?}");
        let rows = journal.mirror_after(Sequence(0), ALL).await.unwrap();
        let observed: Vec<i64> = rows.iter().map(|row| row.version.observed.0).collect();
        assert_eq!(observed[0], before.0, "what was right stays");
        let last = newest.0 - 1;
        assert_eq!(observed[1..], [last - 1_000_001, last - 1, last]);
        assert!(rows[1..].iter().all(|row| row.version.looked_up.0 == row.version.observed.0 + 1));
        let log = journal.log_after(Sequence(0), ALL).await.unwrap();
        let logged: Vec<i64> = log.iter().map(|change| change.observed.0).collect();
        assert_eq!(logged, observed);
        // So it is forgotten in time.
        journal.prune(Duration::ZERO).await.unwrap();
        assert_eq!(sequences(&journal).await.1, [0; 0]);
    }
}
