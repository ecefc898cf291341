//! Pages: which rows were asked for, what a hostile server makes of them.

use crate::actions::Call;
use crate::config::DOCUMENTED_PAGE;
use crate::failure::Failure;
use crate::faults::FaultKind;
use crate::listing::Window;

/// A page by number and size, as the server understands it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    pub(crate) number: u32,
    pub(crate) size: u32,
}

impl Page {
    /// Reads `PageNumber` and `PageSize`; 0 counts as the first page and as the default size.
    pub(crate) fn read(call: &Call<'_>) -> Result<Self, Failure> {
        let number = call.fields.need_id("PageNumber")?.max(1);
        Ok(Self { number, size: cut(call, call.fields.need_id("PageSize")?) })
    }

    /// The rows of the page.
    pub(crate) fn window(self, call: &Call<'_>) -> Window {
        overlap(call, rows(self.number - 1).saturating_mul(rows(self.size)), rows(self.size))
    }

    /// How many pages `total` rows make.
    pub(crate) fn count(self, total: i64) -> i64 {
        let size = i64::from(self.size.max(1));
        total.max(0).saturating_add(size - 1) / size
    }
}

/// A page size after all cuts that apply.
pub(crate) fn cut(call: &Call<'_>, asked: u32) -> u32 {
    const DEFAULT: u32 = 20;
    let asked = if asked == 0 { DEFAULT } else { asked };
    let limits = [DOCUMENTED_PAGE, call.config.max_page_size, call.faults.max_page_size];
    let size = limits.into_iter().filter(|limit| *limit != 0).fold(asked, u32::min);
    if call.struck_by(FaultKind::CutPageSize) { size.div_ceil(3) } else { size }
}

/// The window of a page; with duplicates it begins one row early.
pub(crate) fn overlap(call: &Call<'_>, skip: usize, take: usize) -> Window {
    if call.struck_by(FaultKind::DuplicateRows) && skip > 0 {
        return Window { skip: skip - 1, take: take.saturating_add(1) };
    }
    Window { skip, take }
}

/// What the faults make of the rows of a page.
pub(crate) fn spoil<T: Clone>(call: &Call<'_>, mut rows: Vec<T>) -> Vec<T> {
    match call.fault {
        Some(FaultKind::EmptyPage) => rows.clear(),
        Some(FaultKind::ShortPage) => rows.truncate(rows.len().div_ceil(3)),
        Some(FaultKind::DuplicateRows) => rows.extend(rows.first().cloned()),
        _ => {}
    }
    rows
}

/// What the faults make of a total.
pub(crate) fn total(call: &mut Call<'_>, rows: usize) -> i64 {
    let mut total = i64::try_from(rows).unwrap_or(i64::MAX);
    if total > 0 {
        total = total.saturating_add(call.faults.total_delta);
    }
    if call.struck_by(FaultKind::LyingTotal) {
        let by = 1 + i64::from(call.dice.below_u32(9));
        total = total.saturating_add(if call.dice.chance(0.5) { by } else { -by });
    }
    total.max(0)
}

/// A count of rows in the width of this machine.
pub(crate) fn rows(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
