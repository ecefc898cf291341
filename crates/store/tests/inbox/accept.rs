//! Taking in: once each, many at once, and no more than there is room for.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::inbox::{Accepted, Inbox, Standing, Summary};
use engine::journal::Limit;
use engine::problem::Remedy;
use jiff::{SignedDuration, Timestamp};
use store::inbox::SqliteInbox;

use super::{ALL, ROOM, all, arrival, bulky, settled, take, waiting};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_at_once_share_few_flushes() {
    let dir = tempfile::tempdir().unwrap();
    let inbox = Arc::new(SqliteInbox::open(dir.path(), ROOM).await.unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..1_000 {
        let inbox = Arc::clone(&inbox);
        tasks.spawn(async move { take(&inbox, arrival(&format!("d{n}"))).await });
    }
    let numbers: BTreeSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!(numbers.len(), 1_000, "every one has a number of its own");
    let there = waiting(&inbox).await;
    assert_eq!(there.iter().map(|delivery| delivery.entry.number).collect::<BTreeSet<_>>(), numbers);
    assert!(there.is_sorted_by(|one, next| one.entry.turn < next.entry.turn));
    assert!(inbox.groups() <= 200, "{} flushes", inbox.groups());
    assert_eq!(inbox.counts().await.unwrap().waiting, 1_000);
    inbox.close().await.unwrap();
}

#[tokio::test]
async fn a_delivery_comes_back_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
    let mut odd = bulky("odd \u{0} 漢", 300_000);
    odd.headers.push(("x-odd".to_owned(), "a\u{0}\"b\n漢".to_owned()));
    let mut empty = arrival("empty");
    (empty.body, empty.delivery_id) = (bytes::Bytes::new(), None);
    for arrival in [odd, empty, arrival("plain")] {
        let number = take(&inbox, arrival.clone()).await;
        let found = inbox.find(number.0.to_string()).await.unwrap().unwrap();
        assert_eq!((&found.body, &found.headers), (&arrival.body, &arrival.headers));
        assert_eq!(found.entry.received.as_microsecond(), arrival.received.as_microsecond());
        assert_eq!(found.entry.size, u64::try_from(arrival.body.len()).unwrap());
        assert_eq!(found.entry.standing, Standing::Waiting { problem: None });
        assert_eq!((found.entry.settled, found.entry.delivered, found.entry.replays), (None, None, 0));
    }
    let plain = inbox.find("plain".to_owned()).await.unwrap().unwrap();
    assert_eq!(plain.entry.delivery_id.as_deref(), Some("plain"));
    assert!(inbox.find("nobody".to_owned()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_repetition_is_known_also_within_a_group_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
    let odd = "nul \u{0} quote \" 漢";
    let both = tokio::join!(inbox.accept(arrival(odd)), inbox.accept(arrival(odd)));
    let Accepted::New(number) = both.0.unwrap() else { panic!("the first one is new") };
    assert_eq!(both.1.unwrap(), Accepted::Repeated(number));
    inbox.close().await.unwrap();
    let inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
    assert_eq!(inbox.accept(arrival(odd)).await.unwrap(), Accepted::Repeated(number));
    inbox.settle(vec![settled(&all(&inbox).await[0], Standing::Applied)]).await.unwrap();
    assert_eq!(inbox.accept(arrival(odd)).await.unwrap(), Accepted::Repeated(number), "also when it is done");
    let nameless = || engine::inbox::Arrival { delivery_id: None, ..arrival("x") };
    let number = take(&inbox, nameless()).await;
    assert_eq!(inbox.accept(nameless()).await.unwrap(), Accepted::Repeated(number), "by its body");
    assert_eq!(all(&inbox).await.len(), 2);
}

#[tokio::test]
async fn numbers_and_turns_grow_whatever_the_clock_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = None;
    for (n, hours) in [0, 5, -5, 3, -1_000].into_iter().enumerate() {
        let inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
        let mut arrival = arrival(&format!("d{n}"));
        arrival.received = Timestamp::now() + SignedDuration::from_hours(hours);
        let number = take(&inbox, arrival).await;
        let turn = waiting(&inbox).await.last().unwrap().entry.turn;
        assert!(last.is_none_or(|last| last < (number, turn)), "{last:?} {number:?}");
        last = Some((number, turn));
        // What is forgotten leaves no number behind that could be given again.
        inbox.settle(vec![settled(&all(&inbox).await[0], Standing::Applied)]).await.unwrap();
        inbox.prune(std::time::Duration::ZERO, 0).await.unwrap();
        assert!(all(&inbox).await.is_empty());
        inbox.close().await.unwrap();
    }
}

#[tokio::test]
async fn what_waits_is_read_within_its_limits() {
    let dir = tempfile::tempdir().unwrap();
    let inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
    for n in 0..10 {
        take(&inbox, bulky(&format!("d{n}"), 1_000)).await;
    }
    let there = waiting(&inbox).await;
    let read = async |after, rows, bytes| {
        let read = inbox.waiting(after, Limit { rows, bytes }).await.unwrap();
        read.iter().map(|delivery| delivery.entry.number).collect::<Vec<_>>()
    };
    let numbers: Vec<_> = there.iter().map(|delivery| delivery.entry.number).collect();
    assert_eq!(read(there[3].entry.turn, 4, usize::MAX).await, numbers[4..8]);
    assert_eq!(read(there[3].entry.turn, 100, 2_500).await, numbers[4..6]);
    assert_eq!(read(there[3].entry.turn, 100, 1).await, numbers[4..5], "one at least");
    assert!(read(there[9].entry.turn, 100, 1).await.is_empty());
    // A problem keeps it in its place; a summary stays until there is another one.
    let mut note = settled(&there[0].entry, Standing::Waiting { problem: Some("no \u{0} luck".to_owned()) });
    let summary = Summary { event: "E".to_owned(), entity: Some("issue 7".to_owned()), ..Summary::default() };
    note.summary = Some(summary.clone());
    inbox.settle(vec![note]).await.unwrap();
    inbox
        .settle(vec![settled(&there[0].entry, Standing::Waiting { problem: Some("none".to_owned()) })])
        .await
        .unwrap();
    let first = waiting(&inbox).await.remove(0).entry;
    assert_eq!((first.turn, first.summary), (there[0].entry.turn, Some(summary)));
    assert_eq!(first.standing, Standing::Waiting { problem: Some("none".to_owned()) });
    assert_eq!(inbox.waiting(there[9].entry.turn, ALL).await.unwrap(), []);
}

#[tokio::test]
async fn what_waits_may_take_so_much_room_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let inbox = SqliteInbox::open(dir.path(), 12_000).await.unwrap();
    for n in 0..2 {
        take(&inbox, bulky(&format!("d{n}"), 4_000)).await;
    }
    for _ in 0..2 {
        let error = inbox.accept(bulky("d2", 4_000)).await.unwrap_err();
        assert_eq!((error.remedy, error.problem.code.as_str()), (Remedy::Wait, "INBOX-FULL"));
        assert!(error.to_string().contains("9216 bytes"), "{error}");
    }
    // Its neighbours in a group are not turned away with it, and who is in already is told so.
    let (large, small, known) = tokio::join!(
        inbox.accept(bulky("large", 4_000)),
        inbox.accept(bulky("small", 1_000)),
        inbox.accept(bulky("d0", 4_000))
    );
    assert_eq!(large.unwrap_err().problem.code, "INBOX-FULL");
    assert!(matches!(small.unwrap(), Accepted::New(_)));
    assert!(matches!(known.unwrap(), Accepted::Repeated(_)));
    let there = waiting(&inbox).await;
    inbox.settle(vec![settled(&there[0].entry, Standing::Applied)]).await.unwrap();
    take(&inbox, bulky("d2", 4_000)).await;
    // Larger than everything that may wait: alone it gets through, else it could never.
    let there: Vec<_> = waiting(&inbox).await.iter().map(|d| settled(&d.entry, Standing::Applied)).collect();
    inbox.settle(there).await.unwrap();
    take(&inbox, bulky("huge", 50_000)).await;
    assert_eq!(inbox.accept(bulky("next", 1)).await.unwrap_err().problem.code, "INBOX-FULL");
    let room: u64 = all(&inbox).await.iter().map(|entry| entry.room).sum();
    assert_eq!(inbox.counts().await.unwrap().bytes, room);
    assert!(room > 4_000 * 3 + 1_000 + 50_000, "headers and whatever else takes room count too");
}

#[tokio::test]
async fn who_closes_answers_first_and_takes_nothing_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
    let (accepted, closed) = tokio::join!(inbox.accept(arrival("a")), inbox.close());
    accepted.unwrap();
    closed.unwrap();
    assert_eq!(inbox.accept(arrival("b")).await.unwrap_err().problem.code, "JOURNAL-CLOSED");
    assert_eq!(inbox.counts().await.unwrap_err().problem.code, "JOURNAL-CLOSED");
    inbox.close().await.unwrap();
    assert!(!dir.path().join("inbox.db-wal").exists(), "everything is in the one file");
}
