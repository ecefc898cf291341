//! Secrets at rest: one small file, every secret in it encrypted on its own and bound to its name.
//!
//! The key comes from the operator or lies in a file beside the vault that only its owner may read. This
//! module never logs and never prints a secret. Its calls block for the time of a flush: in async code they
//! belong on a thread for blocking work.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use engine::failpoint::Step;
use engine::problem::{Problem, Remedy};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::durable::{self, Flush};

/// Name of the file within the state directory.
pub const FILE: &str = "vault.json";
/// Held by whoever changes the file: the command line does so beside a running sync.
pub(crate) const LOCK_FILE: &str = "vault.lock";
pub(crate) const KEY_FILE: &str = "vault.key";
const FORMAT: u32 = 1;
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

const WRITE: Step = Step::named("vault::write");
const MAKE_KEY: Step = Step::named("vault::key");

/// Encrypted into every vault, so that a wrong key is told from a damaged secret.
const CHECK: &str = "tributary";

/// What goes wrong with a vault. Never holds a secret.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct VaultError {
    /// Who can do something about it.
    pub remedy: Remedy,
    /// What a person reads.
    pub problem: Problem,
    /// What the file system said.
    #[source]
    pub source: Option<std::io::Error>,
}

impl VaultError {
    pub(crate) fn human(code: &str, why: impl Into<String>, fix: impl Into<String>) -> VaultError {
        let problem = Problem::new(code, "The vault of secrets cannot be used", why, fix);
        VaultError { remedy: Remedy::NeedsHuman, problem, source: None }
    }

    fn io(path: &Path, error: std::io::Error) -> VaultError {
        let (remedy, fix) = durable::remedy(path, &error);
        let told = VaultError::human("VAULT-IO", format!("{}: {error}", path.display()), fix);
        VaultError { remedy, source: Some(error), ..told }
    }

    /// `what` has a format that is `found`, and this version knows up to `known`.
    pub(crate) fn newer(what: &str, found: u32, known: u32) -> VaultError {
        VaultError::human(
            "VAULT-NEWER",
            format!("{what} has format {found}, and this tributary knows up to {known}"),
            "Run the version of tributary that wrote it.",
        )
    }

    pub(crate) fn damaged(path: &Path, why: &str) -> VaultError {
        VaultError::human(
            "VAULT-DAMAGED",
            format!("{} is damaged: {why}", path.display()),
            "Restore the file from a backup, or remove it: tributary then starts from the credential in the \
             configuration.",
        )
    }
}

/// The file. Every value is a nonce and what it encrypts, in Base64.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    check: String,
    secrets: BTreeMap<String, String>,
}

/// Keeps secrets by name, encrypted with XChaCha20-Poly1305.
///
/// Several processes may use one vault: every call reads the file, and changes are made under a lock.
pub struct Vault {
    file: PathBuf,
    lock: PathBuf,
    cipher: XChaCha20Poly1305,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Vault {
    /// Opens the vault in `dir`. `key` is 32 bytes in Base64 or hex (the operator's `TRIBUTARY_VAULT_KEY`);
    /// without it the key file in `dir` is used, and made if there is neither file nor vault.
    ///
    /// # Errors
    /// A key of the wrong form, a key that is not the vault's, a key file that others may read, a damaged
    /// file, a vault of a newer format, or no access.
    pub fn open(dir: &Path, key: Option<SecretString>) -> Result<Vault, VaultError> {
        let (file, lock) = (dir.join(FILE), dir.join(LOCK_FILE));
        // The key must not be made twice.
        let _held = hold(&lock)?;
        let stored = read(&file)?;
        let key = match key {
            Some(key) => decode_key(key.expose_secret(), "the variable TRIBUTARY_VAULT_KEY")?,
            None => key_from_file(&dir.join(KEY_FILE), stored.is_some())?,
        };
        let cipher = XChaCha20Poly1305::new(&key);
        if let Some(stored) = stored {
            open_sealed(&cipher, &aad_of_check(), &stored.check).ok_or_else(wrong_key)?;
        }
        Ok(Vault { file, lock, cipher })
    }

    /// When and how the file was changed last, to compare with what it was; `None` while there is none.
    pub(crate) fn stamp(&self) -> Option<(SystemTime, u64)> {
        let metadata = std::fs::metadata(&self.file).ok()?;
        // A file that takes another's place has another number, whatever the grain of its time.
        Some((metadata.modified().ok()?, std::os::unix::fs::MetadataExt::ino(&metadata)))
    }

    /// Stores a secret in place of an earlier one. It is on the disk when this returns.
    ///
    /// # Errors
    /// The file cannot be written; then the earlier one stands.
    pub fn put(&self, name: &str, secret: &SecretString) -> Result<(), VaultError> {
        self.change(name, |_| Ok(Some(secret.clone())))
    }

    /// The secret of that name.
    ///
    /// # Errors
    /// It is there, but somebody changed it.
    pub fn get(&self, name: &str) -> Result<Option<SecretString>, VaultError> {
        match read(&self.file)? {
            Some(stored) => self.opened(&stored, name),
            None => Ok(None),
        }
    }

    fn opened(&self, stored: &Stored, name: &str) -> Result<Option<SecretString>, VaultError> {
        let Some(sealed) = stored.secrets.get(name) else { return Ok(None) };
        let secret = open_sealed(&self.cipher, &aad(name), sealed);
        secret.map(Some).ok_or_else(|| self.damaged(&format!("the secret `{name}` was changed")))
    }

    /// Removes a secret; also fine when there is none.
    ///
    /// # Errors
    /// The file cannot be written; then the secret is still there.
    pub fn remove(&self, name: &str) -> Result<(), VaultError> {
        self.change(name, |_| Ok(None))
    }

    pub(crate) fn damaged(&self, why: &str) -> VaultError {
        VaultError::damaged(&self.file, why)
    }

    /// The file system said so of the file.
    pub(crate) fn failed(&self, error: std::io::Error) -> VaultError {
        VaultError::io(&self.file, error)
    }

    /// Puts what `change` makes of the secret of that name in its place; `None` removes it. Nobody else changes the
    /// file meanwhile.
    ///
    /// # Errors
    /// Those of `change`, a secret that does not open, or a file that cannot be written; then the earlier one
    /// stands.
    pub(crate) fn change(
        &self,
        name: &str,
        change: impl FnOnce(Option<SecretString>) -> Result<Option<SecretString>, VaultError>,
    ) -> Result<(), VaultError> {
        let _held = hold(&self.lock)?;
        let stored = read(&self.file)?;
        let before = match &stored {
            Some(stored) => self.opened(stored, name)?,
            None => None,
        };
        let known = before.as_ref().map(|secret| secret.expose_secret().to_owned());
        let after = change(before)?;
        if after.as_ref().map(ExposeSecret::expose_secret) == known.as_deref() {
            return Ok(());
        }
        let mut stored = match stored {
            Some(stored) => stored,
            None => Stored {
                format: FORMAT,
                check: seal(&self.cipher, &aad_of_check(), CHECK)?,
                secrets: BTreeMap::new(),
            },
        };
        match after {
            Some(secret) => {
                let sealed = seal(&self.cipher, &aad(name), secret.expose_secret())?;
                stored.secrets.insert(name.to_owned(), sealed);
            }
            None => drop(stored.secrets.remove(name)),
        }
        let json = serde_json::to_vec(&stored).map_err(|error| self.failed(error.into()))?;
        durable::replace(&self.file, &json, Flush::Yes, WRITE).map_err(|error| self.failed(error))
    }
}

/// Waits for the lock of a vault; it ends with the file that is handed back.
fn hold(lock: &Path) -> Result<File, VaultError> {
    let failed = |error| VaultError::io(lock, error);
    let file = durable::open_private(lock).map_err(failed)?;
    durable::wait_for_lock(&file, lock).map_err(failed)?;
    Ok(file)
}

/// What a vault holds; `None` when there is no file.
fn read(file: &Path) -> Result<Option<Stored>, VaultError> {
    match std::fs::read(file) {
        Ok(json) => parse(file, &json).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(VaultError::io(file, error)),
    }
}

/// What a secret is bound to: moved under another name it does not open.
fn aad(name: &str) -> Vec<u8> {
    format!("secret/{name}").into_bytes()
}

fn aad_of_check() -> Vec<u8> {
    b"check".to_vec()
}

fn seal(cipher: &XChaCha20Poly1305, aad: &[u8], secret: &str) -> Result<String, VaultError> {
    let nonce: [u8; NONCE_BYTES] = rand::random();
    let sealed = cipher.encrypt(&XNonce::from(nonce), Payload { msg: secret.as_bytes(), aad });
    let sealed = sealed.map_err(|_| {
        VaultError::human("VAULT-TOO-LONG", "a secret is too long to be kept", "Please report it.")
    })?;
    Ok(STANDARD.encode([nonce.as_slice(), &sealed].concat()))
}

fn open_sealed(cipher: &XChaCha20Poly1305, aad: &[u8], sealed: &str) -> Option<SecretString> {
    let bytes = STANDARD.decode(sealed).ok()?;
    let (nonce, msg) = bytes.split_first_chunk::<NONCE_BYTES>()?;
    let opened = cipher.decrypt(&XNonce::from(*nonce), Payload { msg, aad }).ok()?;
    String::from_utf8(opened).ok().map(SecretString::from)
}

fn parse(file: &Path, json: &[u8]) -> Result<Stored, VaultError> {
    let damaged = || VaultError::damaged(file, "it is not readable");
    of_format(json, &file.display().to_string(), FORMAT, damaged)
}

/// The format of what does not say it.
pub(crate) fn first_format() -> u32 {
    1
}

/// Reads `what`, a JSON object that says its format. One of a newer format is told from a damaged one, whatever else is
/// in it.
pub(crate) fn of_format<T: DeserializeOwned>(
    json: &[u8],
    what: &str,
    known: u32,
    damaged: impl Fn() -> VaultError,
) -> Result<T, VaultError> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(default = "first_format")]
        format: u32,
    }
    let head: Head = serde_json::from_slice(json).map_err(|_| damaged())?;
    match head.format {
        1.. if head.format <= known => serde_json::from_slice(json).map_err(|_| damaged()),
        0 => Err(damaged()),
        found => Err(VaultError::newer(what, found, known)),
    }
}

fn wrong_key() -> VaultError {
    VaultError::human(
        "VAULT-WRONG-KEY",
        "its secrets were encrypted with another key",
        "Set TRIBUTARY_VAULT_KEY to the key they were encrypted with (unset it if the key file made them), or \
         remove vault.json: tributary then starts from the credential in the configuration.",
    )
}

/// Reads 32 bytes in hex or in any usual Base64.
fn decode_key(text: &str, from: &str) -> Result<Key, VaultError> {
    let text = text.trim();
    let bytes = if text.len() == 2 * KEY_BYTES {
        hex(text)
    } else {
        [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD].iter().find_map(|form| form.decode(text).ok())
    };
    let key = bytes.and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes).ok());
    key.map(Key::from).ok_or_else(|| {
        VaultError::human(
            "VAULT-KEY",
            format!("{from} is not a key"),
            "A key is 32 random bytes in Base64 or hex, for example from `openssl rand -base64 32`.",
        )
    })
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? * 16 + digit(low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

/// The key file's key; makes the file for a vault that does not exist yet.
fn key_from_file(path: &Path, vault_exists: bool) -> Result<Key, VaultError> {
    let shown = path.display();
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => {
            crate::ours::examine_file(path, &metadata).map_err(|why| {
                VaultError::human(
                    "VAULT-KEY-FOREIGN",
                    format!("the key file {shown} {why}"),
                    "Whoever put it there knows the key. Put back your own key file, or remove vault.json and \
                     vault.key and renew the credential.",
                )
            })?;
            if metadata.permissions().mode() & 0o077 != 0 {
                return Err(VaultError::human(
                    "VAULT-KEY-OPEN",
                    format!("the key file {shown} may be read by others"),
                    format!(
                        "If nobody else has read it, run `chmod 600 {shown}`; if somebody may have, remove \
                         vault.json and vault.key and renew the credential."
                    ),
                ));
            }
            let text = std::fs::read_to_string(path).map_err(|error| VaultError::io(path, error))?;
            decode_key(&text, &format!("the key file {shown}"))
        }
        Err(error) if error.kind() == ErrorKind::NotFound && vault_exists => Err(VaultError::human(
            "VAULT-KEY-MISSING",
            format!("there is neither a key file {shown} nor the variable TRIBUTARY_VAULT_KEY"),
            "Put back the key, or remove vault.json: tributary then starts from the credential in the \
             configuration.",
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key: [u8; KEY_BYTES] = rand::random();
            durable::create(path, format!("{}\n", STANDARD.encode(key)).as_bytes(), MAKE_KEY)
                .map_err(|error| VaultError::io(path, error))?;
            Ok(Key::from(key))
        }
        Err(error) => Err(VaultError::io(path, error)),
    }
}
