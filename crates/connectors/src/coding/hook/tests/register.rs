//! The hook at CODING, simulated: made once, found again, mended, removed, its failed deliveries fetched.

use std::net::SocketAddr;

use coding_api::{BaseUrl, Budgets, ServiceHook};
use coding_sim::{
    FaultKind, IssueFields, Operation, ProjectConfig, ProjectToken, Sim, SimConfig, TokenConfig, all_scopes,
};
use engine::clock::{Clock, Moment};
use engine::row::ProjectId;
use engine::source::{Meaning, Project, SourceErrorKind};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::check::HookMemory;
use super::super::hear::hear;
use super::super::offer::wanted;
use super::super::register::{HookPlan, How, Registered, differences, is_refused, own, shows_secrets};
use crate::check::{CheckItem, Outcome};
use crate::coding::config::{
    AuthConfig, CodingSettings, Details, Incremental, ProjectTokenConfig, Projects, Register, WebhookSettings,
};
use crate::coding::source::CodingSource;
use crate::coding::tables::{EVENTS, ISSUES, ITERATIONS, PROJECT_MEMBERS, TABLES};

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9/hooks/0123456789abcdef0123456789abcdef";

struct Stage {
    sim: Sim,
    source: CodingSource,
    project: Project,
}

impl Stage {
    async fn new() -> Stage {
        Stage::with(SimConfig::default(), None).await
    }

    async fn with(config: SimConfig, auth: Option<AuthConfig>) -> Stage {
        let projects = vec![ProjectConfig::new("demo", 20, 3, 4)];
        let auth = auth.unwrap_or_else(|| AuthConfig::Token(SecretString::from(config.token.clone())));
        let sim = Sim::start(SimConfig { projects, rate_limit: 0, ..config }).await.unwrap();
        let webhook = WebhookSettings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            public_url: "http://127.0.0.1:9".parse().unwrap(),
            token: None,
            secret: None,
            basic: None,
            allow_from: Vec::new(),
            register: Register::Auto,
            keep: std::time::Duration::from_hours(24),
            max_bytes: 1 << 30,
            give_up_after: std::time::Duration::from_mins(1),
        };
        let settings = CodingSettings {
            base_url: BaseUrl::parse(&sim.url(), false).unwrap(),
            team: "demo".to_owned(),
            projects: Projects::Named(vec!["demo".to_owned()]),
            auth,
            incremental: Incremental::Hybrid,
            webhook: Some(webhook),
            poll_interval: std::time::Duration::from_secs(1),
            census_interval: std::time::Duration::from_secs(1),
            look_back: std::time::Duration::from_secs(1),
            details: Details::Off,
            rate_limit: None,
            allow_insecure: false,
            ca_file: None,
            proxy: None,
        };
        let source = CodingSource::open(settings, &Budgets::new(), None, Clock::after(Moment(0))).unwrap();
        let id =
            sim.world().truth(coding_sim::Table::ProjectMembers, "demo", coding_sim::Shape::Full).unwrap();
        let project =
            Project { id: ProjectId(id[0]["ProjectId"].as_i64().unwrap()), name: "demo".to_owned() };
        Stage { sim, source, project }
    }

    async fn plan(&self, url: &str) -> HookPlan {
        let tables: Vec<_> = TABLES.iter().filter(|table| !table.from_inbox).collect();
        HookPlan {
            name: "tributary".to_owned(),
            url: SecretString::from(url),
            secret: Some(SecretString::from("0123456789abcdef")),
            basic: None,
            events: self.source.wanted_events(&tables).await.unwrap().events,
        }
    }

    async fn register(&self, plan: &HookPlan, known: Option<&str>) -> Registered {
        self.source.register(&self.project, plan, known).await.unwrap()
    }

    fn hooks(&self) -> Vec<coding_sim::HookInfo> {
        self.sim.world().hooks()
    }

    fn count(&self, action: &str) -> u64 {
        self.sim.world().counters().of(action)
    }

    /// An issue gets another title; whoever listens hears of it.
    async fn edit(&self, code: u32) {
        let fields = IssueFields { name: Some(format!("edited {code}")), ..IssueFields::default() };
        let edit =
            Operation::SetIssue { project: "demo".to_owned(), code, fields: Box::new(fields), touch: true };
        self.sim.world().apply(&[edit]).unwrap();
        self.sim.world().hooks_settled().await;
    }
}

fn repaired(registered: &Registered) -> Vec<&str> {
    match &registered.how {
        How::Repaired { what } => what.iter().map(String::as_str).collect(),
        how => panic!("{how:?}"),
    }
}

#[test]
fn the_chosen_tables_say_which_events_are_needed() {
    let offered: Vec<String> =
        ["ISSUE_CREATED", "ISSUE_UPDATED", "ITERATION_UPDATED", "MEMBER_DELETED", "GIT_PUSHED"]
            .map(str::to_owned)
            .to_vec();
    let check = |tables: &[_], expected: &[&str]| assert_eq!(wanted(tables, &offered).events, expected);
    check(&[ISSUES], &["ISSUE_CREATED", "ISSUE_UPDATED"]);
    check(&[ITERATIONS], &["ISSUE_CREATED", "ITERATION_UPDATED"]);
    check(&[PROJECT_MEMBERS], &["MEMBER_DELETED"]);
    check(
        &[EVENTS],
        &["GIT_PUSHED", "ISSUE_CREATED", "ISSUE_UPDATED", "ITERATION_UPDATED", "MEMBER_DELETED"],
    );
    let missed = wanted(&[PROJECT_MEMBERS, EVENTS], &offered).not_offered;
    assert_eq!(missed, ["MEMBER_CREATED", "MEMBER_ROLE_UPDATED"]);
    // Where nothing is said, everything known is tried.
    let silent = wanted(&[ISSUES], &[]);
    assert!(silent.events.contains(&"ITERATION_PLANNED".to_owned()) && silent.not_offered.is_empty());
    assert!(!wanted(&[EVENTS], &[]).events.contains(&"PING".to_owned()));
}

#[tokio::test]
async fn a_hook_is_made_once_and_found_again() {
    let stage = Stage::new().await;
    let plan = stage.plan(NOWHERE).await;
    let made = stage.register(&plan, None).await;
    assert_eq!((&made.how, made.left_out.len()), (&How::Created, 0));
    let before = stage.count("ModifyServiceHook");
    for known in [Some(made.id.as_str()), None, Some("00000000-0000-0000-0000-000000000000")] {
        let again = stage.register(&plan, known).await;
        assert_eq!((again.id.as_str(), again.how), (made.id.as_str(), How::Found), "{known:?}");
    }
    assert_eq!(stage.count("ModifyServiceHook"), before, "what is right is left alone");
    let hooks = stage.hooks();
    assert_eq!(hooks.len(), 1);
    assert!(hooks[0].enabled && hooks[0].has_token && hooks[0].url == NOWHERE);
    let found = stage.source.find_hook(&stage.project, "tributary", &plan.url, None).await.unwrap();
    assert_eq!(found, Some(made.id));
}

#[tokio::test]
async fn a_hook_of_somebody_else_is_left_alone() {
    let stage = Stage::new().await;
    let other =
        stage.sim.world().register_hook("demo", "http://127.0.0.1:8/x", "t", &["GIT_PUSHED"]).unwrap();
    let made = stage.register(&stage.plan(NOWHERE).await, None).await;
    assert_eq!(made.how, How::Created);
    let hooks = stage.hooks();
    assert_eq!((hooks.len(), hooks[0].id.as_str(), hooks[0].events.len()), (2, other.as_str(), 1));
    assert!(stage.source.unregister(&stage.project, &made.id).await.unwrap());
    assert!(!stage.source.unregister(&stage.project, &made.id).await.unwrap(), "it is gone already");
    assert_eq!(stage.hooks().len(), 1);
}

#[tokio::test]
async fn what_somebody_changed_is_put_right() {
    let stage = Stage::new().await;
    let plan = stage.plan(NOWHERE).await;
    let made = stage.register(&plan, None).await;
    let client = stage.source.client().clone();
    let project = stage.project.id.0;

    client.enable_service_hook(project, &made.id, false).await.unwrap();
    let standing = stage.source.standing(&stage.project, &made.id).await.unwrap().unwrap();
    assert!(!standing.enabled);
    assert_eq!(repaired(&stage.register(&plan, Some(&made.id)).await), ["it was switched off"]);
    assert!(stage.hooks()[0].enabled);

    // Another token in the URL, another secret, other events, and a user that nobody asked for.
    let mut changed = plan.clone();
    changed.url = SecretString::from("http://127.0.0.1:9/hooks/another");
    changed.secret = Some(SecretString::from("another secret of theirs"));
    changed.basic = Some(("user".to_owned(), SecretString::from("pass")));
    changed.events = vec!["GIT_PUSHED".to_owned(), "ISSUE_CREATED".to_owned()];
    let words = stage.register(&changed, Some(&made.id)).await;
    assert_eq!(repaired(&words).len(), 5, "{words:?}");
    // Without the id it is still ours: the name, and where the URL leads.
    let back = stage.register(&plan, None).await;
    let what = repaired(&back);
    assert_eq!(
        (what[0], what[1], what[2], what.len()),
        ("its URL was another one", "its secret was another one", "its user or password were other ones", 5)
    );
    assert!(
        what[3].starts_with("it lacked ISSUE_ASSIGNEE_CHANGED, ") && what[4] == "it delivered GIT_PUSHED too"
    );
    assert!(!format!("{back:?}").contains("another secret"));
    assert_eq!(stage.register(&plan, None).await.how, How::Found);
    assert_eq!(stage.hooks().len(), 1);
}

#[tokio::test]
async fn a_creation_whose_answer_is_lost_makes_no_second_hook() {
    let stage = Stage::new().await;
    let plan = stage.plan(NOWHERE).await;
    stage.sim.world().change_faults(|faults| {
        faults.each = [(FaultKind::CutOff, 1.0)].into();
        faults.actions = vec!["CreateServiceHook".to_owned()];
    });
    let made = stage.register(&plan, None).await;
    assert_eq!(made.how, How::Created);
    assert_eq!((stage.hooks().len(), stage.hooks()[0].id.as_str()), (1, made.id.as_str()));
}

#[tokio::test]
async fn an_event_that_is_refused_is_left_out_and_said() {
    let stage = Stage::new().await;
    let mut plan = stage.plan(NOWHERE).await;
    assert!(!plan.events.contains(&"ITERATION_PLANNED".to_owned()), "it is not offered");
    plan.events.extend(["ITERATION_PLANNED", "ISSUE_HOUR_RECORD_UPDATED"].map(str::to_owned));
    let made = stage.register(&plan, None).await;
    assert_eq!(made.how, How::Created);
    assert_eq!(made.left_out, ["ITERATION_PLANNED", "ISSUE_HOUR_RECORD_UPDATED"]);
    // The next start asks once more, and changes nothing.
    let again = stage.register(&plan, Some(&made.id)).await;
    assert_eq!((again.how, again.left_out.len()), (How::Found, 2));
}

#[tokio::test]
async fn a_credential_that_may_not_is_told_what_to_do() {
    let scopes: Vec<String> =
        all_scopes().into_iter().filter(|scope| !scope.starts_with("service-hook")).collect();
    let token = "5109a7e000000000000000000000000000000002".to_owned();
    let auth = AuthConfig::Token(SecretString::from(token.clone()));
    let config = SimConfig {
        more_tokens: vec![TokenConfig { token, scopes, projects: None }],
        ..SimConfig::default()
    };
    let stage = Stage::with(config, Some(auth)).await;
    let error = stage.source.wanted_events(&TABLES.iter().collect::<Vec<_>>()).await.unwrap_err();
    assert_eq!((error.kind, error.problem.code.as_str()), (SourceErrorKind::Refused, "CODING-HOOK"));
    assert!(error.problem.fix.contains("service-hook:profile:rw") && error.problem.fix.contains("manual"));
    let items = stage.source.check_hook(&stage.project, &HookMemory::default()).await;
    assert_eq!((items.len(), items[0].outcome), (1, Outcome::Failed), "{items:?}");

    let (user, password) = ("pt".to_owned(), "secret".to_owned());
    let tokens = ProjectToken {
        user: user.clone(),
        password: password.clone(),
        project: "demo".to_owned(),
        scopes: all_scopes(),
    };
    let config = SimConfig { project_tokens: vec![tokens], ..SimConfig::default() };
    let auth = ProjectTokenConfig { user, password: SecretString::from(password) };
    let stage = Stage::with(config, Some(AuthConfig::ProjectToken(auth))).await;
    let error = stage.source.ping(&stage.project, "x").await.unwrap_err();
    assert_eq!(error.problem.why, "a project token cannot manage Service Hooks");
    assert_eq!(stage.count("PingServiceHook"), 0, "nothing is asked for in vain");
}

#[tokio::test]
async fn deliveries_that_failed_are_fetched_out_of_the_log() {
    let stage = Stage::new().await;
    let plan = stage.plan(NOWHERE).await;
    let made = stage.register(&plan, None).await;
    stage.source.ping(&stage.project, &made.id).await.unwrap();
    for code in [1, 2, 3] {
        stage.edit(code).await;
    }
    let since = Timestamp::now() - SignedDuration::from_hours(24 * 365 * 20);
    let fetch = async || stage.source.missed_deliveries(&stage.project, &made.id, since).await.unwrap();
    let missed = fetch().await;
    assert_eq!((missed.resent, missed.cut), (0, false));
    let heard: Vec<_> =
        missed.arrivals.iter().map(|arrival| (arrival.delivery_id.clone(), codes(arrival))).collect();
    assert_eq!(heard.iter().map(|(_, codes)| codes.clone()).collect::<Vec<_>>(), [vec![1], vec![2], vec![3]]);
    assert!(heard.iter().all(|(id, _)| id.is_some()));
    for arrival in &missed.arrivals {
        let names: Vec<&str> = arrival.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.contains(&"x-coding-service-hook-event") && !names.contains(&"x-coding-signature"));
    }
    // What is older than asked for, nobody misses.
    let later = Timestamp::now() + SignedDuration::from_hours(24 * 365 * 20);
    let none = stage.source.missed_deliveries(&stage.project, &made.id, later).await.unwrap();
    assert!(none.arrivals.is_empty());

    stage.sim.world().change_hook_faults(|faults| faults.log_without_content = true);
    let again = fetch().await;
    assert_eq!((again.arrivals.len(), again.resent), (0, 3));
    assert_eq!(stage.count("ResendServiceHookLog"), 3);
}

/// The issues that a delivery names.
fn codes(arrival: &engine::inbox::Arrival) -> Vec<i64> {
    let delivery = engine::inbox::Delivery {
        entry: engine::inbox::Entry {
            number: engine::inbox::DeliveryNumber(1),
            turn: engine::inbox::Turn(1),
            delivery_id: arrival.delivery_id.clone(),
            received: arrival.received,
            last_received: arrival.received,
            summary: None,
            standing: engine::inbox::Standing::Waiting { problem: None },
            settled: None,
            delivered: None,
            replays: 0,
            repeats: 0,
            starts: 0,
            size: 0,
            room: 0,
        },
        headers: arrival.headers.clone(),
        body: arrival.body.clone(),
    };
    match hear(&delivery).meaning {
        Meaning::Hints(hints) => hints.iter().filter(|hint| !hint.beside).map(|hint| hint.id.0).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_log_tells_when_deliveries_are_refused() {
    let stage = Stage::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks/0123456789abcdef", listener.local_addr().unwrap());
    let answers = tokio::spawn(async move {
        for status in ["401 Unauthorized", "200 OK"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            // The whole of a small request, which ends in the body's brace.
            while !seen.ends_with(b"}") {
                let mut buffer = [0; 4096];
                let read = stream.read(&mut buffer).await.unwrap();
                seen.extend_from_slice(&buffer[..read]);
            }
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let plan = stage.plan(&url).await;
    let made = stage.register(&plan, None).await;
    let client = stage.source.client();
    let hook = client.service_hook(stage.project.id.0, &made.id).await.unwrap();
    assert!(!is_refused(client, &stage.project, &hook).await.unwrap(), "nothing was sent yet");
    for refused in [true, false] {
        stage.source.ping(&stage.project, &made.id).await.unwrap();
        stage.sim.world().hooks_settled().await;
        assert_eq!(is_refused(client, &stage.project, &hook).await.unwrap(), refused);
    }
    answers.await.unwrap();
}

#[tokio::test]
async fn check_says_how_the_hook_stands() {
    let stage = Stage::new().await;
    let plan = stage.plan(NOWHERE).await;
    let check = async |memory: &HookMemory| -> Vec<(Outcome, String)> {
        let items = stage.source.check_hook(&stage.project, memory).await;
        items.into_iter().map(|CheckItem { outcome, detail, .. }| (outcome, detail)).collect()
    };
    let mut memory = HookMemory { events: plan.events.clone(), ..HookMemory::default() };
    let items = check(&memory).await;
    assert_eq!((items[0].0, items[1].0), (Outcome::Warning, Outcome::Warning), "{items:?}");
    assert!(items[0].1.starts_with("not registered yet") && items[1].1.contains("is unknown"), "{items:?}");
    memory.id = Some(stage.register(&plan, None).await.id);
    memory.reached = Some(Timestamp::now());
    let items = check(&memory).await;
    assert!(items.iter().all(|(outcome, _)| *outcome == Outcome::Ok), "{items:?}");
    memory.events.push("ITERATION_PLANNED".to_owned());
    assert_eq!(
        check(&memory).await[0],
        (Outcome::Warning, "it does not deliver ITERATION_PLANNED".to_owned())
    );
    let id = memory.id.clone().unwrap();
    stage.source.client().enable_service_hook(stage.project.id.0, &id, false).await.unwrap();
    assert_eq!(check(&memory).await[0], (Outcome::Failed, "it is switched off".to_owned()));
    stage.source.unregister(&stage.project, &id).await.unwrap();
    assert_eq!(check(&memory).await[0], (Outcome::Failed, "it is not there any more".to_owned()));
}

#[tokio::test]
async fn the_manual_steps_name_page_url_and_secret() {
    let stage = Stage::new().await;
    let plan = stage.plan(NOWHERE).await;
    let steps = stage.source.manual_steps(&stage.project, &plan.url, plan.secret.as_ref(), None);
    let page = format!("{}/p/demo/setting/webhook", stage.sim.url().trim_end_matches('/'));
    for needed in [page.as_str(), NOWHERE, "0123456789abcdef", "(leave it empty)", "Test"] {
        assert!(steps.contains(needed), "{steps}");
    }
}

/// A hook as CODING shows it, with these properties.
fn shown(properties: serde_json::Value, url: Option<&str>) -> ServiceHook {
    let raw: Map<_, _> =
        [("ActionProperties".to_owned(), json!(properties.to_string()))].into_iter().collect();
    ServiceHook {
        id: "h".to_owned(),
        name: "tributary".to_owned(),
        enabled: true,
        events: vec!["ISSUE_CREATED".to_owned()],
        url: url.map(str::to_owned),
        action: Some("webhook_http_post".to_owned()),
        service: Some("WebHook".to_owned()),
        filter: None,
        has_template: false,
        username: None,
        last_succeeded_ms: None,
        raw,
    }
}

#[test]
fn what_coding_keeps_to_itself_is_no_difference() {
    let plan = HookPlan {
        name: "tributary".to_owned(),
        url: SecretString::from(NOWHERE),
        secret: Some(SecretString::from("0123456789abcdef")),
        basic: None,
        events: vec!["ISSUE_CREATED".to_owned()],
    };
    for properties in
        [json!({}), json!({ "token": "" }), json!({ "token": "***" }), json!({ "token": "0***f" })]
    {
        let hook = shown(properties, None);
        assert_eq!(differences(&hook, &plan), Vec::<String>::new());
        assert!(!shows_secrets(&hook, &plan), "then the log has to tell");
        let hooks = [hook];
        assert!(own(&hooks, &plan.name, &plan.url, None).is_some(), "the name has to do");
        assert!(own(&hooks, "another", &plan.url, None).is_none());
    }
    let whole = json!({ "service_url": NOWHERE, "token": plan.secret.as_ref().unwrap().expose_secret() });
    let hook = shown(whole, Some(NOWHERE));
    assert!(differences(&hook, &plan).is_empty() && shows_secrets(&hook, &plan));
    let distorted = ServiceHook { filter: Some("{\"type\":1}".to_owned()), has_template: true, ..hook };
    assert_eq!(differences(&distorted, &plan).len(), 2);
    // Of the same name, but it leads elsewhere: somebody else's.
    let elsewhere = [shown(json!({}), Some("https://elsewhere.example.com/hooks/x"))];
    assert!(own(&elsewhere, &plan.name, &plan.url, None).is_none());
}
