//! The wish for a look at one row, however many deliveries name it.

use std::time::Duration;

use tokio::time::Instant;

use crate::inbox::DeliveryNumber;

/// Between two looks at a row.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// What is to be looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::capture::hook) struct Wanted {
    /// The newest time of update that a delivery named, milliseconds.
    pub(in crate::capture::hook) updated_ms: i64,
    /// Whether a delivery said that the row is gone.
    pub(in crate::capture::hook) gone: bool,
    /// Whether only the look-up is to be repeated, because the second of the update was not over.
    pub(in crate::capture::hook) only_again: bool,
    /// Whether the row is merely touched by what happened to another.
    pub(in crate::capture::hook) beside: bool,
}

/// When a delivery's look may begin.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::capture::hook) struct Timing {
    /// How long the second of the update still lasts.
    pub(in crate::capture::hook) settle: Duration,
    /// Whether to wait for that although nobody has looked at the row of late: the source is busy.
    pub(in crate::capture::hook) patient: bool,
}

/// A row to look at.
#[derive(Debug)]
pub(super) struct Wish {
    /// What the next look looks for; `None` before anybody said.
    pub(super) wanted: Option<Wanted>,
    /// Deliveries that the next look is for.
    pub(super) deliveries: Vec<DeliveryNumber>,
    /// Whether there is to be a next look.
    pub(super) wished: bool,
    /// When it may begin.
    pub(super) due: Instant,
    /// What the look under way looks for, and for which deliveries.
    pub(super) flight: Option<(Wanted, Vec<DeliveryNumber>)>,
    /// When the newest look began.
    pub(super) last: Option<Instant>,
    pub(super) failing: Option<(Instant, u32)>,
}

impl Wish {
    pub(super) fn new(now: Instant) -> Wish {
        Wish {
            wanted: None,
            deliveries: Vec::new(),
            wished: false,
            due: now,
            flight: None,
            last: None,
            failing: None,
        }
    }

    /// Asks for a look: at once, or a pause after the one before, and then only when the second is over.
    pub(super) fn ask(&mut self, now: Instant, timing: Timing) {
        if !self.wished {
            self.due = match self.last.and_then(|last| last.checked_add(PAUSE)) {
                Some(rested) => rested,
                None => now,
            };
        }
        if self.last.is_some() || timing.patient {
            self.due = self.due.max(now.checked_add(timing.settle).unwrap_or(now));
        }
        self.wished = true;
    }

    /// What is wanted beside what is wanted already.
    pub(super) fn want(&mut self, more: Wanted) {
        self.wanted = Some(match self.wanted {
            None => more,
            Some(before) => Wanted {
                updated_ms: before.updated_ms.max(more.updated_ms),
                gone: before.gone || more.gone,
                only_again: before.only_again && more.only_again,
                beside: before.beside && more.beside,
            },
        });
    }

    pub(super) fn is_ready(&self) -> bool {
        self.wished && self.flight.is_none()
    }

    pub(super) fn begin(&mut self, now: Instant) -> Wanted {
        let wanted = self.wanted.take().unwrap_or_default();
        self.flight = Some((wanted, std::mem::take(&mut self.deliveries)));
        self.wished = false;
        self.last = Some(now);
        wanted
    }
}
