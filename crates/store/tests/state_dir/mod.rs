//! One process at a time, and the status beside it.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use engine::problem::Remedy;
use engine::status::Status;
use store::state_dir::StateDir;

const HOLDER: &str = "STORE_TEST_HOLDER";

#[test]
fn a_new_directory_is_for_its_owner_only() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("deep/down.state");
    let dir = StateDir::open(&path).unwrap();
    assert_eq!(dir.path(), path);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_second_run_is_refused_until_the_first_ends() {
    let parent = tempfile::tempdir().unwrap();
    assert!(!StateDir::is_running(&parent.path().join("none")).unwrap());
    let first = StateDir::open(parent.path()).unwrap();
    assert!(StateDir::is_running(parent.path()).unwrap());
    let error = StateDir::open(parent.path()).unwrap_err();
    assert_eq!((error.remedy, error.problem.code.as_str()), (Remedy::NeedsHuman, "STATE-IN-USE"));
    assert!(error.to_string().contains("another tributary runs this state directory"), "{error}");
    drop(first);
    assert!(!StateDir::is_running(parent.path()).unwrap());
    StateDir::open(parent.path()).unwrap();
}

#[test]
fn looking_whether_it_runs_never_hinders_a_start() {
    let parent = tempfile::tempdir().unwrap();
    drop(StateDir::open(parent.path()).unwrap());
    std::thread::scope(|scope| {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let path = parent.path();
        scope.spawn(move || {
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                StateDir::is_running(path).unwrap();
            }
        });
        for _ in 0..2_000 {
            StateDir::open(path).unwrap();
        }
        drop(stop);
    });
}

/// Holds the directory until its standard input ends.
#[test]
#[ignore = "runs as the other process of the test below"]
fn holder() {
    use std::io::{Read, Write};

    let Some(path) = std::env::var_os(HOLDER) else { return };
    let _dir = StateDir::open(path.as_ref()).unwrap();
    writeln!(std::fs::OpenOptions::new().write(true).open("/dev/stdout").unwrap(), "held").unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn a_killed_process_leaves_no_lock() {
    let parent = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "state_dir::holder", "--ignored", "--nocapture"])
        .env(HOLDER, parent.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("held")));
    assert!(StateDir::is_running(parent.path()).unwrap());
    StateDir::open(parent.path()).unwrap_err();
    child.kill().unwrap();
    child.wait().unwrap();
    StateDir::open(parent.path()).unwrap();
}

#[test]
fn the_status_is_read_beside_the_process() {
    let parent = tempfile::tempdir().unwrap();
    assert_eq!(StateDir::read_status(parent.path()).unwrap(), None);
    let dir = StateDir::open(parent.path()).unwrap();
    for head in [1, 2] {
        let status = Status { head, ..Status::default() };
        dir.write_status(&status).unwrap();
        assert_eq!(StateDir::read_status(parent.path()).unwrap(), Some(status));
    }
    std::fs::write(parent.path().join("status.json"), "{").unwrap();
    StateDir::read_status(parent.path()).unwrap_err();
}
