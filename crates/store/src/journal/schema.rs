//! The tables of the journal's file, its format version, and how connections to it are set up.

use std::path::Path;

use engine::failpoint::Step;
use sqlx::sqlite::{SqliteAutoVacuum, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Executor, SqlitePool};

use crate::sqlite::checkpoint;
use crate::sqlite::fault::Fault;
use crate::sqlite::file::{Format, options, pool, secure};

/// "trib" in ASCII, and the format of the tables below.
pub(super) const FORMAT: Format =
    Format { application_id: 0x7472_6962, number: 1, make: Step::named("journal::make"), migrations: &[] };

/// A page holds a compressed row of usual size without overflow, and four of the small ones.
const PAGE_BYTES: u32 = 8192;

/// Connections that read: capture, some deliveries and the console at once; more only cost memory.
const READERS: u32 = 4;

/// What `content` and `mirror` keep apart: `mirror` is small and touched often, `content` is large and written
/// once, in sequence order, so that a load only appends to it. `tally` spares counting.
const TABLES: &str = "
CREATE TABLE mirror (
    tab INTEGER NOT NULL,
    project INTEGER NOT NULL,
    id INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    inserted INTEGER NOT NULL,
    first_detail INTEGER NOT NULL,
    listed_digest BLOB,
    listed INTEGER NOT NULL,
    looked_up INTEGER NOT NULL,
    observed INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    detail INTEGER NOT NULL,
    alive INTEGER NOT NULL,
    PRIMARY KEY (tab, project, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX mirror_sequence ON mirror (sequence);
-- Dead rows are in it where a listing put their death in doubt.
CREATE INDEX mirror_pending ON mirror (detail, project, tab, id) WHERE detail >= 2;
CREATE INDEX mirror_tombstones ON mirror (sequence) WHERE alive = 0;
CREATE TABLE content (
    sequence INTEGER PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE log (
    sequence INTEGER PRIMARY KEY,
    observed INTEGER NOT NULL,
    tab INTEGER NOT NULL,
    project INTEGER NOT NULL,
    id INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    channel INTEGER NOT NULL,
    detailed INTEGER,
    first_detail INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE refs (
    project INTEGER NOT NULL,
    to_tab INTEGER NOT NULL,
    to_id INTEGER NOT NULL,
    tab INTEGER NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY (project, to_tab, to_id, tab, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE tally (
    tab INTEGER NOT NULL,
    project INTEGER NOT NULL,
    alive INTEGER NOT NULL,
    pending INTEGER NOT NULL,
    PRIMARY KEY (tab, project)
) STRICT, WITHOUT ROWID;
CREATE TABLE bounds (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    head INTEGER NOT NULL,
    log_floor INTEGER NOT NULL,
    horizon INTEGER NOT NULL,
    newest_moment INTEGER NOT NULL
) STRICT;
INSERT INTO bounds VALUES (1, 0, 0, 0, 0);
CREATE TABLE openings (
    ordinal INTEGER PRIMARY KEY,
    generation TEXT NOT NULL UNIQUE,
    first_sequence INTEGER NOT NULL
) STRICT;
CREATE TABLE memory (
    name TEXT PRIMARY KEY,
    document TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE tasks (
    name TEXT PRIMARY KEY,
    acknowledged INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
PRAGMA application_id = 1953655138;
PRAGMA user_version = 1;
";

/// The census' own tables; in a temporary file that vanishes with the connection.
const CENSUS_TABLES: &str = "
CREATE TEMP TABLE census (tab INTEGER NOT NULL, project INTEGER NOT NULL, PRIMARY KEY (tab, project))
    WITHOUT ROWID;
CREATE TEMP TABLE seen (
    tab INTEGER NOT NULL,
    project INTEGER NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY (tab, project, id)
) WITHOUT ROWID;
";

/// The one connection that writes: what it commits is flushed.
pub(super) async fn writer(file: &Path) -> Result<SqlitePool, Fault> {
    let options = options(file)
        .create_if_missing(true)
        .page_size(PAGE_BYTES)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // 4 MiB: the upper pages of every tree, whatever the journal's size.
        .pragma("cache_size", "-4096")
        .pragma("wal_autocheckpoint", checkpoint::AT_LAST)
        // The file is cut to this after a long reader let it grow: twice what is carried over at once.
        .pragma("journal_size_limit", "67108864");
    Ok(pool(1).connect_with(options).await?)
}

/// Connections that read snapshots beside the writer.
pub(super) async fn readers(file: &Path) -> Result<SqlitePool, Fault> {
    Ok(pool(READERS).connect_with(options(file).read_only(true)).await?)
}

/// The connection of the census: reads the journal, writes temporary tables only.
pub(super) async fn census(file: &Path) -> Result<SqlitePool, Fault> {
    let pool = pool(1).after_connect(|connection, _| {
        Box::pin(async move {
            connection.execute(CENSUS_TABLES).await?;
            Ok(())
        })
    });
    Ok(pool.connect_with(options(file).read_only(true)).await?)
}

/// Makes the tables of a new file; checks the format of an old one, and flushes what was left in its log.
pub(super) async fn prepare(writer: &SqlitePool) -> Result<(), Fault> {
    FORMAT.prepare(writer, TABLES).await?;
    secure(writer).await
}

/// Refuses files of other applications and of newer formats.
pub(super) async fn check(pool: &SqlitePool) -> Result<(), Fault> {
    FORMAT.check(pool).await
}
