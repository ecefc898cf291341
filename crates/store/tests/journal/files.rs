//! Files that are damaged, foreign, too new, or read by somebody else meanwhile.

use engine::journal::{Ask, Journal, JournalError};
use engine::position::Sequence;
use engine::problem::Remedy;
use engine::row::ProjectId;
use engine::schema::TableId;
use serde_json::json;
use sqlx::{Connection, Executor, SqliteConnection};
use store::journal::{FILE, SqliteJournal};

use super::{ALL, key, put};

/// Runs SQL on the file behind the journal's back.
async fn meddle(dir: &std::path::Path, sql: &'static str) {
    let file = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.join(FILE)).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&file).await.unwrap();
    connection.execute(sql).await.unwrap();
    connection.close().await.unwrap();
}

fn code(error: &JournalError) -> (Remedy, &str) {
    (error.remedy, error.problem.code.as_str())
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    for content in [vec![b'x'; 5_000], b"SQLite format 3\0".to_vec()] {
        std::fs::write(dir.path().join(FILE), &content).unwrap();
        let error = SqliteJournal::open(dir.path()).await.unwrap_err();
        assert_eq!(code(&error), (Remedy::NeedsHuman, "JOURNAL-DAMAGED"));
        assert!(error.to_string().contains("move the state directory"), "{error}");
        assert!(error.to_string().contains("nothing is lost"), "{error}");
        assert_eq!(std::fs::read(dir.path().join(FILE)).unwrap(), content, "it is left as it is");
    }
}

#[tokio::test]
async fn a_damaged_page_is_an_error_that_names_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    journal.commit(&(1..=2_000).map(|id| put(id, id)).collect::<Vec<_>>()).await.unwrap();
    journal.close().await.unwrap();
    let mut bytes = std::fs::read(dir.path().join(FILE)).unwrap();
    bytes[8_192..].fill(0xa5);
    std::fs::write(dir.path().join(FILE), bytes).unwrap();
    let seen = async {
        let journal = SqliteJournal::open(dir.path()).await?;
        journal.mirror_after(Sequence(0), ALL).await
    };
    let error = seen.await.unwrap_err();
    assert_eq!(code(&error), (Remedy::NeedsHuman, "JOURNAL-DAMAGED"));
}

#[tokio::test]
async fn a_damaged_row_is_an_error_and_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    journal.commit(&[put(1, 1)]).await.unwrap();
    journal.close().await.unwrap();
    for sql in ["UPDATE content SET body = x'07'", "UPDATE mirror SET detail = 9", "DELETE FROM content"] {
        meddle(dir.path(), sql).await;
        let journal = SqliteJournal::open(dir.path()).await.unwrap();
        let error = journal.rows(&[key(1)]).await.unwrap_err();
        assert_eq!(code(&error), (Remedy::NeedsHuman, "JOURNAL-DAMAGED"), "{sql}");
    }
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    SqliteJournal::open(dir.path()).await.unwrap().close().await.unwrap();
    meddle(dir.path(), "PRAGMA user_version = 2").await;
    for error in [
        SqliteJournal::open(dir.path()).await.unwrap_err(),
        SqliteJournal::open_read_only(dir.path()).await.unwrap_err(),
    ] {
        assert_eq!(code(&error), (Remedy::NeedsHuman, "JOURNAL-NEWER"));
    }
    meddle(dir.path(), "PRAGMA user_version = 1").await;
    SqliteJournal::open(dir.path()).await.unwrap();
}

#[tokio::test]
async fn a_database_of_another_application_is_refused_and_left_alone() {
    for sql in ["CREATE TABLE mine (x); PRAGMA application_id = 42", "CREATE TABLE mine (x)"] {
        let dir = tempfile::tempdir().unwrap();
        meddle(dir.path(), sql).await;
        let error = SqliteJournal::open(dir.path()).await.unwrap_err();
        assert_eq!(code(&error), (Remedy::NeedsHuman, "JOURNAL-DAMAGED"));
        assert!(error.to_string().contains("another application"), "{error}");
    }
}

#[tokio::test]
async fn no_journal_yet_is_said_to_readers() {
    let dir = tempfile::tempdir().unwrap();
    let error = SqliteJournal::open_read_only(dir.path()).await.unwrap_err();
    assert_eq!(code(&error), (Remedy::NeedsHuman, "JOURNAL-MISSING"));
    assert!(!dir.path().join(FILE).exists());
}

#[tokio::test]
async fn a_reader_beside_the_writer_sees_commits_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let writer = SqliteJournal::open(dir.path()).await.unwrap();
    writer.commit(&[put(1, 1)]).await.unwrap();
    let reader = SqliteJournal::open_read_only(dir.path()).await.unwrap();
    assert_eq!(reader.generation(), writer.generation());
    writer.commit(&[put(2, 2)]).await.unwrap();
    assert_eq!(reader.bounds().await.unwrap().head, Sequence(2));
    assert_eq!(reader.mirror_after(Sequence(0), ALL).await.unwrap().len(), 2);
    let (table, project) = (TableId(1), ProjectId(7));
    for refused in [
        reader.commit(&[put(3, 3)]).await,
        reader.remember("x", &json!(1)).await,
        reader.begin_log().await,
        reader.ask_details(&[table], Ask::Wanted).await,
        reader.acknowledge("task", Sequence(1)).await,
        reader.prune(std::time::Duration::ZERO).await,
        reader.census_start(table, project).await,
    ] {
        assert_eq!(code(&refused.unwrap_err()), (Remedy::NeedsHuman, "JOURNAL-READ-ONLY"));
    }
    // A reader neither ends the generation nor hinders the writer.
    reader.close().await.unwrap();
    writer.commit(&[put(3, 3)]).await.unwrap();
    writer.close().await.unwrap();
    let reader = SqliteJournal::open_read_only(dir.path()).await.unwrap();
    assert_eq!(reader.bounds().await.unwrap().head, Sequence(3), "also with nobody else there");
}

/// What was observed is nobody else's business, also in a directory that others may enter.
#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
    journal.close().await.unwrap();
}

#[tokio::test]
async fn the_write_ahead_log_is_carried_over_beside_the_writer() {
    /// Carried over from 32 MiB of log on, which are less of the file: some pages are written more than once. By itself
    /// the writer would do it from 128 MiB on.
    const ROWS: i64 = 40;
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    let mut dice = 1_u64;
    for id in 1..=ROWS {
        // A mebibyte that cannot be compressed.
        let mut letter = || {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + u8::try_from((dice >> 40) % 90).unwrap())
        };
        let text: String = (0..1 << 20).map(|_| letter()).collect();
        let mut entry = put(id, id);
        entry.row.row = Some(super::row(json!({"Code": id, "Text": text})));
        journal.commit(&[entry]).await.unwrap();
    }
    let carried_over = || std::fs::metadata(dir.path().join(FILE)).unwrap().len() >= 16 << 20;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while !carried_over() {
        assert!(tokio::time::Instant::now() < deadline, "nobody carries it over");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(journal.counts(TableId(1), ProjectId(7)).await.unwrap().alive, ROWS.unsigned_abs());
    journal.close().await.unwrap();
}
