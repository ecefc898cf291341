//! Every durable step fails, before and after, in every way: by an error, a panic, a delay. `engine::failpoint` has the
//! steps' points, `sweep` strikes them; here is the list of them, held against the sources.

#[cfg(feature = "failpoints")]
mod scene;
#[cfg(feature = "failpoints")]
mod sweep;

use std::collections::BTreeSet;
use std::path::Path;

use crate::codes::{CRATES, literals, root, sources};

/// When a step is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// By the first start on a state directory.
    First,
    /// By every start.
    Start,
    /// When the configuration has changed.
    Switch,
    /// While changes are followed.
    Following,
    /// When a row cannot be stored.
    Aside,
    /// By `tributary hooks replay`.
    Replay,
    /// By `tributary verify --repair`, where somebody changed the columns of a table.
    Mend,
    /// When an OAuth token is renewed.
    Renewal,
}

/// Every step that has failpoints, of the rooms that all pipelines share; each has the points `before` and `after`.
pub(crate) const SHARED: &[(&str, When)] = &[
    ("journal::make", When::First),
    ("journal::open", When::Start),
    ("journal::log", When::First),
    ("journal::tasks", When::Start),
    ("journal::prune", When::Start),
    ("journal::details", When::Switch),
    ("journal::commit", When::Following),
    ("journal::remember", When::Following),
    ("vault::key", When::First),
    ("vault::write", When::First),
    ("tokens::keep", When::Renewal),
    ("status::write", When::Following),
    ("inbox::make", When::First),
    ("inbox::prune", When::Start),
    ("inbox::accept", When::Following),
    ("inbox::settle", When::Following),
    ("inbox::delivered", When::Following),
    ("inbox::replay", When::Replay),
    ("receiver::accept", When::Following),
];

/// The steps that each target has.
pub(crate) const OF_A_TARGET: &[(&str, When)] = &[
    ("open", When::Start),
    ("prepare", When::Start),
    ("shape", When::First),
    ("own", When::First),
    ("disown", When::Switch),
    ("write", When::Following),
    ("position", When::Following),
    ("aside", When::Aside),
    ("mend", When::Mend),
];

/// The rooms of the targets.
pub(crate) const TARGETS: [&str; 2] = ["sqlite", "postgres"];

/// Functions that end a transaction and are no step, for nothing stays of it or nothing was written.
const NO_STEPS: &[(&str, &str, &str)] = &[
    ("connectors/src/sqlite/target.rs", "try_open", "a look before the step"),
    ("connectors/src/sqlite/check.rs", "scratch", "makes a table and drops it again"),
    ("connectors/src/postgres/target.rs", "try_ids", "reads"),
    ("connectors/src/postgres/target.rs", "try_count", "reads"),
    ("connectors/src/postgres/target.rs", "try_aside", "reads"),
    ("connectors/src/postgres/inspect.rs", "try_look", "reads"),
    ("connectors/src/postgres/inspect.rs", "try_read", "reads"),
    ("connectors/src/postgres/inspect.rs", "try_read_some", "reads"),
    ("connectors/src/postgres/write.rs", "copy", "a savepoint within a step"),
    ("store/src/sqlite/mod.rs", "end", "has `commit` make the step"),
    ("store/src/journal/census.rs", "start", "temporary tables"),
    ("store/src/journal/census.rs", "saw", "temporary tables"),
    ("store/src/journal/census.rs", "unseen", "reads"),
];

/// What makes that something stays.
const STAYS: [&str; 5] = [".commit()", "\"COMMIT\"", "fs::rename(", "fs::hard_link(", "fs::write("];

#[test]
fn nothing_stays_without_a_step() {
    let mut found = BTreeSet::new();
    for name in ["engine", "store", "connectors", "server"] {
        let mut files = Vec::new();
        sources(&root().join("crates").join(name).join("src"), &mut files);
        for (path, text) in files {
            for function in text.split("fn ").skip(1) {
                // Where a step has both of its points.
                let is_step = function.contains(".before()") && function.contains(".after()");
                if !is_step && STAYS.iter().any(|word| function.contains(word)) {
                    let path = path.strip_prefix(root().join("crates")).unwrap().to_str().unwrap();
                    let name = function.split(['(', '<']).next().unwrap_or_default();
                    found.insert((path.to_owned(), name.to_owned()));
                }
            }
        }
    }
    let known = NO_STEPS.iter().map(|(path, name, _)| ((*path).to_owned(), (*name).to_owned())).collect();
    assert_eq!(
        found, known,
        "the sources (left) and the list differ: what stays needs a step, and failpoints"
    );
}

#[test]
fn the_list_has_every_step_of_the_sources() {
    let shared = SHARED.iter().map(|(step, _)| (*step).to_owned());
    let of_targets = TARGETS
        .iter()
        .flat_map(|target| OF_A_TARGET.iter().map(move |(step, _)| format!("{target}::{step}")));
    let listed: Vec<String> = shared.chain(of_targets).collect();
    let mut found = Vec::new();
    for name in CRATES {
        let mut files = Vec::new();
        sources(&root().join("crates").join(name).join("src"), &mut files);
        for (path, text) in files {
            if !path.ends_with(Path::new("engine/src/failpoint.rs")) {
                found.extend(literals(&text, "Step::named(").into_iter().map(str::to_owned));
            }
        }
    }
    let (steps, known): (BTreeSet<_>, BTreeSet<_>) = (found.iter().collect(), listed.iter().collect());
    assert_eq!(steps.len(), found.len(), "two steps have one name: {found:?}");
    assert_eq!(steps, known, "the sources (left) and the list differ");
}
