//! One process at a time, and the status beside it.

mod ours;

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

#[test]
fn what_is_removed_or_replaced_while_it_runs_is_noticed() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("some.state");
    let gone = |dir: &StateDir, name: &str| {
        let errors = [dir.in_place().unwrap_err(), dir.write_status(&Status::default()).unwrap_err()];
        for error in errors {
            assert_eq!((error.remedy, error.problem.code.as_str()), (Remedy::NeedsHuman, "STATE-GONE"));
            assert!(error.to_string().contains(name), "{error}");
        }
    };
    for name in ["journal.db", "inbox.db"] {
        let dir = StateDir::open(&path).unwrap();
        std::fs::write(path.join(name), "").unwrap();
        dir.in_place().unwrap();
        std::fs::rename(path.join(name), path.join("away")).unwrap();
        gone(&dir, name);
        std::fs::write(path.join(name), "").unwrap();
        gone(&dir, name);
        drop(dir);
        std::fs::remove_file(path.join(name)).unwrap();
    }
    // Without the lock's file a second one cannot start either.
    let dir = StateDir::open(&path).unwrap();
    std::fs::remove_file(path.join("lock")).unwrap();
    assert_eq!(StateDir::open(&path).unwrap_err().problem.code, "STATE-IN-USE");
    gone(&dir, "lock");
    drop(dir);
    let dir = StateDir::open(&path).unwrap();
    std::fs::remove_dir_all(&path).unwrap();
    gone(&dir, "lock");
    // What is made in its place is another one's: nothing of the first one gets there.
    let other = StateDir::open(&path).unwrap();
    gone(&dir, "lock");
    other.in_place().unwrap();
    assert!(!path.join("status.json").exists());
}
