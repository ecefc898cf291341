//! Finds the rows that hold copies of rows that changed, a page at a time.
//!
//! Two directions: a row changed, so copies of it elsewhere are out of date; or a row was read anew, and may
//! have brought copies that are older than what the mirror knows of the originals. What a copy is, and when it
//! is the older one, is for [`Source::renew`] to say.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::change::Change;
use crate::clock::Moment;
use crate::journal::{Journal, JournalError, Known, Limit, MirrorRow, Reference};
use crate::observation::Channel;
use crate::row::{ProjectId, RowId, RowKey};
use crate::schema::TableId;
use crate::source::{Holders, Originals, Source};

/// Holders read at once.
const PAGE: u32 = 500;
/// Pairs looked at once: of most of them the versions alone are read.
const PAIRS: usize = 2_000;
/// Bytes of holders read at once.
const PAGE_BYTES: usize = 8 << 20;

/// Holders, and which other row each may hold a copy of.
pub(super) struct Page {
    pub(super) holders: HashMap<RowKey, MirrorRow>,
    pub(super) pairs: Vec<(RowKey, MirrorRow)>,
}

/// What those that refer to a row are to it.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    /// They hold copies of it, which may be out of date.
    Holders,
    /// It holds copies of them, and may lack one.
    Originals,
}

/// Rows of one project, and how far their referrers have been read.
struct Referrers {
    role: Role,
    project: ProjectId,
    rows: HashMap<Reference, RowKey>,
    after: Option<(Reference, RowKey)>,
}

/// What is left to look at.
pub(super) struct Pages {
    /// Rows that have just been written, and others that have been asked about: what the mirror knows of them need not be
    /// asked.
    fresh: HashMap<RowKey, Known>,
    direct: VecDeque<(RowKey, RowKey)>,
    referrers: Vec<Referrers>,
    scans: Vec<(TableId, ProjectId, HashSet<RowKey>, Option<RowId>)>,
}

impl Pages {
    /// What `changes` may have made untrue. `newest` is when anything was looked at last that was there before them.
    pub(super) fn new<'c, S: Source>(
        source: &S,
        changes: impl IntoIterator<Item = &'c Change>,
        fresh: HashMap<RowKey, Known>,
        newest: Moment,
    ) -> Pages {
        let (direct, referrers, scans) = (VecDeque::new(), Vec::new(), Vec::new());
        let mut pages = Pages { fresh, direct, referrers, scans };
        for change in changes {
            let key = change.key;
            let Holders { keys, referrers, scan } =
                source.holders(key, change.before.as_ref(), change.after.as_ref());
            pages.direct.extend(keys.into_iter().map(|holder| (holder, key)));
            if let Some(reference) = referrers {
                pages.ask_referrers(Role::Holders, reference, key);
            }
            for table in scan {
                let same = |(t, p, ..): &&mut (TableId, ProjectId, HashSet<RowKey>, Option<RowId>)| {
                    *t == table && *p == key.project
                };
                match pages.scans.iter_mut().find(same) {
                    Some((_, _, others, _)) => {
                        others.insert(key);
                    }
                    None => pages.scans.push((table, key.project, HashSet::from([key]), None)),
                }
            }
            // A row looked at after everything else has no copies that could be older than their originals.
            let is_newest = pages.fresh.get(&key).is_some_and(|known| oldest_look(known) >= newest);
            let may_be_old = change.channel != Channel::Relation && !is_newest;
            if let Some(row) = change.after.as_ref().filter(|_| may_be_old) {
                let Originals { keys, referrers } = source.relatives(key, row);
                pages.direct.extend(keys.into_iter().map(|relative| (key, relative)));
                if let Some(reference) = referrers {
                    pages.ask_referrers(Role::Originals, reference, key);
                }
            }
        }
        pages
    }

    /// Asks the mirror already of those of the first rows that have not just been written: whoever writes those does not
    /// touch them. What cannot be read is read when its turn comes.
    pub(super) async fn look_ahead<J: Journal>(&mut self, journal: &J) {
        let pairs: Vec<(RowKey, RowKey)> = self.direct.iter().take(PAIRS).copied().collect();
        let known = journal.known(&unlike(&pairs, &self.fresh)).await.unwrap_or_default();
        self.fresh.extend(known.into_iter().map(|known| (known.key, known)));
    }

    /// Has those looked at that refer to the row `key`.
    fn ask_referrers(&mut self, role: Role, reference: Reference, key: RowKey) {
        let same = |known: &&mut Referrers| known.role == role && known.project == key.project;
        match self.referrers.iter_mut().find(same) {
            Some(known) => drop(known.rows.insert(reference, key)),
            None => self.referrers.push(Referrers {
                role,
                project: key.project,
                rows: HashMap::from([(reference, key)]),
                after: None,
            }),
        }
    }

    /// The next page, `None` after the last. An error leaves everything as it was.
    pub(super) async fn next<J: Journal>(&mut self, journal: &J) -> Result<Option<Page>, JournalError> {
        if !self.direct.is_empty() {
            let pairs: Vec<(RowKey, RowKey)> = self.direct.iter().take(PAIRS).copied().collect();
            let page = paired(journal, &pairs, &self.fresh).await?;
            self.direct.drain(..pairs.len());
            return Ok(Some(page));
        }
        if let Some(Referrers { role, project, rows, after }) = self.referrers.last_mut() {
            let references: Vec<Reference> = rows.keys().copied().collect();
            let found = journal.referrers(*project, &references, *after, PAGE).await?;
            let pair = |(to, referrer): &(Reference, RowKey)| {
                let row = *rows.get(to)?;
                Some(match role {
                    Role::Holders => (*referrer, row),
                    Role::Originals => (row, *referrer),
                })
            };
            let pairs: Vec<_> = found.iter().filter_map(pair).collect();
            let page = paired(journal, &pairs, &self.fresh).await?;
            let is_full = u32::try_from(found.len()).is_ok_and(|found| found >= PAGE);
            match found.last().filter(|_| is_full) {
                Some(last) => *after = Some(*last),
                None => drop(self.referrers.pop()),
            }
            return Ok(Some(page));
        }
        if let Some((table, project, others, after)) = self.scans.last_mut() {
            let limit = Limit { rows: PAGE, bytes: PAGE_BYTES };
            let rows = journal.scan(*table, *project, *after, limit).await?;
            let keys: Vec<RowKey> = others.iter().copied().collect();
            let others = journal.rows(&keys).await?;
            match rows.last() {
                Some(last) => *after = Some(last.key.id),
                None => drop(self.scans.pop()),
            }
            let pairs =
                rows.iter().flat_map(|row| others.iter().map(|other| (row.key, other.clone()))).collect();
            let holders = rows.into_iter().map(|row| (row.key, row)).collect();
            return Ok(Some(Page { holders, pairs }));
        }
        Ok(None)
    }
}

/// When the older of the two looks was sent that a row's content comes from.
fn oldest_look(known: &Known) -> Moment {
    match (known.version.listed, known.version.looked_up) {
        (Moment(0), moment) | (moment, Moment(0)) => moment,
        (listed, looked_up) => listed.min(looked_up),
    }
}

/// The rows of the pairs that are not among these.
fn unlike(pairs: &[(RowKey, RowKey)], fresh: &HashMap<RowKey, Known>) -> Vec<RowKey> {
    let mut keys: Vec<RowKey> = pairs.iter().flat_map(|(holder, other)| [*holder, *other]).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.retain(|key| !fresh.contains_key(key));
    keys
}

async fn paired<J: Journal>(
    journal: &J,
    pairs: &[(RowKey, RowKey)],
    fresh: &HashMap<RowKey, Known>,
) -> Result<Page, JournalError> {
    // A row read anew and a row that changed are each other's holder and original in most pairs: first sort
    // out, without reading content, where the original can be newer at all.
    let known = journal.known(&unlike(pairs, fresh)).await?;
    let known: HashMap<RowKey, Known> = known.into_iter().map(|known| (known.key, known)).collect();
    let known = |key: &RowKey| fresh.get(key).or_else(|| known.get(key));
    let mut worth: Vec<(RowKey, RowKey)> = pairs
        .iter()
        .filter(|(holder, other)| match (known(holder), known(other)) {
            (Some(holder), Some(other)) => holder.alive && other.version.observed > oldest_look(holder),
            _ => false,
        })
        .copied()
        .collect();
    worth.sort_unstable();
    worth.dedup();
    let mut keys: Vec<RowKey> = worth.iter().flat_map(|(holder, other)| [*holder, *other]).collect();
    keys.sort_unstable();
    keys.dedup();
    let holders: HashMap<RowKey, MirrorRow> =
        journal.rows(&keys).await?.into_iter().map(|row| (row.key, row)).collect();
    let pairs = worth
        .into_iter()
        .filter_map(|(holder, other)| Some((holder, holders.get(&other)?.clone())))
        .collect();
    Ok(Page { holders, pairs })
}
