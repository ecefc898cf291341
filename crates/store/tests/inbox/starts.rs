//! Deliveries that a process leaves behind: what ends everyone that reads it is found.

use engine::inbox::{Inbox, Standing, Turn};
use engine::journal::Limit;
use store::inbox::SqliteInbox;

use super::{ALL, ROOM, all, arrival, settled, take, waiting};

/// A process that ends without a word: what it has open is closed, and nothing is noted.
async fn crash(inbox: SqliteInbox) {
    inbox.close().await.unwrap();
}

/// How often each delivery's reading did not come back, oldest first.
async fn starts(inbox: &SqliteInbox) -> Vec<u32> {
    let mut starts: Vec<_> = all(inbox).await.iter().map(|entry| entry.starts).collect();
    starts.reverse();
    starts
}

#[tokio::test]
async fn a_start_that_does_not_come_back_is_counted_for_the_one_that_it_read() {
    let dir = tempfile::tempdir().unwrap();
    let open = async || SqliteInbox::open(dir.path(), ROOM).await.unwrap();
    let inbox = open().await;
    for id in ["a", "poison", "c"] {
        take(&inbox, arrival(id)).await;
    }
    // What arrives while it runs costs no note.
    assert_eq!(waiting(&inbox).await.len(), 3);
    assert_eq!(starts(&inbox).await, [0, 0, 0]);
    crash(inbox).await;

    // All three are read together, and the process ends meanwhile.
    let inbox = open().await;
    assert_eq!(waiting(&inbox).await.len(), 3);
    assert_eq!(starts(&inbox).await, [1, 1, 1]);
    crash(inbox).await;

    // From now on each is read alone; only the poison does not come back.
    for before in [1, 2] {
        let inbox = open().await;
        let mut after = Turn(0);
        loop {
            let read = inbox.waiting(after, ALL).await.unwrap();
            let one = &read[0].entry;
            after = one.turn;
            if one.delivery_id.as_deref() == Some("poison") {
                assert_eq!((read.len(), one.starts), (1, before), "it is alone");
                break;
            }
            inbox.heard(vec![one.number]).await.unwrap();
        }
        assert_eq!(starts(&inbox).await, [0, before + 1, 1]);
        crash(inbox).await;
    }

    // It is known now, and goes aside; the others are worked off.
    let inbox = open().await;
    let first = inbox.waiting(Turn(0), ALL).await.unwrap();
    assert_eq!(first.len(), 1);
    let poison = inbox.waiting(first[0].entry.turn, ALL).await.unwrap().remove(0).entry;
    assert_eq!((poison.delivery_id.as_deref(), poison.starts), (Some("poison"), 3));
    let dead = Standing::Dead { reason: "it ended everyone".to_owned() };
    inbox.settle(vec![settled(&poison, dead)]).await.unwrap();
    let last = inbox.waiting(poison.turn, ALL).await.unwrap();
    assert_eq!((last.len(), last[0].entry.delivery_id.as_deref()), (1, Some("c")));
    // A person who replays it begins anew.
    inbox.replay(vec![poison.number]).await.unwrap();
    assert_eq!(inbox.find("poison".to_owned()).await.unwrap().unwrap().entry.starts, 0);
    crash(inbox).await;
}

#[tokio::test]
async fn restarts_in_peace_blame_nobody() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..5_usize {
        let inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
        let (mut after, mut read) = (Turn(0), 0);
        loop {
            let some = inbox.waiting(after, Limit { rows: 2, ..ALL }).await.unwrap();
            let Some(last) = some.last() else { break };
            (after, read) = (last.entry.turn, read + some.len());
            assert!(some.iter().all(|one| one.entry.starts == 0));
            inbox.heard(some.iter().map(|one| one.entry.number).collect()).await.unwrap();
        }
        assert_eq!(read, round, "what waits, waits");
        assert!(starts(&inbox).await.iter().all(|starts| *starts == 0));
        take(&inbox, arrival(&format!("d{round}"))).await;
        crash(inbox).await;
    }
}
