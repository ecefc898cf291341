//! A running receiver with one door, and an inbox behind it.

use std::net::SocketAddr;
use std::sync::Arc;

use connectors::coding::hook::Proof;
use engine::inbox::{Entry, Inbox, Query};
use engine::status::{Board, HooksStatus};
use server::receiver::{Door, DoorToken, Doors, Limits, Receiver};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::inbox;
use crate::wire::{Answer, DEADLINE, Wire, ask, post, signature};

pub(crate) const TOKEN: &str = "e2Vj0xk9Q7mZs-3rTtYbNfLwPcUaHd_8GiKoMnBvXyA";
pub(crate) const SECRET: &str = "the secret of the hook";

/// A receiver whose door `team` asks for a signature.
pub(crate) struct House {
    pub(crate) address: SocketAddr,
    pub(crate) doors: Doors,
    pub(crate) board: Board,
    pub(crate) inbox: Arc<dyn Inbox>,
    cancel: CancellationToken,
    running: JoinHandle<()>,
    /// Where the inbox lies.
    _dir: tempfile::TempDir,
}

impl House {
    pub(crate) async fn open() -> House {
        House::with(Limits::default(), |inbox| inbox).await
    }

    /// A house with other limits, and something between the door and the inbox.
    pub(crate) async fn with(limits: Limits, before: impl FnOnce(Arc<dyn Inbox>) -> Arc<dyn Inbox>) -> House {
        let dir = tempfile::tempdir().unwrap();
        let inbox = before(inbox::open(dir.path(), inbox::PLENTY).await);
        let receiver = Receiver::bind("127.0.0.1:0".parse().unwrap()).await.unwrap().with_limits(limits);
        let (address, doors, cancel) = (receiver.address(), receiver.doors(), CancellationToken::new());
        let running = tokio::spawn(receiver.run(cancel.clone()));
        let house = House { address, doors, board: Board::default(), inbox, cancel, running, _dir: dir };
        house.set("team", &[TOKEN], Proof { secret: Some(SECRET.into()), ..Proof::default() });
        house
    }

    /// Sets a door whose tokens have no end.
    pub(crate) fn set(&self, connection: &str, tokens: &[&str], proof: Proof) {
        let tokens = tokens.iter().map(|text| DoorToken { text: (*text).into(), until: None }).collect();
        self.doors.set(self.door(connection, tokens, proof));
    }

    pub(crate) fn door(&self, connection: &str, tokens: Vec<DoorToken>, proof: Proof) -> Door {
        Door {
            connection: connection.to_owned(),
            tokens,
            proof,
            inbox: Arc::clone(&self.inbox),
            board: self.board.clone(),
        }
    }

    /// What CODING sends: signed, with a delivery id.
    pub(crate) fn delivery(id: &str, body: &[u8]) -> Vec<u8> {
        let signature = signature(SECRET, body);
        let headers = [
            ("User-Agent", "Coding.net Hook"),
            ("Content-Type", "application/json"),
            ("X-Coding-Service-Hook-Event", "ISSUE_UPDATED"),
            ("X-Coding-Delivery", id),
            ("X-Coding-Signature", &signature),
        ];
        post(&format!("/hooks/{TOKEN}"), &headers, body)
    }

    pub(crate) async fn deliver(&self, id: &str, body: &[u8]) -> Answer {
        ask(self.address, &House::delivery(id, body)).await
    }

    pub(crate) async fn wire(&self) -> Wire {
        Wire::to(self.address).await
    }

    /// All that is in the inbox, oldest first.
    pub(crate) async fn entries(&self) -> Vec<Entry> {
        let query = Query { standing: None, before: None, limit: 1_000_000 };
        let mut entries = self.inbox.list(query).await.unwrap();
        entries.reverse();
        entries
    }

    pub(crate) fn status(&self) -> HooksStatus {
        self.board.read().hooks.unwrap_or_default()
    }

    /// Tells the receiver to stop.
    pub(crate) fn stop(&self) {
        self.cancel.cancel();
    }

    /// Returns when the receiver has stopped.
    pub(crate) async fn stopped(&mut self) {
        timeout(DEADLINE, &mut self.running).await.unwrap().unwrap();
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
