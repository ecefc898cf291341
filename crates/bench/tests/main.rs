//! The benchmarks still work: a tiny run of each, in which every table has its rows and every row arrives.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail loudly"
)]

use std::process::{Command, Stdio};

use serde_json::Value;

/// Runs one benchmark and hands back its tables.
fn tiny(benchmark: &str) -> Vec<Value> {
    build_what_is_missing();
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args([benchmark, "--tiny", "--json"])
        .stdin(Stdio::null())
        .output()
        .expect("the benchmarks start");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("the report is JSON");
    assert!(report["machine"]["cores"].as_u64() > Some(0), "{report}");
    let Value::Array(tables) = report["tables"].clone() else { panic!("{report}") };
    tables
}

/// `cargo test --workspace` builds the binary under test too, `cargo test -p bench` does not.
fn build_what_is_missing() {
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_bench")).with_file_name("tributary");
    if !binary.exists() {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        let built = cargo.args(["build", "--package", "tributary"]).status().expect("cargo runs");
        assert!(built.success());
    }
}

/// One column of a table.
fn column<'a>(table: &'a Value, name: &str) -> Vec<&'a Value> {
    let columns = table["columns"].as_array().unwrap();
    let place = columns.iter().position(|column| column == name).unwrap_or_else(|| panic!("{name}: {table}"));
    table["rows"].as_array().unwrap().iter().map(|row| &row[place]).collect()
}

/// One column of a table, of numbers.
fn numbers(table: &Value, name: &str) -> Vec<f64> {
    let numbers = column(table, name).into_iter().map(|figure| figure.as_f64());
    numbers.map(|figure| figure.unwrap_or_else(|| panic!("{name}: {table}"))).collect()
}

/// Every figure of a table is there: `null` stands for what a system does not say, and Linux says all.
fn complete(table: &Value) {
    let rows = table["rows"].as_array().unwrap();
    assert!(!rows.is_empty(), "{table}");
    for row in rows {
        assert_eq!(row.as_array().unwrap().len(), table["columns"].as_array().unwrap().len(), "{table}");
        assert!(!cfg!(target_os = "linux") || !row.as_array().unwrap().contains(&Value::Null), "{table}");
    }
}

#[test]
fn throughput() {
    let tables = tiny("throughput");
    tables.iter().for_each(complete);
    let [speed, cpu] = tables.as_slice() else { panic!("{tables:?}") };
    let targets = ["SQLite", "PostgreSQL"].map(Value::from);
    assert!(
        column(speed, "target").into_iter().eq(&targets) && column(cpu, "target").into_iter().eq(&targets)
    );
    // Iterations and members come on top.
    assert!(numbers(speed, "rows in target").iter().all(|rows| *rows > 700.0), "{speed}");
}

#[test]
fn growth() {
    let tables = tiny("growth");
    tables.iter().for_each(complete);
    let [growth] = tables.as_slice() else { panic!("{tables:?}") };
    let issues = numbers(growth, "issues");
    assert_eq!(issues, [50.0, 200.0, 800.0]);
    assert!(
        numbers(growth, "rows in target").iter().zip(issues).all(|(rows, issues)| *rows > issues),
        "{growth}"
    );
}

#[test]
fn limit() {
    let tables = tiny("limit");
    tables.iter().for_each(complete);
    let [load, changes] = tables.as_slice() else { panic!("{tables:?}") };
    assert!(numbers(load, "rows in target")[0] > 600.0, "{load}");
    assert_eq!(numbers(load, "requests refused"), [0.0]);
    assert!(numbers(changes, "requests").last() >= Some(&10.0), "{changes}");
}

#[test]
fn following() {
    let tables = tiny("following");
    tables.iter().for_each(complete);
    let [following] = tables.as_slice() else { panic!("{tables:?}") };
    // Both when the listed columns are there and when the details are: all changes arrive.
    assert_eq!(numbers(following, "changes"), [40.0, 40.0]);
}

#[test]
fn hooks() {
    let tables = tiny("hooks");
    tables.iter().for_each(complete);
    let [delay, acceptance] = tables.as_slice() else { panic!("{tables:?}") };
    assert_eq!(numbers(delay, "changes"), [10.0, 10.0]);
    // Polls are an hour apart: what arrives came by hook.
    assert!(numbers(delay, "longest (s)").iter().all(|longest| *longest < 60.0), "{delay}");
    assert_eq!(numbers(acceptance, "deliveries"), [300.0, 100.0]);
}

#[test]
fn throttled() {
    let tables = tiny("throttled");
    tables.iter().for_each(complete);
    let [at_random, beside] = tables.as_slice() else { panic!("{tables:?}") };
    assert!(numbers(at_random, "measured")[0] > 0.0, "{at_random}");
    // The neighbour asks whatever happens.
    assert!(numbers(beside, "measured")[2] > 5.0, "{beside}");
}

#[test]
fn told() {
    let tables = tiny("told");
    tables.iter().for_each(complete);
    let [told] = tables.as_slice() else { panic!("{tables:?}") };
    assert_eq!(numbers(told, "changes"), [40.0, 48.0]);
    // Polls are an hour apart: what arrives came by hook.
    assert!(numbers(told, "longest (s)").iter().all(|longest| *longest < 60.0), "{told}");
}

#[test]
fn soak() {
    let tables = tiny("soak");
    let [figures, lags, whole] = tables.as_slice() else { panic!("{tables:?}") };
    let names: Vec<&str> = column(figures, "figure").iter().map(|name| name.as_str().unwrap()).collect();
    for name in ["memory (MB)", "open files", "journal.db (MB)", "changes in the log", "lag, median (s)"] {
        assert!(names.contains(&name), "{figures}");
    }
    // Seconds say nothing about growth.
    assert!(column(figures, "verdict").iter().all(|verdict| *verdict != "grows" && *verdict != "flat"));
    assert!(tables.iter().all(|table| table["failures"] == Value::Array(Vec::new())), "{tables:?}");
    // Changes arrived in both targets, and both were found equal to the source in the end.
    complete(lags);
    assert!(numbers(lags, "changes").iter().all(|changes| *changes > 0.0), "{lags}");
    assert_eq!(column(whole, "figure").len(), 9, "{whole}");
}
