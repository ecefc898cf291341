//! The inbox.

use bytes::Bytes;
use engine::inbox::{Accepted, Arrival, Entry, Inbox, InboxCounts, Settled, Standing, Summary};
use jiff::Timestamp;
use store::inbox::{FILE, SqliteInbox};

use super::{assert_newer, copy, format, golden, keep, set_format};
use crate::inbox::{ROOM, all, take, waiting};

/// The golden file of today's format.
const NEWEST: &str = "inbox-2.db";

fn at(second: i64) -> Timestamp {
    Timestamp::from_microsecond(1_700_000_000_000_000 + second * 1_000_000 + 7).unwrap()
}

/// Short, long and empty bodies, with a delivery id and without.
fn arrivals() -> Vec<Arrival> {
    let bodies = [
        Bytes::from_static(b"{\"event\":\"ISSUE_UPDATED\"}"),
        Bytes::from("{\"text\":\"again and again\"}".repeat(50)),
        Bytes::from_static(b""),
        Bytes::from_static(b"\x00\xff no text"),
        Bytes::from("{\"text\":\"once more\"}".repeat(50)),
    ];
    let arrival = |(number, body): (i64, Bytes)| Arrival {
        delivery_id: (number != 3).then(|| format!("delivery-{number}")),
        received: at(number),
        headers: vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("x-coding-delivery".to_owned(), format!("delivery-{number} 漢")),
        ],
        body,
    };
    (1..).zip(bodies).map(arrival).collect()
}

/// How they stand.
fn standings() -> Vec<Standing> {
    let reason = || "a reason \"in words\" 漢".to_owned();
    vec![
        Standing::Applied,
        Standing::Dead { reason: reason() },
        Standing::Ignored { reason: reason() },
        Standing::Unchanged,
        Standing::Waiting { problem: Some(reason()) },
    ]
}

fn summary() -> Summary {
    Summary {
        event: "ISSUE_UPDATED".to_owned(),
        entity: Some("issue 71".to_owned()),
        project: Some("mobile-app".to_owned()),
        sender: None,
    }
}

#[tokio::test]
#[ignore = "makes the golden file of a new format"]
async fn make() {
    let dir = tempfile::tempdir().unwrap();
    let inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
    for arrival in arrivals() {
        take(&inbox, arrival).await;
    }
    let deliveries = waiting(&inbox).await;
    let settled = deliveries.iter().zip(standings()).map(|(delivery, standing)| Settled {
        number: delivery.entry.number,
        turn: delivery.entry.turn,
        summary: Some(summary()),
        standing,
    });
    inbox.settle(settled.collect()).await.unwrap();
    inbox.delivered(vec![deliveries[0].entry.number], at(60)).await.unwrap();
    // What was replayed waits again.
    inbox.replay(vec![deliveries[3].entry.number]).await.unwrap();
    inbox.close().await.unwrap();
    keep(&dir.path().join(FILE), NEWEST);
}

#[tokio::test]
async fn an_inbox_of_format_1_is_read_whole_and_goes_on() {
    let dir = copy("inbox-1.db", FILE);
    let early = SqliteInbox::open_beside(dir.path()).await.unwrap_err();
    assert_eq!(early.problem.code, "JOURNAL-OLDER", "whoever writes it brings it to today's format");
    goes_on(dir.path()).await;
    // What was there before has no digest: its body is new once.
    assert_eq!(format(&dir.path().join(FILE)), format(&golden(NEWEST)));
}

#[tokio::test]
async fn an_inbox_of_format_2_is_read_whole_and_goes_on() {
    let dir = copy("inbox-2.db", FILE);
    let inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
    let there: Vec<Entry> = all(&inbox).await;
    let same = Arrival { delivery_id: Some("another".to_owned()), ..arrivals()[0].clone() };
    assert_eq!(inbox.accept(same).await.unwrap(), Accepted::Repeated(there[4].number), "by its body");
    let now = inbox.find(there[4].number.0.to_string()).await.unwrap().unwrap().entry;
    assert_eq!((now.repeats, &now.standing), (1, &Standing::Waiting { problem: None }));
    inbox.close().await.unwrap();
    let dir = copy("inbox-2.db", FILE);
    goes_on(dir.path()).await;
}

/// The inbox of [`make`], in today's hands.
async fn goes_on(dir: &std::path::Path) {
    let inbox = SqliteInbox::open(dir, ROOM).await.unwrap();
    let mut entries: Vec<Entry> = all(&inbox).await;
    entries.reverse();
    assert_eq!(entries.len(), 5);
    for ((arrival, standing), entry) in arrivals().into_iter().zip(standings()).zip(&entries) {
        let replayed = standing == Standing::Unchanged;
        let standing = if replayed { Standing::Waiting { problem: None } } else { standing };
        assert_eq!(entry.standing, standing);
        assert_eq!(entry.delivery_id, arrival.delivery_id);
        assert_eq!(entry.received, arrival.received);
        assert_eq!(entry.summary, Some(summary()));
        assert_eq!(entry.replays, u32::from(replayed));
        assert_eq!(entry.size, u64::try_from(arrival.body.len()).unwrap());
        assert_eq!((entry.last_received, entry.repeats, entry.starts), (entry.received, 0, 0));
        assert!(entry.room > 512, "{}", entry.room);
        assert_eq!(entry.settled.is_none(), matches!(entry.standing, Standing::Waiting { .. }));
        let found = inbox.find(entry.number.0.to_string()).await.unwrap().unwrap();
        assert_eq!((found.headers, found.body), (arrival.headers, arrival.body));
    }
    let delivered: Vec<_> = entries.iter().map(|entry| entry.delivered).collect();
    assert_eq!(delivered, [Some(at(60)), None, None, None, None]);
    let counts = inbox.counts().await.unwrap();
    let bytes = entries.iter().map(|entry| entry.room).sum();
    assert_eq!(counts, InboxCounts { waiting: 2, applied: 1, unchanged: 0, ignored: 1, dead: 1, bytes });
    // The replayed one comes last.
    let numbers: Vec<_> = waiting(&inbox).await.iter().map(|delivery| delivery.entry.number).collect();
    assert_eq!(numbers, [entries[4].number, entries[3].number]);

    let again = inbox.accept(arrivals()[1].clone()).await.unwrap();
    assert_eq!(again, Accepted::Repeated(entries[1].number), "it is known by its delivery id");
    let newest = take(&inbox, crate::inbox::arrival("newest")).await;
    assert!(newest > entries[4].number);
    inbox.close().await.unwrap();
}

#[tokio::test]
async fn an_inbox_of_a_newer_format_is_refused_and_left_as_it_is() {
    let dir = copy(NEWEST, FILE);
    let file = dir.path().join(FILE);
    let newer = format(&golden(NEWEST)) + 1;
    set_format(&file, newer);
    let before = std::fs::read(&file).unwrap();
    for error in [
        SqliteInbox::open(dir.path(), ROOM).await.unwrap_err(),
        SqliteInbox::open_beside(dir.path()).await.unwrap_err(),
    ] {
        assert_newer(&error, newer);
    }
    assert!(std::fs::read(&file).unwrap() == before);
}

#[tokio::test]
async fn todays_format_has_a_golden_file() {
    let dir = tempfile::tempdir().unwrap();
    SqliteInbox::open(dir.path(), ROOM).await.unwrap().close().await.unwrap();
    assert_eq!(
        format(&dir.path().join(FILE)),
        format(&golden(NEWEST)),
        "make one, and never change an old one"
    );
}
