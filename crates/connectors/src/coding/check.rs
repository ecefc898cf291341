//! "Test connection": every item really tries what it names.

use std::time::Duration;

use coding_api::{Error, ErrorKind, IssueQuery, IssueType, PageSize, RowExt};
use engine::source::{Project, Source, Urgency};

use super::config::Projects;
use super::fault::source_error;
use super::source::CodingSource;
use crate::check::CheckItem;

/// A clock difference that a person should know of: times in the target are the source's.
const LARGE_SKEW: Duration = Duration::from_secs(30);
/// Projects that are tried one by one; a credential may see hundreds.
const PROJECTS_TRIED: usize = 20;

impl CodingSource {
    /// Tries host, identity, every permission that a capture needs, every project, and the clock.
    pub async fn check(&self) -> Vec<CheckItem> {
        let mut items = Vec::new();
        if !self.check_identity(&mut items).await {
            return items;
        }
        match self.prove_team(self.client()).await {
            Ok(()) => items.push(CheckItem::ok("source: team", format!("it is `{}`", self.settings().team))),
            Err(error) => {
                items.push(CheckItem::failed("source: team", error.problem.why, error.problem.fix));
                return items;
            }
        }
        let roster = match self.roster(Urgency::Poll).await {
            Ok(roster) => roster,
            Err(error) => {
                items.push(CheckItem::failed(
                    "source: projects",
                    error.problem.why.clone(),
                    error.problem.fix.clone(),
                ));
                return items;
            }
        };
        let projects = self.check_projects(&roster, &mut items);
        for project in projects.iter().take(PROJECTS_TRIED) {
            self.check_project(project, &mut items).await;
        }
        if projects.len() > PROJECTS_TRIED {
            items.push(CheckItem::ok(
                "source: projects",
                format!(
                    "{} more projects were not tried one by one",
                    projects.len().saturating_sub(PROJECTS_TRIED)
                ),
            ));
        }
        items.push(self.check_clock());
        items
    }

    async fn check_identity(&self, items: &mut Vec<CheckItem>) -> bool {
        let host = self.settings().base_url.as_str().to_owned();
        match self.client().current_user().await {
            Ok(reply) => {
                items.push(CheckItem::ok("source: host", format!("{host} answers")));
                let name = reply.value.name().unwrap_or("a user without a name").to_owned();
                items.push(CheckItem::ok("source: identity", format!("the credential belongs to {name}")));
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::Forbidden) => {
                items.push(CheckItem::ok("source: host", format!("{host} answers")));
                items.push(CheckItem::warning(
                    "source: identity",
                    "the credential may not say whose it is",
                    "Give the token the scope `user:profile:ro`; a project token has no user, that is all right.",
                ));
                true
            }
            Err(error) => {
                let reached = matches!(
                    error.kind(),
                    ErrorKind::Unauthorised
                        | ErrorKind::NotFound
                        | ErrorKind::Other
                        | ErrorKind::InvalidParameter
                );
                let error = source_error("learn whose credential this is", error);
                let (why, fix) = (error.problem.why.clone(), error.problem.fix.clone());
                if reached {
                    items.push(CheckItem::ok("source: host", format!("{host} answers")));
                    items.push(CheckItem::failed("source: identity", why, fix));
                } else {
                    items.push(CheckItem::failed("source: host", format!("{host}: {why}"), fix));
                }
                false
            }
        }
    }

    fn check_projects(&self, roster: &[Project], items: &mut Vec<CheckItem>) -> Vec<Project> {
        let Projects::Named(names) = &self.settings().projects else {
            let mut roster = roster.to_vec();
            if let Projects::AllBut(out) = &self.settings().projects {
                for name in out {
                    if !roster.iter().any(|project| project.name.eq_ignore_ascii_case(name)) {
                        items.push(CheckItem::warning(
                            format!("source: exclude {name}"),
                            "the credential does not see a project of this identifier",
                            "Correct `source.exclude`, unless the project was deleted and its rows are to leave.",
                        ));
                    }
                }
                roster.retain(|project| !self.settings().projects.excludes(&project.name));
            }
            items.push(match roster.len() {
                0 => CheckItem::failed(
                    "source: projects",
                    "the credential sees no project",
                    "Add its user to a project, or give the token the scope `project:profile:ro`.",
                ),
                count => CheckItem::ok("source: projects", format!("the credential sees {count} projects")),
            });
            return roster;
        };
        let mut found = Vec::new();
        for name in names {
            match roster.iter().find(|project| project.name.eq_ignore_ascii_case(name)) {
                Some(project) => {
                    items.push(CheckItem::ok(format!("source: project {name}"), "the credential sees it"));
                    found.push(project.clone());
                }
                None => {
                    let seen: Vec<&str> = roster.iter().take(20).map(|p| p.name.as_str()).collect();
                    items.push(CheckItem::failed(
                        format!("source: project {name}"),
                        format!("the credential does not see it; it sees: {}", seen.join(", ")),
                        "Correct `source.projects`, or add the credential's user to the project.",
                    ));
                }
            }
        }
        found
    }

    async fn check_project(&self, project: &Project, items: &mut Vec<CheckItem>) {
        let (client, name) = (self.client(), project.name.as_str());
        let one = PageSize::new(1).unwrap_or_default();
        let issues = client.issues(IssueQuery::new(name).show_sub_issues(true));
        // One row that cannot be read says nothing against the rest.
        let issues = issues.with_page_size(one).row_by_row().page(1).await;
        let code = issues.as_ref().ok().and_then(|page| page.rows.first()).and_then(RowExt::code);
        let count = |page: coding_api::Page| format!("readable; {} in all", page.total.unwrap_or(0));
        items.push(item(name, "list issues", "collaboration:issue:ro", issues.map(count)));
        if let Some(code) = code {
            let detail = client.issue(name, code).await.map(|_| format!("issue {code} can be looked up"));
            items.push(item(name, "look up an issue", "collaboration:issue:ro", detail));
        }
        let iterations = client.iterations(name).with_page_size(one).row_by_row().page(1).await;
        items.push(item(name, "list iterations", "collaboration:issue:ro", iterations.map(count)));
        let members = client.project_members(project.id.0).with_page_size(one).row_by_row().page(1).await;
        items.push(item(name, "list members", "project:member:ro", members.map(count)));
        let fields = client.issue_fields(name, IssueType::Defect, None).await;
        let fields = fields.map(|reply| format!("{} fields of defects", reply.value.len()));
        items.push(item(name, "list issue fields", "collaboration:issue:ro", fields));
    }

    fn check_clock(&self) -> CheckItem {
        let ahead = Duration::from_millis(self.clock_ahead_ms().unsigned_abs());
        let direction = if self.clock_ahead_ms() > 0 { "ahead of" } else { "behind" };
        if ahead > LARGE_SKEW {
            return CheckItem::warning(
                "source: clock",
                format!("CODING's clock is {} seconds {direction} this machine's", ahead.as_secs()),
                "Let this machine keep its time by NTP. Nothing is lost: tributary reckons with the difference.",
            );
        }
        CheckItem::ok("source: clock", "CODING's clock and this machine's agree")
    }
}

fn item(project: &str, what: &str, scope: &str, result: Result<String, Error>) -> CheckItem {
    let name = format!("source: {what} of {project}");
    match result {
        Ok(detail) => CheckItem::ok(name, detail),
        Err(error) if matches!(error.kind(), ErrorKind::Forbidden) => CheckItem::failed(
            name,
            error.kind().to_string(),
            format!("Give the token the scope `{scope}`, or its user the role that may."),
        ),
        Err(error) => {
            let error = source_error(what, error);
            CheckItem::failed(name, error.problem.why, error.problem.fix)
        }
    }
}
