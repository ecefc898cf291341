//! Under transient faults of every kind, nasty values and a moving source the target still becomes equal.

use std::collections::BTreeMap;

use coding_sim::{Faults, ProjectConfig, Shape, SimConfig, Table};
use connectors::coding::config::Details;
use serde_json::Value;

use crate::harness::{Bench, differences, unlimited};
use crate::place::{TargetKind, on_each_target};

on_each_target!(
    faults_with_details_in_the_background,
    faults_with_details_off,
    faults_with_eager_details_while_the_source_moves,
    faults_with_background_details_while_the_source_moves,
);

/// Chance of a fault, for each request.
const CHANCE: f64 = 0.03;
/// Without look-ups there are few requests: more of them are struck.
const CHANCE_WITHOUT_DETAILS: f64 = 0.25;

async fn check(target: TargetKind, details: Details, issues: u32, mutations_per_second: f64) {
    let chance = if details == Details::Off { CHANCE_WITHOUT_DETAILS } else { CHANCE };
    let config = SimConfig {
        broken_text_one_in: 50,
        mutations_per_second,
        faults: Faults { hang_ms: 50, trickle_ms: 50, ..Faults::transient(chance) },
        ..unlimited(vec![
            ProjectConfig::new("mobile-app", issues, 40, 60),
            ProjectConfig::new("backend", 80, 5, 9),
        ])
    };
    let mut bench = Bench::new(target, config).await;
    bench.settings.details = details;
    bench.task.listed_only = details == Details::Off;
    let before = truth(&bench);
    bench.once().await;
    if mutations_per_second > 0.0 {
        bench.sim.world().set_mutator(0.0);
        // Rows that nobody touched are exact after the first run.
        let after = truth(&bench);
        let touched = differences(&bench).await;
        for difference in touched {
            let place = difference.split(' ').take(2).collect::<Vec<_>>().join(" ");
            assert!(!is_untouched(&place, &before, &after), "nobody touched it: {difference}");
        }
        bench.once().await;
    }
    let found = differences(&bench).await;
    // Which kinds of faults there were says where to look.
    let counters = bench.sim.world().counters();
    assert!(
        found.is_empty(),
        "{} {:#?}\n{counters:#?}",
        found.len(),
        found.iter().take(10).collect::<Vec<_>>()
    );
    let struck: u64 = counters.faults.values().sum();
    assert!(struck > 10, "hardly any fault struck: {counters:#?}");
}

/// Whether a row, and all that it copies, stayed as it was: an original that changed and changed back has another
/// time of update.
fn is_untouched(place: &str, before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> bool {
    let same = |place: &str| before.get(place).is_some_and(|row| after.get(place) == Some(row));
    let Some(row) = before.get(place) else { return false };
    let project = place.split([' ', '/']).nth(1).unwrap();
    let copies = ["Parent", "Epic"].map(|field| ("Issues", &row[field]["Code"]));
    let children = row["SubTasks"].as_array().into_iter().flatten().map(|child| ("Issues", &child["Code"]));
    let originals = copies.into_iter().chain(children).chain([("Iterations", &row["Iteration"]["Code"])]);
    let codes = originals.filter_map(|(table, code)| Some((table, code.as_i64().filter(|code| *code != 0)?)));
    same(place) && codes.into_iter().all(|(table, code)| same(&format!("{table} {project}/{code}")))
}

/// All rows of the source by "table project/id", temporary URLs left out.
fn truth(bench: &Bench) -> BTreeMap<String, Value> {
    let world = bench.sim.world();
    let mut rows = BTreeMap::new();
    for project in world.projects() {
        for (table, key) in
            [(Table::Issues, "Code"), (Table::Iterations, "Code"), (Table::ProjectMembers, "Id")]
        {
            for mut row in world.truth(table, &project, Shape::Full).unwrap() {
                if let Some(row) = row.as_object_mut() {
                    row.remove("Files");
                }
                rows.insert(format!("{table:?} {project}/{}", row[key]), row);
            }
        }
    }
    rows
}

async fn faults_with_details_in_the_background(target: TargetKind) {
    check(target, Details::Background, 10_000, 0.0).await;
}

async fn faults_with_details_off(target: TargetKind) {
    check(target, Details::Off, 10_000, 0.0).await;
}

async fn faults_with_eager_details_while_the_source_moves(target: TargetKind) {
    check(target, Details::Eager, 10_000, 20.0).await;
}

async fn faults_with_background_details_while_the_source_moves(target: TargetKind) {
    check(target, Details::Background, 10_000, 20.0).await;
}
