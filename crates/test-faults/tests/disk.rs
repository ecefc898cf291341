//! Commands of the system, on a disk that fails.

use std::path::Path;
use std::process::{Command, Output};

use test_faults::{Call, Disk, Errno, SmallDisk, Strike};

/// A shell in the directory.
fn shell(disk: impl FnOnce(&mut Command), dir: &Path, script: &str) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(dir).env("LC_ALL", "C");
    disk(&mut command);
    command.output().unwrap()
}

#[test]
fn the_nth_call_fails_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::below(dir.path());
    // Makes the file, writes ten blocks, flushes.
    let script = "dd if=/dev/zero of=file bs=1000 count=10 conv=fsync status=none";
    let run = |first: Option<u64>| {
        let _there_was_none = std::fs::remove_file(dir.path().join("file"));
        disk.strike(first.map(|first| Strike { first, count: 1, errno: Errno::Io }));
        shell(|command| disk.under(command), dir.path(), script)
    };
    assert!(run(None).status.success());
    let calls = disk.calls();
    assert!((12..=14).contains(&calls), "{calls}");
    for n in 1..=calls {
        let ended = run(Some(n));
        assert_eq!(disk.failed(), 1, "call {n}");
        assert!(disk.last().ends_with(" file"), "{}", disk.last());
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success() && said.contains("Input/output error"), "call {n}: {said}");
        if disk.last().starts_with("write") {
            let size = std::fs::metadata(dir.path().join("file")).unwrap().len();
            assert_eq!(size % 1000, 500, "a write that fails is torn");
        }
    }
    assert!(run(Some(calls + 1)).status.success());
    disk.count(&[Call::Flush], "file");
    assert!(!run(Some(1)).status.success());
    assert_eq!(disk.last(), "flush file");
    // What lies elsewhere is not concerned.
    let elsewhere = tempfile::tempdir().unwrap();
    disk.strike(Some(Strike { first: 1, count: u64::MAX, errno: Errno::NoSpace }));
    assert!(shell(|command| disk.under(command), elsewhere.path(), script).status.success());
    assert_eq!((disk.calls(), disk.failed()), (0, 0));
}

#[test]
fn a_full_disk_takes_what_replaces_and_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::below(dir.path());
    let run = |script: &str| shell(|command| disk.under(command), dir.path(), script).status.success();
    let write = |file: &str, bytes: u32, how: &str| {
        run(&format!("dd if=/dev/zero of={file} bs={bytes} count=1 {how}"))
    };
    assert!(write("old", 10_000, ""));
    disk.room(Some(1_500));
    assert!(write("old", 10_000, "conv=notrunc"), "nothing grows");
    assert!(!write("new", 2_000, ""));
    assert_eq!(std::fs::metadata(dir.path().join("new")).unwrap().len(), 1_500);
    assert!(disk.denied() > 0);
    assert!(run("rm old") && write("new", 9_000, "oflag=append conv=notrunc"));
    assert!(!write("new", 2_000, "oflag=append conv=notrunc"));
    disk.room(None);
    assert!(write("new", 90_000, ""));
}

#[test]
fn a_small_disk_can_be_full() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::new("disk::a_small_disk_can_be_full", 1, dir.path()) else { return };
    let write = || {
        let script = "dd if=/dev/zero of=file bs=100000 count=1";
        shell(|command| disk.under(command), disk.path(), script)
    };
    assert!(write().status.success());
    std::fs::remove_file(disk.path().join("file")).unwrap();
    disk.fill(10_000);
    let said = String::from_utf8(write().stderr).unwrap();
    assert!(said.contains("No space left"), "{said}");
    disk.free();
    assert!(write().status.success());
}
