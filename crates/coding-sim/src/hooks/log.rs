//! The send log of a hook: what went out, what came back.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// One request and its answer.
#[derive(Clone, Debug)]
pub(crate) struct LogEntry {
    pub(crate) id: String,
    pub(crate) hook: String,
    pub(crate) event: String,
    pub(crate) delivery: String,
    pub(crate) request_headers: String,
    pub(crate) content: Bytes,
    pub(crate) content_type: &'static str,
    /// 0 = no answer.
    pub(crate) response_status: u16,
    pub(crate) response_headers: String,
    /// The body, or why there is no answer.
    pub(crate) response_body: String,
    pub(crate) created_at: i64,
    pub(crate) send_at: i64,
    pub(crate) response_at: i64,
}

/// One request of a hook and how it ended, for tests that count what a receiver confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookDelivery {
    /// The delivery id.
    pub id: String,
    /// The event that it tells of.
    pub event: String,
    /// The status of the answer; 0 = no answer.
    pub status: u16,
    /// When the event was raised, in milliseconds.
    pub raised_at: i64,
    /// When the request began.
    pub sent_at: i64,
    /// When it ended.
    pub ended_at: i64,
    /// A fingerprint of the body: equal bodies have equal ones.
    pub body: u64,
}

impl From<&LogEntry> for HookDelivery {
    fn from(entry: &LogEntry) -> Self {
        Self {
            id: entry.delivery.clone(),
            event: entry.event.clone(),
            status: entry.response_status,
            raised_at: entry.created_at,
            sent_at: entry.send_at,
            ended_at: entry.response_at,
            body: fingerprint(&entry.content),
        }
    }
}

fn fingerprint(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    hasher.finish()
}

impl LogEntry {
    pub(crate) const fn succeeded(&self) -> bool {
        self.response_status >= 200 && self.response_status < 300
    }

    /// The state as the API states it. The vendor's examples show 1 beside a response of 200; 2 for
    /// everything else is our guess.
    pub(crate) const fn status(&self) -> u8 {
        if self.succeeded() { 1 } else { 2 }
    }

    const fn bytes(&self) -> usize {
        self.content.len() + self.response_body.len()
    }
}

/// The newest entries of one hook, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: VecDeque<LogEntry>,
    bytes: usize,
}

/// A hook's log is no larger than this, whatever the settings say, so that long descriptions do not fill the memory.
const BYTES: usize = 128 * 1024 * 1024;

impl Log {
    /// Adds an entry and lets the oldest above `limit` go.
    pub(crate) fn push(&mut self, entry: LogEntry, limit: usize) {
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        while self.entries.len() > limit || self.bytes > BYTES {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.bytes();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Entries, newest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = &LogEntry> {
        self.entries.iter().rev()
    }
}
