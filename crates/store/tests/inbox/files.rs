//! Files that are damaged, foreign or too new.

use engine::inbox::Inbox;
use engine::journal::JournalError;
use engine::problem::Remedy;
use sqlx::{Connection, Executor, SqliteConnection};
use store::inbox::{FILE, SqliteInbox};

use super::{ROOM, arrival, take};

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
async fn a_file_that_is_no_inbox_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    for content in [vec![b'x'; 5_000], b"SQLite format 3\0".to_vec()] {
        std::fs::write(dir.path().join(FILE), &content).unwrap();
        let error = SqliteInbox::open(dir.path(), ROOM).await.unwrap_err();
        assert_eq!(code(&error), (Remedy::NeedsHuman, "JOURNAL-DAMAGED"));
        assert!(error.to_string().contains("inbox.db* away"), "{error}");
        assert_eq!(std::fs::read(dir.path().join(FILE)).unwrap(), content);
    }
    for sql in ["CREATE TABLE mine (x); PRAGMA application_id = 42", "CREATE TABLE mine (x)"] {
        let dir = tempfile::tempdir().unwrap();
        meddle(dir.path(), sql).await;
        let error = SqliteInbox::open(dir.path(), ROOM).await.unwrap_err();
        assert_eq!(code(&error), (Remedy::NeedsHuman, "JOURNAL-DAMAGED"));
        assert!(error.to_string().contains("another application"), "{error}");
    }
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    SqliteInbox::open(dir.path(), ROOM).await.unwrap().close().await.unwrap();
    meddle(dir.path(), "PRAGMA user_version = 3").await;
    for error in [
        SqliteInbox::open(dir.path(), ROOM).await.unwrap_err(),
        SqliteInbox::open_beside(dir.path()).await.unwrap_err(),
    ] {
        assert_eq!(code(&error), (Remedy::NeedsHuman, "JOURNAL-NEWER"));
        assert!(error.to_string().contains("inbox.db*"), "{error}");
    }
    meddle(dir.path(), "PRAGMA user_version = 2").await;
    SqliteInbox::open(dir.path(), ROOM).await.unwrap();
}

#[tokio::test]
async fn damage_is_an_error_and_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    let inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
    take(&inbox, arrival("a")).await;
    inbox.close().await.unwrap();
    for sql in [
        "UPDATE content SET body = x'07'",
        "UPDATE content SET headers = '{'",
        "UPDATE deliveries SET standing = 9",
        "UPDATE deliveries SET received = 9223372036854775807",
        "UPDATE deliveries SET size = -1",
    ] {
        meddle(dir.path(), sql).await;
        let inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
        let error = inbox.find("a".to_owned()).await.unwrap_err();
        assert_eq!(code(&error), (Remedy::NeedsHuman, "JOURNAL-DAMAGED"), "{sql}");
        take(&inbox, arrival(sql)).await;
        inbox.close().await.unwrap();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
    take(&inbox, arrival("a")).await;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
    inbox.close().await.unwrap();
}

#[tokio::test]
async fn what_is_written_into_a_file_that_nobody_finds_any_more_is_not_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
    take(&inbox, arrival("a")).await;
    let kept: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    for file in kept {
        std::fs::remove_file(file).unwrap();
    }
    for round in ["removed", "replaced"] {
        let error = inbox.accept(arrival(round)).await.unwrap_err();
        assert_eq!(code(&error), (Remedy::NeedsHuman, "STATE-GONE"), "{round}");
        std::fs::write(dir.path().join(FILE), "").unwrap();
    }
}
