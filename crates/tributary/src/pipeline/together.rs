//! Whether several pipelines fit together: names differ, and one state directory means one source and one retention.

use std::path::{Component, Path, PathBuf};

use connectors::finding::Finding;

use super::{FileFinding, Pipeline, words};

/// What is wrong between the files.
pub(crate) fn check(pipelines: &[Pipeline]) -> Vec<FileFinding> {
    let mut wrong = Vec::new();
    for (index, pipeline) in pipelines.iter().enumerate() {
        let earlier = || pipelines.iter().take(index);
        if let Some(other) = earlier().find(|other| other.name == pipeline.name) {
            wrong.push(finding(
                pipeline,
                Finding::new(
                    "name",
                    "CONFIG-CONTRADICTION",
                    format!("Two tasks are called `{}`", pipeline.name),
                    format!("{} has this name too, and a task is known by its name", other.file.display()),
                    "Give one of them another `name`.",
                ),
            ));
        }
        let Some(other) = earlier().find(|other| same_directory(&other.state, &pipeline.state)) else {
            continue;
        };
        let differences = pipeline.source.differences(&other.source);
        if !differences.is_empty() {
            wrong.push(finding(
                pipeline,
                Finding::new(
                    "state",
                    "CONFIG-CONTRADICTION",
                    "One state directory for two sources",
                    format!(
                        "{} has the same `state`, but its `source` differs in {}",
                        other.file.display(),
                        words::all_of(&differences)
                    ),
                    "Make the sources equal, or give one of them another `state`.",
                ),
            ));
        }
        if pipeline.retention != other.retention {
            wrong.push(finding(
                pipeline,
                Finding::new(
                    "retention",
                    "CONFIG-CONTRADICTION",
                    "Two retentions for one state directory",
                    format!("{} has the same `state` and another `retention`", other.file.display()),
                    "Write the same in both, or give one of them another `state`.",
                ),
            ));
        }
    }
    wrong
}

fn finding(pipeline: &Pipeline, finding: Finding) -> FileFinding {
    FileFinding { file: pipeline.file.clone(), finding }
}

/// Whether two paths name one directory, whether it exists or not.
pub(crate) fn same_directory(a: &Path, b: &Path) -> bool {
    normal(a) == normal(b)
}

fn normal(path: &Path) -> PathBuf {
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut plain = PathBuf::new();
    for part in full.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
        // Links are followed as far as the path exists.
        if let Ok(real) = std::fs::canonicalize(&plain) {
            plain = real;
        }
    }
    plain
}
