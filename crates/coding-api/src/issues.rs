//! What to ask of the list of issues: type, conditions, order, page size.

use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};
use serde_json::{Map, Value, json};

/// The type of issues to list or to ask metadata for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IssueType {
    /// Every type; only for listings.
    All,
    /// Defects.
    Defect,
    /// Requirements (user stories are a sub-type).
    Requirement,
    /// Tasks.
    Mission,
    /// Epics.
    Epic,
    /// Sub-tasks; only for metadata, listings show them with [`IssueQuery::show_sub_issues`].
    SubTask,
}

impl IssueType {
    /// As the API spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "ALL",
            Self::Defect => "DEFECT",
            Self::Requirement => "REQUIREMENT",
            Self::Mission => "MISSION",
            Self::Epic => "EPIC",
            Self::SubTask => "SUB_TASK",
        }
    }

    /// The type that the API spells so; `None` for one that is not known here.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Defect, Self::Requirement, Self::Mission, Self::Epic, Self::SubTask];
        all.into_iter().find(|one| one.as_str() == text)
    }
}

/// By what a listing of issues is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SortKey {
    /// The public number: never moves, so pages stay where they are.
    Code,
    /// Time of creation: does not move either.
    CreatedAt,
    /// Time of the last change.
    UpdatedAt,
    /// Time of completion.
    CompletedAt,
    /// Due date.
    DueDate,
    /// Priority.
    Priority,
    /// Status.
    Status,
    /// Kind of status: to do, processing, completed.
    StatusType,
    /// Assignee.
    Assignee,
    /// When the issue was put into its iteration.
    JoinIterationAt,
    /// Parent.
    ParentId,
}

impl SortKey {
    /// As the API spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Code => "CODE",
            Self::CreatedAt => "CREATED_AT",
            Self::UpdatedAt => "UPDATED_AT",
            Self::CompletedAt => "COMPLETED_AT",
            Self::DueDate => "DUE_DATE",
            Self::Priority => "PRIORITY",
            Self::Status => "STATUS",
            Self::StatusType => "STATUS_TYPE",
            Self::Assignee => "ASSIGNEE",
            Self::JoinIterationAt => "JOIN_ITERATION_AT",
            Self::ParentId => "PARENT_ID",
        }
    }
}

/// Which end of the order comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Smallest, oldest first.
    Ascending,
    /// Largest, newest first.
    Descending,
}

impl Order {
    /// As the API spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ascending => "ASC",
            Self::Descending => "DESC",
        }
    }
}

/// How many rows to ask for at a time: 1 to 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageSize(u32);

/// The page size is not between 1 and 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a page has 1 to 500 rows, not {0}")]
pub struct PageSizeError(u32);

impl PageSize {
    /// The most that CODING gives.
    pub const MAX: Self = Self(500);

    /// # Errors
    /// When `rows` is not between 1 and 500.
    pub fn new(rows: u32) -> Result<Self, PageSizeError> {
        if (1..=Self::MAX.0).contains(&rows) { Ok(Self(rows)) } else { Err(PageSizeError(rows)) }
    }

    /// The number of rows.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

impl Default for PageSize {
    fn default() -> Self {
        Self::MAX
    }
}

/// A restriction of a listing of issues. Several are joined by "and".
///
/// Days and times of conditions are at UTC+8, whatever the zone of this machine or of the user. CODING judges
/// times by whole days in places: let windows overlap by a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    key: &'static str,
    value: Restriction,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Restriction {
    Text(String),
    Unset,
    Custom { field: i64, text: String },
}

impl Condition {
    /// Changed on one of these days, both included.
    #[must_use]
    pub fn updated_at(from: Date, to: Date) -> Self {
        Self::days("UPDATED_AT", from, to)
    }

    /// Changed between these moments, both included, in whole seconds.
    #[must_use]
    pub fn updated_between(from: Timestamp, to: Timestamp) -> Self {
        Self::moments("UPDATED_AT", from, to)
    }

    /// Created on one of these days, both included.
    #[must_use]
    pub fn created_at(from: Date, to: Date) -> Self {
        Self::days("CREATED_AT", from, to)
    }

    /// Created between these moments, both included, in whole seconds.
    #[must_use]
    pub fn created_between(from: Timestamp, to: Timestamp) -> Self {
        Self::moments("CREATED_AT", from, to)
    }

    /// Starting on one of these days, both included.
    #[must_use]
    pub fn start_date(from: Date, to: Date) -> Self {
        Self::days("START_DATE", from, to)
    }

    /// Due on one of these days, both included.
    #[must_use]
    pub fn due_date(from: Date, to: Date) -> Self {
        Self::days("DUE_DATE", from, to)
    }

    /// In one of the iterations with these codes. CODING refuses the whole request if one does not exist.
    #[must_use]
    pub fn iterations(codes: &[i64]) -> Self {
        Self::numbers("ITERATION", codes)
    }

    /// In no iteration.
    #[must_use]
    pub fn no_iteration() -> Self {
        Self { key: "ITERATION", value: Restriction::Unset }
    }

    /// In one of the statuses with these ids.
    #[must_use]
    pub fn statuses(ids: &[i64]) -> Self {
        Self::numbers("STATUS", ids)
    }

    /// Assigned to one of the users with these ids.
    #[must_use]
    pub fn assignees(ids: &[i64]) -> Self {
        Self::numbers("ASSIGNEE", ids)
    }

    /// Assigned to nobody.
    #[must_use]
    pub fn no_assignee() -> Self {
        Self { key: "ASSIGNEE", value: Restriction::Unset }
    }

    /// Created by one of the users with these ids.
    #[must_use]
    pub fn creators(ids: &[i64]) -> Self {
        Self::numbers("CREATOR", ids)
    }

    /// With one of the labels with these ids.
    #[must_use]
    pub fn labels(ids: &[i64]) -> Self {
        Self::numbers("LABEL", ids)
    }

    /// Below one of these parents.
    #[must_use]
    pub fn parents(ids: &[i64]) -> Self {
        Self::numbers("PARENT", ids)
    }

    /// Of one of the custom types with these ids.
    #[must_use]
    pub fn issue_type_ids(ids: &[i64]) -> Self {
        Self::numbers("ISSUE_TYPE_ID", ids)
    }

    /// With one of these priorities: 0 low, 1 medium, 2 high, 3 urgent.
    #[must_use]
    pub fn priorities(priorities: &[i64]) -> Self {
        Self::numbers("PRIORITY", priorities)
    }

    /// Whose name or code is like this text.
    #[must_use]
    pub fn keyword(text: impl Into<String>) -> Self {
        Self { key: "KEYWORD", value: Restriction::Text(text.into()) }
    }

    /// Whose custom field with this id has this value.
    #[must_use]
    pub fn custom(field: i64, text: impl Into<String>) -> Self {
        Self { key: "CUSTOM", value: Restriction::Custom { field, text: text.into() } }
    }

    /// The day at UTC+8 on which a moment lies.
    #[must_use]
    pub fn day_of(moment: Timestamp) -> Date {
        at_utc8(moment).date()
    }

    fn days(key: &'static str, from: Date, to: Date) -> Self {
        Self { key, value: Restriction::Text(format!("{from}_{to}")) }
    }

    fn moments(key: &'static str, from: Timestamp, to: Timestamp) -> Self {
        let text = |moment| at_utc8(moment).strftime("%Y-%m-%d %H:%M:%S").to_string();
        Self { key, value: Restriction::Text(format!("{}_{}", text(from), text(to))) }
    }

    fn numbers(key: &'static str, numbers: &[i64]) -> Self {
        let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
        Self { key, value: Restriction::Text(numbers.join(",")) }
    }

    fn to_json(&self) -> Value {
        match &self.value {
            Restriction::Text(text) => json!({ "Key": self.key, "Value": text }),
            Restriction::Unset => json!({ "Key": self.key, "ConstValue": "UNSPECIFIC" }),
            Restriction::Custom { field, text } => {
                json!({ "Key": self.key, "CustomFieldId": field, "Value": text })
            }
        }
    }
}

fn at_utc8(moment: Timestamp) -> Zoned {
    moment.to_zoned(TimeZone::fixed(Offset::constant(8)))
}

/// Which issues of a project to list, and how.
///
/// Without further calls: all types, sub-issues included, oldest code first, 500 rows a page.
///
/// ```
/// use coding_api::{Condition, IssueQuery, IssueType, Order, SortKey};
/// use jiff::civil::date;
///
/// let query = IssueQuery::new("mobile-app")
///     .issue_type(IssueType::Defect)
///     .condition(Condition::updated_at(date(2026, 7, 1), date(2026, 7, 31)))
///     .sort(SortKey::UpdatedAt, Order::Descending);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct IssueQuery {
    project: String,
    issue_type: IssueType,
    conditions: Vec<Condition>,
    sort: SortKey,
    order: Order,
    show_sub_issues: bool,
    page_size: PageSize,
}

impl IssueQuery {
    /// All issues of the project with this identifier.
    pub fn new(project: impl Into<String>) -> Self {
        Self {
            project: project.into(),
            issue_type: IssueType::All,
            conditions: Vec::new(),
            sort: SortKey::Code,
            order: Order::Ascending,
            show_sub_issues: true,
            page_size: PageSize::MAX,
        }
    }

    /// Of this type alone.
    #[must_use]
    pub fn issue_type(mut self, issue_type: IssueType) -> Self {
        self.issue_type = issue_type;
        self
    }

    /// Also restricted by this.
    #[must_use]
    pub fn condition(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// In this order.
    #[must_use]
    pub fn sort(mut self, key: SortKey, order: Order) -> Self {
        (self.sort, self.order) = (key, order);
        self
    }

    /// Whether sub-issues are listed too; without them they are missing.
    #[must_use]
    pub fn show_sub_issues(mut self, show: bool) -> Self {
        self.show_sub_issues = show;
        self
    }

    /// So many rows at a time.
    #[must_use]
    pub fn page_size(mut self, page_size: PageSize) -> Self {
        self.page_size = page_size;
        self
    }

    pub(crate) fn rows_per_page(&self) -> PageSize {
        self.page_size
    }

    pub(crate) fn into_params(self) -> Map<String, Value> {
        let mut params = Map::new();
        let mut put = |name: &str, value: Value| params.insert(name.to_owned(), value);
        put("ProjectName", self.project.into());
        put("IssueType", self.issue_type.as_str().into());
        put("SortKey", self.sort.as_str().into());
        put("SortValue", self.order.as_str().into());
        put("ShowSubIssues", self.show_sub_issues.into());
        if !self.conditions.is_empty() {
            // The documentation types it as one object; an array is what its example and all clients use.
            put("Conditions", self.conditions.iter().map(Condition::to_json).collect());
        }
        params
    }
}

#[cfg(test)]
mod tests {
    use super::{Condition, IssueQuery, Order, PageSize, SortKey};
    use jiff::Timestamp;
    use jiff::civil::date;
    use serde_json::{Value, json};

    #[test]
    fn a_query_is_written_as_the_api_wants_it() {
        let (late, later): (Timestamp, Timestamp) =
            ("2026-07-31T16:30:00.999Z".parse().unwrap(), "2026-08-01T00:00:00Z".parse().unwrap());
        assert_eq!(Condition::day_of(late), date(2026, 8, 1));
        let query = IssueQuery::new("app")
            .sort(SortKey::UpdatedAt, Order::Descending)
            .condition(Condition::updated_at(date(2026, 7, 1), date(2026, 7, 31)))
            .condition(Condition::created_between(late, later))
            .condition(Condition::iterations(&[12, 1]))
            .condition(Condition::no_assignee())
            .condition(Condition::custom(7, "x"));
        assert_eq!(
            Value::Object(query.into_params()),
            json!({
                "ProjectName": "app", "IssueType": "ALL", "SortKey": "UPDATED_AT", "SortValue": "DESC",
                "ShowSubIssues": true,
                "Conditions": [
                    { "Key": "UPDATED_AT", "Value": "2026-07-01_2026-07-31" },
                    { "Key": "CREATED_AT", "Value": "2026-08-01 00:30:00_2026-08-01 08:00:00" },
                    { "Key": "ITERATION", "Value": "12,1" },
                    { "Key": "ASSIGNEE", "ConstValue": "UNSPECIFIC" },
                    { "Key": "CUSTOM", "CustomFieldId": 7, "Value": "x" },
                ],
            })
        );
    }

    #[test]
    fn page_sizes_are_from_1_to_500() {
        assert!(PageSize::new(0).is_err() && PageSize::new(501).is_err());
        assert_eq!(PageSize::new(500), Ok(PageSize::MAX));
    }
}
