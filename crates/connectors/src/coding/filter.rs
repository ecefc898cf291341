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

/// What a filter is made from, and what of it could not be found.
#[derive(Debug)]
pub struct Resolved {
    /// The filter.
    pub filter: Filter,
    /// What the configuration names and CODING does not have; a listed iteration that is gone is among it, and
    /// whether it ever was there is known to the journal alone.
    pub findings: Vec<Finding>,
    /// Iteration codes that no project has now.
    pub unknown_iterations: Vec<i64>,
}

impl CodingSource {
    /// Works out a filter. `at` is the path of the task in the file.
    ///
    /// # Errors
    /// When CODING cannot be asked.
    pub async fn resolve(
        &self,
        issue_types: &[String],
        iterations: &[i64],
        projects: &[Project],
        at: &str,
    ) -> Result<Resolved, SourceError> {
        let mut rules = Vec::new();
        let mut findings = Vec::new();
        let wants_all = issue_types.is_empty() || issue_types.iter().any(|name| name == "ALL");
        if !wants_all {
            let any = self.types(issue_types, projects, at, &mut findings).await?;
            rules.push(Rule { table: ISSUES, any });
        }
        let mut unknown_iterations = Vec::new();
        if !iterations.is_empty() {
            for code in iterations {
                if !self.has_iteration(*code, projects).await? {
                    unknown_iterations.push(*code);
                }
            }
            let tests = |path: &'static [&'static str]| {
                iterations.iter().map(|code| Test::Number(path, *code)).collect()
            };
            rules.push(Rule { table: ISSUES, any: tests(&["Iteration", "Code"]) });
            rules.push(Rule { table: ITERATIONS, any: tests(&["Code"]) });
        }
        Ok(Resolved { filter: Filter(rules), findings, unknown_iterations })
    }

    async fn types(
        &self,
        wanted: &[String],
        projects: &[Project],
        at: &str,
        findings: &mut Vec<Finding>,
    ) -> Result<Vec<Test>, SourceError> {
        let own = |name: &str| OWN_TYPES.iter().find(|own| own.eq_ignore_ascii_case(name));
        let mut known: BTreeSet<(i64, String)> = BTreeSet::new();
        if wanted.iter().any(|name| own(name).is_none()) {
            for project in projects {
                let types = self.client().project_issue_types(&project.name).await.map_err(|e| {
                    source_error(format!("list the issue types of project `{}`", project.name), e)
                })?;
                known.extend(types.value.iter().filter_map(|row| Some((row.id()?, row.name()?.to_owned()))));
            }
        }
        let mut any = Vec::new();
        for (index, name) in wanted.iter().enumerate() {
            if let Some(own) = own(name) {
                any.push(Test::Text(&["Type"], (*own).to_owned()));
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
        Ok(any)
    }

    async fn has_iteration(&self, code: i64, projects: &[Project]) -> Result<bool, SourceError> {
        for project in projects {
            match self.client().iteration(&project.name, code).await {
                Ok(_) => return Ok(true),
                // An unknown code is a parameter that CODING does not accept, or not found.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidParameter) => {}
                Err(error) => return Err(source_error(format!("look up iteration {code}"), error)),
            }
        }
        Ok(false)
    }
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
