//! Any value that is written comes back as it was, with the database as the judge.

use engine::schema::Kind;
use engine::target::{Cell, Target};
use proptest::prelude::{Strategy, any, prop_oneof};
use sqlx::{AssertSqlSafe, Connection, Row};
use tempfile::TempDir;

use super::{CODES, Deletes, batch, dump, file_in, issues, other, plan, ready, row, run};

/// Texts of every kind: any characters at all, and those that look like something else.
fn texts() -> impl Strategy<Value = String> {
    let odd =
        ["", "5", "007", "1e3", " 7 ", "-0", "NULL", "null", "'", "\"", "\u{feff}", "漢字🎉", "a\nb\t\\"];
    prop_oneof![
        proptest::collection::vec(any::<char>(), 0..40).prop_map(|chars| chars.into_iter().collect()),
        proptest::sample::select(odd.to_vec()).prop_map(str::to_owned),
        proptest::collection::vec(any::<char>(), 3_000).prop_map(|chars| chars.into_iter().collect()),
    ]
}

fn floats() -> impl Strategy<Value = f64> {
    use proptest::num::f64::{INFINITE, NEGATIVE, NORMAL, POSITIVE, SUBNORMAL};
    prop_oneof![
        NORMAL | SUBNORMAL | INFINITE | POSITIVE | NEGATIVE,
        any::<i32>().prop_map(f64::from),
        // Seventeen digits.
        (1_i64 << 52..1_i64 << 53, -20..20_i32)
            .prop_map(|(digits, exponent)| format!("{digits}e{exponent}").parse().unwrap()),
    ]
    // SQLite has no negative zero.
    .prop_map(|float| if float == 0.0 { 0.0 } else { float })
}

fn rows() -> impl Strategy<Value = Vec<Vec<Cell>>> {
    let integers = || prop_oneof![any::<i64>(), proptest::sample::select(vec![i64::MIN, i64::MAX, 0])];
    let or_null = |cell: proptest::strategy::BoxedStrategy<Cell>| prop_oneof![1 => proptest::strategy::Just(Cell::Null), 5 => cell];
    let row = (
        texts(),
        texts(),
        or_null(texts().prop_map(|text| Cell::Text(text.into())).boxed()),
        or_null(floats().prop_map(Cell::Real).boxed()),
        or_null(any::<bool>().prop_map(Cell::Boolean).boxed()),
        or_null(texts().prop_map(|json| Cell::Json(json.into())).boxed()),
        // The years -9999 to 9999 in microseconds.
        or_null((-377_705_023_201_000_000..253_402_207_200_000_000_i64).prop_map(Cell::Timestamp).boxed()),
    );
    let row = row.prop_map(|(team, project, name, hours, done, labels, at)| {
        vec![
            Cell::Text(team.into()),
            Cell::Text(project.into()),
            Cell::Integer(0),
            name,
            hours,
            done,
            labels,
            at,
        ]
    });
    let rows = proptest::collection::btree_map(integers(), row, 1..90);
    rows.prop_map(|rows| {
        let number = |(code, mut row): (i64, Vec<Cell>)| {
            row[2] = Cell::Integer(code);
            row
        };
        rows.into_iter().map(number).collect()
    })
}

/// A cell as the database has it, with its storage class.
fn read(row: &sqlx::sqlite::SqliteRow, at: usize, kind: Kind) -> Cell {
    let storage: String = row.try_get(format!("t{at}").as_str()).unwrap();
    let column = format!("c{at}");
    match (storage.as_str(), kind) {
        ("null", _) => Cell::Null,
        ("integer", Kind::Boolean) => Cell::Boolean(row.try_get::<i64, _>(column.as_str()).unwrap() == 1),
        ("integer", Kind::Integer) => Cell::Integer(row.try_get(column.as_str()).unwrap()),
        ("real", Kind::Real) => Cell::Real(row.try_get(column.as_str()).unwrap()),
        ("text", Kind::Text) => Cell::Text(row.try_get::<String, _>(column.as_str()).unwrap().into()),
        ("text", Kind::Json) => Cell::Json(row.try_get::<String, _>(column.as_str()).unwrap().into()),
        ("text", Kind::Timestamp) => {
            let text: String = row.try_get(column.as_str()).unwrap();
            assert!(text.ends_with('Z'), "{text}");
            Cell::Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
        }
        (storage, kind) => panic!("{kind:?} is stored as {storage}"),
    }
}

#[test]
fn every_value_comes_back_bit_by_bit() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dir = TempDir::new().unwrap();
    let (file, plan) = (file_in(&dir), plan("a", issues(Deletes::Hard)));
    let target = runtime.block_on(ready(&file, &plan));
    let target = tokio::sync::Mutex::new(target);
    let mut config = proptest::test_runner::Config::with_cases(48);
    config.failure_persistence = None;
    proptest::proptest!(config, |(rows in rows())| {
        runtime.block_on(async {
            run(&file, "DELETE FROM issues").await;
            let target = &mut *target.lock().await;
            // Twice: once inserted, once overwritten.
            target.write(&batch(1, rows.clone(), vec![])).await.unwrap();
            target.write(&batch(2, rows.clone(), vec![])).await.unwrap();
            let table = &plan.tables[0];
            let columns: Vec<_> = table.columns.iter().enumerate()
                .map(|(at, c)| format!("\"{0}\" AS c{at}, typeof(\"{0}\") AS t{at}", c.name)).collect();
            let sql = format!("SELECT {} FROM issues ORDER BY code", columns.join(", "));
            let mut connection = other(&file).await;
            let stored = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            let stored: Vec<Vec<Cell>> = stored.iter()
                .map(|row| table.columns.iter().enumerate().map(|(at, c)| read(row, at, c.kind)).collect())
                .collect();
            let bits = |rows: &[Vec<Cell>]| rows.iter().flatten()
                .filter_map(|cell| if let Cell::Real(float) = cell { Some(float.to_bits()) } else { None })
                .collect::<Vec<_>>();
            assert_eq!(bits(&stored), bits(&rows));
            assert_eq!(stored, rows);
            let keys = rows.iter().map(|row| row[..3].to_vec()).collect();
            target.write(&batch(3, vec![], keys)).await.unwrap();
            assert!(dump(&file, CODES).await.is_empty());
        });
    });
}

#[tokio::test]
async fn negative_zero_is_the_only_float_that_changes() {
    let dir = TempDir::new().unwrap();
    let (file, plan) = (file_in(&dir), plan("a", issues(Deletes::Hard)));
    let mut target = ready(&file, &plan).await;
    let mut zero = row(&plan.tables[0], "p", 1, "x");
    zero[4] = Cell::Real(-0.0);
    target.write(&batch(1, vec![zero], vec![])).await.unwrap();
    let mut connection = other(&file).await;
    let stored: f64 =
        sqlx::query_scalar("SELECT hours FROM issues").fetch_one(&mut connection).await.unwrap();
    assert_eq!(stored.to_bits(), 0.0_f64.to_bits());
}
