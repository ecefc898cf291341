//! A gate before an inbox: it lets deliveries through one by one, or sends them away as a full disk would.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::inbox::{
    Accepted, Arrival, Delivery, DeliveryNumber, Entry, Inbox, InboxCounts, Query, Settled, Turn,
};
use engine::journal::{JournalError, Limit};
use engine::problem::{Problem, Remedy};
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::wire::DEADLINE;

/// Where deliveries wait before they come to the inbox.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    inbox: Arc<dyn Inbox>,
    passes: Arc<Semaphore>,
    standing: Arc<watch::Sender<usize>>,
    refuse: Arc<Mutex<Option<Remedy>>>,
}

impl Gate {
    /// A closed gate.
    pub(crate) fn before(inbox: Arc<dyn Inbox>) -> Gate {
        Gate {
            inbox,
            passes: Arc::new(Semaphore::new(0)),
            standing: Arc::new(watch::Sender::new(0)),
            refuse: Arc::default(),
        }
    }

    /// Lets everything through from now on.
    pub(crate) fn open(&self) {
        self.passes.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Sends everything away that comes through, or no longer does.
    pub(crate) fn refuse(&self, with: Option<Remedy>) {
        *self.refuse.lock().unwrap() = with;
    }

    /// Returns when so many deliveries have come to the gate.
    pub(crate) async fn reached_by(&self, count: usize) {
        let mut standing = self.standing.subscribe();
        timeout(DEADLINE, standing.wait_for(|now| *now >= count)).await.unwrap().unwrap();
    }
}

impl Inbox for Gate {
    fn accept(&self, arrival: Arrival) -> BoxFuture<'_, Result<Accepted, JournalError>> {
        Box::pin(async move {
            self.standing.send_modify(|count| *count += 1);
            self.passes.acquire().await.unwrap().forget();
            let refused = *self.refuse.lock().unwrap();
            match refused {
                None => self.inbox.accept(arrival).await,
                Some(remedy) => Err(JournalError {
                    remedy,
                    problem: Problem::new("GATE", "Cannot keep a delivery", "the gate says so", "Open it."),
                    source: None,
                }),
            }
        })
    }

    fn arrivals(&self) -> watch::Receiver<u64> {
        self.inbox.arrivals()
    }

    fn waiting(&self, after: Turn, limit: Limit) -> BoxFuture<'_, Result<Vec<Delivery>, JournalError>> {
        self.inbox.waiting(after, limit)
    }

    fn heard(&self, numbers: Vec<DeliveryNumber>) -> BoxFuture<'_, Result<(), JournalError>> {
        self.inbox.heard(numbers)
    }

    fn settle(&self, settled: Vec<Settled>) -> BoxFuture<'_, Result<(), JournalError>> {
        self.inbox.settle(settled)
    }

    fn delivered(
        &self,
        numbers: Vec<DeliveryNumber>,
        at: Timestamp,
    ) -> BoxFuture<'_, Result<(), JournalError>> {
        self.inbox.delivered(numbers, at)
    }

    fn list(&self, query: Query) -> BoxFuture<'_, Result<Vec<Entry>, JournalError>> {
        self.inbox.list(query)
    }

    fn find(&self, id: String) -> BoxFuture<'_, Result<Option<Delivery>, JournalError>> {
        self.inbox.find(id)
    }

    fn replay(&self, numbers: Vec<DeliveryNumber>) -> BoxFuture<'_, Result<u64, JournalError>> {
        self.inbox.replay(numbers)
    }

    fn counts(&self) -> BoxFuture<'_, Result<InboxCounts, JournalError>> {
        self.inbox.counts()
    }

    fn prune(&self, keep: Duration, max_bytes: u64) -> BoxFuture<'_, Result<(), JournalError>> {
        self.inbox.prune(keep, max_bytes)
    }
}
