//! What is said about deliveries that could not be taken in: once a minute for each reason, with how many there
//! were since. A sender that is turned away comes again and again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long nothing is said about what was just said.
const SILENCE: Duration = Duration::from_secs(60);

/// Remembers what was said. It holds an entry for each door and reason, both of which are few.
#[derive(Clone, Debug, Default)]
pub(super) struct Voice(Arc<Mutex<BTreeMap<(String, String), Said>>>);

#[derive(Debug)]
struct Said {
    at: Instant,
    unsaid: u64,
}

impl Voice {
    /// How many were passed over since it was said last, if it is to be said now.
    pub(super) fn speaks(&self, connection: &str, reason: &str) -> Option<u64> {
        let now = Instant::now();
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (connection.to_owned(), reason.to_owned());
        let Some(before) = said.get_mut(&key) else {
            said.insert(key, Said { at: now, unsaid: 0 });
            return Some(0);
        };
        if now.duration_since(before.at) < SILENCE {
            before.unsaid += 1;
            return None;
        }
        before.at = now;
        Some(std::mem::take(&mut before.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::{SILENCE, Voice};

    #[tokio::test(start_paused = true)]
    async fn the_same_is_said_once_a_minute_with_what_was_passed_over() {
        let voice = Voice::default();
        assert_eq!(voice.speaks("team", "signature_wrong"), Some(0));
        assert_eq!(voice.speaks("team", "signature_wrong"), None);
        assert_eq!(voice.speaks("team", "signature_wrong"), None);
        assert_eq!(voice.speaks("team", "signature_missing"), Some(0));
        assert_eq!(voice.speaks("other", "signature_wrong"), Some(0));
        tokio::time::advance(SILENCE).await;
        assert_eq!(voice.speaks("team", "signature_wrong"), Some(2));
        assert_eq!(voice.speaks("team", "signature_wrong"), None);
    }
}
