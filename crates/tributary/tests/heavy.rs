//! Runs that take long by their nature; one at a time.

use std::time::Duration;

use crate::support::{Running, Stage, tributary, until};

/// The demo keeps to CODING's real limit, so it takes about twenty seconds.
#[tokio::test(flavor = "multi_thread")]
async fn the_demo_ends_within_a_minute_and_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = tributary(dir.path());
    command.args(["demo", "--once"]);
    let (ended, took) = Running::start(command).end().await;
    let ended = ended.expect(0);
    assert!(took < Duration::from_secs(60), "it took {took:?}");
    assert!(ended.stdout.contains("Issues"), "{ended:?}");
    assert!(dir.path().join("tributary-demo/coding.db").exists());
    // What is left of it does not stand in the way of the next; that one is stopped early.
    let status = dir.path().join("tributary-demo/coding.state/status.json");
    std::fs::remove_file(&status).unwrap();
    let mut command = tributary(dir.path());
    command.args(["demo", "--once"]);
    let again = Running::start(command);
    until("it works again", async || status.exists().then_some(())).await;
    again.signal("INT");
    let (ended, took) = again.end().await;
    assert!(took < Duration::from_secs(5), "stopping took {took:?}");
    let ended = ended.expect(1);
    assert!(ended.stderr.contains("Not everything is up to date"), "{ended:?}");
}

/// A host that never answers is given up within 30 seconds; the next run succeeds where it lives again.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_there_fails_within_thirty_seconds() {
    let stage = Stage::new(5).await;
    let file = stage.pipeline("app", "", "");
    let text = std::fs::read_to_string(&file).unwrap();
    // Nobody listens on port 1.
    std::fs::write(&file, text.replace(&stage.sim.url(), "http://127.0.0.1:1")).unwrap();
    let mut command = tributary(stage.dir.path());
    command.arg("sync").arg(&file).arg("--once");
    let (ended, took) = Running::start(command).end().await;
    let ended = ended.expect(1);
    assert!(took < Duration::from_secs(30), "it took {took:?}");
    assert!(ended.stderr.contains("[CODING-UNREACHABLE]"), "{ended:?}");
    assert!(ended.stderr.contains("refused"), "{ended:?}");
    std::fs::write(&file, text).unwrap();
    let mut command = tributary(stage.dir.path());
    command.arg("sync").arg(&file).arg("--once");
    Running::start(command).end().await.0.expect(0);
    stage.sim.stop().await;
}
