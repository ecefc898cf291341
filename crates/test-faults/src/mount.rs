//! Disks of a test's own: the test runs itself again in a namespace where it may mount a file system.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::disk::Disk;

/// Where the test that runs inside finds its file system.
const INSIDE: &str = "TEST_FAULTS_MOUNT";

/// How the lines begin that the test harness prints.
const HARNESS: [&str; 2] = ["running ", "test "];

/// What became of a test that wants a file system of its own.
#[derive(Debug)]
pub enum Inside {
    /// This is the inner run, and the file system stands here.
    Mounted(PathBuf),
    /// The inner run has ended well.
    Passed,
    /// This system lets no test mount anything.
    Forbidden,
}

/// Runs the test `name` (as the test harness calls it) again after `script`, which mounts a file system on `$1`: the
/// directory `prepared`. What it shows is shown here as well.
///
/// # Panics
/// The inner run failed.
#[must_use]
#[expect(clippy::print_stdout, reason = "the inner run's figures are the test's own")]
pub fn inside(name: &str, script: &str, prepared: &Path) -> Inside {
    if let Some(mounted) = std::env::var_os(INSIDE) {
        return Inside::Mounted(mounted.into());
    }
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-ec", script, "sh"]).arg(prepared);
        command
    };
    if !unshare("mount -t tmpfs none \"$1\"").output().is_ok_and(|tried| tried.status.success()) {
        return Inside::Forbidden;
    }
    let inner = unshare(&format!("{script}; exec \"$2\" --exact \"$3\" --include-ignored --nocapture"))
        .arg(std::env::current_exe().expect("a program can tell where it is"))
        .arg(name)
        .env(INSIDE, prepared)
        .output()
        .expect("unshare has just been run");
    let text = String::from_utf8_lossy(&inner.stdout);
    assert!(inner.status.success(), "{text}{}", String::from_utf8_lossy(&inner.stderr));
    assert!(text.contains("1 passed"), "{text}");
    // Without what the harness adds: it counts this run itself.
    for line in
        text.lines().filter(|line| !line.is_empty() && !HARNESS.iter().any(|word| line.starts_with(word)))
    {
        println!("{line}");
    }
    Inside::Passed
}

/// Whether this is the inner run of a test.
#[must_use]
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// A directory whose disk is small, and can be full: a mounted one where the system allows it, else a [`Disk`] that
/// counts the bytes.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
    counted: Option<Disk>,
}

impl SmallDisk {
    /// A disk of so many megabytes at `prepared` (an empty directory) for the test `name`; `None` when the test has
    /// been run, in a namespace of its own, and is over.
    ///
    /// # Panics
    /// The inner run failed, or there is no C compiler.
    #[must_use]
    pub fn new(name: &str, megabytes: u32, prepared: &Path) -> Option<SmallDisk> {
        match inside(name, &format!("mount -t tmpfs -o size={megabytes}m none \"$1\""), prepared) {
            Inside::Mounted(path) => Some(SmallDisk { path, counted: None }),
            Inside::Passed => None,
            Inside::Forbidden => {
                Some(SmallDisk { path: prepared.to_owned(), counted: Some(Disk::below(prepared)) })
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has a command write to this disk: only such a one finds it full.
    pub fn under(&self, command: &mut Command) {
        if let Some(disk) = &self.counted {
            disk.under(command);
        }
    }

    /// Takes all room but so many bytes.
    ///
    /// # Panics
    /// Nothing can be written at all, or there is less room.
    pub fn fill(&self, but: u64) {
        match &self.counted {
            Some(disk) => disk.room(Some(but)),
            None => {
                let mut filler = File::create(self.filler()).expect("a file can be made while there is room");
                while filler.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
                let size = filler.metadata().expect("an open file has metadata").len();
                let left = size.checked_sub(but).expect("the disk has more room");
                filler.set_len(left).expect("a file can be cut");
            }
        }
    }

    /// Gives it back.
    ///
    /// # Panics
    /// It was not filled.
    pub fn free(&self) {
        match &self.counted {
            Some(disk) => disk.room(None),
            None => std::fs::remove_file(self.filler()).expect("the disk was filled"),
        }
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }
}

impl fmt::Display for SmallDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.counted {
            Some(_) => "no file system may be mounted here: a library below the program counts the bytes",
            None => "a mounted file system",
        })
    }
}
