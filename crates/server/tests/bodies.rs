//! Bodies that are too large, too slow, too many, or no JSON.

use std::sync::Arc;
use std::time::Duration;

use server::receiver::Limits;
use tokio::time::{Instant, sleep};

use crate::gate::Gate;
use crate::house::{House, SECRET, TOKEN};
use crate::wire::{DEADLINE, Wire, ask, bare, head, post, signature};

const MEGABYTE: usize = 1024 * 1024;

/// Limits that a test does not wait long for.
fn short() -> Limits {
    Limits {
        head_time: Duration::from_millis(300),
        body_time: Duration::from_millis(900),
        patience: Duration::from_millis(300),
        ..Limits::default()
    }
}

fn chunked(path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut head = head("POST", path, headers);
    head.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
    head
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

/// A signature as it looks, of nothing.
fn unproven() -> (&'static str, String) {
    ("X-Coding-Signature", signature("nobody's secret", b""))
}

#[tokio::test]
async fn a_body_of_20_mb_is_refused_before_it_is_sent_where_its_length_is_told() {
    let house = House::open().await;
    let (name, value) = unproven();
    for (path, expected) in [(TOKEN, (413, "too_large")), ("unknown", (404, "no_hook"))] {
        let mut wire = house.wire().await;
        let mut request = head("POST", &format!("/hooks/{path}"), &[(name, &value)]);
        request.extend_from_slice(format!("Content-Length: {}\r\n\r\n", 20 * MEGABYTE).as_bytes());
        let answer = wire.ask(&request).await;
        assert_eq!((answer.status, answer.code().as_str()), expected);
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(wire.is_closed().await);
    }
    assert!(house.entries().await.is_empty());
}

#[tokio::test]
async fn a_sender_that_sends_20_mb_all_the_same_gets_to_read_the_answer() {
    let house = House::open().await;
    let mut wire = house.wire().await;
    // Whether all of it is taken or not: the answer is there to be read.
    wire.send(&House::delivery("d-1", &vec![b' '; 20 * MEGABYTE])).await;
    assert_eq!(wire.answer().await.unwrap().status, 413);
    assert!(house.entries().await.is_empty());
}

#[tokio::test]
async fn a_body_without_a_length_is_cut_off_where_it_becomes_too_large() {
    let house = House::open().await;
    let mut wire = house.wire().await;
    let (name, value) = unproven();
    wire.send(&chunked(&format!("/hooks/{TOKEN}"), &[(name, &value)])).await;
    let megabyte = chunk(&vec![b'x'; MEGABYTE]);
    for _ in 0..20 {
        if !wire.send(&megabyte).await {
            break;
        }
    }
    let answer = wire.answer().await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
    assert!(house.entries().await.is_empty());
}

#[tokio::test]
async fn a_body_of_8_mib_is_taken_with_and_without_its_length() {
    let house = House::open().await;
    let (whole, body) = (vec![b'x'; 8 * MEGABYTE], vec![b'y'; 8 * MEGABYTE]);
    assert_eq!(house.deliver("d-1", &whole).await.status, 200);
    let signature = signature(SECRET, &body);
    let headers = [("X-Coding-Signature", signature.as_str()), ("X-Coding-Delivery", "d-2")];
    let mut request = chunked(&format!("/hooks/{TOKEN}"), &headers);
    for piece in body.chunks(100_000) {
        request.extend(chunk(piece));
    }
    request.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(ask(house.address, &request).await.status, 200);
    for (id, body) in [("d-1", whole), ("d-2", body)] {
        let delivery = house.inbox.find(id.to_owned()).await.unwrap().unwrap();
        assert!(delivery.body == body, "{id} is there byte for byte");
    }
}

#[tokio::test]
async fn a_sender_who_is_slow_with_the_head_is_cut_off() {
    let house = House::with(short(), |inbox| inbox).await;
    let mut silent = house.wire().await;
    let mut slow = house.wire().await;
    let begun = Instant::now();
    for byte in House::delivery("d-1", b"{}") {
        if !slow.send(&[byte]).await {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert!(slow.is_closed().await && silent.is_closed().await);
    assert!(begun.elapsed() < DEADLINE / 2);
    assert!(house.entries().await.is_empty());
}

#[tokio::test]
async fn a_sender_who_is_slow_with_the_body_is_cut_off() {
    let house = House::with(short(), |inbox| inbox).await;
    let trickle = async || {
        let mut wire = house.wire().await;
        let (name, value) = unproven();
        let mut request = head("POST", &format!("/hooks/{TOKEN}"), &[(name, &value)]);
        request.extend_from_slice(b"Content-Length: 1000\r\n\r\n");
        wire.send(&request).await;
        for _ in 0..1000 {
            if !wire.send(b"x").await {
                break;
            }
            tokio::select! {
                // May be dropped: it has read nothing as long as it waits for the first byte.
                answer = wire.answer() => return answer.unwrap(),
                () = sleep(Duration::from_millis(20)) => {}
            }
        }
        panic!("the body was taken")
    };
    let begun = Instant::now();
    let answer = trickle().await;
    assert_eq!((answer.status, answer.code().as_str()), (408, "too_slow"));
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert!(house.entries().await.is_empty());
}

#[tokio::test]
async fn a_body_that_comes_steadily_has_its_whole_time() {
    let limits = Limits { slowest: 1, body_time: DEADLINE, ..short() };
    let house = House::with(limits, |inbox| inbox).await;
    let mut wire = house.wire().await;
    let request = House::delivery("d-1", br#"{"event":"PING"}"#);
    let (head, body) = request.split_at(request.len() - 16);
    wire.send(head).await;
    for byte in body {
        sleep(Duration::from_millis(50)).await;
        assert!(wire.send(&[*byte]).await);
    }
    assert_eq!(wire.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn a_compressed_body_is_not_taken() {
    let house = House::open().await;
    let send = async |encoding: &str| {
        let signature = signature(SECRET, b"{}");
        let headers = [("Content-Encoding", encoding), ("X-Coding-Signature", &signature)];
        ask(house.address, &post(&format!("/hooks/{TOKEN}"), &headers, b"{}")).await
    };
    let answer = send("gzip").await;
    assert_eq!((answer.status, answer.header("accept-encoding")), (415, Some("identity")));
    assert_eq!(send("Identity").await.status, 200);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let house = House::open().await;
    let padding = "x".repeat(100_000);
    let request = post(&format!("/hooks/{TOKEN}"), &[("X-Padding", &padding)], b"{}");
    let mut wire = house.wire().await;
    wire.send(&request).await;
    // The receiver may close while bytes are on their way, and then the answer is lost.
    if let Some(answer) = wire.answer().await {
        assert_eq!(answer.status, 431);
    }
    assert_eq!(ask(house.address, &bare("GET", "/healthz")).await.status, 200);
}

#[tokio::test]
async fn a_broken_body_is_not_taken() {
    let house = House::open().await;
    let mut wire = house.wire().await;
    let (name, value) = unproven();
    let mut request = chunked(&format!("/hooks/{TOKEN}"), &[(name, &value)]);
    request.extend_from_slice(b"this is no chunk\r\n");
    wire.send(&request).await;
    assert!(wire.answer().await.is_none_or(|answer| answer.status == 400));
    // A sender that goes away in the middle.
    let mut gone = house.wire().await;
    let request = House::delivery("d-1", b"{\"event\":\"PING\"}");
    gone.send(&request[..request.len() - 1]).await;
    drop(gone);
    assert_eq!(ask(house.address, &bare("GET", "/healthz")).await.status, 200);
    assert!(house.entries().await.is_empty());
}

#[tokio::test]
async fn what_a_body_says_is_not_looked_at() {
    let house = House::open().await;
    let nested = "[".repeat(100_000);
    let bodies: [&[u8]; 6] =
        [b"", b"not JSON", b"\xff\xfe\x00", nested.as_bytes(), b"payload=%7B%7D", b"{\"event\":\"UNHEARD\"}"];
    for (at, body) in bodies.iter().enumerate() {
        let id = format!("d-{at}");
        assert_eq!(house.deliver(&id, body).await.status, 200);
        let delivery = house.inbox.find(id).await.unwrap().unwrap();
        assert!(delivery.body == *body, "body {at} is there byte for byte");
    }
}

#[tokio::test]
async fn a_thousand_unknown_events_are_taken() {
    let house = House::open().await;
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..10 {
        let address = house.address;
        senders.spawn(async move {
            let mut wire = Wire::to(address).await;
            for number in 0..100 {
                let body = format!(r#"{{"event":"UNHEARD_OF_{sender}_{number}"}}"#);
                let id = format!("{sender}-{number}");
                assert_eq!(wire.ask(&House::delivery(&id, body.as_bytes())).await.status, 200);
            }
        });
    }
    senders.join_all().await;
    assert_eq!(house.entries().await.len(), 1_000);
    assert_eq!(house.status().received, 1_000);
}

#[tokio::test]
async fn bodies_in_memory_have_a_bound_until_the_inbox_has_written_them() {
    let limits = Limits { max_bodies: MEGABYTE, accept_time: DEADLINE, ..Limits::default() };
    let mut gate = None;
    let house = House::with(limits, |inbox| {
        let closed = Gate::before(inbox);
        gate = Some(closed.clone());
        Arc::new(closed)
    })
    .await;
    let gate = gate.unwrap();
    let body = |letter: u8| vec![letter; MEGABYTE / 4];
    let mut under_way = Vec::new();
    for number in 0..4 {
        let mut wire = house.wire().await;
        let body = body(b'0' + u8::try_from(number).unwrap());
        assert!(wire.send(&House::delivery(&format!("d-{number}"), &body)).await);
        under_way.push(wire);
        gate.reached_by(number + 1).await;
    }
    let (name, value) = unproven();
    let answer = ask(house.address, &post(&format!("/hooks/{TOKEN}"), &[(name, &value)], &body(b'x'))).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("10")));
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(house.status().no_room, 1);
    // What needs no room is answered all the same.
    assert_eq!(ask(house.address, &bare("GET", &format!("/hooks/{TOKEN}"))).await.status, 200);
    gate.open();
    for wire in &mut under_way {
        assert_eq!(wire.answer().await.unwrap().status, 200);
    }
    assert_eq!(house.deliver("d-4", &body(b'4')).await.status, 200);
    assert_eq!(house.entries().await.len(), 5);
}

#[tokio::test]
async fn a_connection_ends_when_it_is_old() {
    let limits = Limits { connection_life: Duration::from_millis(300), ..Limits::default() };
    let house = House::with(limits, |inbox| inbox).await;
    let mut wire = house.wire().await;
    assert_eq!(wire.ask(&bare("GET", "/healthz")).await.status, 200);
    let begun = Instant::now();
    assert!(wire.is_closed().await);
    assert!(begun.elapsed() < Limits::default().head_time, "it did not end for being idle");
}
