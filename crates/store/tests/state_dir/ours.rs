//! Whose files they are: what root makes belongs to whom the directory belongs, and what somebody else may have put
//! there is refused.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use engine::inbox::Inbox;
use secrecy::SecretString;
use store::inbox::SqliteInbox;
use store::journal::SqliteJournal;
use store::state_dir::StateDir;
use store::vault::Vault;

/// A user that owns nothing else.
const SERVICE: u32 = 54_321;
/// Another one.
const STRANGER: u32 = 54_322;

/// Whether files can be given away here: only root may.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn is_root(dir: &Path) -> bool {
    let is_root = chown(dir, Some(SERVICE), Some(SERVICE)).is_ok();
    if !is_root {
        eprintln!("skipped: it needs root, who may give files away");
    }
    is_root
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn what_root_makes_belongs_to_whom_the_directory_belongs() {
    let parent = tempfile::tempdir().unwrap();
    if !is_root(parent.path()) {
        return;
    }
    let path = parent.path().join("deep/down.state");
    StateDir::make(&path).unwrap();
    let dir = StateDir::open(&path).unwrap();
    assert!(StateDir::is_running(&path).unwrap());
    dir.write_status(&engine::status::Status::default()).unwrap();
    let journal = SqliteJournal::open(&path).await.unwrap();
    let inbox = SqliteInbox::open(&path, u64::MAX).await.unwrap();
    inbox.accept(crate::inbox::arrival("a")).await.unwrap();
    let vault = Vault::open(&path, None).unwrap();
    for secret in ["one", "other"] {
        vault.put("name", &SecretString::from(secret)).unwrap();
    }
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap();
        let (name, metadata) = (entry.file_name(), entry.metadata().unwrap());
        assert_eq!((metadata.uid(), metadata.gid()), (SERVICE, SERVICE), "{name:?}");
        assert_eq!(metadata.mode() & 0o777, 0o600, "{name:?}");
        seen.push(name.into_string().unwrap());
    }
    for name in ["lock", "lock.gate", "status.json", "journal.db", "inbox.db-wal", "vault.json", "vault.key"]
    {
        assert!(seen.iter().any(|seen| seen == name), "{name}: {seen:?}");
    }
    assert_eq!(std::fs::metadata(&path).unwrap().uid(), SERVICE);
    assert_eq!(std::fs::metadata(parent.path().join("deep")).unwrap().uid(), SERVICE);
    inbox.close().await.unwrap();
    journal.close().await.unwrap();
}

#[test]
fn what_an_earlier_root_left_behind_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    if !is_root(dir.path()) {
        return;
    }
    for name in ["lock", "lock.gate"] {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    StateDir::open(dir.path()).unwrap();
    StateDir::is_running(dir.path()).unwrap();
    for name in ["lock", "lock.gate"] {
        assert_eq!(std::fs::metadata(dir.path().join(name)).unwrap().uid(), SERVICE, "{name}");
    }
}

/// What a state directory is refused for.
fn refused(path: &Path) -> String {
    let errors = [
        StateDir::open(path).unwrap_err(),
        StateDir::make(path).unwrap_err(),
        StateDir::is_running(path).unwrap_err(),
    ];
    let said = errors.map(|error| {
        assert_eq!(error.problem.code, "STATE-UNSAFE");
        error.to_string()
    });
    assert_eq!((&said[0], &said[0]), (&said[1], &said[2]));
    said[0].clone()
}

#[test]
fn a_directory_that_everybody_may_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    set_mode(dir.path(), 0o777);
    let said = refused(dir.path());
    assert!(said.contains("everybody may write") && said.contains("chmod go-w"), "{said}");
    set_mode(dir.path(), 0o755);
    StateDir::open(dir.path()).unwrap();
}

#[test]
fn planted_links_and_what_is_no_file_are_refused() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let target = elsewhere.path().join("precious");
    std::fs::write(&target, "precious").unwrap();
    for name in
        ["lock", "lock.gate", "status.json.new", "journal.db", "inbox.db-wal", "vault.json", "vault.key"]
    {
        symlink(&target, dir.path().join(name)).unwrap();
        let said = refused(dir.path());
        assert!(said.contains(name) && said.contains("symbolic link"), "{said}");
        std::fs::remove_file(dir.path().join(name)).unwrap();
    }
    std::fs::create_dir(dir.path().join("vault.json")).unwrap();
    assert!(refused(dir.path()).contains("no plain file"));
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
    std::fs::remove_dir(dir.path().join("vault.json")).unwrap();
    StateDir::open(dir.path()).unwrap();
    // Also whoever opens a vault alone follows none.
    symlink(&target, dir.path().join("vault.key")).unwrap();
    let error = Vault::open(dir.path(), None).unwrap_err();
    assert_eq!(error.problem.code, "VAULT-KEY-FOREIGN");
}

#[test]
fn files_of_a_stranger_are_refused_and_a_planted_key_above_all() {
    let dir = tempfile::tempdir().unwrap();
    if !is_root(dir.path()) {
        return;
    }
    let key = dir.path().join("vault.key");
    std::fs::write(&key, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").unwrap();
    set_mode(&key, 0o600);
    chown(&key, Some(STRANGER), Some(STRANGER)).unwrap();
    let said = refused(dir.path());
    assert!(said.contains("vault.key") && said.contains("belongs to user 54322"), "{said}");
    let error = Vault::open(dir.path(), None).unwrap_err();
    assert_eq!(error.problem.code, "VAULT-KEY-FOREIGN");
    assert!(error.to_string().contains("knows the key"), "{error}");
    chown(&key, Some(SERVICE), Some(SERVICE)).unwrap();
    StateDir::open(dir.path()).unwrap();
    Vault::open(dir.path(), None).unwrap();
}

const AS_ANOTHER: &str = "STORE_TEST_FOREIGN_DIR";

/// Opens a directory, and prints how that ended.
#[test]
#[ignore = "runs as another user, for the test below"]
#[expect(clippy::print_stdout, reason = "the other test reads it")]
fn as_another() {
    let Some(path) = std::env::var_os(AS_ANOTHER) else { return };
    match StateDir::open(Path::new(&path)) {
        Ok(_) => println!("opened"),
        Err(error) => println!("{error}"),
    }
}

#[test]
fn a_directory_of_somebody_else_is_refused_and_roots_may_be_used() {
    let parent = tempfile::tempdir().unwrap();
    let exe = parent.path().join("test");
    if !is_root(parent.path()) || std::fs::copy(std::env::current_exe().unwrap(), &exe).is_err() {
        return;
    }
    set_mode(parent.path(), 0o755);
    set_mode(&exe, 0o755);
    let run = |path: &Path| {
        let mut command = std::process::Command::new("setpriv");
        let ids = [format!("--reuid={STRANGER}"), format!("--regid={STRANGER}")];
        command.args(ids).args(["--clear-groups", "--"]).arg(&exe).env(AS_ANOTHER, path);
        command.args(["--exact", "state_dir::ours::as_another", "--ignored", "--nocapture"]);
        let output = command.current_dir("/").output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let path = parent.path().join("some.state");
    std::fs::create_dir(&path).unwrap();
    // Root's, in which the user's group may write: what an orchestrator mounts.
    let cases = [
        (0, STRANGER, 0o2775, "opened"),
        (STRANGER, SERVICE, 0o755, "opened"),
        (STRANGER, SERVICE, 0o775, "another group may write"),
        (STRANGER, STRANGER, 0o775, "opened"),
        (SERVICE, STRANGER, 0o770, "belongs to user 54321, and tributary runs as user 54322"),
    ];
    for (owner, group, mode, expected) in cases {
        chown(&path, Some(owner), Some(group)).unwrap();
        set_mode(&path, mode);
        let Some(said) = run(&path) else { return };
        assert!(said.contains(expected), "{owner} {group} {mode:o}: {said}");
    }
}
