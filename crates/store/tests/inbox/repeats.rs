//! The same body under other delivery ids: the id is not covered by the signature, so a captured delivery can be sent
//! again under a new one; and two deliveries that look the same may tell of two changes.

use bytes::Bytes;
use engine::inbox::{Accepted, Arrival, DeliveryNumber, Inbox, Standing};
use engine::problem::Remedy;
use jiff::{SignedDuration, Timestamp};
use store::inbox::SqliteInbox;

use super::{ROOM, all, arrival, settled, take, waiting};

/// The body of `arrival("first")` under another id.
fn again(id: &str) -> Arrival {
    let later = Timestamp::now() + SignedDuration::from_secs(60);
    Arrival { body: arrival("first").body, received: later, ..arrival(id) }
}

async fn repeat(inbox: &SqliteInbox, arrival: Arrival) -> DeliveryNumber {
    match inbox.accept(arrival).await.unwrap() {
        Accepted::Repeated(number) => number,
        Accepted::New(number) => panic!("{number:?} is a second delivery"),
    }
}

#[tokio::test]
async fn a_thousand_replays_under_new_ids_make_no_second_delivery() {
    let dir = tempfile::tempdir().unwrap();
    let inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
    let number = take(&inbox, arrival("first")).await;
    let done = waiting(&inbox).await;
    inbox.settle(vec![settled(&done[0].entry, Standing::Applied)]).await.unwrap();
    inbox.close().await.unwrap();
    // Also after a restart, also many in one flush.
    let inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
    let ids: Vec<String> = (0..1_000).map(|n| format!("replay {n}")).collect();
    let taken = futures::future::join_all(ids.iter().map(|id| inbox.accept(again(id)))).await;
    assert!(taken.into_iter().all(|taken| taken.unwrap() == Accepted::Repeated(number)));
    let there = all(&inbox).await;
    assert_eq!((there.len(), there[0].repeats, there[0].replays), (1, 1_000, 0));
    assert!(there[0].last_received > there[0].received);
    let counts = inbox.counts().await.unwrap();
    assert_eq!((counts.waiting, counts.applied, counts.bytes), (1, 0, there[0].room));
    inbox.close().await.unwrap();
}

#[tokio::test]
async fn an_equal_body_joins_work_that_has_not_begun_and_causes_new_work_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
    let number = take(&inbox, arrival("first")).await;
    let turn = all(&inbox).await[0].turn;
    let mut arrivals = inbox.arrivals();
    arrivals.mark_unchanged();
    // Nobody has read it yet: the look that it will cause is still to come.
    assert_eq!(repeat(&inbox, again("second")).await, number);
    assert_eq!(all(&inbox).await[0].turn, turn);
    // It has been read: its look may be under way, and what comes now may tell of a later change.
    assert_eq!(waiting(&inbox).await.len(), 1);
    assert_eq!(repeat(&inbox, again("third")).await, number);
    assert!(arrivals.has_changed().unwrap());
    let open = waiting(&inbox).await;
    assert!(open[0].entry.turn > turn);
    // What was done in the earlier turn says nothing about the new one.
    let early = engine::inbox::Settled { turn, ..settled(&open[0].entry, Standing::Unchanged) };
    inbox.settle(vec![early]).await.unwrap();
    assert_eq!(all(&inbox).await[0].standing, Standing::Waiting { problem: None });
    // Long after it was settled, too.
    inbox.settle(vec![settled(&open[0].entry, Standing::Applied)]).await.unwrap();
    assert_eq!(repeat(&inbox, again("fourth")).await, number);
    let open = waiting(&inbox).await;
    assert_eq!((open.len(), open[0].entry.repeats), (1, 3));
    assert_eq!((open[0].entry.delivery_id.as_deref(), open[0].entry.settled), (Some("first"), None));
    // Under its own id it is the same delivery, and nothing is to be done.
    inbox.settle(vec![settled(&open[0].entry, Standing::Applied)]).await.unwrap();
    assert_eq!(repeat(&inbox, arrival("first")).await, number);
    assert_eq!((waiting(&inbox).await.len(), all(&inbox).await[0].repeats), (0, 3));
    inbox.close().await.unwrap();
}

#[tokio::test]
async fn what_waits_again_takes_its_room_and_what_was_forgotten_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let inbox = SqliteInbox::open(dir.path(), 1_500).await.unwrap();
    take(&inbox, arrival("first")).await;
    let done = waiting(&inbox).await;
    inbox.settle(vec![settled(&done[0].entry, Standing::Applied)]).await.unwrap();
    for id in ["a", "b"] {
        take(&inbox, Arrival { body: Bytes::from(id), ..arrival(id) }).await;
    }
    let counts = inbox.counts().await.unwrap();
    let full = inbox.accept(again("second")).await.unwrap_err();
    assert_eq!((full.remedy, full.problem.code.as_str()), (Remedy::Wait, "INBOX-FULL"));
    assert_eq!(inbox.counts().await.unwrap(), counts);
    inbox.prune(std::time::Duration::ZERO, 0).await.unwrap();
    let done: Vec<_> = waiting(&inbox).await.iter().map(|d| settled(&d.entry, Standing::Applied)).collect();
    inbox.settle(done).await.unwrap();
    take(&inbox, again("third")).await;
    inbox.close().await.unwrap();
}
