//! Small files that are either the old or the new ones, whatever happens meanwhile.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use engine::failpoint::Step;
use engine::problem::Remedy;

/// Only the owner reads and writes what lies in a state directory.
const MODE: u32 = 0o600;

/// Whether what was written must survive a crash of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    /// It is on the disk when the call returns.
    Yes,
    /// It is visible when the call returns; after a crash the old content, or none, may be there.
    No,
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
    file.write_all(bytes)?;
    if flush == Flush::Yes {
        file.sync_all()?;
    }
    Ok(draft)
}

/// Who can do something about an error of the file system at `path`, and what.
pub(crate) fn remedy(path: &Path, error: &io::Error) -> (Remedy, String) {
    let path = path.display();
    match error.kind() {
        ErrorKind::StorageFull => (Remedy::Wait, format!("Make room on the disk of {path}.")),
        ErrorKind::PermissionDenied => {
            (Remedy::NeedsHuman, format!("Give the user that runs tributary access to {path}."))
        }
        _ => (Remedy::NeedsHuman, format!("Check the disk of {path}, and that it may be written to.")),
    }
}

fn flush_parent(path: &Path, flush: Flush) -> io::Result<()> {
    match path.parent() {
        Some(parent) if flush == Flush::Yes => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}
