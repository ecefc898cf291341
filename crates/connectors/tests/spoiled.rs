//! Rows of the source that cannot be read, and pages that do not come in the size that is asked for.

use std::collections::{BTreeMap, BTreeSet};

use coding_sim::{Operation, ProjectConfig, Shape, Spoil, Table};

use crate::harness::{Bench, Ran, assert_equal, differences, unlimited};
use crate::place::{TargetKind, on_each_target};

on_each_target!(
    rows_that_cannot_be_read_cost_no_other_row,
    a_row_that_cannot_be_read_is_not_gone,
    pages_that_are_too_slow_come_smaller,
);

const PROJECT: &str = "mobile-app";

async fn bench(target: TargetKind) -> Bench {
    let projects = vec![ProjectConfig::new(PROJECT, 600, 8, 30), ProjectConfig::new("backend", 60, 5, 9)];
    Bench::new(target, unlimited(projects)).await
}

fn ids(bench: &Bench, table: Table, key: &str) -> Vec<u32> {
    let rows = bench.sim.world().truth(table, PROJECT, Shape::List).unwrap();
    rows.iter().map(|row| u32::try_from(row[key].as_u64().unwrap()).unwrap()).collect()
}

fn spoil(bench: &Bench, rows: impl IntoIterator<Item = (u32, Spoil)>) {
    let rows: BTreeMap<u32, Spoil> = rows.into_iter().collect();
    bench.sim.world().change_faults(|faults| faults.spoiled_rows = rows);
}

fn note(ran: &Ran, table: &str) -> String {
    let key = (PROJECT.to_owned(), table.to_owned());
    ran.outcome.notes.get(&key).cloned().unwrap_or_default()
}

fn unreadable(ran: &Ran, table: &str) -> u64 {
    ran.status.projects[PROJECT][table].unreadable
}

async fn rows_that_cannot_be_read_cost_no_other_row(target: TargetKind) {
    let bench = bench(target).await;
    let (codes, members) = (ids(&bench, Table::Issues, "Code"), ids(&bench, Table::ProjectMembers, "Id"));
    // No other project has an issue of such a code, or such a member.
    let bad = [codes[100], codes[250], codes[599]];
    spoil(
        &bench,
        [
            (bad[0], Spoil::NotANumber),
            (bad[1], Spoil::HugeNumber),
            (bad[2], Spoil::TooDeep),
            (codes[400], Spoil::RawTab),
            (members[20], Spoil::Nameless),
        ],
    );
    let ran = bench.once().await;
    assert_eq!((unreadable(&ran, "Issues"), unreadable(&ran, "ProjectMembers")), (3, 1));
    assert_eq!(ran.status.projects["backend"]["Issues"].unreadable, 0);
    let issues = note(&ran, "Issues");
    for (place, code, why) in [
        (101, bad[0], "`Spoiled`: expected value"),
        (251, bad[1], "`Spoiled`: number out of range"),
        (600, bad[2], "`Spoiled`: recursion limit exceeded"),
    ] {
        assert!(issues.contains(&format!("Code {code} (row {place} of the listing): {why}")), "{issues}");
    }
    let who = note(&ran, "ProjectMembers");
    assert!(who.contains("row 21 of the listing: `Id`: expected value"), "{who}");
    let missing = bad.map(|code| format!("Issues {PROJECT}/{code} is missing"));
    let missing = missing.into_iter().chain([format!("ProjectMembers {PROJECT}/{} is missing", members[20])]);
    let found: BTreeSet<String> = differences(&bench).await.into_iter().collect();
    assert_eq!(found, missing.collect());

    // As soon as they can be read they come.
    spoil(&bench, []);
    let ran = bench.once().await;
    assert_eq!((unreadable(&ran, "Issues"), unreadable(&ran, "ProjectMembers")), (0, 0));
    assert_eq!((note(&ran, "Issues"), note(&ran, "ProjectMembers")), (String::new(), String::new()));
    assert_equal(&bench).await;
}

async fn a_row_that_cannot_be_read_is_not_gone(target: TargetKind) {
    let bench = bench(target).await;
    bench.once().await;
    let (codes, members) = (ids(&bench, Table::Issues, "Code"), ids(&bench, Table::ProjectMembers, "Id"));
    let project = || PROJECT.to_owned();
    let before = (codes.len(), members.len());
    spoil(
        &bench,
        [
            (codes[300], Spoil::NotANumber),
            (codes[301], Spoil::Nameless),
            (members[20], Spoil::HugeNumber),
            (members[21], Spoil::Nameless),
        ],
    );
    // Others are really deleted meanwhile.
    let gone = [
        Operation::DeleteIssue { project: project(), code: codes[302] },
        Operation::DeleteMember { project: project(), user: members[22] },
    ];
    bench.sim.world().apply(&gone).unwrap();
    let ran = bench.once().await;
    assert_eq!((unreadable(&ran, "Issues"), unreadable(&ran, "ProjectMembers")), (2, 2));
    // Which member the nameless row is nobody can tell, and members cannot be looked up: none is deleted meanwhile.
    let too_many = format!("ProjectMembers {PROJECT}/{} is too many", members[22]);
    let found = differences(&bench).await;
    assert_eq!(found, [too_many], "of {before:?} rows");

    spoil(&bench, []);
    bench.once().await;
    assert_equal(&bench).await;
}

async fn pages_that_are_too_slow_come_smaller(target: TargetKind) {
    let bench = bench(target).await;
    bench.sim.world().change_faults(|faults| faults.slow_above = 40);
    bench.once().await;
    assert_equal(&bench).await;
}
