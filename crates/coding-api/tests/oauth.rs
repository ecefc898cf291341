//! OAuth: one writer of tokens, stored before use, refreshed in time.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coding_api::{
    Client, Clock, Credential, ErrorKind, OAuthCredential, Remedy, RotatedTokens, TokenStore, TokenStoreError,
};
use futures::future::BoxFuture;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Notify;

use crate::server::{Answer, Seen, Server, http, json, refuse};

const GOOD: &str = r#"{"Response":{"User":{"Id":5}}}"#;
const LIFETIME: i64 = 100;

/// A clock that the test turns.
#[derive(Default)]
struct Turned(AtomicI64);

impl Clock for Turned {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// Remembers all that was saved; fails or waits on demand.
#[derive(Default)]
struct Store {
    saved: Mutex<Vec<(String, String)>>,
    first: Mutex<Option<RotatedTokens>>,
    failing: AtomicBool,
    saving: Notify,
    gate: Option<Notify>,
}

impl Store {
    fn holds(&self, access: &str) -> bool {
        self.saved.lock().unwrap().iter().any(|(saved, _)| saved == access)
    }
}

impl TokenStore for Store {
    fn load(&self) -> BoxFuture<'_, Result<Option<RotatedTokens>, TokenStoreError>> {
        let first = self.first.lock().unwrap().clone();
        Box::pin(async move { Ok(first) })
    }

    fn save<'a>(&'a self, tokens: &'a RotatedTokens) -> BoxFuture<'a, Result<(), TokenStoreError>> {
        Box::pin(async move {
            self.saving.notify_one();
            if let Some(gate) = &self.gate {
                gate.notified().await;
            }
            if self.failing.load(Ordering::SeqCst) {
                return Err(TokenStoreError::new("the disk is full"));
            }
            let pair =
                (tokens.access_token.expose_secret().into(), tokens.refresh_token.expose_secret().into());
            self.saved.lock().unwrap().push(pair);
            Ok(())
        })
    }
}

/// A CODING with one valid access token `a<n>` and refresh token `r<n>`; every refresh voids both.
struct Tokens {
    current: AtomicU64,
    refreshes: AtomicU64,
    /// What was used without being in the store.
    early: AtomicU64,
}

struct World {
    server: Server,
    tokens: Arc<Tokens>,
    store: Arc<Store>,
    clock: Arc<Turned>,
}

impl World {
    async fn new(
        store: Store,
        refresh: impl Fn(&Seen, u64) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let tokens = Arc::new(Tokens {
            current: AtomicU64::new(1),
            refreshes: AtomicU64::new(0),
            early: AtomicU64::new(0),
        });
        let store = Arc::new(store);
        let (state, kept) = (Arc::clone(&tokens), Arc::clone(&store));
        let server = Server::start(move |seen| {
            if seen.path == "/api/oauth/access_token" {
                let count = state.refreshes.fetch_add(1, Ordering::SeqCst);
                if let Some(answer) = refresh(seen, count) {
                    return answer;
                }
                let now = state.current.load(Ordering::SeqCst);
                let wanted =
                    format!("client_id=app&client_secret=top&grant_type=refresh_token&refresh_token=r{now}");
                if seen.text != wanted {
                    return http(400, "application/json", "", br#"{"error":"invalid_grant"}"#);
                }
                let next = state.current.fetch_add(1, Ordering::SeqCst) + 1;
                return json(format!(
                    r#"{{"access_token":"a{next}","refresh_token":"r{next}","expires_in":"{LIFETIME}","token_type":"Bearer"}}"#
                ));
            }
            let access = seen.authorization.strip_prefix("Bearer ").unwrap_or_default();
            if access != "a1" && !kept.holds(access) {
                state.early.fetch_add(1, Ordering::SeqCst);
            }
            if access == format!("a{}", state.current.load(Ordering::SeqCst)) {
                json(GOOD)
            } else {
                refuse("AuthFailure", "expired")
            }
        })
        .await;
        Self { server, tokens, store, clock: Arc::default() }
    }

    fn client(&self, access: Option<&str>) -> Client {
        let credential = Credential::OAuth(OAuthCredential {
            client_id: "app".to_owned(),
            client_secret: SecretString::from("top"),
            refresh_token: SecretString::from("r1"),
            access_token: access.map(SecretString::from),
        });
        let store: Arc<dyn TokenStore> = Arc::<Store>::clone(&self.store);
        self.server
            .client(credential)
            .token_store(store)
            .clock(Arc::<Turned>::clone(&self.clock))
            .build()
            .unwrap()
    }

    fn refreshes(&self) -> u64 {
        self.tokens.refreshes.load(Ordering::SeqCst)
    }

    fn turn(&self, seconds: i64) {
        self.clock.0.store(seconds, Ordering::SeqCst);
    }
}

/// 30 requests at a time.
async fn crowd(client: &Client) {
    let requests = (0..30).map(|_| client.current_user());
    for reply in futures::future::join_all(requests).await {
        reply.unwrap();
    }
}

#[tokio::test]
async fn a_configured_access_token_is_used_as_long_as_it_is_good() {
    let world = World::new(Store::default(), |_, _| None).await;
    world.client(Some("Bearer a1")).current_user().await.unwrap();
    assert_eq!(world.refreshes(), 0);
}

#[tokio::test]
async fn a_crowd_refreshes_once_and_nobody_fails() {
    let world = World::new(Store::default(), |_, _| None).await;
    let client = world.client(None);
    crowd(&client).await;
    assert_eq!(world.refreshes(), 1);
    // The server voids the token behind everybody's back, as a refresh elsewhere would.
    world.tokens.current.store(3, Ordering::SeqCst);
    let error = client.current_user().await.unwrap_err();
    assert_eq!((error.kind(), error.remedy()), (&ErrorKind::Unauthorised, Remedy::Reauthorise));
    world.tokens.current.store(2, Ordering::SeqCst);
    crowd(&client).await;
    assert_eq!(world.tokens.early.load(Ordering::SeqCst), 0, "a token was used before it was stored");
}

#[tokio::test]
async fn an_expired_token_is_replaced_once_for_a_whole_crowd() {
    let world = World::new(Store::default(), |_, _| None).await;
    let client = world.client(Some("expired"));
    crowd(&client).await;
    assert_eq!(world.refreshes(), 1, "requests refused with the old token are repeated with the new one");
    assert_eq!(*world.store.saved.lock().unwrap(), [("a2".to_owned(), "r2".to_owned())]);
}

#[tokio::test]
async fn four_fifths_of_the_lifetime_are_used() {
    let world = World::new(Store::default(), |_, _| None).await;
    let client = world.client(None);
    for (seconds, refreshes) in [(0, 1), (79, 1), (80, 2), (159, 2), (161, 3)] {
        world.turn(seconds);
        crowd(&client).await;
        assert_eq!(world.refreshes(), refreshes, "after {seconds} s");
    }
}

#[tokio::test]
async fn an_early_refresh_that_fails_costs_nothing_while_the_token_lasts() {
    let world = World::new(Store::default(), |_, count| (count == 1).then_some(Answer::Hangup)).await;
    let client = world.client(None);
    client.current_user().await.unwrap();
    world.turn(85);
    crowd(&client).await;
    assert_eq!(world.refreshes(), 2);
    world.turn(101);
    client.current_user().await.unwrap();
    assert_eq!(world.refreshes(), 3);
}

#[tokio::test]
async fn a_refresh_is_tried_again_when_the_server_is_away_for_a_moment() {
    let world = World::new(Store::default(), |_, count| match count {
        0 => Some(http(502, "text/html", "", b"<html>")),
        1 => Some(http(200, "text/html", "", b"<html>")),
        2 => Some(Answer::Hangup),
        _ => None,
    })
    .await;
    world.client(None).current_user().await.unwrap();
    let again = world.client(Some("expired"));
    world.tokens.current.store(1, Ordering::SeqCst);
    world.tokens.refreshes.store(0, Ordering::SeqCst);
    again.current_user().await.unwrap();
    assert_eq!(world.refreshes(), 4);
}

#[tokio::test]
async fn stored_tokens_go_before_configured_ones() {
    let tokens = RotatedTokens {
        access_token: SecretString::from("a8"),
        refresh_token: SecretString::from("r8"),
        issued_at: Turned::default().now(),
        expires_at: Some(Timestamp::from_second(1_700_000_000 + LIFETIME).unwrap()),
    };
    let store = Store { first: Mutex::new(Some(tokens)), ..Store::default() };
    let world = World::new(store, |_, _| None).await;
    world.tokens.current.store(8, Ordering::SeqCst);
    let client = world.client(Some("a1"));
    client.current_user().await.unwrap();
    assert_eq!(world.refreshes(), 0);
    world.turn(81);
    client.current_user().await.unwrap();
    assert_eq!((world.refreshes(), world.store.holds("a9")), (1, true));
}

#[tokio::test]
async fn a_token_that_cannot_be_stored_is_not_used_and_not_lost() {
    let world = World::new(Store::default(), |_, _| None).await;
    let client = world.client(None);
    world.store.failing.store(true, Ordering::SeqCst);
    let error = client.current_user().await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::TokenStore);
    assert_eq!(world.tokens.early.load(Ordering::SeqCst), 0);
    world.store.failing.store(false, Ordering::SeqCst);
    client.current_user().await.unwrap();
    assert_eq!((world.refreshes(), world.store.holds("a2")), (1, true));
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_lose_the_token() {
    let store = Store { gate: Some(Notify::new()), ..Store::default() };
    let world = World::new(store, |_, _| None).await;
    let client = world.client(None);
    tokio::select! {
        _ = client.current_user() => panic!("the store has not answered"),
        () = world.store.saving.notified() => {} // the caller is dropped half-way
    }
    assert!(!world.store.holds("a2"));
    world.store.gate.as_ref().unwrap().notify_one();
    tokio::time::timeout(Duration::from_secs(10), client.close()).await.unwrap();
    assert!(world.store.holds("a2"));
    client.current_user().await.unwrap();
    assert_eq!(world.refreshes(), 1);
}

#[tokio::test]
async fn a_refused_grant_asks_for_a_new_one_and_shows_no_secret() {
    let world = World::new(Store::default(), |_, _| None).await;
    world.tokens.current.store(7, Ordering::SeqCst);
    let client = world.client(Some("expired"));
    let crowd = futures::future::join_all((0..20).map(|_| client.current_user())).await;
    assert!(crowd.iter().all(Result::is_err));
    let error = client.current_user().await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Reauthorise);
    let shown = format!("{error} {error:?}");
    for secret in ["top", "r1", "expired"] {
        assert!(
            !shown.contains(&format!("\"{secret}\"")) && !shown.contains(&format!("={secret}")),
            "{shown}"
        );
    }
    assert_eq!(world.refreshes(), 1);
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_secret_and_no_body_is_logged() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let broken = |seen: &Seen, count: u64| match count {
        0 => Some(http(502, "text/plain", "", seen.text.as_bytes())), // a proxy that echoes what it got
        _ => None,
    };
    let world = World::new(Store::default(), broken).await;
    let client = world.client(Some("hidden-old"));
    client.current_user().await.unwrap();
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("DescribeCodingCurrentUser"), "{text}");
    for secret in ["hidden-old", "Bearer a", "=r1", "=top", r#""Id":5"#] {
        assert!(!text.contains(secret), "`{secret}` in {text}");
    }
}
