//! Files whose writes and flushes fail: a small library in C, preloaded into a program, counts the calls that change
//! what is stored below a directory, and has those fail that the test chooses.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

/// Control files made so far.
static CONTROLS: AtomicU32 = AtomicU32::new(0);

const SOURCE: &str = include_str!("disk.c");

/// Where the fields of `struct control` stand, eight bytes each.
const CALLS: u64 = 0;
const FIRST: u64 = 8;
const COUNT: u64 = 16;
const KINDS: u64 = 24;
const ERROR: u64 = 32;
const FAILED: u64 = 40;
const ROOM: u64 = 48;
const DENIED: u64 = 56;
/// Where the words on the last call stand, and how long they may be.
const LAST: (u64, usize) = (64, 256);
/// Where the part of a name stands that counts, and how long it may be.
const ONLY: (u64, usize) = (320, 64);
const LENGTH: usize = 384;

/// Calls that change what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Bytes are written. One that fails has written the first half of them.
    Write,
    /// What was written is flushed to the disk.
    Flush,
    /// A file is cut.
    Size,
    /// A file or directory is made, renamed, linked or removed.
    Name,
}

impl Call {
    /// All of them.
    pub const EVERY: [Call; 4] = [Call::Write, Call::Flush, Call::Size, Call::Name];

    fn bit(self) -> u64 {
        match self {
            Call::Write => 1,
            Call::Flush => 2,
            Call::Size => 4,
            Call::Name => 8,
        }
    }
}

/// What a call fails with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errno {
    /// `EIO`: the disk is broken.
    Io,
    /// `ENOSPC`: the disk is full.
    NoSpace,
}

impl Errno {
    fn number(self) -> u64 {
        match self {
            Errno::Io => 5,
            Errno::NoSpace => 28,
        }
    }
}

/// Which calls fail.
#[derive(Clone, Copy, Debug)]
pub struct Strike {
    /// The number of the first one, from 1.
    pub first: u64,
    /// How many from there on.
    pub count: u64,
    /// With what.
    pub errno: Errno,
}

/// Stands between programs and what lies below a directory.
#[derive(Debug)]
pub struct Disk {
    below: PathBuf,
    /// Where the library lies, and a control file for each disk that uses it.
    folder: Arc<TempDir>,
    path: PathBuf,
    control: File,
}

impl Disk {
    /// Everything below `directory` (which must exist). Nothing fails yet.
    ///
    /// # Panics
    /// There is no C compiler.
    #[must_use]
    pub fn below(directory: &Path) -> Disk {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let source = folder.path().join("disk.c");
        std::fs::write(&source, SOURCE).expect("files in the temporary folder can be written");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let mut command = Command::new(compiler);
        command
            .args(["-shared", "-fPIC", "-O1", "-o", "disk.so", "disk.c", "-ldl"])
            .current_dir(folder.path());
        let compiled = command.output().expect("there is a C compiler");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        Disk::with(Arc::new(folder), directory)
    }

    /// The same for another directory, on its own.
    #[must_use]
    pub fn beside(&self, directory: &Path) -> Disk {
        Disk::with(Arc::clone(&self.folder), directory)
    }

    fn with(folder: Arc<TempDir>, directory: &Path) -> Disk {
        let number = CONTROLS.fetch_add(1, Ordering::Relaxed);
        let path = folder.path().join(format!("control-{number}"));
        let control = OpenOptions::new().create_new(true).read(true).write(true).open(&path);
        let control = control.expect("files in the temporary folder can be made");
        control.write_all_at(&[0; LENGTH], 0).expect("files in the temporary folder can be written");
        let disk = Disk { below: directory.to_owned(), folder, path, control };
        disk.count(&Call::EVERY, "");
        disk.room(None);
        disk
    }

    /// Has a command run with this disk.
    pub fn under(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", self.folder.path().join("disk.so"))
            .env("TEST_FAULTS_CONTROL", &self.path)
            .env("TEST_FAULTS_BELOW", &self.below);
    }

    /// Counts only these kinds of calls, on files whose names (below the directory) contain `name`; from 0.
    ///
    /// # Panics
    /// `name` is very long.
    pub fn count(&self, kinds: &[Call], name: &str) {
        let mut only = [0; ONLY.1];
        let place = only.get_mut(..name.len()).expect("a part of a name is short");
        place.copy_from_slice(name.as_bytes());
        self.control.write_all_at(&only, ONLY.0).expect("files in the temporary folder can be written");
        self.set(KINDS, kinds.iter().fold(0, |all, kind| all | kind.bit()));
        self.set(CALLS, 0);
    }

    /// Begins to count anew, and has calls fail; with `None` no more.
    pub fn strike(&self, strike: Option<Strike>) {
        self.set(FIRST, 0);
        self.set(CALLS, 0);
        self.set(FAILED, 0);
        if let Some(Strike { first, count, errno }) = strike {
            self.set(COUNT, count);
            self.set(ERROR, errno.number());
            self.set(FIRST, first);
        }
    }

    /// Calls counted since the last [`Disk::count`] or [`Disk::strike`].
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.get(CALLS)
    }

    /// Calls that have failed since the last [`Disk::strike`].
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.get(FAILED)
    }

    /// Lets all files together grow by so many bytes, or without end. What is cut or removed makes room.
    pub fn room(&self, bytes: Option<u64>) {
        self.set(DENIED, 0);
        self.set(ROOM, bytes.unwrap_or(u64::MAX));
    }

    /// Writes that have found no room since the last [`Disk::room`].
    #[must_use]
    pub fn denied(&self) -> u64 {
        self.get(DENIED)
    }

    /// The call that failed last: what it was and the file's name below the directory.
    #[must_use]
    pub fn last(&self) -> String {
        let mut text = vec![0; LAST.1];
        self.control.read_exact_at(&mut text, LAST.0).expect("the file is long enough");
        text.truncate(text.iter().position(|byte| *byte == 0).unwrap_or(LAST.1));
        String::from_utf8_lossy(&text).into_owned()
    }

    fn set(&self, field: u64, value: u64) {
        let written = self.control.write_all_at(&value.to_ne_bytes(), field);
        written.expect("files in the temporary folder can be written");
    }

    fn get(&self, field: u64) -> u64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, field).expect("the file is long enough");
        u64::from_ne_bytes(bytes)
    }
}
