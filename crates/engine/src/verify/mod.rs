//! Whether a target holds what the mirror says it should, and whether the mirror holds what the source shows.
//!
//! Reads only, and beside whoever writes. [`target`](Verification::target) goes through mirror and target together,
//! in the order of ids; [`source`] through the source's listing. What differs at first sight is
//! looked at again until it can be told: a target is behind its mirror, a mirror behind its source, and neither is
//! a difference. Start with [`Verification`]; what was found is in [`report`].

mod cells;
pub mod report;
mod settle;
pub mod source;
mod table;

use std::time::Duration;

use tokio::sync::watch;

use crate::custom::CustomFields;
use crate::delivery::shape::{Mode, Shaper, Task};
use crate::journal::{Journal, JournalError};
use crate::problem::{Problem, Remedy};
use crate::row::RowKey;
use crate::source::{Project, SourceError};
use crate::target::{Inspect, Looked, TargetError};
use report::Compared;

/// How long a row is looked at again that differs while somebody works on it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Wait before a row is looked at again.
const PAUSE: Duration = Duration::from_millis(500);

/// A call that may pass is tried so many times.
const TRIES: u32 = 5;

/// What ends a comparison.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The target's fault.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The journal's fault.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The source's fault.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl VerifyError {
    /// What a person reads.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        match self {
            VerifyError::Target(error) => &error.problem,
            VerifyError::Journal(error) => &error.problem,
            VerifyError::Source(error) => &error.problem,
        }
    }

    fn remedy(&self) -> Remedy {
        match self {
            VerifyError::Target(error) => error.remedy(),
            VerifyError::Journal(error) => error.remedy,
            // The source has tried again by itself.
            VerifyError::Source(_) => Remedy::NeedsHuman,
        }
    }
}

/// Makes a call again that may pass, but not for ever. A macro, as in the delivery: a function that takes an async
/// closure makes futures that cannot be sent to another thread.
macro_rules! patiently {
    ($call:expr) => {{
        let mut tries = 1_u32;
        loop {
            match $call.await {
                Ok(value) => break Ok(value),
                Err(error) => {
                    let error = $crate::verify::VerifyError::from(error);
                    if !$crate::verify::is_worth_another(&error, tries) {
                        break Err(error);
                    }
                    tries = tries.saturating_add(1);
                    tokio::time::sleep($crate::verify::PAUSE).await;
                }
            }
        }
    }};
}
use patiently;

fn is_worth_another(error: &VerifyError, tries: u32) -> bool {
    error.remedy() == Remedy::Retry && tries < TRIES
}

/// How far a comparison is, for whoever shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The project and the table.
    pub at: String,
    /// Rows compared there.
    pub done: u64,
    /// Rows there, about.
    pub total: u64,
}

/// Where a comparison says how far it is. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Telling(watch::Sender<Progress>);

impl Telling {
    /// Nobody has begun yet.
    #[must_use]
    pub fn new() -> (Telling, watch::Receiver<Progress>) {
        let (sender, receiver) = watch::channel(Progress::default());
        (Telling(sender), receiver)
    }

    fn begin(&self, project: &Project, table: &str, total: u64) {
        self.0.send_replace(Progress { at: format!("{}/{table}", project.name), done: 0, total });
    }

    fn add(&self, rows: usize) {
        self.0.send_modify(|progress| {
            progress.done = progress.done.saturating_add(u64::try_from(rows).unwrap_or(u64::MAX));
        });
    }
}

/// Compares what a target holds with what its task makes of the mirror.
#[derive(Debug)]
pub struct Verification<'a, J, T> {
    journal: &'a J,
    target: &'a mut T,
    shaper: Shaper,
    looked: Looked,
    /// Whether somebody delivers meanwhile.
    running: bool,
    telling: Telling,
    sample: Sample,
}

impl<'a, J: Journal, T: Inspect> Verification<'a, J, T> {
    /// Looks how the target stands. `custom` are the custom fields that are known, `running` says whether somebody
    /// delivers meanwhile.
    ///
    /// # Errors
    /// What the target says.
    pub async fn begin(
        journal: &'a J,
        target: &'a mut T,
        task: Task,
        custom: Option<&CustomFields>,
        running: bool,
        telling: Telling,
    ) -> Result<Verification<'a, J, T>, VerifyError> {
        let mut shaper = Shaper::new(task).for_target::<T>();
        let mut looked = patiently!(target.look(&shaper.plan()))?;
        if let (Some(custom), Mode::Flat) = (custom, shaper.task().mode) {
            // Which columns stand for custom fields is known only now.
            shaper.assign(custom, &looked.fields, &looked.rooms);
            looked = patiently!(target.look(&shaper.plan()))?;
        }
        Ok(Verification { journal, target, shaper, looked, running, telling, sample: Sample::default() })
    }

    /// How the target stands.
    #[must_use]
    pub fn looked(&self) -> &Looked {
        &self.looked
    }

    /// How rows look in the target.
    #[must_use]
    pub fn shaper(&self) -> &Shaper {
        &self.shaper
    }

    /// Picks so many of the rows that are compared from now on, each as likely as any other.
    pub fn pick(&mut self, rows: usize) {
        self.sample.wanted = rows;
    }

    /// The rows that were picked.
    #[must_use]
    pub fn picked(&self) -> &[RowKey] {
        &self.sample.rows
    }

    /// Compares the rows of the task's table number `index` of a project.
    ///
    /// # Errors
    /// What journal and target say.
    pub async fn target(&mut self, index: usize, project: &Project) -> Result<Compared, VerifyError> {
        self.compare(index, project).await
    }
}

/// Rows picked by chance from a stream whose length nobody knows.
#[derive(Debug, Default)]
struct Sample {
    wanted: usize,
    seen: u64,
    rows: Vec<RowKey>,
}

impl Sample {
    /// A row comes along: it takes the place of another one, as likely as all before.
    fn offer(&mut self, key: RowKey) {
        use std::hash::{BuildHasher, RandomState};
        if self.wanted == 0 {
            return;
        }
        self.seen = self.seen.saturating_add(1);
        if self.rows.len() < self.wanted {
            self.rows.push(key);
            return;
        }
        // Every state is keyed at random: that is chance enough for a sample.
        let chance = RandomState::new().hash_one(self.seen).checked_rem(self.seen).unwrap_or(0);
        if let Some(place) = usize::try_from(chance).ok().and_then(|at| self.rows.get_mut(at)) {
            *place = key;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Sample;
    use crate::row::{ProjectId, RowId, RowKey};
    use crate::schema::TableId;

    #[test]
    fn a_sample_comes_from_everywhere() {
        let mut counts = [0_u32; 10];
        for _ in 0..200 {
            let mut sample = Sample { wanted: 5, ..Sample::default() };
            for id in 0..100 {
                sample.offer(RowKey { table: TableId(1), project: ProjectId(1), id: RowId(id) });
            }
            assert_eq!(sample.rows.len(), 5);
            for key in sample.rows {
                counts[usize::try_from(key.id.0 / 10).unwrap()] += 1;
            }
        }
        // 1,000 picks in ten parts: about a hundred each.
        assert!(counts.iter().all(|count| (40..200).contains(count)), "{counts:?}");
    }
}
