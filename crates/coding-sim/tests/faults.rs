//! Every fault shows on the wire, is counted, and ends when it is switched off.

use std::time::{Duration, Instant};

use coding_sim::{FaultKind, Faults, IssueFields, Operation, Outage};
use serde_json::{Value, json};

use crate::client::Bench;

const LIST: &str = "DescribeIssueListWithPage";

fn page(number: u32) -> Value {
    json!({"ProjectName": "mobile-app", "IssueType": "ALL", "ShowSubIssues": true, "PageNumber": number, "PageSize": 30})
}

async fn with(kind: FaultKind) -> Bench {
    let bench = Bench::start(|_| {}).await;
    bench.sim.world().set_faults(Faults { hang_ms: 100, trickle_ms: 300, ..Faults::only(kind, 1.0) });
    bench
}

/// The status and the bytes of one list page under a fault.
async fn struck(kind: FaultKind) -> (u16, Vec<u8>) {
    let bench = with(kind).await;
    let response = bench.send(LIST, page(2)).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.bytes().await.unwrap().to_vec();
    assert_eq!(bench.sim.world().counters().faults[&kind.name()], 1);
    bench.sim.world().set_faults(Faults::default());
    bench.ok(LIST, page(2)).await;
    bench.sim.stop().await;
    (status, bytes)
}

async fn struck_json(kind: FaultKind) -> Value {
    let (status, bytes) = struck(kind).await;
    assert_eq!(status, 200, "{kind:?}");
    serde_json::from_slice(&bytes).unwrap()
}

fn codes(body: &Value) -> Vec<u64> {
    body["Response"]["Data"]["List"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["Code"].as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn connections_break() {
    for kind in [FaultKind::Reset, FaultKind::Hang] {
        let bench = with(kind).await;
        let error = bench.send(LIST, page(1)).await.unwrap_err();
        assert!(error.is_request(), "{kind:?}: {error:?}");
        bench.sim.stop().await;
    }
    let bench = with(FaultKind::CutOff).await;
    let response = bench.send(LIST, page(1)).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.is_err());
    bench.sim.stop().await;
}

#[tokio::test]
async fn a_hang_lasts_until_the_client_gives_up() {
    let bench = Bench::start(|_| {}).await;
    bench.sim.world().set_faults(Faults::only(FaultKind::Hang, 1.0));
    let ask = bench.send(LIST, page(1));
    assert!(tokio::time::timeout(Duration::from_millis(300), ask).await.is_err());
    let started = Instant::now();
    bench.sim.stop().await;
    assert!(started.elapsed() < Duration::from_secs(2), "a hanging request does not hold up the stop");
}

#[tokio::test]
async fn a_slow_answer_is_right() {
    let bench = with(FaultKind::Trickle).await;
    let started = Instant::now();
    let body = bench.body(LIST, page(1)).await;
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!(codes(&body).len(), 30);
    bench.sim.stop().await;
}

#[tokio::test]
async fn statuses_and_pages_of_html() {
    for (kind, status) in [
        (FaultKind::Http500, 500),
        (FaultKind::Http502, 502),
        (FaultKind::Http503, 503),
        (FaultKind::Http503RetryAfter, 503),
        (FaultKind::Http429, 429),
        (FaultKind::Http429RetryAfter, 429),
        (FaultKind::Http401, 401),
        (FaultKind::Http403, 403),
        (FaultKind::Html502, 502),
    ] {
        assert_eq!(struck(kind).await.0, status, "{kind:?}");
    }
    for kind in [FaultKind::Http503RetryAfter, FaultKind::Http429RetryAfter] {
        let bench = with(kind).await;
        assert_eq!(bench.send(LIST, page(1)).await.unwrap().headers()["retry-after"], "1");
        bench.sim.stop().await;
    }
    let (status, bytes) = struck(FaultKind::Html200).await;
    assert_eq!(status, 200);
    assert!(bytes.starts_with(b"<html>"));
}

#[tokio::test]
async fn bodies_that_are_no_answer() {
    let (_, bytes) = struck(FaultKind::TruncatedJson).await;
    assert!(bytes.starts_with(b"{\"Response\"") && serde_json::from_slice::<Value>(&bytes).is_err());
    assert_eq!(struck_json(FaultKind::NullResponse).await, json!({"Response": null}));
    assert_eq!(struck_json(FaultKind::MissingResponse).await, json!({}));
    assert_eq!(struck(FaultKind::EmptyBody).await, (200, Vec::new()));
    assert_eq!(struck_json(FaultKind::TopLevelError).await["Error"]["Code"], "InternalError");
    for (kind, code) in [
        (FaultKind::InternalError, "InternalError"),
        (FaultKind::RequestLimitExceeded, "RequestLimitExceeded"),
        (FaultKind::ResourceUnavailable, "ResourceUnavailable"),
        (FaultKind::CredentialUnknown, "ResourceNotFound"),
    ] {
        assert_eq!(struck_json(kind).await["Response"]["Error"]["Code"], code);
    }
}

#[tokio::test]
async fn right_answers_in_other_clothes() {
    let bench = with(FaultKind::WrongContentType).await;
    let response = bench.send(LIST, page(1)).await.unwrap();
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(serde_json::from_str::<Value>(&response.text().await.unwrap()).is_ok());
    bench.sim.stop().await;

    let bench = with(FaultKind::Gzip).await;
    let response = bench.send(LIST, page(1)).await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert!(response.bytes().await.unwrap().starts_with(&[0x1F, 0x8B]));
    let gunzip = reqwest::Client::new();
    let ask = gunzip.post(format!("{}/open-api?action={LIST}", bench.sim.url()));
    let ask = ask.header("Authorization", &bench.authorization).body(page(1).to_string());
    let body: Value = serde_json::from_str(&ask.send().await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(codes(&body).len(), 30);
    bench.sim.stop().await;

    let body = struck_json(FaultKind::StringNumbers).await;
    assert!(body["Response"]["Data"]["List"][0]["Code"].is_string());
    let body = struck_json(FaultKind::NullUnset).await;
    let rows = body["Response"]["Data"]["List"].as_array().unwrap();
    assert!(
        rows.iter().any(|row| row["ParentCode"].is_null()) && rows.iter().all(|row| row["ParentCode"] != 0)
    );
    let bench = with(FaultKind::LowerCaseData).await;
    let answer = bench.ok("DescribeIterationList", json!({"ProjectName": "mobile-app"})).await;
    assert!(answer["Data"].is_null() && answer["data"]["List"].is_array());
    bench.sim.stop().await;
}

#[tokio::test]
async fn texts_that_are_damaged() {
    for (kind, mark) in [
        (FaultKind::LoneSurrogate, b"\"Name\":\"\\ud800".as_slice()),
        (FaultKind::NulCharacter, b"\"Name\":\"\\u0000"),
        (FaultKind::InvalidUtf8, b"\"Name\":\"\xFF\xC3\x28"),
    ] {
        let (status, bytes) = struck(kind).await;
        assert_eq!(status, 200);
        assert!(bytes.windows(mark.len()).any(|window| window == mark), "{kind:?}");
    }
}

#[tokio::test]
async fn pages_that_lie() {
    let expected: Vec<u64> = (341..=370).rev().collect();
    let body = struck_json(FaultKind::EmptyPage).await;
    assert_eq!((codes(&body), &body["Response"]["Data"]["TotalCount"]), (Vec::new(), &json!(400)));
    let body = struck_json(FaultKind::LyingTotal).await;
    assert_ne!(body["Response"]["Data"]["TotalCount"], 400);
    assert_eq!(codes(&body), expected);
    let body = struck_json(FaultKind::ShortPage).await;
    assert_eq!(codes(&body), expected[..10]);
    assert_eq!(body["Response"]["Data"]["PageSize"], 30);
    let body = struck_json(FaultKind::CutPageSize).await;
    assert_eq!(codes(&body), (381..=390).rev().collect::<Vec<_>>());
    assert_eq!(body["Response"]["Data"]["PageSize"], 10);
    let body = struck_json(FaultKind::DuplicateRows).await;
    let mut doubled = vec![371];
    doubled.extend(&expected);
    doubled.push(371);
    assert_eq!(codes(&body), doubled);
}

#[tokio::test]
async fn a_row_is_denied_though_it_exists() {
    let bench = with(FaultKind::DetailNotFound).await;
    let issue = json!({"ProjectName": "mobile-app", "IssueCode": 1});
    assert_eq!(bench.refused("DescribeIssue", issue).await, "ResourceNotFound");
    bench.ok(LIST, page(1)).await;
    bench
        .sim
        .world()
        .change_faults(|faults| *faults = Faults { credential_unknown: true, ..Faults::default() });
    let body = bench.body("DescribeCodingCurrentUser", json!({})).await;
    assert_eq!(body["Response"]["Error"]["Message"], "User not found, authorization invalid");
    bench.sim.stop().await;
}

#[tokio::test]
async fn lists_lag_behind_the_details() {
    let bench = Bench::start(|_| {}).await;
    let world = bench.sim.world();
    let named = |name: &str| Box::new(IssueFields { name: Some(name.to_owned()), ..IssueFields::default() });
    let project = "mobile-app".to_owned();
    world
        .apply(&[
            Operation::SetIssue {
                project: project.clone(),
                code: 400,
                fields: named("changed"),
                touch: true,
            },
            Operation::CreateIssue { project: project.clone(), fields: named("new") },
            Operation::DeleteIssue { project, code: 399 },
        ])
        .unwrap();
    let now = bench.body(LIST, page(1)).await;
    assert_eq!(
        (codes(&now)[..3].to_vec(), &now["Response"]["Data"]["List"][1]["Name"]),
        (vec![401, 400, 398], &json!("changed"))
    );

    world.change_faults(|faults| faults.listing_age_seconds = 60);
    let before = bench.body(LIST, page(1)).await;
    assert_eq!(codes(&before)[..3], [400, 399, 398]);
    assert_ne!(before["Response"]["Data"]["List"][0]["Name"], "changed");
    let detail = bench.ok("DescribeIssue", json!({"ProjectName": "mobile-app", "IssueCode": 400})).await;
    assert_eq!(detail["Issue"]["Name"], "changed");

    world.set_faults(Faults { stale_seconds: 60, ..Faults::only(FaultKind::StaleList, 1.0) });
    assert_eq!(codes(&bench.body(LIST, page(1)).await), codes(&before));

    world.set_faults(Faults { listing_lag_seconds: 60, ..Faults::default() });
    let lagging = bench.body(LIST, page(1)).await;
    assert_eq!(codes(&lagging)[..2], [400, 398]);
    assert_eq!(lagging["Response"]["Data"]["List"][0]["Name"], "changed");
    bench.sim.stop().await;
}

#[tokio::test]
async fn switches_stand_until_they_are_reset() {
    let bench = Bench::start(|_| {}).await;
    let members = json!({"ProjectId": 90_001, "PageNumber": 1, "PageSize": 100});
    let set = bench
        .admin("faults", json!({"members_empty": true, "total_delta": 3, "each": {"http500": 0.0}}))
        .await;
    assert_eq!((&set["members_empty"], &set["total_delta"]), (&json!(true), &json!(3)));
    assert_eq!(bench.ok("DescribeProjectMembers", members).await["Data"]["TotalCount"], 0);
    assert_eq!(bench.ok(LIST, page(1)).await["Data"]["TotalCount"], 403);
    let set = bench.admin("faults", json!({"members_empty": null, "total_delta": null, "each": null})).await;
    assert_eq!(serde_json::from_value::<Faults>(set).unwrap(), Faults::default());
    assert!(bench.admin("faults", json!({"no_such_switch": 1})).await["error"].is_string());

    bench.admin("faults", json!({"outage": "unavailable"})).await;
    assert_eq!(bench.send(LIST, page(1)).await.unwrap().status(), 503);
    bench.sim.world().change_faults(|faults| faults.outage = Some(Outage::Reset));
    assert!(bench.send(LIST, page(1)).await.is_err());
    bench.admin("faults", json!({"outage": null})).await;
    bench.ok(LIST, page(1)).await;
    bench.sim.stop().await;
}

#[tokio::test]
async fn clocks_are_skewed() {
    let bench = Bench::start(|_| {}).await;
    let skew = Faults { date_skew_seconds: -3_600, updated_at_skew_seconds: 3_600, ..Faults::default() };
    bench.sim.world().set_faults(skew);
    let now = jiff::Timestamp::now().as_second();
    let response = bench.send("DescribeTeam", json!({})).await.unwrap();
    let date = jiff::fmt::rfc2822::parse(response.headers()["date"].to_str().unwrap()).unwrap();
    assert!((3_595..=3_605).contains(&(now - date.timestamp().as_second())), "{date}");
    let modify = json!({"ProjectName": "mobile-app", "IssueCode": 1, "Name": "later"});
    let updated = bench.ok("ModifyIssue", modify).await["Issue"]["UpdatedAt"].as_i64().unwrap() / 1_000;
    assert!((3_595..=3_605).contains(&(updated - now)));
    bench.sim.stop().await;
}

#[tokio::test]
async fn transient_faults_strike_as_often_as_they_should() {
    let bench = Bench::start(|_| {}).await;
    let mut faults = Faults::transient(0.3);
    faults.each.remove(&FaultKind::Hang);
    faults.each.remove(&FaultKind::Trickle);
    bench.sim.world().set_faults(faults);
    for _ in 0..600 {
        let _ = bench.send("DescribeTeam", json!({})).await;
    }
    let struck: u64 = bench.sim.world().counters().faults.values().sum();
    assert!((110..240).contains(&struck), "{struck}");
    bench.sim.stop().await;
}
