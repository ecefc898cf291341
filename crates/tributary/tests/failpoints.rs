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
];

/// The rooms of the targets.
pub(crate) const TARGETS: [&str; 2] = ["sqlite", "postgres"];

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
