//! Walks a listing by offset, one page at a time, and finds out what the server means by `Offset`.
//!
//! The documentation does not say whether `Offset` counts pages or rows. The second request asks for offset 1:
//! if what comes begins within the first page, the server counts rows; that answer is thrown away and the walk
//! goes on by the rows received. Otherwise it counts pages.

use super::progress::{Progress, Verdict, fingerprint};
use super::size::{ATTEMPTS_AT_A_SIZE, Relief};
use super::{Listing, Page};
use crate::error::Error;
use crate::row::RowForm;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Unknown,
    Pages,
    Rows,
}

pub(super) struct Walk<F: RowForm> {
    /// In the size that is asked for now.
    listing: Listing,
    /// The size that is wanted.
    wanted: u32,
    /// Whether pages are known to be too large: since then none has come.
    shrinking: bool,
    form: F,
    progress: Progress,
    meaning: Meaning,
    /// The page to hand on next, from 1.
    next: u32,
    /// Rows received, repeated ones too: the next offset where the server counts rows.
    rows: u64,
    /// The keys of the first page, until the meaning is known.
    first: Vec<u64>,
    done: bool,
}

impl<F: RowForm> Walk<F> {
    pub(super) fn new(listing: Listing, form: F) -> Self {
        let (wanted, size) = (listing.page_size.get(), listing.likely_size());
        let progress = Progress::new(listing.key, u64::from(size), 1);
        Self {
            listing: listing.in_size(size),
            wanted,
            shrinking: false,
            form,
            progress,
            meaning: Meaning::Unknown,
            next: 1,
            rows: 0,
            first: Vec::new(),
            done: false,
        }
    }

    pub(super) async fn next(&mut self) -> Option<Result<Page<F::Row>, Error>> {
        while !self.done {
            match self.step().await {
                Ok(Some(page)) => return Some(Ok(page)),
                Ok(None) => {}
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }

    async fn step(&mut self) -> Result<Option<Page<F::Row>>, Error> {
        let mut page = match self.ask(self.attempts()).await {
            Ok(page) => page,
            Err(error) => match self.relieve(error).await? {
                Some(page) => page,
                None => return Ok(None),
            },
        };
        self.shrinking = false;
        // With one row a page both are the same; only that it must stay one.
        let one_row = self.listing.page_size.get() == 1;
        if self.next == 2 && self.meaning == Meaning::Unknown && !one_row {
            if page.is_empty() {
                page = self.ask(None).await?;
            }
            self.meaning = self.meaning_of(&page);
            self.first = Vec::new();
            if self.meaning == Meaning::Rows {
                self.progress.count_by_row();
                page = self.ask(None).await?;
            }
        }
        let mut verdict = self.progress.judge(&self.form, &page, false);
        if verdict == Verdict::Again {
            page = self.ask(None).await?;
            verdict = self.progress.judge(&self.form, &page, true);
        }
        if self.next == 1 {
            self.first = page.rows.iter().map(|row| self.mark(row)).collect();
        }
        if let Verdict::GoTo(number) = verdict {
            self.next = number;
            return Ok(None);
        }
        self.next = self.next.saturating_add(1);
        // An empty page that is passed over still takes up its place.
        self.rows += if page.is_empty() { self.progress.size() } else { page.len() };
        self.done = matches!(verdict, Verdict::DeliverLast | Verdict::End);
        let size = self.listing.size_after(&page).min(self.wanted);
        if size > self.listing.page_size.get() && self.meaning != Meaning::Unknown {
            self.resize(size);
        }
        Ok(matches!(verdict, Verdict::Deliver | Verdict::DeliverLast).then_some(page))
    }

    async fn ask(&self, attempts: Option<u32>) -> Result<Page<F::Row>, Error> {
        let place = match self.meaning {
            Meaning::Rows => self.rows,
            Meaning::Unknown | Meaning::Pages => u64::from(self.next - 1),
        };
        self.listing.ask(&self.form, (self.next, self.before()), place, attempts).await
    }

    fn attempts(&self) -> Option<u32> {
        (self.listing.page_size.get() > 1).then_some(ATTEMPTS_AT_A_SIZE)
    }

    /// How many rows lie before the next page.
    fn before(&self) -> u64 {
        match self.meaning {
            Meaning::Rows => self.rows,
            Meaning::Unknown | Meaning::Pages => {
                u64::from(self.next - 1) * u64::from(self.listing.page_size.get())
            }
        }
    }

    /// What becomes of the page that did not come; `None` when it is to be asked for again, in another size.
    async fn relieve(&mut self, error: Error) -> Result<Option<Page<F::Row>>, Error> {
        let place = (self.next, self.before());
        match self.listing.relieve(&self.form, place, error, self.shrinking).await? {
            Relief::Again => self.ask(None).await.map(Some),
            Relief::Without(page) => Ok(Some(page)),
            Relief::Smaller(size) => {
                self.shrinking = true;
                self.resize(size);
                Ok(None)
            }
        }
    }

    /// Goes on in pages of another size; from the beginning where it is not known yet what an offset means.
    fn resize(&mut self, size: u32) {
        self.listing = self.listing.in_size(size);
        match self.meaning {
            Meaning::Rows => drop(self.progress.resize(u64::from(size))),
            Meaning::Pages => self.next = self.progress.resize(u64::from(size)),
            Meaning::Unknown => {
                self.progress = Progress::new(self.listing.key, u64::from(size), 1);
                (self.next, self.rows, self.first) = (1, 0, Vec::new());
            }
        }
    }

    fn mark(&self, row: &F::Row) -> u64 {
        fingerprint(&self.form, row, self.listing.key)
    }

    /// What offset 1 gave. Rows that drift in between move the page's beginning by a few places at most: where
    /// the server counts rows it begins near the beginning of the first page, where it counts pages near its
    /// end, or (struck by a cut page size) somewhere in the middle.
    fn meaning_of(&self, page: &Page<F::Row>) -> Meaning {
        let Some(row) = page.rows.first() else {
            // Nothing there, twice: if rows are missing, they are not found by page.
            return if self.first.is_empty() { Meaning::Pages } else { Meaning::Rows };
        };
        let key = self.mark(row);
        match self.first.iter().position(|known| *known == key) {
            Some(place) if place <= (self.first.len() / 8).max(1) => Meaning::Rows,
            _ => Meaning::Pages,
        }
    }
}
