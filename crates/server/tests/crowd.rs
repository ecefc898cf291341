//! Many who prove nothing: they keep no delivery out.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use connectors::coding::hook::Proof;
use server::receiver::Limits;

use crate::gate::Gate;
use crate::house::{House, TOKEN};
use crate::wire::{Wire, ask, bare, head};

const LISTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn few(connections: usize) -> Limits {
    Limits { connections, ..Limits::default() }
}

#[tokio::test]
async fn strangers_on_every_connection_keep_no_delivery_out() {
    let house = House::with(few(8), |inbox| inbox).await;
    let mut strangers = Vec::new();
    for number in 0..40 {
        let mut wire = house.wire().await;
        match number % 3 {
            // Idle, after an answer.
            0 => assert_eq!(wire.ask(&bare("GET", "/healthz")).await.status, 200),
            // Half a head.
            1 => assert!(wire.send(b"POST /hooks/unknown HTTP/1.1\r\nHost: x\r\n").await),
            // Nothing.
            _ => {}
        }
        strangers.push(wire);
        let body = format!("{{\"number\":{number}}}");
        assert_eq!(house.deliver(&format!("d-{number}"), body.as_bytes()).await.status, 200);
    }
    assert!(strangers[0].is_closed().await, "who came first goes first");
    assert_eq!(house.entries().await.len(), 40);
}

#[tokio::test]
async fn who_brought_a_token_stays_connected_while_strangers_come_and_go() {
    let house = House::with(few(3), |inbox| inbox).await;
    let mut known = house.wire().await;
    assert_eq!(known.ask(&House::delivery("d-1", b"{}")).await.status, 200);
    let mut strangers = Vec::new();
    for _ in 0..10 {
        let mut wire = house.wire().await;
        assert_eq!(wire.ask(&bare("GET", "/healthz")).await.status, 200);
        strangers.push(wire);
    }
    assert_eq!(known.ask(&House::delivery("d-2", b"{}")).await.status, 200);
}

#[tokio::test]
async fn a_delivery_under_way_keeps_its_place_and_others_wait_for_one() {
    let mut gate = None;
    let house = House::with(few(2), |inbox| {
        let closed = Gate::before(inbox);
        gate = Some(closed.clone());
        Arc::new(closed)
    })
    .await;
    let gate = gate.unwrap();
    let mut under_way = Vec::new();
    for number in 0..2 {
        let mut wire = house.wire().await;
        assert!(wire.send(&House::delivery(&format!("d-{number}"), b"{}")).await);
        under_way.push(wire);
        gate.reached_by(number + 1).await;
    }
    let mut third = house.wire().await;
    third.send(&bare("GET", "/healthz")).await;
    let early = tokio::time::timeout(Duration::from_millis(200), third.answer()).await;
    assert!(early.is_err(), "there is no place for a third");
    gate.open();
    for wire in &mut under_way {
        assert_eq!(wire.answer().await.unwrap().status, 200);
    }
    assert_eq!(third.answer().await.unwrap().status, 200);
}

/// What is sent without a token, from a wrong address, or unsigned is not read.
#[tokio::test]
async fn a_body_has_no_room_before_something_is_proven() {
    const BODY: usize = 4 << 20;
    let limits = Limits { max_bodies: BODY, ..Limits::default() };
    let house = House::with(limits, |inbox| inbox).await;
    house.set(
        "elsewhere",
        &["another-token-of-the-same-length-as-the-first"],
        Proof { allow_from: vec!["192.0.2.0/24".parse().unwrap()], ..Proof::default() },
    );
    let tokens = [
        ("unknown", 404, "no_hook"),
        ("another-token-of-the-same-length-as-the-first", 401, "address_not_allowed"),
        (TOKEN, 401, "signature_missing"),
    ];
    let mut senders = Vec::new();
    for (token, status, code) in tokens {
        for _ in 0..8 {
            let mut wire = house.wire().await;
            let mut request = head("POST", &format!("/hooks/{token}"), &[]);
            request.extend_from_slice(format!("Content-Length: {BODY}\r\n\r\n").as_bytes());
            request.resize(request.len() + 300_000, b'x');
            wire.send(&request).await;
            let answer = wire.answer().await.unwrap();
            assert_eq!((answer.status, answer.code().as_str()), (status, code));
            senders.push(wire);
        }
    }
    // All of the room is there for a delivery.
    assert_eq!(house.deliver("d-1", &vec![b'x'; BODY]).await.status, 200);
    assert_eq!(house.status().no_room, 0);
}

#[tokio::test]
async fn whose_address_opens_no_door_takes_no_place_of_those_whose_does() {
    let limits = Limits { outsiders: 2, ..few(4) };
    let house = House::with(limits, |inbox| inbox).await;
    let allow_from = vec![format!("{LISTED}/32").parse().unwrap()];
    house.set("team", &[TOKEN], Proof { allow_from, ..Proof::default() });
    let mut listed = Vec::new();
    for number in 0..2 {
        let mut wire = Wire::from(LISTED, house.address).await;
        assert_eq!(wire.ask(&bare("GET", "/healthz")).await.status, 200);
        listed.push(wire);
        for _ in 0..6 {
            // Still told why.
            let answer = ask(house.address, &House::delivery(&format!("o-{number}"), b"{}")).await;
            assert_eq!((answer.status, answer.code().as_str()), (401, "address_not_allowed"));
        }
    }
    let mut outsiders = Vec::new();
    for _ in 0..20 {
        let mut wire = house.wire().await;
        assert_eq!(wire.ask(&bare("GET", "/healthz")).await.status, 200);
        outsiders.push(wire);
    }
    for (number, wire) in listed.iter_mut().enumerate() {
        let body = format!("{{\"number\":{number}}}");
        assert_eq!(wire.ask(&House::delivery(&format!("d-{number}"), body.as_bytes())).await.status, 200);
    }
    assert_eq!(house.entries().await.len(), 2);
}
