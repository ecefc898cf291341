//! Reading a body: not larger, not slower, and all of them together not more than the limits say.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Duration, Instant, timeout_at};

use super::limits::Limits;

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is larger than a body may be.
    TooLarge,
    /// It takes too long, or comes too slowly.
    TooSlow,
    /// The sender broke off, or the chunks make no sense.
    Broken,
    /// All bodies together take up what they may.
    NoRoom,
}

/// Before more than this much has come, a length in the head reserves no more: saying a length costs nothing.
const FIRST_PIECE: usize = 64 * 1024;

/// Reads a body to its end. Its bytes count as taken up in `room` until the last copy of them is dropped, wherever
/// that is: a delivery that waits in the inbox's queue is in memory too.
///
/// # Errors
/// The limit that it hits. The rest of the body is not read then.
pub(super) async fn read(mut body: Body, limits: &Limits, room: &Arc<Semaphore>) -> Result<Bytes, Unread> {
    let told = body.size_hint().exact().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    let most = told.unwrap_or(limits.max_body);
    if most > limits.max_body {
        return Err(Unread::TooLarge);
    }
    let begun = Instant::now();
    let mut held = Held { bytes: Vec::new(), room: None };
    loop {
        let frame = match timeout_at(next_by(begun, held.bytes.len(), limits), body.frame()).await {
            Err(_) => return Err(Unread::TooSlow),
            Ok(None) => return Ok(Bytes::from_owner(held)),
            Ok(Some(frame)) => frame.map_err(|_| Unread::Broken)?,
        };
        // Trailers mean nothing here.
        let Ok(piece) = frame.into_data() else { continue };
        if piece.len() > most.saturating_sub(held.bytes.len()) {
            return Err(Unread::TooLarge);
        }
        held.grow(piece.len(), told, most, room)?;
        held.bytes.extend_from_slice(&piece);
    }
}

/// When the next piece must have come after `received` bytes: before the slowest sender would need it, and before
/// the whole time is over.
fn next_by(begun: Instant, received: usize, limits: &Limits) -> Instant {
    let received = u32::try_from(received).map_or(f64::from(u32::MAX), f64::from);
    let earned = Duration::from_secs_f64(received / f64::from(limits.slowest.max(1)));
    begun + limits.body_time.min(limits.patience + earned)
}

/// A body and the room it takes up.
struct Held {
    bytes: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Makes room for `more` bytes, first in the account, then in memory.
    fn grow(
        &mut self,
        more: usize,
        told: Option<usize>,
        most: usize,
        room: &Arc<Semaphore>,
    ) -> Result<(), Unread> {
        let (length, capacity) = (self.bytes.len(), self.bytes.capacity());
        let needed = length.saturating_add(more);
        if needed <= capacity {
            return Ok(());
        }
        let first = told.unwrap_or(0).min(FIRST_PIECE);
        let target = needed.max(capacity.saturating_mul(2)).max(first).min(most);
        let share = u32::try_from(target.saturating_sub(capacity)).map_err(|_| Unread::NoRoom)?;
        let share = Arc::clone(room).try_acquire_many_owned(share).map_err(|_| Unread::NoRoom)?;
        match &mut self.room {
            Some(taken) => taken.merge(share),
            None => self.room = Some(share),
        }
        self.bytes.reserve_exact(target.saturating_sub(length));
        Ok(())
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
