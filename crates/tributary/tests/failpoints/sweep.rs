//! Strikes every point in every way. An error and a panic get a run each; the delays of all points share one, at every
//! pass, for nothing ends by them.
//!
//! A point of what happens while changes are followed is struck then: it is let pass as often as a start passes it.
//! `TRIBUTARY_CHAOS=full` (`make failpoints`) strikes it at more moments, and has everything shared done with both
//! targets.
#![expect(clippy::print_stdout, reason = "a sweep shows what was struck, and how that ended")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use coding_sim::{DEFAULT_TOKEN, FaultKind, Faults, MutationKind, OAuthConfig, ProjectConfig, SimConfig};

use super::scene::{Form, How, Scene};
use super::{OF_A_TARGET, SHARED, When};
use crate::chaos::is_full;
use crate::place::{TargetKind, on_each_target};
use crate::support::{Running, Stage, rotating_oauth, run, tributary, until};

/// A delay of the first pass, longer than anything waits for a lock without saying so, shorter than any time-out; then a
/// shorter one of every pass.
const DELAY: &str = "sleep(120)->sleep(20)";
/// Errors that are waited out; the disk's own error, which is none of them, has runs of its own.
const PASSING: &str = "return(busy)";

/// Steps that no run makes of itself.
const APART: [When; 3] = [When::Aside, When::Replay, When::Mend];

fn room(target: TargetKind) -> &'static str {
    match target {
        TargetKind::Sqlite => "sqlite",
        TargetKind::Postgres => "postgres",
    }
}

/// The steps that a pipeline with this target makes.
fn steps(target: TargetKind) -> Vec<(String, When)> {
    let own = OF_A_TARGET.iter().map(|(step, when)| (format!("{}::{step}", room(target)), *when));
    let shared = SHARED.iter().filter(|(_, when)| *when != When::Renewal);
    shared.map(|(step, when)| ((*step).to_owned(), *when)).chain(own).collect()
}

/// The steps that a pipeline with this target is struck at: each shared one with one of the targets.
fn shares(target: TargetKind) -> Vec<(String, When)> {
    let keeps = |step: &str| step.starts_with("journal::") || step.starts_with("vault::");
    let mine = |step: &str| match target {
        TargetKind::Sqlite => !keeps(step),
        TargetKind::Postgres => keeps(step) || step.starts_with("postgres::"),
    };
    let mut steps = steps(target);
    steps.retain(|(step, _)| is_full() || mine(step));
    steps
}

fn points(step: &str) -> [String; 2] {
    ["before", "after"].map(|side| format!("{step}::{side}"))
}

on_each_target!(
    after_an_error_it_goes_on_or_ends_and_comes_back_exact,
    after_a_panic_it_goes_on_or_ends_and_comes_back_exact,
    a_resync_that_fails_comes_back_exact,
    delayed_everywhere_it_is_exact,
    what_passes_is_waited_out,
);

async fn after_an_error_it_goes_on_or_ends_and_comes_back_exact(target: TargetKind) {
    strike_all(target, "return").await;
}

async fn after_a_panic_it_goes_on_or_ends_and_comes_back_exact(target: TargetKind) {
    strike_all(target, "panic").await;
}

async fn strike_all(target: TargetKind, action: &str) {
    let mut scene = Scene::new(target).await;
    // What a start passes: the first one on a state is another.
    let first = scene.recover().await;
    scene.stop(first).await;
    let usual = scene.recover().await;
    let passed = usual.reached();
    scene.stop(usual).await;
    let (mut strikes, mut went_on) = (0, 0);
    for (step, when) in shares(target) {
        for point in points(&step) {
            let passed = passed.get(&point).copied().unwrap_or(0);
            let moments = match when {
                When::Following if is_full() => BTreeSet::from([0, 1, passed / 2, passed, passed + 3]),
                When::Following => BTreeSet::from([passed]),
                _ => BTreeSet::from([0]),
            };
            for skip in moments {
                let began = std::time::Instant::now();
                let how = strike(&mut scene, when, &point, skip, action).await;
                println!("{point} after {skip}, {action}: {how} ({} ms)", began.elapsed().as_millis());
                strikes += 1;
                went_on += u32::from(how == How::WentOn);
            }
        }
    }
    let ended = strikes - went_on;
    println!(
        "failpoints: {target:?}, {action}: {strikes} strikes, {went_on} went on, {ended} ended and said why, all exact \
         afterwards"
    );
    scene.close().await;
}

async fn strike(scene: &mut Scene, when: When, point: &str, skip: usize, action: &str) -> How {
    match when {
        When::First => scene.forget_everything().await,
        When::Switch => scene.become_form(Form::Other),
        When::Aside => return scene.strike_aside(point, action).await,
        When::Replay => return scene.strike_replay(point, action).await,
        When::Mend => return scene.strike_mend(point, action).await,
        When::Start | When::Following | When::Renewal => {}
    }
    let how = scene.strike(point, skip, action).await;
    if when == When::Switch {
        scene.become_form(Form::Usual);
        let run = scene.recover().await;
        scene.stop(run).await;
    }
    how
}

/// All of these points in this way, an error each once a run.
fn all(steps: &[(String, When)], action: &str) -> String {
    let points = steps.iter().flat_map(|(step, _)| points(step));
    points.map(|point| format!("{point}=1*{action}")).collect::<Vec<_>>().join(";")
}

/// Runs the pipeline in each of its forms with all of these points set; says which of them were not reached, and how
/// often points were passed.
async fn bear_all(scene: &mut Scene, steps: &[(String, When)], action: &str) -> (BTreeSet<String>, usize) {
    let mut passes = 0;
    let set = all(steps, action);
    let mut missed: BTreeSet<String> = steps.iter().flat_map(|(step, _)| points(step)).collect();
    for form in [Form::Usual, Form::Other, Form::Usual] {
        scene.become_form(form);
        let reached = scene.bear(&set).await;
        missed.retain(|point| !reached.contains_key(point));
        passes += reached.values().sum::<usize>();
    }
    (missed, passes)
}

async fn a_resync_that_fails_comes_back_exact(target: TargetKind) {
    let mut scene = Scene::new(target).await;
    let (mut strikes, mut went_on) = (0, 0);
    let steps: &[_] =
        if is_full() { &["prepare", "write", "open", "position"] } else { &["prepare", "write"] };
    for step in steps {
        for point in points(&format!("{}::{step}", room(target))) {
            for action in ["return", "panic"] {
                let how = scene.strike_resync(&point, action).await;
                println!("resync: {point}, {action}: {how}");
                strikes += 1;
                went_on += u32::from(how == How::WentOn);
            }
        }
    }
    println!(
        "failpoints: {target:?}, resync: {strikes} strikes, {went_on} went on, {} ended and said why, all exact \
         afterwards",
        strikes - went_on
    );
    scene.close().await;
}

async fn delayed_everywhere_it_is_exact(target: TargetKind) {
    let (mut scene, steps) = (Scene::new(target).await, steps(target));
    let (mut missed, mut passes) = bear_all(&mut scene, &steps, DELAY).await;
    for (step, when) in steps.iter().filter(|(_, when)| APART.contains(when)) {
        for point in points(step) {
            strike(&mut scene, *when, &point, 0, DELAY).await;
            missed.remove(&point);
            passes += 1;
        }
    }
    assert!(missed.is_empty(), "not reached: {missed:?}");
    println!("failpoints: {target:?}, delays: {passes} passes of {} points, exact", steps.len() * 2);
    scene.close().await;
}

async fn what_passes_is_waited_out(target: TargetKind) {
    let (mut scene, mut steps) = (Scene::new(target).await, steps(target));
    // A start that cannot open its files ends: who started it is there to see why.
    let opens = ["journal::make", "journal::open", "inbox::make", "vault::key", "vault::write"];
    steps.retain(|(step, when)| !opens.contains(&step.as_str()) && !APART.contains(when));
    let (missed, _) = bear_all(&mut scene, &steps, PASSING).await;
    // Not repeated soon, or by the next start only: their later points may not be reached within a run.
    let late = ["::prune", "::delivered"];
    let missed: Vec<_> =
        missed.iter().filter(|point| !late.iter().any(|late| point.contains(late))).collect();
    assert!(missed.is_empty(), "not reached: {missed:?}");
    println!("failpoints: {target:?}, what passes: {} points, all waited out, exact", steps.len() * 2);
    scene.close().await;
}

/// A pipeline with OAuth.
async fn with_oauth(oauth: OAuthConfig) -> (Stage, PathBuf) {
    let stage = Stage::with(SimConfig {
        projects: vec![ProjectConfig::new("app", 5, 1, 2)],
        rate_limit: 0,
        oauth: Some(oauth),
        ..SimConfig::default()
    })
    .await;
    let file = stage.pipeline("app", "", "");
    let text = std::fs::read_to_string(&file).unwrap();
    let oauth =
        "{ oauth: { client_id: app, client_secret: app-secret, refresh_token: first-refresh-token } }";
    std::fs::write(&file, text.replace(&format!("{{ token: \"{DEFAULT_TOKEN}\" }}"), oauth)).unwrap();
    (stage, file)
}

/// A sync of it that says which points it reaches.
fn traced(stage: &Stage, file: &Path) -> Command {
    let mut command = tributary(stage.dir.path());
    command.env("TRIBUTARY_LOG", "info,failpoint=trace").arg("sync").arg(file).arg("--once");
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_could_not_be_kept_is_not_lost() {
    for point in points("tokens::keep") {
        for action in ["return", "panic", DELAY] {
            let (stage, file) = with_oauth(rotating_oauth()).await;
            let sync = || traced(&stage, &file);
            let mut struck = sync();
            struck.env("FAILPOINTS", format!("{point}=1*{action}"));
            let ended = run(struck).await.expect(0);
            assert!(ended.stderr.contains(&format!("reached point=\"{point}\"")), "{ended:?}");
            run(sync()).await.expect(0);
            assert_eq!(stage.count("app.db", "issues").await, 5);
            stage.sim.stop().await;
        }
    }
}

/// Killed around the keeping of a new token, it goes on by itself: with what it kept, or with the refresh token before,
/// where CODING leaves that good. What cannot be saved is what CODING has given out, in place of a refresh token that
/// is void from then on, and what is not on the disk yet: then the next start says what is to be done.
#[tokio::test(flavor = "multi_thread")]
async fn killed_around_the_keeping_of_a_token_it_goes_on_or_says_what_to_do() {
    const SECRETS: [&str; 2] = ["first-refresh-token", "app-secret"];
    for point in points("tokens::keep") {
        for rotate_refresh_token in [false, true] {
            let (stage, file) = with_oauth(OAuthConfig { rotate_refresh_token, ..rotating_oauth() }).await;
            run(traced(&stage, &file)).await.expect(0);
            // The token in use is refused, so another one is fetched.
            let world = stage.sim.world();
            world.set_faults(Faults::only(FaultKind::Http401, 1.0));
            let said = stage.path("said.log");
            let mut struck = traced(&stage, &file);
            struck.env("FAILPOINTS", format!("{point}=1*sleep(600000)"));
            struck.stdout(Stdio::null()).stderr(File::create(&said).unwrap());
            let mut struck = Running::start(struck);
            until("it keeps a token", async || {
                let said = std::fs::read_to_string(&said).unwrap();
                said.contains(&format!("reached point=\"{point}\"")).then_some(())
            })
            .await;
            struck.signal("KILL");
            struck.0.wait().unwrap();
            world.set_faults(Faults::default());
            let _ = world.mutate(3, &[MutationKind::EditIssue]);

            let ended = run(traced(&stage, &file)).await;
            match point.ends_with("::before") && rotate_refresh_token {
                false => {
                    ended.expect(0);
                    let mut verify = tributary(stage.dir.path());
                    verify.arg("verify").arg(&file).arg("--deep");
                    run(verify).await.expect(0);
                }
                true => {
                    let ended = ended.expect(1);
                    assert!(ended.stderr.contains("[CODING-AUTH]"), "{ended:?}");
                    assert!(ended.stderr.contains("authorise the app again"), "{ended:?}");
                    assert!(!SECRETS.iter().any(|secret| ended.stderr.contains(secret)), "{ended:?}");
                }
            }
            stage.sim.stop().await;
        }
    }
}
