//! Whether what lies in a state directory was put there by whom it serves. Somebody else who may write there could plant
//! a key that he knows, or a link to a file that is none of his.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{getegid, geteuid, getgroups};

const ROOT: u32 = 0;

/// What is wrong, and what to do about it.
pub(crate) struct Unsafe {
    pub(crate) why: String,
    pub(crate) fix: String,
}

/// Whether the directory at `path`, which may be missing, and what lies in it under `names` are ours.
///
/// # Errors
/// Whatever somebody else owns or may write, and what is no plain file.
pub(crate) fn examine(path: &Path, names: &[&str]) -> Result<(), Unsafe> {
    // What cannot be asked is told by whoever opens it.
    let Ok(dir) = std::fs::metadata(path) else { return Ok(()) };
    let (shown, me) = (path.display(), geteuid().as_raw());
    // Root works on everybody's, and what root made is nobody else's.
    if me != ROOT && dir.uid() != me && dir.uid() != ROOT {
        return Err(Unsafe {
            why: format!(
                "the directory {shown} belongs to user {}, and tributary runs as user {me}",
                dir.uid()
            ),
            fix: format!(
                "Run tributary as user {}; or, if nobody else has put anything there, `chown -R {me} {shown}`; or \
                 give this pipeline a state directory of its own.",
                dir.uid()
            ),
        });
    }
    let writers = match dir.mode() {
        mode if mode & 0o002 != 0 => Some("everybody"),
        mode if mode & 0o020 != 0 && me != ROOT && !is_member(dir.gid()) => Some("another group"),
        _ => None,
    };
    if let Some(writers) = writers {
        return Err(Unsafe {
            why: format!("{writers} may write in the directory {shown}"),
            fix: format!(
                "If nobody else has put anything there, `chmod go-w {shown}`; else move it away: everything is then \
                 read anew."
            ),
        });
    }
    for name in names {
        let file = path.join(name);
        let Ok(metadata) = std::fs::symlink_metadata(&file) else { continue };
        let examined = match examine_file(&file, &metadata) {
            Ok(()) if metadata.mode() & 0o002 != 0 => Err("may be written by everybody".to_owned()),
            examined => examined,
        };
        if let Err(why) = examined {
            let file = file.display();
            return Err(Unsafe {
                why: format!("{file} {why}"),
                fix: format!(
                    "See who put it there. If it was not you, stop tributary and move {shown} away: everything is \
                     then read anew. If it was, put a plain file of the directory's owner in its place."
                ),
            });
        }
    }
    Ok(())
}

/// Whether a file, asked without following links, is a plain one that belongs to us, to root, or to whom its directory
/// belongs.
///
/// # Errors
/// What is wrong with it, to be said after its name.
pub(crate) fn examine_file(path: &Path, metadata: &Metadata) -> Result<(), String> {
    if metadata.is_symlink() {
        return Err("is a symbolic link".to_owned());
    }
    if !metadata.is_file() {
        return Err("is no plain file".to_owned());
    }
    let dir = path.parent().and_then(|dir| std::fs::metadata(dir).ok()).map(|dir| dir.uid());
    let (owner, me) = (metadata.uid(), geteuid().as_raw());
    match owner == me || owner == ROOT || dir == Some(owner) {
        true => Ok(()),
        false => Err(format!("belongs to user {owner}")),
    }
}

fn is_member(group: u32) -> bool {
    let others = || getgroups().unwrap_or_default();
    getegid().as_raw() == group || others().iter().any(|other| other.as_raw() == group)
}
