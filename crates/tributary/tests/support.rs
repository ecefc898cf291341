//! A simulator, a directory with a pipeline, and the binary run in it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail loudly")]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use coding_sim::{DEFAULT_TOKEN, OAuthConfig, ProjectConfig, Sim, SimConfig, all_scopes};
use serde_json::Value;
use tempfile::TempDir;

use crate::place::Place;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Longer than any command takes that ends by itself.
const LONGEST: Duration = Duration::from_secs(170);

/// A simulated team without limits, and a directory to work in.
pub(crate) struct Stage {
    pub(crate) sim: Sim,
    pub(crate) dir: TempDir,
}

impl Stage {
    /// One project `app` with so many issues.
    pub(crate) async fn new(issues: u32) -> Stage {
        Stage::with(SimConfig {
            projects: vec![ProjectConfig::new("app", issues, 6, 12)],
            rate_limit: 0,
            ..SimConfig::default()
        })
        .await
    }

    pub(crate) async fn with(config: SimConfig) -> Stage {
        Stage { sim: Sim::start(config).await.unwrap(), dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes `name.yaml`: the simulator into `name.db`, with more lines for the source and for the rest.
    pub(crate) fn pipeline(&self, name: &str, source: &str, rest: &str) -> PathBuf {
        self.pipeline_into(&Place::Sqlite(format!("{name}.db").into()), name, source, rest)
    }

    /// The same into another target.
    pub(crate) fn pipeline_into(&self, place: &Place, name: &str, source: &str, rest: &str) -> PathBuf {
        let target = match place {
            Place::Sqlite(file) => format!("sqlite: {{ path: {} }}", file.display()),
            Place::Postgres { database, schema } => {
                format!("postgres: {{ url: \"{}\", schema: {schema} }}", database.url())
            }
        };
        let projects = self.sim.world().projects().join(", ");
        let text = format!(
            "source:\n  team: demo\n  base_url: {}\n  projects: [{projects}]\n  \
             auth: {{ token: \"{DEFAULT_TOKEN}\" }}\n  rate_limit: 0\n{source}target: {{ {target} }}\n{rest}",
            self.sim.url()
        );
        let file = self.path(&format!("{name}.yaml"));
        std::fs::write(&file, text).unwrap();
        file
    }

    /// How many rows a table of a target has.
    pub(crate) async fn count(&self, database: &str, table: &str) -> i64 {
        Place::Sqlite(self.path(database)).number(&format!("SELECT count(*) FROM {table}")).await
    }
}

/// An OAuth application whose refresh token is another one after every use: what is not kept is lost.
pub(crate) fn rotating_oauth() -> OAuthConfig {
    OAuthConfig {
        client_id: "app".to_owned(),
        client_secret: "app-secret".to_owned(),
        code: None,
        access_token: None,
        refresh_token: "first-refresh-token".to_owned(),
        expires_in: 7_200,
        rotate_refresh_token: true,
        scopes: all_scopes(),
    }
}

/// The binary, with nothing of this process's environment that would change what it says.
pub(crate) fn tributary(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    command.current_dir(dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["TRIBUTARY_LOG", "RUST_LOG", "TRIBUTARY_VAULT_KEY", "CODING_TOKEN", "FAILPOINTS"] {
        command.env_remove(name);
    }
    command
}

/// Runs the binary to its end; one that hangs is killed.
pub(crate) async fn run(command: Command) -> Ended {
    let context = format!("{command:?} hangs");
    let output = tokio::process::Command::from(command).kill_on_drop(true).output();
    let output = tokio::time::timeout(LONGEST, output).await;
    Ended::from(output.unwrap_or_else(|_| panic!("{context}")).unwrap())
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Ended {
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ended {
    /// The one JSON object on the standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Ended {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }
}

/// A running binary, killed when the test ends early.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        Running(command.spawn().unwrap())
    }

    pub(crate) fn signal(&self, name: &str) {
        let status =
            Command::new("sh").args(["-c", &format!("kill -{name} {}", self.0.id())]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end, and tells how long it took.
    pub(crate) async fn end(mut self) -> (Ended, Duration) {
        let started = Instant::now();
        let code = until("the process ends", async || self.0.try_wait().unwrap()).await.code();
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.0.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        self.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (Ended { code, stdout, stderr }, started.elapsed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Looks again and again until there is something, within [`PATIENCE`].
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
