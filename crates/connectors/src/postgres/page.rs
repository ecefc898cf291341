//! Whether a row fits into a page. PostgreSQL moves long values out of it, but of each a pointer stays, and short ones stay
//! whole: more than some hundreds of them may be too many.

use engine::target::Cell;

use super::encode::MAX_COLUMNS;

/// What a page of 8 kB has for one row: without its own header and the pointer to the row.
const PAGE: usize = 8_160;
/// A row's header: 23 bytes, and a bit for each column.
const HEADER: usize = (23 + MAX_COLUMNS / 8).next_multiple_of(8);
/// A text of so many bytes, with its own header, is not moved out.
const STAYS: usize = 24;
/// What stays of one that is moved out.
const POINTER: usize = 18;
/// With so many columns every row fits.
const ALWAYS: usize = 300;

/// Whether a row fits into a page, in whatever order the table has its columns.
pub(super) fn fits(row: &[Cell]) -> bool {
    if row.len() <= ALWAYS {
        return true;
    }
    let (mut bytes, mut aligned, mut others) = (HEADER, 0_usize, 1_usize);
    for cell in row {
        let size = match cell {
            Cell::Null => continue,
            Cell::Integer(_) | Cell::Real(_) | Cell::Timestamp(_) => 8,
            Cell::Date(_) => 4,
            Cell::Boolean(_) => 1,
            Cell::Text(text) if text.len() < STAYS => text.len().saturating_add(1),
            Cell::Text(_) => POINTER,
            Cell::Json(_) => STAYS,
        };
        bytes = bytes.saturating_add(size);
        match cell {
            Cell::Text(_) | Cell::Boolean(_) => others = others.saturating_add(1),
            _ => aligned = aligned.saturating_add(1),
        }
    }
    // What is aligned has padding before it where something stands before it that is not.
    bytes.saturating_add(aligned.min(others).saturating_mul(7)) <= PAGE
}
