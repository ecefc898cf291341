//! OAuth tokens that were rotated after they were configured.
//!
//! A refresh voids the tokens before it, so the newest ones are kept here, together with a digest of the
//! credential in the configuration they came from. When somebody changes the configuration, the configuration
//! wins and what was kept is dropped.

use std::sync::Arc;

use engine::failpoint::Step;
use engine::words;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::vault::{Vault, VaultError, of_format};

/// Tells configured credentials apart. Stored only inside the vault.
#[derive(Clone, PartialEq, Eq)]
pub struct CredentialDigest(String);

impl std::fmt::Debug for CredentialDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CredentialDigest(…)")
    }
}

impl CredentialDigest {
    /// Digest of everything that was configured: client id, client secret, tokens. The order counts.
    #[must_use]
    pub fn of(parts: &[&str]) -> CredentialDigest {
        let mut hasher = Sha256::new();
        hasher.update(b"tributary credential 1");
        for part in parts {
            // The length goes first, so that ["ab", "c"] and ["a", "bc"] differ.
            hasher.update(part.len().to_le_bytes());
            hasher.update(part.as_bytes());
        }
        CredentialDigest(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Rotated tokens.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The newest access token.
    pub access_token: SecretString,
    /// What the next refresh needs.
    pub refresh_token: SecretString,
    /// When they were received.
    pub issued_at: Timestamp,
    /// When the access token ends, if the server said so.
    pub expires_at: Option<Timestamp>,
}

/// What lies encrypted in the vault.
#[derive(Deserialize, Serialize)]
struct Record {
    format: u32,
    configured: String,
    access_token: String,
    refresh_token: String,
    issued_at: Timestamp,
    expires_at: Option<Timestamp>,
}

const FORMAT: u32 = 1;

const KEEP: Step = Step::named("tokens::keep");

/// Keeps the tokens of one credential in a vault.
#[derive(Clone, Debug)]
pub struct TokenVault {
    vault: Arc<Vault>,
    name: String,
}

impl TokenVault {
    /// Tokens kept under `name`.
    #[must_use]
    pub fn new(vault: Arc<Vault>, name: impl Into<String>) -> TokenVault {
        TokenVault { vault, name: name.into() }
    }

    /// The tokens that came from the credential now configured. Those of another one are removed.
    ///
    /// # Errors
    /// As [`Vault::get`]; also when a newer version stored them.
    pub fn load(&self, configured: &CredentialDigest) -> Result<Option<Stored>, VaultError> {
        let Some(secret) = self.vault.get(&self.name)? else { return Ok(None) };
        let what = format!("the secret `{}`", self.name);
        let damaged = || self.vault.damaged(&format!("{what} is not readable"));
        let record: Record = of_format(secret.expose_secret().as_bytes(), &what, FORMAT, damaged)?;
        if record.configured != configured.0 {
            tracing::info!(name = %self.name, "the configured credential changed: kept tokens are dropped");
            self.vault.remove(&self.name)?;
            return Ok(None);
        }
        [&record.access_token, &record.refresh_token].into_iter().for_each(|token| words::guard(token));
        Ok(Some(Stored {
            access_token: record.access_token.into(),
            refresh_token: record.refresh_token.into(),
            issued_at: record.issued_at,
            expires_at: record.expires_at,
        }))
    }

    /// Keeps tokens that came from the credential now configured. They are on the disk when this returns: only
    /// then may they be used.
    ///
    /// # Errors
    /// As [`Vault::put`].
    pub fn store(&self, configured: &CredentialDigest, tokens: &Stored) -> Result<(), VaultError> {
        for token in [&tokens.access_token, &tokens.refresh_token] {
            words::guard(token.expose_secret());
        }
        let record = Record {
            format: FORMAT,
            configured: configured.0.clone(),
            access_token: tokens.access_token.expose_secret().to_owned(),
            refresh_token: tokens.refresh_token.expose_secret().to_owned(),
            issued_at: tokens.issued_at,
            expires_at: tokens.expires_at,
        };
        let json = serde_json::to_string(&record)
            .map_err(|_| self.vault.damaged("tokens cannot be turned into JSON"))?;
        let failed = |error| self.vault.failed(error);
        KEEP.before().map_err(failed)?;
        self.vault.put(&self.name, &SecretString::from(json))?;
        KEEP.after().map_err(failed)
    }

    /// Removes what is kept.
    ///
    /// # Errors
    /// As [`Vault::remove`].
    pub fn forget(&self) -> Result<(), VaultError> {
        self.vault.remove(&self.name)
    }
}
