//! Who is connected, and who has to go where there is no place left: those first of whom less is known, and of them
//! those who came first. Nobody goes whose request brought the token of a door and is not answered yet.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::limits::Limits;

/// How much is known of whoever is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// No door takes deliveries from its address.
    Outsider,
    /// It may be anybody.
    Stranger,
    /// A door names its address.
    Listed,
    /// It brought the token of a door.
    Known,
}

/// The places of a receiver. Cheap to clone; clones are the same places.
#[derive(Clone, Debug)]
pub(super) struct Guests(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    outsiders: usize,
    places: Mutex<Places>,
    /// A place has become free, or one could be made free.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Places {
    /// By the order in which they came.
    guests: BTreeMap<u64, Guest>,
    came: u64,
}

#[derive(Debug)]
struct Guest {
    standing: Standing,
    /// Has brought a token and has no answer yet.
    busy: bool,
    leave: CancellationToken,
}

impl Guests {
    /// As many as the limits allow.
    pub(super) fn new(limits: &Limits) -> Guests {
        let most = limits.connections.max(1);
        let outsiders = limits.outsiders.clamp(1, most);
        Guests(Arc::new(Inner { most, outsiders, places: Mutex::default(), changed: Notify::new() }))
    }

    /// A place, once there is one. Somebody else may have to go for it. May be dropped: then nobody came.
    pub(super) async fn admit(&self, standing: Standing) -> Place {
        loop {
            if let Some(place) = self.try_admit(standing) {
                return place;
            }
            // Nothing is missed in between: a change that nobody waits for is kept.
            self.0.changed.notified().await;
        }
    }

    /// Has one go of whom least is known, so that its file descriptor becomes free.
    pub(super) fn thin_out(&self) {
        evict(&self.0.lock(), Standing::Stranger);
    }

    fn try_admit(&self, standing: Standing) -> Option<Place> {
        let mut places = self.0.lock();
        let outside = |guest: &&Guest| guest.standing == Standing::Outsider;
        if standing == Standing::Outsider
            && places.guests.values().filter(outside).count() >= self.0.outsiders
        {
            evict(&places, Standing::Outsider);
            return None;
        }
        if places.guests.len() >= self.0.most {
            evict(&places, Standing::Known);
            return None;
        }
        let number = places.came;
        places.came += 1;
        let leave = CancellationToken::new();
        places.guests.insert(number, Guest { standing, busy: false, leave: leave.clone() });
        Some(Place { guests: self.clone(), number, leave })
    }
}

/// Has the first go of those of whom least is known, and no more than `at_most`; unless somebody is going.
fn evict(places: &Places, at_most: Standing) {
    let within = || places.guests.values().filter(|guest| guest.standing <= at_most);
    if within().any(|guest| guest.leave.is_cancelled()) {
        return;
    }
    // Of equals the first, which came first.
    if let Some(guest) = within().filter(|guest| !guest.busy).min_by_key(|guest| guest.standing) {
        guest.leave.cancel();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    guests: Guests,
    number: u64,
    leave: CancellationToken,
}

impl Place {
    /// Returns when somebody else needs the place.
    pub(super) fn evicted(&self) -> impl Future<Output = ()> + use<> {
        self.leave.clone().cancelled_owned()
    }

    /// The request under way brought the token of a door: it keeps the place until it is answered, and what is known
    /// stays known.
    pub(super) fn knows_a_token(&self) -> Busy {
        if let Some(guest) = self.guests.0.lock().guests.get_mut(&self.number) {
            (guest.standing, guest.busy) = (Standing::Known, true);
        }
        Busy { guests: self.guests.clone(), number: self.number }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.guests.0.lock().guests.remove(&self.number);
        self.guests.0.changed.notify_one();
    }
}

/// A request with a token is under way, until this is dropped.
#[derive(Debug)]
pub(super) struct Busy {
    guests: Guests,
    number: u64,
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(guest) = self.guests.0.lock().guests.get_mut(&self.number) {
            guest.busy = false;
        }
        self.guests.0.changed.notify_one();
    }
}
