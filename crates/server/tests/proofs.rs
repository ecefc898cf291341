//! What a delivery must prove, and what becomes of one that does not.

use connectors::coding::hook::Proof;

use crate::house::{House, SECRET, TOKEN};
use crate::wire::{Answer, ask, post, signature};

const BODY: &[u8] = br#"{"event":"ISSUE_UPDATED","issue":{"code":71}}"#;

async fn send(house: &House, headers: &[(&str, &str)]) -> Answer {
    ask(house.address, &post(&format!("/hooks/{TOKEN}"), headers, BODY)).await
}

#[tokio::test]
async fn a_signed_delivery_is_in_the_inbox_as_it_came_when_it_is_answered() {
    let house = House::open().await;
    let answer = house.deliver("d-1", BODY).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let [entry] = &house.entries().await[..] else { panic!("one delivery") };
    assert_eq!(answer.json(), serde_json::json!({"delivery": entry.number.0.to_string(), "repeated": false}));
    assert_eq!(entry.delivery_id.as_deref(), Some("d-1"));
    let delivery = house.inbox.find("d-1".to_owned()).await.unwrap().unwrap();
    assert_eq!(delivery.body, BODY);
    assert!(delivery.headers.contains(&("x-coding-service-hook-event".into(), "ISSUE_UPDATED".into())));
    assert!(!format!("{:?}", delivery.headers).contains("sha1="), "what proves something is not kept");
    let status = house.status();
    assert_eq!((status.received, status.repeated), (1, 0));
    // The inbox keeps microseconds.
    assert_eq!(status.reached.unwrap().as_microsecond(), delivery.entry.received.as_microsecond());
}

#[tokio::test]
async fn a_repeated_delivery_is_answered_with_the_number_of_the_first() {
    let house = House::open().await;
    let first = house.deliver("d-1", BODY).await;
    let second = house.deliver("d-1", BODY).await;
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(second.json()["delivery"], first.json()["delivery"]);
    assert_eq!(second.json()["repeated"], true);
    assert_eq!(house.entries().await.len(), 1);
    assert_eq!((house.status().received, house.status().repeated), (1, 1));
}

#[tokio::test]
async fn a_delivery_that_is_not_signed_as_it_must_be_leaves_nothing_but_a_count() {
    let house = House::open().await;
    let right = signature(SECRET, BODY);
    let bare = right.strip_prefix("sha1=").unwrap();
    let refused = [
        ("signature_missing", None),
        ("signature_form", Some(bare.to_owned())),
        ("signature_form", Some(right.chars().take(44).collect())),
        ("signature_form", Some("sha1=".to_owned())),
        ("signature_form", Some(right.replace("sha1=", "sha256="))),
        ("signature_wrong", Some(signature("another secret", BODY))),
        ("signature_wrong", Some(signature(SECRET, b"{}"))),
    ];
    for (code, signature) in &refused {
        let headers: Vec<_> = signature.iter().map(|value| ("X-Coding-Signature", value.as_str())).collect();
        let answer = send(&house, &headers).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, *code), "{signature:?}");
        assert!(answer.header("www-authenticate").is_none());
        assert!(!answer.body.contains(SECRET));
    }
    assert!(house.entries().await.is_empty());
    let status = house.status();
    let counts: Vec<_> = status.refused.iter().map(|(code, count)| (code.as_str(), *count)).collect();
    assert_eq!(counts, [("signature_form", 4), ("signature_missing", 1), ("signature_wrong", 2)]);
    assert_eq!((status.received, status.reached), (0, None));
}

#[tokio::test]
async fn user_and_password_are_asked_for_where_they_are_set() {
    let house = House::open().await;
    let basic = Some(("coding".to_owned(), "open sesame".into()));
    house.set("team", &[TOKEN], Proof { basic, ..Proof::default() });
    let missing = send(&house, &[]).await;
    assert_eq!((missing.status, missing.code().as_str()), (401, "basic_missing"));
    assert!(missing.header("www-authenticate").unwrap().starts_with("Basic realm="));
    // coding:wrong
    let wrong = send(&house, &[("Authorization", "Basic Y29kaW5nOndyb25n")]).await;
    assert_eq!((wrong.status, wrong.code().as_str()), (401, "basic_wrong"));
    // coding:open sesame
    let right = send(&house, &[("Authorization", "Basic Y29kaW5nOm9wZW4gc2VzYW1l")]).await;
    assert_eq!(right.status, 200);
    assert_eq!(house.entries().await.len(), 1);
}

#[tokio::test]
async fn an_allow_list_goes_by_the_connection_and_not_by_what_a_header_says() {
    let house = House::open().await;
    let only = |net: &str| Proof { allow_from: vec![net.parse().unwrap()], ..Proof::default() };
    house.set("team", &[TOKEN], only("192.0.2.0/24"));
    let lying = [("X-Forwarded-For", "192.0.2.7"), ("Forwarded", "for=192.0.2.7")];
    let answer = send(&house, &lying).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "address_not_allowed"));
    house.set("team", &[TOKEN], only("127.0.0.0/8"));
    assert_eq!(send(&house, &[]).await.status, 200);
    assert_eq!(house.entries().await.len(), 1);
}

#[tokio::test]
async fn an_allow_list_of_ipv4_holds_on_a_socket_for_both_families() {
    let house = House::open().await;
    let receiver = server::receiver::Receiver::bind("[::]:0".parse().unwrap()).await.unwrap();
    let cancel = tokio_util::sync::CancellationToken::new();
    let address = (std::net::Ipv4Addr::LOCALHOST, receiver.address().port()).into();
    let allow_from = vec!["127.0.0.0/8".parse().unwrap()];
    let token = server::receiver::DoorToken { text: TOKEN.into(), until: None };
    receiver.doors().set(house.door("team", vec![token], Proof { allow_from, ..Proof::default() }));
    let running = tokio::spawn(receiver.run(cancel.clone()));
    assert_eq!(ask(address, &post(&format!("/hooks/{TOKEN}"), &[], BODY)).await.status, 200);
    cancel.cancel();
    running.await.unwrap();
}
