//! When a listing is at its end, and which answers are not believed at once. Pure judgement over the pages read
//! so far, no requests.
//!
//! - A listing ends when the rows that were new reach the total and the page was not full; a full page that
//!   reaches the total is followed by one more, because a total may lie.
//! - A short page ends nothing while the total is not reached. It is asked for once more, because rows may be
//!   missing from it; short again, it shows the size to which the server cuts its pages.
//! - A page of another size than those before is asked for once more; again of that size, the page numbers
//!   mean other rows from now on, and the walk takes up the place that it had reached.
//! - A page of known rows alone is asked for once more, then ends it: the server repeats its last page.
//! - An empty page is asked for once more, then passed over; once the total's worth of pages and one more are
//!   read, an empty page ends it.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hasher};

use super::Page;
use crate::row::RowForm;

/// How many pages back a row is known again. Rows drift by a few places between two requests, so a repeated
/// page repeats the one just before; memory stays that of a few pages, however long the listing.
const REMEMBERED_PAGES: usize = 3;

/// How many empty pages are passed over in a row, in case the total is far off.
const EMPTY_IN_A_ROW: u32 = 10;
/// How often a listing takes up another page size before it is read on as it comes.
const RESIZES: u32 = 8;

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
    /// Drop it and go on at this page: the numbers count in another size.
    GoTo(u32),
    /// Nothing new in it; the end.
    End,
}

#[derive(Debug)]
pub(super) struct Progress {
    key: &'static str,
    asked_size: u64,
    /// The page size by the server's word, at most the one asked for.
    said_size: Option<u64>,
    /// Rows of the fullest page.
    fullest: u64,
    total: Option<u64>,
    /// Rows that were new when they came.
    received: u64,
    /// Up to which row, by position, the pages read so far go.
    reached: u64,
    delivered: bool,
    recent: VecDeque<HashSet<u64>>,
    empty_in_a_row: u32,
    resizes: u32,
    /// Whether places are counted in rows: then cut pages leave no gaps.
    by_row: bool,
    /// Pages before the first one read, for a read that goes on where another stopped.
    skipped_pages: u64,
}

impl Progress {
    pub(super) fn new(key: &'static str, asked_size: u64, first: u32) -> Self {
        Self {
            key,
            asked_size,
            said_size: None,
            fullest: 0,
            total: None,
            received: 0,
            reached: 0,
            delivered: false,
            recent: VecDeque::new(),
            empty_in_a_row: 0,
            resizes: 0,
            by_row: false,
            skipped_pages: u64::from(first.saturating_sub(1)),
        }
    }

    pub(super) fn count_by_row(&mut self) {
        self.by_row = true;
    }

    /// Goes on in pages of another size; gives the number of the page at which to go on. Rows of the page before may
    /// come once more.
    pub(super) fn resize(&mut self, asked_size: u64) -> u32 {
        let seen = self.seen();
        self.reached = self.reached.max(self.skipped_pages * self.size());
        (self.asked_size, self.said_size, self.fullest) = (asked_size.max(1), None, 0);
        if self.by_row {
            return 0;
        }
        self.skipped_pages = self.reached / self.asked_size;
        self.received = seen.saturating_sub(self.skipped_pages * self.asked_size);
        u32::try_from(self.skipped_pages + 1).unwrap_or(u32::MAX)
    }

    /// Judges page `page.number`; `again` if it was asked for the second time.
    pub(super) fn judge<F: RowForm>(&mut self, form: &F, page: &Page<F::Row>, again: bool) -> Verdict {
        let verdict = match self.judge_size(page, again) {
            Some(verdict) => verdict,
            None if page.is_empty() => self.judge_empty(page, again),
            None => self.judge_rows(form, page, again),
        };
        if matches!(verdict, Verdict::Deliver | Verdict::DeliverLast | Verdict::Skip) {
            self.reached = self.reached.max(u64::from(page.number) * self.size());
        }
        let verdict = if verdict == Verdict::End && !self.delivered { Verdict::DeliverLast } else { verdict };
        self.delivered |= matches!(verdict, Verdict::Deliver | Verdict::DeliverLast);
        verdict
    }

    fn judge_size<R>(&mut self, page: &Page<R>, again: bool) -> Option<Verdict> {
        let said = page.page_size?.min(self.asked_size);
        let known = *self.said_size.get_or_insert(said);
        if said == known || self.by_row || self.resizes >= RESIZES {
            return None;
        }
        if !again {
            return Some(Verdict::Again);
        }
        self.resizes += 1;
        self.said_size = Some(said);
        self.fullest = 0;
        let reached = self.reached.max(self.skipped_pages * known);
        Some(Verdict::GoTo(u32::try_from(reached / said + 1).unwrap_or(u32::MAX)))
    }

    fn judge_empty<R>(&mut self, page: &Page<R>, again: bool) -> Verdict {
        // An empty page that denies there are any rows is no better witness than those before it.
        self.total = self.total.max(page.total);
        let Some(total) = self.total.filter(|total| self.seen() < *total) else { return Verdict::End };
        if !again {
            return Verdict::Again;
        }
        self.empty_in_a_row += 1;
        let beyond = u64::from(page.number) > total.div_ceil(self.size());
        if beyond || self.empty_in_a_row > EMPTY_IN_A_ROW { Verdict::End } else { Verdict::Skip }
    }

    fn judge_rows<F: RowForm>(&mut self, form: &F, page: &Page<F::Row>, again: bool) -> Verdict {
        self.total = page.total.or(self.total);
        let rows = page.len();
        let keys: HashSet<u64> = fingerprints(form, page, self.key).collect();
        let fresh = keys.iter().filter(|key| !self.recent.iter().any(|page| page.contains(key))).count();
        if !again && (self.is_short(page.number, rows) || (fresh == 0 && self.misses_rows())) {
            return Verdict::Again;
        }
        self.recent.push_back(keys);
        if self.recent.len() > REMEMBERED_PAGES {
            self.recent.pop_front();
        }
        if fresh == 0 {
            return Verdict::End;
        }
        self.empty_in_a_row = 0;
        self.fullest = self.fullest.max(rows);
        self.received += count(fresh);
        let full = rows >= self.said_size.unwrap_or(self.asked_size);
        match self.total {
            Some(_) if !full && !self.misses_rows() => Verdict::DeliverLast,
            _ => Verdict::Deliver,
        }
    }

    /// Whether there should be more rows on this page, by its own total.
    fn is_short(&self, number: u32, rows: u64) -> bool {
        let before = u64::from(number.saturating_sub(1)) * self.size();
        let left = self.total.unwrap_or(0).saturating_sub(before);
        !self.by_row && rows < self.size().min(left)
    }

    fn misses_rows(&self) -> bool {
        self.total.is_some_and(|total| self.seen() < total)
    }

    /// How many pages after this one there should be, by what is known now; at least one, as long as nobody
    /// judged that this is the end.
    pub(super) fn pages_ahead(&self) -> u64 {
        let missing = self.total.unwrap_or(0).saturating_sub(self.seen());
        missing.div_ceil(self.size()).max(1)
    }

    /// The page size that holds, by the server's word and by what it really gave.
    pub(super) fn size(&self) -> u64 {
        let said = self.said_size.unwrap_or(self.asked_size).max(1);
        if self.fullest > 0 { said.min(self.fullest) } else { said }
    }

    fn seen(&self) -> u64 {
        self.received + self.skipped_pages * self.size()
    }
}

/// By what the rows of a page are known again, those that cannot be read last.
fn fingerprints<F: RowForm>(form: &F, page: &Page<F::Row>, key: &str) -> impl Iterator<Item = u64> {
    let unreadable = page.unreadable.iter().map(move |row| {
        let mut hasher = DefaultHasher::new();
        row.mark(key, &mut hasher);
        hasher.finish()
    });
    page.rows.iter().map(move |row| fingerprint(form, row, key)).chain(unreadable)
}

/// By what a row is known again: its key, or all of it if it has none.
pub(super) fn fingerprint<F: RowForm>(form: &F, row: &F::Row, key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    form.mark(row, key, &mut hasher);
    hasher.finish()
}

pub(super) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
