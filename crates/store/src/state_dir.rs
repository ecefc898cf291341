//! The directory that holds all state of a connection, and the promise that one process at a time runs it.
//!
//! The promise is a lock of the operating system on an open file: it ends with the process, however that
//! ends, so no stale lock is ever left and no process id is looked at.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use engine::failpoint::Step;
use engine::problem::{Problem, Remedy};
use engine::status::Status;

use crate::durable::{self, Flush};

/// The file whose lock says that somebody runs the directory.
const LOCK: &str = "lock";

/// Held for a moment by whoever merely looks whether [`LOCK`] is held, so that a look is not taken for a run.
const GATE: &str = "lock.gate";

const STATUS: &str = "status.json";

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
}

/// A state directory that this process runs, until the value is dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Never read: its lock lives as long as it is open.
    _lock: File,
}

impl StateDir {
    /// Makes the directory if there is none (for its owner only) and takes its lock.
    ///
    /// # Errors
    /// Another process runs the directory, or it cannot be made or written.
    pub fn open(path: &Path) -> Result<StateDir, StateError> {
        let failed = |error| StateError::io("The state directory cannot be used", path, error);
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let lock = open_for_lock(&path.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => {
                // Perhaps somebody merely looked. Nobody looks while we hold the gate, so this answer counts.
                let gate = open_for_lock(&path.join(GATE)).map_err(failed)?;
                gate.lock().map_err(failed)?;
                match lock.try_lock() {
                    Ok(()) => {}
                    Err(TryLockError::Error(error)) => return Err(failed(error)),
                    Err(TryLockError::WouldBlock) => return Err(running(path)),
                }
            }
        }
        Ok(StateDir { path: path.to_path_buf(), _lock: lock })
    }

    /// Makes the directory if there is none, for its owner only, and takes no lock.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make(path: &Path) -> Result<(), StateError> {
        let failed = |error| StateError::io("The state directory cannot be made", path, error);
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)
    }

    /// Whether a process runs the directory at `path` right now.
    ///
    /// # Errors
    /// The directory is there but cannot be looked into.
    pub fn is_running(path: &Path) -> Result<bool, StateError> {
        let failed = |error| StateError::io("The state directory cannot be looked into", path, error);
        let lock = match File::open(path.join(LOCK)) {
            Ok(lock) => lock,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
        let gate = open_for_lock(&path.join(GATE)).map_err(failed)?;
        gate.lock().map_err(failed)?;
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
    /// The file cannot be written.
    pub fn write_status(&self, status: &Status) -> Result<(), StateError> {
        let path = self.path.join(STATUS);
        let written = serde_json::to_vec(status).map_err(std::io::Error::from);
        let written = written.and_then(|json| durable::replace(&path, &json, Flush::No, WRITE_STATUS));
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

fn open_for_lock(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn running(path: &Path) -> StateError {
    let problem = Problem::new(
        "STATE-IN-USE",
        "The state directory cannot be used",
        format!("another tributary runs this state directory ({})", path.display()),
        "Stop the other process first, or give this pipeline a state directory of its own.",
    );
    StateError { remedy: Remedy::NeedsHuman, problem, source: None }
}
