//! The real binary on disks that fail at any call, flush nothing, or are full: a run does what it has to, or ends and
//! says why; what was acknowledged is kept; a run on a sound disk makes the target exact.
//!
//! Some calls in the suite, chosen anew each time; `TRIBUTARY_CHAOS=full` (`make chaos-disk`) goes through all of them.
//! `TRIBUTARY_CHAOS_SEED` repeats the choice of a run.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking, and show their figures"
)]

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use coding_sim::{ProjectConfig, SimConfig};
use engine::inbox::StandingKind;
use engine::status::State;
use futures::StreamExt as _;
use serde_json::json;
use test_faults::{Call, Disk, Errno, SmallDisk, Strike};

use crate::chaos::{Dice, again, is_full, seed};
use crate::compare::compare;
use crate::hooks::{Hooked, PROJECT, follows, task, team};
use crate::place::Place;
use crate::storm::{SECRET, TOKEN, signature};
use crate::support::{Ended, PATIENCE, Running, Stage, rotating_oauth, run, tributary, until};

/// Runs side by side: mostly they wait.
const AT_ONCE: usize = 6;
/// How long a delivery waits for its answer: a run that hangs is noticed.
const ANSWER: Duration = Duration::from_secs(10);
/// Starts that one fault may end: it strikes once.
const STARTS: u32 = 3;
/// For ever.
const ALWAYS: u64 = u64::MAX;

/// Which of so many calls fail, each in a run of its own: the first ones, then in steps that grow by up to one
/// `slope`th; in a full run all.
fn numbers(calls: u64, first: u64, slope: u64) -> Vec<u64> {
    if is_full() {
        return (1..=calls).collect();
    }
    let seed = seed();
    println!("seed {seed}; to repeat: {}", again(seed, "disk::"));
    let (mut dice, mut numbers) = (Dice(seed), (1..=first.min(calls)).collect::<Vec<_>>());
    let mut number = first;
    while number < calls {
        number += 1 + dice.below(number / slope + 2);
        numbers.push(number);
    }
    numbers
}

fn nth(first: u64, errno: Errno) -> Option<Strike> {
    Some(Strike { first, count: 1, errno })
}

/// Both kinds in turn.
fn errno(number: u64) -> Errno {
    if number.is_multiple_of(2) { Errno::Io } else { Errno::NoSpace }
}

/// Fails unless a run has done what it had to, or said which file is concerned, and what to do.
fn assert_understood(ended: &Ended, context: &str) {
    let said = &ended.stderr;
    assert!(!said.contains("panicked"), "{context}: {said}");
    if ended.code != Some(0) {
        assert_eq!(ended.code, Some(1), "{context}: {said}");
        let last = said.rfind("tributary: ").map(|at| said.split_at(at).1.trim_end());
        let last = last.unwrap_or_else(|| panic!("{context}: nothing was said: {said}"));
        assert!(last.ends_with(']'), "{context}: {last}");
        assert!(last.contains("coding.state") || last.contains("app.db"), "{context}: {last}");
    }
}

async fn assert_exact(stage: &Stage, place: &Place, context: &str) {
    let found = compare(&stage.sim.world(), place, &task()).await.differences;
    assert!(found.is_empty(), "{context}: {found:#?}");
}

/// A directory with a pipeline, for one run and its repetition.
struct Try {
    dir: PathBuf,
}

impl Try {
    fn new(file: &Path, number: u64) -> Try {
        let dir = file.with_file_name(number.to_string());
        std::fs::create_dir(&dir).unwrap();
        std::fs::copy(file, dir.join("app.yaml")).unwrap();
        Try { dir }
    }

    fn command(&self) -> Command {
        let mut command = tributary(&self.dir);
        command.args(["sync", "app.yaml", "--once"]);
        command
    }

    /// Runs it on a disk that fails, and where it ended again on a sound one; what came of it.
    async fn run(self, disk: &Disk, stage: &Stage, number: u64) -> Came {
        let mut command = self.command();
        disk.under(&mut command);
        let (ended, _) = Running::start(command).end().await;
        let context = format!("call {number} ({})", disk.last());
        assert_understood(&ended, &context);
        let place = Place::Sqlite(self.dir.join("app.db"));
        if ended.code == Some(0) {
            assert_exact(stage, &place, &context).await;
        }
        if ended.code != Some(0) || is_full() {
            let again = run(self.command()).await;
            assert_eq!(again.code, Some(0), "{context}: {ended:?}, then {again:?}");
            assert_exact(stage, &place, &context).await;
        }
        std::fs::remove_dir_all(self.dir).unwrap();
        Came { number, struck: disk.failed() > 0, ended: ended.code != Some(0) }
    }
}

/// What came of a run.
#[derive(Clone, Copy, Debug)]
struct Came {
    /// Which call was to fail.
    number: u64,
    /// Whether there was such a call.
    struck: bool,
    /// Whether the run ended because of it.
    ended: bool,
}

fn count(came: &[Came], what: impl Fn(&Came) -> bool) -> usize {
    came.iter().filter(|came| what(came)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_call_of_a_first_load_may_fail() {
    let stage = Stage::with(team(6)).await;
    let webhook = "  incremental: hybrid\n  webhook: { listen: \"127.0.0.1:0\", public_url: \
                   \"http://127.0.0.1:9\", register: manual }\n";
    let file = stage.pipeline("app", webhook, "");
    let sound = Try::new(&file, 0);
    let counting = Disk::below(&sound.dir);
    assert!(!sound.run(&counting, &stage, 0).await.ended);
    let calls = counting.calls();
    assert!(calls > 300, "{calls} calls");
    let strike = async |number: u64| {
        let trial = Try::new(&file, number);
        let disk = counting.beside(&trial.dir);
        disk.strike(nth(number, errno(number)));
        trial.run(&disk, &stage, number).await
    };
    let each = futures::stream::iter(numbers(calls, 40, 3)).map(&strike).buffer_unordered(AT_ONCE);
    let mut came: Vec<Came> = each.collect().await;
    let within = count(&came, |came| came.number <= calls);
    let struck = count(&came, |came| came.number <= calls && came.struck);
    // Not every run makes as many calls as the first one: on until one is over before its fault.
    let mut number = came.iter().map(|came| came.number).max().unwrap();
    while came.iter().all(|came| came.number < number || came.struck) {
        assert!(number < calls * 2, "no run is over before call {number}");
        let next: Vec<u64> = (number + 1..).take(AT_ONCE).collect();
        number = *next.last().unwrap();
        let each = futures::stream::iter(next).map(&strike).buffer_unordered(AT_ONCE);
        came.extend(each.collect::<Vec<Came>>().await);
    }
    println!(
        "disk: {} runs of a first load of some {calls} calls, {} met a fault, {} ended there, all exact afterwards",
        came.len(),
        count(&came, |came| came.struck),
        count(&came, |came| came.ended)
    );
    assert!(struck * 10 >= within * 9, "{struck} of {within} faults within {calls} calls struck");
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_call_of_a_rotation_of_tokens_may_fail() {
    let config = SimConfig { oauth: Some(rotating_oauth()), ..team(3) };
    // Each its own CODING: the first refresh token is good for one of them.
    let begin = async |number| {
        let stage = Stage::with(config.clone()).await;
        let file = stage.pipeline("app", "", "");
        let text = std::fs::read_to_string(&file).unwrap().replace(
            &format!("{{ token: \"{}\" }}", coding_sim::DEFAULT_TOKEN),
            "{ oauth: { client_id: app, client_secret: app-secret, refresh_token: first-refresh-token } }",
        );
        std::fs::write(&file, text).unwrap();
        let trial = Try::new(&file, number);
        (stage, trial)
    };
    let (stage, sound) = begin(0).await;
    let counting = Disk::below(&sound.dir);
    counting.count(&Call::EVERY, "vault");
    assert!(!sound.run(&counting, &stage, 0).await.ended);
    let calls = counting.calls();
    assert!(calls >= 8, "{calls} calls");
    // The last one is not made.
    let each = futures::stream::iter(1..=calls + 1).map(async |number| {
        let (stage, trial) = begin(number).await;
        let disk = counting.beside(&trial.dir);
        disk.count(&Call::EVERY, "vault");
        disk.strike(nth(number, errno(number)));
        let came = trial.run(&disk, &stage, number).await;
        assert_eq!(came.struck, number <= calls, "call {number} of {calls}");
        stage.sim.stop().await;
        came
    });
    let came: Vec<Came> = each.buffer_unordered(AT_ONCE).collect().await;
    println!(
        "disk: {} runs that renew tokens, {} met a fault at the vault, {} ended there, all exact afterwards",
        came.len(),
        count(&came, |came| came.struck),
        count(&came, |came| came.ended)
    );
    stage.sim.stop().await;
}

/// A sync with a hook, on a disk that can fail.
struct House {
    hooked: Hooked,
    disk: Disk,
    http: reqwest::Client,
    acknowledged: BTreeSet<String>,
}

impl House {
    async fn new() -> House {
        House::of(team(12)).await
    }

    async fn of(config: SimConfig) -> House {
        let webhook = format!("    register: manual\n    token: {TOKEN}\n    secret: \"{SECRET}\"\n");
        let hooked = Hooked::new(config, &webhook, "").await;
        let disk = Disk::below(hooked.stage.dir.path());
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER).build().unwrap();
        House { hooked, disk, http, acknowledged: BTreeSet::new() }
    }

    fn begin(&self) -> Running {
        let _there_was_none = std::fs::remove_file(self.hooked.state().join("status.json"));
        let mut command = self.hooked.command("sync", &[]);
        self.disk.under(&mut command);
        Running::start(command)
    }

    async fn start(&self) -> Running {
        let mut running = self.begin();
        self.hooked.until_follows(&mut running).await;
        running
    }

    /// Takes note of how a run ended, and begins anew until one follows; how many ended.
    async fn go_on(&self, running: &mut Running, context: &str) -> u32 {
        let mut ended = 0;
        loop {
            let over = std::mem::replace(running, self.begin());
            let (over, _) = over.end().await;
            assert_understood(&over, context);
            assert_ne!(over.code, Some(0), "{context}: {over:?}");
            ended += 1;
            assert!(ended <= STARTS, "{context}: one start after the other ends: {over:?}");
            let follows = until("it follows, or ends", async || match running.0.try_wait().unwrap() {
                Some(_) => Some(false),
                None => self.hooked.status().is_some_and(|status| follows(&status)).then_some(true),
            });
            if follows.await {
                return ended;
            }
        }
    }

    /// Tells of a change of an issue; the status of the answer, if there was one.
    async fn tell(&mut self, id: &str, code: u32, bulk: usize) -> Option<u16> {
        let body = json!({
            "event": "ISSUE_UPDATED", "project": {"name": PROJECT}, "issue": {"code": code}, "id": id,
            "bulk": noise(bulk),
        });
        let body = body.to_string().into_bytes();
        let request = self
            .http
            .post(format!("http://127.0.0.1:{}/hooks/{TOKEN}", self.hooked.port))
            .header("Content-Type", "application/json")
            .header("X-Coding-Service-Hook-Event", "ISSUE_UPDATED")
            .header("X-Coding-Delivery", id)
            .header("X-Coding-Signature", signature(&body))
            .body(body);
        let status = request.send().await.ok()?.status();
        if status.is_success() {
            self.acknowledged.insert(id.to_owned());
        }
        Some(status.as_u16())
    }

    /// Changes an issue, tells of it until it is taken, and waits until the target is exact; how many runs ended
    /// meanwhile, and were begun anew.
    async fn change(&mut self, running: &mut Running, context: &str) -> u32 {
        let (id, mut ended) = (context.replace(' ', "-"), 0);
        self.hooked.rename(3, context);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if running.0.try_wait().unwrap().is_some() {
                ended += self.go_on(running, &format!("{context} ({})", self.disk.last())).await;
            }
            // The sender comes again until it is told that the delivery has been taken.
            let told = self.acknowledged.contains(&id) || self.tell(&id, 3, 0).await == Some(200);
            let world = self.hooked.world();
            let wrong = compare(&world, &self.hooked.place(), &task()).await.differences;
            if told && wrong.is_empty() {
                return ended;
            }
            assert!(
                Instant::now() < deadline,
                "{context} ({}): the delivery is taken: {told}; {wrong:#?}",
                self.disk.last()
            );
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Waits until all that was acknowledged is worked off; how many runs ended meanwhile, and were begun anew.
    async fn until_kept(&self, running: &mut Running, context: &str) -> u32 {
        let (mut ended, deadline) = (0, Instant::now() + 2 * PATIENCE);
        loop {
            if running.0.try_wait().unwrap().is_some() {
                ended += self.go_on(running, context).await;
            }
            let entries = self.hooked.entries().await;
            let waiting: Vec<_> =
                entries.iter().filter(|entry| entry.standing.kind() == StandingKind::Waiting).collect();
            if entries.len() >= self.acknowledged.len() && waiting.is_empty() {
                return ended;
            }
            assert!(
                Instant::now() < deadline,
                "{context} ({}): {} of {} are in the inbox, waiting: {waiting:#?}; {:#?}",
                self.disk.last(),
                entries.len(),
                self.acknowledged.len(),
                self.hooked.status()
            );
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Fails unless all that was acknowledged is in the inbox, once, and worked off.
    async fn assert_kept(&self) {
        let entries = self.hooked.until_settled(self.acknowledged.len()).await;
        let ids: Vec<String> = entries.iter().filter_map(|entry| entry.delivery_id.clone()).collect();
        let once: BTreeSet<String> = ids.iter().cloned().collect();
        assert_eq!(once.len(), ids.len(), "a delivery is there twice");
        let lost: Vec<_> = self.acknowledged.difference(&once).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        let dead: Vec<_> =
            entries.iter().filter(|entry| entry.standing.kind() == StandingKind::Dead).collect();
        assert!(dead.is_empty(), "{dead:?}");
    }
}

/// Text of so many letters that does not compress well.
fn noise(letters: usize) -> String {
    let mut dice = Dice(u64::try_from(letters).unwrap() | 1);
    let letter = |_| char::from(b'a' + u8::try_from(dice.below(26)).unwrap());
    (0..letters).map(letter).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_call_while_it_follows_may_fail() {
    let mut house = House::new().await;
    let mut running = house.start().await;
    house.disk.strike(None);
    let mut ended = house.change(&mut running, "undisturbed").await;
    assert_eq!(ended, 0, "a run on a sound disk ended");
    let calls = house.disk.calls();
    // Some fifty calls take a delivery in, look, record and write; then come those of the next status.
    let (numbers, mut changes) = (numbers(calls.max(120), 3, 1), 1);
    assert!(calls > 10, "a change costs {calls} calls");
    for number in &numbers {
        house.disk.strike(nth(*number, errno(*number)));
        let deadline = Instant::now() + 2 * PATIENCE;
        // Until there was such a call: a change may cost fewer of them.
        while house.disk.failed() == 0 {
            assert!(Instant::now() < deadline, "call {number} is never made");
            changes += 1;
            ended += house.change(&mut running, &format!("call {number}, change {changes}")).await;
        }
    }
    house.disk.strike(None);
    // The last fault may have struck after its change had arrived, and a run that it ends takes its time.
    ended += house.until_kept(&mut running, "the last call").await;
    house.assert_kept().await;
    println!(
        "disk: {changes} changes told of, some {calls} calls each; {} met a fault, {ended} ended the process, all \
         exact afterwards",
        numbers.len()
    );
    house.hooked.stop(running).await;
    house.hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_whose_flush_fails_is_never_acknowledged() {
    let mut house = House::new().await;
    let running = house.start().await;
    house.disk.count(&[Call::Flush], "inbox.db");
    house.disk.strike(Some(Strike { first: 1, count: ALWAYS, errno: Errno::Io }));
    for id in ["one", "two", "three", "one", "two", "three"] {
        let status = house.tell(id, 3, 0).await;
        assert_eq!(status, Some(500), "{id}");
    }
    drop(running);
    // What it wrote can be read back, and may be nowhere but in memory: it must not count as kept.
    let (ended, _) = house.begin().end().await;
    assert_understood(&ended, "an inbox that cannot be flushed");
    let ended = ended.expect(1);
    assert!(ended.stderr.contains("inbox.db") && ended.stderr.contains("[JOURNAL-IO]"), "{ended:?}");
    house.disk.strike(None);
    let running = house.start().await;
    for id in ["one", "two", "three"] {
        assert_eq!(house.tell(id, 3, 0).await, Some(200), "{id}");
    }
    house.assert_kept().await;
    println!("disk: 6 deliveries whose flush failed, none acknowledged; 3 sent again, all kept");
    house.hooked.stop(running).await;
    house.hooked.stage.sim.stop().await;
}

/// What lies on the small disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Small {
    State,
    Target,
    Both,
}

/// A load that finds no room, then changes and deliveries that find none.
async fn full(small: Small, name: &str) {
    let below = tempfile::tempdir().unwrap();
    // The journal's log may grow to 32 MiB before it is carried over; a target has its own beside that.
    let megabytes = if small == Small::Both { 64 } else { 24 };
    let Some(disk) = SmallDisk::new(&format!("disk::{name}"), megabytes, below.path()) else { return };
    let projects = vec![ProjectConfig::new(PROJECT, 900, 6, 12)];
    let mut house = House::of(SimConfig { projects, ..team(0) }).await;
    let home = house.hooked.stage.dir.path().to_owned();
    if small != Small::Target {
        std::fs::create_dir(disk.path().join("state")).unwrap();
        std::os::unix::fs::symlink(disk.path().join("state"), house.hooked.state()).unwrap();
    }
    if small != Small::State {
        std::os::unix::fs::symlink(disk.path().join("app.db"), home.join("app.db")).unwrap();
    }
    let log = home.join("log");
    let mut command = house.hooked.command("sync", &[]);
    command.env("TRIBUTARY_LOG", "debug").stdout(Stdio::null()).stderr(File::create(&log).unwrap());
    disk.under(&mut command);
    // Enough to begin with, too little to end with.
    disk.fill(900_000);
    let mut running = Running::start(command);
    let says = |code: &str| std::fs::read_to_string(&log).unwrap().matches(code).count();
    let codes = ["JOURNAL-NO-ROOM", "SQLITE-FULL"];
    let all = || codes.map(says).iter().sum::<usize>();
    until("the load finds no room", async || (all() > 0).then_some(())).await;
    assert_eq!(running.0.try_wait().unwrap(), None, "{}", std::fs::read_to_string(&log).unwrap());
    disk.free();
    house.hooked.until_follows(&mut running).await;
    house.hooked.becomes_exact().await;

    disk.fill(0);
    let before = all();
    let (mut refused, mut number) = (BTreeSet::new(), 0);
    // Until the disk is full in earnest: what is left in the files is used up first.
    while all() == before || (small != Small::Target && refused.len() < 3) {
        number += 1;
        assert!(number < 300, "the disk is never full: {:?}", codes.map(says));
        let code = number % 50 + 1;
        house.hooked.rename(code, &noise(50_000 + usize::try_from(number).unwrap()));
        let id = format!("full-{number}");
        match house.tell(&id, code, 100_000).await {
            Some(200) => {}
            Some(503) => drop(refused.insert((id, code))),
            other => panic!("{id} was answered {other:?}"),
        }
    }
    assert_eq!(small == Small::Target, refused.is_empty(), "{refused:?}");
    if small == Small::Target {
        until("the status says it", async || {
            let status = house.hooked.status()?;
            let state = &status.tasks.get(PROJECT)?.activity.state;
            matches!(state, State::Waiting { problem, .. } if problem.code == "SQLITE-FULL").then_some(())
        })
        .await;
    }
    assert_eq!(running.0.try_wait().unwrap(), None, "{}", std::fs::read_to_string(&log).unwrap());
    disk.free();
    for (id, code) in &refused {
        until("the repetition is taken", async || {
            (house.tell(id, *code, 100_000).await == Some(200)).then_some(())
        })
        .await;
    }
    house.hooked.becomes_exact().await;
    house.assert_kept().await;
    running.signal("TERM");
    let code = until("it ends", async || running.0.try_wait().unwrap()).await.code();
    assert_eq!(code, Some(0), "{}", std::fs::read_to_string(&log).unwrap());
    println!(
        "disk: {small:?} full ({disk}): {number} deliveries, {} of them refused at first, {:?} times {codes:?}, all \
         exact afterwards",
        refused.len(),
        codes.map(says)
    );
    house.hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_on_a_full_disk_goes_on_when_there_is_room() {
    full(Small::State, "a_state_on_a_full_disk_goes_on_when_there_is_room").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_on_a_full_disk_goes_on_when_there_is_room() {
    full(Small::Target, "a_target_on_a_full_disk_goes_on_when_there_is_room").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs with `make chaos-disk`"]
async fn both_on_a_full_disk_go_on_when_there_is_room() {
    full(Small::Both, "both_on_a_full_disk_go_on_when_there_is_room").await;
}
