//! What "check" tells about a source or a target: one item per thing that was really tried.
//!
//! A connector's `check` connects and exercises what it names; it never assumes. What fails says how to put it
//! right. Start with [`CheckItem`].

use serde::Serialize;

/// One thing that was tried, and how it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckItem {
    /// What was tried, for example `target: write`.
    pub name: String,
    /// How it went.
    pub outcome: Outcome,
    /// What was found, as a person reads it.
    pub detail: String,
    /// What to do about it, unless all is well.
    pub fix: Option<String>,
}

/// How a thing that was tried went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It works.
    Ok,
    /// It works, but not for long or not as it should.
    Warning,
    /// It does not work; nothing can be started.
    Failed,
}

impl CheckItem {
    /// A thing that works.
    pub fn ok(name: impl Into<String>, detail: impl Into<String>) -> CheckItem {
        CheckItem { name: name.into(), outcome: Outcome::Ok, detail: detail.into(), fix: None }
    }

    /// A thing that works, but not as it should.
    pub fn warning(name: impl Into<String>, detail: impl Into<String>, fix: impl Into<String>) -> CheckItem {
        CheckItem {
            name: name.into(),
            outcome: Outcome::Warning,
            detail: detail.into(),
            fix: Some(fix.into()),
        }
    }

    /// A thing that does not work.
    pub fn failed(name: impl Into<String>, detail: impl Into<String>, fix: impl Into<String>) -> CheckItem {
        CheckItem {
            name: name.into(),
            outcome: Outcome::Failed,
            detail: detail.into(),
            fix: Some(fix.into()),
        }
    }
}

/// What to know of tables that the next start makes anew and fills again, each with the points in which it differs.
pub(crate) fn made_anew(tables: Vec<(String, Vec<String>)>) -> Option<CheckItem> {
    /// Points that are named.
    const SHOWN: usize = 3;
    let said: Vec<String> = tables
        .into_iter()
        .map(|(table, mut points)| {
            let more = points.len().saturating_sub(SHOWN);
            points.truncate(SHOWN);
            if more > 0 {
                points.push(format!("and {more} more"));
            }
            format!("{table} ({})", points.join("; "))
        })
        .collect();
    (!said.is_empty()).then(|| {
        CheckItem::warning(
            "target: tables",
            format!("the next start makes tables anew and fills them again: {}", said.join(", ")),
            "If that is not what you want, set `task.mode`, `task.naming` and `task.deletes` as they were.",
        )
    })
}
