//! Secrets at rest.

use std::os::unix::fs::PermissionsExt;

use secrecy::{ExposeSecret, SecretString};
use store::vault::{Vault, VaultError};

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const SAME_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_KEY: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

fn read(vault: &Vault, name: &str) -> Option<String> {
    vault.get(name).unwrap().map(|secret| secret.expose_secret().to_owned())
}

fn code(result: Result<Vault, VaultError>) -> String {
    let error = result.unwrap_err();
    assert!(!error.problem.fix.is_empty());
    error.problem.code
}

#[test]
fn secrets_come_back_and_are_not_readable_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path(), None).unwrap();
    vault.put("a", &secret("hunter2 漢字")).unwrap();
    vault.put("b", &secret("")).unwrap();
    vault.put("a", &secret("hunter3 漢字")).unwrap();
    let vault = Vault::open(dir.path(), None).unwrap();
    assert_eq!(read(&vault, "a").as_deref(), Some("hunter3 漢字"));
    assert_eq!(read(&vault, "b").as_deref(), Some(""));
    assert_eq!(read(&vault, "c"), None);
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!std::fs::read_to_string(file.path()).unwrap().contains("hunter"));
    }
    assert!(!format!("{vault:?}").contains("hunter"));
    vault.remove("a").unwrap();
    vault.remove("a").unwrap();
    assert_eq!(read(&Vault::open(dir.path(), None).unwrap(), "a"), None);
}

#[test]
fn a_given_key_may_be_spelled_in_hex_or_base64() {
    let dir = tempfile::tempdir().unwrap();
    Vault::open(dir.path(), Some(secret(KEY))).unwrap().put("a", &secret("x")).unwrap();
    assert!(!dir.path().join("vault.key").exists());
    for key in [KEY, &KEY.to_uppercase(), SAME_KEY, SAME_KEY.trim_end_matches('='), &format!(" {SAME_KEY}\n")]
    {
        let vault = Vault::open(dir.path(), Some(secret(key))).unwrap();
        assert_eq!(read(&vault, "a").as_deref(), Some("x"));
    }
    for key in ["", "short", KEY.trim_start_matches("00"), &"zz".repeat(32), &"漢".repeat(22)] {
        assert_eq!(code(Vault::open(dir.path(), Some(secret(key)))), "VAULT-KEY");
    }
}

#[test]
fn a_wrong_key_is_told_from_damage() {
    let dir = tempfile::tempdir().unwrap();
    Vault::open(dir.path(), Some(secret(KEY))).unwrap().put("a", &secret("x")).unwrap();
    let before = std::fs::read(dir.path().join("vault.json")).unwrap();
    assert_eq!(code(Vault::open(dir.path(), Some(secret(OTHER_KEY)))), "VAULT-WRONG-KEY");
    assert_eq!(code(Vault::open(dir.path(), None)), "VAULT-KEY-MISSING");
    assert_eq!(std::fs::read(dir.path().join("vault.json")).unwrap(), before);
    assert!(!dir.path().join("vault.key").exists(), "no new key for an old vault");
}

#[test]
fn a_changed_secret_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path(), None).unwrap();
    vault.put("a", &secret("one")).unwrap();
    vault.put("b", &secret("two")).unwrap();
    let file = dir.path().join("vault.json");
    let good: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let sealed = good["secrets"]["a"].as_str().unwrap().to_owned();
    let mut flipped = sealed.clone().into_bytes();
    flipped[40] = if flipped[40] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    for wrong in [flipped.as_str(), "", "AAAA", "no base64", good["secrets"]["b"].as_str().unwrap()] {
        let mut bad = good.clone();
        bad["secrets"]["a"] = wrong.into();
        std::fs::write(&file, bad.to_string()).unwrap();
        let vault = Vault::open(dir.path(), None).unwrap();
        assert_eq!(vault.get("a").unwrap_err().problem.code, "VAULT-DAMAGED");
        assert_eq!(read(&vault, "b").as_deref(), Some("two"));
    }
    for (wrong, expected) in
        [("", "VAULT-DAMAGED"), ("{}", "VAULT-DAMAGED"), (r#"{"format":2}"#, "VAULT-NEWER")]
    {
        std::fs::write(&file, wrong).unwrap();
        assert_eq!(code(Vault::open(dir.path(), None)), expected);
    }
}

#[test]
fn a_key_file_that_others_may_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    Vault::open(dir.path(), None).unwrap().put("a", &secret("x")).unwrap();
    let key = dir.path().join("vault.key");
    for mode in [0o640, 0o604, 0o666] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = Vault::open(dir.path(), None).unwrap_err();
        assert_eq!(error.problem.code, "VAULT-KEY-OPEN");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(read(&Vault::open(dir.path(), None).unwrap(), "a").as_deref(), Some("x"));
    std::fs::write(&key, "garbage").unwrap();
    assert_eq!(code(Vault::open(dir.path(), None)), "VAULT-KEY");
}

#[test]
fn a_crash_before_the_rename_leaves_the_old_secret() {
    let dir = tempfile::tempdir().unwrap();
    Vault::open(dir.path(), None).unwrap().put("a", &secret("old")).unwrap();
    // What a crash leaves: drafts that never took their place.
    for file in ["vault.json.new", "vault.key.new"] {
        std::fs::write(dir.path().join(file), "half a fi").unwrap();
    }
    let vault = Vault::open(dir.path(), None).unwrap();
    assert_eq!(read(&vault, "a").as_deref(), Some("old"));
    vault.put("a", &secret("new")).unwrap();
    assert_eq!(read(&Vault::open(dir.path(), None).unwrap(), "a").as_deref(), Some("new"));
    assert!(!dir.path().join("vault.json.new").exists());
}

#[test]
fn a_write_that_fails_leaves_the_old_secret() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path(), None).unwrap();
    vault.put("a", &secret("old")).unwrap();
    // A directory in the way of the draft: also root cannot write there.
    std::fs::create_dir(dir.path().join("vault.json.new")).unwrap();
    assert_eq!(vault.put("a", &secret("new")).unwrap_err().problem.code, "VAULT-IO");
    assert_eq!(read(&vault, "a").as_deref(), Some("old"));
    assert_eq!(read(&Vault::open(dir.path(), None).unwrap(), "a").as_deref(), Some("old"));
}

#[test]
fn two_that_change_different_secrets_lose_none() {
    let dir = tempfile::tempdir().unwrap();
    // Opened at the same time: one of them makes the key, the other one finds it.
    let open = || Vault::open(dir.path(), None).unwrap();
    let [one, other] =
        std::thread::scope(|scope| [scope.spawn(open), scope.spawn(open)].map(|it| it.join().unwrap()));
    std::thread::scope(|scope| {
        for (vault, name) in [(&one, "tokens"), (&other, "hook")] {
            scope.spawn(move || {
                for n in 0..50 {
                    vault.put(&format!("{name} {n}"), &secret(name)).unwrap();
                    vault.put(name, &secret(&n.to_string())).unwrap();
                }
            });
        }
    });
    for vault in [&one, &other, &open()] {
        assert_eq!(read(vault, "tokens").as_deref(), Some("49"));
        assert_eq!(read(vault, "hook").as_deref(), Some("49"));
        assert!((0..50).all(|n| read(vault, &format!("tokens {n}")).is_some()));
        assert!((0..50).all(|n| read(vault, &format!("hook {n}")).is_some()));
    }
}
