//! How many rows a page has: as many as are asked for, fewer where pages of that size do not come.
//!
//! A page may be too large for somebody on the way, or take so long that a gateway gives up; asked for in the same
//! size it will never come. So it is asked for in halves, down to one row, and later in doubles again. A server that
//! fails whatever it is asked for is told apart by asking for one row beside.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::{Listing, Page, Style};
use crate::error::{Error, ErrorKind};
use crate::issues::PageSize;
use crate::row::RowForm;
use crate::row_by_row::Unreadable;

/// Full pages that come before a larger size is tried ...
const PATIENCE: u32 = 8;
/// ... which doubles whenever the larger size fails, up to this.
const LONGEST_PATIENCE: u32 = 512;
/// How often a page is asked for before it is thought of its size: a passing fault is likelier.
pub(super) const ATTEMPTS_AT_A_SIZE: u32 = 2;

/// In which sizes the pages of listings come, where that is not the size that was asked for.
#[derive(Debug, Default)]
pub(crate) struct PageSizes(Mutex<HashMap<u64, Smaller>>);

#[derive(Debug)]
struct Smaller {
    rows: u32,
    /// Full pages of this size that have come.
    came: u32,
    patience: u32,
    /// Whether it was smaller before.
    raised: bool,
}

impl PageSizes {
    fn smaller(&self) -> MutexGuard<'_, HashMap<u64, Smaller>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In which size to ask, at most `wanted`.
    fn size(&self, listing: u64, wanted: u32) -> u32 {
        self.smaller().get(&listing).map_or(wanted, |smaller| smaller.rows.min(wanted)).max(1)
    }

    /// Half of a size that did not come.
    fn halve(&self, listing: u64, size: u32) -> u32 {
        let rows = (size / 2).max(1);
        let mut all = self.smaller();
        let new = Smaller { rows: size, came: 0, patience: PATIENCE, raised: false };
        let known = all.entry(listing).or_insert(new);
        // Several readers may meet pages of one size that fail: once is enough.
        if known.rows >= size {
            let patience = if known.raised { known.patience.saturating_mul(2) } else { known.patience };
            *known = Smaller { rows, came: 0, patience: patience.min(LONGEST_PATIENCE), raised: false };
        }
        rows
    }

    /// Whether a size is tried after a smaller one, and has not come yet.
    fn is_trial(&self, listing: u64, size: u32) -> bool {
        self.smaller().get(&listing).is_some_and(|known| known.raised && known.rows == size)
    }

    /// A full page of `size` came: in which size to ask from now on.
    fn came(&self, listing: u64, size: u32) -> u32 {
        let mut all = self.smaller();
        let Some(known) = all.get_mut(&listing).filter(|known| known.rows == size) else { return size };
        if known.raised {
            (known.raised, known.patience) = (false, PATIENCE);
        }
        known.came = known.came.saturating_add(1);
        if known.came >= known.patience {
            (known.rows, known.came) = (size.saturating_mul(2).min(PageSize::MAX.get()), 0);
            known.raised = true;
        }
        known.rows
    }
}

/// What to do about a page that did not come.
pub(super) enum Relief<R> {
    /// Ask again, for so many rows a page.
    Smaller(u32),
    /// Ask again, with all the patience there is: it is not the size.
    Again,
    /// Go on without it: its one row cannot be had.
    Without(Page<R>),
}

impl Listing {
    /// By what it is known what size its pages come in.
    pub(super) fn mark(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.action.hash(&mut hasher);
        self.params.hash(&mut hasher);
        hasher.finish()
    }

    /// With the size in which its pages come lately.
    pub(super) fn in_size(&self, size: u32) -> Listing {
        let page_size = PageSize::new(size).unwrap_or(self.page_size);
        Listing { page_size, ..self.clone() }
    }

    /// The size in which to ask for its pages.
    pub(super) fn likely_size(&self) -> u32 {
        self.client.page_sizes().size(self.mark(), self.page_size.get())
    }

    /// In which size to go on after `page`, which came in the size of this listing.
    pub(super) fn size_after<R>(&self, page: &Page<R>) -> u32 {
        let size = self.page_size.get();
        let full = page.page_size.unwrap_or(u64::MAX).min(u64::from(size));
        if page.len() < full { size } else { self.client.page_sizes().came(self.mark(), size) }
    }

    /// What to do about page `number`, which did not come; so many rows lie before it. `sure` when it is known to be
    /// the size.
    pub(super) async fn relieve<F: RowForm>(
        &self,
        form: &F,
        (number, before): (u32, u64),
        error: Error,
        sure: bool,
    ) -> Result<Relief<F::Row>, Error> {
        let kind = error.kind();
        let unreadable = self.row_by_row && kind.is_unreadable();
        if !kind.may_be_the_size() && !unreadable {
            return Err(error);
        }
        let too_large = matches!(kind, ErrorKind::TooLarge { .. });
        let size = self.page_size.get();
        if size > 1 {
            let beside = [before, before.saturating_add(1)];
            let sure = sure || too_large || self.client.page_sizes().is_trial(self.mark(), size);
            if !sure && !self.comes_beside(form, beside).await {
                return Ok(Relief::Again);
            }
            let half = self.client.page_sizes().halve(self.mark(), size);
            tracing::debug!(action = self.action, size, half, error = %error, "asking for smaller pages");
            return Ok(Relief::Smaller(half));
        }
        let row = before.saturating_add(1);
        let beside = [row, before.saturating_sub(1)];
        let spoilt = unreadable && self.comes_beside(form, beside).await;
        if self.row_by_row && (too_large || spoilt) {
            let why = if too_large { kind.to_string() } else { "it is no JSON".to_owned() };
            let unreadable = vec![Unreadable::unseen(row, why)];
            let (rows, total, page_size) = (Vec::new(), None, None);
            let (sent_at, server_time) = (Instant::now(), None);
            return Ok(Relief::Without(Page {
                rows,
                number,
                total,
                page_size,
                sent_at,
                server_time,
                unreadable,
                before,
            }));
        }
        Err(error)
    }

    /// Whether pages of one row come, that after so many rows or that after so many.
    async fn comes_beside<F: RowForm>(&self, form: &F, places: [u64; 2]) -> bool {
        let one = self.in_size(1);
        for place in places {
            // With one row a page it is the same whether the server counts rows or pages.
            let place = match self.style {
                Style::Numbered => place.saturating_add(1),
                Style::Offset => place,
            };
            if one.ask(form, (1, 0), place, Some(ATTEMPTS_AT_A_SIZE)).await.is_ok() {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::{PATIENCE, PageSizes};

    #[test]
    fn a_size_that_fails_is_halved_and_tried_again_later_and_later() {
        let sizes = PageSizes::default();
        assert_eq!(sizes.size(1, 500), 500);
        assert_eq!((sizes.halve(1, 500), sizes.halve(1, 500)), (250, 250));
        assert_eq!((sizes.size(1, 500), sizes.size(1, 200), sizes.size(2, 500)), (250, 200, 500));
        let pages_until_larger = |size| (1..).find(|_| sizes.came(1, size) > size);
        assert_eq!(pages_until_larger(250), Some(PATIENCE));
        assert_eq!(sizes.halve(1, 500), 250);
        assert_eq!(pages_until_larger(250), Some(2 * PATIENCE));
        assert!(sizes.is_trial(1, 500) && !sizes.is_trial(1, 250));
        // It comes: from now on a failure is no different from the first one.
        assert_eq!((sizes.came(1, 500), sizes.halve(1, 500)), (500, 250));
        assert_eq!(pages_until_larger(250), Some(PATIENCE));
        assert_eq!((sizes.halve(3, 3), sizes.halve(3, 1), sizes.size(3, 500)), (1, 1, 1));
    }
}
