//! What a machine or a process has none of for the moment: it is waited for, and no fault of what was being done.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// What there is none of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Room on a disk, or in somebody's share of it.
    Room,
    /// Room in a file: it has the largest size that this process may write (`ulimit -f`).
    FileSize,
    /// File descriptors, of this process (`ulimit -n`) or of the whole machine.
    Descriptors,
}

/// What SQLite puts beside a file of its own.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Less than this below the largest size a file is full: SQLite's largest page, and the step of its shared memory.
const LAST_WRITE: u64 = 128 * 1024;

impl Lack {
    /// What an error of the system means.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Lack> {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => return Some(Lack::Room),
            ErrorKind::FileTooLarge => return Some(Lack::FileSize),
            _ => {}
        }
        let errno = Errno::from_io_error(error)?;
        (errno == Errno::MFILE || errno == Errno::NFILE).then_some(Lack::Descriptors)
    }

    /// What SQLite lacked when it could not open `file` or something beside it, which is all that it says: descriptors,
    /// where nothing else stands in the way. `None` where a right is missing, or a directory, or another one is there.
    ///
    /// Opens none of them: closing one would take away the locks that this process has on it.
    #[must_use]
    pub fn behind_open(file: &Path) -> Option<Lack> {
        for path in with_beside(file) {
            let usable = match std::fs::metadata(&path) {
                Ok(found) => found.is_file() && access(&path, Access::READ_OK | Access::WRITE_OK).is_ok(),
                Err(error) => error.kind() == ErrorKind::NotFound,
            };
            if !usable {
                return None;
            }
        }
        let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty());
        let usable = access(directory.unwrap_or(Path::new(".")), Access::WRITE_OK | Access::EXEC_OK);
        usable.is_ok().then_some(Lack::Descriptors)
    }

    /// What SQLite lacked when it could not write to `file` or something beside it, which is all that it says: size,
    /// where one of these is as large as this process may make it.
    #[must_use]
    pub fn behind_write(file: &Path) -> Option<Lack> {
        let largest = getrlimit(Resource::Fsize).current?;
        let full = |path: PathBuf| {
            let length = std::fs::metadata(path).map_or(0, |file| file.len());
            length > 0 && length.saturating_add(LAST_WRITE) > largest
        };
        with_beside(file).into_iter().any(full).then_some(Lack::FileSize)
    }

    /// What a person does about it. What runs goes on by itself afterwards.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Lack::Room => "Make room on the disk",
            Lack::FileSize => "Raise the limit on the size of files (`ulimit -f`, `LimitFSIZE=` of a unit)",
            Lack::Descriptors => "Raise the limit of open files (`ulimit -n`, `LimitNOFILE=` of a unit)",
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lack::Room => "there is no room left on the disk",
            Lack::FileSize => "it has the largest size that this process may write",
            Lack::Descriptors => "it could not be opened just now: mostly no file descriptor was left",
        })
    }
}

fn with_beside(file: &Path) -> Vec<PathBuf> {
    let beside = BESIDE.iter().map(|end| {
        let mut name = file.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    });
    std::iter::once(file.to_owned()).chain(beside).collect()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use rustix::io::Errno;

    use super::Lack;

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        let of = |errno: Errno| Lack::of(&io::Error::from(errno));
        assert_eq!([of(Errno::NOSPC), of(Errno::DQUOT)], [Some(Lack::Room); 2]);
        assert_eq!(of(Errno::FBIG), Some(Lack::FileSize));
        assert_eq!([of(Errno::MFILE), of(Errno::NFILE)], [Some(Lack::Descriptors); 2]);
        assert_eq!([of(Errno::ACCESS), of(Errno::IO), of(Errno::NOENT)], [None; 3]);
    }

    #[test]
    fn a_file_that_can_be_opened_lacked_a_descriptor_and_a_missing_directory_did_not() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(Lack::behind_open(&here.join("none.db")), Some(Lack::Descriptors));
        assert_eq!(Lack::behind_open(&here.join("none/none.db")), None);
        // A directory in the place of the file.
        assert_eq!(Lack::behind_open(&here.join("src")), None);
    }
}
