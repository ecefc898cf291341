//! What can go wrong between a client and CODING, and what to do about it.

use std::fmt;
use std::time::Duration;

/// A call that failed.
///
/// The text says what and why; it never holds a credential or a body. [`Error::remedy`] says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{action} failed{}: {kind}{words}", tries(*.attempts))]
pub struct Error {
    kind: ErrorKind,
    action: &'static str,
    attempts: u32,
    words: Box<Words>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What the server said about it.
#[derive(Debug, Default)]
struct Words {
    code: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.code, &self.message) {
            (Some(code), Some(message)) => write!(f, "; it said {code}: {message}")?,
            (Some(code), None) => write!(f, "; it said {code}")?,
            (None, Some(message)) => write!(f, "; {message}")?,
            (None, None) => {}
        }
        self.request_id.iter().try_for_each(|id| write!(f, " (request {id})"))
    }
}

fn tries(attempts: u32) -> String {
    if attempts > 1 { format!(" after {attempts} attempts") } else { String::new() }
}

/// What kind of failure it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No connection, or it broke before an answer came: name not found, refused, reset.
    #[error("the host cannot be reached")]
    Unreachable,
    /// The encrypted connection could not be made: wrong or unknown certificate.
    #[error("no trusted encrypted connection to the host; a private deployment may need its CA file")]
    Tls,
    /// The host's name leads to an address that is not public.
    #[error(
        "the host's name leads to a private address; allow insecure hosts if this is a private deployment"
    )]
    PrivateHost,
    /// Connecting, reading, or the whole attempt took too long.
    #[error("the host did not answer in time")]
    TimedOut,
    /// An HTTP status that says nothing more specific.
    #[error("the host answered with HTTP status {status}")]
    Http {
        /// The status.
        status: u16,
        /// What `Retry-After` asked for.
        retry_after: Option<Duration>,
    },
    /// A redirect: any status from 300 on to 399. It is not followed, because the credential would go along.
    #[error("the host points elsewhere{}, and the credential is not sent there", whereto(to.as_deref()))]
    Redirect {
        /// Where it points to, without query, as far as it says.
        to: Option<String>,
    },
    /// Too many requests: `RequestLimitExceeded`, or status 429.
    #[error("too many requests")]
    RateLimited {
        /// What `Retry-After` asked for.
        retry_after: Option<Duration>,
    },
    /// The answer is no JSON: HTML of a gateway or login page, or another content type.
    #[error("the answer is not JSON; is something between here and CODING, or is the base URL wrong?")]
    NotJson,
    /// The body ended in the middle.
    #[error("the answer was cut off")]
    Truncated,
    /// The body is longer than any page can be.
    #[error("the answer is longer than {} MiB", limit_bytes / (1024 * 1024))]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// A well-formed envelope with nothing in it (`"Response": null`).
    #[error("the answer is empty")]
    EmptyResponse,
    /// The credential is missing, wrong or expired: `AuthFailure`, status 401, or "User not found,
    /// authorization invalid".
    #[error("CODING rejected the credential")]
    Unauthorised,
    /// The credential is known but may not do this: `UnauthorizedOperation`, status 403.
    #[error("the credential may not do this; it lacks a scope or a role")]
    Forbidden,
    /// What was asked for does not exist. Can also mean an unknown user: look at the identity again before
    /// believing it.
    #[error("not found")]
    NotFound,
    /// CODING does not accept the request as it is.
    #[error("CODING does not accept a parameter")]
    InvalidParameter,
    /// A quota is used up (`LimitExceeded`); not the rate limit.
    #[error("a quota of the team is used up")]
    Quota,
    /// A fault on CODING's side: `InternalError`, `ResourceUnavailable`.
    #[error("a fault on CODING's side")]
    Server,
    /// JSON of an unexpected shape.
    #[error("the answer has an unexpected shape")]
    Protocol,
    /// The rotated token could not be stored, so it is not used either; it is kept and stored at the next try.
    #[error("the new access token could not be stored, so it is not used yet")]
    TokenStore,
    /// The answer to a request that must not be sent twice was lost: it may have been done. Look before sending
    /// it again. What happened to the answer is the source.
    #[error("the answer was lost, so it is not known whether it was done; look before trying again")]
    Unknown,
    /// Another code of CODING's.
    #[error("CODING refused")]
    Other,
}

fn whereto(place: Option<&str>) -> String {
    place.map(|place| format!(", to {place}")).unwrap_or_default()
}

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// It may pass by itself: try again, with growing waits.
    Retry,
    /// Try again later; after this time if the server named one.
    Wait(Option<Duration>),
    /// The credential is of no use: a person must give another one.
    Reauthorise,
    /// Repeating changes nothing: a person must look at it.
    AskHuman,
    /// It is not there.
    NotFound,
}

impl ErrorKind {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Unreachable
            | Self::TimedOut
            | Self::NotJson
            | Self::Truncated
            | Self::EmptyResponse
            | Self::Server
            | Self::Protocol
            | Self::TokenStore
            | Self::Unknown
            | Self::Http { status: 408 | 425 | 500.., retry_after: None } => Remedy::Retry,
            Self::Http { status: 408 | 425 | 500.., retry_after } | Self::RateLimited { retry_after } => {
                Remedy::Wait(*retry_after)
            }
            Self::Unauthorised => Remedy::Reauthorise,
            Self::NotFound => Remedy::NotFound,
            Self::Tls
            | Self::PrivateHost
            | Self::Http { .. }
            | Self::Redirect { .. }
            | Self::TooLarge { .. }
            | Self::Forbidden
            | Self::InvalidParameter
            | Self::Quota
            | Self::Other => Remedy::AskHuman,
        }
    }
}

impl ErrorKind {
    /// Whether a request for fewer rows may succeed where this one failed: the answer was too large for somebody on
    /// the way, or took too long.
    pub(crate) fn may_be_the_size(&self) -> bool {
        matches!(
            self,
            Self::TimedOut
                | Self::Truncated
                | Self::TooLarge { .. }
                | Self::Server
                | Self::Http { status: 413 | 500.., .. }
        )
    }

    /// Whether an answer came and what it holds cannot be read.
    pub(crate) fn is_unreadable(&self) -> bool {
        matches!(self, Self::NotJson | Self::Protocol)
    }
}

/// The longest part of a server's own message that is shown.
const MESSAGE_CHARS: usize = 200;
/// Runs of letters and digits from this length on may be secrets (a personal token has 40) and are masked;
/// the longest run in a request id has 12.
const SECRET_RUN: usize = 24;

impl Error {
    pub(crate) fn new(kind: ErrorKind, action: &'static str) -> Self {
        Self { kind, action, attempts: 1, words: Box::default(), source: None }
    }

    pub(crate) fn because(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What the server said about it: its code and message, made safe to show.
    pub(crate) fn with_words(mut self, code: &str, message: &str) -> Self {
        self.words.code = Some(showable(code)).filter(|code| !code.is_empty());
        self.words.message = Some(showable(message)).filter(|message| !message.is_empty());
        self
    }

    pub(crate) fn with_request_id(mut self, id: Option<String>) -> Self {
        self.words.request_id = id.map(|id| showable(&id));
        self
    }

    pub(crate) fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Without the server's words, if they quote one of `secrets` or the beginning of one.
    pub(crate) fn withholding(mut self, secrets: &[String]) -> Self {
        let traces: Vec<String> = secrets.iter().flat_map(|secret| traces(secret)).collect();
        let quotes = |said: &Option<String>| {
            let said = said.as_deref().unwrap_or_default().to_lowercase();
            traces.iter().any(|trace| said.contains(trace))
        };
        if quotes(&self.words.message) || quotes(&self.words.code) {
            self.words.code = None;
            self.words.message = Some("its words quote a secret and are not shown".to_owned());
        }
        if quotes(&self.words.request_id) {
            self.words.request_id = None;
        }
        if let ErrorKind::Redirect { to } = &mut self.kind
            && quotes(to)
        {
            *to = None;
        }
        self
    }

    /// Whether a request that ended like this may have been carried out all the same.
    pub(crate) fn may_have_been_done(&self) -> bool {
        match &self.kind {
            ErrorKind::Unreachable | ErrorKind::TimedOut => !self.before_sending(),
            ErrorKind::NotJson
            | ErrorKind::Truncated
            | ErrorKind::TooLarge { .. }
            | ErrorKind::EmptyResponse
            | ErrorKind::Server
            | ErrorKind::Protocol
            | ErrorKind::Unknown
            | ErrorKind::Http { status: 408 | 425 | 500.., .. } => true,
            ErrorKind::Tls
            | ErrorKind::PrivateHost
            | ErrorKind::Http { .. }
            | ErrorKind::Redirect { .. }
            | ErrorKind::RateLimited { .. }
            | ErrorKind::Unauthorised
            | ErrorKind::Forbidden
            | ErrorKind::NotFound
            | ErrorKind::InvalidParameter
            | ErrorKind::Quota
            | ErrorKind::TokenStore
            | ErrorKind::Other => false,
        }
    }

    /// Whether no connection ever stood.
    fn before_sending(&self) -> bool {
        let source = self.source.as_deref().and_then(|source| source.downcast_ref::<reqwest::Error>());
        source.is_some_and(reqwest::Error::is_connect)
    }

    /// The same failure of a request that must not be sent twice.
    pub(crate) fn into_unknown(self) -> Self {
        let (action, attempts) = (self.action, self.attempts);
        Self::new(ErrorKind::Unknown, action).with_attempts(attempts).because(self)
    }

    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        self.kind.remedy()
    }

    /// The action that failed, as the API spells it.
    #[must_use]
    pub fn action(&self) -> &'static str {
        self.action
    }

    /// How many requests were made before giving up.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The code in the server's answer, for example `InvalidParameterValue`.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.words.code.as_deref()
    }

    /// The server's own words, shortened and masked.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.words.message.as_deref()
    }

    /// The number under which CODING's support finds the request.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.words.request_id.as_deref()
    }
}

/// One line, bounded, without anything that looks like a secret.
pub(crate) fn showable(text: &str) -> String {
    let mut shown = String::new();
    let mut run = String::new();
    let flush = |run: &mut String, shown: &mut String| {
        shown.push_str(if run.len() >= SECRET_RUN { "***" } else { run });
        run.clear();
    };
    for char in text.trim().chars().take(MESSAGE_CHARS) {
        if char.is_ascii_alphanumeric() && !(char.is_ascii_uppercase() && looks_like_word(&run)) {
            run.push(char);
        } else {
            flush(&mut run, &mut shown);
            match char {
                char if char.is_ascii_alphanumeric() => run.push(char),
                char if char.is_control() => shown.push(' '),
                char => shown.push(char),
            }
        }
    }
    flush(&mut run, &mut shown);
    shown
}

/// From this length on a piece of a secret is worth hiding; shorter ones are syllables.
const PIECE: usize = 6;
/// A secret that is shorter is a word that messages hold anyway.
const SHORTEST: usize = 4;

/// What gives a secret away, in small letters: its beginning, as it stands and as a URL spells it, and the beginnings of
/// its runs of letters and digits. That is what is left of it after masking and cutting.
fn traces(secret: &str) -> Vec<String> {
    let beginning = |text: &str| text.chars().take(PIECE).collect::<String>();
    let in_url: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let in_url = in_url.replace('+', "%20");
    let runs = secret.split(|char: char| !char.is_ascii_alphanumeric()).filter(|run| run.len() >= PIECE);
    let mut traces: Vec<String> = runs.map(beginning).collect();
    if secret.chars().count() >= SHORTEST {
        traces.extend([
            beginning(&showable(secret)),
            beginning(secret),
            in_url.chars().take(2 * PIECE).collect(),
        ]);
    }
    // A mask is no trace.
    traces.retain(|trace| trace.chars().any(char::is_alphanumeric));
    traces.into_iter().map(|trace| trace.to_lowercase()).collect()
}

/// Codes such as `InvalidParameterValue` are words in camel case, not secrets: a capital after small letters
/// begins a new run.
fn looks_like_word(run: &str) -> bool {
    run.len() > 2 && run.chars().skip(1).all(|char| char.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::{Error, ErrorKind, showable};

    #[test]
    fn messages_are_one_line_bounded_and_hold_no_token() {
        assert_eq!(showable("资源未找到"), "资源未找到");
        assert_eq!(
            showable("InvalidParameterValue.EmailNotFoundAccount"),
            "InvalidParameterValue.EmailNotFoundAccount"
        );
        assert_eq!(
            showable("token 0123456789abcdef0123456789abcdef01234567 is\nunknown"),
            "token *** is unknown"
        );
        assert_eq!(showable(&"字".repeat(500)).chars().count(), 200);
    }

    #[test]
    fn words_that_quote_a_secret_of_any_shape_are_withheld() {
        for secret in [
            "0123456789abcdef0123456789abcdef01234567",
            "p-4.n_t~3+d",
            "pä-ö.!",
            "a b\"c\\d",
            "密码密码",
            "ab+/==",
        ] {
            let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            for quoted in [secret.to_owned(), secret.to_uppercase(), encoded.replace('+', "%20")] {
                let error = Error::new(ErrorKind::Forbidden, "DescribeIssue")
                    .with_words(&format!("Denied.{quoted}"), &format!("token {quoted} is unknown"))
                    .with_request_id(Some(format!("1-{quoted}")))
                    .withholding(&[secret.to_owned()]);
                let words = [error.message(), error.code(), error.request_id()];
                assert!(words.iter().flatten().all(|said| !said.contains(&quoted)), "{words:?}");
            }
        }
        let error = Error::new(ErrorKind::Forbidden, "DescribeIssue")
            .with_words("Denied", "the project is unknown")
            .withholding(&["p-4.n_t~3+d".to_owned()]);
        assert_eq!(error.message(), Some("the project is unknown"));
    }

    #[test]
    fn an_error_says_what_why_and_how_often() {
        let error = Error::new(ErrorKind::InvalidParameter, "CreateIteration")
            .with_words("InvalidParameterValue", "Title Duplicated")
            .with_request_id(Some("1b2c".to_owned()))
            .with_attempts(3);
        assert_eq!(
            error.to_string(),
            "CreateIteration failed after 3 attempts: CODING does not accept a parameter; \
             it said InvalidParameterValue: Title Duplicated (request 1b2c)"
        );
    }
}
