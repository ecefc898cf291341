//! What bodies say: one fixture of each kind, every spelling of "unset", and everything that is no event.

use std::time::{Duration, Instant};

use coding_api::hook::{Event, Group, IssueMark, IterationMark, Legacy, ProjectMark, Reading, Sender, read};
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop, prop_oneof, proptest};
use serde_json::{Map, Value, json};

fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn event(body: &Value) -> Event {
    match read(&[], body.to_string().as_bytes()) {
        Reading::Event(event) => *event,
        other => panic!("{body} is {other:?}"),
    }
}

fn legacy(pairs: &[(&str, &str)], body: &[u8]) -> Legacy {
    match read(&headers(pairs), body) {
        Reading::Legacy(legacy) => *legacy,
        other => panic!("{other:?}"),
    }
}

fn unusable(pairs: &[(&str, &str)], body: &[u8]) -> &'static str {
    match read(&headers(pairs), body) {
        Reading::Unusable { why } => why,
        other => panic!("{other:?}"),
    }
}

fn user(id: i64) -> Value {
    json!({ "id": id, "login": "mia", "avatar_url": "/a.png", "url": "", "html_url": "", "name": "Mia" })
}

/// A body as the hook words it, around an entity.
fn around(code: &str, name: &str, entity: Value) -> Value {
    let mut body = json!({
        "event": code,
        "eventName": "事件",
        "sender": user(7),
        "project": { "id": 310, "name": "mobile-app", "display_name": "Mobile App" },
        "team": { "id": 1, "domain": "acme", "name": "Acme" },
        "hook": { "id": "h-1", "active": false, "events": [code] },
        "hook_id": "h-1",
    });
    body.as_object_mut().unwrap().insert(name.to_owned(), entity);
    body
}

fn issue() -> Value {
    json!({ "type": "DEFECT", "project_id": 310, "code": 71, "parent_code": 70, "title": "崩溃",
        "priority": 3, "iteration": { "code": 4, "title": "Sprint 4", "updated_at": 1_660_000_000_000_i64 },
        "assignee": null, "created_at": 1_663_154_015_000_i64, "updated_at": 1_663_753_857_000_i64 })
}

fn issue_mark() -> IssueMark {
    IssueMark {
        code: 71,
        parent_code: 70,
        iteration_code: Some(4),
        updated_ms: Some(1_663_753_857_000),
        r#type: Some("DEFECT".to_owned()),
        title: Some("崩溃".to_owned()),
    }
}

/// Each value takes up to a hundred times its text's room.
#[test]
fn a_body_of_more_values_than_any_event_is_not_made_into_values() {
    let of = |values: usize| format!("{{\"event\":\"PING\",\"x\":[{}0]}}", "{\"a\":1},".repeat(values));
    let why = "it has more values than any event: it is not read";
    assert_eq!(unusable(&[], of(975_000).as_bytes()), why);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(unusable(&form, format!("payload={}", of(100_000)).as_bytes()), why);
    assert!(matches!(read(&[], of(49_990).as_bytes()), Reading::Ping { .. }));
    // What stands in a text is no value, however it is quoted.
    let text = r#"{"event":"PING","x":"\\","y":"\"[{,"}"#.replace("[{,", &"[{,".repeat(100_000));
    assert!(matches!(read(&[], text.as_bytes()), Reading::Ping { .. }));
}

#[test]
fn an_issue_event_names_everything_that_is_needed_to_find_the_row() {
    let body = around("ISSUE_UPDATED", "issue", issue());
    let whole = body.as_object().unwrap().clone();
    let expected = Event {
        code: "ISSUE_UPDATED".to_owned(),
        name: Some("事件".to_owned()),
        hook_id: Some("h-1".to_owned()),
        project: Some(ProjectMark { id: Some(310), name: Some("mobile-app".to_owned()) }),
        team: Some("acme".to_owned()),
        sender: Some(Sender { id: Some(7), login: Some("mia".to_owned()), name: Some("Mia".to_owned()) }),
        issue: Some(issue_mark()),
        issues: Vec::new(),
        iteration: None,
        member: None,
        happened_ms: Some(1_663_753_857_000),
        entity: Some("issue 71".to_owned()),
        body: whole,
    };
    assert_eq!(event(&body), expected);
    assert_eq!(expected.group(), Group::Issue);
}

#[test]
fn a_comment_names_its_issue_and_has_its_own_time() {
    let comment = json!({ "html_url": "…#comment-4", "issue": issue(), "content": "<p>A</p>",
        "created_at": 1_665_304_451_630_i64, "updated_at": 1_665_304_451_630_i64 });
    let event = event(&around("ISSUE_COMMENT_CREATED", "issueComment", comment));
    assert_eq!(event.issue, Some(issue_mark()));
    assert_eq!(event.happened_ms, Some(1_665_304_451_630));
    assert_eq!(event.entity.as_deref(), Some("issue 71"));
}

#[test]
fn iterations_members_and_planned_issues_are_named() {
    let iteration = json!({ "code": 93, "title": "新建迭代", "start_at": -28_800_000,
        "created_at": 1_665_309_831_747_i64, "updated_at": 0 });
    let created = event(&around("ITERATION_CREATED", "iteration", iteration.clone()));
    let mark = IterationMark { code: 93, updated_ms: None, title: Some("新建迭代".to_owned()) };
    assert_eq!(created.iteration, Some(mark));
    assert_eq!(created.happened_ms, Some(1_665_309_831_747));
    assert_eq!((created.entity.as_deref(), created.group()), (Some("iteration 93"), Group::Iteration));

    let mut body = around("ITERATION_PLANNED", "iteration", iteration);
    body["issues"] = json!([issue(), 5, "6", { "code": "71" }, { "id": 9 }, null]);
    let planned = event(&body);
    let codes: Vec<i64> = planned.issues.iter().map(|issue| issue.code).collect();
    assert_eq!((codes, planned.issue), (vec![5, 6, 71], None));
    body["issue"] = issue();
    assert_eq!(event(&body).issue, Some(issue_mark()));
    body["issue"] = json!([{ "code": 12 }]);
    body["issues"] = Value::Null;
    let planned = event(&body);
    assert_eq!((planned.issue, planned.issues.len()), (None, 1));

    let member = event(&around("MEMBER_CREATED", "member", user(8613)));
    assert_eq!((member.member, member.entity.as_deref()), (Some(8613), Some("member 8613")));
    assert_eq!((member.happened_ms, member.group()), (None, Group::Member));
}

#[test]
fn tables_to_come_are_named_for_people() {
    let check = |code: &str, name: &str, entity: Value, group: Group, words: &str, time: Option<i64>| {
        let mut body = around(code, name, entity);
        body["repository"] = json!({ "id": 1, "name": "hello", "full_name": "acme/mobile-app/hello" });
        let event = event(&body);
        assert_eq!((event.group(), event.entity.as_deref(), event.happened_ms), (group, Some(words), time));
    };
    let request = json!({ "id": 6, "number": 12, "updated_at": 1_703_127_300_000_i64 });
    let time = Some(1_703_127_300_000);
    check("GIT_MR_MERGED", "mergeRequest", request, Group::MergeRequest, "merge request 12", time);
    let ci = json!({ "id": 4, "name": "job1", "updated_at": 5,
        "build": { "number": "7", "created_at": 1_571_377_790_000_i64 } });
    check("CI_JOB_FINISHED", "ci", ci, Group::Build, "build 7", Some(1_571_377_790_000));
    let plan = json!({ "id": 4, "name": "job1", "updated_at": 5 });
    check("CI_JOB_UPDATED", "ci", plan, Group::Build, "build plan job1", Some(5));
    let artifact = json!({ "artifactPkgName": "app", "artifactVersionName": "1.0" });
    check("ARTIFACTS_VERSION_CREATED", "artifact", artifact, Group::Artifact, "artifact app 1.0", None);
    let repository = json!({ "artifactRepoName": "releases" });
    check(
        "ARTIFACTS_REPO_DELETED",
        "artifact",
        repository,
        Group::Artifact,
        "artifact repository releases",
        None,
    );
    let page = json!({ "title": "Über\nuns", "parentName": "" });
    check("WIKI_UPDATED", "content", page, Group::Wiki, "page Über uns", None);
    check("FILE_CREATED", "content", json!({ "file": { "name": "a.txt" } }), Group::File, "file a.txt", None);
    check(
        "FILE_MOVED",
        "content",
        json!({ "files": [{ "name": "a.txt" }] }),
        Group::File,
        "file a.txt",
        None,
    );
    check("FILE_MOVED", "content", json!({ "files": [{}, {}] }), Group::File, "2 files", None);
}

#[test]
fn a_push_is_named_after_its_branch_and_has_the_time_of_its_newest_commit() {
    let mut body = around("GIT_PUSHED", "ref", json!("refs/heads/master"));
    body["after"] = json!("00");
    body["commits"] = json!([{ "timestamp": 3 }, { "timestamp": 9 }, {}]);
    let pushed = event(&body);
    assert_eq!(pushed.entity.as_deref(), Some("push refs/heads/master"));
    assert_eq!((pushed.happened_ms, pushed.group()), (Some(9), Group::Code));
    body["head_commit"] = json!({ "timestamp": 8 });
    assert_eq!(event(&body).happened_ms, Some(8));
    body["head_commit"] = Value::Null;
    body["commits"] = Value::Null;
    assert_eq!(event(&body).happened_ms, None);
}

#[test]
fn numbers_may_be_texts_or_floats_and_unset_has_many_spellings() {
    for code in [json!(71), json!("71"), json!(71.0), json!(" 71 "), json!("71.0")] {
        let mut body = around("ISSUE_UPDATED", "issue", issue());
        body["issue"]["code"] = code;
        assert_eq!(event(&body).issue, Some(issue_mark()));
    }
    for none in [json!(0), json!(-3), json!(""), json!("x"), json!(1.5), json!(1e300), Value::Null, json!({})]
    {
        let mut body = around("ISSUE_UPDATED", "issue", issue());
        body["issue"]["parent_code"] = none.clone();
        body["issue"]["iteration"] = none.clone();
        body["issue"]["updated_at"] = none.clone();
        body["issue"]["created_at"] = none.clone();
        body["sender"] = none.clone();
        body["project"] = none.clone();
        body["team"] = none.clone();
        let event_seen = event(&body);
        let issue = event_seen.issue.unwrap();
        assert_eq!((issue.parent_code, issue.iteration_code, issue.updated_ms), (0, None, None), "{none}");
        assert_eq!((event_seen.sender, event_seen.project, event_seen.team), (None, None, None), "{none}");
        assert_eq!(event_seen.happened_ms, None, "{none}");
        body["issue"]["code"] = none.clone();
        assert_eq!(event(&body).issue, None, "{none}");
    }
    let zeroed = json!({ "id": 0, "login": "", "name": "" });
    let mut body = around("MEMBER_DELETED", "member", zeroed.clone());
    body["sender"] = zeroed;
    let event = event(&body);
    assert_eq!((event.member, event.sender, event.entity), (None, None, None));
}

#[test]
fn the_body_wins_over_the_header() {
    let sent =
        headers(&[("X-Coding-Service-Hook-Event", "ISSUE_CREATED"), ("x-coding-service-hook-id", "h-2")]);
    let mut body = around("ISSUE_DELETED", "issue", issue());
    let Reading::Event(event) = read(&sent, body.to_string().as_bytes()) else { panic!("no event") };
    assert_eq!((event.code.as_str(), event.hook_id.as_deref()), ("ISSUE_DELETED", Some("h-1")));
    body["hook_id"] = Value::Null;
    body["hook"] = Value::Null;
    let Reading::Event(event) = read(&sent, body.to_string().as_bytes()) else { panic!("no event") };
    assert_eq!(event.hook_id.as_deref(), Some("h-2"));
}

#[test]
fn unknown_events_are_events() {
    let event = event(&json!({ "event": "SPACESHIP_LANDED", "extra": [1] }));
    assert_eq!((event.group(), event.entity), (Group::Other, None));
    assert_eq!(event.body["extra"], json!([1]));
}

#[test]
fn pings_come_in_several_shapes() {
    let ping = |pairs: &[(&str, &str)], body: &Value| match read(&headers(pairs), body.to_string().as_bytes())
    {
        Reading::Ping { hook_id } => hook_id,
        other => panic!("{other:?}"),
    };
    assert_eq!(ping(&[], &json!({ "event": "PING", "hook_id": "h-1" })).as_deref(), Some("h-1"));
    assert_eq!(ping(&[], &json!({ "zen": "Coding!", "hook_id": 12, "hook": {} })).as_deref(), Some("12"));
    assert_eq!(ping(&[], &json!({ "zen": "Coding!", "token": "t" })), None);
    let header = [("X-Coding-Service-Hook-Event", "PING"), ("X-Coding-Service-Hook-Id", "h-3")];
    assert_eq!(ping(&header, &json!({})).as_deref(), Some("h-3"));
    assert_eq!(ping(&[("X-Coding-Event", "ping")], &json!({})), None);
    // The header of a ping does not make an event a ping.
    let body = around("ISSUE_UPDATED", "issue", issue()).to_string();
    assert!(matches!(read(&headers(&header), body.as_bytes()), Reading::Event(_)));
}

#[test]
fn the_older_product_is_read_from_json_and_from_forms() {
    let body = json!({ "action": "opened", "sender": user(7), "token": "v1-secret",
        "task": { "id": 555, "code": 71, "project_id": 310, "title": "t" },
        "repository": { "id": 9, "name": "hello", "full_name": "acme/mobile-app/hello",
            "html_url": "https://acme.coding.net/p/mobile-app" } });
    let event = ("X-Coding-Event", "task");
    let as_json = legacy(&[event], body.to_string().as_bytes());
    assert_eq!(as_json.event.as_deref(), Some("task"));
    assert_eq!(as_json.action.as_deref(), Some("opened"));
    assert_eq!(as_json.project, Some(ProjectMark { id: Some(310), name: Some("mobile-app".to_owned()) }));
    assert_eq!((as_json.issue, as_json.entity.as_deref()), (Some(71), Some("issue 71")));
    assert_eq!(as_json.sender.as_ref().unwrap().id, Some(7));
    assert!(!as_json.body.contains_key("token"));

    let form: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("payload", &body.to_string())
        .finish();
    let kind = ("content-type", "application/x-www-form-urlencoded");
    assert_eq!(legacy(&[event, kind], form.as_bytes()), as_json);
    // Recognised without any header, too.
    assert_eq!(legacy(&[], body.to_string().as_bytes()).event, None);
    // The oldest product names the event inside the body.
    let mut oldest = body.clone();
    oldest["event"] = json!("task");
    assert_eq!(legacy(&[], oldest.to_string().as_bytes()).event.as_deref(), Some("task"));
}

#[test]
fn the_older_product_names_no_more_than_it_knows() {
    let issue = |task: Value| {
        let body = json!({ "task": task, "repository": { "id": 9, "full_name": "acme/mobile-app" } });
        let legacy = legacy(&[("X-Coding-Event", "task")], body.to_string().as_bytes());
        assert_eq!(legacy.project, Some(ProjectMark { id: None, name: Some("mobile-app".to_owned()) }));
        legacy.issue
    };
    assert_eq!(issue(json!({ "id": 555 })), None);
    assert_eq!(issue(json!(555)), None);
    assert_eq!(
        issue(json!({ "html_url": "https://acme.coding.net/p/a/bug-tracking/issues/71/detail" })),
        Some(71)
    );
    assert_eq!(issue(json!({ "html_url": "https://acme.coding.net/p/a/issues/x" })), None);
    let bare = legacy(&[("X-Coding-Event", "merge request")], br#"{"mergeRequest":{"number":3}}"#);
    assert_eq!((bare.project, bare.entity.as_deref()), (None, Some("merge request 3")));
}

#[test]
fn what_is_no_event_says_why() {
    let hook = ("X-Coding-Service-Hook-Event", "ISSUE_UPDATED");
    assert!(unusable(&[hook], br#"{"text":"issue 71 changed"}"#).contains("template"));
    assert!(unusable(&[hook], b"issue 71 changed").contains("template"));
    assert!(unusable(&[hook], br#"{"msgtype":"markdown","markdown":{}}"#).contains("chat message"));
    assert!(unusable(&[], br#"{"a":1}"#).contains("no header"));
    assert!(unusable(&[], br#"{"event":"so it is"}"#).contains("not an event code"));
    assert!(
        unusable(&[], format!(r#"{{"event":"{}"}}"#, "A".repeat(65)).as_bytes()).contains("not an event")
    );
    for empty in [&b""[..], b" \n"] {
        assert_eq!(unusable(&[hook], empty), "it is empty");
    }
    for other in [&b"[]"[..], b"null", b"1", b"\"x\""] {
        assert_eq!(unusable(&[], other), "it is JSON, but not an object");
    }
    assert_eq!(unusable(&[], br#"{"event":"ISSUE_UPDATED","#), "it is cut off");
    assert!(unusable(&[], b"<html>").contains("not JSON"));
    assert!(unusable(&[("Content-Type", "application/x-www-form-urlencoded")], b"a=1").contains("not JSON"));
}

#[test]
fn characters_that_cannot_be_read_cost_only_themselves() {
    let body = b"\xef\xbb\xbf{\"event\":\"ISSUE_UPDATED\",\"eventName\":\"a\\ud83d\\u0000\xff\",\"issue\":{\"code\":7}}";
    let Reading::Event(event) = read(&[], body) else { panic!("no event") };
    assert_eq!(event.name.as_deref(), Some("a\u{fffd}\u{fffd}\u{fffd}"));
    assert_eq!(event.issue.unwrap().code, 7);
}

#[test]
fn deep_nesting_is_refused_without_recursion() {
    // Whoever keeps a body inside something else reads it back with a parser that ends at 128 levels.
    let nested =
        |levels: usize| format!("{{\"event\":\"X\",\"deep\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    assert!(matches!(read(&[], nested(60).as_bytes()), Reading::Event(_)));
    for levels in [70, 125, 126, 127, 200] {
        assert_eq!(unusable(&[], nested(levels).as_bytes()), "it is nested too deeply", "{levels}");
    }
    const DEPTH: usize = 100_000;
    let (opening, closing) = ("[".repeat(DEPTH), "]".repeat(DEPTH));
    let in_object = format!(r#"{{"event":"ISSUE_UPDATED","x":{opening}{closing}}}"#);
    assert_eq!(unusable(&[], in_object.as_bytes()), "it is nested too deeply");
    let open = format!(r#"{{"x":{opening}"#);
    assert_eq!(unusable(&[], open.as_bytes()), "it is nested too deeply");
    let objects = r#"{"x":"#.repeat(DEPTH);
    assert_eq!(unusable(&[], objects.as_bytes()), "it is nested too deeply");
    assert_eq!(unusable(&[], opening.as_bytes()), "it is JSON, but not an object");
}

/// The shortest of three readings: what else the machine does is no fault of the reader.
fn shortest(pairs: &[(&str, &str)], body: &[u8]) -> Duration {
    let headers = headers(pairs);
    let read_once = || {
        let begun = Instant::now();
        let _reading = read(&headers, body);
        begun.elapsed()
    };
    (0..3).map(|_| read_once()).min().unwrap()
}

#[test]
fn large_garbage_takes_time_in_proportion_to_its_size() {
    const LARGE: usize = 20 * 1024 * 1024;
    const SMALL: usize = LARGE / 16;
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let kinds: [(&[(&str, &str)], &str); 7] = [
        (&[], "\u{fffd}"),
        (&[], "\\"),
        (&[], "\\ud83d"),
        (&[], "[{"),
        (&[], "\"a\":"),
        (&form, "%7B&payload"),
        (&form, "payload=&"),
    ];
    for (headers, unit) in kinds {
        let body = |size: usize| format!("{{\"event\":\"{}", unit.repeat(size / unit.len())).into_bytes();
        let (small, large) = (shortest(headers, &body(SMALL)), shortest(headers, &body(LARGE)));
        // Sixteen times the size; a quadratic reader would take 256 times as long.
        let limit = small * 64 + Duration::from_millis(200);
        assert!(large <= limit, "{unit}: {large:?} for what took {small:?} at a sixteenth of the size");
    }
}

/// Names that the readers look for, so that arbitrary bodies reach them.
const NAMES: [&str; 30] = [
    "event",
    "eventName",
    "hook_id",
    "hook",
    "id",
    "project",
    "name",
    "team",
    "domain",
    "sender",
    "login",
    "issue",
    "issues",
    "issueComment",
    "iteration",
    "code",
    "parent_code",
    "updated_at",
    "member",
    "mergeRequest",
    "ci",
    "build",
    "number",
    "artifact",
    "content",
    "file",
    "files",
    "repository",
    "task",
    "html_url",
];

fn any_json() -> BoxedStrategy<Value> {
    let number = prop_oneof![any::<i64>().prop_map(Value::from), any::<f64>().prop_map(Value::from)];
    let text = prop_oneof![
        "\\PC{0,12}",
        Just("ISSUE_UPDATED".to_owned()),
        Just("https://a/p/b/issues/7".to_owned()),
        any::<i64>().prop_map(|number| number.to_string())
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number,
        text.prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 48, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            any_object(inner).prop_map(Value::from)
        ]
    })
    .boxed()
}

fn any_object(inner: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Map<String, Value>> {
    let name = prop_oneof![4 => prop::sample::select(&NAMES[..]).prop_map(str::to_owned), 1 => "\\PC{0,6}"];
    prop::collection::btree_map(name, inner, 0..8).prop_map(|fields| fields.into_iter().collect())
}

fn any_headers() -> impl Strategy<Value = Vec<(String, String)>> {
    let names = vec![
        "X-Coding-Event",
        "x-coding-service-hook-event",
        "X-Coding-Service-Hook-Id",
        "Content-Type",
        "content-type",
    ];
    let values =
        vec!["ping", "task", "ISSUE_UPDATED", "application/x-www-form-urlencoded", "application/json"];
    let value = prop_oneof![prop::sample::select(values).prop_map(str::to_owned), "\\PC{0,12}"];
    prop::collection::vec((prop::sample::select(names).prop_map(str::to_owned), value), 0..4)
}

proptest! {
    #[test]
    fn any_bytes_are_read(headers in any_headers(), body in any::<Vec<u8>>()) {
        let _reading = read(&headers, &body);
    }

    #[test]
    fn any_json_is_read_and_always_alike(headers in any_headers(), body in any_json()) {
        let body = body.to_string();
        assert_eq!(read(&headers, body.as_bytes()), read(&headers, body.as_bytes()));
    }

    #[test]
    fn an_event_keeps_its_body_and_shows_one_line(fields in any_object(any_json())) {
        let mut body = fields;
        body.insert("event".to_owned(), "ISSUE_UPDATED".into());
        // As it comes back from a text: numbers without a spelling in JSON have become null.
        let text = Value::Object(body).to_string();
        let Reading::Event(event) = read(&[], text.as_bytes()) else { panic!("no event: {text}") };
        assert_eq!(event.body, serde_json::from_str::<Map<String, Value>>(&text).unwrap());
        let entity = event.entity.unwrap_or_default();
        assert!(entity.chars().count() < 400 && !entity.contains(char::is_control), "{entity:?}");
        assert!(event.issue.iter().chain(&event.issues).all(|issue| issue.code > 0));
    }
}
