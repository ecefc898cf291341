//! What deliveries mean. Bodies are made from the facts; the vendor's own are read where they are at hand.

use bytes::Bytes;
use engine::inbox::{Delivery, DeliveryNumber, Entry, Standing, Turn};
use engine::row::{ProjectId, Row, RowId, RowKey};
use engine::source::{Heard, Hint, Meaning};
use jiff::Timestamp;
use proptest::prelude::{any, proptest};
use proptest::strategy::Strategy;
use serde_json::{Map, Value, json};

use super::super::hear::{hear, touched};
use super::cases;
use crate::coding::tables::{EVENTS, ISSUES, ITERATIONS, PROJECT_MEMBERS, TABLES};

fn delivery(headers: &[(&str, &str)], body: &[u8]) -> Delivery {
    let entry = Entry {
        number: DeliveryNumber(1_700_000_000_000_007),
        turn: Turn(1),
        delivery_id: Some("d-1".to_owned()),
        received: Timestamp::from_millisecond(1_700_000_000_000).unwrap(),
        last_received: Timestamp::from_millisecond(1_700_000_000_000).unwrap(),
        summary: None,
        standing: Standing::Waiting { problem: None },
        settled: None,
        delivered: None,
        replays: 0,
        repeats: 0,
        starts: 0,
        size: u64::try_from(body.len()).unwrap(),
        room: 0,
    };
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Delivery { entry, headers, body: Bytes::copy_from_slice(body) }
}

fn heard(body: &Value) -> Heard {
    let headers = [("x-coding-service-hook-event", "WHATEVER"), ("content-type", "application/json")];
    hear(&delivery(&headers, body.to_string().as_bytes()))
}

/// An event as the Service Hook words it.
fn event(code: &str, more: Value) -> Value {
    let mut body = json!({
        "event": code, "eventName": "事件",
        "sender": { "id": 7, "login": "li", "name": "Li Lei" },
        "project": { "id": 11, "name": "demo", "display_name": "Demo" },
        "team": { "id": 3, "domain": "acme" },
        "hook": { "id": "h", "active": false }, "hook_id": "h",
    });
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

fn issue() -> Value {
    json!({ "code": 71, "parent_code": 70, "title": "t", "updated_at": 1_663_753_857_000_i64, "type": "SUB_TASK",
            "iteration": { "code": 93, "title": "i", "updated_at": 5 } })
}

/// Hints as `71`, `70 beside`, `93! gone`: issues bare, iterations with `!`, members with `@`.
fn hints(heard: &Heard) -> Vec<String> {
    let Meaning::Hints(hints) = &heard.meaning else { return Vec::new() };
    hints.iter().map(word).collect()
}

fn word(hint: &Hint) -> String {
    let sign = match hint.table {
        ISSUES => "",
        ITERATIONS => "!",
        PROJECT_MEMBERS => "@",
        _ => "?",
    };
    let gone = if hint.gone { " gone" } else { "" };
    let beside = if hint.beside { " beside" } else { "" };
    format!("{}{sign}{gone}{beside}", hint.id.0)
}

#[test]
fn an_issue_event_hints_at_the_issue_and_at_what_it_moves() {
    let check = |code: &str, expected: &[&str]| {
        let heard = heard(&event(code, json!({ "issue": issue() })));
        assert_eq!(hints(&heard), expected, "{code}");
        assert_eq!(heard.summary.event, code);
        assert_eq!(heard.summary.entity.as_deref(), Some("issue 71"));
        assert_eq!(heard.summary.sender.as_deref(), Some("Li Lei"));
        assert_eq!((heard.project.id, heard.project.name.as_deref()), (Some(ProjectId(11)), Some("demo")));
    };
    let moving = ["71", "70 beside", "93! beside"];
    check("ISSUE_CREATED", &moving);
    check("ISSUE_DELETED", &["71 gone", "70 beside", "93! beside"]);
    check("ISSUE_STATUS_UPDATED", &moving);
    check("ISSUE_ITERATION_CHANGED", &moving);
    check("ISSUE_RELATIONSHIP_CHANGED", &moving);
    check("ISSUE_HOUR_RECORD_UPDATED", &moving);
    check("ISSUE_UPDATED", &["71"]);
    check("ISSUE_ASSIGNEE_CHANGED", &["71"]);
    check("ISSUE_SOMETHING_NEW", &["71"]);
}

#[test]
fn a_hint_carries_the_time_that_the_delivery_has() {
    let times = |heard: &Heard| match &heard.meaning {
        Meaning::Hints(hints) => hints.iter().map(|hint| hint.updated_ms).collect(),
        _ => Vec::new(),
    };
    let moved = heard(&event("ISSUE_CREATED", json!({ "issue": issue() })));
    assert_eq!(times(&moved), [1_663_753_857_000, 0, 0], "what is merely touched has none");
    let bare = heard(&event("ISSUE_UPDATED", json!({ "issue": { "code": "71" } })));
    assert_eq!((hints(&bare), times(&bare)), (vec!["71".to_owned()], vec![0]));
}

#[test]
fn comments_iterations_and_members_hint_at_their_rows() {
    let check = |code: &str, more: Value, expected: &[&str]| {
        assert_eq!(hints(&heard(&event(code, more))), expected, "{code}");
    };
    check(
        "ISSUE_COMMENT_CREATED",
        json!({ "issueComment": { "issue": issue(), "content": "<p>a</p>" } }),
        &["71"],
    );
    let iteration = json!({ "code": 93, "updated_at": 5 });
    check("ITERATION_CREATED", json!({ "iteration": iteration }), &["93!"]);
    check("ITERATION_UPDATED", json!({ "iteration": iteration }), &["93!"]);
    check("ITERATION_DELETED", json!({ "iteration": iteration }), &["93! gone"]);
    check("ITERATION_PLANNED", json!({ "iteration": iteration }), &["93!"]);
    check("ITERATION_PLANNED", json!({ "issue": issue() }), &["71", "93! beside"]);
    let planned = json!({ "iteration": iteration, "issues": [{ "code": 1 }, { "code": 2 }] });
    check("ITERATION_PLANNED", planned, &["93!", "1", "2"]);
    check("MEMBER_CREATED", json!({ "member": { "id": 8 } }), &["8@"]);
    check("MEMBER_ROLE_UPDATED", json!({ "member": { "id": 8 } }), &["8@"]);
    check("MEMBER_DELETED", json!({ "member": { "id": 8 } }), &["8@ gone"]);
}

#[test]
fn what_no_table_is_made_of_says_so_and_still_has_its_row() {
    let check = |code: &str, more: Value, reason: &str, kind: Value, id: Value| {
        let heard = heard(&event(code, more));
        assert_eq!(heard.meaning, Meaning::Nothing { reason: reason.to_owned() }, "{code}");
        let row = heard.row.unwrap();
        assert_eq!((&row.fields()["EntityType"], &row.fields()["EntityId"]), (&kind, &id), "{code}");
        assert_eq!(row.fields()["Event"], code);
    };
    let push = json!({ "ref": "refs/heads/master", "before": "0", "after": "1" });
    check("GIT_PUSHED", push, "no table is made of pushes yet", json!("push"), json!(null));
    let request = json!({ "mergeRequest": { "number": 12 } });
    check(
        "GIT_MR_MERGED",
        request,
        "no table is made of merge requests yet",
        json!("merge_request"),
        json!(12),
    );
    let ci = json!({ "ci": { "id": 5, "build": { "number": 7 } } });
    check("CI_JOB_FINISHED", ci, "no table is made of builds yet", json!("build"), json!(7));
    let plan = json!({ "ci": { "id": 5 } });
    check("CI_JOB_CREATED", plan, "no table is made of builds yet", json!("build_plan"), json!(5));
    let nothing = "no table is made of what this event is about yet";
    check("RISK_CREATED", json!({}), nothing, json!(null), json!(null));
    check("ISSUE_UPDATED", json!({}), "it does not say which row it is about", json!("issue"), json!(null));
}

#[test]
fn a_delivery_makes_one_row_the_same_at_every_reading() {
    let mut body = event("ISSUE_UPDATED", json!({ "issue": issue() }));
    body["hook"]["config"] = json!({ "url": "https://hooks.example.com/hooks/a-token" });
    let row = heard(&body).row.unwrap();
    assert!(!format!("{row:?}").contains("a-token"), "what opens the door is nobody else's business");
    body.as_object_mut().unwrap().remove("hook");
    assert_eq!(
        Value::Object(row.fields().clone()),
        json!({
            "Id": 1_700_000_000_000_007_i64, "DeliveryId": "d-1", "Event": "ISSUE_UPDATED", "EventName": "事件",
            "Entity": "issue 71", "EntityType": "issue", "EntityId": 71, "SenderId": 7, "Sender": "li",
            "EventAt": 1_663_753_857_000_i64, "ReceivedAt": 1_700_000_000_000_i64, "Payload": body,
        })
    );
    assert_eq!(heard(&body).row.unwrap(), row);
    let table = TABLES.iter().find(|table| table.id == EVENTS).unwrap();
    let declared = |name: &String| name == table.key_field || table.fields.iter().any(|f| f.name == name);
    assert!(row.fields().keys().all(declared));
    assert_eq!(row.fields().len(), table.fields.len() + 1);
}

#[test]
fn pings_templates_and_chat_messages_make_no_row() {
    let ping = heard(&event("PING", json!({ "zen": "…" })));
    assert_eq!((ping.meaning, ping.row), (Meaning::Ping, None));
    let check = |headers: &[(&str, &str)], body: &[u8], event: &str, why: &str| {
        let heard = hear(&delivery(headers, body));
        let Meaning::Nothing { reason } = &heard.meaning else { panic!("{heard:?}") };
        assert!(reason.contains(why), "{reason}");
        assert_eq!((heard.summary.event.as_str(), heard.row), (event, None));
    };
    let headers = [("X-Coding-Service-Hook-Event", "ISSUE_CREATED")];
    check(&headers, b"issue 71 was created", "ISSUE_CREATED", "template");
    check(&headers, br#"{"text": "issue 71"}"#, "ISSUE_CREATED", "template");
    check(&[], br#"{"msgtype": "markdown", "markdown": {}}"#, "", "chat message");
    check(&[], b"", "", "empty");
    check(&[], "[".repeat(100_000).as_bytes(), "", "not an object");
    check(&[], (r#"{"a":"#.repeat(100_000)).as_bytes(), "", "too deeply");
}

#[test]
fn the_older_product_hints_only_where_issue_and_project_can_be_read() {
    let headers = [("x-coding-event", "task"), ("x-coding-webhook-version", "v2")];
    let repository = json!({ "full_name": "acme/demo/demo", "html_url": "https://acme.coding.net/p/demo" });
    let check = |body: Value, expected: &[&str]| {
        let heard = hear(&delivery(&headers, body.to_string().as_bytes()));
        assert_eq!(hints(&heard), expected, "{body}");
        assert!(heard.row.is_some());
    };
    let task = json!({ "id": 9, "html_url": "https://acme.coding.net/p/demo/missions/issues/71/detail" });
    let of = |action: &str, task: &Value| json!({ "action": action, "task": task, "repository": repository });
    check(of("edited", &task), &["71"]);
    check(of("deleted", &task), &["71 gone"]);
    check(of("edited", &json!({ "id": 9 })), &[]);
    check(json!({ "action": "edited", "task": task, "repository": {} }), &[]);
    // What v1 puts beside everything else is a secret.
    let v1 =
        json!({ "token": "s3cret", "event": "push", "ref": "refs/heads/master", "repository": repository });
    let heard = hear(&delivery(&[("x-coding-event", "push")], v1.to_string().as_bytes()));
    assert!(!format!("{heard:?}").contains("s3cret"));
}

#[test]
fn an_issue_touches_its_parent_and_its_iteration() {
    let key = |table, id| RowKey { table, project: ProjectId(1), id: RowId(id) };
    let check = |row: Value, expected: &[RowKey]| {
        let row: Row = serde_json::from_value(row).unwrap();
        assert_eq!(touched(key(ISSUES, 71), None, Some(&row)), expected, "it came");
        assert_eq!(touched(key(ISSUES, 71), Some(&row), None), expected, "it went");
        assert_eq!(touched(key(ISSUES, 71), Some(&row), Some(&row)), [], "it stayed");
    };
    check(json!({ "ParentCode": 70, "Iteration": { "Code": 93 } }), &[key(ISSUES, 70), key(ITERATIONS, 93)]);
    check(json!({ "Parent": { "Code": 70 }, "Iteration": { "Code": 0 } }), &[key(ISSUES, 70)]);
    check(json!({ "ParentCode": 0, "Parent": { "Code": 0 } }), &[]);
    let iteration: Row = serde_json::from_value(json!({ "Code": 93, "Iteration": { "Code": 1 } })).unwrap();
    assert_eq!(touched(key(ITERATIONS, 93), None, Some(&iteration)), []);
    let issue = |iteration: i64, points: &str| -> Row {
        let row = json!({ "ParentCode": 70, "Iteration": { "Code": iteration }, "StoryPoint": points });
        serde_json::from_value(row).unwrap()
    };
    let moved = touched(key(ISSUES, 71), Some(&issue(93, "1")), Some(&issue(94, "1")));
    assert_eq!(moved, [key(ITERATIONS, 93), key(ITERATIONS, 94)]);
    let pointed = touched(key(ISSUES, 71), Some(&issue(93, "1")), Some(&issue(93, "2")));
    assert_eq!(pointed, [key(ITERATIONS, 93)], "its sums are others now");
}

#[test]
fn the_vendors_own_events_are_heard() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/coding/samples");
    let Ok(samples) = std::fs::read_dir(folder) else {
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"skipped: there are no samples\n");
        return;
    };
    let mut heard_of = 0;
    for sample in samples {
        let path = sample.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let is_event = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        if !is_event || path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        heard_of += 1;
        let heard = hear(&delivery(&[], &std::fs::read(&path).unwrap()));
        assert_eq!(heard.summary.event, name);
        match name.split('_').next().unwrap() {
            "PING" => assert_eq!(heard.meaning, Meaning::Ping),
            "ISSUE" | "ITERATION" | "MEMBER" => {
                let hints = hints(&heard);
                assert!(!hints.is_empty() && !hints[0].contains("beside"), "{name}: {:?}", heard.meaning);
                assert_eq!(hints[0].contains("gone"), name.ends_with("_DELETED"), "{name}");
            }
            _ => assert!(matches!(heard.meaning, Meaning::Nothing { .. }), "{name}"),
        }
        assert_eq!(heard.row.is_some(), name != "PING", "{name}");
    }
    assert!(heard_of > 20, "{heard_of} samples");
}

/// Any JSON, shallow, with the keys that events have.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = proptest::prop_oneof![
        proptest::strategy::Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    let key = proptest::sample::select(vec![
        "event",
        "issue",
        "issues",
        "issueComment",
        "iteration",
        "member",
        "project",
        "sender",
        "code",
        "id",
        "parent_code",
        "updated_at",
        "hook",
        "repository",
        "task",
        "mergeRequest",
        "ci",
        "build",
        "content",
        "name",
        "zen",
        "action",
        "token",
    ]);
    leaf.prop_recursive(4, 64, 8, move |inner| {
        proptest::prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(key.clone(), inner, 0..6).prop_map(|fields| {
                Value::Object(Map::from_iter(fields.into_iter().map(|(key, value)| (key.to_owned(), value))))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn any_bytes_are_heard_alike_every_time(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let delivery = delivery(&[("x-coding-event", "task")], &body);
        let (one, other) = (hear(&delivery), hear(&delivery));
        assert_eq!((one.meaning, one.row), (other.meaning, other.row));
    }

    #[test]
    fn any_json_is_heard_alike_every_time(
        code in "(ISSUE|ITERATION|MEMBER|GIT|CI|FILE|X)_[A-Z]{1,8}",
        mut body in anything(),
    ) {
        if let Some(fields) = body.as_object_mut() {
            fields.insert("event".to_owned(), code.into());
        }
        let (one, other) = (heard(&body), heard(&body));
        assert_eq!((&one.meaning, &one.row), (&other.meaning, &other.row));
        if let Meaning::Hints(hints) = one.meaning {
            let mut keys: Vec<_> = hints.iter().map(|hint| (hint.table, hint.id)).collect();
            let all = keys.len();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), all, "a row is hinted at once");
            assert!(hints.iter().all(|hint| hint.id.0 > 0));
        }
    }
}
