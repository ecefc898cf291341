//! Sends what the post hands out: by tasks of its own, a bounded number for each hook.

use std::fmt::Write;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sha1::Sha1;
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::calendar::now_ms;
use crate::hooks::faults::Signature;
use crate::hooks::log::LogEntry;
use crate::hooks::post::{Delivery, Post};

type Http = Client<HttpConnector, Full<Bytes>>;

/// An answer's body is read and logged up to this length; a longer one counts as no answer.
const ANSWER_BYTES: usize = 64 * 1024;

/// Sends until cancelled; what is under way then is cut off.
pub(crate) async fn run(post: Arc<Post>, cancel: CancellationToken) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let http: Http = Client::builder(TokioExecutor::new()).http1_title_case_headers(true).build(connector);
    let mut tasks = JoinSet::new();
    loop {
        while let Some(delivery) = post.next() {
            tasks.spawn(deliver(http.clone(), Arc::clone(&post), delivery));
        }
        let due = post.next_due();
        let wait = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        // Every arm may be dropped: none has begun anything, and a notice that was given is kept.
        tokio::select! {
            () = cancel.cancelled() => break,
            () = post.arrived.notified() => {}
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            () = wait => {}
        }
    }
    tasks.shutdown().await;
}

/// One delivery from its first byte to its entry in the log.
async fn deliver(http: Http, post: Arc<Post>, delivery: Delivery) {
    let send_at = now_ms();
    let mut entry = LogEntry {
        id: String::new(),
        hook: delivery.address.hook.clone(),
        event: delivery.event.clone(),
        delivery: delivery.id.clone(),
        request_headers: String::new(),
        content: delivery.body.clone(),
        content_type: delivery.content_type,
        response_status: 0,
        response_headers: String::new(),
        response_body: String::new(),
        created_at: delivery.raised_at,
        send_at,
        response_at: 0,
    };
    match request(&delivery) {
        Ok(request) => {
            entry.request_headers = lines(request.headers());
            match tokio::time::timeout(post.timeout, answer(&http, request)).await {
                Ok(Ok((status, headers, body))) => {
                    (entry.response_status, entry.response_headers, entry.response_body) =
                        (status, headers, body);
                }
                Ok(Err(why)) => entry.response_body = why,
                Err(_) => entry.response_body = "no answer in time".to_owned(),
            }
        }
        Err(why) => entry.response_body = why,
    }
    entry.response_at = now_ms();
    post.finish(&delivery, entry);
}

async fn answer(http: &Http, request: Request<Full<Bytes>>) -> Result<(u16, String, String), String> {
    let response = http.request(request).await.map_err(|error| chain(&error))?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES).collect().await.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    Ok((parts.status.as_u16(), lines(&parts.headers), text))
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

fn request(delivery: &Delivery) -> Result<Request<Full<Bytes>>, String> {
    let address = &delivery.address;
    let is_get = address.action == "webhook_http_get";
    let body = if is_get { Bytes::new() } else { delivery.body.clone() };
    let mut request = Request::new(Full::new(body.clone()));
    *request.method_mut() = if is_get { Method::GET } else { Method::POST };
    *request.uri_mut() = address.url.parse().map_err(|_| "the address is not valid".to_owned())?;
    let headers = request.headers_mut();
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    if delivery.is_legacy {
        set("x-coding-event", &delivery.shown_event);
        set("x-coding-webhook-version", "v2");
    } else {
        set("x-coding-service-hook-event", &delivery.shown_event);
        set("x-coding-service-hook-id", &address.hook);
        set("x-coding-service-hook-action", &address.action);
    }
    set("x-coding-delivery", &delivery.id);
    if !address.token.is_empty() {
        set("x-coding-signature", &signature(&address.token, &body, delivery.signature));
    }
    headers.insert(USER_AGENT, HeaderValue::from_static("Coding.net Hook"));
    if !is_get {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(delivery.content_type));
    }
    if !(address.username.is_empty() && address.password.is_empty()) {
        let pair = STANDARD.encode(format!("{}:{}", address.username, address.password));
        if let Ok(mut value) = HeaderValue::from_str(&format!("Basic {pair}")) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
    }
    for line in address.headers.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let parsed = (name.trim().parse::<HeaderName>(), HeaderValue::from_str(value.trim()));
        if let (Ok(name), Ok(value)) = parsed {
            headers.insert(name, value);
        }
    }
    Ok(request)
}

/// `sha1=` and the hexadecimal HMAC over the exact bytes.
fn signature(token: &str, body: &[u8], how: Signature) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).expect("an HMAC takes keys of every length");
    mac.update(body);
    if how == Signature::Wrong {
        mac.update(b"something else");
    }
    let mut text = "sha1=".to_owned();
    for byte in mac.finalize().into_bytes() {
        let _ = write!(text, "{byte:02x}");
    }
    if how == Signature::Truncated {
        text.truncate(text.len() / 2);
    }
    text
}

/// Headers as the log shows them; what is secret is masked.
fn lines(headers: &HeaderMap) -> String {
    let mut text = String::new();
    for (name, value) in headers {
        let shown =
            if value.is_sensitive() { "***".into() } else { String::from_utf8_lossy(value.as_bytes()) };
        let _ = writeln!(text, "{name}: {shown}");
    }
    text
}
