//! Hooks with the simulator: managed through its actions, delivered to a real socket, verified and read.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use coding_api::hook::{Event, Group, Proof, Reading, Refused, SignatureFault, Unverified, Verified, read};
use coding_api::{Budgets, Client, ErrorKind, HookLog, HookSettings, Remedy, RowExt};
use coding_sim::{HookFaults, IssueFields, Operation, Sim, SimConfig, TokenConfig};
use futures::TryStreamExt as _;
use secrecy::SecretString;

use crate::server::{Seen, Server, http};
use crate::simulator::{base, client, free};

const PROJECT: &str = "mobile-app";

/// A simulator, a client of it, and a receiver of its hooks.
struct Scene {
    sim: Sim,
    client: Client,
    project: i64,
    receiver: Server,
}

impl Scene {
    async fn start(config: SimConfig) -> Self {
        let sim = Sim::start(SimConfig { rate_limit: 0, ..config }).await.unwrap();
        let client = free(&sim);
        let project = client.project_by_name(PROJECT).await.unwrap().value.id().unwrap();
        let receiver = Server::start(|_| http(200, "text/plain", "", b"")).await;
        Self { sim, client, project, receiver }
    }

    fn settings(&self) -> HookSettings {
        HookSettings {
            name: "tributary".to_owned(),
            url: format!("{}/hooks/0123456789abcdef", self.receiver.url),
            secret: Some(SecretString::from("hook-secret")),
            basic: Some(("tributary".to_owned(), SecretString::from("passw0rd"))),
            events: ["ISSUE_CREATED", "ISSUE_UPDATED"].map(str::to_owned).to_vec(),
        }
    }

    /// What came so far, when all is sent.
    async fn arrived(&self) -> Vec<Seen> {
        self.sim.world().hooks_settled().await;
        self.receiver.seen()
    }

    fn rename(&self, name: &str) {
        let fields = Box::new(IssueFields { name: Some(name.to_owned()), ..IssueFields::default() });
        let project = PROJECT.to_owned();
        self.sim.world().apply(&[Operation::SetIssue { project, code: 1, fields, touch: true }]).unwrap();
    }

    async fn log(&self, hook: &str) -> Vec<HookLog> {
        self.client.service_hook_logs(self.project, hook).try_collect().await.unwrap()
    }
}

fn proof(settings: &HookSettings) -> Proof {
    Proof {
        secret: settings.secret.clone(),
        basic: settings.basic.clone(),
        allow_from: vec!["127.0.0.0/8".parse().unwrap()],
    }
}

fn verify(seen: &Seen, settings: &HookSettings) -> Result<Verified, Refused> {
    let body = Bytes::copy_from_slice(seen.text.as_bytes());
    Unverified::new(seen.headers.clone(), body, Some(IpAddr::V4(Ipv4Addr::LOCALHOST)))
        .verify(&proof(settings))
}

fn event(verified: &Verified) -> Event {
    match read(&verified.headers, &verified.body) {
        Reading::Event(event) => *event,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_hook_is_made_found_repaired_and_deleted() {
    let scene = Scene::start(SimConfig::default()).await;
    let (client, project, settings) = (&scene.client, scene.project, scene.settings());
    let made = client.create_service_hook(project, &settings).await.unwrap();
    let found = client.service_hooks(project, Some("tributary")).await.unwrap();
    assert_eq!(found.iter().map(|hook| hook.id.as_str()).collect::<Vec<_>>(), [made.id.as_str()]);
    let hook = client.service_hook(project, &made.id).await.unwrap();
    assert!(hook.enabled && hook.matches(&settings), "{hook:?}");

    client.enable_service_hook(project, &made.id, false).await.unwrap();
    let hook = client.service_hook(project, &made.id).await.unwrap();
    assert!(!hook.enabled && !hook.matches(&settings));
    let wider = HookSettings { events: vec!["ISSUE_UPDATED".to_owned()], ..settings };
    let hook = client.modify_service_hook(project, &made.id, &wider).await.unwrap();
    assert!(hook.enabled && hook.matches(&wider), "{hook:?}");

    client.delete_service_hook(project, &made.id).await.unwrap();
    assert!(client.service_hooks(project, None).await.unwrap().is_empty());
    let gone = client.service_hook(project, &made.id).await.unwrap_err();
    assert_eq!(gone.remedy(), Remedy::NotFound);
    scene.sim.stop().await;
}

#[tokio::test]
async fn what_a_hook_delivers_is_verified_read_and_found_in_its_log() {
    let scene = Scene::start(SimConfig::default()).await;
    let settings = scene.settings();
    let made = scene.client.create_service_hook(scene.project, &settings).await.unwrap();
    scene.client.ping_service_hook(scene.project, &made.id).await.unwrap();
    let ping = verify(&scene.arrived().await[0], &settings).unwrap();
    assert_eq!(read(&ping.headers, &ping.body), Reading::Ping { hook_id: Some(made.id.clone()) });

    scene.rename("renamed");
    let seen = scene.arrived().await.remove(1);
    let verified = verify(&seen, &settings).unwrap();
    let event = event(&verified);
    assert_eq!((event.code.as_str(), event.group()), ("ISSUE_UPDATED", Group::Issue));
    assert_eq!(event.hook_id.as_deref(), Some(made.id.as_str()));
    let mark = event.project.clone().unwrap();
    assert_eq!((mark.id, mark.name.as_deref()), (Some(scene.project), Some(PROJECT)));
    let issue = event.issue.clone().unwrap();
    assert_eq!((issue.code, issue.title.as_deref()), (1, Some("renamed")));
    assert!(event.happened_ms.is_some() && event.sender.is_some() && event.team.is_some(), "{event:?}");

    let log = scene.log(&made.id).await;
    assert_eq!(
        log.iter().map(|entry| entry.event.as_deref().unwrap()).collect::<Vec<_>>(),
        ["ISSUE_UPDATED", "PING"]
    );
    let newest = &log[0];
    assert_eq!((newest.succeeded, newest.response_status), (Some(true), Some(200)));
    assert_eq!(newest.delivery_id.as_deref(), verified.delivery_id());
    // The log gives the delivery once more, as it would be kept.
    assert_eq!(newest.content.as_bytes(), verified.body);
    assert_eq!(read(&newest.headers, newest.content.as_bytes()), read(&verified.headers, &verified.body));

    scene.client.resend_service_hook_log(&newest.id).await.unwrap();
    let again = verify(&scene.arrived().await[2], &settings).unwrap();
    assert_eq!((again.delivery_id(), &again.body), (verified.delivery_id(), &verified.body));
    scene.sim.stop().await;
}

#[tokio::test]
async fn every_fault_of_a_sender_is_told_apart() {
    let scene = Scene::start(SimConfig::default()).await;
    let settings = scene.settings();
    scene.client.create_service_hook(scene.project, &settings).await.unwrap();
    let mut sent = 0;
    let mut strike = async |faults: HookFaults| {
        scene.sim.world().set_hook_faults(faults);
        sent += 1;
        scene.rename(&format!("renamed {sent}"));
        let mut arrived = scene.arrived().await;
        assert_eq!(arrived.len(), sent);
        verify(&arrived.remove(sent - 1), &settings).map(|verified| read(&verified.headers, &verified.body))
    };
    let none = HookFaults::default;
    let wrong = strike(HookFaults { wrong_signature: 1.0, ..none() }).await;
    assert_eq!(wrong, Err(Refused::Signature(SignatureFault::Wrong)));
    let truncated = strike(HookFaults { truncated_signature: 1.0, ..none() }).await;
    assert_eq!(truncated, Err(Refused::Signature(SignatureFault::Form)));
    for faults in [
        HookFaults { template_body: 1.0, ..none() },
        HookFaults { non_json: 1.0, ..none() },
        HookFaults { chat_message: 1.0, ..none() },
    ] {
        let reading = strike(faults.clone()).await.unwrap();
        assert!(matches!(reading, Reading::Unusable { .. }), "{faults:?}: {reading:?}");
    }
    for faults in [HookFaults { legacy_json: 1.0, ..none() }, HookFaults { legacy_form: 1.0, ..none() }] {
        let Reading::Legacy(legacy) = strike(faults.clone()).await.unwrap() else { panic!("{faults:?}") };
        assert_eq!((legacy.event.as_deref(), legacy.issue), (Some("task"), Some(1)), "{faults:?}");
        assert_eq!(legacy.project.unwrap().name.as_deref(), Some(PROJECT), "{faults:?}");
    }
    let Reading::Event(event) = strike(HookFaults { unknown_event: 1.0, ..none() }).await.unwrap() else {
        panic!("an unknown event is an event")
    };
    assert_ne!(event.code, "ISSUE_UPDATED");
    scene.sim.stop().await;
}

#[tokio::test]
async fn what_may_not_be_done_says_why() {
    const READ_ONLY: &str = "5109a7e000000000000000000000000000000003";
    let scopes =
        coding_sim::all_scopes().into_iter().filter(|scope| !scope.starts_with("service-hook")).collect();
    let scene = Scene::start(SimConfig {
        more_tokens: vec![TokenConfig { token: READ_ONLY.to_owned(), scopes, projects: None }],
        ..SimConfig::default()
    })
    .await;
    let offered: Vec<String> =
        scene.client.events().await.unwrap().into_iter().map(|offer| offer.code).collect();
    assert!(offered.iter().any(|code| code == "ISSUE_UPDATED"));
    assert!(!offered.iter().any(|code| code == "ITERATION_PLANNED"));
    let refused = HookSettings { events: vec!["ITERATION_PLANNED".to_owned()], ..scene.settings() };
    let error = scene.client.create_service_hook(scene.project, &refused).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (&ErrorKind::InvalidParameter, 1));
    assert!(error.to_string().contains("ITERATION_PLANNED"), "{error}");

    let budget = Budgets::new().share(&base(&scene.sim), "demo", 0);
    let narrow = client(&scene.sim, READ_ONLY, budget);
    let error = narrow.create_service_hook(scene.project, &scene.settings()).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Forbidden);
    scene.sim.stop().await;
}
