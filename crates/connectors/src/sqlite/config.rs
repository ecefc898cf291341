//! The `sqlite` part of a configuration: what a user writes, what it means, and whether it works.
//!
//! [`SqliteConfig::validate`] is pure. [`check`] really opens and writes the file, and leaves it as it was.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};

pub use super::check::check;
use crate::finding::Finding;

/// How long to wait for another writer before saying that the file is busy. Longer than any batch takes.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Prepared statements kept for a connection: a dozen tables with nine each, and the bookkeeping.
const STATEMENTS: usize = 128;

/// Size of the pages of a new file: a row has some 2 kB, and a page wastes what is too little for one more. With SQLite's
/// 4 KiB the file is a fifth larger, and written in four times as many pieces.
const PAGE_BYTES: u32 = 16_384;

/// What a log file that a reader held back is cut to once it is written back.
const WAL_KEPT_BYTES: &str = "67108864";

/// A SQLite file to write tables into.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteConfig {
    /// The file, for example `coding.db`; made when it does not exist. Relative to the configuration file.
    pub path: PathBuf,
}

/// A configuration without findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validated {
    pub(super) path: PathBuf,
}

impl SqliteConfig {
    /// All that is wrong with the configuration, or what to open. Touches no file.
    ///
    /// # Errors
    /// Findings under `target.sqlite.path`.
    pub fn validate(&self, base_dir: &Path) -> Result<Validated, Vec<Finding>> {
        let found = |why: &str| {
            let what = format!("Cannot use `{}` as a SQLite file", self.path.display());
            let fix = "Name a file on a local disk, for example `path: coding.db`.";
            Err(vec![Finding::new("target.sqlite.path", "SQLITE-PATH", what, why, fix)])
        };
        let Some(text) = self.path.to_str() else { return found("the path is not Unicode") };
        if text.trim().is_empty() {
            return found("the path is empty");
        }
        if text.contains('\0') {
            return found("the path contains a NUL character");
        }
        if text == ":memory:" || text.starts_with("file:") || text.starts_with("sqlite:") {
            return found("it is a special name or a URL, not the path of a file");
        }
        if text.ends_with(['/', '\\']) || self.path.file_name().is_none() {
            return found("the path names a directory");
        }
        Ok(Validated { path: base_dir.join(&self.path) })
    }
}

impl Validated {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How every connection to the file is made. FULL: what is committed survives a power cut.
    pub(super) fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            // SQLite takes a name with a colon for a URL; a path never begins with one of ours.
            .filename(if self.path.is_absolute() {
                self.path.clone()
            } else {
                Path::new(".").join(&self.path)
            })
            .busy_timeout(BUSY_TIMEOUT)
            .page_size(PAGE_BYTES)
            .synchronous(SqliteSynchronous::Full)
            .pragma("journal_size_limit", WAL_KEPT_BYTES)
            .statement_cache_capacity(STATEMENTS)
            .disable_statement_logging()
    }
}
