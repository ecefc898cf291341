//! What an event says of the things it is about: just enough to find them. All of it is read leniently: numbers
//! may be texts or floats, and zero, empty, null and absent all mean "unset".

use serde_json::{Map, Value};

use crate::row::integer;

/// A project, as an event names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProjectMark {
    /// Its number.
    pub id: Option<i64>,
    /// Its identifier, not the name that is displayed.
    pub name: Option<String>,
}

/// Who did it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sender {
    /// The user's number.
    pub id: Option<i64>,
    /// The user's `GlobalKey`.
    pub login: Option<String>,
    /// The user's name.
    pub name: Option<String>,
}

/// An issue, as an event names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct IssueMark {
    /// Its number in the project.
    pub code: i64,
    /// The number of the issue above it; 0 if there is none.
    pub parent_code: i64,
    /// The number of the iteration it is planned into.
    pub iteration_code: Option<i64>,
    /// When it was last updated, in milliseconds since the epoch.
    pub updated_ms: Option<i64>,
    /// `REQUIREMENT`, `MISSION`, `DEFECT`, `EPIC`, `SUB_TASK`.
    pub r#type: Option<String>,
    /// Its title.
    pub title: Option<String>,
}

/// An iteration, as an event names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct IterationMark {
    /// Its number in the project.
    pub code: i64,
    /// When it was last updated, in milliseconds since the epoch.
    pub updated_ms: Option<i64>,
    /// Its title.
    pub title: Option<String>,
}

/// How a list of files or issues is cut when it is shown; long texts, too.
const SHOWN_CHARS: usize = 120;

impl ProjectMark {
    pub(super) fn of(value: Option<&Value>) -> Option<Self> {
        let project = value?.as_object()?;
        let mark = Self { id: positive(project.get("id")), name: text(project.get("name")) };
        (mark != Self::default()).then_some(mark)
    }
}

impl Sender {
    pub(super) fn of(value: Option<&Value>) -> Option<Self> {
        let user = value?.as_object()?;
        let sender = Self {
            id: positive(user.get("id")),
            login: text(user.get("login")),
            name: text(user.get("name")),
        };
        (sender != Self::default()).then_some(sender)
    }
}

impl IssueMark {
    /// An issue object, or its bare number.
    pub(super) fn of(value: Option<&Value>) -> Option<Self> {
        let value = value?;
        let Some(issue) = value.as_object() else {
            return positive(Some(value)).map(|code| Self { code, ..Self::default() });
        };
        let parent = positive(issue.get("parent_code")).or_else(|| code_of(issue.get("parent")));
        Some(Self {
            code: positive(issue.get("code"))?,
            parent_code: parent.unwrap_or(0),
            iteration_code: code_of(issue.get("iteration")),
            updated_ms: time(issue.get("updated_at")),
            r#type: text(issue.get("type")),
            title: text(issue.get("title")),
        })
    }
}

impl IterationMark {
    /// An iteration object, or its bare number.
    pub(super) fn of(value: Option<&Value>) -> Option<Self> {
        let code = code_of(value)?;
        let Some(iteration) = value?.as_object() else { return Some(Self { code, ..Self::default() }) };
        let (updated_ms, title) = (time(iteration.get("updated_at")), text(iteration.get("title")));
        Some(Self { code, updated_ms, title })
    }
}

/// `code` of an object, or a bare number.
fn code_of(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::Object(object) => positive(object.get("code")),
        bare => positive(Some(bare)),
    }
}

/// A number above zero: ids, codes, numbers.
pub(super) fn positive(value: Option<&Value>) -> Option<i64> {
    let value = value?;
    let number = integer(value).or_else(|| {
        // "12.0" for 12.
        let (whole, fraction) = value.as_str()?.trim().split_once('.')?;
        fraction.bytes().all(|digit| digit == b'0').then(|| whole.parse().ok())?
    });
    number.filter(|number| *number > 0)
}

/// Milliseconds since the epoch. Zero and the API's other spelling of "unset" (-28800000) are below one.
pub(super) fn time(value: Option<&Value>) -> Option<i64> {
    positive(value)
}

/// `updated_at` of an object, or else `created_at`.
pub(super) fn changed(object: &Map<String, Value>) -> Option<i64> {
    time(object.get("updated_at")).or_else(|| time(object.get("created_at")))
}

/// A text that says something.
pub(super) fn text(value: Option<&Value>) -> Option<String> {
    value?.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A text of a body made fit for one line of a terminal.
pub(super) fn shown(text: &str) -> String {
    text.trim().chars().take(SHOWN_CHARS).map(|char| if char.is_control() { ' ' } else { char }).collect()
}
