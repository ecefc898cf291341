//! Walks a listing by page number, several pages in flight.

use std::collections::VecDeque;

use tokio_util::task::AbortOnDropHandle;

use super::progress::{Progress, Verdict};
use super::size::{ATTEMPTS_AT_A_SIZE, Relief};
use super::{Listing, Page};
use crate::error::{Error, ErrorKind};
use crate::row::RowForm;

pub(super) struct Walk<F: RowForm> {
    /// In the size that is asked for now.
    listing: Listing,
    /// The size that is wanted.
    wanted: u32,
    /// Whether pages are known to be too large: since then none has come.
    shrinking: bool,
    form: F,
    look_ahead: usize,
    progress: Progress,
    /// The pages in flight, in order; the first of them is `next`. They run on their own, so that a consumer
    /// that takes its time does not let them time out; they end with the walk.
    in_flight: VecDeque<AbortOnDropHandle<Result<Page<F::Row>, Error>>>,
    /// The page to hand on next.
    next: u32,
    /// The last page that is expected to exist.
    horizon: u32,
    done: bool,
}

impl<F: RowForm> Walk<F> {
    pub(super) fn new(listing: Listing, form: F, first: u32, look_ahead: usize) -> Self {
        let (wanted, size) = (listing.page_size.get(), listing.likely_size());
        let before = u64::from(first.saturating_sub(1)) * u64::from(wanted);
        let first = u32::try_from(before / u64::from(size) + 1).unwrap_or(u32::MAX);
        let progress = Progress::new(listing.key, u64::from(size), first);
        Self {
            listing: listing.in_size(size),
            wanted,
            shrinking: false,
            form,
            look_ahead: look_ahead.max(1),
            progress,
            in_flight: VecDeque::new(),
            next: first,
            horizon: first,
            done: false,
        }
    }

    pub(super) async fn next(&mut self) -> Option<Result<Page<F::Row>, Error>> {
        while !self.done {
            self.launch();
            let Some(request) = self.in_flight.pop_front() else { break };
            let page = match joined(request.await, self.listing.action) {
                Ok(page) => page,
                Err(error) => match self.relieve(error).await {
                    Ok(Some(page)) => page,
                    Ok(None) => continue,
                    Err(error) => return self.fail(error),
                },
            };
            let (page, verdict) = match self.progress.judge(&self.form, &page, false) {
                Verdict::Again => match ask(&self.listing, &self.form, self.next, None).await {
                    Ok(page) => {
                        let verdict = self.progress.judge(&self.form, &page, true);
                        (page, verdict)
                    }
                    Err(error) => return self.fail(error),
                },
                verdict => (page, verdict),
            };
            self.shrinking = false;
            self.next = self.next.saturating_add(1);
            match verdict {
                Verdict::Skip | Verdict::Again => self.extend(),
                Verdict::GoTo(number) => {
                    self.in_flight.clear();
                    (self.next, self.horizon) = (number, number);
                }
                Verdict::Deliver => {
                    let size = self.listing.size_after(&page).min(self.wanted);
                    if size > self.listing.page_size.get() {
                        self.resize(size);
                    }
                    self.extend();
                    if self.look_ahead > 1 {
                        self.launch(); // the next pages travel while this one is worked on
                    }
                    return Some(Ok(page));
                }
                Verdict::DeliverLast => {
                    self.finish();
                    return Some(Ok(page));
                }
                Verdict::End => self.finish(),
            }
        }
        None
    }

    /// What becomes of the page that did not come; `None` when it is to be asked for again, in another size.
    async fn relieve(&mut self, error: Error) -> Result<Option<Page<F::Row>>, Error> {
        let place = (self.next, before(&self.listing, self.next));
        match self.listing.relieve(&self.form, place, error, self.shrinking).await? {
            Relief::Again => ask(&self.listing, &self.form, self.next, None).await.map(Some),
            Relief::Without(page) => Ok(Some(page)),
            Relief::Smaller(size) => {
                self.shrinking = true;
                self.resize(size);
                Ok(None)
            }
        }
    }

    /// Goes on in pages of another size.
    fn resize(&mut self, size: u32) {
        self.in_flight.clear();
        self.listing = self.listing.in_size(size);
        self.next = self.progress.resize(u64::from(size));
        self.horizon = self.next;
    }

    /// Asks for pages up to the horizon, and for the next one in any case.
    fn launch(&mut self) {
        while self.in_flight.len() < self.look_ahead {
            let ahead = u32::try_from(self.in_flight.len()).unwrap_or(u32::MAX);
            let number = self.next.saturating_add(ahead);
            if number > self.horizon && !self.in_flight.is_empty() {
                break;
            }
            let (listing, form) = (self.listing.clone(), self.form.clone());
            let attempts = (listing.page_size.get() > 1).then_some(ATTEMPTS_AT_A_SIZE);
            let asking = tokio::spawn(async move { ask(&listing, &form, number, attempts).await });
            self.in_flight.push_back(AbortOnDropHandle::new(asking));
        }
    }

    fn extend(&mut self) {
        let ahead = u32::try_from(self.progress.pages_ahead()).unwrap_or(u32::MAX);
        // `next` is already the page after the one judged.
        self.horizon = self.next.saturating_add(ahead - 1);
    }

    fn finish(&mut self) {
        self.done = true;
        self.in_flight.clear();
    }

    fn fail(&mut self, error: Error) -> Option<Result<Page<F::Row>, Error>> {
        self.finish();
        Some(Err(error))
    }
}

async fn ask<F: RowForm>(
    listing: &Listing,
    form: &F,
    number: u32,
    attempts: Option<u32>,
) -> Result<Page<F::Row>, Error> {
    listing.ask(form, (number, before(listing, number)), u64::from(number), attempts).await
}

/// How many rows lie before page `number`.
fn before(listing: &Listing, number: u32) -> u64 {
    u64::from(number.saturating_sub(1)) * u64::from(listing.page_size.get())
}

fn joined<R>(
    joined: Result<Result<Page<R>, Error>, tokio::task::JoinError>,
    action: &'static str,
) -> Result<Page<R>, Error> {
    match joined {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // Only the end of the runtime cancels a page that is still wanted.
        Err(error) => Err(Error::new(ErrorKind::Unreachable, action).because(error)),
    }
}
