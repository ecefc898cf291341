//! The client: sends actions within the budget, repeats what may be repeated, reads answers.
//!
//! The methods of the actions are in `actions.rs`; how one request becomes bytes and an error kind is in
//! `exchange.rs`. Start with [`Client::call`].

pub(crate) mod ask;
pub(crate) mod builder;
pub(crate) mod exchange;
mod resolve;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::auth::credential::{Credential, spoken};
use crate::auth::{Authority, Ticket};
use crate::base_url::BaseUrl;
use crate::budget::{Budget, Priority};
use crate::clock::Clock;
use crate::envelope::{self, Read};
use crate::error::{Error, ErrorKind, Remedy};
use crate::paging::size::PageSizes;
use crate::retry::RetryPolicy;
use crate::sanitize::sanitize;
use ask::{Ask, ReadPayload, Wanted};
use builder::ClientBuilder;
use exchange::Answer;

/// The longest body that is read: 500 rows of 100 kB each would fit. Beyond it lies a server gone wrong or a
/// decompression bomb.
const BODY_LIMIT: usize = 64 * 1024 * 1024;
/// A body of so many bytes is read on a thread of its own: a whole page takes some ten milliseconds, and whoever waits
/// for a short answer would wait for it too.
const LONG_BODY: usize = 64 * 1024;
/// How often one call may be repeated with another token: once because the token was replaced meanwhile, once
/// because the new one was replaced too. After that the credential is no good.
const TOKENS_PER_CALL: u32 = 2;

/// A client of one CODING with one credential. Cheap to clone; clones share connections, budget and counters.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    priority: Priority,
}

/// An answer, and what is worth knowing about when it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply<T> {
    /// The payload.
    pub value: T,
    /// When the attempt that was answered went out, after the wait for the budget. What the server changed
    /// later than this is not in the answer.
    pub sent_at: Instant,
    /// The server's clock when it answered (whole seconds), if it said so.
    pub server_time: Option<Timestamp>,
}

impl<T> Reply<T> {
    /// The same reply with another payload.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Reply<U> {
        Reply { value: change(self.value), sent_at: self.sent_at, server_time: self.server_time }
    }
}

/// What the clones of a client share.
struct Inner {
    http: reqwest::Client,
    base: BaseUrl,
    api: String,
    authority: Authority,
    budget: Budget,
    retries: RetryPolicy,
    clock: Arc<dyn Clock>,
    counters: Mutex<BTreeMap<&'static str, u64>>,
    answers: AtomicU64,
    page_sizes: PageSizes,
    /// Long bodies are read one at a time: what becomes of the rows wants a core, too.
    reading: Semaphore,
    skew: Mutex<Option<SignedDuration>>,
    replaced: AtomicU64,
    replacement_told: AtomicBool,
}

impl Inner {
    fn new(
        http: reqwest::Client,
        base: BaseUrl,
        authority: Authority,
        budget: Budget,
        retries: RetryPolicy,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            http,
            api: base.api(),
            base,
            authority,
            budget,
            retries,
            clock,
            counters: Mutex::default(),
            answers: AtomicU64::new(0),
            page_sizes: PageSizes::default(),
            reading: Semaphore::new(1),
            skew: Mutex::default(),
            replaced: AtomicU64::new(0),
            replacement_told: AtomicBool::new(false),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base", &self.inner.base)
            .field("priority", &self.priority)
            .finish_non_exhaustive()
    }
}

/// An attempt that failed, and with which token.
struct Failed {
    error: Error,
    generation: Option<u64>,
}

impl Client {
    /// Begins a client for the CODING at `base`.
    pub fn builder(base: BaseUrl, credential: Credential) -> ClientBuilder {
        ClientBuilder::new(base, credential)
    }

    fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner), priority: Priority::Poll }
    }

    /// The same client, asking at another priority. A new client asks at [`Priority::Poll`].
    #[must_use]
    pub fn at(&self, priority: Priority) -> Self {
        Self { inner: Arc::clone(&self.inner), priority }
    }

    /// Where it asks.
    #[must_use]
    pub fn base_url(&self) -> &BaseUrl {
        &self.inner.base
    }

    /// What it spends from.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.inner.budget
    }

    /// How many requests were really sent, by action; every attempt counts. Token refreshes are no actions and
    /// do not count.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<&'static str, u64> {
        self.inner.counters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests were answered, in whatever way. What grows tells that somebody is there.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.inner.answers.load(Ordering::Relaxed)
    }

    /// In which sizes pages come.
    pub(crate) fn page_sizes(&self) -> &PageSizes {
        &self.inner.page_sizes
    }

    /// How far the server's clock is ahead of this machine's, by the last answer; within about a second,
    /// because servers state whole seconds. `None` before the first answer that states it.
    #[must_use]
    pub fn clock_skew(&self) -> Option<SignedDuration> {
        *self.inner.skew.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many characters were replaced by U+FFFD because they could not be read or stored: halves of
    /// surrogate pairs, U+0000, bytes that are not UTF-8.
    #[must_use]
    pub fn replaced_characters(&self) -> u64 {
        self.inner.replaced.load(Ordering::Relaxed)
    }

    /// Waits for a token refresh under way, so that a rotated token is stored before the process ends. Call it
    /// after the last request.
    pub async fn close(&self) {
        self.inner.authority.settle().await;
    }

    /// Sends a reading action until it is answered or the attempts are used up. The payload lies under one of
    /// `keys`.
    pub(crate) async fn call<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
        action: &'static str,
        params: &Map<String, Value>,
        keys: &'static [&'static str],
    ) -> Result<Reply<T>, Error> {
        self.exchange(action, params, &Ask::read(keys), PhantomData).await
    }

    /// Sends an action until it is answered, the attempts are used up, or it may not be repeated.
    pub(crate) async fn ask<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
        action: &'static str,
        params: &Map<String, Value>,
        ask: &Ask,
    ) -> Result<Reply<T>, Error> {
        self.exchange(action, params, ask, PhantomData).await
    }

    /// As [`Client::ask`]; `payload` reads the payload.
    pub(crate) async fn exchange<T: Send + 'static, S: ReadPayload<T>>(
        &self,
        action: &'static str,
        params: &Map<String, Value>,
        ask: &Ask,
        payload: S,
    ) -> Result<Reply<T>, Error> {
        let retries = self.inner.retries;
        let body = body(action, params);
        let (mut attempts, mut failures, mut throttled, mut tokens) = (0, 0, 0, 0);
        let mut row_by_row = ask.row_by_row && retries.attempts <= 1;
        loop {
            attempts += 1;
            let attempt = self.attempt(action, &body, ask, row_by_row, &payload).await;
            let Failed { error, generation } = match attempt {
                Ok(reply) => return Ok(reply),
                Err(failed) => failed,
            };
            let error = error.with_attempts(attempts).withholding(&ask.secrets);
            // Without a generation there was no token, so nothing was sent.
            if !ask.repeatable && generation.is_some() && error.may_have_been_done() {
                return Err(error.into_unknown());
            }
            if let (ErrorKind::Unauthorised, Some(generation)) = (error.kind(), generation) {
                tokens += 1;
                if tokens <= TOKENS_PER_CALL {
                    match self.inner.authority.refused(&self.inner.http, generation).await {
                        Ok(true) => continue,
                        Ok(false) => return Err(error),
                        // The server can be away while a token is refreshed, too.
                        Err(refresh)
                            if refresh.remedy() == Remedy::Retry && failures + 1 < retries.attempts =>
                        {
                            failures += 1;
                            tokens -= 1;
                            tokio::time::sleep(retries.delay(failures)).await;
                            continue;
                        }
                        Err(refresh) => return Err(refresh.with_attempts(attempts)),
                    }
                }
            }
            let asked = match error.remedy() {
                Remedy::Retry => None,
                Remedy::Wait(asked) => asked,
                Remedy::Reauthorise | Remedy::AskHuman | Remedy::NotFound => return Err(error),
            };
            let patience = if matches!(error.kind(), ErrorKind::RateLimited { .. }) {
                self.inner.budget.throttled(action);
                throttled += 1;
                throttled <= retries.throttled_attempts
            } else {
                failures += 1;
                row_by_row |= ask.row_by_row && error.kind().is_unreadable();
                failures < ask.attempts(error.kind(), retries.attempts)
            };
            if !patience || asked.is_some_and(|asked| asked > retries.longest_retry_after) {
                return Err(error);
            }
            let delay = retries.delay(failures.max(throttled)).max(asked.unwrap_or(Duration::ZERO));
            debug!(action, attempts, delay_ms = millis(delay), error = %error, "trying {action} again");
            tokio::time::sleep(delay).await;
        }
    }

    /// One request.
    async fn attempt<T: Send + 'static, S: ReadPayload<T>>(
        &self,
        action: &'static str,
        body: &Bytes,
        ask: &Ask,
        row_by_row: bool,
        payload: &S,
    ) -> Result<Reply<T>, Failed> {
        let inner = &*self.inner;
        // First the wait, then the token: one taken before a long wait might be void after it.
        let mut permit = inner.budget.acquire(action, self.priority).await;
        let ticket = inner.authority.ticket(&inner.http).await;
        let Ticket { header, generation } = ticket.map_err(|error| Failed { error, generation: None })?;
        let secrets = spoken(&header);
        let failed =
            |error: Error| Failed { error: error.withholding(&secrets), generation: Some(generation) };
        let request = inner
            .http
            .post(&inner.api)
            .header(AUTHORIZATION, header)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(body.clone());
        *inner.counters.lock().unwrap_or_else(PoisonError::into_inner).entry(action).or_default() += 1;
        let sent_at = permit.sent();
        let answer = exchange::send(request, action, BODY_LIMIT).await;
        drop(permit);
        let answer = answer.map_err(failed)?;
        inner.answers.fetch_add(1, Ordering::Relaxed);
        let (server_time, bytes) = (answer.server_time(), answer.body.len());
        self.note_skew(server_time, sent_at);
        debug!(
            action,
            status = answer.status,
            bytes,
            duration_ms = millis(sent_at.elapsed()),
            "asked for {action}"
        );
        let (client, payload) = (self.clone(), payload.clone());
        let wanted = Wanted { keys: ask.keys, bare: ask.bare, row_by_row };
        let read = move || client.read(action, answer, wanted, &payload);
        let value = if bytes < LONG_BODY {
            read()
        } else {
            // Never closed.
            let _alone = inner.reading.acquire().await;
            apart(action, read).await
        };
        let value = value.map_err(failed)?;
        Ok(Reply { value, sent_at, server_time })
    }

    fn read<T, S: ReadPayload<T>>(
        &self,
        action: &'static str,
        answer: Answer,
        Wanted { keys, bare, row_by_row }: Wanted,
        payload: &S,
    ) -> Result<T, Error> {
        if !(200..300).contains(&answer.status) {
            return Err(answer.refusal(action, self.inner.clock.as_ref()));
        }
        if answer.body.iter().all(u8::is_ascii_whitespace) {
            return Err(Error::new(ErrorKind::EmptyResponse, action));
        }
        if answer.is_foreign() {
            return Err(Error::new(ErrorKind::NotJson, action));
        }
        let sane = sanitize(answer.body);
        self.note_replaced(action, sane.replaced);
        match envelope::read(sane.text(), keys, payload.clone()) {
            Ok(Read::Payload(value)) => Ok(value),
            // A request id shows that it is an answer, and not what a gateway makes up.
            Ok(Read::Empty { request_id: Some(_) }) if bare => {
                let nothing = payload.clone().deserialize(Value::Null);
                nothing.map_err(|_| Error::new(ErrorKind::Protocol, action))
            }
            Ok(Read::Refused { code, message, request_id }) => {
                Err(Answer::envelope_error(action, &code, &message, request_id))
            }
            Ok(Read::Empty { request_id }) => {
                Err(Error::new(ErrorKind::EmptyResponse, action).with_request_id(request_id))
            }
            Err(error) => {
                use serde_json::error::Category;
                // Where the text is cut off there may be more rows.
                if let (true, false) = (row_by_row, error.is_eof())
                    && let Some(value) = payload.row_by_row(sane.text(), keys)
                {
                    return Ok(value);
                }
                let kind = match error.classify() {
                    Category::Eof => ErrorKind::Truncated,
                    Category::Data => ErrorKind::Protocol,
                    Category::Syntax | Category::Io => ErrorKind::NotJson,
                };
                // The parser's message may quote a value of the body: only the place is kept.
                let place = format!("line {} column {}", error.line(), error.column());
                Err(Error::new(kind, action).because(place))
            }
        }
    }

    fn note_skew(&self, server_time: Option<Timestamp>, sent_at: Instant) {
        let Some(server_time) = server_time else { return };
        // The server answered somewhere between sending and now, within the second that it states.
        let half = SignedDuration::try_from(sent_at.elapsed() / 2).unwrap_or(SignedDuration::ZERO);
        let server = server_time.saturating_add(SignedDuration::from_millis(500) + half);
        let skew = server.map(|server| server.duration_since(self.inner.clock.now())).ok();
        *self.inner.skew.lock().unwrap_or_else(PoisonError::into_inner) = skew;
    }

    fn note_replaced(&self, action: &'static str, replaced: u64) {
        if replaced > 0 {
            self.inner.replaced.fetch_add(replaced, Ordering::Relaxed);
            if !self.inner.replacement_told.swap(true, Ordering::Relaxed) {
                warn!(action, replaced, "characters that cannot be stored were replaced by U+FFFD");
            }
        }
    }
}

/// Has an answer read on a thread of its own.
async fn apart<T: Send + 'static>(
    action: &'static str,
    read: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(read).await {
        Ok(read) => read,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // Only the end of the runtime cancels it.
        Err(error) => Err(Error::new(ErrorKind::Unreachable, action).because(error)),
    }
}

/// `{"Action": …, …params}`, made once for all attempts.
fn body(action: &'static str, params: &Map<String, Value>) -> Bytes {
    let mut whole = params.clone();
    whole.insert("Action".to_owned(), Value::from(action));
    Bytes::from(Value::Object(whole).to_string())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
