//! Opens sources, and keeps what an OAuth refresh gives: encrypted in the state directory, before it is used.

use std::path::Path;
use std::sync::Arc;

use connectors::coding::config::{AuthConfig, CodingSettings, OauthConfig};
use connectors::coding::source::CodingSource;
use connectors::coding::{Budgets, RotatedTokens, TokenStore, TokenStoreError};
use engine::clock::Clock;
use engine::problem::Problem;
use futures::FutureExt;
use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use store::tokens::{CredentialDigest, Stored, TokenVault};
use store::vault::{Vault, VaultError};

/// Under this name the vault keeps the tokens of the source.
const TOKENS: &str = "source.oauth";

/// What all sources of the process share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// One budget for each team, whoever asks.
    budgets: Budgets,
    vault_key: Option<SecretString>,
}

impl Shared {
    /// Nothing is open yet. `vault_key` is the operator's key for tokens at rest.
    pub(crate) fn new(vault_key: Option<SecretString>) -> Shared {
        Shared { budgets: Budgets::new(), vault_key }
    }

    /// The operator's key for secrets at rest.
    pub(crate) fn vault_key(&self) -> Option<SecretString> {
        self.vault_key.clone()
    }

    /// Opens a source beside a process that runs it: an OAuth token is taken as that process keeps it and never
    /// renewed, for that would void the other's.
    pub(crate) async fn open_beside(
        &self,
        settings: &CodingSettings,
        dir: &Path,
        clock: Clock,
    ) -> Result<CodingSource, Problem> {
        let AuthConfig::Oauth(oauth) = &settings.auth else { return self.open(settings, dir, clock) };
        let store = self.tokens(oauth, dir).map_err(|error| error.problem)?;
        let kept = store.load().await.map_err(|error| no_token(&error.to_string()))?;
        let token = kept.map(|kept| kept.access_token).or_else(|| oauth.access_token.clone());
        let Some(token) = token else { return Err(no_token("the running sync has not kept one yet")) };
        CodingSource::open_with_token(settings.clone(), &self.budgets, token, clock)
            .map_err(|error| error.problem)
    }

    /// Opens a source whose rotated tokens are kept in `dir`. Sends nothing. The caller holds the lock of `dir`
    /// when the credential is an OAuth one: two writers would void each other's tokens.
    pub(crate) fn open(
        &self,
        settings: &CodingSettings,
        dir: &Path,
        clock: Clock,
    ) -> Result<CodingSource, Problem> {
        let tokens = match &settings.auth {
            AuthConfig::Oauth(oauth) => Some(self.tokens(oauth, dir).map_err(|error| error.problem)?),
            AuthConfig::Token(_) | AuthConfig::ProjectToken(_) => None,
        };
        CodingSource::open(settings.clone(), &self.budgets, tokens, clock).map_err(|error| error.problem)
    }

    fn tokens(&self, oauth: &OauthConfig, dir: &Path) -> Result<Arc<dyn TokenStore>, VaultError> {
        let vault = Vault::open(dir, self.vault_key.clone())?;
        let access = oauth.access_token.as_ref().map_or("", |token| token.expose_secret());
        let configured = CredentialDigest::of(&[
            &oauth.client_id,
            oauth.client_secret.expose_secret(),
            oauth.refresh_token.expose_secret(),
            access,
        ]);
        Ok(Arc::new(KeptTokens { vault: Arc::new(TokenVault::new(Arc::new(vault), TOKENS)), configured }))
    }
}

fn no_token(why: &str) -> Problem {
    Problem::new(
        "TOKEN-BESIDE",
        "Cannot talk to CODING beside the running sync",
        format!("its OAuth token is not to be had: {why}"),
        "Try again in a moment, or stop the sync first.",
    )
}

/// Rotated tokens in the vault, as the client wants them. Files are flushed on a thread of their own.
struct KeptTokens {
    vault: Arc<TokenVault>,
    /// Tokens that came from another configuration are not these.
    configured: CredentialDigest,
}

impl TokenStore for KeptTokens {
    fn load(&self) -> BoxFuture<'_, Result<Option<RotatedTokens>, TokenStoreError>> {
        let (vault, configured) = (Arc::clone(&self.vault), self.configured.clone());
        async move {
            let stored = on_a_thread(move || vault.load(&configured)).await?;
            Ok(stored.map(|stored| RotatedTokens {
                access_token: stored.access_token,
                refresh_token: stored.refresh_token,
                issued_at: stored.issued_at,
                expires_at: stored.expires_at,
            }))
        }
        .boxed()
    }

    fn save<'a>(&'a self, tokens: &'a RotatedTokens) -> BoxFuture<'a, Result<(), TokenStoreError>> {
        let (vault, configured) = (Arc::clone(&self.vault), self.configured.clone());
        let stored = Stored {
            access_token: tokens.access_token.clone(),
            refresh_token: tokens.refresh_token.clone(),
            issued_at: tokens.issued_at,
            expires_at: tokens.expires_at,
        };
        on_a_thread(move || vault.store(&configured, &stored)).boxed()
    }
}

async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VaultError> + Send + 'static,
) -> Result<T, TokenStoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(TokenStoreError::new),
        Err(error) => Err(TokenStoreError::new(error)),
    }
}
