//! The vault, and what is kept in it: rotated tokens, the keys of a hook.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use engine::problem::Remedy;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use store::hook::{HookKeys, HookToken, HookVault};
use store::tokens::{CredentialDigest, Stored, TokenVault};
use store::vault::{FILE, Vault, VaultError};

use super::{copy, golden, keep};

/// The golden file of today's format.
const NEWEST: &str = "vault-1.json";

/// The key of the golden files.
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// Under this name the tokens are kept.
const TOKENS: &str = "source.oauth";
/// Under this name a hook's keys are kept.
const HOOK: &str = "source.hook";

fn vault(dir: &Path) -> Result<Arc<Vault>, VaultError> {
    Vault::open(dir, Some(SecretString::from(KEY))).map(Arc::new)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn configured() -> CredentialDigest {
    CredentialDigest::of(&["client", "secret 漢", "refresh"])
}

fn tokens() -> Stored {
    Stored {
        access_token: "access-1".into(),
        refresh_token: "refresh-1".into(),
        issued_at: at(0),
        expires_at: Some(at(7_200)),
    }
}

fn keys() -> HookKeys {
    let token = |text: &str, made, until| HookToken { text: text.into(), made, until };
    HookKeys {
        tokens: vec![token("older-token", at(0), Some(at(60))), token("newest-token", at(30), None)],
        secret: Some("the key of the signatures".into()),
        hooks: BTreeMap::from([(7, "hook of 7".to_owned()), (8, "hook of 8".to_owned())]),
        reached: Some(at(90)),
    }
}

#[tokio::test]
#[ignore = "makes the golden file of a new format"]
async fn make() {
    let dir = tempfile::tempdir().unwrap();
    let vault = vault(dir.path()).unwrap();
    TokenVault::new(Arc::clone(&vault), TOKENS).store(&configured(), &tokens()).unwrap();
    HookVault::new(vault).change(|kept| *kept = keys()).await.unwrap();
    keep(&dir.path().join(FILE), NEWEST);
}

#[tokio::test]
async fn a_vault_of_format_1_is_read_whole() {
    let dir = copy("vault-1.json", FILE);
    let vault = vault(dir.path()).unwrap();
    let found = TokenVault::new(Arc::clone(&vault), TOKENS).load(&configured()).unwrap().unwrap();
    let texts = |stored: &Stored| {
        [&stored.access_token, &stored.refresh_token].map(|secret| secret.expose_secret().to_owned())
    };
    assert_eq!(texts(&found), texts(&tokens()));
    assert_eq!((found.issued_at, found.expires_at), (tokens().issued_at, tokens().expires_at));

    let hook = HookVault::new(vault);
    let (found, wanted) = (hook.load().await.unwrap().unwrap(), keys());
    let tokens = |keys: &HookKeys| {
        let token = |token: &HookToken| (token.text.expose_secret().to_owned(), token.made, token.until);
        keys.tokens.iter().map(token).collect::<Vec<_>>()
    };
    let secret = |keys: &HookKeys| keys.secret.as_ref().map(|secret| secret.expose_secret().to_owned());
    assert_eq!(tokens(&found), tokens(&wanted));
    assert_eq!(secret(&found), secret(&wanted));
    assert_eq!((found.hooks, found.reached), (wanted.hooks, wanted.reached));
    // It goes on.
    let changed = hook.change(|keys| drop(keys.hooks.insert(9, "hook of 9".to_owned()))).await.unwrap();
    assert_eq!(changed.hooks.len(), 3);
    assert_eq!(hook.load().await.unwrap().unwrap().hooks, changed.hooks);
}

#[tokio::test]
async fn the_first_keys_of_hooks_did_not_say_their_format() {
    let dir = tempfile::tempdir().unwrap();
    let vault = vault(dir.path()).unwrap();
    let token = json!({ "text": "token", "made": at(0), "until": null });
    let first = json!({ "tokens": [token], "secret": "key", "hooks": {"7": "hook"}, "reached": null });
    vault.put(HOOK, &SecretString::from(first.to_string())).unwrap();
    let keys = HookVault::new(vault).load().await.unwrap().unwrap();
    assert_eq!((keys.tokens.len(), keys.hooks.len()), (1, 1));
}

/// What is said of something newer, with the remedy.
fn assert_newer(error: &VaultError, what: &str) {
    assert_eq!((error.remedy, error.problem.code.as_str()), (Remedy::NeedsHuman, "VAULT-NEWER"));
    let said = error.to_string();
    assert!(said.contains(what), "{said}");
    assert!(said.contains("has format 2, and this tributary knows up to 1"), "{said}");
    assert!(said.contains("Run the version of tributary that wrote it"), "{said}");
}

#[tokio::test]
async fn what_is_newer_is_refused_and_left_as_it_is() {
    let dir = copy(NEWEST, FILE);
    let file = dir.path().join(FILE);
    // What else is in it may be another thing altogether.
    for newer in [json!({ "format": 2, "check": 7 }), json!({ "format": 2 })] {
        std::fs::write(&file, newer.to_string()).unwrap();
        assert_newer(&vault(dir.path()).unwrap_err(), "vault.json");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), newer.to_string());
    }
    // A newer secret in a vault of today.
    std::fs::write(&file, std::fs::read(golden(NEWEST)).unwrap()).unwrap();
    let vault = vault(dir.path()).unwrap();
    for name in [TOKENS, HOOK] {
        vault.put(name, &SecretString::from(json!({ "format": 2, "other": true }).to_string())).unwrap();
    }
    let before = std::fs::read(&file).unwrap();
    assert_newer(&TokenVault::new(Arc::clone(&vault), TOKENS).load(&configured()).unwrap_err(), TOKENS);
    let hook = HookVault::new(vault);
    assert_newer(&hook.load().await.unwrap_err(), HOOK);
    assert_newer(&hook.ensure().await.unwrap_err(), HOOK);
    assert!(std::fs::read(&file).unwrap() == before);
}

#[test]
fn todays_format_has_a_golden_file() {
    let dir = tempfile::tempdir().unwrap();
    vault(dir.path()).unwrap().put("x", &SecretString::from("y")).unwrap();
    let format = |file: &Path| {
        let vault: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        vault["format"].as_u64().unwrap()
    };
    assert_eq!(
        format(&dir.path().join(FILE)),
        format(&golden(NEWEST)),
        "make one, and never change an old one"
    );
}
