//! Why something inside a target stopped, and the refusals that all targets share, each in its own words.
//!
//! Start with [`Fault`]. What a driver's error means is known to each target's own `fault`.

use std::fmt::Write as _;

use engine::problem::Problem;
use engine::target::{TargetError, TargetErrorKind};

/// Why something inside a target stopped.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The driver or the database said so.
    Sql(sqlx::Error),
    /// So it did, while rows were written or deleted: it may be a matter of one of them.
    Rows(sqlx::Error),
    /// We said so.
    Refused(Box<TargetError>),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Fault {
        Fault::Sql(error)
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Fault {
        Fault::Sql(error.into())
    }
}

impl Fault {
    /// A refusal of ours.
    pub(crate) fn refused(kind: TargetErrorKind, problem: Problem) -> Fault {
        Fault::Refused(Box::new(TargetError { kind, problem, source: None }))
    }

    /// The same, met while rows were written or deleted.
    pub(crate) fn of_rows(self) -> Fault {
        match self {
            Fault::Sql(error) => Fault::Rows(error),
            other => other,
        }
    }

    /// The error as the engine gets it; `explain` says what a driver's error means, met while rows were written or not.
    pub(crate) fn into_error(
        self,
        explain: impl FnOnce(&sqlx::Error, bool) -> (TargetErrorKind, Problem),
    ) -> TargetError {
        let (error, rows) = match self {
            Fault::Refused(error) => return *error,
            Fault::Sql(error) => (error, false),
            Fault::Rows(error) => (error, true),
        };
        let (kind, problem) = explain(&error, rows);
        TargetError { kind, problem, source: Some(Box::new(error)) }
    }
}

/// Differences that a message names.
const POINTS_SHOWN: usize = 10;

/// How a target calls itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    /// What its problem codes begin with: `SQLITE`.
    pub(crate) code: &'static str,
    /// What it is: `SQLite file`.
    pub(crate) name: &'static str,
    /// What another one is: `file`.
    pub(crate) place: &'static str,
}

impl Words {
    fn problem(&self, code: &str, what: String, why: String, fix: String) -> Problem {
        Problem::new(&format!("{}-{code}", self.code), what, why, fix)
    }

    /// A call came before `open`.
    pub(crate) fn not_open(&self) -> Fault {
        let what = format!("Cannot write to the {}", self.name);
        let fix = "Report this as a fault of tributary.".to_owned();
        let problem = self.problem("NOT-OPEN", what, "the target was not opened".to_owned(), fix);
        Fault::refused(TargetErrorKind::Fatal, problem)
    }

    /// A row that cannot be stored.
    pub(crate) fn data(&self, error: impl std::error::Error + Send + Sync + 'static) -> Fault {
        let what = format!("Cannot store a row in the {}", self.name);
        let fix = "The row is put aside and named; correct it at the source, or report the value's type.";
        let problem = self.problem("DATA", what, error.to_string(), fix.to_owned());
        let source = Some(error.into());
        Fault::Refused(Box::new(TargetError { kind: TargetErrorKind::Data, problem, source }))
    }

    /// Fails unless the one row with the task's epoch was hit.
    pub(crate) fn fenced(&self, hit: u64, task: &str) -> Result<(), Fault> {
        if hit == 1 {
            return Ok(());
        }
        let place = self.place;
        let problem = self.problem(
            "FENCED",
            format!("Cannot write for task `{task}` any more"),
            format!("another process has opened the same task on this {place}"),
            format!(
                "Let only one process run the task, or give one of the tasks another name and another {place}."
            ),
        );
        Err(Fault::refused(TargetErrorKind::Fenced, problem))
    }

    /// The bookkeeping is of a newer version.
    pub(crate) fn newer(&self, found: i64, known: i64) -> Fault {
        let problem = self.problem(
            "NEWER",
            format!("Cannot use the {}", self.name),
            format!("its bookkeeping has version {found}, this tributary knows up to {known}"),
            format!("Use the newer tributary that made it, or set another {} as the target.", self.place),
        );
        Fault::refused(TargetErrorKind::Fatal, problem)
    }

    /// Another task fills a table for the same project.
    pub(crate) fn owned(&self, project: &str, table: &str, task: &str, other: &str) -> Fault {
        let problem = self.problem(
            "OWNED",
            format!("Cannot write project `{project}` into table `{table}` for task `{task}`"),
            format!("task `{other}` fills that table for this project"),
            format!(
                "Take the project out of one of the two, set another {} as the target, or, if `{other}` is \
                 this task's former name, name it so again.",
                self.place
            ),
        );
        Fault::refused(TargetErrorKind::Shape, problem)
    }

    /// A column stands for another custom field.
    pub(crate) fn field_taken(&self, column: &str, table: &str, field: &str) -> Fault {
        let problem = self.problem(
            "FIELD",
            format!("Cannot use column `{column}` of table `{table}` for the field `{field}`"),
            "another task has just taken it for another field".to_owned(),
            "Start again: the field gets a column of its own.".to_owned(),
        );
        Fault::refused(TargetErrorKind::Shape, problem)
    }

    /// A table cannot be used, with the points in which it differs.
    pub(crate) fn shape(&self, table: &str, why: String, differs: &[String]) -> Fault {
        let fix = format!(
            "Nothing was touched. Undo the change (a column that was added can be dropped), or rename or drop that table, or set another {} as the target.",
            self.place
        );
        self.unusable(table, why, differs, fix)
    }

    /// Another task fills a table in another shape, with the points in which it differs.
    pub(crate) fn shared(&self, table: &str, other: &str, differs: &[String]) -> Fault {
        let why = format!("task `{other}` fills the same table in another shape");
        let fix = format!(
            "Nothing was touched. Give both tasks the same `mode`, `naming` and `deletes`, or set another {} as the target.",
            self.place
        );
        self.unusable(table, why, differs, fix)
    }

    fn unusable(&self, table: &str, why: String, differs: &[String], fix: String) -> Fault {
        let mut why = differs.iter().take(POINTS_SHOWN).fold(why, |mut why, point| {
            let _ = write!(why, "; {point}");
            why
        });
        if let Some(more) = differs.len().checked_sub(POINTS_SHOWN).filter(|more| *more > 0) {
            let _ = write!(why, "; and {more} more");
        }
        let what = format!("Cannot use table `{table}`");
        Fault::refused(TargetErrorKind::Shape, self.problem("SHAPE", what, why, fix))
    }
}
