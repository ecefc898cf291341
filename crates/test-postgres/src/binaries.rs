//! Where the server's programs are installed.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use crate::INSTALL;

/// Where packages put them beside the path: one folder for each version, with `bin` in it.
const PACKAGES: [&str; 2] = ["/usr/lib/postgresql", "/usr/local/lib/postgresql"];

/// The folder with `initdb`, `pg_ctl` and `postgres`: one on the path, else the newest that a package brought.
pub(crate) fn folder() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut packaged: Vec<PathBuf> = PACKAGES
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    packaged.sort_by_key(|bin| Reverse(version(bin)));
    let complete =
        |bin: &PathBuf| ["initdb", "pg_ctl", "postgres"].iter().all(|name| bin.join(name).is_file());
    let found = std::env::split_paths(&path).chain(packaged).find(complete);
    found.unwrap_or_else(|| panic!("no server of PostgreSQL is installed. {INSTALL}"))
}

/// The version in a path such as `/usr/lib/postgresql/17/bin`.
fn version(bin: &Path) -> Option<u32> {
    bin.parent()?.file_name()?.to_str()?.parse().ok()
}
