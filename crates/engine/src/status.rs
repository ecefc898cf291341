//! What every part is doing or waiting for, since when, and what comes next: nothing waits in silence.
//!
//! The capture and the tasks write on a [`Board`]; progress bars, the status command and later the console
//! read it. The board holds no more than one entry a table of a project and a task.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::problem::Problem;

/// What somebody is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Not begun.
    Starting,
    /// Capture: reading tables for the first time. Task: rows of the mirror flow into the target.
    Loading,
    /// Task: the target is being rebuilt from the mirror.
    Rebuilding,
    /// Capture: reading what changed.
    Polling,
    /// Capture: waiting for tasks that are writing what was read, before rows are compared.
    Delivering,
    /// Capture: comparing all rows.
    Census,
    /// Capture: fetching what only look-ups show, with nothing else left to do.
    Detailing,
    /// All is done; the next look follows at the time given.
    Following {
        /// When the capture looks again; a task is woken by the capture.
        next: Option<Timestamp>,
    },
    /// Something outside must pass or be put right first.
    Waiting {
        /// What.
        problem: Problem,
        /// When it is tried again.
        next: Option<Timestamp>,
    },
    /// Ended, as asked.
    Stopped,
}

/// A state and since when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// What is being done.
    #[serde(flatten)]
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// The newest problem, also when it has passed.
    pub last_problem: Option<(Timestamp, Problem)>,
}

impl Default for Activity {
    fn default() -> Activity {
        Activity { state: State::Starting, since: Timestamp::now(), last_problem: None }
    }
}

impl Activity {
    /// Goes over to `state`; the time counts from the first time it is set.
    pub fn enter(&mut self, state: State) {
        let same = std::mem::discriminant(&self.state) == std::mem::discriminant(&state);
        let since = if same { self.since } else { Timestamp::now() };
        self.enter_since(state, since);
    }

    /// Goes over to a `state` that began before: what was tried in between was part of it.
    pub fn enter_since(&mut self, state: State, since: Timestamp) {
        if let State::Waiting { problem, .. } = &state {
            self.last_problem = Some((Timestamp::now(), problem.clone()));
        }
        self.since = since;
        self.state = state;
    }
}

/// Deletes that are held because too many rows vanished at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// How many rows vanished.
    pub rows: u64,
    /// Of how many.
    pub of: u64,
    /// Since when.
    pub since: Timestamp,
}

/// More vanished rows than this ...
const SUSPICIOUS_ROWS: u64 = 20;
/// ... and more than one in so many are not believed without a person.
const SUSPICIOUS_SHARE: u64 = 5;

/// Whether `vanished` of `rows` rows are too many to have been deleted one by one.
#[must_use]
pub fn is_suspicious(vanished: u64, rows: u64) -> bool {
    vanished > SUSPICIOUS_ROWS && vanished.saturating_mul(SUSPICIOUS_SHARE) > rows
}

/// How a table of a project stands in the mirror.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableStatus {
    /// Rows listed by the first reading so far.
    pub listed: u64,
    /// Rows that the source says there are.
    pub total: Option<u64>,
    /// Whether the first reading is complete.
    pub loaded: bool,
    /// Rows alive in the mirror.
    pub rows: u64,
    /// Rows whose detail is pending.
    pub pending: u64,
    /// Details fetched since the start.
    pub detailed: u64,
    /// Deletes that are held.
    pub held: Option<Held>,
    /// What is known to be missing or wrong, in words.
    pub note: Option<String>,
    /// Rows that the source lists and that cannot be read; the note names them.
    #[serde(default)]
    pub unreadable: u64,
}

/// What a task did to one table of its target since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Rows in the target.
    pub rows: u64,
    /// Inserts delivered.
    pub inserted: u64,
    /// Updates delivered.
    pub updated: u64,
    /// Deletes delivered.
    pub deleted: u64,
    /// First details delivered.
    pub detailed: u64,
    /// Deletes that are held.
    pub held: u64,
    /// Rows that are aside: the target cannot hold them, or does not let them go.
    #[serde(default)]
    pub put_aside: u64,
}

/// How a task stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// What it is doing.
    pub activity: Activity,
    /// The sequence its target has.
    pub position: i64,
    /// By table.
    pub tables: BTreeMap<String, Written>,
    /// When it last wrote.
    pub last_write: Option<Timestamp>,
    /// Time from the newest write's observation to the target, in milliseconds.
    pub delay_ms: Option<i64>,
    /// Rows that are aside, in all tables.
    pub put_aside: u64,
    /// How far a rebuild is that was asked for.
    pub rebuild: Option<Copied>,
}

/// How far a rebuild is that was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// Rows of the mirror that have been written, or passed over because the filter does not want them.
    pub done: u64,
    /// Rows of the mirror when it began.
    pub total: u64,
}

/// How the hook of a connection stands, since the start where nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HooksStatus {
    /// Where deliveries are received.
    pub listening: Option<String>,
    /// When a delivery proved last that the hook reaches us.
    pub reached: Option<Timestamp>,
    /// Deliveries taken in.
    pub received: u64,
    /// Deliveries that were there already.
    pub repeated: u64,
    /// Deliveries that were refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Deliveries that had to be sent away because there was no room.
    pub no_room: u64,
    /// Deliveries in the inbox that wait.
    pub waiting: u64,
    /// Deliveries in the inbox that were given up.
    pub dead: u64,
    /// Changes of the last day that a hook should have told of.
    pub changes: u64,
    /// Those of them that no hook told of.
    pub missed: u64,
    /// What is wrong with the hook at the source, in words.
    pub note: Option<String>,
}

impl HooksStatus {
    /// The share of the changes of the last day that no hook told of; `None` before there was one.
    #[must_use]
    pub fn missed_rate(&self) -> Option<f64> {
        // Counts of a day are far below where a double loses whole numbers.
        let number = |count: u64| u32::try_from(count).map_or(f64::from(u32::MAX), f64::from);
        (self.changes > 0).then(|| number(self.missed) / number(self.changes))
    }
}

/// Everything at a glance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// What the capture is doing.
    pub capture: Activity,
    /// The journal's newest sequence.
    pub head: i64,
    /// By project and table.
    pub projects: BTreeMap<String, BTreeMap<String, TableStatus>>,
    /// By task.
    pub tasks: BTreeMap<String, TaskStatus>,
    /// Requests sent, by action.
    pub requests: BTreeMap<String, u64>,
    /// The hook, where there is one.
    #[serde(default)]
    pub hooks: Option<HooksStatus>,
}

/// Where the parts write what they do. Cheap to clone; clones are the same board.
#[derive(Clone, Debug)]
pub struct Board(Arc<watch::Sender<Status>>);

impl Default for Board {
    fn default() -> Board {
        Board(Arc::new(watch::Sender::new(Status::default())))
    }
}

impl Board {
    /// Changes what the board says.
    pub fn update(&self, change: impl FnOnce(&mut Status)) {
        self.0.send_modify(change);
    }

    /// Changes what the board says of a table of a project.
    pub fn table(&self, project: &str, table: &str, change: impl FnOnce(&mut TableStatus)) {
        self.update(|status| {
            let tables = status.projects.entry(project.to_owned()).or_default();
            change(tables.entry(table.to_owned()).or_default());
        });
    }

    /// Changes what the board says of a task.
    pub fn task(&self, task: &str, change: impl FnOnce(&mut TaskStatus)) {
        self.update(|status| change(status.tasks.entry(task.to_owned()).or_default()));
    }

    /// Changes what the board says of the hook.
    pub fn hooks(&self, change: impl FnOnce(&mut HooksStatus)) {
        self.update(|status| change(status.hooks.get_or_insert_default()));
    }

    /// What the board says now.
    #[must_use]
    pub fn read(&self) -> Status {
        self.0.borrow().clone()
    }

    /// Follows the board.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.0.subscribe()
    }
}
