//! What must be kept of a connection's hook: the tokens of its URL, the key of its signatures, and which hook at the
//! source is ours. Encrypted in the [`Vault`], where the command line changes it beside a running sync.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::problem::Remedy;
use engine::words;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::vault::{Vault, VaultError, first_format, of_format};

/// Under this name the vault keeps it.
const NAME: &str = "source.hook";
/// Random bytes of a token and of a key.
const BYTES: usize = 32;

/// A token: the last part of a hook's URL.
#[derive(Clone, Debug)]
pub struct HookToken {
    /// The token.
    pub text: SecretString,
    /// When it was made.
    pub made: Timestamp,
    /// Until when it counts; `None` for the newest one.
    pub until: Option<Timestamp>,
}

/// What is kept of a hook. Debug output shows no secret.
#[derive(Clone, Debug, Default)]
pub struct HookKeys {
    /// The tokens, the newest last.
    pub tokens: Vec<HookToken>,
    /// The key of the signatures.
    pub secret: Option<SecretString>,
    /// The hook's id at the source, by project.
    pub hooks: BTreeMap<i64, String>,
    /// When a delivery came last, as far as was noted.
    pub reached: Option<Timestamp>,
}

impl HookKeys {
    /// Makes what is missing: a token, and a key.
    fn complete(&mut self, now: Timestamp) {
        if self.tokens.iter().all(|token| token.until.is_some()) {
            self.tokens.push(HookToken { text: random(), made: now, until: None });
        }
        self.secret.get_or_insert_with(random);
    }

    /// Puts a new token in the place of the newest, which counts for another `overlap`. None counts longer than that.
    fn rotate(&mut self, now: Timestamp, overlap: Duration) {
        let end = now.checked_add(overlap).unwrap_or(Timestamp::MAX);
        self.tokens.retain(|token| token.until.is_none_or(|until| until > now));
        for token in &mut self.tokens {
            token.until = Some(token.until.map_or(end, |until| until.min(end)));
        }
        self.tokens.retain(|token| token.until.is_none_or(|until| until > now));
        self.tokens.push(HookToken { text: random(), made: now, until: None });
    }
}

/// 256 random bits that fit into a URL.
fn random() -> SecretString {
    let bytes: [u8; BYTES] = rand::random();
    let text = URL_SAFE_NO_PAD.encode(bytes);
    words::guard(&text);
    SecretString::from(text)
}

/// The format of [`Kept`].
const FORMAT: u32 = 1;

/// [`HookKeys`] as they are encrypted.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The first ones did not say it.
    #[serde(default = "first_format")]
    format: u32,
    tokens: Vec<KeptToken>,
    secret: Option<String>,
    hooks: BTreeMap<i64, String>,
    reached: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct KeptToken {
    text: String,
    made: Timestamp,
    until: Option<Timestamp>,
}

impl From<&HookKeys> for Kept {
    fn from(keys: &HookKeys) -> Kept {
        let token = |token: &HookToken| KeptToken {
            text: token.text.expose_secret().to_owned(),
            made: token.made,
            until: token.until,
        };
        Kept {
            format: FORMAT,
            tokens: keys.tokens.iter().map(token).collect(),
            secret: keys.secret.as_ref().map(|secret| secret.expose_secret().to_owned()),
            hooks: keys.hooks.clone(),
            reached: keys.reached,
        }
    }
}

impl From<Kept> for HookKeys {
    fn from(kept: Kept) -> HookKeys {
        let texts = kept.tokens.iter().map(|token| &token.text).chain(&kept.secret);
        texts.for_each(|text| words::guard(text));
        let token = |token: KeptToken| HookToken {
            text: SecretString::from(token.text),
            made: token.made,
            until: token.until,
        };
        HookKeys {
            tokens: kept.tokens.into_iter().map(token).collect(),
            secret: kept.secret.map(SecretString::from),
            hooks: kept.hooks,
            reached: kept.reached,
        }
    }
}

/// When the keys' file was changed last; another one means that they may be others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(Option<(SystemTime, u64)>);

/// Keeps [`HookKeys`] in a vault. Cheap to clone; clones keep the same.
#[derive(Clone, Debug)]
pub struct HookVault(Arc<Vault>);

impl HookVault {
    /// Keeps them in `vault`.
    #[must_use]
    pub fn new(vault: Arc<Vault>) -> HookVault {
        HookVault(vault)
    }

    /// What is kept; `None` when nothing is yet.
    ///
    /// # Errors
    /// The vault cannot be read, or somebody changed it.
    pub async fn load(&self) -> Result<Option<HookKeys>, VaultError> {
        let vault = Arc::clone(&self.0);
        on_a_thread(move || vault.get(NAME)?.map(|kept| open(&vault, &kept)).transpose()).await
    }

    /// What is kept, with a token and a key made where there were none.
    ///
    /// # Errors
    /// The vault cannot be read or written.
    pub async fn ensure(&self) -> Result<HookKeys, VaultError> {
        self.change(|keys| keys.complete(Timestamp::now())).await
    }

    /// Makes a new token. The one before counts for another `overlap`; without it, not any more.
    ///
    /// # Errors
    /// The vault cannot be read or written.
    pub async fn rotate(&self, overlap: Duration) -> Result<HookKeys, VaultError> {
        self.change(move |keys| keys.rotate(Timestamp::now(), overlap)).await
    }

    /// Changes what is kept, while nobody else does, and hands it back.
    ///
    /// # Errors
    /// The vault cannot be read or written; then nothing has changed.
    pub async fn change(
        &self,
        change: impl FnOnce(&mut HookKeys) + Send + 'static,
    ) -> Result<HookKeys, VaultError> {
        let vault = Arc::clone(&self.0);
        on_a_thread(move || {
            let mut keys = HookKeys::default();
            vault.change(NAME, |kept| {
                if let Some(kept) = kept {
                    keys = open(&vault, &kept)?;
                }
                change(&mut keys);
                let json = serde_json::to_string(&Kept::from(&keys)).map_err(|error| unusable(&error))?;
                Ok(Some(SecretString::from(json)))
            })?;
            Ok(keys)
        })
        .await
    }

    /// A mark of what is kept, cheap to look at.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        Stamp(self.0.stamp())
    }
}

fn open(vault: &Vault, kept: &SecretString) -> Result<HookKeys, VaultError> {
    let what = format!("the secret `{NAME}`");
    let damaged = || vault.damaged(&format!("{what} is not readable"));
    let kept: Kept = of_format(kept.expose_secret().as_bytes(), &what, FORMAT, damaged)?;
    Ok(HookKeys::from(kept))
}

fn unusable(error: &serde_json::Error) -> VaultError {
    VaultError::human("VAULT-IO", error.to_string(), "This is a mistake in tributary: please report it.")
}

async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VaultError> + Send + 'static,
) -> Result<T, VaultError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(broken) => match broken.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(cancelled) => Err(VaultError {
                remedy: Remedy::Retry,
                ..VaultError::human("VAULT-IO", cancelled.to_string(), "Start again.")
            }),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use jiff::{SignedDuration, Timestamp};
    use secrecy::ExposeSecret;

    use super::{HookKeys, HookVault};
    use crate::vault::Vault;

    fn vault(dir: &std::path::Path) -> HookVault {
        HookVault::new(Arc::new(Vault::open(dir, None).unwrap()))
    }

    fn texts(keys: &HookKeys) -> Vec<String> {
        keys.tokens.iter().map(|token| token.text.expose_secret().to_owned()).collect()
    }

    #[tokio::test]
    async fn keys_are_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        assert!(vault(dir.path()).load().await.unwrap().is_none());
        let made = vault(dir.path()).ensure().await.unwrap();
        let again = vault(dir.path()).ensure().await.unwrap();
        assert_eq!(texts(&made), texts(&again));
        assert_eq!(texts(&made)[0].len(), 43, "256 bits in Base64");
        assert_eq!(
            made.secret.unwrap().expose_secret(),
            vault(dir.path()).load().await.unwrap().unwrap().secret.unwrap().expose_secret()
        );
        let file = std::fs::read_to_string(dir.path().join(crate::vault::FILE)).unwrap();
        assert!(!file.contains(&texts(&again)[0]), "it is encrypted");
    }

    #[tokio::test]
    async fn two_processes_lose_nothing_of_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (vault(dir.path()), vault(dir.path()));
        one.ensure().await.unwrap();
        let before = one.stamp();
        let tasks: Vec<_> = (0..20)
            .map(|project| {
                let vault = if project % 2 == 0 { one.clone() } else { other.clone() };
                tokio::spawn(async move {
                    vault
                        .change(move |keys| drop(keys.hooks.insert(project, format!("hook {project}"))))
                        .await
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(one.load().await.unwrap().unwrap().hooks.len(), 20);
        assert_ne!(one.stamp(), before);
    }

    #[test]
    fn the_token_before_counts_for_the_overlap() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let later = |seconds| now + SignedDuration::from_secs(seconds);
        let mut keys = HookKeys::default();
        keys.complete(now);
        keys.rotate(now, Duration::from_secs(60));
        let untils: Vec<_> = keys.tokens.iter().map(|token| token.until).collect();
        assert_eq!(untils, [Some(later(60)), None]);
        keys.rotate(later(30), Duration::from_secs(10));
        let untils: Vec<_> = keys.tokens.iter().map(|token| token.until).collect();
        assert_eq!(untils, [Some(later(40)), Some(later(40)), None]);
        keys.rotate(later(50), Duration::ZERO);
        assert_eq!(keys.tokens.len(), 1, "all others are revoked");
        assert!(keys.tokens[0].until.is_none());
    }
}
