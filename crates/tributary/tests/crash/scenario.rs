//! One scenario: a source that lives and misbehaves, a binary that is killed, and what must be so at the end.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use coding_sim::{Faults, HookFaults, ProjectConfig, SimConfig};
use connectors::coding::config::Incremental;
use connectors::coding::tables::{ISSUES, ITERATIONS};
use engine::delivery::filter::{Filter, Rule, Test};
use engine::delivery::shape::{Deletes, Mode, Naming, Task};
use engine::inbox::Inbox;
use engine::schema::Kind;
use engine::status::{State, Status};
use store::inbox::SqliteInbox;
use store::state_dir::StateDir;

use super::figures::{Figures, TOLD, UNTOLD};
use super::history::History;
use super::life::{KEPT_ITERATIONS, Life};
use crate::cells;
use crate::chaos::Dice;
use crate::compare::compare;
use crate::harness::listed;
use crate::hooks::free_port;
use crate::place::{Place, TargetKind};
use crate::support::{Running, Stage, run, tributary, until};

/// How large it is.
pub(super) struct Size {
    pub(super) kills: usize,
    /// The longest time between a start and its kill.
    pub(super) longest_ms: u64,
    /// Issues of the larger project at the beginning.
    pub(super) issues: u32,
}

/// What is wanted of the rows.
struct Wish {
    deletes: Deletes,
    filtered: bool,
}

/// How a connection is followed, and into what.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    incremental: Incremental,
    target: TargetKind,
    /// As in the pipeline file.
    details: &'static str,
    /// As in the pipeline file, where there is a hook.
    register: &'static str,
    document: Wish,
    flat: Wish,
}

const ALL: Wish = Wish { deletes: Deletes::Hard, filtered: false };
const SOFT: Wish = Wish { deletes: Deletes::Soft, filtered: false };
const SOME: Wish = Wish { deletes: Deletes::Hard, filtered: true };
const SOME_SOFT: Wish = Wish { deletes: Deletes::Soft, filtered: true };

/// Each has a task of either shape. Of what else a task can be, every pair occurs with either target.
pub(super) const SCENARIOS: [Scenario; 6] = [
    Scenario {
        name: "polling-sqlite",
        incremental: Incremental::Polling,
        target: TargetKind::Sqlite,
        details: "background",
        register: "manual",
        document: SOFT,
        flat: SOME,
    },
    Scenario {
        name: "polling-postgres",
        incremental: Incremental::Polling,
        target: TargetKind::Postgres,
        details: "eager",
        register: "manual",
        document: SOME,
        flat: SOFT,
    },
    Scenario {
        name: "webhook-sqlite",
        incremental: Incremental::Webhook,
        target: TargetKind::Sqlite,
        details: "eager",
        register: "auto",
        document: ALL,
        flat: SOME_SOFT,
    },
    Scenario {
        name: "webhook-postgres",
        incremental: Incremental::Webhook,
        target: TargetKind::Postgres,
        details: "background",
        register: "manual",
        document: SOME_SOFT,
        flat: ALL,
    },
    Scenario {
        name: "hybrid-sqlite",
        incremental: Incremental::Hybrid,
        target: TargetKind::Sqlite,
        details: "background",
        register: "manual",
        document: SOME_SOFT,
        flat: SOFT,
    },
    Scenario {
        name: "hybrid-postgres",
        incremental: Incremental::Hybrid,
        target: TargetKind::Postgres,
        details: "background",
        register: "auto",
        document: SOFT,
        flat: SOME,
    },
];

const TOKEN: &str = "a-token-of-more-than-thirty-two-characters";
const SECRET: &str = "the key of the signatures";
/// Chance of a fault, for each request.
const CHANCE: f64 = 0.05;
/// Issue types that a filter names.
const TYPES: [&str; 3] = ["DEFECT", "REQUIREMENT", "SUB_TASK"];
/// Within this time after a start a kill strikes whatever a start is at.
const EARLY: Duration = Duration::from_millis(120);
/// Lines of what was said that a failure shows.
const LAST_LINES: usize = 40;

fn faults() -> Faults {
    Faults { hang_ms: 50, trickle_ms: 50, ..Faults::transient(CHANCE) }
}

fn hook_faults() -> HookFaults {
    HookFaults {
        drop: 0.2,
        duplicate_same_id: 0.1,
        duplicate_new_id: 0.1,
        swap: 0.15,
        delay: 0.2,
        delay_max_ms: 1_500,
        wrong_signature: 0.02,
        code_events: 0.1,
        ..HookFaults::default()
    }
}

impl Wish {
    /// The lines of a pipeline file.
    fn lines(&self, mode: &str, naming: &str, tables: &str) -> String {
        let deletes = if self.deletes == Deletes::Soft { "soft" } else { "hard" };
        let filter = match self.filtered {
            true => {
                let codes: Vec<String> = (1..=KEPT_ITERATIONS).map(|code| code.to_string()).collect();
                format!(", issue_types: [{}], iterations: [{}]", TYPES.join(", "), codes.join(", "))
            }
            false => String::new(),
        };
        format!(
            "task: {{ mode: {mode}, naming: {naming}, deletes: {deletes}, tables: [{tables}]{filter} }}\n"
        )
    }

    /// The task that these lines mean.
    fn task(&self, name: &str, mode: Mode, naming: Naming) -> Task {
        let codes = |path: &'static [&'static str]| {
            (1..=KEPT_ITERATIONS).map(|code| Test::Number(path, code)).collect::<Vec<_>>()
        };
        let types = TYPES.map(|name| Test::Text(&["Type"], name.to_owned())).to_vec();
        let rules = vec![
            Rule { table: ISSUES, any: types },
            Rule { table: ISSUES, any: codes(&["Iteration", "Code"]) },
            Rule { table: ITERATIONS, any: codes(&["Code"]) },
        ];
        Task {
            name: name.to_owned(),
            team: "demo".to_owned(),
            tables: listed(),
            filter: if self.filtered { Filter(rules) } else { Filter::default() },
            naming,
            deletes: self.deletes,
            mode,
            listed_only: false,
            accept_deletes: false,
        }
    }
}

impl Scenario {
    /// Kills until it has been killed often enough, then looks at everything.
    pub(super) async fn run(&self, size: &Size, seed: u64) -> Figures {
        let mut dice = Dice(seed);
        let stage = Stage::with(SimConfig {
            seed: dice.below(u64::MAX),
            projects: vec![
                ProjectConfig::new("app", size.issues, 10, 14),
                ProjectConfig::new("side", size.issues / 3, 6, 9),
            ],
            rate_limit: 0,
            latency: Duration::from_millis(1),
            broken_text_one_in: 50,
            faults: faults(),
            hook_faults: hook_faults(),
            hook_log_rows: 1_000_000,
            ..SimConfig::default()
        })
        .await;
        let stand = Stand::new(self, stage).await;
        let (began, life) = (Instant::now(), Life::new(stand.stage.sim.world()));
        let mut history = History::of(stand.state());
        let mut struck = Struck::default();
        tokio::select! {
            () = stand.strike(size, &mut dice, &life, &mut history, &mut struck) => {}
            never = life.go_on(Dice(seed.rotate_left(17) | 1)) => never,
        }
        let world = stand.stage.sim.world();
        world.set_faults(Faults::default());
        world.set_hook_faults(HookFaults::default());
        world.hooks_settled().await;

        let summary = run(stand.command("sync", &["--once", "--json"])).await.expect(0).json();
        let issues = &summary["tables"]["Issues"];
        let [inserted, rows] = ["inserted", "rows"].map(|name| issues[name].as_u64().unwrap());
        // All has been loaded and followed before; loads that are killed are in `first_load`.
        assert!(inserted * 2 < rows, "a start after a kill rebuilds the targets: {summary}");

        let mut figures = Figures::default();
        struck.show(&mut figures);
        figures.add("changes at the source", life.changes());
        stand.assert_exact(&mut figures).await;
        history.read_on(&life).await;
        history.assert_mirrored().await;
        figures.add("changes in the log", history.found_by(&[]));
        for kind in ["inserts", "updates", "deletes", "details"] {
            figures.add(&format!("… {kind}"), history.of_kind(kind));
        }
        figures.add("false deletes", history.false_deletes.len());
        if self.incremental.has_hooks() {
            figures.add("… found by hooks", history.found_by(&["hook"]));
            figures.add("… found by polls and censuses", history.found_by(&["poll", "census"]));
            stand.assert_delivered(&mut figures).await;
        }
        let counters = world.counters();
        figures.add("requests", usize::try_from(counters.total()).unwrap());
        figures.add("faults", usize::try_from(counters.faults.values().sum::<u64>()).unwrap());
        figures.add_all("fault ", &counters.faults);
        figures.add_all("hook fault ", &world.hook_counters().faults);
        figures.add_seconds(began.elapsed());
        assert!(history.false_deletes.is_empty(), "deleted and never gone: {:?}", history.false_deletes);
        stand.stage.sim.stop().await;
        figures
    }
}

/// What was done to the binary.
#[derive(Default)]
struct Struck {
    kills: usize,
    /// Of these [`EARLY`].
    early: usize,
    stops: usize,
    rebuilds: usize,
    rereadings: usize,
    /// Everything has been read once, and both tasks have followed.
    followed: bool,
}

impl Struck {
    fn show(&self, figures: &mut Figures) {
        figures.add("kills", self.kills);
        figures.add("… soon after a start", self.early);
        figures.add("stops by SIGTERM", self.stops);
        figures.add("rebuilds begun by hand", self.rebuilds);
        figures.add("readings from the beginning begun by hand", self.rereadings);
    }
}

/// The parts of a scenario.
struct Stand<'s> {
    scenario: &'s Scenario,
    stage: Stage,
    document: Place,
    flat: Place,
    files: [PathBuf; 2],
}

impl Stand<'_> {
    async fn new(scenario: &Scenario, stage: Stage) -> Stand<'_> {
        let mut places = Vec::new();
        for name in ["document", "flat"] {
            let dir = stage.path(name);
            std::fs::create_dir(&dir).unwrap();
            places.push(Place::new(scenario.target, &dir).await);
        }
        let [document, flat] = <[Place; 2]>::try_from(places).unwrap();
        let mut source = format!("  details: {}\n", scenario.details);
        source += match scenario.incremental {
            Incremental::Polling => {
                "  incremental: polling\n  polling: { interval: 1s, census_interval: 2s, look_back: 1h }\n"
            }
            Incremental::Webhook => "  incremental: webhook\n",
            Incremental::Hybrid => {
                "  incremental: hybrid\n  polling: { interval: 3s, census_interval: 4s, look_back: 1h }\n"
            }
        };
        if scenario.incremental.has_hooks() {
            let here = format!("127.0.0.1:{}", free_port());
            source += &format!("  webhook:\n    listen: {here}\n    public_url: http://{here}\n");
            source += &format!("    register: {}\n", scenario.register);
            if scenario.register == "manual" {
                source += &format!("    token: {TOKEN}\n    secret: {SECRET}\n");
                let (world, url) = (stage.sim.world(), format!("http://{here}/hooks/{TOKEN}"));
                for project in world.projects() {
                    world.register_hook(&project, &url, SECRET, &[]).unwrap();
                }
            }
        }
        let tables = match scenario.incremental.has_hooks() {
            true => "Issues, Iterations, ProjectMembers, Events",
            false => "Issues, Iterations, ProjectMembers",
        };
        let as_document = scenario.document.lines("document", "snake_case", tables);
        let as_flat = scenario.flat.lines("flat", "original", tables);
        let files = [
            stage.pipeline_into(&document, "document", &source, &as_document),
            stage.pipeline_into(&flat, "flat", &source, &as_flat),
        ];
        Stand { scenario, stage, document, flat, files }
    }

    fn state(&self) -> PathBuf {
        self.stage.path("coding.state")
    }

    /// A command on both pipelines.
    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = tributary(self.stage.dir.path());
        command.arg(name).args(&self.files).args(arguments);
        command
    }

    /// A command on one of them.
    fn command_on(&self, file: usize, name: &str, arguments: &[&str]) -> Command {
        let mut command = tributary(self.stage.dir.path());
        command.arg(name).arg(&self.files[file]).args(arguments);
        command
    }

    /// Starts a command that is to be killed: what it says fills no pipe that nobody reads.
    fn start(&self, mut command: Command) -> Running {
        let _there_was_none = std::fs::remove_file(self.state().join("status.json"));
        let said = std::fs::File::options().create(true).append(true).open(self.said()).unwrap();
        command.stdout(Stdio::null()).stderr(said);
        Running::start(command)
    }

    fn said(&self) -> PathBuf {
        self.stage.path("said.log")
    }

    /// The end of what was said.
    fn last_words(&self) -> String {
        let said = std::fs::read_to_string(self.said()).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }

    /// What the binary said last of itself.
    fn status(&self) -> Option<Status> {
        // Killed before there was a state directory, or while the file was written.
        StateDir::read_status(&self.state()).ok().flatten()
    }

    fn follows(&self) -> bool {
        self.status().is_some_and(|status| {
            let follows = |state: &State| matches!(state, State::Following { .. });
            follows(&status.capture.state)
                && status.tasks.len() == 2
                && status.tasks.values().all(|task| follows(&task.activity.state))
        })
    }

    /// Kills it again and again. Early on it is let follow once: from then on there is something to rebuild. It is the
    /// last time, too: then the last run has nothing to begin.
    async fn strike(
        &self,
        size: &Size,
        dice: &mut Dice,
        life: &Life,
        history: &mut History,
        struck: &mut Struck,
    ) {
        while struck.kills + 1 < size.kills {
            match !struck.followed && struck.kills * 3 >= size.kills {
                true => self.strike_following(dice, struck).await,
                false => self.strike_once(size, dice, struck).await,
            }
            if struck.kills + 1 < size.kills && dice.once_in(6) {
                // Twice in quick succession.
                let mut running = self.start(self.command("sync", &[]));
                self.kill_after(Duration::from_millis(dice.below(40)), &mut running, struck).await;
            }
            history.read_on(life).await;
        }
        self.strike_following(dice, struck).await;
        history.read_on(life).await;
    }

    async fn strike_following(&self, dice: &mut Dice, struck: &mut Struck) {
        let mut running = self.start(self.command("sync", &[]));
        until("it follows", async || {
            self.assert_runs(&mut running);
            self.follows().then_some(())
        })
        .await;
        struck.followed = true;
        tokio::time::sleep(Duration::from_millis(dice.below(300))).await;
        self.kill(&mut running, struck);
    }

    async fn strike_once(&self, size: &Size, dice: &mut Dice, struck: &mut Struck) {
        let moment = Duration::from_millis(match dice.below(10) {
            0 => dice.below(15),
            1..=3 => dice.below(120),
            _ => 50 + dice.below(size.longest_ms),
        });
        let (what, file) = (dice.below(14), usize::from(dice.once_in(2)));
        let command = match what {
            0 | 1 if struck.followed => {
                struck.rebuilds += 1;
                self.command_on(file, "resync", &[])
            }
            2 if struck.followed => {
                struck.rereadings += 1;
                self.command_on(file, "resync", &["--from-source"])
            }
            _ => self.command("sync", &[]),
        };
        let mut running = self.start(command);
        match what {
            0..=2 if struck.followed => {
                tokio::time::sleep(moment).await;
                match running.0.try_wait().unwrap() {
                    // Held deletes are said by the code.
                    Some(ended) => assert!(matches!(ended.code(), Some(0 | 3)), "{}", self.last_words()),
                    None => self.kill(&mut running, struck),
                }
            }
            3 => {
                tokio::time::sleep(moment).await;
                self.assert_runs(&mut running);
                running.signal("TERM");
                let ended = until("it stops", async || running.0.try_wait().unwrap()).await;
                // Before it listens for signals, this one ends it.
                let is_fine = matches!(ended.code(), None | Some(0 | 3));
                assert!(is_fine, "{ended}: {}", self.last_words());
                struck.stops += 1;
            }
            _ => self.kill_after(moment, &mut running, struck).await,
        }
    }

    async fn kill_after(&self, moment: Duration, running: &mut Running, struck: &mut Struck) {
        tokio::time::sleep(moment).await;
        struck.early += usize::from(moment < EARLY);
        self.kill(running, struck);
    }

    fn kill(&self, running: &mut Running, struck: &mut Struck) {
        self.assert_runs(running);
        running.signal("KILL");
        running.0.wait().unwrap();
        struck.kills += 1;
    }

    fn assert_runs(&self, running: &mut Running) {
        let ended = running.0.try_wait().unwrap();
        assert!(ended.is_none(), "it ended by itself: {ended:?}\n{}", self.last_words());
    }

    /// Every row and field is the source's, as each task wants them, and `verify` says so.
    async fn assert_exact(&self, figures: &mut Figures) {
        let (world, Scenario { document, flat, .. }) = (self.stage.sim.world(), self.scenario);
        let as_document = document.task("document", Mode::Document, Naming::SnakeCase);
        let as_flat = flat.task("flat", Mode::Flat, Naming::Original);
        let compared = [
            compare(&world, &self.document, &as_document).await.assert_equal(),
            cells::compare(&world, &self.flat, &as_flat, &world.projects(), &cells::first())
                .await
                .assert_equal(),
        ];
        figures.add("rows compared", compared.iter().map(|compared| compared.rows).sum());
        figures.add("fields compared", compared.iter().map(|compared| compared.fields).sum());
        for file in [0, 1] {
            run(self.command_on(file, "verify", &["--json"])).await.expect(0);
        }
    }

    /// Every delivery that was acknowledged is a row, once, and has been worked off.
    async fn assert_delivered(&self, figures: &mut Figures) {
        let world = self.stage.sim.world();
        let hooks = world.hooks();
        assert_eq!(hooks.len(), world.projects().len(), "one hook for each project: {hooks:?}");
        let sent: Vec<_> = hooks.iter().flat_map(|hook| world.hook_deliveries(&hook.id)).collect();
        let sent: Vec<_> = sent.iter().filter(|delivery| delivery.event != "PING").collect();
        let acknowledged: BTreeSet<&str> = sent
            .iter()
            .filter(|delivery| (200..300).contains(&delivery.status))
            .map(|delivery| &*delivery.id)
            .collect();
        let known: BTreeMap<&str, u64> = sent.iter().map(|delivery| (&*delivery.id, delivery.body)).collect();
        let inbox = SqliteInbox::open_beside(&self.state()).await.unwrap();
        let mut rows = 0;
        for (place, table, column) in
            [(&self.document, "events", "delivery_id"), (&self.flat, "Events", "DeliveryId")]
        {
            let mut found: BTreeMap<String, usize> = BTreeMap::new();
            for row in place.rows(&cells::table(table, vec![cells::column(column, Kind::Text)])).await {
                *found.entry(row[column].as_str().unwrap().to_owned()).or_default() += 1;
            }
            // What looks the same, to the byte, is one row.
            let bodies: BTreeSet<u64> =
                found.keys().filter_map(|id| known.get(id.as_str()).copied()).collect();
            let lacking: Vec<_> = acknowledged.iter().filter(|id| !bodies.contains(&known[**id])).collect();
            if let Some(first) = lacking.first() {
                let kept = inbox.find((**first).to_owned()).await.unwrap().map(|delivery| delivery.entry);
                panic!("{} were acknowledged and are not in {table}; the first: {kept:#?}", lacking.len());
            }
            let twice: Vec<_> = found.iter().filter(|(_, count)| **count > 1).collect();
            assert!(twice.is_empty(), "more than once in {table}: {twice:?}");
            let invented: Vec<_> = found.keys().filter(|id| !known.contains_key(id.as_str())).collect();
            assert!(invented.is_empty(), "nobody sent these of {table}: {invented:?}");
            rows += found.len();
        }
        let counts = inbox.counts().await.unwrap();
        inbox.close().await.unwrap();
        assert_eq!((counts.waiting, counts.dead), (0, 0), "{counts:?}");

        let counters = world.hook_counters();
        let of = |count: u64| usize::try_from(count).unwrap();
        figures.add("deliveries due", of(counters.total.deliveries));
        figures.add("… lost on their way", of(counters.total.dropped));
        figures.add("requests of hooks", of(counters.total.attempted));
        figures.add("… not answered", of(counters.total.failed));
        figures.add("… refused", of(counters.total.answered_other));
        figures.add("deliveries acknowledged", acknowledged.len());
        figures.add("rows of Events, of both tasks", rows);
        figures.add(TOLD, counters.rows.len());
        figures.add(UNTOLD, counters.missed().count());
    }
}
