//! A pipeline with a hook, and what happens around it: changes at the source, deliveries of them, runs that fail.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail loudly")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use coding_sim::{IssueFields, Operation, ProjectConfig, SimConfig, WorldHandle};
use engine::change::ChangeKind;
use engine::inbox::{Entry, StandingKind};
use engine::journal::{Journal, Limit};
use engine::position::Sequence;
use engine::row::{Row, RowKey};
use serde_json::json;
use store::journal::SqliteJournal;

use crate::compare::compare;
use crate::hooks::{Hooked, PROJECT, follows, task};
use crate::place::{Place, TargetKind};
use crate::storm::{SECRET, TOKEN, signature};
use crate::support::{Ended, PATIENCE, Running, Stage, until};

/// Issues of the project that changes.
const ISSUES: u32 = 8;
/// A project that comes and goes.
const OTHER: &str = "lib";
/// Between two changes.
const PAUSE: Duration = Duration::from_millis(40);
/// Changes that a run with many points set is given once it works.
const CHANGES: u32 = 12;

/// Steps whose errors nobody speaks of, and why.
const QUIET: [(&str, &str); 1] =
    [("receiver::accept", "it is the answer to the sender, who is asked to come again")];

/// What the pipeline is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Two projects, with details.
    Usual,
    /// One project, without details.
    Other,
}

const USUAL: [&str; 2] = ["[app, lib]", "details: background"];
const OTHERWISE: [&str; 2] = ["[app]", "details: off"];

/// A pipeline and everything around it.
pub(crate) struct Scene {
    hooked: Hooked,
    place: Place,
    http: reqwest::Client,
    form: Form,
    runs: u32,
    changes: u32,
    /// Issues made meanwhile.
    made: Vec<u32>,
    /// Delivery ids that were answered 200.
    acknowledged: BTreeSet<String>,
}

/// A run of the binary, and what it says.
pub(crate) struct Run {
    running: Running,
    log: PathBuf,
}

impl Run {
    fn ended(&mut self) -> Option<ExitStatus> {
        self.running.0.try_wait().unwrap()
    }

    /// Has it end, and waits for that.
    async fn terminated(&mut self) -> ExitStatus {
        self.running.signal("TERM");
        until("the process ends", async || self.ended()).await
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// How often each point was reached.
    pub(crate) fn reached(&self) -> BTreeMap<String, usize> {
        let mut reached = BTreeMap::new();
        let said = self.said();
        for point in said.split("reached point=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            *reached.entry(point.to_owned()).or_default() += 1;
        }
        reached
    }

    fn times(&self, point: &str) -> usize {
        self.reached().get(point).copied().unwrap_or(0)
    }

    /// What was said, but for the points.
    fn words(&self) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.lines().filter(|line| !line.contains("reached point=")).collect();
        lines.join("\n")
    }
}

impl Scene {
    pub(crate) async fn new(target: TargetKind) -> Scene {
        let stage = Stage::with(SimConfig {
            projects: vec![ProjectConfig::new(PROJECT, ISSUES, 2, 3), ProjectConfig::new(OTHER, 4, 1, 2)],
            rate_limit: 0,
            ..SimConfig::default()
        })
        .await;
        let place = Place::new(target, stage.dir.path()).await;
        let webhook = format!(
            "    register: manual\n    token: {TOKEN}\n    secret: {SECRET}\n  polling: {{ interval: 1s, \
             census_interval: 2s, look_back: 1h }}\n  details: background\n"
        );
        let rest = "task: { tables: [Issues, Iterations, ProjectMembers, Events] }\n";
        let hooked = Hooked::on(stage, &place, &webhook, rest);
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
        Scene {
            hooked,
            place,
            http,
            form: Form::Usual,
            runs: 0,
            changes: 0,
            made: Vec::new(),
            acknowledged: BTreeSet::new(),
        }
    }

    pub(crate) async fn close(self) {
        self.hooked.stage.sim.stop().await;
    }

    fn world(&self) -> WorldHandle {
        self.hooked.world()
    }

    /// Makes the pipeline another one.
    pub(crate) fn become_form(&mut self, form: Form) {
        if self.form != form {
            let (from, to) = if form == Form::Other { (USUAL, OTHERWISE) } else { (OTHERWISE, USUAL) };
            for (from, to) in from.into_iter().zip(to) {
                self.hooked.edit(from, to);
            }
            self.form = form;
        }
    }

    /// Takes away state and target: the next start is the first.
    pub(crate) async fn forget_everything(&mut self) {
        std::fs::remove_dir_all(self.hooked.state()).unwrap();
        match &self.place {
            Place::Sqlite(file) => {
                for ending in ["", "-wal", "-shm"] {
                    let mut name = file.clone().into_os_string();
                    name.push(ending);
                    let _there_is_none = std::fs::remove_file(name);
                }
            }
            Place::Postgres { schema, .. } => {
                self.place.execute(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE")).await;
            }
        }
        self.acknowledged.clear();
    }

    /// Starts a sync, with points set.
    pub(crate) fn begin(&mut self, points: Option<&str>) -> Run {
        self.runs += 1;
        let log = self.hooked.stage.path(&format!("run-{}.log", self.runs));
        let mut command = self.hooked.command("sync", &[]);
        command.env("TRIBUTARY_LOG", "info,failpoint=trace");
        command.stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        if let Some(points) = points {
            command.env("FAILPOINTS", points);
        }
        let _there_was_none = std::fs::remove_file(self.hooked.state().join("status.json"));
        Run { running: Running::start(command), log }
    }

    /// Changes something at the source and has it told of; the delivery's id where it was acknowledged.
    async fn change(&mut self) -> Option<String> {
        self.changes += 1;
        let number = self.changes;
        let (event, code) = match (number % 8, self.made.first()) {
            (3, _) => {
                let fields = Box::new(IssueFields {
                    name: Some(format!("made by change {number}")),
                    ..IssueFields::default()
                });
                let create = Operation::CreateIssue { project: PROJECT.to_owned(), fields };
                let code = self.world().apply(&[create]).unwrap().first().unwrap().key;
                self.made.push(code);
                ("ISSUE_CREATED", code)
            }
            (7, Some(code)) => {
                let code = *code;
                self.made.remove(0);
                let delete = Operation::DeleteIssue { project: PROJECT.to_owned(), code };
                self.world().apply(&[delete]).unwrap();
                ("ISSUE_DELETED", code)
            }
            _ => {
                let code = number % ISSUES + 1;
                self.hooked.rename(code, &format!("change {number}"));
                ("ISSUE_UPDATED", code)
            }
        };
        self.tell(event, code, number).await
    }

    async fn tell(&mut self, event: &str, code: u32, number: u32) -> Option<String> {
        let issue = json!({"code": code, "updated_at": number});
        let body = json!({"event": event, "project": {"name": PROJECT}, "issue": issue}).to_string();
        let id = format!("delivery-{number}");
        let request = self
            .http
            .post(format!("http://127.0.0.1:{}/hooks/{TOKEN}", self.hooked.port))
            .header("Content-Type", "application/json")
            .header("X-Coding-Service-Hook-Event", event)
            .header("X-Coding-Delivery", &id)
            .header("X-Coding-Signature", signature(body.as_bytes()))
            .body(body);
        // The status alone is the receipt, as it is to CODING.
        let taken = request.send().await.is_ok_and(|answer| answer.status().is_success());
        taken.then(|| {
            self.acknowledged.insert(id.clone());
            id
        })
    }

    /// Changes things until a run has reached a point so often. Fails when it never does.
    async fn until_reached(&mut self, run: &mut Run, point: &str, times: usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = run.ended();
            if run.times(point) >= times {
                return;
            }
            assert!(ended.is_none(), "{point} was not reached: the run ended\n{}", run.words());
            assert!(
                Instant::now() < deadline,
                "{point} was reached {} times\n{}",
                run.times(point),
                run.words()
            );
            self.change().await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until the run has ended, or everything works: a delivery is taken in and worked off, and the target is
    /// exact.
    async fn until_works(&mut self, run: &mut Run) -> Option<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        let mut probe = None;
        loop {
            if let Some(status) = run.ended() {
                return Some(status);
            }
            let Some(id) = &probe else {
                probe = self.change().await;
                tokio::time::sleep(PAUSE).await;
                assert!(Instant::now() < deadline, "no delivery is taken in\n{}", run.words());
                continue;
            };
            let settled = |entry: &Entry| entry.standing.kind() != StandingKind::Waiting;
            let entries = self.hooked.entries().await;
            let found = entries.iter().find(|entry| entry.delivery_id.as_ref() == Some(id));
            let found = found.unwrap_or_else(|| panic!("{id} was acknowledged and is lost"));
            let wrong = match settled(found) {
                false => vec![format!("{id} waits")],
                // Before that there may be no tables to look into.
                true if !run.reached().keys().any(|point| point.ends_with("::prepare::after")) => {
                    vec!["the tables are not prepared".to_owned()]
                }
                true => self.differences(&entries).await,
            };
            if wrong.is_empty() {
                return None;
            }
            let shown: Vec<&String> = wrong.iter().take(5).collect();
            assert!(Instant::now() < deadline, "it does not get right: {shown:#?}\n{}", run.words());
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What is not as it will be, in words.
    async fn differences(&self, entries: &[Entry]) -> Vec<String> {
        if self.form == Form::Other {
            let follows = self.hooked.status().is_some_and(|status| follows(&status));
            let owned = self.place.number("SELECT count(DISTINCT project) FROM _tributary_owners").await;
            return match follows && owned == 1 {
                true => Vec::new(),
                false => vec![format!("it follows: {follows}; {owned} projects")],
            };
        }
        let mut wrong = compare(&self.world(), &self.place, &task()).await.differences;
        let rows = self.place.number("SELECT count(*) FROM events").await;
        if i64::try_from(entries.len()).unwrap() != rows {
            wrong.push(format!("{} deliveries are {rows} rows", entries.len()));
        }
        let waits = entries.iter().filter(|entry| entry.standing.kind() == StandingKind::Waiting).count();
        if waits > 0 {
            wrong.push(format!("{waits} deliveries wait"));
        }
        wrong
    }

    /// Runs until everything works. Nothing is set: nothing may fail.
    pub(crate) async fn recover(&mut self) -> Run {
        let mut run = self.begin(None);
        let ended = self.until_works(&mut run).await;
        assert!(ended.is_none(), "a run after the fault ended with {ended:?}\n{}", run.words());
        run
    }

    /// Stops a run, and looks at what it left.
    pub(crate) async fn stop(&mut self, mut run: Run) {
        let ended = run.terminated().await;
        assert_eq!(ended.code(), Some(0), "{}", run.words());
        self.assert_kept().await;
    }

    /// Fails unless what was acknowledged is there, once, and the log tells what can have happened.
    async fn assert_kept(&self) {
        let entries = self.hooked.entries().await;
        let found: BTreeSet<String> = entries.iter().filter_map(|entry| entry.delivery_id.clone()).collect();
        assert_eq!(found.len(), entries.len(), "a delivery is there twice");
        let lost: Vec<_> = self.acknowledged.difference(&found).collect();
        assert!(lost.is_empty(), "{lost:?} were acknowledged and are lost");
        let dead = entries.iter().filter(|entry| entry.standing.kind() == StandingKind::Dead).count();
        assert_eq!(dead, 0, "deliveries were given up");
        assert_lawful(&self.hooked.state()).await;
    }

    /// Strikes a point of a run after having let it pass `skip` times, waits until everything works again, and says
    /// how that came.
    pub(crate) async fn strike(&mut self, point: &str, skip: usize, action: &str) -> How {
        let mut run = self.begin(Some(&format!("{point}={skip}*off->1*{action}")));
        self.until_reached(&mut run, point, skip + 1).await;
        self.get_over(run, point, action).await
    }

    /// Runs with many points set until everything works, and through some changes more, which it must without ending;
    /// says how often each point was reached.
    pub(crate) async fn bear(&mut self, points: &str) -> BTreeMap<String, usize> {
        let mut run = self.begin(Some(points));
        let ended = self.until_works(&mut run).await;
        assert!(ended.is_none(), "it ended with {ended:?}\n{}", run.words());
        for _ in 0..CHANGES {
            self.change().await;
            tokio::time::sleep(PAUSE).await;
        }
        let ended = self.until_works(&mut run).await;
        assert!(ended.is_none(), "it ended with {ended:?}\n{}", run.words());
        let reached = run.reached();
        self.stop(run).await;
        reached
    }

    /// The same for the points of rows that cannot be stored.
    pub(crate) async fn strike_aside(&mut self, point: &str, action: &str) -> How {
        let (forbid, allow) = match &self.place {
            Place::Sqlite(_) => (
                "CREATE TRIGGER no_poison BEFORE INSERT ON issues WHEN NEW.name = 'poison' \
                 BEGIN SELECT RAISE(ABORT, 'poison'); END",
                "DROP TRIGGER no_poison",
            ),
            Place::Postgres { .. } => (
                "ALTER TABLE issues ADD CONSTRAINT no_poison CHECK (name <> 'poison')",
                "ALTER TABLE issues DROP CONSTRAINT no_poison",
            ),
        };
        self.place.execute(forbid).await;
        self.hooked.rename(1, "poison");
        let mut run = self.begin(Some(&format!("{point}=1*{action}")));
        until("a row is put aside", async || (run.times(point) > 0 || run.ended().is_some()).then_some(()))
            .await;
        assert!(run.times(point) > 0, "{}", run.words());
        self.place.execute(allow).await;
        self.hooked.rename(1, "antidote");
        self.get_over(run, point, action).await
    }

    /// The same for the points of `hooks replay`.
    pub(crate) async fn strike_replay(&mut self, point: &str, action: &str) -> How {
        let mut run = self.recover().await;
        let id = self.acknowledged.iter().next().unwrap().clone();
        let replay = || self.hooked.command("hooks", &["replay", &id]);
        let mut command = replay();
        command.env("FAILPOINTS", format!("{point}=1*{action}")).env("TRIBUTARY_LOG", "failpoint=trace");
        let struck = crate::support::run(command).await;
        if !assert_command_told(&struck, point, action) {
            crate::support::run(replay()).await.expect(0);
        }
        let ended = self.until_works(&mut run).await;
        assert!(ended.is_none(), "{}", run.words());
        self.stop(run).await;
        How::of(&struck)
    }

    /// The same for the points of `verify --repair` over columns that somebody changed.
    pub(crate) async fn strike_mend(&mut self, point: &str, action: &str) -> How {
        let spoilt = [
            "ALTER TABLE issues DROP COLUMN name",
            "ALTER TABLE issues ADD COLUMN name DOUBLE PRECISION",
            "ALTER TABLE iterations DROP COLUMN goal",
            "DELETE FROM issues WHERE code = 2",
        ];
        // Columns that stand mended have every row written again by whoever comes next.
        let heals = point.ends_with("::after");
        self.strike_over(&spoilt, ("verify", &["--repair"]), heals, point, action).await
    }

    /// The same for points of `resync` over rows that somebody changed.
    pub(crate) async fn strike_resync(&mut self, point: &str, action: &str) -> How {
        let spoilt = [
            "UPDATE issues SET name = 'spoilt' WHERE code % 3 = 0",
            "UPDATE iterations SET name = 'spoilt'",
            "DELETE FROM issues WHERE code = 2",
        ];
        // A rebuild that has begun is gone on with by whoever comes next.
        let heals = point.contains("::write::") || point.ends_with("::prepare::after");
        self.strike_over(&spoilt, ("resync", &[]), heals, point, action).await
    }

    /// Strikes a point of a command over a target that somebody spoilt. Where it fails, a sync makes the target exact;
    /// unless that `heals` alone, after the command has been repeated.
    async fn strike_over(
        &mut self,
        spoilt: &[&str],
        (name, arguments): (&str, &[&str]),
        heals: bool,
        point: &str,
        action: &str,
    ) -> How {
        let run = self.recover().await;
        self.stop(run).await;
        for sql in spoilt {
            self.place.execute(sql).await;
        }
        let mut command = self.hooked.command(name, arguments);
        command.env("FAILPOINTS", format!("{point}=1*{action}"));
        command.env("TRIBUTARY_LOG", "info,failpoint=trace");
        let struck = crate::support::run(command).await;
        if !assert_command_told(&struck, point, action) && !heals {
            self.hooked.run(name, arguments).await.expect(0);
        }
        let run = self.recover().await;
        self.stop(run).await;
        How::of(&struck)
    }

    /// Waits until everything works again after a point was struck, in this run or in the next.
    async fn get_over(&mut self, mut run: Run, point: &str, action: &str) -> How {
        let ended = match self.until_works(&mut run).await {
            Some(ended) => ended,
            // What a fault ends may work a moment longer.
            None => run.terminated().await,
        };
        let said = run.words();
        let words = format!("failpoint {point}");
        let last = said.lines().last().unwrap_or_default();
        let code =
            last.strip_prefix("tributary: ").and_then(|last| last.rsplit_once('[')?.1.strip_suffix(']'));
        let (delayed, panicked) = (action.starts_with("sleep"), action == "panic");
        let quiet = QUIET.iter().any(|(step, _)| point.starts_with(step));
        let how = match (ended.code(), code) {
            (Some(0), _) if delayed || quiet || said.contains(&words) => How::WentOn,
            (Some(1), Some("BUG")) if panicked && said.contains(&words) => How::Ended("1, [BUG]".to_owned()),
            (Some(1), Some(code)) if last.contains(&words) => How::Ended(format!("1, [{code}]")),
            // The main thread itself.
            (Some(101), _) if panicked && said.contains(&words) => How::Ended("101".to_owned()),
            _ => panic!("{point}, {action}: ended with {ended}, and nobody says why\n{said}"),
        };
        if how == How::WentOn {
            self.assert_kept().await;
        } else {
            let run = self.recover().await;
            self.stop(run).await;
        }
        how
    }
}

/// How it went on after a point was struck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The run, or the command, did what it had to.
    WentOn,
    /// It ended, and said why.
    Ended(String),
}

impl How {
    fn of(command: &Ended) -> How {
        match command.code {
            Some(0) => How::WentOn,
            code => How::Ended(format!("{code:?}")),
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            How::WentOn => f.write_str("went on"),
            How::Ended(how) => write!(f, "ended with {how}"),
        }
    }
}

/// Fails unless a command that was struck has reached the point, and said what failed where it did not do what it had
/// to; whether it did.
fn assert_command_told(struck: &Ended, point: &str, action: &str) -> bool {
    assert!(struck.stderr.contains(&format!("reached point=\"{point}\"")), "{struck:?}");
    let told = struck.stderr.contains(&format!("failpoint {point}"));
    assert!(told || action.starts_with("sleep"), "nobody says why: {struck:?}");
    struck.code == Some(0)
}

/// Fails unless every change of a row begins where the one before it ended.
async fn assert_lawful(state: &Path) {
    let journal = SqliteJournal::open_read_only(state).await.unwrap();
    let mut known: HashMap<RowKey, Option<Row>> = HashMap::new();
    let mut after = Sequence(0);
    loop {
        let changes = journal.log_after(after, Limit { rows: 1_000, bytes: 8 << 20 }).await.unwrap();
        let Some(last) = changes.last() else { break };
        assert!(last.sequence > after);
        after = last.sequence;
        for change in changes {
            assert_eq!(change.before.is_none(), change.kind == ChangeKind::Insert, "{change:?}");
            assert_eq!(change.after.is_none(), change.kind == ChangeKind::Delete, "{change:?}");
            let before = known.insert(change.key, change.after.clone());
            assert!(before.is_none_or(|before| before == change.before), "out of nothing: {change:?}");
        }
    }
    journal.close().await.unwrap();
}
