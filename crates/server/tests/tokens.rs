//! Which door a token opens, and what there is beside doors.

use std::time::Duration;

use connectors::coding::hook::Proof;
use jiff::Timestamp;
use server::receiver::{DoorToken, Receiver};

use crate::house::{House, TOKEN};
use crate::wire::{Wire, ask, bare, post};

const OTHER: &str = "another-token-of-the-same-length-as-the-first";

#[tokio::test]
async fn a_wrong_token_is_answered_the_same_whatever_else_is_right() {
    let house = House::open().await;
    let signed = House::delivery("d-1", b"{}");
    let signed = String::from_utf8(signed).unwrap();
    let almost = format!("{}B", TOKEN.strip_suffix('A').unwrap());
    let mut answers = Vec::new();
    for token in [&almost, "x", &TOKEN.to_lowercase(), "%FF%FE", &format!("{TOKEN}%00")] {
        answers.push(ask(house.address, signed.replace(TOKEN, token).as_bytes()).await);
        answers.push(ask(house.address, &post(&format!("/hooks/{token}"), &[], b"{}")).await);
        answers.push(ask(house.address, &bare("GET", &format!("/hooks/{token}"))).await);
    }
    for answer in &answers {
        assert_eq!(answer.status, 404);
        assert_eq!(answer.body, answers[0].body);
    }
    assert!(house.entries().await.is_empty());
    assert_eq!(house.status().received, 0);
    assert_eq!(ask(house.address, signed.as_bytes()).await.status, 200);
}

#[tokio::test]
async fn get_says_that_the_hook_is_alive_and_nothing_secret() {
    let house = House::open().await;
    let answer = ask(house.address, &bare("GET", &format!("/hooks/{TOKEN}"))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), serde_json::json!({"hook": "alive", "connection": "team"}));
    let mut wire = house.wire().await;
    wire.send(&bare("HEAD", &format!("/hooks/{TOKEN}"))).await;
    let head = wire.answer_to_head().await.unwrap();
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(house.entries().await.is_empty());
}

#[tokio::test]
async fn while_a_token_replaces_another_both_open_the_door_until_the_old_one_ends() {
    let house = House::open().await;
    let set = |until: Timestamp| {
        let old = DoorToken { text: TOKEN.into(), until: Some(until) };
        let new = DoorToken { text: OTHER.into(), until: None };
        house.doors.set(house.door("team", vec![old, new], Proof::default()));
    };
    let send = async |token: &str| {
        let request = post(&format!("/hooks/{token}"), &[], b"{}");
        ask(house.address, &request).await.status
    };
    set(Timestamp::now() + Duration::from_secs(3600));
    assert_eq!((send(TOKEN).await, send(OTHER).await), (200, 200));
    set(Timestamp::now() - Duration::from_secs(1));
    assert_eq!((send(TOKEN).await, send(OTHER).await), (404, 200));
}

#[tokio::test]
async fn every_connection_has_its_own_door() {
    let house = House::open().await;
    house.set("second", &[OTHER], Proof::default());
    let name = async |token: &str| {
        let answer = ask(house.address, &bare("GET", &format!("/hooks/{token}"))).await;
        (answer.status == 200).then(|| answer.json()["connection"].as_str().unwrap().to_owned())
    };
    assert_eq!(name(TOKEN).await.as_deref(), Some("team"));
    assert_eq!(name(OTHER).await.as_deref(), Some("second"));
    house.doors.remove("team");
    assert_eq!(name(TOKEN).await, None);
    assert_eq!(name(OTHER).await.as_deref(), Some("second"));
}

#[tokio::test]
async fn other_paths_and_methods_are_told_apart() {
    let house = House::open().await;
    let mut wire = house.wire().await;
    assert_eq!(wire.ask(&bare("GET", "/healthz")).await.status, 200);
    for path in ["/", "/hooks", "/hooks/", "/hooks/a/b", &format!("/hooks/{TOKEN}/")] {
        assert_eq!(wire.ask(&bare("GET", path)).await.status, 404, "{path}");
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = wire.ask(&bare(method, &format!("/hooks/{TOKEN}"))).await;
        assert_eq!(answer.status, 405, "{method}");
        let allowed = answer.header("allow").unwrap();
        assert!(["GET", "HEAD", "POST"].iter().all(|method| allowed.contains(method)), "{allowed}");
    }
}

#[tokio::test]
async fn no_secret_is_shown_by_debug() {
    let house = House::open().await;
    let shown = format!("{:?}", house.doors);
    assert!(shown.contains("team") && !shown.contains(TOKEN) && !shown.contains(crate::house::SECRET));
}

#[tokio::test]
async fn an_address_that_cannot_be_listened_on_is_told_with_what_to_do() {
    let house = House::open().await;
    let taken = Receiver::bind(house.address).await.unwrap_err();
    assert_eq!(taken.code, "HOOKS-LISTEN");
    assert!(taken.why.contains("another process"), "{taken}");
    // 192.0.2.0/24 is for documentation: no machine has it.
    let elsewhere = Receiver::bind("192.0.2.1:0".parse().unwrap()).await.unwrap_err();
    assert!(elsewhere.why.contains("no address of this machine"), "{elsewhere}");
}

#[tokio::test]
async fn many_requests_go_over_one_connection() {
    let house = House::open().await;
    let mut wire = Wire::to(house.address).await;
    for number in 0..20 {
        let body = format!("{{\"number\":{number}}}");
        assert_eq!(wire.ask(&House::delivery(&format!("d-{number}"), body.as_bytes())).await.status, 200);
    }
    // Requests sent ahead are answered in order.
    let mut ahead = House::delivery("d-20", b"{}");
    ahead.extend(bare("GET", "/healthz"));
    assert_eq!(wire.ask(&ahead).await.json()["repeated"], false);
    assert_eq!(wire.answer().await.unwrap().json()["status"], "ok");
    assert_eq!(house.entries().await.len(), 21);
}
