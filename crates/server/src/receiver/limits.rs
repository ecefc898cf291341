//! What a sender may make us spend.

use std::time::Duration;

/// The bounds of the receiver. The default is what it runs with; tests shorten them.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long a connection may take to send the head of a request, and may lie idle before it.
    pub head_time: Duration,
    /// How long the whole body may take.
    pub body_time: Duration,
    /// A body that comes at fewer bytes a second is cut off ...
    pub slowest: u32,
    /// ... once this much time has passed.
    pub patience: Duration,
    /// Bytes of a request's head.
    pub max_head: usize,
    /// Bytes of a body.
    pub max_body: usize,
    /// Bytes of all bodies in memory: those that arrive, and those that the inbox has not written yet.
    pub max_bodies: usize,
    /// Connections at a time. Each is an open file of the process.
    pub connections: usize,
    /// How many of them may come from addresses that no door takes deliveries from.
    pub outsiders: usize,
    /// How long the inbox may take to write a delivery.
    pub accept_time: Duration,
    /// How old a connection may become: one whose answers nobody reads would stay for ever.
    pub connection_life: Duration,
    /// How long requests under way have to finish when their connection, or the receiver, ends.
    pub grace: Duration,
    /// After a body was not read to its end: for how long the rest is thrown away, so that the sender gets to read
    /// the answer before the connection is reset under it.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head_time: Duration::from_secs(5),
            body_time: Duration::from_secs(10),
            slowest: 1_000,
            patience: Duration::from_secs(2),
            max_head: 64 * 1024,
            // The largest event is an issue with its description, some hundred kB.
            max_body: 8 * 1024 * 1024,
            max_bodies: 64 * 1024 * 1024,
            connections: 1_024,
            outsiders: 16,
            // CODING gives up after five seconds.
            accept_time: Duration::from_secs(4),
            connection_life: Duration::from_secs(300),
            grace: Duration::from_secs(5),
            linger: Duration::from_secs(2),
        }
    }
}
