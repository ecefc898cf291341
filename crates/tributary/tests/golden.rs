//! The journal as the binary left it when its format was released, with the documents that only the binary makes:
//! today's binary reads each of them, and does what it says. A document that it cannot read is as good as none, so
//! each has to show in what it does.
//!
//! The golden file is never changed: it stands for the files that people have. When a document becomes another one,
//! the journal's number is raised, and a golden file of the new format is made beside the old (`cargo test -p tributary
//! --test main -- --ignored golden::make`).
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use connectors::coding::tables::{ISSUES, TABLES};
use engine::capture::anew;
use engine::journal::Journal;
use engine::schema::Table;
use engine::status::Held;
use jiff::Timestamp;
use serde_json::{Value, json};
use store::journal::{FILE, SqliteJournal};

use crate::hooks::{Hooked, team};
use crate::support::{Running, run, tributary, until};

/// The one that keeps the table of deliveries, and a filter.
const REST: &str = "task: { tables: [Issues, Iterations, ProjectMembers, Events], issue_types: [DEFECT, \
                    线上故障], iterations: [1, 2, 3] }\n";
/// Documents of the golden journal; after the last part of a name stands the number of the project.
const DOCUMENTS: [&str; 14] = [
    "anew",
    "dangling/Issues/90001",
    "details",
    "events/kept-by",
    "filter/app",
    "held/ProjectMembers/90001",
    "hook/fetched",
    "issue_types/90001",
    "load/Iterations/90001",
    "log",
    "missed",
    "poll/Issues/90001",
    "projects",
    "team",
];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join("journal-1.db")
}

async fn hooked() -> Hooked {
    Hooked::new(team(40), "", REST).await
}

/// Every document of a journal that nobody writes to.
async fn documents(state: &Path) -> BTreeMap<String, Value> {
    let journal = SqliteJournal::open_read_only(state).await.unwrap();
    let documents = journal.recall("").await.unwrap();
    journal.close().await.unwrap();
    documents.into_iter().filter(|(_, value)| !value.is_null()).collect()
}

/// Follows changes that hooks tell of, has deletes held, and begins to read a table anew.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes the golden file of a new format"]
async fn make() {
    assert!(!golden().exists(), "it stands for files that people have: it is never changed");
    let hooked = hooked().await;
    let running = hooked.start_registered().await;
    hooked.rename(3, "renamed");
    until("the change is counted", async || hooked.status()?.hooks.filter(|hooks| hooks.changes > 0)).await;
    hooked.stop(running).await;
    hooked.world().change_faults(|faults| faults.members_empty = true);
    hooked.run("sync", &["--once"]).await.expect(3);
    let journal = SqliteJournal::open(&hooked.state()).await.unwrap();
    let issues: Vec<&'static Table> = TABLES.iter().filter(|table| table.id == ISSUES).collect();
    anew::begin(&journal, &issues, true).await.unwrap();
    journal.close().await.unwrap();
    std::fs::create_dir_all(golden().parent().unwrap()).unwrap();
    std::fs::copy(hooked.state().join(FILE), golden()).unwrap();
    hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn todays_binary_does_what_the_documents_of_format_1_say() {
    let hooked = hooked().await;
    let (state, world) = (hooked.state(), hooked.world());
    hooked.rename(3, "renamed");
    world.change_faults(|faults| faults.members_empty = true);
    std::fs::create_dir(&state).unwrap();
    std::fs::copy(golden(), state.join(FILE)).unwrap();
    let then = documents(&state).await;
    let lacks: Vec<_> = DOCUMENTS.iter().filter(|name| !then.contains_key(**name)).collect();
    assert!(lacks.is_empty(), "{lacks:?} of {:?}", then.keys());

    // Whose rows they are.
    hooked.edit("team: demo", "team: another");
    let ended = hooked.run("sync", &["--once"]).await.expect(1);
    assert!(ended.stderr.contains("[STATE-TEAM]") && ended.stderr.contains("`demo`"), "{ended:?}");
    hooked.edit("team: another", "team: demo");

    // The filter, without asking anybody.
    world.reset_counters();
    hooked.run("resync", &[]).await.expect(0);
    assert_eq!(world.counters().requests, BTreeMap::new());
    let issues = hooked.stage.count("app.db", "issues").await;
    assert!(issues > 0 && issues < 40, "{issues}");

    // What was missed is of the last day only.
    let journal = SqliteJournal::open(&state).await.unwrap();
    let (hours, now) = (then["missed"].as_object().unwrap(), Timestamp::now().as_second().div_euclid(3_600));
    let share = hours.values().next().unwrap();
    journal.remember("missed", &json!({ now.to_string(): share })).await.unwrap();
    journal.close().await.unwrap();

    // Another pipeline, which does not keep the table of deliveries, does so for the one that does.
    let text = std::fs::read_to_string(&hooked.file).unwrap();
    let other = text.replace(REST, "").replace("app.db", "other.db");
    std::fs::write(hooked.stage.path("other.yaml"), other).unwrap();
    let mut command = tributary(hooked.stage.dir.path());
    command.args(["sync", "other.yaml"]);
    let running = Running::start(command);
    let keeps = || world.hooks().iter().any(|hook| hook.events.iter().any(|event| event == "GIT_PUSHED"));
    until("the hook has its events", async || keeps().then_some(())).await;
    // It has been gone through the hook's log before, so it is again.
    until("its log is read", async || (world.counters().of("DescribeServiceHookLogs") > 0).then_some(()))
        .await;
    let status = until("deletes are held, and misses counted", async || {
        let status = hooked.status()?;
        let members = status.projects.get("app")?.get("ProjectMembers")?;
        let counted = status.hooks.as_ref()?.changes > 0;
        (members.held.is_some() && counted).then_some(status)
    })
    .await;
    let counted = status.hooks.unwrap();
    assert_eq!(json!({ "changes": counted.changes, "missed": counted.missed }), *share);
    let held = status.projects["app"]["ProjectMembers"].held.clone().unwrap();
    let before: Held = serde_json::from_value(then["held/ProjectMembers/90001"].clone()).unwrap();
    assert_eq!(held, before, "held since then");
    // What was to be read anew has been.
    until("it is said that it has", async || (!documents(&state).await.contains_key("anew")).then_some(()))
        .await;
    running.signal("TERM");
    running.end().await.0.expect(0);
    let now = documents(&state).await;
    let of = |documents: &BTreeMap<String, Value>| documents["dangling/Issues/90001"].as_i64().unwrap();
    assert!(of(&now) >= of(&then), "{now:?}");
    assert_eq!(now["load/Issues/90001"]["done"], json!(true));
    assert_eq!(now["events/kept-by"], then["events/kept-by"]);

    // The one that keeps it takes over again, and has not forgotten the iterations of its filter.
    world.change_faults(|faults| faults.members_empty = false);
    hooked.edit("[1, 2, 3]", "[1, 2]");
    hooked.run("sync", &["--once"]).await.expect(0);
    assert_eq!(documents(&state).await["filter/app"], json!([1, 2, 3]));
    run(hooked.command("verify", &["--deep"])).await.expect(0);
    hooked.stage.sim.stop().await;
}
