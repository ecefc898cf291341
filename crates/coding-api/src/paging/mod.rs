//! Listings: one page at a time, or all as a stream.
//!
//! CODING pages by number or by offset, without cursors, while rows move. A stream goes by what the answers
//! hold, not by what was asked for: page sizes may be cut in silence, totals may lie, a page may come back
//! empty. It de-duplicates nothing (a row that moved may come twice); it ends rightly. The rules are in
//! `progress.rs`. Start with [`Listing::stream`].

mod numbered;
mod offset;
mod progress;
pub(crate) mod size;

use std::time::Instant;

use futures::Stream;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::client::Client;
use crate::client::ask::Ask;
use crate::envelope::{ReadRows, Rows};
use crate::error::Error;
use crate::issues::PageSize;
use crate::row::{Maps, Row, RowForm};
use crate::row_by_row::Unreadable;

/// Which pages an action gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// `PageNumber` from 1, `PageSize`.
    Numbered,
    /// `Offset` from 0, `Limit`. Whether `Offset` counts pages or rows is found out by the second page.
    Offset,
}

/// A listing that can be read; nothing is sent before it is.
#[derive(Clone, Debug)]
pub struct Listing {
    pub(crate) client: Client,
    pub(crate) action: &'static str,
    pub(crate) params: Map<String, Value>,
    pub(crate) style: Style,
    pub(crate) page_size: PageSize,
    /// The field by which a row is known again.
    pub(crate) key: &'static str,
    /// Whether a row that cannot be read is put aside, see [`Listing::row_by_row`].
    pub(crate) row_by_row: bool,
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<R = Row> {
    /// The rows, as the API gave them.
    pub rows: Vec<R>,
    /// Which page it is, from 1, in the order of reading.
    pub number: u32,
    /// How many rows the whole listing has, by this answer.
    pub total: Option<u64>,
    /// The page size by the server's own word, where it says one.
    pub page_size: Option<u64>,
    /// When the attempt that was answered went out.
    pub sent_at: Instant,
    /// The server's clock when it answered (whole seconds), if it said so.
    pub server_time: Option<Timestamp>,
    /// Rows that stand on the page and cannot be read; see [`Listing::row_by_row`].
    pub unreadable: Vec<Unreadable>,
    /// How many rows of the listing lie before this page, by its number.
    pub before: u64,
}

impl<R> Page<R> {
    /// How many rows stand on it.
    fn len(&self) -> u64 {
        progress::count(self.rows.len()).saturating_add(progress::count(self.unreadable.len()))
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The payload of a listing; both spellings occur.
const PAYLOAD: &[&str] = &["Data", "data"];

impl Listing {
    /// Asks for pages of this size instead of the largest.
    #[must_use]
    pub fn with_page_size(mut self, page_size: PageSize) -> Self {
        self.page_size = page_size;
        self
    }

    /// Puts rows aside that cannot be read ([`Page::unreadable`]): a number that is none, a text with a broken escape,
    /// values nested too deep. Otherwise one of them costs the whole page. Whoever asks for it must not take such a
    /// row for a missing one.
    #[must_use]
    pub fn row_by_row(mut self) -> Self {
        self.row_by_row = true;
        self
    }

    /// Reads one page, from 1.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn page(&self, number: u32) -> Result<Page, Error> {
        let index = number.saturating_sub(1);
        let before = u64::from(index) * u64::from(self.page_size.get());
        let place = match self.style {
            Style::Numbered => number,
            // By page index, which is what the server most likely means; a stream finds out.
            Style::Offset => index,
        };
        self.ask(&Maps, (number, before), u64::from(place), None).await
    }

    /// Reads all pages, in order. With `look_ahead` above 1 up to so many pages are in flight at a time (within
    /// the budget), beginning when the first answer has told how many there are; with 0 or 1 the next page is
    /// asked for only when the stream is polled for it.
    ///
    /// Pages that bring nothing are passed over, except that a listing without rows gives one empty page. Where pages
    /// are too large or too slow to come, smaller ones are asked for, and some rows come twice. After an error the
    /// stream ends.
    pub fn stream(&self, look_ahead: usize) -> impl Stream<Item = Result<Page, Error>> + Send + use<> {
        self.stream_from(1, look_ahead)
    }

    /// As [`Listing::stream`], beginning with page `first`: for going on where another read stopped. Listings
    /// by offset always begin at the first page.
    pub fn stream_from(
        &self,
        first: u32,
        look_ahead: usize,
    ) -> impl Stream<Item = Result<Page, Error>> + Send + use<> {
        self.stream_as(Maps, first, look_ahead)
    }

    /// As [`Listing::stream_from`], with rows in the given form.
    pub fn stream_as<F: RowForm>(
        &self,
        form: F,
        first: u32,
        look_ahead: usize,
    ) -> impl Stream<Item = Result<Page<F::Row>, Error>> + Send + use<F> {
        let walk = match self.style {
            Style::Numbered => {
                Walk::Numbered(numbered::Walk::new(self.clone(), form, first.max(1), look_ahead))
            }
            Style::Offset => Walk::Offset(offset::Walk::new(self.clone(), form)),
        };
        futures::stream::unfold(walk, |mut walk| async move {
            let item = match &mut walk {
                Walk::Numbered(walk) => walk.next().await,
                Walk::Offset(walk) => walk.next().await,
            };
            item.map(|item| (item, walk))
        })
    }

    /// One request: page `number`, before which so many rows lie, found at `place` (a page number or an offset). What
    /// may fail because of the page's size is tried so many times at most.
    async fn ask<F: RowForm>(
        &self,
        form: &F,
        (number, before): (u32, u64),
        place: u64,
        attempts_at_this_size: Option<u32>,
    ) -> Result<Page<F::Row>, Error> {
        let (place_name, size_name) = match self.style {
            Style::Numbered => ("PageNumber", "PageSize"),
            Style::Offset => ("Offset", "Limit"),
        };
        let mut params = self.params.clone();
        params.insert(place_name.to_owned(), place.into());
        params.insert(size_name.to_owned(), self.page_size.get().into());
        let row_by_row = self.row_by_row;
        let ask = Ask { attempts_at_this_size, row_by_row, ..Ask::read(PAYLOAD) };
        let rows = ReadRows { form: form.clone(), row_by_row };
        let reply = self.client.exchange(self.action, &params, &ask, rows).await?;
        let Rows { rows, page_size, total, mut unreadable } = reply.value;
        unreadable.iter_mut().for_each(|row| row.row = row.row.saturating_add(before));
        let (sent_at, server_time) = (reply.sent_at, reply.server_time);
        Ok(Page { rows, number, total, page_size, sent_at, server_time, unreadable, before })
    }
}

enum Walk<F: RowForm> {
    Numbered(numbered::Walk<F>),
    Offset(offset::Walk<F>),
}
