//! What is repeated, how often, and within which time.

use std::time::{Duration, Instant};

use coding_api::{Credential, ErrorKind, RetryPolicy, RowExt, Timeouts};

use crate::server::{Answer, Server, http, json, quick, refuse};

const GOOD: &str = r#"{"Response":{"User":{"Id":5}}}"#;

#[tokio::test]
async fn every_transient_fault_is_outlived() {
    let faults: [fn() -> Answer; 4] = [
        || Answer::Hangup,
        || http(502, "text/html", "", b"<html>"),
        || json(r#"{"Response":null}"#),
        || refuse("InternalError", "m"),
    ];
    let server =
        Server::start(move |seen| faults.get(seen.before).map_or_else(|| json(GOOD), |fault| fault())).await;
    let client = server.personal();
    let reply = client.current_user().await.unwrap();
    assert_eq!(reply.value.id(), Some(5));
    assert_eq!(client.counters()["DescribeCodingCurrentUser"], 5);
    let last = server.seen().last().unwrap().at;
    assert!(reply.sent_at <= last, "sent before it was seen");
    assert!(reply.sent_at > server.seen()[3].at, "the time is that of the attempt that was answered");
}

#[tokio::test]
async fn attempts_are_limited_and_counted() {
    let server = Server::start(|_| http(500, "text/plain", "", b"")).await;
    let error = server.personal().current_user().await.unwrap_err();
    assert_eq!((error.attempts(), server.seen().len()), (5, 5));
    assert!(error.to_string().contains("after 5 attempts"), "{error}");
}

#[tokio::test]
async fn what_a_person_must_mend_is_not_repeated() {
    for code in ["InvalidParameter", "UnauthorizedOperation", "ResourceNotFound", "AuthFailure"] {
        let server = Server::start(move |_| refuse(code, "m")).await;
        server.personal().current_user().await.unwrap_err();
        assert_eq!(server.seen().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn throttling_is_outlived_and_lowers_the_rate() {
    let server = Server::start(|seen| match seen.before {
        0..8 => refuse("RequestLimitExceeded", "m"),
        _ => json(GOOD),
    })
    .await;
    let base = server.base();
    let budget = coding_api::Budgets::new().share(&base, "acme", 200);
    let client = coding_api::Client::builder(base, Credential::personal_token("abc"))
        .budget(budget.clone())
        .retries(RetryPolicy { longest_delay: Duration::from_millis(2), ..quick() })
        .build()
        .unwrap();
    client.current_user().await.unwrap();
    assert_eq!(server.seen().len(), 9);
    let rate = budget.effective_rate("DescribeCodingCurrentUser").unwrap();
    assert!((100.0..110.0).contains(&rate), "halved once: {rate}");
}

#[tokio::test]
async fn retry_after_is_respected_up_to_a_limit() {
    let server = Server::start(|seen| match seen.before {
        0 => http(429, "text/plain", "Retry-After: 1\r\n", b""),
        _ => json(GOOD),
    })
    .await;
    let begin = Instant::now();
    server.personal().current_user().await.unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(1));

    let server = Server::start(|_| http(429, "text/plain", "Retry-After: 3600\r\n", b"")).await;
    let error = server.personal().current_user().await.unwrap_err();
    let asked = Some(Duration::from_secs(3600));
    assert_eq!((error.kind(), server.seen().len()), (&ErrorKind::RateLimited { retry_after: asked }, 1));
}

#[tokio::test]
async fn time_outs_end_silence_and_stalls() {
    let timeouts = Timeouts {
        connect: Duration::from_millis(300),
        read: Duration::from_millis(150),
        total: Duration::from_secs(20),
    };
    let stalled = || {
        Answer::Stall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{\"Resp"
                .to_vec(),
        )
    };
    let faults: [fn() -> Answer; 2] = [|| Answer::Silence, stalled];
    for fault in faults {
        let server = Server::start(move |seen| if seen.before == 0 { fault() } else { json(GOOD) }).await;
        let client = server.client(Credential::personal_token("abc")).timeouts(timeouts).build().unwrap();
        let begin = Instant::now();
        client.current_user().await.unwrap();
        assert!(begin.elapsed() >= timeouts.read && begin.elapsed() < Duration::from_secs(5));
        assert_eq!(server.seen().len(), 2);
    }
}

#[tokio::test]
async fn the_total_time_out_ends_a_trickle() {
    let server = Server::start(|_| Answer::Later(Duration::from_secs(20), Box::new(Answer::Hangup))).await;
    let timeouts = Timeouts { total: Duration::from_millis(200), ..Timeouts::default() };
    let client = server
        .client(Credential::personal_token("abc"))
        .timeouts(timeouts)
        .retries(RetryPolicy::never())
        .build()
        .unwrap();
    let error = client.current_user().await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (&ErrorKind::TimedOut, 1));
}
