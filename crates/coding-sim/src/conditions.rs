//! The conditions of the issue list: reading them and judging a row by them.

use serde_json::Value;

use crate::calendar::parse_range;
use crate::failure::Failure;
use crate::render::{contains, custom_text};
use crate::request::Fields;
use crate::world::World;
use crate::world::catalog::{Kind, Phase};
use crate::world::issue::Issue;
use crate::world::project::Project;

/// What a row must satisfy, all of them.
pub(crate) type Conditions = Vec<Condition>;

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    Kinds(Vec<Kind>),
    Phases(Vec<Phase>),
    /// One of these numbers in this field.
    Numbers(Key, Vec<u32>),
    /// The field is not set.
    Unset(Key),
    /// A time between these milliseconds, both inclusive.
    Between(TimeKey, i64, i64),
    Hours(f64, f64),
    /// Lower case; in the name, or the code itself.
    Keyword(String),
    Custom(u32, String),
    CustomUnset(u32),
}

/// Fields that hold ids or small numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    TypeId,
    RequirementType,
    DefectType,
    MissionType,
    Priority,
    Assignee,
    Creator,
    Watcher,
    Module,
    Label,
    Status,
    Iteration,
    Parent,
    DueDate,
    StartDate,
}

/// Fields that hold times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeKey {
    Due,
    Start,
    Created,
    Updated,
}

/// Reads the `Conditions` of a request; the documented single object counts as a list of one.
pub(crate) fn read(project: &Project, fields: Fields<'_>) -> Result<Conditions, Failure> {
    let entries: Vec<&Value> = match fields.value("Conditions") {
        None => Vec::new(),
        Some(Value::Array(entries)) => entries.iter().collect(),
        Some(single) => vec![single],
    };
    let mut conditions = Vec::with_capacity(entries.len());
    for entry in entries {
        let entry = entry.as_object().ok_or_else(|| Failure::invalid("a condition is not an object"))?;
        conditions.push(read_one(project, Fields(entry))?);
    }
    Ok(conditions)
}

fn read_one(project: &Project, entry: Fields<'_>) -> Result<Condition, Failure> {
    let name = entry.need_text("Key")?;
    let unset = entry.text("ConstValue") == Some("UNSPECIFIC");
    let value = match entry.value("Value") {
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => text.clone(),
        _ => String::new(),
    };
    let range = || parse_range(&value).ok_or_else(|| Failure::invalid(format!("`{name}` needs `from_to`")));
    let time = |key: TimeKey, plain: Key| {
        if unset {
            return Ok(Condition::Unset(plain));
        }
        range().map(|(from, to)| Condition::Between(key, from, to))
    };
    let key = match name {
        "ISSUE_TYPE" => {
            let kinds = words(&value).map(|word| Kind::parse(word).ok_or_else(|| unknown(name, word)));
            return kinds.collect::<Result<_, _>>().map(Condition::Kinds);
        }
        "STATUS_TYPE" => {
            let phases = [Phase::Todo, Phase::Processing, Phase::Completed];
            let found = words(&value).map(|word| {
                phases.into_iter().find(|phase| phase.as_str() == word).ok_or_else(|| unknown(name, word))
            });
            return found.collect::<Result<_, _>>().map(Condition::Phases);
        }
        "KEYWORD" => return Ok(Condition::Keyword(value.to_lowercase())),
        "CREATED_AT" => return range().map(|(from, to)| Condition::Between(TimeKey::Created, from, to)),
        "UPDATED_AT" => return range().map(|(from, to)| Condition::Between(TimeKey::Updated, from, to)),
        "DUE_DATE" => return time(TimeKey::Due, Key::DueDate),
        "START_DATE" => return time(TimeKey::Start, Key::StartDate),
        "WORKING_HOURS" => {
            let numbers =
                value.split_once('_').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
            let (from, to) = numbers.ok_or_else(|| Failure::invalid("`WORKING_HOURS` needs `from_to`"))?;
            return Ok(Condition::Hours(from, to));
        }
        "CUSTOM" => {
            let field = entry.need_id("CustomFieldId")?;
            return Ok(if unset { Condition::CustomUnset(field) } else { Condition::Custom(field, value) });
        }
        "ISSUE_SUB_TYPE" | "ISSUE_TYPE_ID" => Key::TypeId,
        "REQUIREMENT_TYPE" => Key::RequirementType,
        "DEFECT_TYPE" => Key::DefectType,
        "MISSION_TYPE" => Key::MissionType,
        "PRIORITY" => Key::Priority,
        "ASSIGNEE" => Key::Assignee,
        "CREATOR" => Key::Creator,
        "WATCHER" => Key::Watcher,
        "MODULE" => Key::Module,
        "LABEL" => Key::Label,
        "STATUS" => Key::Status,
        "ITERATION" => Key::Iteration,
        "PARENT" => Key::Parent,
        _ => return Err(Failure::new("InvalidParameter", format!("unknown condition key `{name}`"))),
    };
    if unset {
        return Ok(Condition::Unset(key));
    }
    let numbers = words(&value).map(|word| word.parse::<u32>().map_err(|_| unknown(name, word)));
    let numbers: Vec<u32> = numbers.collect::<Result<_, _>>()?;
    if key == Key::Iteration
        && let Some(code) = numbers.iter().find(|code| **code != 0 && !project.iterations.contains_key(code))
    {
        return Err(Failure::new("ResourceNotFound", format!("iteration {code} not found")));
    }
    Ok(Condition::Numbers(key, numbers))
}

fn words(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn unknown(key: &str, word: &str) -> Failure {
    Failure::invalid(format!("`{word}` is no value for `{key}`"))
}

impl Condition {
    /// True when the row satisfies the condition.
    pub(crate) fn holds(&self, world: &World, issue: &Issue) -> bool {
        match self {
            Self::Kinds(kinds) => kinds.contains(&issue.kind),
            Self::Phases(phases) => phases.contains(&issue.phase()),
            Self::Numbers(key, wanted) => key.any(issue, |number| wanted.contains(&number)),
            Self::Unset(Key::Priority) => issue.priority > 3,
            Self::Unset(Key::DueDate) => issue.due_date == 0,
            Self::Unset(Key::StartDate) => issue.start_date == 0,
            Self::Unset(key) => !key.any(issue, |number| number != 0),
            Self::Between(key, from, to) => key.of(issue).is_some_and(|time| (*from..=*to).contains(&time)),
            Self::Hours(from, to) => (*from..=*to).contains(&issue.working_hours),
            Self::Keyword(word) => contains(&issue.name, word) || issue.code.to_string() == *word,
            Self::Custom(field, wanted) => {
                custom_text(world, issue, *field).is_some_and(|text| text == wanted.as_str())
            }
            Self::CustomUnset(field) => custom_text(world, issue, *field).is_none_or(|text| text.is_empty()),
        }
    }
}

impl Key {
    fn any(self, issue: &Issue, mut test: impl FnMut(u32) -> bool) -> bool {
        match self {
            Self::TypeId => test(issue.type_id),
            Self::RequirementType => test(issue.requirement_type),
            Self::DefectType => test(issue.defect_type),
            Self::MissionType | Self::DueDate | Self::StartDate => test(0),
            Self::Priority => issue.priority <= 3 && test(u32::from(issue.priority)),
            Self::Assignee => test(issue.assignee) || issue.assignees.iter().any(|id| test(*id)),
            Self::Creator => test(issue.creator),
            Self::Watcher => issue.watchers.iter().any(|id| test(*id)),
            Self::Module => test(issue.module),
            Self::Label => issue.labels.iter().any(|id| test(*id)),
            Self::Status => test(issue.status),
            Self::Iteration => test(issue.iteration),
            Self::Parent => test(issue.parent),
        }
    }
}

impl TimeKey {
    fn of(self, issue: &Issue) -> Option<i64> {
        match self {
            Self::Due => (issue.due_date != 0).then_some(issue.due_date),
            Self::Start => (issue.start_date != 0).then_some(issue.start_date),
            Self::Created => Some(issue.created_at),
            Self::Updated => Some(issue.updated_at),
        }
    }
}
