//! Wrong usage and configuration: exit code 2, every problem at once, nothing written.

use crate::support::{run, tributary};

#[tokio::test]
async fn every_problem_of_every_file_is_said_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.yaml"), "source: { teem: x }\ntarget: { sqlite: { path: a.db } }\n")
        .unwrap();
    std::fs::write(dir.path().join("b.yaml"), "source:\n\tteam: x\n").unwrap();
    let mut command = tributary(dir.path());
    command.args(["sync", "--once", "--json", "a.yaml", "b.yaml", "c.yaml"]);
    let ended = run(command).await.expect(2);
    assert_eq!(ended.stdout, "");
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines[0], "tributary: 5 problems in the configuration; nothing was written");
    assert!(lines[1].starts_with("  a.yaml: source.auth: There is no credential: "), "{lines:?}");
    assert!(lines[2].starts_with("  a.yaml: source.projects: No project is named: "), "{lines:?}");
    assert!(lines[3].starts_with("  a.yaml: source.teem: The key `teem` is unknown: "), "{lines:?}");
    assert!(lines[4].starts_with("  b.yaml: line 2, column "), "{lines:?}");
    assert!(lines[5].starts_with("  c.yaml: The file cannot be read: "), "{lines:?}");
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[tokio::test]
async fn wrong_usage_is_told_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [&["snyc", "a.yaml"][..], &["sync"], &["preview", "a.yaml", "--table", "Commits"], &[]] {
        let mut command = tributary(dir.path());
        command.args(arguments);
        let ended = run(command).await.expect(2);
        assert!(ended.stderr.contains("--help"), "{ended:?}");
        assert_eq!(ended.stdout, "");
    }
}

#[tokio::test]
async fn a_log_filter_that_is_nonsense_is_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = tributary(dir.path());
    command.args(["check", "a.yaml"]).env("TRIBUTARY_LOG", "engine=loud");
    let ended = run(command).await.expect(2);
    assert!(ended.stderr.starts_with("tributary: Cannot understand TRIBUTARY_LOG: "), "{ended:?}");
}

#[tokio::test]
async fn version_and_help_go_to_the_standard_output() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = tributary(dir.path());
    command.arg("--version");
    let ended = run(command).await.expect(0);
    assert_eq!(ended.stdout, format!("tributary {}\n", env!("CARGO_PKG_VERSION")));
    let mut command = tributary(dir.path());
    command.args(["sync", "--help"]);
    let ended = run(command).await.expect(0);
    assert!(ended.stdout.contains("tributary sync pipeline.yaml --once"), "{ended:?}");
}
