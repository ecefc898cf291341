//! A writer that is killed: the test starts itself as another process, and kills it while it writes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use engine::target::Target;

use super::{Deletes, Site, at, batch, issues, plan, ready, row};

/// Where the process that will be killed writes.
const ADDRESS: &str = "TRIBUTARY_TEST_KILLED_AT";

/// What it prints after each batch that the target took.
const DONE: &str = "done ";

/// Writes the same rows again and again, named by the sequence, until it is killed.
async fn write_until_killed<S: Site>(address: &str) {
    let plan = plan("a", issues(Deletes::Hard));
    let mut target = S::at(address).target();
    let position = target.open(&plan).await.unwrap().position.unwrap();
    target.prepare(&plan, None, &position).await.unwrap();
    for sequence in position.sequence.0 + 1.. {
        let rows = (0..300).map(|code| row(&plan.tables[0], "p", code, &sequence.to_string())).collect();
        target.write(&batch(sequence, rows, vec![])).await.unwrap();
        writeln!(std::io::stdout(), "\n{DONE}{sequence}").unwrap();
    }
}

pub(crate) async fn invariant_6_rows_and_position_survive_a_kill_together<S: Site>() {
    if let Ok(address) = std::env::var(ADDRESS) {
        return write_until_killed::<S>(&address).await;
    }
    let (site, plan) = (S::new().await, plan("a", issues(Deletes::Hard)));
    ready(&site, &plan).await.close().await;
    let test = "tests::invariant_6_rows_and_position_survive_a_kill_together";
    for batches in 1..=8 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("{}::{test}", S::MODULE), "--nocapture"])
            .env(ADDRESS, site.address())
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
        let position = site.target().open(&plan).await.unwrap().position.unwrap();
        assert!(position.sequence.0 >= promised, "{position:?} is before {promised}");
        assert_eq!(position, at(position.sequence.0));
        let names = site.dump("SELECT name, count(*) || '' FROM issues GROUP BY name").await;
        assert_eq!(names, [format!("{}|300", position.sequence.0)]);
    }
}
