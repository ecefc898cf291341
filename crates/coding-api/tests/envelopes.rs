//! Every shape an answer can have, and the one kind of error each becomes.

use std::io::Write;

use coding_api::{Client, ErrorKind, Remedy, RetryPolicy, RowExt};
use serde_json::json;

use crate::server::{Answer, Server, http, json as body, refuse};

async fn once(answer: impl Fn() -> Answer + Send + Sync + 'static) -> (Server, Client) {
    let server = Server::start(move |_| answer()).await;
    let client = server
        .client(coding_api::Credential::personal_token("s3cr3tt0ken"))
        .retries(RetryPolicy::never())
        .build()
        .unwrap();
    (server, client)
}

async fn check(
    answer: impl Fn() -> Answer + Send + Sync + 'static,
    kind: ErrorKind,
    remedy: Remedy,
) -> String {
    let (server, client) = once(answer).await;
    let error = client.issue("app", 7).await.unwrap_err();
    assert_eq!((error.kind(), error.remedy(), error.action()), (&kind, remedy, "DescribeIssue"), "{error:?}");
    assert_eq!((server.seen().len(), client.counters()["DescribeIssue"]), (1, 1));
    assert!(!format!("{error} {error:?}").contains("s3cr3tt0ken"), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn a_row_survives_whole() {
    let row = json!({ "Code": "7", "UpdatedAt": 1634697259000_i64, "CompletedAt": 0, "Brand": { "new": [1.0, null] },
        "StoryPoint": "0.5", "Hours": 0.300_000_000_000_000_04 });
    let text = json!({ "Response": { "RequestId": "r", "Issue": row } }).to_string();
    let (server, client) = once(move || body(&text)).await;
    let reply = client.issue("app", 7).await.unwrap();
    assert_eq!(serde_json::Value::Object(reply.value.clone()), row);
    assert_eq!(reply.value.code(), Some(7));
    assert_eq!(reply.value.updated_at().unwrap().as_millisecond(), 1_634_697_259_000);
    assert_eq!(reply.value.time("CompletedAt"), None);
    let seen = &server.seen()[0];
    assert_eq!(seen.body, json!({ "Action": "DescribeIssue", "ProjectName": "app", "IssueCode": 7 }));
}

#[tokio::test]
async fn errors_inside_a_200_become_kinds() {
    let cases = [
        ("AuthFailure", ErrorKind::Unauthorised, Remedy::Reauthorise),
        ("UnauthorizedOperation", ErrorKind::Forbidden, Remedy::AskHuman),
        ("ResourceNotFound", ErrorKind::NotFound, Remedy::NotFound),
        ("InvalidParameter", ErrorKind::InvalidParameter, Remedy::AskHuman),
        ("InvalidParameterValue.EmailNotFoundAccount", ErrorKind::InvalidParameter, Remedy::AskHuman),
        ("MissingParameter", ErrorKind::InvalidParameter, Remedy::AskHuman),
        ("LimitExceeded", ErrorKind::Quota, Remedy::AskHuman),
        ("RequestLimitExceeded", ErrorKind::RateLimited { retry_after: None }, Remedy::Wait(None)),
        ("InternalError", ErrorKind::Server, Remedy::Retry),
        ("ResourceUnavailable", ErrorKind::Server, Remedy::Retry),
        ("FailedOperation", ErrorKind::Other, Remedy::AskHuman),
    ];
    for (code, kind, remedy) in cases {
        let text = check(move || refuse(code, "资源未找到"), kind, remedy).await;
        assert!(text.contains(&format!("it said {code}: 资源未找到 (request r-1)")), "{text}");
    }
    for message in ["User not found, authorization invalid", " User not found, authorization invalid"] {
        check(move || refuse("ResourceNotFound", message), ErrorKind::Unauthorised, Remedy::Reauthorise)
            .await;
    }
}

#[tokio::test]
async fn an_error_without_envelope_is_an_error() {
    let top = r#"{"Error":{"Code":"InternalError","Message":"m"}}"#;
    check(move || body(top), ErrorKind::Server, Remedy::Retry).await;
    check(|| body(r#"{"Error":"no"}"#), ErrorKind::Other, Remedy::AskHuman).await;
}

#[tokio::test]
async fn bodies_that_are_no_answer() {
    let html = || http(200, "text/html; charset=utf-8", "", b"<html><title>Login</title></html>");
    check(html, ErrorKind::NotJson, Remedy::Retry).await;
    let unlabelled = || http(200, "application/json", "", b"<!doctype html><html></html>");
    check(unlabelled, ErrorKind::NotJson, Remedy::Retry).await;
    let other = || http(200, "text/html", "", br#"{"Response":{"Issue":{"Code":7}}}"#);
    check(other, ErrorKind::NotJson, Remedy::Retry).await;
    check(|| http(200, "text/plain", "", b"OK"), ErrorKind::NotJson, Remedy::Retry).await;
    for empty in
        [r#"{"Response":null}"#, r#"{"Response":{}}"#, "null", "", " ", r#"{"Response":{"Issue":null}}"#]
    {
        check(move || body(empty), ErrorKind::EmptyResponse, Remedy::Retry).await;
    }
    check(|| body(r#"{"Response":{"Issue":{"Code":7,"#), ErrorKind::Truncated, Remedy::Retry).await;
    let short = || {
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"Response\":";
        Answer::Bytes(head.as_bytes().to_vec())
    };
    check(short, ErrorKind::Truncated, Remedy::Retry).await;
    for shape in
        ["[]", r#"{"Response":{"Issue":[]}}"#, r#"{"Response":[1]}"#, r#"{"Response":{"Issue":"x"}}"#]
    {
        check(move || body(shape), ErrorKind::Protocol, Remedy::Retry).await;
    }
    let huge = || {
        Answer::Bytes(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n".to_vec(),
        )
    };
    let kind = ErrorKind::TooLarge { limit_bytes: 64 * 1024 * 1024 };
    assert!(check(huge, kind, Remedy::AskHuman).await.contains("64 MiB"));
}

#[tokio::test]
async fn http_statuses_become_kinds() {
    let plain = |status| move || http(status, "text/html", "", b"<html>no</html>");
    let status = |status| ErrorKind::Http { status, retry_after: None };
    check(plain(401), ErrorKind::Unauthorised, Remedy::Reauthorise).await;
    check(plain(403), ErrorKind::Forbidden, Remedy::AskHuman).await;
    check(plain(404), status(404), Remedy::AskHuman).await;
    check(plain(302), ErrorKind::Redirect { to: None }, Remedy::AskHuman).await;
    check(plain(500), status(500), Remedy::Retry).await;
    check(plain(502), status(502), Remedy::Retry).await;
    let second = Some(std::time::Duration::from_secs(1));
    let busy = || http(503, "text/plain", "Retry-After: 1\r\n", b"busy");
    check(busy, ErrorKind::Http { status: 503, retry_after: second }, Remedy::Wait(second)).await;
    let many = || http(429, "text/plain", "Retry-After: 1\r\n", b"");
    check(many, ErrorKind::RateLimited { retry_after: second }, Remedy::Wait(second)).await;
    let dated = || {
        let dates = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:49:38 GMT\r\n";
        http(429, "text/plain", dates, b"")
    };
    check(dated, ErrorKind::RateLimited { retry_after: second }, Remedy::Wait(second)).await;
    let inside = |code| {
        let text = format!(r#"{{"Response":{{"Error":{{"Code":"{code}","Message":"m"}}}}}}"#);
        move || http(400, "application/json", "", text.as_bytes())
    };
    check(inside("ResourceNotFound"), ErrorKind::NotFound, Remedy::NotFound).await;
    check(inside("RequestLimitExceeded"), ErrorKind::RateLimited { retry_after: None }, Remedy::Wait(None))
        .await;
    check(inside("Unheard"), status(400), Remedy::AskHuman).await;
}

#[tokio::test]
async fn gzip_and_plain_text_labels_are_read() {
    let text = r#"{"Response":{"Issue":{"Code":7}}}"#;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let packed = gzip.finish().unwrap();
    let cut = packed[..packed.len() - 12].to_vec();
    let (_server, client) =
        once(move || http(200, "application/json", "Content-Encoding: gzip\r\n", &packed)).await;
    assert_eq!(client.issue("app", 7).await.unwrap().value.code(), Some(7));
    let answer = move || http(200, "application/json", "Content-Encoding: gzip\r\n", &cut);
    check(answer, ErrorKind::Truncated, Remedy::Retry).await;
    let (_server, client) = once(move || http(200, "text/plain", "", text.as_bytes())).await;
    assert_eq!(client.issue("app", 7).await.unwrap().value.code(), Some(7));
}

#[tokio::test]
async fn characters_that_cannot_be_read_cost_only_themselves() {
    let bytes = b"{\"Response\":{\"Issue\":{\"Name\":\"a\\ud83d\\u0000\xff\\ud83d\\ude00\"}}}";
    let (_server, client) = once(|| http(200, "application/json", "", bytes)).await;
    let reply = client.issue("app", 7).await.unwrap();
    assert_eq!(reply.value.name(), Some("a\u{fffd}\u{fffd}\u{fffd}\u{1f600}"));
    assert_eq!(client.replaced_characters(), 3);
}

#[tokio::test]
async fn the_servers_clock_is_read() {
    let (_server, client) = once(|| {
        let ahead = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(90);
        let date = ahead.strftime("Date: %a, %d %b %Y %H:%M:%S GMT\r\n").to_string();
        http(200, "application/json", &date, br#"{"Response":{"Issue":{"Code":7}}}"#)
    })
    .await;
    assert_eq!(client.clock_skew(), None);
    let reply = client.issue("app", 7).await.unwrap();
    assert!(reply.server_time.is_some());
    let skew = client.clock_skew().unwrap();
    assert!((88..=92).contains(&skew.as_secs()), "{skew}");
}
