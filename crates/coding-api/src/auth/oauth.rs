//! OAuth access tokens: one writer, refreshed in time, persisted before use.
//!
//! All of a client's requests take their token through one async lock, so while a refresh runs everybody
//! waits for the new token (the old one is void from the moment the server answers). The refresh itself runs
//! in a task that the client owns: a caller that is dropped half-way cannot lose a token that the server has
//! already given out.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::Ticket;
use super::credential::{OAuthCredential, bearer};
use super::store::{RotatedTokens, TokenStore};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind};
use crate::row::integer;

/// How a refresh is called in errors and counters; it is no action of the Open API.
pub(crate) const REFRESH: &str = "RefreshAccessToken";

/// After an early refresh that failed, the token is still good: it is used and the refresh tried again after
/// this time at the earliest. After a grant that was refused, all requests of this time fail without asking
/// again: a crowd must not knock with a dead token one by one.
const BETWEEN_TRIES: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct OAuth {
    shared: Arc<Shared>,
    state: Arc<Mutex<State>>,
    refreshes: TaskTracker,
}

struct Shared {
    url: String,
    app: OAuthCredential,
    store: Arc<dyn TokenStore>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("url", &self.url).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct State {
    loaded: bool,
    /// The token in use; `None` before the first refresh when none was configured.
    current: Option<Current>,
    generation: u64,
    refresh_token: SecretString,
    /// Given out by the server and not yet durable: stored at the next try, used only after.
    unsaved: Option<RotatedTokens>,
    /// No early refresh before this.
    not_before: Option<tokio::time::Instant>,
    /// The grant was refused; no refresh before this.
    refused_until: Option<tokio::time::Instant>,
}

#[derive(Debug)]
struct Current {
    header: HeaderValue,
    /// When four fifths of the lifetime are over; `None` if the lifetime is unknown.
    refresh_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

impl OAuth {
    pub(super) fn new(
        url: String,
        app: OAuthCredential,
        store: Arc<dyn TokenStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let current = app.access_token.as_ref().and_then(|token| {
            Some(Current { header: bearer(token).ok()?, refresh_at: None, expires_at: None })
        });
        let state = State {
            loaded: false,
            current,
            generation: 0,
            refresh_token: app.refresh_token.clone(),
            unsaved: None,
            not_before: None,
            refused_until: None,
        };
        Self {
            shared: Arc::new(Shared { url, app, store, clock }),
            state: Arc::new(Mutex::new(state)),
            refreshes: TaskTracker::new(),
        }
    }

    pub(super) async fn ticket(&self, http: &reqwest::Client) -> Result<Ticket, Error> {
        let mut state = self.loaded().await?;
        let now = self.shared.clock.now();
        if state.unsaved.is_some() || state.current.is_none() {
            state = self.refresh(http, state).await?;
        } else if state.is_due(now) {
            if state.current.as_ref().and_then(|current| current.expires_at).is_some_and(|end| end <= now) {
                state = self.refresh(http, state).await?;
            } else {
                state = self.refresh_early(http, state).await?;
            }
        }
        state.ticket()
    }

    pub(super) async fn refused(&self, http: &reqwest::Client, generation: u64) -> Result<(), Error> {
        let state = self.loaded().await?;
        if state.generation == generation || state.unsaved.is_some() {
            self.refresh(http, state).await?;
        }
        Ok(())
    }

    pub(super) async fn settle(&self) {
        self.refreshes.close();
        self.refreshes.wait().await;
        self.refreshes.reopen();
    }

    /// The state, with what the store remembers taken in.
    async fn loaded(&self) -> Result<OwnedMutexGuard<State>, Error> {
        let mut state = Arc::clone(&self.state).lock_owned().await;
        if !state.loaded {
            let stored = self.shared.store.load().await;
            let stored = stored.map_err(|error| Error::new(ErrorKind::TokenStore, REFRESH).because(error))?;
            if let Some(tokens) = stored {
                state.adopt(&tokens)?;
            }
            state.loaded = true;
        }
        Ok(state)
    }

    /// Four fifths are over but the token is still good: a refresh that fails is no reason to fail a request.
    async fn refresh_early(
        &self,
        http: &reqwest::Client,
        mut state: OwnedMutexGuard<State>,
    ) -> Result<OwnedMutexGuard<State>, Error> {
        if state.not_before.is_some_and(|not_before| tokio::time::Instant::now() < not_before) {
            return Ok(state);
        }
        // Before the try, because others look at it as soon as this one has failed.
        state.not_before = Some(tokio::time::Instant::now() + BETWEEN_TRIES);
        match self.refresh(http, state).await {
            Ok(state) => Ok(state),
            Err(error) => {
                let state = Arc::clone(&self.state).lock_owned().await;
                if state.unsaved.is_some() {
                    return Err(error); // the server has replaced the old token
                }
                warn!(error = %error, "could not refresh the access token early; it is used as long as it lasts");
                Ok(state)
            }
        }
    }

    async fn refresh(
        &self,
        http: &reqwest::Client,
        mut state: OwnedMutexGuard<State>,
    ) -> Result<OwnedMutexGuard<State>, Error> {
        let (shared, http) = (Arc::clone(&self.shared), http.clone());
        let task = self.refreshes.spawn(async move {
            if state.unsaved.is_none() {
                if state.refused_until.is_some_and(|until| tokio::time::Instant::now() < until) {
                    return Err(refused());
                }
                let fetched = shared.fetch(&http, &state.refresh_token).await;
                if fetched.as_ref().is_err_and(|error| *error.kind() == ErrorKind::Unauthorised) {
                    state.refused_until = Some(tokio::time::Instant::now() + BETWEEN_TRIES);
                }
                state.unsaved = Some(fetched?);
            }
            if let Some(tokens) = state.unsaved.clone() {
                // From here on the old refresh token may be void, whether saving succeeds or not.
                state.refresh_token = tokens.refresh_token.clone();
                let saved = shared.store.save(&tokens).await;
                saved.map_err(|error| Error::new(ErrorKind::TokenStore, REFRESH).because(error))?;
                state.unsaved = None;
                state.adopt(&tokens)?;
                debug!(generation = state.generation, "took a new access token");
            }
            Ok(state)
        });
        task.await.map_err(|error| Error::new(ErrorKind::TokenStore, REFRESH).because(error))?
    }
}

impl State {
    fn ticket(&self) -> Result<Ticket, Error> {
        let current = self.current.as_ref().ok_or_else(|| Error::new(ErrorKind::Unauthorised, REFRESH))?;
        Ok(Ticket { header: current.header.clone(), generation: self.generation })
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.current.as_ref().and_then(|current| current.refresh_at).is_some_and(|at| at <= now)
    }

    fn adopt(&mut self, tokens: &RotatedTokens) -> Result<(), Error> {
        let unusable = |error| Error::new(ErrorKind::Unauthorised, REFRESH).because(error);
        let header = bearer(&tokens.access_token).map_err(unusable)?;
        let refresh_at = tokens.expires_at.map(|end| {
            let lifetime = end.duration_since(tokens.issued_at).max(SignedDuration::ZERO);
            tokens.issued_at.saturating_add(lifetime * 4 / 5).unwrap_or(end)
        });
        self.current = Some(Current { header, refresh_at, expires_at: tokens.expires_at });
        self.refresh_token = tokens.refresh_token.clone();
        self.generation += 1;
        self.not_before = None;
        Ok(())
    }
}

fn refused() -> Error {
    Error::new(ErrorKind::Unauthorised, REFRESH)
        .with_words("", "the refresh token was not accepted; authorise the app again")
}

/// The answer of the token endpoint; it has no envelope.
#[derive(Deserialize)]
struct Answer {
    access_token: Option<SecretString>,
    refresh_token: Option<SecretString>,
    /// Seconds, printed as a string.
    expires_in: Option<Value>,
}

/// The longest answer of the token endpoint that makes sense.
const ANSWER_LIMIT: usize = 64 * 1024;

impl Shared {
    async fn fetch(
        &self,
        http: &reqwest::Client,
        refresh_token: &SecretString,
    ) -> Result<RotatedTokens, Error> {
        let form = [
            ("client_id", self.app.client_id.as_str()),
            ("client_secret", self.app.client_secret.expose_secret()),
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token.expose_secret()),
        ];
        // The lifetime is counted from before the request: rather refresh too early than too late.
        let issued_at = self.clock.now();
        let answer =
            crate::client::exchange::send(http.post(&self.url).form(&form), REFRESH, ANSWER_LIMIT).await?;
        let status = answer.status;
        if matches!(status, 300..=399 | 408 | 429 | 500..) {
            return Err(answer.refusal(REFRESH, self.clock.as_ref()));
        }
        read(status, answer.body, refresh_token, issued_at)
    }
}

/// Reads what the token endpoint answered to a request of `issued_at`; without another refresh token the one that was
/// used stays good.
pub(crate) fn read(
    status: u16,
    body: Vec<u8>,
    refresh_token: &SecretString,
    issued_at: Timestamp,
) -> Result<RotatedTokens, Error> {
    let sane = crate::sanitize::sanitize(body);
    let parsed: Option<Answer> = serde_json::from_str(sane.text()).ok();
    let Some(parsed) = parsed else {
        // HTML with a 200 is a gateway between us and CODING; with a 4xx it is a plain no.
        return Err(if status < 300 { Error::new(ErrorKind::NotJson, REFRESH) } else { refused() });
    };
    let Some(access_token) = parsed.access_token.filter(|token| !token.expose_secret().is_empty()) else {
        return Err(refused());
    };
    let refresh_token = parsed
        .refresh_token
        .filter(|token| !token.expose_secret().is_empty())
        .unwrap_or_else(|| refresh_token.clone());
    let expires_at = parsed
        .expires_in
        .as_ref()
        .and_then(integer)
        .filter(|seconds| *seconds > 0)
        .and_then(|seconds| issued_at.saturating_add(SignedDuration::from_secs(seconds)).ok());
    Ok(RotatedTokens { access_token, refresh_token, issued_at, expires_at })
}
