//! What is forgotten: never what waits.

use std::time::Duration;

use engine::inbox::{Inbox, Query, Standing, StandingKind};
use jiff::{SignedDuration, Timestamp};
use store::inbox::SqliteInbox;

use super::{ROOM, all, bulky, settled, take, waiting};

const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn old_ones_go_and_those_that_wait_stay() {
    let dir = tempfile::tempdir().unwrap();
    let inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
    for (id, days) in [("old", 3), ("waits", 3), ("older", 4), ("new", 0)] {
        let mut arrival = bulky(id, 1_000);
        arrival.received = Timestamp::now() - SignedDuration::from_hours(24 * days);
        take(&inbox, arrival).await;
    }
    let done =
        waiting(&inbox).await.into_iter().filter(|one| one.entry.delivery_id.as_deref() != Some("waits"));
    inbox.settle(done.map(|one| settled(&one.entry, Standing::Unchanged)).collect()).await.unwrap();
    inbox.prune(DAY, ROOM).await.unwrap();
    let left = async || {
        let left = all(&inbox).await;
        left.into_iter().filter_map(|entry| entry.delivery_id).collect::<Vec<_>>()
    };
    assert_eq!(left().await, ["new", "waits"]);
    let counts = inbox.counts().await.unwrap();
    let room: u64 = all(&inbox).await.iter().map(|entry| entry.room).sum();
    assert_eq!((counts.waiting, counts.unchanged, counts.bytes), (1, 1, room));
    inbox.prune(Duration::ZERO, 0).await.unwrap();
    assert_eq!(left().await, ["waits"]);
    // What was forgotten is not known any more.
    take(&inbox, bulky("old", 10)).await;
}

#[tokio::test]
async fn beyond_the_cap_the_oldest_go_and_their_room_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
    let ids: Vec<String> = (0..700).map(|n| format!("d{n}")).collect();
    let taken = ids.iter().map(|id| inbox.accept(bulky(id, 20_000)));
    for taken in futures::future::join_all(taken).await {
        taken.unwrap();
    }
    let there = waiting(&inbox).await;
    inbox
        .settle(there[..690].iter().map(|one| settled(&one.entry, Standing::Applied)).collect())
        .await
        .unwrap();
    let each = all(&inbox).await[0].room;
    assert!(all(&inbox).await.iter().all(|entry| entry.room == each));
    inbox.prune(DAY, 50 * each).await.unwrap();
    let counts = inbox.counts().await.unwrap();
    assert_eq!((counts.waiting, counts.applied, counts.bytes), (10, 40, 50 * each));
    let applied = Query { standing: Some(StandingKind::Applied), before: None, limit: 100 };
    let mut left: Vec<_> = inbox.list(applied).await.unwrap().iter().map(|entry| entry.received).collect();
    left.sort_unstable();
    let mut settled: Vec<_> = there[..690].iter().map(|one| one.entry.received).collect();
    settled.sort_unstable();
    assert_eq!(left, settled[650..], "those received last stay");
    inbox.prune(DAY, 0).await.unwrap();
    assert_eq!(inbox.counts().await.unwrap().bytes, 10 * each, "what waits is never forgotten");
    inbox.close().await.unwrap();
    let size = std::fs::metadata(dir.path().join(store::inbox::FILE)).unwrap().len();
    assert!(size < 6_000_000, "{size} bytes are left of 14,000,000");
}

/// Short bodies with long headers, long ones that begin pages of their own, and many tiny ones.
#[tokio::test]
async fn the_file_stays_within_what_it_may_take_whatever_takes_the_room() {
    const MAX: u64 = 16 << 20;
    let dir = tempfile::tempdir().unwrap();
    let inbox = SqliteInbox::open(dir.path(), MAX).await.unwrap();
    let mut long = "x".repeat(8_000);
    for (round, size) in [20, 700, 2_100, 4_200].into_iter().enumerate() {
        let ids: Vec<String> = (0..2_000).map(|n| format!("{round}.{n}")).collect();
        let taken = ids.iter().map(|id| {
            let mut arrival = bulky(id, size);
            arrival.headers.push(("x-long".to_owned(), long.clone()));
            inbox.accept(arrival)
        });
        for taken in futures::future::join_all(taken).await {
            // More than may wait is refused, and what was taken before stays.
            let _ = taken.map_err(|error| assert_eq!(error.problem.code, "INBOX-FULL"));
        }
        inbox.prune(DAY, MAX).await.unwrap();
        let counts = inbox.counts().await.unwrap();
        assert!(counts.bytes <= MAX, "{} bytes wait", counts.bytes);
        let done = waiting(&inbox).await;
        inbox.settle(done.iter().map(|one| settled(&one.entry, Standing::Applied)).collect()).await.unwrap();
        inbox.prune(DAY, MAX / 2).await.unwrap();
        long.truncate(long.len() / 4);
    }
    inbox.close().await.unwrap();
    let size = std::fs::metadata(dir.path().join(store::inbox::FILE)).unwrap().len();
    assert!(size <= MAX + (4 << 20), "{size} bytes");
}

#[tokio::test]
async fn what_a_clock_that_was_ahead_received_goes_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
    let mut arrival = bulky("early", 1_000);
    arrival.received = Timestamp::now() + SignedDuration::from_hours(24 * 400);
    take(&inbox, arrival).await;
    let done = waiting(&inbox).await;
    inbox.settle(done.iter().map(|one| settled(&one.entry, Standing::Unchanged)).collect()).await.unwrap();
    inbox.prune(DAY, ROOM).await.unwrap();
    let left = all(&inbox).await;
    assert!(left[0].received <= Timestamp::now(), "{}", left[0].received);
    inbox.prune(Duration::ZERO, ROOM).await.unwrap();
    assert_eq!(all(&inbox).await.len(), 0);
}
