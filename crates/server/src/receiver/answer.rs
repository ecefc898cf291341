//! The answers: JSON, short, and nothing in them that the sender did not bring.

use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use connectors::coding::hook::Refused;
use engine::inbox::Accepted;
use serde::Serialize;

/// When to come again after a 503, in seconds.
const COME_AGAIN: HeaderValue = HeaderValue::from_static("10");

#[derive(Serialize)]
struct Failed<'a> {
    error: Reason<'a>,
}

#[derive(Serialize)]
struct Reason<'a> {
    code: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct Taken {
    delivery: String,
    repeated: bool,
}

#[derive(Serialize)]
struct Alive<'a> {
    hook: &'static str,
    connection: &'a str,
}

/// The delivery is on disk.
pub(super) fn taken(accepted: Accepted) -> Response {
    let (number, repeated) = match accepted {
        Accepted::New(number) => (number, false),
        Accepted::Repeated(number) => (number, true),
    };
    json(StatusCode::OK, &Taken { delivery: number.0.to_string(), repeated })
}

/// The hook is there.
pub(super) fn alive(connection: &str) -> Response {
    json(StatusCode::OK, &Alive { hook: "alive", connection })
}

/// The process is there.
pub(super) fn healthy() -> Response {
    json(StatusCode::OK, &serde_json::json!({"status": "ok"}))
}

/// No door has this token.
pub(super) fn no_hook() -> Response {
    failed(StatusCode::NOT_FOUND, "no_hook", "there is no hook at this address")
}

/// There is nothing at this path.
pub(super) fn nothing_here() -> Response {
    failed(StatusCode::NOT_FOUND, "not_found", "there is nothing at this address")
}

/// The path takes other methods; the router names them.
pub(super) fn other_method() -> Response {
    failed(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "send deliveries with POST")
}

/// The sender did not prove what it had to.
pub(super) fn refused(why: Refused) -> Response {
    let mut response = failed(StatusCode::UNAUTHORIZED, why.code(), &why.to_string());
    if matches!(why, Refused::Basic(_)) {
        let challenge = HeaderValue::from_static("Basic realm=\"hooks\", charset=\"UTF-8\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// The body has another encoding than its own.
pub(super) fn encoded() -> Response {
    let message = "the body is compressed; send it as it is";
    let mut response = failed(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_encoding", message);
    response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    response
}

/// The body is larger than any delivery.
pub(super) fn too_large(max_body: usize) -> Response {
    let message = format!("the body is larger than {max_body} bytes");
    failed(StatusCode::PAYLOAD_TOO_LARGE, "too_large", &message)
}

/// The body came too slowly.
pub(super) fn too_slow() -> Response {
    failed(StatusCode::REQUEST_TIMEOUT, "too_slow", "the body came too slowly")
}

/// The body broke off or is not what its head says.
pub(super) fn broken() -> Response {
    failed(StatusCode::BAD_REQUEST, "broken_body", "the body could not be read to its end")
}

/// It passes by itself.
pub(super) fn come_again() -> Response {
    let message = "the delivery could not be stored now; send it again";
    let mut response = failed(StatusCode::SERVICE_UNAVAILABLE, "no_room", message);
    response.headers_mut().insert(RETRY_AFTER, COME_AGAIN);
    response
}

/// A person must act; the log says what.
pub(super) fn out_of_order() -> Response {
    let message = "deliveries cannot be stored; the log of tributary says why";
    failed(StatusCode::INTERNAL_SERVER_ERROR, "out_of_order", message)
}

fn failed(status: StatusCode, code: &str, message: &str) -> Response {
    json(status, &Failed { error: Reason { code, message } })
}

fn json(status: StatusCode, answer: &impl Serialize) -> Response {
    let text = serde_json::to_vec(answer).expect("answers are texts and booleans");
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
