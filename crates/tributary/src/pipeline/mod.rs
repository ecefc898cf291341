//! Pipeline files: what users write, checked whole before anything starts.
//!
//! Text → tree ([`tree`]) → structure ([`structure`]) → meaning ([`task`], the connectors) → files that fit
//! together ([`together`]). Every step collects everything that is wrong. Nothing here connects to anything, and
//! no message shows a secret ([`secrets`]). Start with [`load`].

pub(crate) mod config;
mod secrets;
pub(crate) mod structure;
pub(crate) mod task;
mod together;
pub(crate) mod tree;
mod words;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use connectors::coding::config::{CodingSettings, time};
use connectors::finding::Finding;
use connectors::postgres::config::Validated as PostgresSettings;
use connectors::sqlite::config::{SqliteConfig, Validated as SqliteSettings};

use config::{PipelineConfig, TargetConfig};
use structure::Structure;
use task::TaskSettings;
pub(crate) use together::same_directory;

/// A pipeline that may be started.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    /// The file it came from, as it was named on the command line.
    pub(crate) file: PathBuf,
    /// The task's name, unlike that of every other pipeline loaded together with it.
    pub(crate) name: String,
    pub(crate) source: CodingSettings,
    pub(crate) task: TaskSettings,
    pub(crate) target: TargetSettings,
    /// The state directory.
    pub(crate) state: PathBuf,
    /// How long the journal keeps log entries and tombstones.
    pub(crate) retention: Duration,
}

/// Where rows go.
#[derive(Clone, Debug)]
pub(crate) enum TargetSettings {
    Sqlite(SqliteSettings),
    Postgres(PostgresSettings),
}

/// What is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileFinding {
    pub(crate) file: PathBuf,
    pub(crate) finding: Finding,
}

impl fmt::Display for FileFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { path, problem } = &self.finding;
        write!(f, "{}: ", self.file.display())?;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        write!(f, "{problem}")
    }
}

/// Loads pipeline files that shall run together. `variable` gives the variables of the environment.
///
/// # Errors
/// Everything that is wrong in any of them, and between them.
pub(crate) fn load(
    files: &[PathBuf],
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Pipeline>, Vec<FileFinding>> {
    let mut pipelines = Vec::new();
    let mut wrong = Vec::new();
    for file in files {
        match std::fs::read_to_string(file) {
            Ok(text) => match read(file, &text, variable) {
                Ok(pipeline) => pipelines.push(pipeline),
                Err(findings) => wrong.extend(in_file(file, findings)),
            },
            Err(error) => wrong.push(FileFinding { file: file.clone(), finding: unreadable(&error) }),
        }
    }
    wrong.extend(together::check(&pipelines));
    if wrong.is_empty() { Ok(pipelines) } else { Err(wrong) }
}

fn in_file(file: &Path, findings: Vec<Finding>) -> impl Iterator<Item = FileFinding> {
    findings.into_iter().map(move |finding| FileFinding { file: file.to_owned(), finding })
}

fn unreadable(error: &std::io::Error) -> Finding {
    let fix = match error.kind() {
        std::io::ErrorKind::NotFound => "Check the path.",
        std::io::ErrorKind::InvalidData => "Save the file as UTF-8.",
        std::io::ErrorKind::IsADirectory => "Name a file in it.",
        _ => "Make the file readable for this user.",
    };
    Finding::new("", "CONFIG-FILE", "The file cannot be read", error.to_string(), fix)
}

/// Reads one file's text.
pub(crate) fn read(
    file: &Path,
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Pipeline, Vec<Finding>> {
    let root = tree::parse(text).map_err(|finding| vec![finding])?;
    let (tree, unset) = tree::substitute(root, variable);
    secrets::guard(&tree.root);
    let (config, structure) = structure::read(tree);
    let mut found = Found { unset, structure, meaning: Vec::new() };
    let pipeline = config.and_then(|config| meaning(file, config, &mut found));
    let findings = found.sorted();
    match pipeline {
        Some(pipeline) if findings.is_empty() => Ok(pipeline),
        _ => Err(findings),
    }
}

/// What was found in one file, by step.
struct Found {
    unset: Vec<Finding>,
    structure: Structure,
    meaning: Vec<Finding>,
}

impl Found {
    /// By place. A place that an earlier step has explained is not explained twice.
    fn sorted(self) -> Vec<Finding> {
        let Found { unset, structure, meaning } = self;
        let unset_at = |path: &str| unset.iter().any(|seen| seen.path == path);
        let mut all: Vec<Finding> = meaning
            .into_iter()
            .filter(|finding| !structure.covers(&finding.path) && !unset_at(&finding.path))
            .collect();
        all.extend(
            structure.findings.into_iter().filter(|finding| !unset.iter().any(|s| s.path == finding.path)),
        );
        all.extend(unset);
        all.sort_by(|a, b| a.path.cmp(&b.path));
        all
    }
}

fn meaning(file: &Path, config: PipelineConfig, found: &mut Found) -> Option<Pipeline> {
    let base_dir = file.parent().unwrap_or(Path::new(""));
    let name = name(file, config.name.as_deref(), &mut found.meaning);
    if let Some(source) = &config.source {
        found.meaning.extend(task::unfilled(&config.task, source.incremental));
    }
    let source = match config.source {
        Some(source) => source.validate("source", base_dir).map_err(|f| found.meaning.extend(f)).ok(),
        None => {
            found.meaning.push(Finding::new(
                "source",
                "CONFIG-MISSING",
                "There is no source",
                "the block `source` is missing",
                "Add it: `team`, `projects` and `auth` are enough.",
            ));
            None
        }
    };
    let task = task::validate(&config.task).map_err(|f| found.meaning.extend(f)).ok();
    let state = base_dir.join(&config.state);
    if config.state.as_os_str().is_empty() {
        found.meaning.push(Finding::new(
            "state",
            "CONFIG-VALUE",
            "The state directory has no name",
            "the text is empty",
            "Write a directory, or take the key out for `coding.state`.",
        ));
    }
    let retention = time("retention".to_owned(), &config.retention, &mut found.meaning);
    let target = match config.target {
        Some(TargetConfig::Sqlite(sqlite)) => {
            if !config.state.as_os_str().is_empty() && lies_in(&sqlite, base_dir, &state) {
                found.meaning.push(Finding::new(
                    "target.sqlite.path",
                    "CONFIG-CONTRADICTION",
                    "The database lies in the state directory",
                    "that directory belongs to tributary alone",
                    "Give the database a place outside of `state`.",
                ));
            }
            sqlite.validate(base_dir).map(TargetSettings::Sqlite).map_err(|f| found.meaning.extend(f)).ok()
        }
        Some(TargetConfig::Postgres(postgres)) => {
            postgres.validate().map(TargetSettings::Postgres).map_err(|f| found.meaning.extend(f)).ok()
        }
        None => {
            found.meaning.push(Finding::new(
                "target",
                "CONFIG-MISSING",
                "There is no target",
                "the block `target` is missing",
                "Add it, for example `target: { sqlite: { path: coding.db } }`.",
            ));
            None
        }
    };
    Some(Pipeline {
        file: file.to_owned(),
        name: name?,
        source: source?,
        task: task?,
        target: target?,
        state,
        retention: retention?,
    })
}

/// Whether the database would lie in the state directory.
fn lies_in(sqlite: &SqliteConfig, base_dir: &Path, state: &Path) -> bool {
    !sqlite.path.as_os_str().is_empty() && plain(&base_dir.join(&sqlite.path)).starts_with(plain(state))
}

/// The task's name: bookkeeping in targets is kept under it.
fn name(file: &Path, given: Option<&str>, findings: &mut Vec<Finding>) -> Option<String> {
    /// Long enough for people, short enough for a line of a terminal.
    const MAX_CHARS: usize = 100;
    let name = match given {
        Some(given) => given.trim().to_owned(),
        None => file.file_stem()?.to_string_lossy().into_owned(),
    };
    if name.is_empty() || name.chars().count() > MAX_CHARS || name.chars().any(char::is_control) {
        findings.push(Finding::new(
            "name",
            "CONFIG-VALUE",
            "The name is not usable",
            format!("a name has 1 to {MAX_CHARS} characters in one line"),
            "Write another, or take the key out to use the file's name.",
        ));
        return None;
    }
    Some(name)
}

/// A path without detours, so that two spellings of one place are alike. Looks at no file.
fn plain(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}
