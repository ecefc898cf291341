//! What a machine does to a run: file descriptors that run out, files that may not grow, a log that nobody reads, a
//! terminal that is closed.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs::File;
use std::io::{PipeReader, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use coding_sim::{ProjectConfig, SimConfig};
use engine::status::State;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::hooks::{Hooked, PROJECT, team};
use crate::support::{Running, Stage, run, until};

/// The command, begun by a shell that does something before.
fn after(first: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{first}; exec \"$@\""), "sh"]).arg(command.get_program());
    shell.args(command.get_args()).current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

/// A pipe that takes no more bytes, and its other end, which nobody reads.
fn full_pipe() -> (Stdio, PipeReader) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let room = rustix::pipe::fcntl_getpipe_size(&writer).unwrap();
    writer.write_all(&vec![b'\n'; room]).unwrap();
    (writer.into(), reader)
}

fn limits(running: &Running, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{}/limits", running.0.id())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().take(2).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_connects_takes_no_descriptor_that_the_run_needs() {
    let hooked = Hooked::new(team(12), "    register: auto\n", "").await;
    let command = after("ulimit -Sn 60; ulimit -Hn 160", &hooked.command("sync", &[]));
    let mut running = Running::start(command);
    hooked.until_follows(&mut running).await;
    assert_eq!(limits(&running, "Max open files"), ["160", "160"], "the soft limit is raised");
    assert_eq!(limits(&running, "Max core file size").first().map(String::as_str), Some("0"));
    let mut strangers = Vec::new();
    for number in 0..200 {
        let mut stranger = TcpStream::connect(("127.0.0.1", hooked.port)).unwrap();
        // Some have gone for others meanwhile.
        let _taken = stranger.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        strangers.push(stranger);
        if number % 40 == 0 {
            hooked.rename(number / 40 + 1, &format!("among {number} strangers"));
            hooked.becomes_exact().await;
        }
    }
    let url = hooked.url().await;
    assert_eq!(hooked.get(&url).await.0, 200);
    let ended = hooked.stop(running).await;
    assert!(!ended.stderr.contains("[SQLITE-"), "{ended:?}");
    hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn descriptors_that_run_out_while_it_runs_are_waited_for() {
    let hooked = Hooked::new(team(12), "    register: auto\n", "").await;
    let log = hooked.stage.path("log");
    let mut command = hooked.command("sync", &[]);
    command.stdout(Stdio::null()).stderr(File::create(&log).unwrap());
    let mut running = Running::start(command);
    hooked.until_follows(&mut running).await;
    let said = || std::fs::read_to_string(&log).unwrap();
    let limit = |current| {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let pid = Pid::from_child(&running.0);
        prlimit(Some(pid), Resource::Nofile, Rlimit { current, maximum }).unwrap();
    };
    // Fewer than are open.
    limit(Some(8));
    hooked.rename(3, "while none is left");
    until("a connection cannot be accepted", async || {
        let _waits = TcpStream::connect(("127.0.0.1", hooked.port)).unwrap();
        said().contains("could not be accepted").then_some(())
    })
    .await;
    hooked.rename(4, "and another one");
    limit(getrlimit(Resource::Nofile).maximum);
    hooked.becomes_exact().await;
    assert_eq!(running.0.try_wait().unwrap(), None, "{}", said());
    running.signal("TERM");
    let ended = until("it ends", async || running.0.try_wait().unwrap()).await;
    assert_eq!(ended.code(), Some(0), "{}", said());
    hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_pipelines_than_there_are_descriptors_for_are_told_before_they_start() {
    let stage = Stage::new(3).await;
    let mut command = crate::support::tributary(stage.dir.path());
    command.arg("sync");
    for number in 0..100 {
        let state = format!("state: {number}.state\n");
        command.arg(stage.pipeline(&format!("p{number}"), "", &state));
    }
    let ended = run(after("ulimit -n 1024", &command)).await.expect(1);
    let last = ended.stderr.lines().last().unwrap();
    assert!(last.contains("this process may have 1024") && last.ends_with("[SYSTEM-DESCRIPTORS]"), "{last}");
    assert!(last.contains("ulimit -n"), "{last}");
    assert!(!stage.path("0.state").exists(), "nothing has begun");
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_holds_nothing_up() {
    let hooked = Hooked::new(team(12), "    register: auto\n", "").await;
    let mut command = hooked.command("sync", &[]);
    let (stderr, _unread) = full_pipe();
    command.env("TRIBUTARY_LOG", "trace").stderr(stderr);
    let mut running = Running::start(command);
    hooked.until_follows(&mut running).await;
    let health = format!("http://127.0.0.1:{}/healthz", hooked.port);
    assert_eq!(hooked.get(&health).await.0, 200);
    hooked.rename(3, "unheard");
    hooked.becomes_exact().await;
    running.signal("TERM");
    let ended = until("it ends", async || running.0.try_wait().unwrap()).await;
    assert_eq!(ended.code(), Some(0));
    hooked.stage.sim.stop().await;
}

/// The whole process waits: only what is outside of its work hears a signal.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_what_waits_for_whoever_reads_the_result() {
    let hooked = Hooked::new(team(3), "", "").await;
    let mut command = hooked.command("sync", &["--once", "--json"]);
    let (stdout, _unread) = full_pipe();
    command.stdout(stdout);
    let mut running = Running::start(command);
    until("the work is done", async || {
        let status = hooked.status()?;
        matches!(status.capture.state, State::Stopped).then_some(())
    })
    .await;
    running.signal("TERM");
    running.signal("TERM");
    let ended = until("it ends", async || running.0.try_wait().unwrap()).await;
    assert_eq!(ended.code(), Some(1));
    hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_terminal_stops_it_gracefully_unless_it_is_to_live_on() {
    let hooked = Hooked::new(team(3), "", "").await;
    let running = hooked.start().await;
    running.signal("HUP");
    let (ended, _) = running.end().await;
    assert!(ended.expect(0).stderr.contains("stopping"));
    // As `nohup` has it.
    let _old = std::fs::remove_file(hooked.state().join("status.json"));
    let mut running = Running::start(after("trap '' HUP", &hooked.command("sync", &[])));
    hooked.until_follows(&mut running).await;
    running.signal("HUP");
    hooked.rename(1, "lives on");
    hooked.becomes_exact().await;
    assert_eq!(running.0.try_wait().unwrap(), None);
    hooked.stop(running).await;
    hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_not_grow_is_waited_for_like_a_full_disk() {
    let projects = vec![ProjectConfig::new(PROJECT, 900, 6, 12)];
    let hooked = Hooked::new(SimConfig { projects, ..team(0) }, "", "").await;
    let log = hooked.stage.path("log");
    // 1 MiB, in blocks of 512 bytes.
    let mut command = after("ulimit -S -f 2048", &hooked.command("sync", &[]));
    command.stdout(Stdio::null()).stderr(File::create(&log).unwrap());
    let mut running = Running::start(command);
    let said = || std::fs::read_to_string(&log).unwrap();
    until("it is said", async || {
        assert_eq!(running.0.try_wait().unwrap(), None, "it ended: {}", said());
        said().contains("the largest size that this process may write").then_some(())
    })
    .await;
    assert!(said().contains("[JOURNAL-NO-ROOM]") || said().contains("[SQLITE-FULL]"), "{}", said());
    let pid = Pid::from_child(&running.0);
    let hard = getrlimit(Resource::Fsize).maximum;
    prlimit(Some(pid), Resource::Fsize, Rlimit { current: hard, maximum: hard }).unwrap();
    hooked.until_follows(&mut running).await;
    hooked.becomes_exact().await;
    running.signal("TERM");
    let ended = until("it ends", async || running.0.try_wait().unwrap()).await;
    assert_eq!(ended.code(), Some(0), "{}", said());
    hooked.stage.sim.stop().await;
}

/// Memory holds tokens and passwords.
#[tokio::test(flavor = "multi_thread")]
async fn no_core_file_is_left() {
    let hooked = Hooked::new(team(3), "", "").await;
    let mut running = Running::start(after("ulimit -S -c $(ulimit -H -c)", &hooked.command("sync", &[])));
    hooked.until_follows(&mut running).await;
    running.signal("QUIT");
    let ended = until("it ends", async || running.0.try_wait().unwrap()).await;
    assert_eq!(ended.code(), None, "the signal ends it");
    let left = hooked.stage.dir.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    let cores: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with("core")).collect();
    assert!(cores.is_empty(), "{cores:?}");
    hooked.stage.sim.stop().await;
}
