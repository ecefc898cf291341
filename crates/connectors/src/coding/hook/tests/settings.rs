//! What a `webhook` block means, and everything that is wrong with it at once.

use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::coding::config::{CodingConfig, CodingSettings, Register};

const AT: &str = "source.webhook";

fn config(more: Value) -> CodingConfig {
    let mut config = json!({
        "team": "acme", "projects": ["a"], "auth": { "token": "x" }, "incremental": "hybrid",
        "webhook": { "public_url": "https://hooks.example.com" },
    });
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    serde_json::from_value(config).unwrap()
}

fn good(more: Value) -> CodingSettings {
    config(more).validate("source", Path::new("")).unwrap()
}

fn wrong(more: Value) -> Vec<String> {
    let findings = config(more).validate("source", Path::new("")).unwrap_err();
    findings.into_iter().map(|finding| format!("{}: {}", finding.path, finding.problem)).collect()
}

fn wrong_hook(key: &str, value: Value) -> String {
    let mut found = wrong(json!({ "webhook": { "public_url": "https://hooks.example.com", key: value } }));
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn what_is_not_said_has_the_documented_default() {
    let source = good(json!({}));
    let webhook = source.webhook.unwrap();
    assert_eq!(webhook.listen.to_string(), "0.0.0.0:8090");
    assert_eq!(webhook.register, Register::Auto);
    assert_eq!((webhook.keep, webhook.max_bytes), (Duration::from_hours(7 * 24), 1 << 30));
    assert_eq!(webhook.give_up_after, Duration::from_mins(10));
    assert!(webhook.token.is_none() && webhook.secret.is_none() && webhook.basic.is_none());
    assert!(webhook.allow_from.is_empty());
}

#[test]
fn how_often_is_looked_depends_on_how_changes_are_found() {
    let check = |more: Value, poll, census| {
        let source = good(more);
        let minutes = |minutes| Duration::from_mins(minutes);
        assert_eq!((source.poll_interval, source.census_interval), (minutes(poll), minutes(census)));
    };
    check(json!({}), 10, 60);
    check(json!({ "incremental": "webhook" }), 24 * 60, 24 * 60);
    check(json!({ "incremental": "webhook", "polling": { "census_interval": "2d" } }), 24 * 60, 48 * 60);
    let polling = json!({ "team": "acme", "projects": ["a"], "auth": { "token": "x" } });
    let polling: CodingConfig = serde_json::from_value(polling).unwrap();
    let polling = polling.validate("source", Path::new("")).unwrap();
    assert_eq!((polling.poll_interval.as_secs(), polling.census_interval.as_secs()), (60, 900));
    assert!(polling.webhook.is_none());
}

#[test]
fn everything_wrong_is_said_at_once() {
    let webhook = json!({
        "listen": "localhost:8090", "public_url": "https://10.0.0.1", "token": "short", "secret": " ",
        "basic": { "user": "a:b", "password": "" }, "allow_from": ["10.0.0.0/8", "all"], "keep": "a week",
        "max_size": "1KiB", "give_up_after": "0s",
    });
    let places: Vec<String> = wrong(json!({ "webhook": webhook }))
        .iter()
        .map(|finding| finding.split(": ").next().unwrap().to_owned())
        .collect();
    let keys = [
        "listen",
        "public_url",
        "token",
        "secret",
        "basic.user",
        "basic.password",
        "allow_from[1]",
        "keep",
        "give_up_after",
        "max_size",
    ];
    assert_eq!(places, keys.map(|key| format!("{AT}.{key}")));
}

#[test]
fn an_address_that_coding_cannot_reach_is_refused_unless_it_is_asked_for() {
    let cases = [
        ("http://hooks.example.com", "http:// would show the hook's token to the network"),
        ("https://hooks", "`hooks` is not a public host, so CODING cannot reach it"),
        ("https://me:pass@hooks.example.com", "user and password have a place of their own: `basic`"),
        ("https://hooks.example.com/?a=b", "it has a `?` or `#`, and the hook's own path is put after it"),
        ("ftp://hooks.example.com", "it begins with https://, not ftp://"),
        ("https://", "it is not a URL"),
    ];
    for (url, why) in cases {
        let found = wrong(json!({ "webhook": { "public_url": url } }));
        let start = format!("{AT}.public_url: The public address is not usable: {why}. ");
        assert!(found.len() == 1 && found[0].starts_with(&start), "{url}: {found:?}");
    }
    let url = |public_url: &str, allow_insecure: bool| {
        let webhook = json!({ "public_url": public_url });
        let source = good(json!({ "webhook": webhook, "allow_insecure": allow_insecure }));
        let url = source.webhook.unwrap().url(&SecretString::from("TOKEN"));
        url.expose_secret().to_owned()
    };
    assert_eq!(url("http://127.0.0.1:8090", false), "http://127.0.0.1:8090/hooks/TOKEN");
    assert_eq!(url("http://10.0.0.1", true), "http://10.0.0.1/hooks/TOKEN");
    assert_eq!(url("hooks.example.com/", false), "https://hooks.example.com/hooks/TOKEN");
    assert_eq!(url("https://example.com/open-api/", false), "https://example.com/open-api/hooks/TOKEN");
}

#[test]
fn tokens_secrets_networks_and_sizes_have_their_form() {
    for token in ["x".repeat(31), format!("{}/", "x".repeat(40)), "x".repeat(257)] {
        assert!(wrong_hook("token", json!(token)).contains("32 to 256 characters"));
    }
    assert!(wrong_hook("secret", json!("x".repeat(15))).contains("16 characters or more"));
    assert!(wrong_hook("max_size", json!("one")).contains("`one` is no size"));
    assert!(wrong_hook("max_size", json!("999999999999GiB")).contains("is no size"));
    let webhook = json!({
        "public_url": "https://hooks.example.com", "token": "Az09-_.~".repeat(4), "secret": "s".repeat(16),
        "allow_from": ["212.129.144.7/24", "2001:db8::1", "10.0.0.1"], "max_size": "16 MiB", "keep": "36h",
        "register": "manual", "basic": { "user": "u", "password": "p" },
    });
    let webhook = good(json!({ "webhook": webhook })).webhook.unwrap();
    let nets: Vec<String> = webhook.allow_from.iter().map(ToString::to_string).collect();
    assert_eq!(nets, ["212.129.144.0/24", "2001:db8::1/128", "10.0.0.1/32"]);
    assert_eq!(webhook.max_bytes, 16 << 20);
    let shown = format!("{webhook:?}");
    assert!(!shown.contains("Az09") && !shown.contains("ssss") && !shown.contains("\"p\""), "{shown}");
}

#[test]
fn hooks_and_how_changes_are_found_fit_together() {
    let missing = "source.webhook.public_url: There is no public address: CODING sends its deliveries to a URL, and \
                   only you know under which one this machine is reached. Add `webhook: { public_url: \
                   \"https://hooks.example.com\" }`. [CONFIG-MISSING]";
    assert_eq!(wrong(json!({ "webhook": null })), [missing]);
    assert_eq!(wrong(json!({ "webhook": {} })), [missing]);
    assert_eq!(
        wrong(json!({ "incremental": "polling" })),
        [
            "source.webhook: Hooks are set up, but not used: `incremental: polling` finds changes without them. \
             Write `incremental: hybrid` (or `webhook`), or take `webhook` out. [CONFIG-CONTRADICTION]"
        ]
    );
}

#[test]
fn sources_that_receive_otherwise_differ() {
    let base = good(json!({}));
    let check = |more: Value, differences: &[&str]| assert_eq!(base.differences(&good(more)), differences);
    check(json!({}), &[]);
    let url = "https://hooks.example.com";
    check(json!({ "webhook": { "public_url": url, "secret": "s".repeat(16) } }), &["webhook"]);
    check(json!({ "webhook": { "public_url": url, "keep": "1d" } }), &["webhook"]);
    check(json!({ "incremental": "webhook" }), &["incremental", "polling"]);
}
