//! Rows that an index, a foreign key or a trigger of somebody keeps out of the target, or in it: they are put aside, count
//! as nothing else, and are aside until they get in.

use coding_sim::{Operation, ProjectConfig, Shape, Table};

use crate::harness::{Bench, assert_equal, unlimited};
use crate::place::{TargetKind, on_each_target};

on_each_target!(a_refused_row_has_a_number_of_its_own, a_refused_delete_has_it_too);

async fn bench(target: TargetKind) -> Bench {
    let bench = Bench::new(target, unlimited(vec![ProjectConfig::new("backend", 20, 8, 5)])).await;
    bench.once().await;
    assert_equal(&bench).await;
    bench
}

/// The codes of the iterations, in order.
fn iterations(bench: &Bench) -> Vec<u32> {
    let truth = bench.sim.world().truth(Table::Iterations, "backend", Shape::List).unwrap();
    let mut codes: Vec<u32> =
        truth.iter().map(|row| row["Code"].as_u64().unwrap().try_into().unwrap()).collect();
    codes.sort_unstable();
    codes
}

fn rename(bench: &Bench, code: u32, name: &str) {
    let project = "backend".to_owned();
    bench.sim.world().apply(&[Operation::RenameIteration { project, code, name: name.to_owned() }]).unwrap();
}

/// Inserted, updated, deleted and aside.
async fn once(bench: &Bench) -> [u64; 4] {
    let ran = bench.once().await;
    let written = ran.written("Iterations");
    assert_eq!(ran.status.tasks["task"].put_aside, written.put_aside);
    let aside = bench.place.number("SELECT count(*) FROM _tributary_aside").await;
    assert_eq!(u64::try_from(aside).unwrap(), written.put_aside);
    [written.inserted, written.updated, written.deleted, written.put_aside]
}

async fn a_refused_row_has_a_number_of_its_own(target: TargetKind) {
    let bench = bench(target).await;
    let codes = iterations(&bench);
    let index =
        r#"CREATE UNIQUE INDEX only_one ON "Iterations" ("ProjectName") WHERE "Name" IN ('one', 'two')"#;
    bench.place.execute(index).await;
    rename(&bench, codes[0], "one");
    rename(&bench, codes[1], "two");
    rename(&bench, codes[2], "other");
    assert_eq!(once(&bench).await, [0, 2, 0, 1], "one is refused and is no update");
    let stored = r#"SELECT count(*) FROM "Iterations" WHERE "Name" IN ('one', 'two', 'other')"#;
    assert_eq!(bench.place.number(stored).await, 2);
    let reasons = bench.place.texts("SELECT reason FROM _tributary_aside").await;
    assert!(reasons[0].as_deref().unwrap().contains("does not fit"), "{reasons:?}");
    assert_eq!(once(&bench).await, [0, 0, 0, 1], "it is aside until it gets in");
    rename(&bench, codes[1], "once");
    assert_eq!(once(&bench).await, [0, 1, 0, 0]);
    assert_equal(&bench).await;
}

async fn a_refused_delete_has_it_too(target: TargetKind) {
    let bench = bench(target).await;
    let codes = iterations(&bench);
    let kept = format!(
        r#"CREATE TABLE mine (a TEXT, b TEXT, c BIGINT, FOREIGN KEY (a, b, c)
               REFERENCES "Iterations" ("TeamName", "ProjectName", "Code"));
           INSERT INTO mine SELECT "TeamName", "ProjectName", "Code" FROM "Iterations" WHERE "Code" = {}"#,
        codes[1]
    );
    bench.place.execute(&kept).await;
    let project = || "backend".to_owned();
    let delete = |code| Operation::DeleteIteration { project: project(), code };
    bench.sim.world().apply(&[delete(codes[1]), delete(codes[2])]).unwrap();
    rename(&bench, codes[0], "other");
    assert_eq!(once(&bench).await, [0, 1, 1, 1], "one stays, and nobody else suffers");
    let stored = format!(r#"SELECT count(*) FROM "Iterations" WHERE "Code" IN ({}, {})"#, codes[1], codes[2]);
    assert_eq!(bench.place.number(&stored).await, 1);
    assert_eq!(once(&bench).await, [0, 0, 0, 1]);
    // What refused it is gone, and everything is written anew.
    bench.place.execute("DROP TABLE mine").await;
    std::fs::remove_dir_all(bench.state()).unwrap();
    assert_eq!(once(&bench).await[3], 0);
    assert_eq!(bench.place.number(&stored).await, 0);
    assert_equal(&bench).await;
}
