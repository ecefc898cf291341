//! The tables of the inbox's file, and how connections to it are set up.

use std::path::Path;

use engine::failpoint::Step;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use crate::sqlite::checkpoint;
use crate::sqlite::fault::Fault;
use crate::sqlite::file::{Format, options, pool, secure};

/// "trin" in ASCII, and the format of the tables below.
pub(super) const FORMAT: Format = Format {
    application_id: 0x7472_696e,
    number: 2,
    make: Step::named("inbox::make"),
    migrations: &[TO_FORMAT_2],
};

/// What stays of a delivery on the disk beside its content: its rows, its places in the indexes, what is noted of it.
const OVERHEAD: u64 = 512;
/// From this size on hardly more than one content fits into a page.
const LARGE: u64 = 2_032;
/// Bytes of a page; long content begins a new one.
const PAGE: u64 = 4_096;

/// Bytes that a delivery takes on the disk, about, when headers and body have so many as they are stored. The migration
/// to format 2 says the same in SQL.
pub(super) fn room(stored: u64) -> u64 {
    let content = match stored {
        large if large > LARGE => large.div_ceil(PAGE).saturating_mul(PAGE),
        small => small.saturating_mul(3) / 2,
    };
    content.saturating_add(OVERHEAD)
}

/// Format 1 knew neither the body's digest nor who had begun to read it, and its room was counted by bodies alone.
/// Bodies that are there already stay unknown by their digests.
const TO_FORMAT_2: &str = "
ALTER TABLE deliveries ADD COLUMN digest BLOB;
ALTER TABLE deliveries ADD COLUMN last_received INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN repeats INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN starts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN room INTEGER NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX deliveries_digest ON deliveries (digest) WHERE digest IS NOT NULL;
UPDATE deliveries SET last_received = received, room = 512 + ifnull((
    SELECT iif(octet_length(headers) + octet_length(body) > 2032,
               (octet_length(headers) + octet_length(body) + 4095) / 4096 * 4096,
               (octet_length(headers) + octet_length(body)) * 3 / 2)
    FROM content WHERE content.number = deliveries.number
), 0);
UPDATE bounds SET
    bytes = (SELECT ifnull(sum(room), 0) FROM deliveries),
    waiting_bytes = (SELECT ifnull(sum(room), 0) FROM deliveries WHERE standing = 0);
PRAGMA user_version = 2;
";

/// Connections that read: those who work deliveries off, and those who count and show them.
const READERS: u32 = 2;

/// Deliveries that the driver's thread may read ahead: a body can have megabytes.
const READ_AHEAD: usize = 16;

/// `deliveries` is small and touched often, `content` is large and written once. `bounds` holds the newest number
/// and turn, also when they have been forgotten, and spares counting; its bytes are those of `room`.
const TABLES: &str = "
CREATE TABLE deliveries (
    number INTEGER PRIMARY KEY,
    turn INTEGER NOT NULL,
    delivery_id TEXT,
    received INTEGER NOT NULL,
    size INTEGER NOT NULL,
    standing INTEGER NOT NULL DEFAULT 0,
    words TEXT,
    event TEXT,
    entity TEXT,
    project TEXT,
    sender TEXT,
    settled INTEGER,
    delivered INTEGER,
    replays INTEGER NOT NULL DEFAULT 0,
    digest BLOB,
    last_received INTEGER NOT NULL DEFAULT 0,
    repeats INTEGER NOT NULL DEFAULT 0,
    starts INTEGER NOT NULL DEFAULT 0,
    room INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX deliveries_id ON deliveries (delivery_id) WHERE delivery_id IS NOT NULL;
CREATE UNIQUE INDEX deliveries_digest ON deliveries (digest) WHERE digest IS NOT NULL;
CREATE UNIQUE INDEX deliveries_waiting ON deliveries (turn) WHERE standing = 0;
CREATE INDEX deliveries_standing ON deliveries (standing, number);
CREATE INDEX deliveries_settled ON deliveries (received) WHERE standing <> 0;
CREATE TABLE content (
    number INTEGER PRIMARY KEY,
    headers TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE bounds (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    waiting INTEGER NOT NULL,
    applied INTEGER NOT NULL,
    unchanged INTEGER NOT NULL,
    ignored INTEGER NOT NULL,
    dead INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    waiting_bytes INTEGER NOT NULL
) STRICT;
INSERT INTO bounds VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
PRAGMA application_id = 1953655150;
PRAGMA user_version = 2;
";

/// What every connection that writes has: what it commits is flushed.
fn writing(file: &Path) -> SqliteConnectOptions {
    options(file)
        .row_buffer_size(READ_AHEAD)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // 4 MiB: the upper pages of every tree, whatever the inbox's size.
        .pragma("cache_size", "-4096")
        .pragma("wal_autocheckpoint", checkpoint::AT_LAST)
        // The file is cut to this after a long reader or a burst let it grow.
        .pragma("journal_size_limit", "67108864")
}

/// The one connection of the process that accepts; makes file and tables where there are none.
pub(super) async fn writer(file: &Path) -> Result<SqlitePool, Fault> {
    let writer = pool(1).connect_with(writing(file).create_if_missing(true)).await?;
    FORMAT.prepare(&writer, TABLES).await?;
    secure(&writer).await?;
    Ok(writer)
}

/// The one connection with which another process replays, opened when it does.
pub(super) fn writer_beside(file: &Path) -> SqlitePool {
    pool(1).connect_lazy_with(writing(file))
}

/// Connections that read snapshots beside the writer.
pub(super) async fn readers(file: &Path) -> Result<SqlitePool, Fault> {
    let options = options(file).row_buffer_size(READ_AHEAD).read_only(true);
    Ok(pool(READERS).connect_with(options).await?)
}
