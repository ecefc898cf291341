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
use crate::source::{Holders, Source};

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

/// Originals of one project, and how far their referrers have been read.
struct Referrers {
    project: ProjectId,
    originals: HashMap<Reference, RowKey>,
    after: Option<(Reference, RowKey)>,
}

/// What is left to look at.
pub(super) struct Pages {
    /// Rows that have just been written: what the mirror knows of them need not be asked.
    fresh: HashMap<RowKey, Known>,
    direct: VecDeque<(RowKey, RowKey)>,
    referrers: Vec<Referrers>,
    scans: Vec<(TableId, ProjectId, HashSet<RowKey>, Option<RowId>)>,
}

impl Pages {
    /// What `changes` may have made untrue. `newest` is when anything that the journal holds was looked at last.
    pub(super) fn new<S: Source>(
        source: &S,
        changes: Vec<Change>,
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
                let same = |referrers: &&mut Referrers| referrers.project == key.project;
                match pages.referrers.iter_mut().find(same) {
                    Some(referrers) => drop(referrers.originals.insert(reference, key)),
                    None => pages.referrers.push(Referrers {
                        project: key.project,
                        originals: HashMap::from([(reference, key)]),
                        after: None,
                    }),
                }
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
                let relatives = source.relatives(key, row).into_iter();
                pages.direct.extend(relatives.map(|relative| (key, relative)));
            }
        }
        pages
    }

    /// The next page, `None` after the last. An error leaves everything as it was.
    pub(super) async fn next<J: Journal>(&mut self, journal: &J) -> Result<Option<Page>, JournalError> {
        if !self.direct.is_empty() {
            let pairs: Vec<(RowKey, RowKey)> = self.direct.iter().take(PAIRS).copied().collect();
            let page = paired(journal, &pairs, &self.fresh).await?;
            self.direct.drain(..pairs.len());
            return Ok(Some(page));
        }
        if let Some(Referrers { project, originals, after }) = self.referrers.last_mut() {
            let references: Vec<Reference> = originals.keys().copied().collect();
            let found = journal.referrers(*project, &references, *after, PAGE).await?;
            let pairs: Vec<_> =
                found.iter().filter_map(|(to, holder)| Some((*holder, *originals.get(to)?))).collect();
            let page = paired(journal, &pairs, &self.fresh).await?;
            match found.last() {
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

async fn paired<J: Journal>(
    journal: &J,
    pairs: &[(RowKey, RowKey)],
    fresh: &HashMap<RowKey, Known>,
) -> Result<Page, JournalError> {
    // A row read anew and a row that changed are each other's holder and original in most pairs: first sort
    // out, without reading content, where the original can be newer at all.
    let mut keys: Vec<RowKey> = pairs.iter().flat_map(|(holder, other)| [*holder, *other]).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.retain(|key| !fresh.contains_key(key));
    let known: HashMap<RowKey, Known> =
        journal.known(&keys).await?.into_iter().map(|known| (known.key, known)).collect();
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
