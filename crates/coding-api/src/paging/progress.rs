//! When a listing is at its end. Pure judgement over the pages read so far, no requests.
//!
//! - A listing ends when the rows that were new reach the total and the page was not full; a full page that
//!   reaches the total is followed by one more, because a total may lie.
//! - A page of known rows alone ends it: the server repeats its last page.
//! - A short page ends nothing while the total is not reached.
//! - An empty page is asked for once more, then passed over; once the total's worth of pages and one more are
//!   read, an empty page ends it.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::Page;
use crate::row::{Row, integer};

/// How many pages back a row is known again. Rows drift by a few places between two requests, so a repeated
/// page repeats the one just before; memory stays that of a few pages, however long the listing.
const REMEMBERED_PAGES: usize = 3;

/// What to do with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Hand it on and go on.
    Deliver,
    /// Hand it on; it was the last.
    DeliverLast,
    /// Ask for it once more.
    Again,
    /// Nothing in it; go on.
    Skip,
    /// Nothing new in it; the end.
    End,
}

#[derive(Debug)]
pub(super) struct Progress {
    key: &'static str,
    asked_size: u64,
    answered_size: Option<u64>,
    /// Rows of the fullest page.
    fullest: u64,
    total: Option<u64>,
    /// Rows that were new when they came.
    received: u64,
    delivered: bool,
    recent: VecDeque<HashSet<u64>>,
    /// Pages before the first one read, for a read that goes on where another stopped.
    skipped_pages: u64,
}

impl Progress {
    pub(super) fn new(key: &'static str, asked_size: u64, first: u32) -> Self {
        Self {
            key,
            asked_size,
            answered_size: None,
            fullest: 0,
            total: None,
            received: 0,
            delivered: false,
            recent: VecDeque::new(),
            skipped_pages: u64::from(first.saturating_sub(1)),
        }
    }

    /// Judges page `page.number`; `again` if it was asked for the second time.
    pub(super) fn judge(&mut self, page: &Page, again: bool) -> Verdict {
        self.answered_size = page.page_size.or(self.answered_size);
        let verdict =
            if page.rows.is_empty() { self.judge_empty(page, again) } else { self.judge_rows(page) };
        match verdict {
            Verdict::End if !self.delivered => Verdict::DeliverLast,
            Verdict::Deliver | Verdict::DeliverLast => {
                self.delivered = true;
                verdict
            }
            _ => verdict,
        }
    }

    fn judge_empty(&mut self, page: &Page, again: bool) -> Verdict {
        // An empty page that denies there are any rows is no better witness than those before it.
        self.total = self.total.max(page.total);
        match self.total {
            Some(total) if self.seen() < total => {
                let last_place = total.div_ceil(self.size()) + 1;
                match (again, u64::from(page.number) < last_place) {
                    (false, _) => Verdict::Again,
                    (true, true) => Verdict::Skip,
                    (true, false) => Verdict::End,
                }
            }
            _ => Verdict::End,
        }
    }

    fn judge_rows(&mut self, page: &Page) -> Verdict {
        self.total = page.total.or(self.total);
        let keys: HashSet<u64> = page.rows.iter().map(|row| fingerprint(row, self.key)).collect();
        let fresh = keys.iter().filter(|key| !self.recent.iter().any(|page| page.contains(key))).count();
        self.recent.push_back(keys);
        if self.recent.len() > REMEMBERED_PAGES {
            self.recent.pop_front();
        }
        if fresh == 0 {
            return Verdict::End;
        }
        let rows = count(page.rows.len());
        self.fullest = self.fullest.max(rows);
        self.received += count(fresh);
        let full = rows >= self.asked_size.min(self.answered_size.unwrap_or(u64::MAX));
        match self.total {
            Some(total) if self.seen() >= total && !full => Verdict::DeliverLast,
            _ => Verdict::Deliver,
        }
    }

    /// How many pages after this one there should be, by what is known now; at least one, as long as nobody
    /// judged that this is the end.
    pub(super) fn pages_ahead(&self) -> u64 {
        let missing = self.total.unwrap_or(0).saturating_sub(self.seen());
        missing.div_ceil(self.size()).max(1)
    }

    /// The page size that holds, by the server's word and by what it really gave.
    pub(super) fn size(&self) -> u64 {
        let said = self.asked_size.min(self.answered_size.unwrap_or(u64::MAX));
        if self.fullest > 0 { said.min(self.fullest) } else { said.max(1) }
    }

    fn seen(&self) -> u64 {
        self.received + self.skipped_pages * self.size()
    }
}

/// By what a row is known again: its key, or all of it if it has none.
pub(super) fn fingerprint(row: &Row, key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    match row.get(key) {
        Some(value) => match integer(value) {
            Some(number) => number.hash(&mut hasher),
            None => value.hash(&mut hasher),
        },
        None => row.hash(&mut hasher),
    }
    hasher.finish()
}

pub(super) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
