//! The HTTP side: connections, routes, and the faults that show on the wire.
//!
//! Start with [`serve`]. What an action answers is not decided here.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, LOCATION, RETRY_AFTER,
};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::config::Refusal;
use crate::distort;
use crate::failure::Failure;
use crate::faults::{FaultKind, Outage, PAGED};
use crate::handle::WorldHandle;
use crate::state::Shared;

/// The body of an answer; an error ends the connection in its middle.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// The connection is to be reset instead of answered.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut on purpose")]
pub(crate) struct Cut;

/// Largest request body: a description of 100 kB fits many times.
const MAX_REQUEST_BYTES: usize = 8 * 1024 * 1024;
/// After a failed accept (out of file descriptors) the loop takes a breath.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until cancelled, then ends all of them.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, cancel: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        // Every arm may be dropped: accept and join_next lose nothing.
        tokio::select! {
            () = cancel.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, Arc::clone(&shared)));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    connections.shutdown().await;
}

async fn converse(stream: TcpStream, shared: Arc<Shared>) {
    // Without this small answers wait for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        Box::pin(async move { answer(&shared, request).await })
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    let mut connection = http.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    if let Err(error) = (&mut connection).await
        && std::error::Error::source(&error).is_some_and(|source| source.is::<Cut>())
    {
        // Closing with zero linger sends a reset in place of an orderly end.
        let _ = connection.into_parts().io.into_inner().set_zero_linger();
    }
}

async fn answer(shared: &Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let is_admin = path.starts_with("/_sim");
    if !is_admin {
        match shared.faults().outage {
            Some(Outage::Reset) => return Err(Cut),
            Some(Outage::Unavailable) => {
                return Ok(html(StatusCode::SERVICE_UNAVAILABLE, "503 Service Temporarily Unavailable"));
            }
            Some(Outage::Moved) => {
                let mut response = html(StatusCode::FOUND, "302 Found");
                let login = "https://login.example.com/sso?back=%2Fopen-api&ticket=0123456789abcdef";
                response.headers_mut().insert(LOCATION, hyper::header::HeaderValue::from_static(login));
                return Ok(response);
            }
            None => {}
        }
    }
    let Ok(body) = Limited::new(body, MAX_REQUEST_BYTES).collect().await else {
        return Ok(html(StatusCode::PAYLOAD_TOO_LARGE, "413 Request Entity Too Large"));
    };
    let body = body.to_bytes();
    let query: Vec<(String, String)> =
        url::form_urlencoded::parse(parts.uri.query().unwrap_or("").as_bytes()).into_owned().collect();
    if is_admin {
        return Ok(admin::answer(&WorldHandle(Arc::clone(shared)), &parts.method, path, &query, &body));
    }
    // Even a sleep of nothing waits for the timer's next tick.
    if !shared.config.latency.is_zero() {
        tokio::time::sleep(shared.config.latency).await;
    }
    let mut response = match (&parts.method, path.trim_end_matches('/')) {
        (&Method::POST, "/open-api" | "") => {
            let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
            open_api(shared, header, &query, &body).await?
        }
        (&Method::POST, "/api/oauth/access_token") => oauth(shared, query, &body).await?,
        _ => html(StatusCode::NOT_FOUND, "404 Not Found"),
    };
    date(shared, &mut response);
    Ok(response)
}

/// One request to the Open API.
async fn open_api(
    shared: &Shared,
    authorization: Option<&str>,
    query: &[(String, String)],
    body: &[u8],
) -> Result<Response<Body>, Cut> {
    let fields: Map<String, Value> = match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => fields,
        _ if body.is_empty() => Map::new(),
        _ => return Ok(refused(shared, &Failure::new("InvalidParameter", "the body is not a JSON object"))),
    };
    let by_query =
        || query.iter().find(|(key, _)| key == "Action" || key == "action").map(|(_, value)| value.as_str());
    let Some(action) = fields.get("Action").and_then(Value::as_str).or_else(by_query) else {
        return Ok(refused(shared, &Failure::missing("Action")));
    };
    if !shared.traffic().admit(action, shared.config.rate_limit) {
        return Ok(refused(shared, &Failure::throttled()));
    }
    let fault = shared.strike(action);
    if let Some(kind) = fault
        && let Some(outcome) = instead(shared, kind).await
    {
        return outcome;
    }
    let (slow_above, spoiled_rows) = {
        let faults = shared.faults();
        (faults.slow_above, faults.spoiled_rows.clone())
    };
    let paged = PAGED.contains(&action);
    let rows = ["PageSize", "Limit"].iter().find_map(|name| fields.get(*name)?.as_u64()).unwrap_or(0);
    if paged && slow_above > 0 && rows > u64::from(slow_above) {
        return Ok(html(StatusCode::GATEWAY_TIMEOUT, "504 Gateway Time-out"));
    }
    if shared.faults().credential_unknown {
        return Ok(refused(shared, &Failure::user_not_found()));
    }
    let Some(caller) = shared.caller(authorization) else {
        return Ok(match shared.config.refusal {
            Refusal::AuthFailure => refused(shared, &auth_failure()),
            Refusal::UserNotFound => refused(shared, &Failure::user_not_found()),
            Refusal::Http401 => refused_as(shared, StatusCode::UNAUTHORIZED, &auth_failure()),
        });
    };
    Ok(match shared.act(action, &fields, &caller, fault) {
        Ok(bytes) if paged => succeed(shared, distort::spoiled(bytes, &spoiled_rows), fault),
        Ok(bytes) => succeed(shared, bytes, fault),
        Err(failure) => refused(shared, &failure),
    })
}

fn auth_failure() -> Failure {
    Failure::new("AuthFailure", "授权信息错误或已过期")
}

/// Faults that come in place of the answer; nothing for those that only change it.
async fn instead(shared: &Shared, kind: FaultKind) -> Option<Result<Response<Body>, Cut>> {
    let status = |status, text| Some(Ok(html(status, text)));
    let error = |code, message: &'static str| Some(Ok(refused(shared, &Failure::new(code, message))));
    let later = |mut response: Response<Body>| {
        response.headers_mut().insert(RETRY_AFTER, hyper::header::HeaderValue::from_static("1"));
        Some(Ok(response))
    };
    const TOO_MANY: &str = "429 Too Many Requests";
    const UNAVAILABLE: &str = "503 Service Temporarily Unavailable";
    match kind {
        FaultKind::Reset => Some(Err(Cut)),
        FaultKind::Hang => {
            let limit = shared.faults().hang_ms;
            if limit == 0 {
                std::future::pending::<Infallible>().await;
            }
            tokio::time::sleep(Duration::from_millis(limit)).await;
            Some(Err(Cut))
        }
        FaultKind::Http500 => status(StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error"),
        FaultKind::Http502 => Some(Ok(plain(StatusCode::BAD_GATEWAY, "text/plain", Bytes::new()))),
        FaultKind::Http503 => status(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE),
        FaultKind::Http503RetryAfter => later(html(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE)),
        FaultKind::Http429 => status(StatusCode::TOO_MANY_REQUESTS, TOO_MANY),
        FaultKind::Http429RetryAfter => later(html(StatusCode::TOO_MANY_REQUESTS, TOO_MANY)),
        FaultKind::Http401 => Some(Ok(refused_as(shared, StatusCode::UNAUTHORIZED, &auth_failure()))),
        FaultKind::Http403 => status(StatusCode::FORBIDDEN, "403 Forbidden"),
        FaultKind::Html200 => status(StatusCode::OK, "系统维护中"),
        FaultKind::Html502 => status(StatusCode::BAD_GATEWAY, "502 Bad Gateway"),
        FaultKind::NullResponse => Some(Ok(json_body(StatusCode::OK, br#"{"Response":null}"#.to_vec()))),
        FaultKind::MissingResponse => Some(Ok(json_body(StatusCode::OK, b"{}".to_vec()))),
        FaultKind::EmptyBody => Some(Ok(json_body(StatusCode::OK, Vec::new()))),
        FaultKind::TopLevelError => {
            let body = json!({"Error": {"Code": "InternalError", "Message": "内部错误"}});
            Some(Ok(json_body(StatusCode::OK, body.to_string().into_bytes())))
        }
        FaultKind::InternalError => error("InternalError", "内部错误"),
        FaultKind::RequestLimitExceeded => error("RequestLimitExceeded", "请求的次数超过了频率限制"),
        FaultKind::ResourceUnavailable => error("ResourceUnavailable", "资源不可用"),
        FaultKind::CredentialUnknown => Some(Ok(refused(shared, &Failure::user_not_found()))),
        _ => None,
    }
}

/// A success, after what the fault makes of it.
fn succeed(shared: &Shared, bytes: Vec<u8>, fault: Option<FaultKind>) -> Response<Body> {
    let bytes = if shared.config.broken_text_one_in == 0 { bytes } else { distort::broken_texts(&bytes) };
    let bytes = distort::body(bytes, fault);
    match fault {
        Some(FaultKind::WrongContentType) => {
            plain(StatusCode::OK, "text/html; charset=utf-8", Bytes::from(bytes))
        }
        Some(FaultKind::Gzip) => {
            let mut response = json_body(StatusCode::OK, distort::gzip(&bytes));
            response.headers_mut().insert(CONTENT_ENCODING, hyper::header::HeaderValue::from_static("gzip"));
            response
        }
        Some(FaultKind::CutOff) => cut_off(Bytes::from(bytes)),
        Some(FaultKind::Trickle) => {
            let total = match shared.faults().trickle_ms {
                0 => TRICKLE_MS,
                ms => ms,
            };
            trickle(Bytes::from(bytes), Duration::from_millis(total))
        }
        _ => json_body(StatusCode::OK, bytes),
    }
}

/// How long a slow answer takes unless the faults say otherwise.
const TRICKLE_MS: u64 = 1_500;
/// Into how many pieces a slow answer falls.
const TRICKLE_PIECES: u32 = 10;

fn trickle(bytes: Bytes, total: Duration) -> Response<Body> {
    let piece = bytes.len().div_ceil(10).max(1);
    let pieces = stream::unfold(bytes, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(total / TRICKLE_PIECES).await;
        let now = rest.split_to(piece.min(rest.len()));
        Some((Ok(Frame::data(now)), rest))
    });
    with_body(
        StatusCode::OK,
        "application/json;charset=UTF-8",
        BodyExt::boxed_unsync(StreamBody::new(pieces)),
    )
}

fn cut_off(mut bytes: Bytes) -> Response<Body> {
    /// Half of the body is on its way before the connection ends: unsent bytes would be dropped with it.
    const FLUSH_TIME: Duration = Duration::from_millis(50);
    let length = bytes.len();
    let half = bytes.split_to(length / 2);
    let frames = stream::unfold(Some(half), |half| async move {
        if let Some(half) = half {
            return Some((Ok(Frame::data(half)), None));
        }
        tokio::time::sleep(FLUSH_TIME).await;
        Some((Err(io::Error::from(io::ErrorKind::ConnectionReset)), None))
    });
    let body = BodyExt::boxed_unsync(StreamBody::new(frames));
    let mut response = with_body(StatusCode::OK, "application/json;charset=UTF-8", body);
    response.headers_mut().insert(CONTENT_LENGTH, hyper::header::HeaderValue::from(length));
    response
}

/// An error in the envelope, inside a 200.
fn refused(shared: &Shared, failure: &Failure) -> Response<Body> {
    refused_as(shared, StatusCode::OK, failure)
}

fn refused_as(shared: &Shared, status: StatusCode, failure: &Failure) -> Response<Body> {
    let body = json!({"Response": {
        "Error": {"Code": failure.code, "Message": failure.message},
        "RequestId": shared.request_id(),
    }});
    json_body(status, body.to_string().into_bytes())
}

/// The token endpoint; takes a form or a query. Faults strike it only where it is named as an action, by
/// [`TOKEN_ENDPOINT`]; those that damage the answer leave the exchange done.
async fn oauth(
    shared: &Shared,
    mut query: Vec<(String, String)>,
    body: &[u8],
) -> Result<Response<Body>, Cut> {
    shared.traffic().admit(TOKEN_ENDPOINT, 0);
    let named = shared.faults().actions.iter().any(|action| action == TOKEN_ENDPOINT);
    let fault = if named { shared.strike(TOKEN_ENDPOINT) } else { None };
    if let Some(kind) = fault
        && let Some(outcome) = instead(shared, kind).await
    {
        return outcome;
    }
    query.extend(url::form_urlencoded::parse(body).into_owned());
    let answer = shared.credentials().exchange(&shared.config, &query);
    Ok(match answer {
        Ok(tokens) => succeed(shared, serde_json::to_vec(&tokens).unwrap_or_default(), fault),
        Err(code) => json_body(StatusCode::BAD_REQUEST, json!({"error": code}).to_string().into_bytes()),
    })
}

/// What the token endpoint is called in the counters and in the faults.
const TOKEN_ENDPOINT: &str = "oauth/access_token";

/// A JSON answer.
pub(crate) fn json_body(status: StatusCode, bytes: Vec<u8>) -> Response<Body> {
    plain(status, "application/json;charset=UTF-8", Bytes::from(bytes))
}

fn html(status: StatusCode, title: &str) -> Response<Body> {
    let page = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body><center><h1>{title}</h1></center></body>\r\n</html>\r\n"
    );
    plain(status, "text/html", Bytes::from(page))
}

/// An answer of known length.
pub(crate) fn plain(status: StatusCode, content_type: &'static str, bytes: Bytes) -> Response<Body> {
    with_body(status, content_type, Full::new(bytes).map_err(|never| match never {}).boxed_unsync())
}

/// An answer with any body.
pub(crate) fn with_body(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    response
}

/// Sets the `Date` header, skewed as the faults say.
fn date(shared: &Shared, response: &mut Response<Body>) {
    let skew = shared.faults().date_skew_seconds;
    let now = SystemTime::from(jiff::Timestamp::now());
    let by = Duration::from_secs(skew.unsigned_abs());
    let shown = if skew < 0 { now.checked_sub(by) } else { now.checked_add(by) };
    let text = httpdate::fmt_http_date(shown.unwrap_or(now));
    if let Ok(value) = text.parse() {
        response.headers_mut().insert(DATE, value);
    }
}
