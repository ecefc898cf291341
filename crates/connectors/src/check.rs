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
