//! The bodies of events against the facts, and against recorded ones where these are at hand.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use coding_sim::{IssueFields, Operation};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};

use crate::client::Bench;
use crate::hooks::receiver::{Seen, pair};
use crate::hooks::sending::{rename, set};

/// The members of an object in their order.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Keys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, IgnoredAny)) = map.next_entry()? {
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

fn keys(text: &[u8]) -> Vec<String> {
    serde_json::from_slice::<Keys>(text).unwrap().0
}

/// The members of the object that follows `"name":`, in their order.
fn keys_of(text: &[u8], name: &str) -> Vec<String> {
    let text = std::str::from_utf8(text).unwrap();
    let (_, rest) = text.split_once(&format!("\"{name}\":")).unwrap();
    let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<Keys>();
    stream.next().unwrap().unwrap().0
}

/// Every path of a body; positions in lists do not matter.
fn paths(value: &Value, at: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let path = format!("{at}/{key}");
                paths(value, &path, into);
                into.insert(path);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| paths(item, &format!("{at}/*"), into)),
        _ => {}
    }
}

fn all_paths(value: &Value) -> BTreeSet<String> {
    let mut set = BTreeSet::new();
    paths(value, "", &mut set);
    set
}

/// One event of each of the three kinds that recordings exist of, about rows with everything set.
async fn full(bench: &Bench) -> Vec<Seen> {
    let world = bench.sim.world();
    let user = world.users()[1];
    let outsider = *world.users().last().unwrap();
    let fields: IssueFields = serde_json::from_value(json!({
        "name": "n", "priority": "3", "assignee": user, "iteration": 2, "watchers": [user],
        "labels": [9_000_801], "start_date": "2025-09-01", "due_date": "2025-09-02", "description": "d",
    }))
    .unwrap();
    let project = || "backend".to_owned();
    world.apply(&[set(1, fields)]).unwrap();
    let assigned = json!({"ProjectName": "backend", "IterationCode": 2, "Name": "it", "Assignee": user});
    bench.ok("ModifyIteration", assigned).await;
    let receiver = pair(&bench.sim, &[]).await;
    world
        .apply(&[
            Operation::CommentIssue { project: project(), code: 1, content: "AAA".to_owned() },
            Operation::AddMember { project: project(), user: outsider, roles: Vec::new() },
        ])
        .unwrap();
    bench.ok("CreateIteration", json!({"ProjectName": "backend", "Name": "new", "Assignee": user})).await;
    receiver.all(&world).await
}

#[tokio::test]
async fn bodies_have_the_members_of_recorded_ones() {
    let bench = Bench::start(|config| config.hook_concurrency = 1).await;
    let all = full(&bench).await;
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/coding/samples");
    for seen in &all {
        let Ok(sample) = std::fs::read(folder.join(format!("{}.json", seen.event()))) else {
            #[expect(clippy::print_stderr, reason = "a skipped test says so")]
            {
                eprintln!("skipped: the reference folder beside the checkout is missing");
            }
            continue;
        };
        let recorded: Value = serde_json::from_slice(&sample).unwrap();
        let (own, theirs) = (all_paths(&seen.json()), all_paths(&recorded));
        let differing: Vec<&String> = own.symmetric_difference(&theirs).collect();
        assert!(differing.is_empty(), "{}: {differing:?}", seen.event());
        assert_eq!(keys(&seen.bytes), keys(&sample), "{}", seen.event());
        for part in ["sender", "project", "team", "hook", "issueComment", "issue", "iteration", "member"] {
            if recorded.get(part).is_some() || part == "issue" && recorded.get("issueComment").is_some() {
                assert_eq!(keys_of(&seen.bytes, part), keys_of(&sample, part), "{}/{part}", seen.event());
            }
        }
    }
    bench.sim.stop().await;
}

#[tokio::test]
async fn the_envelope_is_in_the_recorded_order() {
    let bench = Bench::start(|config| config.hook_concurrency = 1).await;
    let all = full(&bench).await;
    let order = |seen: &Seen| keys(&seen.bytes).join(" ");
    assert_eq!(order(&all[0]), "action event eventName sender project team issueComment hook hook_id");
    assert_eq!(order(&all[1]), "action event eventName sender member project team hook hook_id");
    assert_eq!(order(&all[2]), "event eventName sender project team iteration hook hook_id");
    let comment = all[0].json();
    assert_eq!(comment["action"], "comment");
    assert_eq!(comment["issueComment"]["content"], "<p>AAA</p>");
    let (page, number) =
        comment["issueComment"]["html_url"].as_str().unwrap().split_once("#comment-").unwrap();
    assert_eq!(comment["issueComment"]["issue"]["html_url"], page);
    number.parse::<u64>().unwrap();
    assert_eq!(comment["hook"]["active"], false);
    assert_eq!(comment["hook"]["id"], comment["hook_id"]);
    assert_eq!(comment["project"]["name"], "backend");
    assert_eq!(comment["team"]["domain"], "demo");
    assert_eq!(all[1].json()["action"], "added");
    assert_eq!(all[1].json()["member"]["id"], *bench.sim.world().users().last().unwrap());
    bench.sim.stop().await;
}

#[tokio::test]
async fn an_issue_is_written_as_hooks_write_it() {
    let bench = Bench::start(|config| config.hook_concurrency = 1).await;
    let world = bench.sim.world();
    let receiver = pair(&bench.sim, &[]).await;
    let create = json!({
        "ProjectName": "backend", "Type": "DEFECT", "Name": "缺陷", "Priority": "2",
        "IterationCode": 3, "DueDate": "2025-09-01",
    });
    let created = bench.ok("CreateIssue", create).await["Issue"].clone();
    let seen = receiver.all(&world).await.remove(0);
    let issue = seen.json()["issue"].clone();
    assert_eq!(issue["created_at"], created["CreatedAt"], "the real millisecond, as in the answer");
    assert_eq!(issue["priority"], 2);
    assert_eq!((&issue["status"], &issue["issue_status"]["type"]), (&json!("未开始"), &json!("TODO")));
    assert_eq!((&issue["type"], &issue["code"]), (&json!("DEFECT"), &created["Code"]));
    assert_eq!((&issue["start_date"], &issue["due_date"]), (&json!(0), &created["DueDate"]));
    assert_eq!(issue["iteration"]["code"], 3);
    let html = issue["html_url"].as_str().unwrap();
    assert!(html.ends_with("/p/backend/bug-tracking/issues/121/detail"), "{html}");

    let order = set(121, IssueFields { iteration: Some(0), ..IssueFields::default() });
    world.apply(&[order]).unwrap();
    let issue = receiver.all(&world).await.remove(0).json()["issue"].clone();
    assert!(issue.get("iteration").is_none(), "absent when unplanned");
    assert_eq!(issue["created_at"].as_i64().unwrap() % 1_000, 0);
    assert_eq!(issue["updated_at"].as_i64().unwrap() % 1_000, 0);

    world
        .apply(&[
            rename(121, "last words"),
            Operation::DeleteIssue { project: "backend".to_owned(), code: 121 },
        ])
        .unwrap();
    let last = receiver.all(&world).await.pop().unwrap();
    assert_eq!(last.event(), "ISSUE_DELETED");
    assert_eq!(last.json()["issue"]["title"], "last words");
    bench.sim.stop().await;
}

#[tokio::test]
async fn a_work_log_says_what_was_booked_and_no_more() {
    let bench = Bench::start(|_| {}).await;
    let world = bench.sim.world();
    let receiver = pair(&bench.sim, &["ISSUE_HOUR_RECORD_UPDATED"]).await;
    let order = Operation::LogWork { project: "backend".to_owned(), code: 4, hours: -0.5, remaining: 2.0 };
    let before = world.truth(coding_sim::Table::Issues, "backend", coding_sim::Shape::Full).unwrap();
    world.apply(&[order]).unwrap();
    let seen = receiver.all(&world).await.remove(0);
    assert_eq!(seen.json()["work_log"], json!({"record_hours": -0.5, "remaining_hours": 2.0}));
    assert_eq!(seen.code(), 4);
    assert_eq!(
        keys(&seen.bytes).join(" "),
        "event eventName sender project team issue work_log hook hook_id"
    );
    let after = world.truth(coding_sim::Table::Issues, "backend", coding_sim::Shape::Full).unwrap();
    assert_eq!(before.len(), after.len());
    assert_eq!(before[3]["UpdatedAt"], after[3]["UpdatedAt"]);
    bench.sim.stop().await;
}

#[tokio::test]
async fn nobody_in_charge_is_said_in_three_ways() {
    let bench = Bench::start(|config| config.hook_concurrency = 1).await;
    let world = bench.sim.world();
    let receiver = pair(&bench.sim, &["ISSUE_UPDATED"]).await;
    let nobody = |code| {
        let fields = IssueFields { assignee: Some(0), name: Some("x".to_owned()), ..IssueFields::default() };
        set(code, fields)
    };
    world.apply(&[nobody(30), nobody(31), nobody(32)]).unwrap();
    let shown: Vec<Option<Value>> =
        receiver.all(&world).await.iter().map(|seen| seen.json()["issue"].get("assignee").cloned()).collect();
    assert_eq!(shown[0], None);
    assert_eq!(shown[1], Some(Value::Null));
    assert_eq!(shown[2].as_ref().unwrap()["id"], 0);
    bench.sim.stop().await;
}
