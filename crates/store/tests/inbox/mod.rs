//! What an inbox promises, asked of the SQLite one.

mod accept;
mod benchmark;
mod beside;
mod crash;
mod disk;
mod files;
mod model;
mod prune;
mod repeats;
mod starts;

use bytes::Bytes;
use engine::inbox::{
    Accepted, Arrival, Delivery, DeliveryNumber, Entry, Inbox, Query, Settled, Standing, Turn,
};
use engine::journal::Limit;
use jiff::Timestamp;
use store::inbox::SqliteInbox;

/// A limit that is never reached.
pub(crate) const ALL: Limit = Limit { rows: u32::MAX, bytes: usize::MAX };

/// More than any test takes in.
pub(crate) const ROOM: u64 = u64::MAX;

/// A delivery that names itself.
pub(crate) fn arrival(id: &str) -> Arrival {
    Arrival {
        delivery_id: Some(id.to_owned()),
        received: Timestamp::now(),
        headers: vec![("x-coding-delivery".to_owned(), id.to_owned())],
        body: Bytes::from(format!("{{\"delivery\":\"{id}\",\"text\":\"{}\"}}", "again and ".repeat(30))),
    }
}

/// A delivery of so many bytes that do not compress; others for each id.
pub(crate) fn bulky(id: &str, bytes: usize) -> Arrival {
    let mut state = id.bytes().fold(1_u64, |state, byte| state.wrapping_mul(257).wrapping_add(byte.into()));
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    Arrival { body: (0..bytes).map(|_| next()).collect(), ..arrival(id) }
}

pub(crate) async fn take(inbox: &SqliteInbox, arrival: Arrival) -> DeliveryNumber {
    match inbox.accept(arrival).await.unwrap() {
        Accepted::New(number) => number,
        Accepted::Repeated(number) => panic!("{number:?} was there already"),
    }
}

pub(crate) async fn waiting(inbox: &SqliteInbox) -> Vec<Delivery> {
    inbox.waiting(Turn(0), ALL).await.unwrap()
}

pub(crate) async fn all(inbox: &SqliteInbox) -> Vec<Entry> {
    inbox.list(Query { standing: None, before: None, limit: u32::MAX }).await.unwrap()
}

pub(crate) fn settled(entry: &Entry, standing: Standing) -> Settled {
    Settled { number: entry.number, turn: entry.turn, summary: None, standing }
}
