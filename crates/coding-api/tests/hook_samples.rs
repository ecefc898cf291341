//! Documented and captured deliveries are read. They lie in the reference folder beside the checkout; without it
//! the tests say that they are skipped.

use std::path::PathBuf;

use coding_api::hook::{EVENTS, Group, ProjectMark, Reading, read};
use serde_json::Value;

fn samples() -> Option<Vec<(String, Vec<u8>)>> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/coding/samples"));
    let Ok(files) = std::fs::read_dir(folder) else {
        eprintln!("skipped: the reference folder beside the checkout is missing");
        return None;
    };
    let read = files.map(|file| {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        (name.trim_end_matches(".json").to_owned(), std::fs::read(file.path()).unwrap())
    });
    Some(read.collect())
}

#[test]
fn every_sample_event_is_read() {
    let Some(samples) = samples() else { return };
    let mut seen = 0;
    for (name, body) in samples {
        let Some((code, group)) = EVENTS.iter().find(|(code, _)| *code == name) else { continue };
        seen += 1;
        let hook = "17fb4cb3-c679-4fb1-829c-1f02ffe2a815";
        let event = match read(&[], &body) {
            Reading::Event(event) => event,
            Reading::Ping { hook_id } => {
                assert_eq!((name.as_str(), hook_id.as_deref()), ("PING", Some(hook)));
                continue;
            }
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!((event.code.as_str(), event.group()), (*code, *group));
        assert!(event.name.is_some(), "{name}");
        assert_eq!(event.hook_id.as_deref(), Some(hook), "{name}");
        let project = ProjectMark { id: Some(11_021_181), name: Some("testissue".to_owned()) };
        assert_eq!(event.project, Some(project), "{name}");
        assert_eq!(event.team.as_deref(), Some("demoteam"), "{name}");
        let sender = event.sender.as_ref().unwrap();
        assert_eq!((sender.id, sender.login.as_deref()), (Some(1_000_010), Some("demoGlobalKey")), "{name}");
        let mut whole: Value = serde_json::from_slice(&body).unwrap();
        let config = whole["hook"].as_object_mut().unwrap().remove("config");
        assert!(config.is_some(), "{name}: the receiver's URL is in it");
        assert_eq!(Value::Object(event.body.clone()), whole, "{name}");
        let entity = event.entity.as_deref().unwrap_or_else(|| panic!("{name} names nothing"));
        match group {
            Group::Issue => {
                let issue = event.issue.as_ref().unwrap();
                let parent = if name == "ISSUE_RELATIONSHIP_CHANGED" { 12 } else { 0 };
                assert_eq!((issue.code, issue.parent_code, entity), (71, parent, "issue 71"), "{name}");
                let iteration = if name == "ISSUE_ITERATION_CHANGED" { 93 } else { 1 };
                assert_eq!(issue.iteration_code, Some(iteration), "{name}");
                assert_eq!(issue.r#type.as_deref(), Some("REQUIREMENT"), "{name}");
                let comment = event.body.get("issueComment");
                let thing = comment.map_or_else(|| &event.body["issue"], |comment| &comment["issue"]);
                assert_eq!(issue.updated_ms, thing["updated_at"].as_i64(), "{name}");
                let happened = comment.unwrap_or(thing)["updated_at"].as_i64();
                assert!(happened.is_some() && event.happened_ms == happened, "{name}");
            }
            Group::Iteration => {
                assert_eq!((event.iteration.as_ref().unwrap().code, entity), (93, "iteration 93"), "{name}");
                assert!(event.happened_ms.is_some(), "{name}");
            }
            Group::Member => {
                assert_eq!((event.member, entity), (Some(1_000_011), "member 1000011"), "{name}");
            }
            Group::Code => assert_eq!(entity, "push refs/heads/master"),
            Group::MergeRequest => assert_eq!(entity, "merge request 13", "{name}"),
            Group::Build => {
                let has_build = event.body["ci"].get("build").is_some();
                assert_eq!(entity, if has_build { "build 7" } else { "build plan job1" }, "{name}");
            }
            _ => {}
        }
    }
    assert!(seen >= 30, "only {seen} events were read");
}

#[test]
fn every_sample_of_the_older_product_is_read() {
    let Some(samples) = samples() else { return };
    let expected = [
        ("legacy-push", None, "demo", None, "push refs/heads/master"),
        ("legacy-ci", Some("trigger_build"), "ci-demo", Some(185_439), "build 7"),
        ("legacy-artifact", Some("update"), "xxx", Some(872_359), "artifact testPkg 1.0.0"),
    ];
    for (name, action, project, id, entity) in expected {
        let (_, body) = samples.iter().find(|(sample, _)| sample == name).unwrap();
        let Reading::Legacy(legacy) = read(&[], body) else { panic!("{name}") };
        assert_eq!((legacy.event, legacy.action.as_deref()), (None, action), "{name}");
        let mark = legacy.project.unwrap();
        assert_eq!((mark.name.as_deref(), mark.id), (Some(project), id), "{name}");
        assert_eq!((legacy.entity.as_deref(), legacy.issue), (Some(entity), None), "{name}");
        assert!(legacy.sender.is_some(), "{name}");
    }
}
