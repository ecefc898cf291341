//! Rotated tokens, and whether the configuration wins.

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::ExposeSecret;
use store::tokens::{CredentialDigest, Stored, TokenVault};
use store::vault::Vault;

fn tokens(refresh: &str) -> Stored {
    Stored {
        access_token: "access-1".into(),
        refresh_token: refresh.into(),
        issued_at: Timestamp::from_second(1_000).unwrap(),
        expires_at: Some(Timestamp::from_second(8_200).unwrap()),
    }
}

#[test]
fn kept_tokens_come_back_until_the_configuration_changes() {
    let dir = tempfile::tempdir().unwrap();
    let open = || TokenVault::new(Arc::new(Vault::open(dir.path(), None).unwrap()), "oauth");
    let configured = CredentialDigest::of(&["client", "secret", "refresh-0"]);
    assert!(open().load(&configured).unwrap().is_none());
    open().store(&configured, &tokens("refresh-1")).unwrap();
    open().store(&configured, &tokens("refresh-2")).unwrap();
    let kept = open().load(&configured).unwrap().unwrap();
    assert_eq!(kept.access_token.expose_secret(), "access-1");
    assert_eq!(kept.refresh_token.expose_secret(), "refresh-2");
    assert_eq!((kept.issued_at.as_second(), kept.expires_at.unwrap().as_second()), (1_000, 8_200));
    assert!(!format!("{kept:?} {configured:?}").contains("refresh-2"));

    let changed = CredentialDigest::of(&["client", "secret", "refresh-9"]);
    assert!(open().load(&changed).unwrap().is_none());
    assert!(open().load(&configured).unwrap().is_none(), "dropped, not merely hidden");
    open().forget().unwrap();
}

#[test]
fn the_digest_tells_parts_apart() {
    let digests = [["ab", "c"].as_slice(), &["a", "bc"], &["abc"], &["abc", ""], &[], &["c", "ab"]]
        .map(CredentialDigest::of);
    for (index, digest) in digests.iter().enumerate() {
        assert!(digests.iter().skip(index + 1).all(|other| other != digest));
    }
}
