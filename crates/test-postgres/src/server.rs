//! A server in a folder: started by whoever comes first, used by many, ended by its warden after the last.
//!
//! The folder holds `starting`, locked by who joins or ends; `users`, locked (shared) by every user for as long as
//! it uses the server; `warden`, locked while a process looks after the server; and what `warden.sh` makes.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use url::Url;

use crate::binaries;
use crate::user::User;

/// Longer than a server takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often to look whether it has started.
const LOOK: Duration = Duration::from_millis(20);
/// Ports that the system does not give to clients, so that nobody takes one between choice and use.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A server that runs as long as somebody holds one of these.
#[derive(Debug)]
pub(crate) struct Server {
    folder: PathBuf,
    url: Url,
    users: File,
    /// Who ends the server, where this process started it.
    warden: Option<Child>,
}

impl Server {
    /// Joins the server in `folder`; where none is, starts one with `settings`, which ends when nobody has used it
    /// for `linger`. Blocks until it takes connections.
    pub(crate) fn join(folder: &Path, settings: &[(&str, &str)], linger: Duration) -> Server {
        let _starting = enter(folder);
        let users = open(&folder.join("users"));
        users.lock_shared().expect("files in the temporary folder can be locked");
        let lock = open(&folder.join("warden"));
        let warden = match lock.try_lock() {
            Ok(()) => Some(start(folder, settings, linger, lock)),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Error(error)) => panic!("cannot lock a file in {}: {error}", folder.display()),
        };
        Server { folder: folder.to_owned(), url: ready(folder), users, warden }
    }

    /// Its maintenance database, by TCP, with name and password of a superuser.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The id of its first process, the parent of all others.
    pub(crate) fn pid(&self) -> u32 {
        let file = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).expect("the server runs");
        let pid = file.lines().next().and_then(|line| line.parse().ok());
        pid.expect("the file begins with the id of the process")
    }

    /// Where it lives.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Gives the server up. Where this process started it and nobody else uses it, waits until nothing is left of
    /// it. Blocks.
    pub(crate) fn end(self) {
        drop(self.users);
        if let Some(mut warden) = self.warden {
            let _ended = warden.wait();
        }
    }
}

/// Makes the folder, and locks out everybody who would join or end its server.
fn enter(folder: &Path) -> File {
    loop {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                panic!("cannot make {}: {error}", folder.display())
            }
            _ => {}
        }
        let path = folder.join("starting");
        // The folder may be removed at any moment, until the lock is held on a file that is still in it.
        let Ok(file) = OpenOptions::new().create(true).append(true).open(&path) else { continue };
        file.lock().expect("files in the temporary folder can be locked");
        let held = file.metadata().expect("an open file has metadata").ino();
        if std::fs::metadata(&path).is_ok_and(|there| there.ino() == held) {
            return file;
        }
    }
}

/// Starts a server and its warden, which keeps `lock` as its standard input.
fn start(folder: &Path, settings: &[(&str, &str)], linger: Duration, lock: File) -> Child {
    let bin = binaries::folder();
    let user = User::of_servers();
    tidy(folder);
    let port = port();
    let password = format!("{:032x}", rand::rng().random::<u128>());
    let mut lines = format!(
        "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{}'\n",
        folder.display()
    );
    for (name, value) in settings {
        lines.push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
    }
    let url = format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres");
    for (name, text) in [("settings", &lines), ("password", &password), ("url", &url)] {
        let file = folder.join(name);
        std::fs::write(&file, text).expect("the folder can be written to");
        own(&file, user);
    }
    own(folder, user);
    let mut command = Command::new("sh");
    command.args(["-c", include_str!("warden.sh"), "warden"]).arg(folder).arg(linger.as_secs().to_string());
    command.arg(bin).current_dir(folder).stdin(lock).stdout(Stdio::null()).stderr(Stdio::null());
    // Out of the reach of signals to the tests, such as Ctrl-C: it ends by itself.
    command.process_group(0);
    user.run(&mut command);
    command.spawn().expect("sh can be run")
}

/// Clears away what a server left whose warden was killed, or went down with the machine.
fn tidy(folder: &Path) {
    if folder.join("data").exists() {
        // Most likely it does not run any more.
        let _ended = pg_ctl(folder, &["stop", "--mode", "immediate"]).status();
        std::fs::remove_dir_all(folder.join("data")).expect("a folder of ours can be removed");
    }
    if folder.join("ready").exists() {
        std::fs::remove_file(folder.join("ready")).expect("a file of ours can be removed");
    }
}

/// Waits until the server takes connections; returns where.
#[expect(clippy::disallowed_methods, reason = "runs where it may block, before any connection")]
fn ready(folder: &Path) -> Url {
    let deadline = Instant::now() + PATIENCE;
    while !folder.join("ready").exists() {
        if open(&folder.join("warden")).try_lock().is_ok() {
            let logs = logs(folder);
            // At once, so that nobody enters a folder that is half gone.
            let gone = folder.with_extension(format!("gone-{}", std::process::id()));
            let _removed = std::fs::rename(folder, &gone).and_then(|()| std::fs::remove_dir_all(gone));
            panic!("PostgreSQL does not start:\n{logs}");
        }
        assert!(Instant::now() < deadline, "PostgreSQL takes too long to start:\n{}", logs(folder));
        std::thread::sleep(LOOK);
    }
    let url = std::fs::read_to_string(folder.join("url")).expect("a started server has said where it is");
    Url::parse(&url).expect("it was written as a URL")
}

/// Runs `pg_ctl` on the server in `folder`, and waits until it has done its work. Blocks.
pub(crate) fn control(folder: &Path, arguments: &[&str]) {
    let ended = pg_ctl(folder, arguments).status().expect("pg_ctl can be run");
    assert!(ended.success(), "pg_ctl {arguments:?} failed:\n{}", logs(folder));
}

/// Does work that blocks, off the runtime's workers.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => resume_unwind(failed.into_panic()),
    }
}

fn pg_ctl(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binaries::folder().join("pg_ctl"));
    command.args(arguments).args(["--pgdata", "data", "--wait"]);
    // No pipes: a server that starts would keep them open.
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    User::of_servers().run(&mut command);
    command
}

fn open(path: &Path) -> File {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()))
}

fn own(path: &Path, user: User) {
    chown(path, Some(user.uid), Some(user.gid))
        .unwrap_or_else(|error| panic!("cannot give {} to the server: {error}", path.display()));
}

/// A port that nobody listens on.
fn port() -> u16 {
    loop {
        let port = rand::rng().random_range(PORTS);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// What the server and those who start it have said.
fn logs(folder: &Path) -> String {
    ["log", "server.log"].map(|name| std::fs::read_to_string(folder.join(name)).unwrap_or_default()).concat()
}
