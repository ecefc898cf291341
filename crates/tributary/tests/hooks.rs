//! The real binary with hooks: a simulated CODING on one side, the deliveries of its Service Hook coming in on the
//! other, and the command line beside it.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod away;
mod budget;
mod commands;
mod events;
mod hostile;
mod registration;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use coding_sim::{HookInfo, IssueFields, Operation, ProjectConfig, SimConfig, WorldHandle};
use engine::delivery::filter::Filter;
use engine::delivery::shape::{Deletes, Mode, Naming, Task};
use engine::inbox::{Delivery, Entry, Inbox, Query, StandingKind};
use engine::status::{State, Status};
use serde_json::{Value, json};
use store::inbox::SqliteInbox;
use store::state_dir::StateDir;

use crate::compare::{assert_same, compare};
use crate::harness::listed;
use crate::place::Place;
use crate::support::{Ended, Running, Stage, run, tributary, until};

/// The one project.
pub(crate) const PROJECT: &str = "app";
/// More deliveries than any test makes.
const ALL: u32 = 1_000_000;

/// A team with one project of so many issues, without limits.
pub(crate) fn team(issues: u32) -> SimConfig {
    SimConfig {
        projects: vec![ProjectConfig::new(PROJECT, issues, 6, 12)],
        rate_limit: 0,
        ..SimConfig::default()
    }
}

/// A free port that stays free between a kill and a restart: it lies below those that the system hands out to
/// outgoing connections, of which other tests make many.
pub(crate) fn free_port() -> u16 {
    let now = jiff::Timestamp::now().subsec_nanosecond().unsigned_abs();
    let start = (now ^ std::process::id().wrapping_mul(2_654_435_761)) % 10_000;
    let ports = (0..10_000).map(|step| u16::try_from(20_000 + (start + step) % 10_000).unwrap());
    ports.into_iter().find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// A pipeline with a hook, in a stage of its own.
pub(crate) struct Hooked {
    pub(crate) stage: Stage,
    pub(crate) file: PathBuf,
    pub(crate) port: u16,
    http: reqwest::Client,
}

impl Hooked {
    /// A pipeline that deliveries reach directly. `webhook` stands in its block of that name, `rest` at the end of
    /// the file.
    pub(crate) async fn new(config: SimConfig, webhook: &str, rest: &str) -> Hooked {
        Hooked::on(Stage::with(config).await, &Place::Sqlite(format!("{PROJECT}.db").into()), webhook, rest)
    }

    /// The same on a stage, into another target.
    pub(crate) fn on(stage: Stage, place: &Place, webhook: &str, rest: &str) -> Hooked {
        let port = free_port();
        let source = format!(
            "  incremental: hybrid\n  webhook:\n    listen: 127.0.0.1:{port}\n    public_url: \
             http://127.0.0.1:{port}\n{webhook}"
        );
        let file = stage.pipeline_into(place, PROJECT, &source, rest);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Hooked { stage, file, port, http }
    }

    pub(crate) fn world(&self) -> WorldHandle {
        self.stage.sim.world()
    }

    /// Changes the pipeline file.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(&self.file).unwrap();
        assert!(text.contains(from), "{from} does not stand in {text}");
        std::fs::write(&self.file, text.replace(from, to)).unwrap();
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.stage.path("coding.state")
    }

    /// A command on the pipeline.
    pub(crate) fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = tributary(self.stage.dir.path());
        command.arg(name).arg(&self.file).args(arguments);
        command
    }

    /// Runs a command on the pipeline to its end.
    pub(crate) async fn run(&self, name: &str, arguments: &[&str]) -> Ended {
        run(self.command(name, arguments)).await
    }

    /// What an action on the hook prints as JSON.
    pub(crate) async fn hooks(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        self.run("hooks", &arguments).await.expect(0).json()
    }

    /// What an action on the hook prints for people.
    pub(crate) async fn said(&self, arguments: &[&str]) -> String {
        self.run("hooks", arguments).await.expect(0).stdout
    }

    /// The hook's URL.
    pub(crate) async fn url(&self) -> String {
        self.hooks(&["url"]).await["url"].as_str().unwrap().to_owned()
    }

    /// Starts a sync and waits until the first reading, the first poll and the first census are over.
    pub(crate) async fn start(&self) -> Running {
        let mut running = self.begin();
        self.until_follows(&mut running).await;
        running
    }

    /// Starts a sync, and waits for nothing.
    pub(crate) fn begin(&self) -> Running {
        let _there_was_none = std::fs::remove_file(self.state().join("status.json"));
        Running::start(self.command("sync", &[]))
    }

    /// Waits until the first reading, the first poll and the first census of a sync are over.
    pub(crate) async fn until_follows(&self, running: &mut Running) {
        until("the sync follows", async || {
            assert_eq!(running.0.try_wait().unwrap(), None, "the sync ended");
            self.status().filter(follows).map(drop)
        })
        .await;
    }

    /// Starts a sync that is to be killed: what it says fills no pipe that nobody reads.
    pub(crate) fn begin_unheard(&self) -> Running {
        let mut command = self.command("sync", &[]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Running::start(command)
    }

    /// The same, until the hook stands at CODING as it should and a ping of it came.
    pub(crate) async fn start_registered(&self) -> Running {
        let running = self.start().await;
        let url = self.url().await;
        until("the hook is registered", async || {
            self.world().hooks().iter().any(|hook| hook.url == url && hook.enabled).then_some(())
        })
        .await;
        until("a ping has come", async || self.entries().await.iter().find(|e| is(e, "PING")).map(drop))
            .await;
        running
    }

    /// Stops a sync as SIGTERM does.
    pub(crate) async fn stop(&self, running: Running) -> Ended {
        running.signal("TERM");
        running.end().await.0.expect(0)
    }

    /// What the sync said last of itself.
    pub(crate) fn status(&self) -> Option<Status> {
        StateDir::read_status(&self.state()).unwrap()
    }

    /// All deliveries in the inbox, the oldest first.
    pub(crate) async fn entries(&self) -> Vec<Entry> {
        let inbox = SqliteInbox::open_beside(&self.state()).await.unwrap();
        let mut entries = inbox.list(Query { standing: None, before: None, limit: ALL }).await.unwrap();
        inbox.close().await.unwrap();
        entries.reverse();
        entries
    }

    /// The delivery with this id, whole.
    pub(crate) async fn delivery(&self, id: &str) -> Delivery {
        let inbox = SqliteInbox::open_beside(&self.state()).await.unwrap();
        let found = inbox.find(id.to_owned()).await.unwrap();
        inbox.close().await.unwrap();
        found.unwrap_or_else(|| panic!("there is no delivery {id}"))
    }

    /// The delivery with this id, once it stands so.
    pub(crate) async fn until_stands(&self, id: &str, kind: StandingKind) -> Delivery {
        until(&format!("delivery {id} stands as {kind:?}"), async || {
            let delivery = self.delivery(id).await;
            (delivery.entry.standing.kind() == kind).then_some(delivery)
        })
        .await
    }

    /// Waits until so many deliveries are in the inbox and none waits.
    pub(crate) async fn until_settled(&self, at_least: usize) -> Vec<Entry> {
        until("all deliveries are worked off", async || {
            let entries = self.entries().await;
            let waits = entries.iter().any(|entry| entry.standing.kind() == StandingKind::Waiting);
            (entries.len() >= at_least && !waits).then_some(entries)
        })
        .await
    }

    /// The only hook that CODING has.
    pub(crate) fn hook(&self) -> HookInfo {
        let mut hooks = self.world().hooks();
        assert_eq!(hooks.len(), 1, "{hooks:?}");
        hooks.remove(0)
    }

    /// Gives an issue another name.
    pub(crate) fn rename(&self, code: u32, name: &str) {
        let fields = Box::new(IssueFields { name: Some(name.to_owned()), ..IssueFields::default() });
        let set = Operation::SetIssue { project: PROJECT.to_owned(), code, fields, touch: true };
        self.world().apply(&[set]).unwrap();
    }

    /// Sends an action of the Open API as somebody else would.
    pub(crate) async fn act(&self, action: &str, more: Value) -> Value {
        let mut fields = json!({"Action": action});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let response = self
            .http
            .post(format!("{}/open-api", self.stage.sim.url()))
            .header("Authorization", format!("token {}", coding_sim::DEFAULT_TOKEN))
            .body(fields.to_string())
            .send();
        let body: Value = serde_json::from_str(&response.await.unwrap().text().await.unwrap()).unwrap();
        assert!(body["Response"]["Error"].is_null(), "{action}: {body}");
        body["Response"].clone()
    }

    /// Sends an action about a hook of the project.
    pub(crate) async fn act_on_hooks(&self, action: &str, more: Value) -> Value {
        let project = self.act("DescribeProjectByName", json!({"ProjectName": PROJECT})).await;
        let mut fields = json!({"ProjectId": project["Project"]["Id"], "TargetType": "PROJECT"});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.act(action, fields).await
    }

    /// What a GET of a URL answers.
    pub(crate) async fn get(&self, url: &str) -> (u16, Value) {
        let response = self.http.get(url).send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }

    pub(crate) fn place(&self) -> Place {
        Place::Sqlite(self.stage.path("app.db"))
    }

    /// How many requests of an action CODING has had.
    pub(crate) fn requests(&self, action: &str) -> u64 {
        self.world().counters().requests.get(action).copied().unwrap_or(0)
    }

    /// Waits until every row and field of the target equals the truth.
    pub(crate) async fn becomes_exact(&self) {
        let (world, place, task) = (self.world(), self.place(), task());
        let deadline = tokio::time::Instant::now() + crate::support::PATIENCE;
        while !compare(&world, &place, &task).await.differences.is_empty()
            && tokio::time::Instant::now() < deadline
        {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert_same(&world, &place, &task).await;
    }
}

/// Whether a delivery is of an event.
pub(crate) fn is(entry: &Entry, event: &str) -> bool {
    entry.summary.as_ref().is_some_and(|summary| summary.event == event)
}

pub(crate) fn follows(status: &Status) -> bool {
    let listed = |name: &str| listed().iter().any(|table| table.name == name);
    let mut tables =
        status.projects.values().flatten().filter(|(name, _)| listed(name)).map(|(_, table)| table);
    matches!(status.capture.state, State::Following { .. })
        && status.projects.contains_key(PROJECT)
        && tables.all(|table| table.loaded && table.pending == 0)
        && status.tasks.get(PROJECT).is_some_and(|task| task.position >= status.head)
}

pub(crate) fn task() -> Task {
    Task {
        name: PROJECT.to_owned(),
        team: "demo".to_owned(),
        tables: listed(),
        filter: Filter::default(),
        naming: Naming::SnakeCase,
        deletes: Deletes::Hard,
        mode: Mode::Document,
        listed_only: false,
        accept_deletes: false,
    }
}
