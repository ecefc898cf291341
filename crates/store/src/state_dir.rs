//! The directory that holds all state of a connection, and the promise that one process at a time runs it.
//!
//! The promise is a lock of the operating system on an open file: it ends with the process, however that
//! ends, so no stale lock is ever left and no process id is looked at. A directory in which somebody else may have put
//! something is refused.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use engine::failpoint::Step;
use engine::problem::{Problem, Remedy};
use engine::status::Status;
use engine::words;

use crate::durable::{self, Flush, Identity};
use crate::{inbox, journal, ours, vault};

/// The file whose lock says that somebody runs the directory.
const LOCK: &str = "lock";

/// Held for a moment by whoever merely looks whether [`LOCK`] is held, so that a look is not taken for a run.
const GATE: &str = "lock.gate";

const STATUS: &str = "status.json";

/// What lies in a state directory. `FILE.new` is one that is being written.
const NAMES: [&str; 15] = [
    LOCK,
    GATE,
    STATUS,
    "status.json.new",
    journal::FILE,
    "journal.db-wal",
    "journal.db-shm",
    inbox::FILE,
    "inbox.db-wal",
    "inbox.db-shm",
    vault::FILE,
    "vault.json.new",
    vault::LOCK_FILE,
    vault::KEY_FILE,
    "vault.key.new",
];

const WRITE_STATUS: Step = Step::named("status::write");

/// What goes wrong with a state directory.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct StateError {
    /// Who can do something about it.
    pub remedy: Remedy,
    /// What a person reads.
    pub problem: Problem,
    /// What the file system said.
    #[source]
    pub source: Option<std::io::Error>,
}

impl StateError {
    fn io(what: &str, path: &Path, error: std::io::Error) -> StateError {
        let (remedy, fix) = durable::remedy(path, &error);
        let problem = Problem::new("STATE-IO", what, format!("{}: {error}", path.display()), fix);
        StateError { remedy, problem, source: Some(error) }
    }

    fn human(code: &str, what: &str, why: String, fix: impl Into<String>) -> StateError {
        let problem = Problem::new(code, what, why, fix);
        StateError { remedy: Remedy::NeedsHuman, problem, source: None }
    }
}

/// A state directory that this process runs, until the value is dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Its lock lives as long as it is open.
    lock: File,
    /// The directory itself, locked where its file system can: whoever removes the lock's file does not open it.
    _dir: Option<File>,
    /// The databases that were seen in it.
    seen: Mutex<[Option<Identity>; 2]>,
}

impl StateDir {
    /// Makes the directory if there is none (for its owner only) and takes its lock.
    ///
    /// # Errors
    /// Another process runs the directory, it cannot be made or written, or somebody else may have put something there.
    pub fn open(path: &Path) -> Result<StateDir, StateError> {
        let failed = |error| StateError::io("The state directory cannot be used", path, error);
        durable::make_dir(path).map_err(failed)?;
        Self::examine(path)?;
        let lock = durable::open_private(&path.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => {
                // Perhaps somebody merely looked. Nobody looks while we hold the gate, so this answer counts.
                let _gate = gate(path).map_err(failed)?;
                match lock.try_lock() {
                    Ok(()) => {}
                    Err(TryLockError::Error(error)) => return Err(failed(error)),
                    Err(TryLockError::WouldBlock) => return Err(running(path)),
                }
            }
        }
        let dir = File::open(path).map_err(failed)?;
        let dir = match dir.try_lock() {
            Ok(()) => Some(dir),
            Err(TryLockError::WouldBlock) => return Err(running(path)),
            Err(TryLockError::Error(_)) => None,
        };
        let opened = StateDir { path: path.to_path_buf(), lock, _dir: dir, seen: Mutex::default() };
        opened.in_place().map(|()| opened)
    }

    /// Whether the directory and the databases in it are still in their places. From the first call on that sees a
    /// database, it is expected to stay.
    ///
    /// # Errors
    /// Somebody removed or replaced them: what is written from here on is nowhere.
    pub fn in_place(&self) -> Result<(), StateError> {
        let gone = |path: &Path| {
            StateError::human(
                "STATE-GONE",
                "The state directory cannot be used any more",
                format!("{} was removed or replaced while it was in use", path.display()),
                "See who removes files there; then start tributary again: what is gone is read anew from CODING.",
            )
        };
        let lock = self.path.join(LOCK);
        let held = self
            .lock
            .metadata()
            .map_err(|error| StateError::io("The state directory cannot be looked into", &lock, error))?;
        if !Identity::from(&held).is_at(&lock) {
            return Err(gone(&lock));
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, seen) in [journal::FILE, inbox::FILE].into_iter().zip(seen.iter_mut()) {
            let file = self.path.join(name);
            match seen {
                Some(known) if !known.is_at(&file) => return Err(gone(&file)),
                Some(_) => {}
                None => *seen = Identity::of(&file).ok(),
            }
        }
        Ok(())
    }

    /// Makes the directory if there is none, for its owner only, and takes no lock.
    ///
    /// # Errors
    /// It cannot be made, or somebody else may have put something there.
    pub fn make(path: &Path) -> Result<(), StateError> {
        let failed = |error| StateError::io("The state directory cannot be made", path, error);
        durable::make_dir(path).map_err(failed)?;
        Self::examine(path)
    }

    /// Whether what lies in the directory at `path`, which may be missing, was put there by whom it serves.
    ///
    /// # Errors
    /// Somebody else may have put something there.
    pub fn examine(path: &Path) -> Result<(), StateError> {
        ours::examine(path, &NAMES).map_err(|found| {
            StateError::human("STATE-UNSAFE", "The state directory cannot be used", found.why, found.fix)
        })
    }

    /// Whether a process runs the directory at `path` right now.
    ///
    /// # Errors
    /// The directory is there but cannot be looked into, or somebody else may have put something there.
    pub fn is_running(path: &Path) -> Result<bool, StateError> {
        Self::examine(path)?;
        let failed = |error| StateError::io("The state directory cannot be looked into", path, error);
        let lock = match File::open(path.join(LOCK)) {
            Ok(lock) => lock,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
        let _gate = gate(path).map_err(failed)?;
        match lock.try_lock_shared() {
            // Given back before the gate: fields and locals drop in reverse order, but be plain about it.
            Ok(()) => lock.unlock().map(|()| false).map_err(failed),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what the status command reads. Readers see the old or the new one whole; it is not flushed, as
    /// it means nothing after a crash.
    ///
    /// # Errors
    /// The file cannot be written, or another directory is in the place of this one.
    pub fn write_status(&self, status: &Status) -> Result<(), StateError> {
        self.in_place()?;
        let path = self.path.join(STATUS);
        let written = serde_json::to_string(status).map_err(std::io::Error::from);
        let written = written.and_then(|json| {
            durable::replace(&path, words::in_json(&json).as_bytes(), Flush::No, WRITE_STATUS)
        });
        written.map_err(|error| StateError::io("The status cannot be written", &path, error))
    }

    /// The status last written in the directory at `path`, if any.
    ///
    /// # Errors
    /// The file is there but not readable.
    pub fn read_status(path: &Path) -> Result<Option<Status>, StateError> {
        let path = path.join(STATUS);
        let failed = |error| StateError::io("The status cannot be read", &path, error);
        match std::fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json).map(Some).map_err(|error| failed(error.into())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}

/// Takes the gate's lock; it ends with the file that is handed back.
fn gate(path: &Path) -> std::io::Result<File> {
    let path = path.join(GATE);
    let gate = durable::open_private(&path)?;
    durable::wait_for_lock(&gate, &path).map(|()| gate)
}

fn running(path: &Path) -> StateError {
    StateError::human(
        "STATE-IN-USE",
        "The state directory cannot be used",
        format!("another tributary runs this state directory ({})", path.display()),
        "Stop the other process first, or give this pipeline a state directory of its own.",
    )
}
