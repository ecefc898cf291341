//! An inbox that has no room, is slow or broken; and the end of the receiver.

use std::sync::Arc;
use std::time::Duration;

use connectors::coding::hook::Proof;
use engine::inbox::{Settled, Standing, Turn};
use engine::journal::Limit;
use engine::problem::Remedy;
use server::receiver::Limits;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::gate::Gate;
use crate::house::{House, SECRET, TOKEN};
use crate::inbox;
use crate::wire::{DEADLINE, Wire, bare, head, signature};

async fn gated(limits: Limits) -> (House, Gate) {
    let mut gate = None;
    let house = House::with(limits, |inbox| {
        let closed = Gate::before(inbox);
        gate = Some(closed.clone());
        Arc::new(closed)
    })
    .await;
    (house, gate.unwrap())
}

#[tokio::test]
async fn what_cannot_be_stored_is_sent_away_and_taken_when_it_comes_again() {
    let (house, gate) = gated(Limits::default()).await;
    gate.open();
    for remedy in [Remedy::Wait, Remedy::Retry] {
        gate.refuse(Some(remedy));
        let answer = house.deliver("d-1", b"{}").await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("10")));
        assert!(!answer.body.contains("gate"), "the sender is not told what is wrong inside");
    }
    assert_eq!((house.status().no_room, house.status().received), (2, 0));
    assert!(house.status().reached.is_some(), "the hook reached us");
    gate.refuse(Some(Remedy::NeedsHuman));
    let answer = house.deliver("d-1", b"{}").await;
    assert_eq!((answer.status, answer.code().as_str()), (500, "out_of_order"));
    gate.refuse(None);
    let answer = house.deliver("d-1", b"{}").await;
    assert_eq!((answer.status, answer.json()["repeated"].as_bool()), (200, Some(false)));
}

#[tokio::test]
async fn an_inbox_that_is_full_takes_deliveries_again_once_some_are_worked_off() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::open().await;
    house.inbox = inbox::open(dir.path(), 100_000).await;
    house.set("team", &[TOKEN], Proof { secret: Some(SECRET.into()), ..Proof::default() });
    let body = |from: u64| -> Vec<u8> { (from..).flat_map(u64::to_le_bytes).take(30_000).collect() };
    let mut taken = 0;
    let full = loop {
        let answer = house.deliver(&format!("d-{taken}"), &body(taken)).await;
        if answer.status != 200 {
            break answer;
        }
        taken += 1;
        assert!(taken < 10, "it is full some time");
    };
    assert_eq!((full.status, full.header("retry-after")), (503, Some("10")));
    assert_eq!((house.status().received, house.status().no_room), (taken, 1));
    let waiting = house.inbox.waiting(Turn(0), Limit { rows: 100, bytes: usize::MAX }).await.unwrap();
    let settled = waiting.iter().map(|delivery| Settled {
        number: delivery.entry.number,
        turn: delivery.entry.turn,
        summary: None,
        standing: Standing::Unchanged,
    });
    house.inbox.settle(settled.collect()).await.unwrap();
    assert_eq!(house.deliver(&format!("d-{taken}"), &body(taken)).await.status, 200);
}

#[tokio::test]
async fn an_inbox_that_takes_too_long_is_not_waited_for() {
    let limits = Limits { accept_time: Duration::from_millis(100), ..Limits::default() };
    let (house, gate) = gated(limits).await;
    let answer = house.deliver("d-1", b"{}").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("10")));
    assert_eq!(house.status().no_room, 1);
    gate.open();
    assert_eq!(house.deliver("d-1", b"{}").await.status, 200);
    assert_eq!(house.entries().await.len(), 1);
}

#[tokio::test]
async fn a_stop_lets_requests_under_way_finish() {
    let (mut house, gate) = gated(Limits { grace: DEADLINE, ..Limits::default() }).await;
    let mut idle = house.wire().await;
    assert_eq!(idle.ask(&bare("GET", "/healthz")).await.status, 200);
    let mut storing = house.wire().await;
    storing.send(&House::delivery("d-1", b"{}")).await;
    gate.reached_by(1).await;
    let mut sending = house.wire().await;
    let body = b"[]";
    let signature = signature(SECRET, body);
    let headers = [("Expect", "100-continue"), ("Content-Length", "2"), ("X-Coding-Signature", &signature)];
    let mut begin = head("POST", &format!("/hooks/{TOKEN}"), &headers);
    begin.extend_from_slice(b"\r\n");
    // A request is under way once its head has been read: then its body is asked for.
    assert_eq!(sending.ask(&begin).await.status, 100);
    house.stop();
    assert!(idle.is_closed().await, "a connection without a request ends at once");
    assert!(TcpStream::connect(house.address).await.is_err(), "nobody listens any more");
    gate.open();
    sending.send(body).await;
    for wire in [&mut storing, &mut sending] {
        let answer = wire.answer().await.unwrap();
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
        assert!(wire.is_closed().await);
    }
    house.stopped().await;
    assert_eq!(house.entries().await.len(), 2);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let grace = Duration::from_millis(200);
    let (mut house, gate) = gated(Limits { grace, accept_time: DEADLINE, ..Limits::default() }).await;
    let mut storing = house.wire().await;
    storing.send(&House::delivery("d-1", b"{}")).await;
    gate.reached_by(1).await;
    house.stop();
    house.stopped().await;
    assert!(storing.answer().await.is_none());
}

#[tokio::test]
async fn many_senders_at_once_find_all_their_deliveries_in_the_inbox() {
    const SENDERS: usize = 64;
    const EACH: usize = 20;
    let house = House::open().await;
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let address = house.address;
        senders.spawn(async move {
            let mut wire = Wire::to(address).await;
            let mut numbers = Vec::new();
            for number in 0..EACH {
                let body =
                    format!(r#"{{"event":"ISSUE_UPDATED","issue":{{"code":{number},"by":{sender}}}}}"#);
                let answer = wire.ask(&House::delivery(&format!("{sender}-{number}"), body.as_bytes())).await;
                assert_eq!(answer.status, 200);
                numbers.push(answer.json()["delivery"].as_str().unwrap().parse::<i64>().unwrap());
            }
            numbers
        });
    }
    let mut told: Vec<i64> = senders.join_all().await.concat();
    told.sort_unstable();
    let found: Vec<i64> = house.entries().await.iter().map(|entry| entry.number.0).collect();
    assert_eq!(told, found, "each has a number of its own, and is there");
    assert_eq!(house.status().received, u64::try_from(SENDERS * EACH).unwrap());
}
