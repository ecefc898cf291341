//! Every code that a person may read stands in the guide, and none that does not exist.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The crates that make problems.
pub(crate) const CRATES: [&str; 5] = ["engine", "store", "connectors", "server", "tributary"];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What of the files below `folder` is not for tests, by path.
pub(crate) fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let shipped = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
            found.push((path, shipped));
        }
    }
}

fn is_capital(text: &str) -> bool {
    !text.is_empty()
        && text.split('-').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_uppercase()))
}

/// The literal that follows each place of `before`.
pub(crate) fn literals<'t>(text: &'t str, before: &str) -> Vec<&'t str> {
    let after = text.split(before).skip(1);
    after.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next()).collect()
}

/// All codes: words joined with `-`, single words where a problem is made, and what each target puts its own word
/// in front of.
fn codes_of_the_sources() -> BTreeSet<String> {
    let (mut codes, mut targets, mut shared) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for name in CRATES {
        let mut files = Vec::new();
        sources(&root().join("crates").join(name).join("src"), &mut files);
        for (path, text) in files {
            let capital: Vec<&str> = text.split('"').filter(|part| is_capital(part)).collect();
            if path.ends_with("connectors/src/fault.rs") {
                shared = capital.into_iter().map(str::to_owned).collect();
                continue;
            }
            codes.extend(capital.into_iter().filter(|code| code.contains('-')).map(str::to_owned));
            codes.extend(literals(&text, "Problem::new(").into_iter().map(str::to_owned));
            targets
                .extend(literals(&text, "const WORDS: Words = Words { code:").into_iter().map(str::to_owned));
        }
    }
    assert!(targets.len() >= 2 && shared.len() >= 7, "{targets:?} {shared:?}");
    for target in targets {
        codes.extend(shared.iter().map(|code| format!("{target}-{code}")));
        codes.insert(target);
    }
    codes
}

#[test]
fn the_guide_has_every_code() {
    let guide = std::fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let first_cells = guide.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let explained: BTreeSet<String> = first_cells
        .flat_map(|cell| cell.split(", "))
        .filter(|code| is_capital(code))
        .map(str::to_owned)
        .collect();
    let codes = codes_of_the_sources();
    let missing: Vec<_> = codes.difference(&explained).collect();
    assert!(missing.is_empty(), "docs/troubleshooting.md does not explain {missing:?}");
    let unknown: Vec<_> = explained.difference(&codes).collect();
    assert!(unknown.is_empty(), "docs/troubleshooting.md explains what there is not: {unknown:?}");
}
