//! What went wrong, as a person reads it: what, why, how to fix it.

use serde::{Deserialize, Serialize};

use crate::words;

/// A problem that a person can read and act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A stable code for machines, for example `CODING-AUTH`.
    pub code: String,
    /// What could not be done.
    pub what: String,
    /// Why.
    pub why: String,
    /// What to do about it.
    pub fix: String,
}

impl Problem {
    /// A problem in the three sentences a person reads. Each is one line and harmless, whatever words of others are
    /// in it (see [`words`]).
    pub fn new(
        code: &str,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Problem {
        let harmless = |text: String| words::one_line(&text).into_owned();
        Problem {
            code: code.to_owned(),
            what: harmless(what.into()),
            why: harmless(why.into()),
            fix: harmless(fix.into()),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}. {} [{}]", self.what, self.why.trim_end_matches('.'), self.fix, self.code)
    }
}

/// Who can do something about an error, and what the engine does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Remedy {
    /// It passes by itself: try again soon.
    Retry,
    /// It passes when somebody outside acts (access given back, room on the disk): say so and look again.
    Wait,
    /// A person must change something here: end, or wait for it when already following.
    NeedsHuman,
}
