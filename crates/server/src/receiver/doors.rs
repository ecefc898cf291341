//! The doors of the connections, and which of them a token opens.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use connectors::coding::hook::Proof;
use engine::inbox::Inbox;
use engine::status::Board;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::guests::Standing;

/// Where the deliveries of a connection come in.
pub struct Door {
    /// The connection's name; told to whoever knows a token.
    pub connection: String,
    /// The tokens that lead here: while one replaces another, both do.
    pub tokens: Vec<DoorToken>,
    /// What a delivery must prove.
    pub proof: Proof,
    /// Where a delivery goes.
    pub inbox: Arc<dyn Inbox>,
    /// Where it is told what came in.
    pub board: Board,
}

/// The last part of a hook's URL.
#[derive(Clone, Debug)]
pub struct DoorToken {
    /// The token.
    pub text: SecretString,
    /// When it ends to be valid.
    pub until: Option<Timestamp>,
}

/// The doors of all connections. Cheap to clone; clones are the same doors.
#[derive(Clone, Debug, Default)]
pub struct Doors(Arc<RwLock<Arc<Vec<Arc<Known>>>>>);

/// A door, and the digests of its tokens.
#[derive(Debug)]
struct Known {
    door: Arc<Door>,
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    digest: [u8; 32],
    until: Option<Timestamp>,
}

impl Doors {
    /// Opens a door, in place of the one that the connection had.
    pub fn set(&self, door: Door) {
        // A path that is no text counts as an empty token: none may be one.
        let tokens = door.tokens.iter().filter(|token| !token.text.expose_secret().is_empty());
        let key = |token: &DoorToken| Key { digest: digest(token.text.expose_secret()), until: token.until };
        let known = Arc::new(Known { keys: tokens.map(key).collect(), door: Arc::new(door) });
        self.change(|doors| {
            doors.retain(|other| other.door.connection != known.door.connection);
            doors.push(known);
        });
    }

    /// Closes the door of a connection.
    pub fn remove(&self, connection: &str) {
        self.change(|doors| doors.retain(|known| known.door.connection != connection));
    }

    /// The door that `token` opens now. Takes as long whether there is one or not, and tells nothing of tokens that
    /// begin alike: digests are compared, each with each, to their ends.
    pub(super) fn find(&self, token: &str, now: Timestamp) -> Option<Arc<Door>> {
        let doors = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let wanted = digest(token);
        let mut found = None;
        for known in doors.iter() {
            for key in &known.keys {
                if is_same(&key.digest, &wanted) & key.until.is_none_or(|until| now < until) {
                    found = Some(&known.door);
                }
            }
        }
        found.cloned()
    }

    /// What an address alone says of whoever comes from it.
    pub(super) fn standing(&self, from: Option<IpAddr>) -> Standing {
        let doors = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let proofs = || doors.iter().map(|known| &known.door.proof);
        if from.is_some_and(|from| proofs().any(|proof| proof.is_listed(from))) {
            Standing::Listed
        } else if doors.is_empty() || proofs().any(|proof| proof.allow_from.is_empty()) {
            Standing::Stranger
        } else {
            Standing::Outsider
        }
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Known>>)) {
        let mut doors = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Vec::clone(&doors);
        change(&mut changed);
        *doors = Arc::new(changed);
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.iter().zip(other).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("connection", &self.connection)
            .field("tokens", &self.tokens)
            .field("proof", &self.proof)
            .finish_non_exhaustive()
    }
}
