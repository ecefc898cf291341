//! What a task's `issue_types` and `iterations` mean: names and codes as rules over rows.

use std::collections::BTreeSet;

use coding_api::{ErrorKind, RowExt};
use engine::delivery::filter::{Filter, Rule, Test};
use engine::source::{Project, SourceError};

use super::fault::source_error;
use super::source::CodingSource;
use super::tables::{ISSUES, ITERATIONS};
use crate::finding::Finding;

/// Types that CODING itself knows; a row's own `Type` is one of them.
const OWN_TYPES: [&str; 6] = ["REQUIREMENT", "MISSION", "DEFECT", "EPIC", "SUB_TASK", "STORY"];

/// Issue types of projects, by id and name.
pub type IssueTypes = BTreeSet<(i64, String)>;

impl CodingSource {
    /// The issue types of a project.
    ///
    /// # Errors
    /// When CODING cannot be asked.
    pub async fn issue_types(&self, project: &Project) -> Result<IssueTypes, SourceError> {
        let types = self.client().project_issue_types(&project.name).await.map_err(|error| {
            source_error(format!("list the issue types of project `{}`", project.name), error)
        })?;
        Ok(types.value.iter().filter_map(|row| Some((row.id()?, row.name()?.to_owned()))).collect())
    }

    /// Whether one of the projects has an iteration of this code.
    ///
    /// # Errors
    /// When CODING cannot be asked about one of them, and none of the others has it.
    pub async fn has_iteration(&self, code: i64, projects: &[Project]) -> Result<bool, SourceError> {
        let mut failed = None;
        for project in projects {
            match self.client().iteration(&project.name, code).await {
                Ok(_) => return Ok(true),
                // An unknown code is a parameter that CODING does not accept, or not found.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidParameter) => {}
                Err(error) => {
                    let what = format!("look up iteration {code} in project `{}`", project.name);
                    failed.get_or_insert(source_error(what, error));
                }
            }
        }
        failed.map_or(Ok(false), Err)
    }
}

/// Whether one of the types is none of CODING's own, so that the projects' have to be known.
#[must_use]
pub fn names_types(issue_types: &[String]) -> bool {
    issue_types.iter().any(|name| own_type(name).is_none())
}

fn own_type(name: &str) -> Option<&'static str> {
    OWN_TYPES.iter().copied().find(|own| own.eq_ignore_ascii_case(name))
}

/// The filter that lets these types and iterations pass; all of them where none is named. `known` are the types
/// of the projects, and `at` is the path of the task in the file.
///
/// # Errors
/// Types that nobody has.
pub fn filter(
    issue_types: &[String],
    iterations: &[i64],
    known: &IssueTypes,
    at: &str,
) -> Result<Filter, Vec<Finding>> {
    let mut rules = Vec::new();
    let mut findings = Vec::new();
    if !issue_types.is_empty() {
        rules.push(Rule { table: ISSUES, any: types(issue_types, known, at, &mut findings) });
    }
    if !iterations.is_empty() {
        let tests =
            |path: &'static [&'static str]| iterations.iter().map(|code| Test::Number(path, *code)).collect();
        rules.push(Rule { table: ISSUES, any: tests(&["Iteration", "Code"]) });
        rules.push(Rule { table: ITERATIONS, any: tests(&["Code"]) });
    }
    if findings.is_empty() { Ok(Filter(rules)) } else { Err(findings) }
}

fn types(wanted: &[String], known: &IssueTypes, at: &str, findings: &mut Vec<Finding>) -> Vec<Test> {
    let mut any = Vec::new();
    for (index, name) in wanted.iter().enumerate() {
        if let Some(own) = own_type(name) {
            any.push(Test::Text(&["Type"], own.to_owned()));
            continue;
        }
        let id: Option<i64> = name.trim().parse().ok();
        let matches: Vec<i64> = known
            .iter()
            .filter(|(known_id, known_name)| Some(*known_id) == id || known_name == name)
            .map(|(known_id, _)| *known_id)
            .collect();
        if matches.is_empty() {
            let names: Vec<&str> = known.iter().map(|(_, name)| name.as_str()).collect();
            findings.push(Finding::new(
                format!("{at}.issue_types[{index}]"),
                "CONFIG-VALUE",
                format!("There is no issue type `{name}`"),
                format!(
                    "the projects have {}, and every issue has one of {}",
                    names.join(", "),
                    OWN_TYPES.join(", ")
                ),
                "Write one of these, the id of a type, or `[ALL]`.",
            ));
        }
        any.extend(matches.into_iter().map(|id| Test::Number(&["IssueTypeId"], id)));
    }
    any
}

/// What to say of an iteration that is neither there now nor was there before.
#[must_use]
pub fn unknown_iteration(code: i64, index: usize, at: &str) -> Finding {
    Finding::new(
        format!("{at}.iterations[{index}]"),
        "CONFIG-VALUE",
        format!("There is no iteration {code}"),
        "no configured project has an iteration with this code",
        "Write the number that stands in the address of the iteration's page; leave the list empty for all.",
    )
}
