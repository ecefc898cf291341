//! One request and its answer, as bytes: limits on the body, and what a failure on the way was.

use std::error::Error as StdError;
use std::marker::PhantomData;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, LOCATION, RETRY_AFTER};
use serde::de::IgnoredAny;
use url::Url;

use super::resolve::PrivateAddress;
use crate::clock::Clock;
use crate::envelope::{self, Read};
use crate::error::{Error, ErrorKind, showable};
use crate::sanitize::sanitize;

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Sends and reads the whole body.
///
/// # Errors
/// What happened on the way; an answer with an error status is an answer.
pub(crate) async fn send(
    request: reqwest::RequestBuilder,
    action: &'static str,
    limit: usize,
) -> Result<Answer, Error> {
    let mut response = request.send().await.map_err(|error| lost(error, action))?;
    let too_large = || Error::new(ErrorKind::TooLarge { limit_bytes: limit }, action);
    // The stated length is the compressed one; it only helps to begin with the right capacity.
    let stated = response.content_length().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
    if stated > limit {
        return Err(too_large());
    }
    let mut body = Vec::with_capacity(stated);
    while let Some(chunk) = response.chunk().await.map_err(|error| lost(error, action))? {
        if body.len() + chunk.len() > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: response.status().as_u16(), headers: response.headers().clone(), body })
}

/// What a failure of the HTTP library was.
fn lost(error: reqwest::Error, action: &'static str) -> Error {
    let kind = if error.is_timeout() {
        ErrorKind::TimedOut
    } else if within::<PrivateAddress>(&error) {
        ErrorKind::PrivateHost
    } else if within::<rustls::Error>(&error) {
        ErrorKind::Tls
    } else if error.is_body() || error.is_decode() {
        ErrorKind::Truncated
    } else {
        ErrorKind::Unreachable
    };
    // The URL adds nothing and may carry what people paste into it.
    Error::new(kind, action).because(error.without_url())
}

/// Whether an error of type `E` is among the causes. `io::Error` hides its inner error from `source`.
fn within<E: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<E>() {
            return true;
        }
        next = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

impl Answer {
    /// The server's clock.
    pub(crate) fn server_time(&self) -> Option<Timestamp> {
        http_date(self.headers.get(DATE)?.to_str().ok()?)
    }

    /// What `Retry-After` asks for: seconds, or a date.
    fn retry_after(&self, clock: &dyn Clock) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        match text.parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => {
                let now = self.server_time().unwrap_or_else(|| clock.now());
                Some(Duration::try_from(http_date(text)?.duration_since(now)).unwrap_or_default())
            }
        }
    }

    /// Where a redirect points to. Query and user may hold what is nobody's business.
    fn points_to(&self) -> Option<String> {
        let location = self.headers.get(LOCATION)?.to_str().ok()?;
        let place = match Url::parse(location) {
            Ok(mut url) => {
                url.set_query(None);
                url.set_fragment(None);
                // What has no host has no user either.
                let _ = url.set_username("").and_then(|()| url.set_password(None));
                url.to_string()
            }
            Err(_) => location.split(['?', '#']).next().unwrap_or_default().to_owned(),
        };
        Some(showable(&place)).filter(|place| !place.is_empty())
    }

    /// A body that says of itself that it is a page for people.
    pub(crate) fn is_foreign(&self) -> bool {
        let said = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("json");
        let said = said.to_ascii_lowercase();
        if said.contains("json") {
            return false;
        }
        // Some gateways label JSON as text/plain; nobody labels JSON as HTML.
        let looks_like_json =
            self.body.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| *byte == b'{');
        said.contains("html") || said.contains("xml") || !looks_like_json
    }

    /// What a status other than 2xx means, together with the error in the body if there is one.
    pub(crate) fn refusal(self, action: &'static str, clock: &dyn Clock) -> Error {
        let retry_after = self.retry_after(clock);
        let status = self.status;
        let by_status = match status {
            // What its body says is of no interest: it is not the answer of the API.
            300..=399 => return Error::new(ErrorKind::Redirect { to: self.points_to() }, action),
            401 => ErrorKind::Unauthorised,
            403 => ErrorKind::Forbidden,
            429 => ErrorKind::RateLimited { retry_after },
            _ => ErrorKind::Http { status, retry_after },
        };
        if self.is_foreign() {
            return Error::new(by_status, action);
        }
        let sane = sanitize(self.body);
        match envelope::read(sane.text(), &[], PhantomData::<IgnoredAny>) {
            Ok(Read::Refused { code, message, request_id }) => {
                let kind = match (by_status, kind_of(&code, &message)) {
                    // A status that names the kind wins; otherwise the code knows more.
                    (ErrorKind::Http { .. }, Some(ErrorKind::RateLimited { .. })) => {
                        ErrorKind::RateLimited { retry_after }
                    }
                    (ErrorKind::Http { .. } | ErrorKind::Forbidden, Some(kind)) => kind,
                    (kind, _) => kind,
                };
                Error::new(kind, action).with_words(&code, &message).with_request_id(request_id)
            }
            _ => Error::new(by_status, action),
        }
    }

    /// The error in an envelope that came with a 2xx.
    pub(crate) fn envelope_error(
        action: &'static str,
        code: &str,
        message: &str,
        request_id: Option<String>,
    ) -> Error {
        let kind = kind_of(code, message).unwrap_or(ErrorKind::Other);
        Error::new(kind, action).with_words(code, message).with_request_id(request_id)
    }
}

/// The one message that must be looked at: CODING says "not found" of the token's own user.
const USER_UNKNOWN: &str = "User not found, authorization invalid";

/// What a code means; sub-codes (`InvalidParameterValue.EmailNotFoundAccount`) mean what their head means.
fn kind_of(code: &str, message: &str) -> Option<ErrorKind> {
    let head = code.split('.').next().unwrap_or_default();
    Some(match head {
        "AuthFailure" => ErrorKind::Unauthorised,
        "ResourceNotFound" if message.trim().eq_ignore_ascii_case(USER_UNKNOWN) => ErrorKind::Unauthorised,
        "ResourceNotFound" => ErrorKind::NotFound,
        "UnauthorizedOperation" => ErrorKind::Forbidden,
        "InvalidParameter" | "InvalidParameterValue" | "UnknownParameter" | "MissingParameter" => {
            ErrorKind::InvalidParameter
        }
        "RequestLimitExceeded" => ErrorKind::RateLimited { retry_after: None },
        "LimitExceeded" => ErrorKind::Quota,
        "InternalError" | "ResourceUnavailable" => ErrorKind::Server,
        _ => return None,
    })
}

fn http_date(text: &str) -> Option<Timestamp> {
    Timestamp::try_from(httpdate::parse_http_date(text).ok()?).ok()
}
