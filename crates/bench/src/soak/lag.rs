//! Changes of every kind, ordered at a pace, and how long each takes until a target shows it.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use coding_sim::{Applied, MutationKind};
use tokio::time::MissedTickBehavior;

use crate::Result;
use crate::database::Reader;
use crate::pipeline::since;
use crate::simulator::Simulator;

/// How often a target is asked for what has not arrived: the grain of the delays.
const LOOK: Duration = Duration::from_millis(100);

/// What takes longer is told: a lost hook is made up for by then.
const LATE: Duration = Duration::from_secs(150);

/// Every so manieth change renames an issue: what arrives can be told from what was there.
const RENAMES: u32 = 4;

/// The other changes, and how often each comes up.
const CHANGES: [(MutationKind, usize); 16] = [
    (MutationKind::EditIssue, 60),
    (MutationKind::EditCustomField, 20),
    (MutationKind::EditLabels, 10),
    (MutationKind::EditWatchers, 8),
    (MutationKind::SilentEdit, 8),
    (MutationKind::ChangeStatus, 30),
    (MutationKind::MoveIteration, 12),
    (MutationKind::ChangeParent, 6),
    (MutationKind::ChangeEpic, 6),
    (MutationKind::CreateIteration, 2),
    (MutationKind::EditIteration, 2),
    (MutationKind::RenameIteration, 1),
    (MutationKind::DeleteIteration, 2),
    (MutationKind::ChangeRoles, 2),
    (MutationKind::MemberJoin, 2),
    (MutationKind::MemberLeave, 2),
];

/// What is added while there are fewer issues than at the beginning, and while there are more: their number stays.
const FEWER: [(MutationKind, usize); 3] =
    [(MutationKind::CreateIssue, 30), (MutationKind::CreateSubTask, 15), (MutationKind::DeleteIssue, 15)];
const MORE: [(MutationKind, usize); 3] =
    [(MutationKind::CreateIssue, 10), (MutationKind::CreateSubTask, 5), (MutationKind::DeleteIssue, 45)];

/// How an issue is to look.
#[derive(Clone, Debug)]
enum Wanted {
    There,
    Named(String),
    Gone,
}

/// A change under way.
#[derive(Clone, Debug)]
struct Change {
    at: Instant,
    wanted: Wanted,
}

/// Changes under way to one target, by the code of the issue, and the delays of those that arrived.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    changes: HashMap<i64, Change>,
    /// Seconds, since they were taken last.
    fresh: Vec<f64>,
    /// Seconds, of all changes.
    all: Vec<f64>,
}

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are under way.
    pub(super) fn count(&self) -> usize {
        self.lock().changes.len()
    }

    /// The delays since they were taken last, in seconds.
    pub(super) fn take_fresh(&self) -> Vec<f64> {
        std::mem::take(&mut self.lock().fresh)
    }

    /// All delays, in seconds, in ascending order.
    pub(super) fn delays(&self) -> Vec<f64> {
        let mut all = self.lock().all.clone();
        all.sort_by(f64::total_cmp);
        all
    }

    /// Notes what is wanted of an issue, or that any earlier wish is void.
    fn note(&self, code: u32, change: Option<Change>) {
        let (code, changes) = (i64::from(code), &mut self.lock().changes);
        match change {
            Some(change) => drop(changes.insert(code, change)),
            None => drop(changes.remove(&code)),
        }
    }

    /// Looks at the target again and again, for ever.
    pub(super) async fn watch(&self, mut target: Reader) -> Result<()> {
        loop {
            tokio::time::sleep(LOOK).await;
            let codes: Vec<i64> = self.lock().changes.keys().copied().collect();
            if codes.is_empty() {
                continue;
            }
            let asked = Instant::now();
            let rows = target.issues(&codes).await?;
            let rows: HashMap<i64, Option<String>> =
                rows.into_iter().map(|row| (row.code, row.name)).collect();
            let inner = &mut *self.lock();
            for code in codes {
                let arrived = inner.changes.get(&code).filter(|change| {
                    // What was ordered after the question has no answer yet.
                    change.at < asked
                        && match (&change.wanted, rows.get(&code)) {
                            (Wanted::There, row) => row.is_some(),
                            (Wanted::Gone, row) => row.is_none(),
                            (Wanted::Named(name), row) => {
                                row.is_some_and(|found| found.as_ref() == Some(name))
                            }
                        }
                });
                if let Some(Change { at, wanted }) = arrived.cloned() {
                    if at.elapsed() > LATE {
                        let seconds = at.elapsed().as_secs();
                        writeln!(std::io::stderr(), "bench: after {seconds} s issue {code} is {wanted:?}")?;
                    }
                    inner.changes.remove(&code);
                    inner.fresh.push(since(at));
                    inner.all.push(since(at));
                }
            }
        }
    }
}

/// Orders changes.
pub(super) struct Orders<'a> {
    simulator: &'a Simulator,
    targets: &'a [UnderWay],
    /// Codes of the issues that there are.
    living: Vec<u32>,
    ordered: u32,
}

impl<'a> Orders<'a> {
    pub(super) fn new(simulator: &'a Simulator, targets: &'a [UnderWay]) -> Orders<'a> {
        Orders { simulator, targets, living: (1..=simulator.issues()).collect(), ordered: 0 }
    }

    /// Orders so many changes a second for so long; says how many that were.
    pub(super) async fn make(mut self, per_second: u32, lasts: Duration) -> Result<u32> {
        let mut turn = tokio::time::interval(Duration::from_secs(1) / per_second.max(1));
        // What a busy machine delays is made up for: so many changes a second are the promise.
        turn.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let began = Instant::now();
        while began.elapsed() < lasts {
            turn.tick().await;
            self.ordered += 1;
            match self.ordered.is_multiple_of(RENAMES) {
                true => self.rename().await?,
                false => self.mutate().await?,
            }
        }
        Ok(self.ordered)
    }

    async fn rename(&mut self) -> Result<()> {
        // One after the other, at a distance, so that none is renamed again while it is under way.
        let place = usize::try_from(self.ordered / RENAMES)?.wrapping_mul(7_919);
        let Some(code) = place.checked_rem(self.living.len()).and_then(|place| self.living.get(place)) else {
            return Ok(());
        };
        let name = format!("renamed {}", self.ordered);
        let (code, at) = (*code, Instant::now());
        self.simulator.rename(code, &name).await?;
        self.note(code, Some(Change { at, wanted: Wanted::Named(name) }));
        Ok(())
    }

    async fn mutate(&mut self) -> Result<()> {
        let more = self.living.len() > usize::try_from(self.simulator.issues())?;
        let kinds = CHANGES.iter().chain(if more { &MORE } else { &FEWER });
        let kinds = kinds.flat_map(|(kind, times)| std::iter::repeat_n(*kind, *times));
        let at = Instant::now();
        let done = self.simulator.mutate(&kinds.collect::<Vec<_>>()).await?;
        let Some(Applied { kind, key, .. }) = done.filter(|done| done.table == "Issues") else {
            return Ok(());
        };
        let wanted = match kind.as_str() {
            "create_issue" | "create_sub_task" => {
                self.living.push(key);
                Some(Wanted::There)
            }
            "delete_issue" => {
                self.living.retain(|living| *living != key);
                Some(Wanted::Gone)
            }
            // It may have taken the name along that is waited for.
            _ => None,
        };
        self.note(key, wanted.map(|wanted| Change { at, wanted }));
        Ok(())
    }

    fn note(&self, code: u32, change: Option<Change>) {
        for target in self.targets {
            target.note(code, change.clone());
        }
    }
}
