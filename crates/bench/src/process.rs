//! Programs in processes of their own, and what they cost.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::Result;

/// How often a process is looked at: its end is noticed that much too late at most.
const LOOK: Duration = Duration::from_millis(5);
/// Ticks a second in which Linux tells other programs what a process used, on every common architecture.
const TICKS: f64 = 100.0;

/// A program that runs; ended with its owner.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pid: u32,
    began: Instant,
    log: PathBuf,
}

/// What a run of `tributary sync` cost.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Seconds from start to end.
    pub(crate) seconds: f64,
    /// CPU seconds, where the system says.
    pub(crate) cpu: Option<f64>,
    /// What it said of itself.
    pub(crate) summary: Summary,
}

/// What a process holds at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holding {
    /// Bytes of memory in use.
    pub(crate) memory: u64,
    pub(crate) files: u64,
    pub(crate) threads: u64,
}

/// The summary that `tributary sync --json` prints, as far as it is wanted here.
#[derive(Debug, Deserialize)]
pub(crate) struct Summary {
    peak_rss_bytes: Option<u64>,
}

impl Summary {
    /// The most memory in use, in megabytes.
    pub(crate) fn peak_mb(&self) -> Option<f64> {
        let kilobytes = u32::try_from(self.peak_rss_bytes? / 1_000).ok()?;
        Some(f64::from(kilobytes) / 1_000.0)
    }
}

/// Another binary to be tested than the one built beside this one.
static OTHER: OnceLock<PathBuf> = OnceLock::new();

/// Tests this binary, for example an older one; simulators stay those of the one built beside this one. The first call
/// counts.
///
/// # Errors
/// It is not there.
pub(crate) fn test_other(binary: &Path) -> Result<()> {
    let binary = std::fs::canonicalize(binary).map_err(|error| format!("{}: {error}", binary.display()))?;
    OTHER.get_or_init(|| binary);
    Ok(())
}

/// The binary under test: built beside this one, unless another one is to be tested.
///
/// # Errors
/// It is not there.
pub(crate) fn binary() -> Result<PathBuf> {
    OTHER.get().map_or_else(beside, |other| Ok(other.clone()))
}

/// The binary built beside this one.
fn beside() -> Result<PathBuf> {
    let binary = std::env::current_exe()?.with_file_name("tributary");
    if binary.exists() {
        return Ok(binary);
    }
    Err(format!("{} is missing: build it with `cargo build -p tributary`", binary.display()).into())
}

/// A binary, to be run in `dir`; ended with its owner.
fn command<A: AsRef<OsStr>>(binary: PathBuf, dir: &Path, args: &[A]) -> Command {
    let mut command = Command::new(binary);
    command.args(args).current_dir(dir).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    for name in ["TRIBUTARY_LOG", "RUST_LOG", "TRIBUTARY_VAULT_KEY"] {
        command.env_remove(name);
    }
    // Else only root sees what it has open.
    command.env("TRIBUTARY_DUMPABLE", "1");
    command
}

/// Runs the binary in `dir` to its end, whatever that is.
pub(crate) async fn run<A: AsRef<OsStr>>(dir: &Path, args: &[A]) -> Result<Output> {
    Ok(command(binary()?, dir, args).stderr(Stdio::piped()).output().await?)
}

impl Running {
    /// Starts the binary in `dir`; what it logs goes into a file there.
    pub(crate) fn start<A: AsRef<OsStr>>(dir: &Path, args: &[A]) -> Result<Running> {
        Running::of(binary()?, dir, args)
    }

    /// The same with the binary built beside this one, whichever is tested.
    pub(crate) fn start_beside<A: AsRef<OsStr>>(dir: &Path, args: &[A]) -> Result<Running> {
        Running::of(beside()?, dir, args)
    }

    fn of<A: AsRef<OsStr>>(binary: PathBuf, dir: &Path, args: &[A]) -> Result<Running> {
        let log = dir.join("log.txt");
        let mut command = command(binary, dir, args);
        command.stderr(std::fs::File::create(&log)?);
        let began = Instant::now();
        let child = command.spawn()?;
        let pid = child.id().ok_or("a process ended before it began")?;
        Ok(Running { child, pid, began, log })
    }

    /// Its output, line by line; for a program that goes on after it.
    pub(crate) fn lines(&mut self) -> Result<tokio::io::Lines<BufReader<ChildStdout>>> {
        Ok(BufReader::new(self.child.stdout.take().ok_or("the output is taken already")?).lines())
    }

    /// When it was started.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// CPU seconds so far, where the system says.
    pub(crate) fn cpu(&self) -> Option<f64> {
        Some(Stat::of(self.pid)?.cpu)
    }

    /// What it holds now, where the system says.
    pub(crate) fn holding(&self) -> Option<Holding> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let field = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.pid)).ok()?.count();
        let memory = field("VmRSS:")?.saturating_mul(1_024);
        Some(Holding { memory, files: u64::try_from(files).ok()?, threads: field("Threads:")? })
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(Stat::of(self.pid).is_some_and(|stat| stat.dead) || self.child.try_wait()?.is_some())
    }

    /// Why it ended before it should have.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to stop, and waits for that.
    pub(crate) async fn stop(self) -> Result<Ended> {
        let pid = Pid::from_raw(i32::try_from(self.pid)?).ok_or("a process has no number")?;
        kill_process(pid, Signal::TERM)?;
        self.end().await
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// It did not end well.
    pub(crate) async fn end(mut self) -> Result<Ended> {
        // What a process used can be read until somebody asks for its exit code.
        let mut cpu = None;
        while let Some(stat) = Stat::of(self.pid) {
            cpu = Some(stat.cpu);
            if stat.dead {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        let log = self.log.clone();
        self.child.stdin.take();
        let output = self.child.wait_with_output().await?;
        let seconds = self.began.elapsed().as_secs_f64();
        if !output.status.success() {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            return Err(format!("tributary ended with {}:\n{log}", output.status).into());
        }
        Ok(Ended { seconds, cpu, summary: serde_json::from_slice(&output.stdout)? })
    }
}

/// What the system says of a process.
#[derive(Clone, Copy, Debug)]
struct Stat {
    dead: bool,
    parent: u32,
    /// CPU seconds of the process itself, and of its children that have ended.
    cpu: f64,
    children: f64,
}

impl Stat {
    fn of(pid: u32) -> Option<Stat> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything.
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let ticks = |at: usize| -> Option<f64> { Some(fields.get(at)?.parse::<f64>().ok()? / TICKS) };
        Some(Stat {
            dead: matches!(fields.first(), Some(&("Z" | "X"))),
            parent: fields.get(1)?.parse().ok()?,
            cpu: ticks(11)? + ticks(12)?,
            children: ticks(13)? + ticks(14)?,
        })
    }
}

/// CPU seconds of a process and of all its children, also of those that have ended; where the system says.
pub(crate) fn family_cpu(pid: u32) -> Option<f64> {
    let parent = Stat::of(pid)?;
    let names = std::fs::read_dir("/proc").ok()?.filter_map(|entry| Some(entry.ok()?.file_name()));
    let children = names
        .filter_map(|name| Stat::of(name.to_str()?.parse().ok()?))
        .filter(|process| process.parent == pid);
    Some(parent.cpu + parent.children + children.map(|child| child.cpu).sum::<f64>())
}

/// CPU seconds that this process has used: the difference of two readings is what lies between them.
pub(crate) fn own_cpu() -> f64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    let (seconds, nanos) =
        (u32::try_from(spent.tv_sec).unwrap_or(0), u32::try_from(spent.tv_nsec).unwrap_or(0));
    f64::from(seconds) + f64::from(nanos) / 1e9
}
