//! What an error of the API means to a person, and to the engine.

use std::io::ErrorKind as IoError;

use coding_api::{Error, ErrorKind};
use engine::lack::Lack;
use engine::problem::Problem;
use engine::source::{SourceError, SourceErrorKind};

/// An error of the API while doing `what` ("read the issues of project `x`").
pub(super) fn source_error(what: impl std::fmt::Display, error: Error) -> SourceError {
    let kind = match error.kind() {
        ErrorKind::Unreachable | ErrorKind::TimedOut => SourceErrorKind::Unreachable,
        ErrorKind::Http { .. }
        | ErrorKind::RateLimited { .. }
        | ErrorKind::NotJson
        | ErrorKind::Truncated
        | ErrorKind::EmptyResponse
        | ErrorKind::Server
        | ErrorKind::Protocol
        | ErrorKind::TokenStore
        | ErrorKind::Unknown => SourceErrorKind::Transient,
        ErrorKind::Unauthorised => SourceErrorKind::Credential,
        ErrorKind::Forbidden | ErrorKind::NotFound => SourceErrorKind::AccessLost,
        _ => SourceErrorKind::Refused,
    };
    let (code, fix) = advice(error.kind());
    let mut why = match unreachable(&error).map(str::to_owned).or_else(|| bottom(&error)) {
        Some(cause) => format!("{}: {cause}", error.kind()),
        None => error.kind().to_string(),
    };
    if let Some(message) = error.message().filter(|message| !message.is_empty()) {
        let short: String = message.chars().take(200).collect();
        why = format!("{why} (CODING says: {short})");
    }
    let attempts = error.attempts();
    if attempts > 1 {
        why = format!("{why}; tried {attempts} times");
    }
    let problem = Problem::new(code, format!("Cannot {what}"), why, fix);
    SourceError { kind, problem, source: Some(Box::new(error)) }
}

/// Why a host cannot be reached, where the system says so.
fn unreachable(error: &Error) -> Option<&'static str> {
    if *error.kind() != ErrorKind::Unreachable {
        return None;
    }
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        let io = cause.downcast_ref::<std::io::Error>();
        if io.and_then(Lack::of) == Some(Lack::Descriptors) {
            return Some("no file descriptor is left");
        }
        match io.map(std::io::Error::kind) {
            Some(IoError::ConnectionRefused) => {
                return Some("the connection is refused; nothing listens there");
            }
            Some(IoError::ConnectionReset) => return Some("the connection was reset"),
            Some(IoError::NetworkUnreachable | IoError::HostUnreachable) => {
                return Some("there is no way to it from this network");
            }
            _ => {}
        }
        let said = cause.to_string();
        if said.contains("failed to lookup address") || said.contains("dns error") {
            return Some("its name cannot be resolved");
        }
        if said.contains("tunnel") || said.contains("SOCKS") {
            return Some("the proxy does not let the connection through");
        }
        next = match io.and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    None
}

/// What lies at the bottom of an error of the connection: it alone says what is wrong.
fn bottom(error: &Error) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Tls | ErrorKind::TokenStore) {
        return None;
    }
    let mut next = std::error::Error::source(error)?;
    loop {
        let io = next.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match io {
            Some(inner) => inner,
            None => match next.source() {
                Some(source) => source,
                None => return Some(next.to_string().chars().take(200).collect()),
            },
        };
    }
}

fn advice(kind: &ErrorKind) -> (&'static str, &'static str) {
    match kind {
        ErrorKind::Unreachable | ErrorKind::TimedOut => {
            ("CODING-UNREACHABLE", "Check `source.team` or `source.base_url`, the network and the proxy.")
        }
        ErrorKind::Tls => (
            "CODING-TLS",
            "Name the deployment's certificate in `source.ca_file`, or correct `source.base_url`.",
        ),
        ErrorKind::PrivateHost => {
            ("CODING-PRIVATE-HOST", "Set `source.allow_insecure: true` if this is a private deployment.")
        }
        ErrorKind::Unauthorised => (
            "CODING-AUTH",
            "Create a token in CODING under account settings, access tokens, and put it into `source.auth`.",
        ),
        ErrorKind::Forbidden => (
            "CODING-PERMISSION",
            "Give the token the scope for it (`tributary check` lists what is missing), or its user the role.",
        ),
        ErrorKind::NotFound => (
            "CODING-NOT-FOUND",
            "Check that the project exists under this identifier and that the credential's user is in it.",
        ),
        ErrorKind::RateLimited { .. } => {
            ("CODING-RATE", "Lower `source.rate_limit`: other programs use up the team's requests.")
        }
        ErrorKind::TokenStore => (
            "CODING-TOKEN-STORE",
            "Make room in the state directory, and see that its disk can be written; it is tried again by itself.",
        ),
        ErrorKind::NotJson | ErrorKind::Protocol | ErrorKind::Http { status: 400..500, .. } => {
            ("CODING-ANSWER", "Check that `source.base_url` leads to CODING; otherwise it passes by itself.")
        }
        ErrorKind::Redirect { .. } => (
            "CODING-REDIRECT",
            "Write the address of CODING itself into `source.team` or `source.base_url`; where a proxy or a login page \
             answers in its place, let these requests pass.",
        ),
        ErrorKind::TooLarge { .. } => (
            "CODING-TOO-LARGE",
            "Make what the answer holds smaller in CODING: a description of many megabytes, a list without end.",
        ),
        ErrorKind::Quota => ("CODING-QUOTA", "Ask the team's administrator to raise the quota."),
        ErrorKind::InvalidParameter => {
            ("CODING-REQUEST", "Report this with the log: tributary sent what CODING does not take.")
        }
        _ => ("CODING-SERVER", "It passes by itself; if it does not, ask CODING's support."),
    }
}
