//! Where rotated OAuth tokens are kept between runs.

use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;
use jiff::Timestamp;
use secrecy::SecretString;

/// The tokens that a refresh gave.
#[derive(Clone, Debug)]
pub struct RotatedTokens {
    /// Goes into the `Authorization` header.
    pub access_token: SecretString,
    /// For the next refresh.
    pub refresh_token: SecretString,
    /// When these tokens were received. Together with `expires_at` it tells when four fifths of the lifetime
    /// are over.
    pub issued_at: Timestamp,
    /// When the access token ends; `None` if the answer did not say.
    pub expires_at: Option<Timestamp>,
}

/// Keeps rotated tokens. A refresh voids the access token before it, and perhaps the refresh token, so losing
/// the newest pair means that a person must authorise again.
///
/// A client calls `load` once, before its first request, and never two methods at a time.
pub trait TokenStore: Send + Sync {
    /// The tokens last saved, or `None`: then the configured ones are used. A store whose configuration was
    /// changed since answers `None`.
    fn load(&self) -> BoxFuture<'_, Result<Option<RotatedTokens>, TokenStoreError>>;

    /// Saves the newest tokens in place of all before. Returns only when they are durable: they are used right
    /// after, and not before.
    fn save<'a>(&'a self, tokens: &'a RotatedTokens) -> BoxFuture<'a, Result<(), TokenStoreError>>;
}

/// The store could not read or write.
#[derive(Debug, thiserror::Error)]
#[error("the token store failed")]
pub struct TokenStoreError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl TokenStoreError {
    /// Wraps the store's own error, or a text.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// Keeps tokens as long as it lives: for tools that run once, and for tests.
#[derive(Debug, Default)]
pub struct MemoryTokenStore {
    tokens: Mutex<Option<RotatedTokens>>,
}

impl MemoryTokenStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl TokenStore for MemoryTokenStore {
    fn load(&self) -> BoxFuture<'_, Result<Option<RotatedTokens>, TokenStoreError>> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(std::future::ready(Ok(tokens)))
    }

    fn save<'a>(&'a self, tokens: &'a RotatedTokens) -> BoxFuture<'a, Result<(), TokenStoreError>> {
        *self.tokens.lock().unwrap_or_else(PoisonError::into_inner) = Some(tokens.clone());
        Box::pin(std::future::ready(Ok(())))
    }
}
