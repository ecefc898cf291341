//! How a command ends: its exit code, and what a person reads when it failed.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::process::ExitCode;

use engine::problem::Problem;
use engine::words;

use crate::pipeline::FileFinding;

/// Exit code of wrong usage or configuration.
pub(crate) const USAGE: u8 = 2;
/// Exit code of what failed, or was broken off.
pub(crate) const FAILED: u8 = 1;
/// Exit code of what was done, and is not well.
const NOT_WELL: u8 = 3;

/// A command that did what it could.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// Everything.
    All,
    /// Everything but deletes that are held, rows that are aside, or rows of the source that cannot be read.
    NotAll,
    /// Everything, and what was compared is not equal.
    Different,
}

/// A command that failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Wrong configuration; nothing was written.
    Configuration(Vec<FileFinding>),
    /// Wrong usage of one flag or variable; nothing was started.
    Usage(Problem),
    /// Something that a person must put right.
    Problems(Vec<Problem>),
    /// The result itself, already printed, says that something is wrong.
    Shown,
}

impl Failure {
    /// Something of the machine's that should have worked.
    pub(crate) fn unexpected(what: &str, error: impl fmt::Display) -> Failure {
        Failure::Problems(vec![Problem::new(
            "SYSTEM",
            format!("Cannot {what}"),
            error.to_string(),
            "Check the machine: memory, disk, permissions.",
        )])
    }

    fn code(&self) -> u8 {
        match self {
            Failure::Configuration(_) | Failure::Usage(_) => USAGE,
            Failure::Problems(_) | Failure::Shown => FAILED,
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        Failure::Problems(vec![problem])
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Configuration(findings) => {
                let number = crate::present::text::plural(
                    u64::try_from(findings.len()).unwrap_or(u64::MAX),
                    "problem",
                );
                write!(f, "{number} in the configuration; nothing was written")?;
                findings.iter().try_for_each(|finding| write!(f, "\n  {finding}"))
            }
            Failure::Usage(problem) => write!(f, "{problem}"),
            Failure::Problems(problems) => match problems.as_slice() {
                [only] => write!(f, "{only}"),
                many => {
                    write!(f, "{} problems", many.len())?;
                    many.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
                }
            },
            Failure::Shown => Ok(()),
        }
    }
}

/// Says what failed, and gives the exit code.
pub(crate) fn report(result: &Result<Done, Failure>) -> ExitCode {
    match result {
        Ok(Done::All) => ExitCode::SUCCESS,
        Ok(Done::NotAll | Done::Different) => NOT_WELL.into(),
        Err(failure) => {
            let mut text = words::shown(&failure.to_string()).into_owned();
            if !text.is_empty() {
                text.insert_str(0, "tributary: ");
                let _fits = writeln!(text);
                crate::logging::say_last(&text);
            }
            failure.code().into()
        }
    }
}

/// Writes a result to the standard output, without secrets and without what would steer a terminal.
///
/// # Errors
/// The output is gone (a closed pipe) or full.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_as_it_is(&words::shown(text))
}

/// Writes a text of our own to the standard output, with the secrets that were asked for.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_as_it_is(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::unexpected("write the result", error)),
        Ok(()) => Ok(()),
    }
}

/// Writes a result to the standard output as one JSON object.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    print_as_it_is(&words::in_json(&json(value)?))
}

/// A result as JSON.
///
/// # Errors
/// It cannot be turned into JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::unexpected("write the result", error))
}
