//! A writer that is killed: this test starts itself as another process, and kills it while it writes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use engine::target::Target;
use tempfile::TempDir;

use super::super::config::SqliteConfig;
use super::super::target::SqliteTarget;
use super::{Deletes, at, batch, dump, file_in, issues, plan, ready, row};

/// Where the process that will be killed writes.
const DIRECTORY: &str = "TRIBUTARY_TEST_KILLED_IN";

/// What it prints after each batch that the target took.
const DONE: &str = "done ";

/// Writes the same rows again and again, named by the sequence, until it is killed.
async fn write_until_killed(directory: &std::ffi::OsStr) {
    let file = SqliteConfig { path: "t.db".into() }.validate(directory.as_ref()).unwrap();
    let plan = plan("a", issues(Deletes::Hard));
    let mut target = SqliteTarget::new(file);
    let position = target.open(&plan).await.unwrap().position.unwrap();
    target.prepare(&plan, None, &position).await.unwrap();
    for sequence in position.sequence.0 + 1.. {
        let rows = (0..300).map(|code| row(&plan.tables[0], "p", code, &sequence.to_string())).collect();
        target.write(&batch(sequence, rows, vec![])).await.unwrap();
        writeln!(std::io::stdout(), "\n{DONE}{sequence}").unwrap();
    }
}

#[tokio::test]
async fn invariant_6_rows_and_position_survive_a_kill_together() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return write_until_killed(&directory).await;
    }
    let dir = TempDir::new().unwrap();
    let (file, plan) = (file_in(&dir), plan("a", issues(Deletes::Hard)));
    ready(&file, &plan).await.close().await;
    for batches in 1..=8 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sqlite::tests::killed::invariant_6_rows_and_position_survive_a_kill_together"])
            .arg("--nocapture")
            .env(DIRECTORY, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let mut done = lines.filter_map(|line| line.unwrap().strip_prefix(DONE)?.parse::<i64>().ok());
        let promised = done.nth(batches - 1).expect("the writer writes until it is killed");
        // By now it is somewhere in the next batch, or in one after it.
        writer.kill().unwrap();
        writer.wait().unwrap();
        let promised = done.last().unwrap_or(promised);
        let position = SqliteTarget::new(file.clone()).open(&plan).await.unwrap().position.unwrap();
        assert!(position.sequence.0 >= promised, "{position:?} is before {promised}");
        assert_eq!(position, at(position.sequence.0));
        let names = dump(&file, "SELECT name, count(*) || '' FROM issues GROUP BY name").await;
        assert_eq!(names, [format!("{}|300", position.sequence.0)]);
    }
}
