//! Files as each format had them when it was released, opened by today's code.
//!
//! A golden file is never changed: it stands for the files that people have. When a format changes, raise its number,
//! write the migration, make a golden file of the new format (`cargo test -p store --test main -- --ignored
//! golden::make`), and let the tests read the old one too.
#![expect(clippy::indexing_slicing, reason = "tests fail by panicking")]

mod inbox;
mod journal;
mod vault;

use std::path::{Path, PathBuf};

use engine::journal::JournalError;
use engine::problem::Remedy;
use tempfile::TempDir;

/// Where the golden files lie.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/files").join(name)
}

/// A state directory with a copy of a golden file in it under the name `file`.
fn copy(name: &str, file: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(file), std::fs::read(golden(name)).unwrap()).unwrap();
    dir
}

/// Keeps a file that was just made as a golden one.
fn keep(made: &Path, name: &str) {
    let golden = golden(name);
    assert!(!golden.exists(), "{} stands for files that people have: it is never changed", golden.display());
    std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
    std::fs::copy(made, golden).unwrap();
}

/// Gives an SQLite file another format: the number at its place in the header.
fn set_format(file: &Path, number: u32) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[60..64].copy_from_slice(&number.to_be_bytes());
    std::fs::write(file, bytes).unwrap();
}

/// The format of an SQLite file.
fn format(file: &Path) -> u32 {
    let bytes = std::fs::read(file).unwrap();
    u32::from_be_bytes(bytes[60..64].try_into().unwrap())
}

/// Fails unless a file of the format `newer` was refused with its number and the remedy.
fn assert_newer(error: &JournalError, newer: u32) {
    assert_eq!((error.remedy, error.problem.code.as_str()), (Remedy::NeedsHuman, "JOURNAL-NEWER"));
    let said = error.to_string();
    assert!(said.contains(&format!("its format {newer} is newer")), "{said}");
    assert!(said.contains("Run the version of tributary that wrote"), "{said}");
}
