//! The readers of what CODING says of its hooks, for a fuzz target. It takes any bytes; the target is that it returns,
//! and that what it asserts holds.

use jiff::Timestamp;
use secrecy::SecretString;

use super::log::Missed;
use super::register::{HookPlan, differences, shows_secrets};

/// Reads a page of hooks, or of a hook's log, and goes on with it as registration and fetching do.
///
/// # Panics
/// What people read shows a secret of the plan, or more is fetched than the log has.
pub fn hook_answers(body: &[u8]) {
    const SECRETS: [&str; 3] = ["9f3c1b7a55d2", "5d2a55b7c1f3", "c1b7a55d29f3"];
    let [url, secret, password] =
        SECRETS.map(|secret| SecretString::from(format!("https://a.test/{secret}")));
    let plan = HookPlan {
        name: "tributary".to_owned(),
        url,
        secret: Some(secret),
        basic: Some(("nobody".to_owned(), password)),
        events: vec!["ISSUE_CREATED".to_owned(), "ISSUE_UPDATED".to_owned()],
    };
    let (hooks, logs) = coding_api::fuzzing::hook_answers(body);
    for hook in &hooks {
        let said = differences(hook, &plan).join("; ");
        // Events are told as CODING names them.
        let named = hook.events.join("; ");
        assert!(!SECRETS.iter().any(|secret| said.contains(secret) && !named.contains(secret)), "{said}");
        let _all_shown = shows_secrets(hook, &plan);
    }
    let (entries, mut missed) = (logs.len(), Missed::new(Timestamp::UNIX_EPOCH));
    let _more_wanted = logs.into_iter().all(|log| missed.take(log));
    assert!(missed.found.arrivals.len() <= entries);
}
