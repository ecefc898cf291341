//! What is wrong in a configuration, and where.
//!
//! A connector's `validate` is pure and returns every finding at once; nothing is started while there is one.

use engine::problem::Problem;

/// A problem at a place of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where, as keys joined with dots and list positions in brackets: `source.projects[1]`.
    pub path: String,
    /// What is wrong there, and how to put it right.
    pub problem: Problem,
}

impl Finding {
    /// A problem at `path`.
    pub fn new(
        path: impl Into<String>,
        code: &str,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Finding {
        Finding { path: path.into(), problem: Problem::new(code, what, why, fix) }
    }
}
