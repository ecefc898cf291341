//! Other processes: they read and replay while one accepts and settles.

use std::process::Command;
use std::time::Duration;

use engine::inbox::{DeliveryNumber, Inbox, Query, Standing, StandingKind};
use jiff::Timestamp;
use store::inbox::SqliteInbox;

use super::{ROOM, all, arrival, settled, take, waiting};

const DIR: &str = "STORE_TEST_REPLAYER";

/// Replays everything that is dead.
#[tokio::test]
#[ignore = "runs as the other process of the test below"]
async fn replayer() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let inbox = SqliteInbox::open_beside(dir.as_ref()).await.unwrap();
    let dead = Query { standing: Some(StandingKind::Dead), before: None, limit: 10 };
    let numbers: Vec<_> = inbox.list(dead).await.unwrap().iter().map(|entry| entry.number).collect();
    assert_eq!(inbox.replay(numbers).await.unwrap(), 2);
    inbox.close().await.unwrap();
}

#[tokio::test]
async fn a_replay_by_another_process_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
    let dead = Standing::Dead { reason: "no luck".to_owned() };
    for id in ["a", "b", "c"] {
        take(&inbox, arrival(id)).await;
    }
    let before = waiting(&inbox).await;
    let standings = [dead.clone(), dead, Standing::Applied];
    let settled = before.iter().zip(standings).map(|(delivery, standing)| settled(&delivery.entry, standing));
    inbox.settle(settled.collect()).await.unwrap();
    let mut arrivals = inbox.arrivals();
    // It has looked once before: only what comes after that is news.
    let looked = Duration::from_secs(3);
    let _ = tokio::time::timeout(looked, arrivals.changed()).await;
    arrivals.mark_unchanged();

    let other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "inbox::beside::replayer", "--ignored", "--nocapture"])
        .env(DIR, dir.path())
        .output()
        .unwrap();
    assert!(other.status.success(), "{}", String::from_utf8_lossy(&other.stderr));
    tokio::time::timeout(Duration::from_secs(30), arrivals.changed()).await.unwrap().unwrap();
    let again = waiting(&inbox).await;
    let numbers = |deliveries: &[engine::inbox::Delivery]| {
        deliveries.iter().map(|delivery| delivery.entry.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&again), numbers(&before[..2]));
    assert!(again.iter().all(|one| one.entry.turn > before[2].entry.turn && one.entry.replays == 1));
    assert!(again.iter().all(|one| one.entry.settled.is_none()));
    let counts = inbox.counts().await.unwrap();
    assert_eq!((counts.waiting, counts.dead, counts.applied), (2, 0, 1));
}

#[tokio::test]
async fn what_was_done_in_an_older_turn_does_not_end_a_replay() {
    let dir = tempfile::tempdir().unwrap();
    let inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
    let number = take(&inbox, arrival("a")).await;
    let old = all(&inbox).await.remove(0);
    assert_eq!(inbox.replay(vec![number, DeliveryNumber(7)]).await.unwrap(), 1);
    inbox.settle(vec![settled(&old, Standing::Applied)]).await.unwrap();
    let new = waiting(&inbox).await.remove(0).entry;
    assert_eq!(new.standing, Standing::Waiting { problem: None });
    inbox.settle(vec![settled(&new, Standing::Unchanged), settled(&old, Standing::Applied)]).await.unwrap();
    let at = Timestamp::from_second(1_800_000_000).unwrap();
    inbox.delivered(vec![number], at).await.unwrap();
    inbox.delivered(vec![number, DeliveryNumber(7)], Timestamp::now()).await.unwrap();
    let done = all(&inbox).await.remove(0);
    assert_eq!((done.standing, done.delivered, done.replays), (Standing::Unchanged, Some(at), 1));
    assert!(done.settled.is_some());
    assert_eq!(inbox.replay(vec![number]).await.unwrap(), 1);
    let again = all(&inbox).await.remove(0);
    assert_eq!((again.settled, again.delivered, again.replays), (None, None, 2));
}

#[tokio::test]
async fn who_is_beside_reads_and_replays_and_does_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(SqliteInbox::open_beside(dir.path()).await.unwrap_err().problem.code, "JOURNAL-MISSING");
    let inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
    let number = take(&inbox, arrival("a")).await;
    let beside = SqliteInbox::open_beside(dir.path()).await.unwrap();
    let entry = all(&beside).await.remove(0);
    assert_eq!(beside.find("a".to_owned()).await.unwrap().unwrap().body, arrival("a").body);
    assert_eq!(beside.counts().await.unwrap(), inbox.counts().await.unwrap());
    for refused in [
        beside.accept(arrival("b")).await.map(drop),
        beside.settle(vec![settled(&entry, Standing::Applied)]).await,
        beside.delivered(vec![number], Timestamp::now()).await,
        beside.prune(Duration::ZERO, 0).await,
    ] {
        assert_eq!(refused.unwrap_err().problem.code, "JOURNAL-READ-ONLY");
    }
    // Neither waits for the other for longer than a transaction.
    for round in 0..20 {
        let id = format!("r{round}");
        let (taken, replayed) = tokio::join!(inbox.accept(arrival(&id)), beside.replay(vec![number]));
        assert_eq!((taken.is_ok(), replayed.unwrap()), (true, 1));
    }
    let turns: Vec<_> = waiting(&inbox).await.iter().map(|delivery| delivery.entry.turn).collect();
    assert!(turns.len() == 21 && turns.is_sorted_by(|one, next| one < next), "{turns:?}");
    beside.close().await.unwrap();
    take(&inbox, arrival("later")).await;
    inbox.close().await.unwrap();
}
