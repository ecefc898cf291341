//! What to ask of the list of iterations.

use jiff::civil::Date;
use serde_json::{Map, Value, json};

/// Where an iteration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IterationStatus {
    /// Not begun.
    Waiting,
    /// Under way.
    Processing,
    /// Closed.
    Completed,
}

impl IterationStatus {
    /// As the API spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "WAIT_PROCESS",
            Self::Processing => "PROCESSING",
            Self::Completed => "COMPLETED",
        }
    }
}

/// Which iterations of a project to list; all of them unless narrowed.
///
/// ```
/// use coding_api::{IterationQuery, IterationStatus};
/// let open = IterationQuery::new("mobile-app").status(IterationStatus::Processing).keywords("1.0");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct IterationQuery {
    project: String,
    statuses: Vec<IterationStatus>,
    assignees: Vec<i64>,
    keywords: Option<String>,
    start: Option<Date>,
    end: Option<Date>,
}

impl IterationQuery {
    /// All iterations of the project with this identifier.
    pub fn new(project: impl Into<String>) -> Self {
        Self {
            project: project.into(),
            statuses: Vec::new(),
            assignees: Vec::new(),
            keywords: None,
            start: None,
            end: None,
        }
    }

    /// Also those in this status; without any status, all.
    #[must_use]
    pub fn status(mut self, status: IterationStatus) -> Self {
        self.statuses.push(status);
        self
    }

    /// Also those of the user with this id; without any user, all.
    #[must_use]
    pub fn assignee(mut self, user: i64) -> Self {
        self.assignees.push(user);
        self
    }

    /// Those whose name holds this text.
    #[must_use]
    pub fn keywords(mut self, text: impl Into<String>) -> Self {
        self.keywords = Some(text.into());
        self
    }

    /// From this day at UTC+8.
    #[must_use]
    pub fn start_date(mut self, day: Date) -> Self {
        self.start = Some(day);
        self
    }

    /// Up to this day at UTC+8.
    #[must_use]
    pub fn end_date(mut self, day: Date) -> Self {
        self.end = Some(day);
        self
    }

    pub(crate) fn into_params(self) -> Map<String, Value> {
        let mut params = Map::new();
        params.insert("ProjectName".to_owned(), self.project.into());
        if !self.statuses.is_empty() {
            let statuses: Vec<&str> = self.statuses.iter().map(|status| status.as_str()).collect();
            params.insert("Status".to_owned(), json!(statuses));
        }
        if !self.assignees.is_empty() {
            params.insert("Assignee".to_owned(), json!(self.assignees));
        }
        let texts = [
            ("Keywords", self.keywords),
            ("StartDate", self.start.map(|day| day.to_string())),
            ("EndDate", self.end.map(|day| day.to_string())),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                params.insert(name.to_owned(), text.into());
            }
        }
        params
    }
}

impl From<&str> for IterationQuery {
    fn from(project: &str) -> Self {
        Self::new(project)
    }
}

impl From<String> for IterationQuery {
    fn from(project: String) -> Self {
        Self::new(project)
    }
}

impl From<&String> for IterationQuery {
    fn from(project: &String) -> Self {
        Self::new(project)
    }
}
