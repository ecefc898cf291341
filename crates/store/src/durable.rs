//! Small files that are either the old or the new ones, whatever happens meanwhile; who owns what is made; and locks
//! that are not waited for in silence.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use engine::failpoint::Step;
use engine::lack::Lack;
use engine::problem::Remedy;
use rustix::fs::OFlags;

/// Only the owner reads and writes what lies in a state directory.
const MODE: u32 = 0o600;
/// Only the owner looks into a state directory.
const DIR_MODE: u32 = 0o700;
/// A lock that is held for longer is spoken of: whoever changes a small file is done in a moment.
const SAY_AFTER: Duration = Duration::from_secs(1);
/// Between two tries until then.
const TRY_EVERY: Duration = Duration::from_millis(5);

/// Which file it is that a path leads to, whatever is put in its place later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    number: u64,
}

impl Identity {
    /// Of the file at `path`.
    pub(crate) fn of(path: &Path) -> io::Result<Identity> {
        Ok(Identity::from(&std::fs::metadata(path)?))
    }

    /// Whether that file is still the one at `path`. What cannot be asked is no sign that it is not.
    pub(crate) fn is_at(self, path: &Path) -> bool {
        match Identity::of(path) {
            Ok(now) => now == self,
            Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        }
    }
}

impl From<&Metadata> for Identity {
    fn from(metadata: &Metadata) -> Identity {
        Identity { device: metadata.dev(), number: metadata.ino() }
    }
}

/// Whether what was written must survive a crash of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    /// It is on the disk when the call returns.
    Yes,
    /// It is visible when the call returns; after a crash the old content, or none, may be there.
    No,
}

/// Opens a file to read and write, or makes it, for its owner only. Follows no symbolic link.
pub(crate) fn open_private(path: &Path) -> io::Result<File> {
    let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(MODE).custom_flags(no_link);
    let file = match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => options.open(path)?,
        made => made?,
    };
    give(&file, parent(path));
    Ok(file)
}

/// Makes a directory, and those above it that are missing, for their owner only.
pub(crate) fn make_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = parent(path);
    make_dir(above)?;
    match DirBuilder::new().mode(DIR_MODE).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        made => made?,
    }
    give(&File::open(path)?, above);
    Ok(())
}

fn parent(path: &Path) -> &Path {
    let parent = path.parent().unwrap_or(path);
    if parent.as_os_str().is_empty() { Path::new(".") } else { parent }
}

/// Gives what root made to whom `as_of` belongs. Root runs a command now and then, and the service runs as another user,
/// who could not read its own files from then on.
fn give(made: &File, as_of: &Path) {
    const ROOT: u32 = 0;
    let given = || {
        let (made_by, owner) = (made.metadata()?, std::fs::metadata(as_of)?);
        // A file with a second name may be anybody's.
        let is_ours = made_by.uid() == ROOT && (made_by.is_dir() || made_by.nlink() <= 1);
        match is_ours && owner.uid() != ROOT {
            true => fchown(made, Some(owner.uid()), Some(owner.gid())),
            false => Ok(()),
        }
    };
    if let Err(error) = given() {
        tracing::debug!(%error, "the file stays root's");
    }
}

/// Takes the lock of the file at `path`, which is open; says so when another process holds it for long. It blocks, as
/// everything here does.
#[expect(
    clippy::disallowed_methods,
    reason = "there is no runtime here, and locks of files cannot be awaited"
)]
pub(crate) fn wait_for_lock(file: &File, path: &Path) -> io::Result<()> {
    let began = Instant::now();
    while began.elapsed() < SAY_AFTER {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => thread::sleep(TRY_EVERY),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    let file_of = path.display();
    tracing::warn!(
        "waiting for {file_of}, which another process holds locked; `lsof {file_of}` names it, and it goes on once \
         that process lets go or ends"
    );
    file.lock()?;
    tracing::info!("{file_of} is free; waited {} s", began.elapsed().as_secs());
    Ok(())
}

/// Puts `bytes` in the place of the file, or makes it.
pub(crate) fn replace(path: &Path, bytes: &[u8], flush: Flush, step: Step) -> io::Result<()> {
    let draft = draft(path, bytes, flush)?;
    step.before()?;
    std::fs::rename(&draft, path)?;
    flush_parent(path, flush)?;
    step.after()
}

/// Makes the file; `AlreadyExists` if there is one, which is then left as it is.
pub(crate) fn create(path: &Path, bytes: &[u8], step: Step) -> io::Result<()> {
    let draft = draft(path, bytes, Flush::Yes)?;
    step.before()?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    linked?;
    flush_parent(path, Flush::Yes)?;
    step.after()
}

/// Writes the content beside its place. The name is always the same: what a crash left is overwritten, and the
/// lock of the state directory keeps other processes away.
fn draft(path: &Path, bytes: &[u8], flush: Flush) -> io::Result<PathBuf> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let draft = path.with_file_name(name);
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&draft)?;
    give(&file, if path.is_file() { path } else { parent(path) });
    file.write_all(bytes)?;
    if flush == Flush::Yes {
        file.sync_all()?;
    }
    Ok(draft)
}

/// Who can do something about an error of the file system at `path`, and what.
pub(crate) fn remedy(path: &Path, error: &io::Error) -> (Remedy, String) {
    let path = path.display();
    if let Some(lack) = Lack::of(error) {
        return (Remedy::Wait, format!("{} ({path}).", lack.remedy()));
    }
    match error.kind() {
        ErrorKind::PermissionDenied => {
            (Remedy::NeedsHuman, format!("Give the user that runs tributary access to {path}."))
        }
        _ => (Remedy::NeedsHuman, format!("Check the disk of {path}, and that it may be written to.")),
    }
}

fn flush_parent(path: &Path, flush: Flush) -> io::Result<()> {
    match flush {
        Flush::Yes => File::open(parent(path))?.sync_all(),
        Flush::No => Ok(()),
    }
}
