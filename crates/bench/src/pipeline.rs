//! A pipeline from a simulator into a database, run by the real binary in a directory of its own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use coding_sim::DEFAULT_TOKEN;

use crate::Result;
use crate::database::{Database, Reader};
use crate::process::{Ended, Running, run};
use crate::simulator::{PROJECT, Simulator, TEAM};

/// How often the target is looked at for a row that is awaited: what that takes is missing where it is measured.
const LOOK: Duration = Duration::from_millis(50);

/// The exit code of `tributary verify` when something differs.
const DIFFERENT: i32 = 3;

/// The tables, as CODING and as the target names them.
const TABLES: [(&str, &str); 3] =
    [("Issues", "issues"), ("Iterations", "iterations"), ("ProjectMembers", "project_members")];

/// A pipeline that was not run yet.
#[derive(Debug)]
pub(crate) struct Pipeline {
    dir: PathBuf,
    file: PathBuf,
    pub(crate) database: Database,
}

impl Pipeline {
    /// Writes the file into `dir`; `settings` are further lines of `source:`.
    pub(crate) fn new(
        dir: &Path,
        simulator: &Simulator,
        database: Database,
        settings: &[&str],
    ) -> Result<Pipeline> {
        Pipeline::named("bench", dir, simulator, database, settings, "")
    }

    /// The same under a name of its own, with `more` at the end: those in one directory share its state.
    pub(crate) fn named(
        name: &str,
        dir: &Path,
        simulator: &Simulator,
        database: Database,
        settings: &[&str],
        more: &str,
    ) -> Result<Pipeline> {
        std::fs::create_dir_all(dir)?;
        let settings: String = settings.iter().map(|line| format!("  {line}\n")).collect();
        let file = dir.join(format!("{name}.yaml"));
        let text = format!(
            "source:\n  team: {TEAM}\n  base_url: {}\n  projects: [{PROJECT}]\n  auth: {{ token: \"{DEFAULT_TOKEN}\" }}\n\
             {settings}target: {{ {} }}\nstate: state\n{more}",
            simulator.url(),
            database.yaml(),
        );
        std::fs::write(&file, text)?;
        Ok(Pipeline { dir: dir.to_owned(), file, database })
    }

    /// Brings the target up to date and ends; says also after how many seconds the last issue of the simulator
    /// was there.
    pub(crate) async fn once(&self, simulator: &Simulator) -> Result<(Ended, f64)> {
        let mut running = self.start(&["--once"])?;
        let loaded = self.loaded(&mut running, simulator).await?;
        Ok((running.end().await?, loaded))
    }

    /// Brings this and `others` of the same directory up to date in one process, and ends.
    pub(crate) async fn once_whole(&self, others: &[&Pipeline]) -> Result<Ended> {
        let files: Vec<String> = others.iter().map(|other| other.file.display().to_string()).collect();
        let args: Vec<&str> = ["--once"].into_iter().chain(files.iter().map(String::as_str)).collect();
        self.start(&args)?.end().await
    }

    /// Writes the target anew from the mirror.
    pub(crate) async fn resync(&self) -> Result<Ended> {
        let file = self.file.display().to_string();
        Running::start(&self.dir, &["resync", "--json", &file])?.end().await
    }

    /// Puts one text of the file in place of another.
    pub(crate) fn replace(&self, from: &str, to: &str) -> Result<()> {
        let text = std::fs::read_to_string(&self.file)?;
        if !text.contains(from) {
            return Err(format!("{} does not hold {from}", self.file.display()).into());
        }
        Ok(std::fs::write(&self.file, text.replace(from, to))?)
    }

    /// Follows until it is stopped.
    pub(crate) fn follow(&self) -> Result<Running> {
        self.start(&[])
    }

    /// Follows together with others of the same directory, in one process.
    pub(crate) fn follow_with(&self, others: &[&Pipeline]) -> Result<Running> {
        let files: Vec<String> = others.iter().map(|other| other.file.display().to_string()).collect();
        self.start(&files.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Compares the target with everything that the source has; `None` when they are equal, else what is not.
    ///
    /// # Errors
    /// They cannot be compared.
    pub(crate) async fn verify(&self) -> Result<Option<String>> {
        let file = self.file.display().to_string();
        let output = run(&self.dir, &["verify", "--deep", "--json", &file]).await?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match output.status.code() {
            Some(0) => Ok(None),
            Some(DIFFERENT) => Ok(Some(said(&output.stdout))),
            _ => Err(format!("the target cannot be verified: {}", said(&output.stderr)).into()),
        }
    }

    /// The directory of the journal.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    fn start(&self, args: &[&str]) -> Result<Running> {
        let file = self.file.display().to_string();
        let args: Vec<&str> = ["sync", "--json"].iter().chain(args).copied().chain([file.as_str()]).collect();
        Running::start(&self.dir, &args)
    }

    /// Waits until the last issue is in the target: issues come in the order of their codes, after the other
    /// tables. Seconds since the start.
    pub(crate) async fn loaded(&self, running: &mut Running, simulator: &Simulator) -> Result<f64> {
        let mut reader = self.reader(running).await?;
        let last = [i64::from(simulator.issues())];
        while reader.issues(&last).await?.is_empty() {
            if running.has_ended()? && reader.issues(&last).await?.is_empty() {
                return Err(format!("tributary ended without the last issue: {}", running.log()).into());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(running.began().elapsed().as_secs_f64())
    }

    /// Waits until every issue is there with its details.
    pub(crate) async fn detailed(&self, running: &mut Running) -> Result<()> {
        /// The whole table is counted: not too often.
        const COUNT: Duration = Duration::from_millis(200);
        let mut reader = self.reader(running).await?;
        while reader.pending().await? > 0 {
            if running.has_ended()? {
                return Err(format!("tributary ended before the details: {}", running.log()).into());
            }
            tokio::time::sleep(COUNT).await;
        }
        Ok(())
    }

    /// A look at the target, as soon as there is one.
    pub(crate) async fn reader(&self, running: &mut Running) -> Result<Reader> {
        loop {
            if let Some(reader) = self.database.reader().await? {
                return Ok(reader);
            }
            if running.has_ended()? {
                return Err(format!("tributary ended without a target: {}", running.log()).into());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Rows of the target, all tables.
    ///
    /// # Errors
    /// They are not as many as the simulator has.
    pub(crate) async fn complete(&self, simulator: &Simulator) -> Result<u64> {
        let mut reader = self.database.reader().await?.ok_or("there is no target")?;
        let mut rows = 0_u64;
        for (source, target) in TABLES {
            let wanted = match source {
                "Issues" => u64::from(simulator.issues()),
                table => simulator.count(table).await?,
            };
            let found = reader.count(target).await?;
            if found != wanted {
                return Err(format!("{target} has {found} rows, the source {wanted}").into());
            }
            rows = rows.saturating_add(found);
        }
        Ok(rows)
    }
}

/// Seconds since `began`.
pub(crate) fn since(began: Instant) -> f64 {
    began.elapsed().as_secs_f64()
}
