//! The newest commits, kept in memory for readers close behind the head.
//!
//! A task that keeps up reads what was committed a moment ago. Served from here it costs neither a read of the
//! file nor a row unpacked and parsed once more. Only what is on disk gets here, and whoever is further behind
//! reads the file.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use engine::change::Change;
use engine::journal::{Entry, Limit, MirrorRow};
use engine::position::Sequence;
use engine::row::RowKey;

use super::commit::Size;

/// Bytes of JSON kept; in memory a row takes a third more, and six times as much once values were made of it. Some of
/// a delivery's batches, so that one that keeps up on the whole may fall behind for a moment: as many rows of usual size
/// as a first reading goes ahead (`AHEAD` in `capture/recorder/pace.rs`), and a group of pages more.
const BYTES: usize = 7 << 20;

/// The newest commits.
#[derive(Debug)]
pub(super) struct Recent(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Every change after it is here.
    floor: Sequence,
    /// In sequence order.
    kept: VecDeque<Kept>,
    /// The newest change of every key that is here.
    newest: HashMap<RowKey, Sequence>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    row: MirrorRow,
    change: Option<Change>,
    size: Size,
}

impl Recent {
    /// Nothing yet, of a journal with this head.
    pub(super) fn after(head: Sequence) -> Recent {
        let (kept, newest) = (VecDeque::new(), HashMap::new());
        Recent(Mutex::new(State { floor: head, kept, newest, bytes: 0 }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit of these entries begins. Unless it is settled, it may have come to the disk or not.
    pub(super) fn begin<'a>(&'a self, entries: &'a [Entry]) -> Doubt<'a> {
        Doubt { recent: self, entries, settled: false }
    }

    /// Forgets everything up to `head`: it was changed behind our back.
    pub(super) fn forget(&self, head: Sequence) {
        self.state().forget(head);
    }

    /// Rows whose newest change comes after `after`, in sequence order; `None` when that reaches too far back.
    pub(super) fn mirror_after(&self, after: Sequence, limit: Limit) -> Option<Vec<MirrorRow>> {
        let state = self.state();
        let newest = |kept: &&Kept| state.newest.get(&kept.row.key) == Some(&kept.row.version.sequence);
        let found = state.after(after)?.filter(newest);
        Some(limited(found, limit, |kept| Some((kept.row.clone(), kept.size.row))))
    }

    /// Changes after `after`, in sequence order; `None` when that reaches too far back.
    pub(super) fn log_after(&self, after: Sequence, limit: Limit) -> Option<Vec<Change>> {
        let state = self.state();
        // A change that was not logged is none of the log's.
        Some(limited(state.after(after)?, limit, |kept| Some((kept.change.clone()?, kept.size.change))))
    }
}

/// A commit whose end is not known. It fails, or nobody waits for it any more: then what was kept is forgotten, for
/// the file may have more.
#[derive(Debug)]
pub(super) struct Doubt<'a> {
    recent: &'a Recent,
    entries: &'a [Entry],
    settled: bool,
}

impl Doubt<'_> {
    /// The entries are on the disk.
    pub(super) fn settle(mut self, sizes: &[Size]) {
        self.settled = true;
        let mut state = self.recent.state();
        for (Entry { row, change, .. }, size) in self.entries.iter().zip(sizes) {
            state.add(row, change.as_ref(), *size);
        }
    }
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        let last = self.entries.iter().map(|entry| entry.row.version.sequence).max();
        if let Some(last) = last.filter(|_| !self.settled) {
            self.recent.forget(last);
        }
    }
}

impl State {
    fn forget(&mut self, head: Sequence) {
        self.floor = self.kept.back().map_or(self.floor, |last| last.row.version.sequence).max(head);
        self.kept.clear();
        self.newest.clear();
        self.bytes = 0;
    }

    fn add(&mut self, row: &MirrorRow, change: Option<&Change>, size: Size) {
        let (key, sequence) = (row.key, row.version.sequence);
        if self.kept.back().map_or(self.floor, |last| last.row.version.sequence) < sequence {
            self.kept.push_back(Kept { row: row.clone(), change: change.cloned(), size });
            self.newest.insert(key, sequence);
            self.bytes = self.bytes.saturating_add(size.kept());
        } else if sequence > self.floor {
            let found = self.kept.binary_search_by_key(&sequence, |kept| kept.row.version.sequence);
            match found.ok().and_then(|at| self.kept.get_mut(at)).filter(|kept| kept.row.key == key) {
                // Bookkeeping that is no change.
                Some(kept) => kept.row = row.clone(),
                // Not numbered as promised: the file knows.
                None => self.forget(sequence),
            }
        }
        while self.bytes > BYTES {
            let Some(oldest) = self.kept.pop_front() else { break };
            let MirrorRow { key, version, .. } = oldest.row;
            self.floor = version.sequence;
            self.bytes = self.bytes.saturating_sub(oldest.size.kept());
            if self.newest.get(&key) == Some(&version.sequence) {
                self.newest.remove(&key);
            }
        }
    }

    fn after(&self, after: Sequence) -> Option<impl Iterator<Item = &Kept>> {
        (after >= self.floor).then(|| {
            let first = self.kept.partition_point(|kept| kept.row.version.sequence <= after);
            self.kept.range(first..)
        })
    }
}

/// Takes until a limit is reached, at least one.
fn limited<'a, T>(
    kept: impl Iterator<Item = &'a Kept>,
    limit: Limit,
    take: impl Fn(&'a Kept) -> Option<(T, usize)>,
) -> Vec<T> {
    let (rows, mut bytes) = (usize::try_from(limit.rows).unwrap_or(usize::MAX), 0_usize);
    let mut taken = Vec::new();
    for one in kept {
        let Some((value, size)) = take(one) else { continue };
        bytes = bytes.saturating_add(size);
        if taken.len() >= rows || (bytes > limit.bytes && !taken.is_empty()) {
            break;
        }
        taken.push(value);
    }
    taken
}
