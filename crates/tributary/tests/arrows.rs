//! Which crate may know which: the arrows between the rooms of the house.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cargo_metadata::{DependencyKind, MetadataCommand};

type Arrows = BTreeMap<String, BTreeSet<String>>;

fn arrows(of: &[(&str, &[&str])]) -> Arrows {
    of.iter().map(|(from, to)| ((*from).to_owned(), to.iter().map(|to| (*to).to_owned()).collect())).collect()
}

fn workspace_arrows(kinds: &[DependencyKind]) -> Arrows {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata runs in the workspace");
    let ours: BTreeSet<String> = metadata.packages.iter().map(|package| package.name.to_string()).collect();
    metadata
        .packages
        .iter()
        .map(|package| {
            let to =
                package.dependencies.iter().filter(|d| kinds.contains(&d.kind) && ours.contains(&d.name));
            (package.name.to_string(), to.map(|dependency| dependency.name.clone()).collect())
        })
        .collect()
}

#[test]
fn rooms_know_only_the_rooms_they_may() {
    let allowed = arrows(&[
        ("tributary", &["server", "connectors", "store", "engine", "coding-sim"]),
        ("server", &["connectors", "engine"]),
        ("connectors", &["engine", "coding-api"]),
        ("store", &["engine"]),
        ("engine", &[]),
        ("coding-api", &[]),
        ("coding-sim", &[]),
        ("test-faults", &[]),
        ("test-postgres", &[]),
        // Takes the parts to pieces to measure them; nothing that is shipped knows it.
        ("bench", &["coding-api", "coding-sim", "connectors", "engine", "server", "store", "test-postgres"]),
    ]);
    let found = workspace_arrows(&[DependencyKind::Normal, DependencyKind::Build]);
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        allowed.keys().collect::<Vec<_>>(),
        "a new crate needs its arrows here and in ARCHITECTURE.md"
    );
    for (from, to) in &found {
        let extra: Vec<_> = to.difference(&allowed[from]).collect();
        assert!(extra.is_empty(), "{from} must not know {extra:?}");
    }
}

#[test]
fn tests_reach_further_only_where_listed() {
    // The simulator stands in for CODING; targets and sources are tested over the real journal.
    let allowed = arrows(&[
        ("tributary", &["test-faults", "test-postgres"]),
        ("connectors", &["coding-sim", "store", "test-faults", "test-postgres"]),
        ("server", &["coding-sim", "store"]),
        ("store", &["test-faults"]),
        ("engine", &[]),
        ("coding-api", &["coding-sim"]),
        ("coding-sim", &[]),
        ("test-faults", &[]),
        ("test-postgres", &[]),
        ("bench", &[]),
    ]);
    for (from, to) in workspace_arrows(&[DependencyKind::Development]) {
        let extra: Vec<_> = to.difference(&allowed[&from]).collect();
        assert!(extra.is_empty(), "tests of {from} must not use {extra:?}");
    }
}

/// The packages that are built, as `cargo tree` shows them: the lock file also names what no feature asks for.
fn built(of: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .arg("tree")
        .args(of)
        .args(["--edges", "normal,build", "--prefix", "none", "--format", "{p}", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo tree runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("names of packages are text");
    tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn there_is_one_tls_provider_and_no_system_library() {
    let built = built(&["--workspace", "--all-features"]);
    assert!(built.contains("aws-lc-rs"), "the TLS provider that was chosen is missing");
    for unwanted in ["ring", "openssl-sys", "native-tls", "rusqlite", "chrono"] {
        assert!(!built.contains(unwanted), "{unwanted} is in the tree: `cargo tree -i {unwanted}`");
    }
}

#[test]
fn failpoints_are_in_no_build_that_does_not_ask_for_them() {
    assert!(built(&["--package", "tributary", "--features", "failpoints"]).contains("fail"));
    assert!(!built(&["--package", "tributary"]).contains("fail"), "a release would have failpoints");
}
