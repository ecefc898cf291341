//! From observation to journal: channels look at the source, the differ makes changes, the recorder writes.
//!
//! Start with [`differ`], the one place that makes changes; then [`recorder`], the one place that writes
//! them; then [`runner`], which says when each channel looks. The channels are [`load`], [`poll`],
//! [`census`],
//! [`detail`] and [`hook`]; `aside` is what cannot be read while other things can, `once` the way through everything; [`fields`] keeps track of custom fields; relations follow every commit of the recorder, and
//! what they cannot know is put in doubt after a census. `proof` says whether the credential sees a project, `rhythm`
//! which quiet projects a poll passes over.
//! What a capture leaves to the next is in [`remembered`]; [`anew`] has the next read everything once more.

pub mod access;
pub mod anew;
mod aside;
pub mod census;
mod dangling;
pub mod detail;
pub mod differ;
pub mod fields;
pub mod hook;
mod listing;
pub mod load;
mod missed;
mod once;
mod patience;
pub mod poll;
mod proof;
pub mod recorder;
mod relation;
pub mod remembered;
mod rhythm;
pub mod runner;
mod unreadable;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{OwnedMutexGuard, watch};

use self::access::Access;
use self::aside::Aside;
use self::detail::InFlight;
use self::differ::Details;
use self::fields::Fields;
use self::hook::Hooked;
use self::proof::Rosters;
use self::recorder::Recorder;
use self::rhythm::Rhythm;
use self::unreadable::AllUnreadable;
use crate::clock::Clock;
use crate::custom::CustomFields;
use crate::inbox::Inbox;
use crate::journal::{Journal, JournalError};
use crate::problem::{Problem, Remedy};
use crate::row::ProjectId;
use crate::schema::{Table, TableId};
use crate::source::{Project, Source, SourceError, SourceErrorKind};
use crate::status::Board;

/// Which projects are captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Projects {
    /// Those with these identifiers.
    Named(Vec<String>),
    /// All that the credential sees, and all it ever saw.
    All,
    /// The same without those with these identifiers.
    AllBut(Vec<String>),
}

impl Projects {
    /// Whether all that the credential sees is captured, but for exceptions.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        !matches!(self, Projects::Named(_))
    }

    /// Whether a project of this identifier is left out.
    #[must_use]
    pub fn excludes(&self, name: &str) -> bool {
        self.excluded().iter().any(|excluded| excluded.eq_ignore_ascii_case(name))
    }

    fn excluded(&self) -> &[String] {
        match self {
            Projects::AllBut(names) => names,
            Projects::Named(_) | Projects::All => &[],
        }
    }
}

/// How long a capture runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until it is cancelled.
    Cancelled,
    /// Until everything there is now has been read.
    Once,
}

/// Where deliveries of the source's hook come from, and how long to bear with them.
#[derive(Clone, Debug)]
pub struct Hooks {
    /// The inbox.
    pub inbox: Arc<dyn Inbox>,
    /// A delivery whose look-up has failed for so long, while others succeed, goes aside.
    pub give_up_after: Duration,
    /// A change found without a hook is *missed* when no delivery came for its row within this time.
    pub missed_after: Duration,
    /// How long settled deliveries are kept.
    pub keep: Duration,
    /// How many bytes of bodies are kept.
    pub max_bytes: u64,
}

/// What a capture is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which projects.
    pub projects: Projects,
    /// Which tables, those first whose rows others refer to.
    pub tables: Vec<&'static Table>,
    /// Whether custom fields are asked for: flat mode makes columns of them.
    pub custom_fields: bool,
    /// When details are fetched.
    pub details: Details,
    /// Time between polls.
    pub poll_interval: Duration,
    /// Time between censuses.
    pub census_interval: Duration,
    /// How far back the hourly thorough poll reads.
    pub look_back: Duration,
    /// How long log entries and tombstones are kept.
    pub retention: Duration,
    /// Whether held deletes are carried out by the next census.
    pub accept_deletes: bool,
    /// The source's hook, where it is used.
    pub hooks: Option<Hooks>,
    /// How long it runs.
    pub until: Until,
}

/// What tasks need to know of the capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The projects that are captured, with their present identifiers; empty until they are known.
    pub projects: Vec<Project>,
    /// Those of them whose rows were in the mirror when they came (back) into the configuration: a task that does
    /// not have them must write them from the beginning.
    pub returned: Vec<ProjectId>,
    /// Whether everything that the credential sees is captured: a project that is not among `projects` may only
    /// be out of view.
    pub everything: bool,
    /// Identifiers of projects that are left out of everything: those are not out of view.
    pub excluded: Vec<String>,
    /// The custom fields, as far as they are known; `None` before they have been read once.
    pub custom: Option<Arc<CustomFields>>,
    /// Whether the journal's log has begun: changes after its floor can be read from it.
    pub logging: bool,
    /// Whether every table of every project has been read completely once.
    pub loaded: bool,
    /// Whether the capture has ended with everything done.
    pub finished: bool,
}

impl Progress {
    /// Whether a project of this identifier that is not among `projects` may only be out of view.
    #[must_use]
    pub fn may_be_out_of_view(&self, name: &str) -> bool {
        self.everything && !self.excluded.iter().any(|excluded| excluded.eq_ignore_ascii_case(name))
    }
}

/// Time between two prunings of what is kept for so long: not more often than `most`, and often enough that what is
/// kept stays within a quarter of what it should be.
fn prune_every(kept: Duration, most: Duration) -> Duration {
    (kept / 4).clamp(Duration::from_secs(1), most)
}

/// What ends a capture.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The source's fault.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The journal's fault.
    #[error(transparent)]
    Journal(Arc<JournalError>),
}

impl From<Arc<JournalError>> for CaptureError {
    fn from(error: Arc<JournalError>) -> CaptureError {
        CaptureError::Journal(error)
    }
}

impl From<JournalError> for CaptureError {
    fn from(error: JournalError) -> CaptureError {
        CaptureError::Journal(Arc::new(error))
    }
}

impl CaptureError {
    /// Who can do something about it.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        match self {
            CaptureError::Source(error) => error.remedy(),
            CaptureError::Journal(error) => error.remedy,
        }
    }

    /// What a person reads.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        match self {
            CaptureError::Source(error) => &error.problem,
            CaptureError::Journal(error) => &error.problem,
        }
    }

    /// Whether it passes by itself.
    fn is_passing(&self) -> bool {
        match self {
            CaptureError::Source(error) => error.remedy() == Remedy::Retry,
            CaptureError::Journal(error) => error.remedy != Remedy::NeedsHuman,
        }
    }

    /// Whether it may be about one row only, so that others can still be read.
    fn spares_others(&self) -> bool {
        matches!(self, CaptureError::Source(error) if error.kind != SourceErrorKind::Credential)
    }

    /// Whether nobody answered at all.
    fn is_silence(&self) -> bool {
        matches!(self, CaptureError::Source(error) if error.kind == SourceErrorKind::Unreachable)
    }

    fn is_access_lost(&self) -> bool {
        matches!(self, CaptureError::Source(error) if error.kind == SourceErrorKind::AccessLost)
    }
}

/// Whose turn it is.
type Turn = Arc<tokio::sync::Mutex<()>>;

/// A capture: the channels and what they share. Made by [`runner::run`].
pub struct Capture<S, J> {
    source: Arc<S>,
    journal: Arc<J>,
    recorder: Recorder,
    settings: Settings,
    clock: Clock,
    board: Board,
    progress: watch::Sender<Progress>,
    access: Access,
    /// What cannot be read while other things can.
    aside: Aside,
    rosters: Rosters,
    rhythm: Rhythm,
    in_flight: InFlight,
    /// Rows that are listed and cannot be read.
    unreadable: AllUnreadable,
    /// Custom fields, where a task wants them.
    fields: Option<Arc<Fields>>,
    /// The source's hook, where it is used.
    hooked: Option<Hooked>,
    /// The table that deliveries make rows of, where it is wanted; not among the `settings.tables`, which are listed.
    events: Option<&'static Table>,
    /// Held while a table of a project is listed whole: the journal remembers one listing of it at a time, and a second
    /// one would make the first believe that rows are missing.
    whole: Mutex<HashMap<(TableId, ProjectId), Turn>>,
    /// Tables whose held deletes were accepted and carried out: accepting is for once.
    accepted: Mutex<HashSet<(TableId, ProjectId)>>,
    /// Held while numbers are carried from the journal to the board: an older one must not replace a newer one.
    counting: tokio::sync::Mutex<()>,
    /// `--once`: a census goes on until every candidate has been looked up.
    thorough: bool,
}

impl<S: Source, J: Journal> Capture<S, J> {
    /// Waits until nobody else lists the table whole.
    async fn alone(&self, project: &Project, table: &Table) -> OwnedMutexGuard<()> {
        let turn = {
            let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(whole.entry((table.id, project.id)).or_default())
        };
        turn.lock_owned().await
    }

    /// The document stored as `name`, if it is there and can be read.
    async fn recall<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, CaptureError> {
        Ok(recall(&*self.journal, name).await?)
    }

    /// One of the tables that are captured and listed.
    fn table(&self, id: TableId) -> Option<&'static Table> {
        self.settings.tables.iter().copied().find(|table| table.id == id)
    }

    async fn remember(&self, name: &str, value: &Value) -> Result<(), CaptureError> {
        Ok(self.journal.remember(name, value).await?)
    }

    /// Brings the board's numbers of a table up to date.
    async fn count(&self, project: &Project, table: &Table) -> Result<(), CaptureError> {
        let _in_order = self.counting.lock().await;
        let counts = self.journal.counts(table.id, project.id).await?;
        self.board.table(&project.name, table.name, |status| {
            status.rows = counts.alive;
            status.pending = counts.pending;
            // There is no first reading of what comes by itself.
            status.loaded |= table.from_inbox;
        });
        Ok(())
    }
}

/// The document stored as `name`, if it is there and can be read.
async fn recall<T: DeserializeOwned>(journal: &impl Journal, name: &str) -> Result<Option<T>, JournalError> {
    let documents = journal.recall(name).await?;
    let document = documents.into_iter().find(|(found, _)| found == name);
    Ok(document.and_then(|(_, value)| serde_json::from_value(value).ok()))
}

/// The name under which `what` of a table of a project is remembered.
fn document(what: &str, table: &Table, project: ProjectId) -> String {
    format!("{what}/{}/{}", table.name, project.0)
}

/// What the journal answered; `None` where it is full or busy: what was asked is asked again later.
pub(super) fn bearable<T>(answer: Result<T, CaptureError>) -> Result<Option<T>, CaptureError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.remedy() == Remedy::NeedsHuman => Err(error),
        Err(error) => {
            tracing::debug!(problem = %error.problem(), "the journal waits");
            Ok(None)
        }
    }
}
