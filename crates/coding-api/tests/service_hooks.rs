//! The actions that manage hooks: what they send, how their answers are read, and when they are not repeated.

use coding_api::{ErrorKind, HookSettings, Remedy, ServiceHook};
use futures::TryStreamExt as _;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::server::{Answer, Seen, Server, http, json as body, refuse};

const TOKEN: &str = "Xk3vPq9-ZrT0wLm8_Yd7Bn2Hs5Jf";

fn settings() -> HookSettings {
    HookSettings {
        name: "tributary (acme)".to_owned(),
        url: format!("https://hooks.example.com/hooks/{TOKEN}"),
        secret: Some(SecretString::from("s3cretkey")),
        basic: Some(("tributary".to_owned(), SecretString::from("passw0rd"))),
        events: vec!["ISSUE_CREATED".to_owned(), "ISSUE_UPDATED".to_owned()],
    }
}

fn hook(id: &str, properties: &str) -> Value {
    json!({ "Id": id, "Name": "tributary (acme)", "TargetType": "Project", "Service": "WebHook",
        "Action": "webhook_http_post", "Status": 0, "LastSucceedAt": 0, "Enabled": "true",
        "Event": ["ISSUE_UPDATED", "ISSUE_CREATED"], "FilterProperties": "{}", "ActionProperties": properties })
}

fn shown_properties() -> Value {
    json!({ "service_url": settings().url, "token": "******", "username": "tributary", "password": "***",
        "headers": "", "template": "" })
}

fn respond(payload: Value) -> Answer {
    let mut response = payload;
    response["RequestId"] = json!("r-1");
    body(json!({ "Response": response }).to_string())
}

async fn read_hook(row: Value) -> ServiceHook {
    let server = Server::start(move |_| respond(json!({ "ServiceHook": row }))).await;
    server.personal().service_hook(310, "h-1").await.unwrap()
}

#[tokio::test]
async fn creating_sends_everything_and_reads_the_answer() {
    let server = Server::start(|_| respond(json!({ "ServiceHook": hook("h-1", "{}") }))).await;
    let made = server.personal().create_service_hook(310, &settings()).await.unwrap();
    assert_eq!((made.id.as_str(), made.enabled, made.has_template, made.filter), ("h-1", true, false, None));
    let sent = server.seen()[0].body.clone();
    let properties: Value = serde_json::from_str(sent["ActionProperty"].as_str().unwrap()).unwrap();
    assert_eq!(
        properties,
        json!({ "service_url": settings().url, "token": "s3cretkey", "username": "tributary",
            "password": "passw0rd", "headers": "", "template": "" })
    );
    let mut rest = sent;
    rest.as_object_mut().unwrap().remove("ActionProperty");
    assert_eq!(
        rest,
        json!({ "Action": "CreateServiceHook", "ProjectId": 310, "TargetType": "PROJECT",
            "Name": "tributary (acme)", "Service": "WebHook", "ServiceAction": "webhook_http_post",
            "Event": ["ISSUE_CREATED", "ISSUE_UPDATED"], "Enabled": true })
    );
}

#[tokio::test]
async fn a_hook_without_secrets_sends_empty_ones() {
    let server = Server::start(|_| respond(json!({ "ServiceHook": hook("h-1", "{}") }))).await;
    let open = HookSettings { secret: None, basic: None, ..settings() };
    server.personal().modify_service_hook(310, "h-1", &open).await.unwrap();
    let sent = server.seen()[0].body.clone();
    assert_eq!((&sent["Id"], &sent["FilterProperty"]), (&json!("h-1"), &json!("{}")));
    let properties: Value = serde_json::from_str(sent["ActionProperty"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&properties["token"], &properties["username"], &properties["password"]),
        (&json!(""), &json!(""), &json!(""))
    );
}

/// Creates a hook on a server that gives `first` once and a hook after that.
async fn create_after(
    first: impl Fn() -> Answer + Send + Sync + 'static,
) -> (Result<ServiceHook, coding_api::Error>, usize) {
    let script = move |seen: &Seen| {
        if seen.before == 0 { first() } else { respond(json!({ "ServiceHook": hook("h-1", "{}") })) }
    };
    let server = Server::start(script).await;
    let made = server.personal().create_service_hook(310, &settings()).await;
    (made, server.seen().len())
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_is_not_repeated() {
    let cases: [fn() -> Answer; 9] = [
        || Answer::Hangup,
        || http(500, "text/plain", "", b"no"),
        || http(502, "text/html", "", b"<html>"),
        || http(200, "text/html", "", b"<html>"),
        || body(r#"{"Response":{"ServiceHook":{"Id":"#),
        || body(r#"{"Response":null}"#),
        || body(r#"{"Response":{"ServiceHook":{},"RequestId":"r"}}"#),
        || refuse("InternalError", "oops"),
        || refuse("ResourceUnavailable", "oops"),
    ];
    for (number, case) in cases.into_iter().enumerate() {
        let (made, requests) = create_after(case).await;
        let error = made.unwrap_err();
        assert_eq!(
            (error.kind(), error.remedy(), requests),
            (&ErrorKind::Unknown, Remedy::Retry, 1),
            "{number}: {error:?}"
        );
        let source = std::error::Error::source(&error);
        assert!(source.is_some(), "{number}: what happened is not lost");
    }
}

#[tokio::test]
async fn a_create_that_was_surely_not_carried_out_is_repeated_or_refused() {
    let (made, requests) = create_after(|| refuse("RequestLimitExceeded", "slow down")).await;
    assert_eq!((made.unwrap().id.as_str(), requests), ("h-1", 2));
    let (made, requests) = create_after(|| http(429, "text/plain", "", b"")).await;
    assert_eq!((made.unwrap().id.as_str(), requests), ("h-1", 2));
    let refusals = [
        ("UnauthorizedOperation", ErrorKind::Forbidden),
        ("InvalidParameter", ErrorKind::InvalidParameter),
        ("FailedOperation", ErrorKind::Other),
        ("LimitExceeded", ErrorKind::Quota),
        ("AuthFailure", ErrorKind::Unauthorised),
    ];
    for (code, kind) in refusals {
        let (made, requests) = create_after(move || refuse(code, "no")).await;
        assert_eq!((made.unwrap_err().kind(), requests), (&kind, 1), "{code}");
    }
}

#[tokio::test]
async fn a_create_that_never_reached_the_host_is_no_mystery() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let base = coding_api::BaseUrl::parse(&url, false).unwrap();
    let client = coding_api::Client::builder(base, coding_api::Credential::personal_token("abc"))
        .retries(crate::server::quick())
        .build()
        .unwrap();
    let error = client.create_service_hook(310, &settings()).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (&ErrorKind::Unreachable, 5));
}

#[tokio::test]
async fn commands_are_repeated_and_answered_in_many_ways() {
    let yes = [
        json!({ "Succeed": true }),
        json!({ "Succeed": "true" }),
        json!({}),
        json!({ "Success": true }),
        json!({ "Succeed": null }),
    ];
    for answer in yes {
        let script =
            move |seen: &Seen| if seen.before == 0 { Answer::Hangup } else { respond(answer.clone()) };
        let server = Server::start(script).await;
        server.personal().ping_service_hook(310, "h-1").await.unwrap();
        let sent = server.seen()[1].body.clone();
        assert_eq!(
            sent,
            json!({ "Action": "PingServiceHook", "ProjectId": 310, "Id": ["h-1"], "TargetType": "PROJECT" })
        );
    }
    for answer in [json!({ "Succeed": false }), json!({ "Succeed": "false" })] {
        let server = Server::start(move |_| respond(answer.clone())).await;
        let error = server.personal().enable_service_hook(310, "h-1", true).await.unwrap_err();
        assert_eq!((error.kind(), server.seen().len()), (&ErrorKind::Other, 1));
        assert_eq!(server.seen()[0].body["Enabled"], json!(true));
    }
    for (answer, done) in [(json!({ "Success": true }), true), (json!({ "Success": "false" }), false)] {
        let server = Server::start(move |_| respond(json!({ "Data": answer }))).await;
        assert_eq!(server.personal().resend_service_hook_log("l-1").await.is_ok(), done);
        assert_eq!(
            server.seen()[0].body,
            json!({ "Action": "ResendServiceHookLog", "ServiceHookLogId": "l-1" })
        );
    }
}

#[tokio::test]
async fn deleting_twice_is_deleting() {
    let gone = |seen: &Seen| {
        if seen.before == 0 { Answer::Hangup } else { refuse("ResourceNotFound", "资源未找到") }
    };
    let server = Server::start(gone).await;
    server.personal().delete_service_hook(310, "h-1").await.unwrap();
    let server = Server::start(|_| refuse("ResourceNotFound", "资源未找到")).await;
    let error = server.personal().delete_service_hook(310, "h-1").await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::NotFound);
}

#[tokio::test]
async fn hooks_of_all_pages_are_listed_once() {
    let script = |seen: &Seen| {
        let page = seen.body["PageNumber"].as_u64().unwrap();
        // A hook was made meanwhile, so that one of page 1 comes again on page 2.
        let rows: Vec<Value> = match page {
            1 => (0..100).map(|number| hook(&format!("h-{number}"), "{}")).collect(),
            2 => (99..120).map(|number| hook(&format!("h-{number}"), "{}")).collect(),
            _ => Vec::new(),
        };
        respond(
            json!({ "Data": { "ServiceHook": rows, "PageNumber": page, "PageSize": 100, "TotalCount": 120 } }),
        )
    };
    let server = Server::start(script).await;
    let hooks = server.personal().service_hooks(310, Some("tributary")).await.unwrap();
    assert_eq!(hooks.len(), 120);
    let sent = &server.seen()[0].body;
    assert_eq!(
        (&sent["Name"], &sent["TargetType"], &sent["ProjectId"]),
        (&json!("tributary"), &json!("PROJECT"), &json!(310))
    );
    let none = Server::start(|_| respond(json!({ "Data": { "ServiceHook": [], "TotalCount": 0 } }))).await;
    assert!(none.personal().service_hooks(310, None).await.unwrap().is_empty());
    assert!(none.seen()[0].body.get("Name").is_none());
}

#[tokio::test]
async fn a_hook_matches_as_far_as_it_is_shown() {
    for properties in ["{}".to_owned(), String::new(), shown_properties().to_string()] {
        let row = hook("h-1", &properties);
        assert!(read_hook(row).await.matches(&settings()), "{properties}");
    }
    let mut plain = shown_properties();
    plain["token"] = json!("s3cretkey");
    plain["password"] = json!("passw0rd");
    assert!(read_hook(hook("h-1", &plain.to_string())).await.matches(&settings()));
    let other = |change: fn(&mut Value)| {
        let mut row = hook("h-1", "{}");
        change(&mut row);
        row
    };
    let changed: [fn(&mut Value); 7] = [
        |row| row["Enabled"] = json!(false),
        |row| row["Name"] = json!("another"),
        |row| row["Event"] = json!(["ISSUE_CREATED"]),
        |row| row["Event"] = json!(["ISSUE_CREATED", "ISSUE_UPDATED", "WIKI_CREATED"]),
        |row| row["Service"] = json!("WeCom"),
        |row| row["Action"] = json!("webhook_http_get"),
        |row| row["FilterProperties"] = json!(r#"{"type":"DEFECT"}"#),
    ];
    for (number, change) in changed.into_iter().enumerate() {
        assert!(!read_hook(other(change)).await.matches(&settings()), "{number}");
    }
    for (property, value) in [
        ("service_url", "https://elsewhere.example.com"),
        ("token", ""),
        ("token", "another"),
        ("username", ""),
        ("password", "another"),
        ("template", "${issue.title}"),
    ] {
        let mut properties = shown_properties();
        properties[property] = json!(value);
        assert!(!read_hook(hook("h-1", &properties.to_string())).await.matches(&settings()), "{property}");
    }
    let shown = read_hook(hook("h-1", &shown_properties().to_string())).await;
    assert_eq!(shown.url.as_deref(), Some(settings().url.as_str()));
    assert_eq!(shown.username.as_deref(), Some("tributary"));
}

#[tokio::test]
async fn the_log_is_read_page_by_page_and_leniently() {
    let entry = |id: usize| {
        json!({ "Id": format!("l-{id}"), "Event": "ISSUE_UPDATED", "ServiceHookId": "h-1", "CreatedAt": 1_622_010_474_000_i64,
            "SendAt": "1622010475000", "Status": 1, "RequestId": format!("d-{id}"), "RequestContent": "{\"a\":1}",
            "RequestHeaders": "Content-Type: application/json\r\nX-Coding-Signature: sha1=00\nAuthorization: Basic x\nX-Coding-Delivery: d-1\nnonsense",
            "ResponseHeaders": "", "ResponseBody": "", "ResponseStatus": "200", "ResponseAt": 0 })
    };
    let script = move |seen: &Seen| {
        let page = usize::try_from(seen.body["PageNumber"].as_u64().unwrap()).unwrap();
        let rows: Vec<Value> = ((page - 1) * 100..(page * 100).min(230)).map(entry).collect();
        respond(json!({ "Data": { "Log": rows, "PageNumber": page, "PageSize": 100, "TotalCount": 230 } }))
    };
    let server = Server::start(script).await;
    let client = server.personal();
    let mut logs = std::pin::pin!(client.service_hook_logs(310, "h-1"));
    let first = logs.try_next().await.unwrap().unwrap();
    assert_eq!(server.seen().len(), 1, "further pages are asked for when they are wanted");
    assert_eq!((first.id.as_str(), first.delivery_id.as_deref()), ("l-0", Some("d-0")));
    let headers: Vec<(&str, &str)> =
        first.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(headers, [("content-type", "application/json"), ("x-coding-delivery", "d-1")]);
    assert_eq!(
        (first.content.as_str(), first.response_status, first.succeeded),
        ("{\"a\":1}", Some(200), Some(true))
    );
    assert_eq!((first.created_ms, first.send_ms), (Some(1_622_010_474_000), Some(1_622_010_475_000)));
    assert_eq!(logs.try_collect::<Vec<_>>().await.unwrap().len(), 229);
    assert_eq!(server.seen()[0].body["Id"], json!("h-1"));
}

#[tokio::test]
async fn an_entry_of_the_log_says_whether_it_was_delivered() {
    let cases = [
        (json!({ "Status": 1, "ResponseStatus": 200 }), Some(true)),
        (json!({ "Status": 1, "ResponseStatus": 503 }), Some(false)),
        (json!({ "Status": 2, "ResponseStatus": 0 }), Some(false)),
        (json!({ "Status": 2 }), Some(false)),
        (json!({ "Status": 1, "ResponseStatus": null }), Some(true)),
        (json!({ "Status": 0 }), None),
        (json!({}), None),
    ];
    let wanted: Vec<Option<bool>> = cases.iter().map(|(_, wanted)| *wanted).collect();
    let rows: Vec<Value> = (0..)
        .zip(&cases)
        .map(|(number, (case, _))| {
            let mut row = case.clone();
            row["Id"] = json!(format!("l-{number}"));
            row["RequestHeaders"] = json!({ "X-Coding-Delivery": ["d"], "Cookie": "c" });
            row["RequestContent"] = json!({ "event": "PING" });
            row
        })
        .collect();
    let script = move |_: &Seen| respond(json!({ "Data": { "Log": rows, "TotalCount": rows.len() } }));
    let server = Server::start(script).await;
    let client = server.personal();
    let logs: Vec<_> = client.service_hook_logs(310, "h-1").try_collect().await.unwrap();
    assert_eq!(logs.iter().map(|log| log.succeeded).collect::<Vec<_>>(), wanted);
    assert_eq!(logs[0].headers, [("x-coding-delivery".to_owned(), "d".to_owned())]);
    assert_eq!(logs[0].content, r#"{"event":"PING"}"#);
}

#[tokio::test]
async fn offered_events_are_listed_or_not_known() {
    let offer =
        json!([{ "Name": "ISSUE_CREATED", "Label": "创建事项", "GroupName": "ISSUE", "GroupLabel": "" }, {}]);
    let server = Server::start(move |_| respond(json!({ "Event": offer }))).await;
    let events = server.personal().events().await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].code.as_str(), events[0].group.as_deref(), events[0].group_label.as_deref()),
        ("ISSUE_CREATED", Some("ISSUE"), None)
    );
    let server = Server::start(|_| respond(json!({}))).await;
    assert_eq!((server.personal().events().await.unwrap().len(), server.seen().len()), (0, 1));
}

#[tokio::test]
async fn no_error_and_no_debug_output_holds_what_a_hook_is_set_up_with() {
    let quoting = [
        format!("bad url {}", settings().url),
        "token s3cretkey is too short".to_owned(),
        "passw0rd".to_owned(),
        format!("{} {}", "x".repeat(150), settings().url),
        "cut: Xk3vPq…".to_owned(),
    ];
    for message in quoting {
        let server = Server::start(move |_| refuse("InvalidParameter", &message)).await;
        for error in [
            server.personal().create_service_hook(310, &settings()).await.unwrap_err(),
            server.personal().modify_service_hook(310, "h-1", &settings()).await.unwrap_err(),
        ] {
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("not shown"), "{shown}");
            for secret in ["s3cret", "passw0", "Xk3vPq"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
    }
    let server = Server::start(|_| refuse("InvalidParameter", "unknown event ISSUE_UPDATED")).await;
    let error = server.personal().create_service_hook(310, &settings()).await.unwrap_err();
    assert!(error.to_string().contains("unknown event ISSUE_UPDATED"), "{error}");
    let shown =
        format!("{:?} {:?}", settings(), read_hook(hook("h-1", &shown_properties().to_string())).await);
    for secret in ["s3cretkey", "passw0rd", TOKEN] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
