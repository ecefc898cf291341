//! Any value that is written comes back as it was, with the database as the judge.

use engine::schema::Kind;
use engine::target::{Cell, Plan, Target, TargetErrorKind, TargetTable};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::strategy::BoxedStrategy;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::Schema;
use crate::contract::{CODES, Deletes, Site, assert_kind, at, batch, column, issues, key, plan, ready, row};

/// A column of every kind, each twice: in the end of a row and before another one.
fn every_kind() -> TargetTable {
    let mut table = issues(Deletes::Hard);
    table.columns.push(column("due", Kind::Date));
    table.columns.push(column("text", Kind::Text));
    table
}

/// Characters that PostgreSQL can store: all but U+0000.
fn characters(most: usize) -> impl Strategy<Value = String> {
    let character = any::<char>().prop_map(|c| if c == '\0' { '0' } else { c });
    proptest::collection::vec(character, 0..most).prop_map(|chars| chars.into_iter().collect())
}

/// Texts of every kind: any characters at all, and those that look like something else.
fn texts(most: usize) -> impl Strategy<Value = String> {
    let odd = [
        "",
        "5",
        "007",
        "1e3",
        " 7 ",
        "-0",
        "NULL",
        "null",
        "\\N",
        "\\.",
        "'",
        "\"",
        "\u{feff}",
        "漢字🎉",
        "a\nb\t\\",
        "{1,2}",
        "\u{1}",
    ];
    prop_oneof![characters(most), proptest::sample::select(odd.to_vec()).prop_map(str::to_owned)]
}

fn floats() -> impl Strategy<Value = f64> {
    use proptest::num::f64::{INFINITE, NEGATIVE, NORMAL, POSITIVE, QUIET_NAN, SUBNORMAL, ZERO};
    prop_oneof![
        NORMAL | SUBNORMAL | INFINITE | POSITIVE | NEGATIVE | ZERO | QUIET_NAN,
        any::<i32>().prop_map(f64::from),
    ]
}

/// JSON as PostgreSQL writes `jsonb` down, so that it comes back letter by letter.
fn json() -> impl Strategy<Value = String> {
    prop_oneof![
        texts(40).prop_map(|text| serde_json::to_string(&text).unwrap()),
        any::<i64>().prop_map(|number| format!("[{number}, {{\"a\": null}}]")),
        proptest::sample::select(vec![
            "0.10000000000000000000001",
            "123456789012345678901234567890",
            "true",
            "{}"
        ])
        .prop_map(str::to_owned),
    ]
}

fn rows() -> impl Strategy<Value = Vec<Vec<Cell>>> {
    let or_null = |cell: BoxedStrategy<Cell>| prop_oneof![1 => Just(Cell::Null), 5 => cell];
    let row = (
        texts(40),
        texts(40),
        or_null(texts(3_000).prop_map(|text| Cell::Text(text.into())).boxed()),
        or_null(floats().prop_map(Cell::Real).boxed()),
        or_null(any::<bool>().prop_map(Cell::Boolean).boxed()),
        or_null(json().prop_map(|json| Cell::Json(json.into())).boxed()),
        // The whole calendar.
        or_null((-210_866_803_200_000_000..=i64::MAX).prop_map(Cell::Timestamp).boxed()),
        or_null((-2_440_588..2_145_042_906_i32).prop_map(Cell::Date).boxed()),
        or_null(texts(20).prop_map(|text| Cell::Text(text.into())).boxed()),
    );
    let row = row.prop_map(|(team, project, name, hours, done, labels, at, due, text)| {
        vec![
            Cell::Text(team.into()),
            Cell::Text(project.into()),
            Cell::Integer(0),
            name,
            hours,
            done,
            labels,
            at,
            due,
            text,
        ]
    });
    let integers = prop_oneof![any::<i64>(), proptest::sample::select(vec![i64::MIN, i64::MAX, 0])];
    let rows = proptest::collection::btree_map(integers, row, 1..90);
    // Repeated under other codes, so that some batches are copied and some merged.
    (rows, 1..6_i64).prop_map(|(rows, times)| {
        let mut all = std::collections::BTreeMap::new();
        for (code, row) in rows {
            for time in 0..times {
                let code = code.wrapping_add(time);
                let mut row = row.clone();
                row[2] = Cell::Integer(code);
                all.insert(code, row);
            }
        }
        all.into_values().collect()
    })
}

/// A cell as the database has it, computed there from its own types.
fn read(row: &PgRow, at: usize, kind: Kind) -> Cell {
    fn get<'r, T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>>(
        row: &'r PgRow,
        at: usize,
    ) -> Option<T> {
        row.try_get(at).unwrap()
    }
    let cell = match kind {
        Kind::Text => get::<String>(row, at).map(|text| Cell::Text(text.into())),
        Kind::Json => get::<String>(row, at).map(|json| Cell::Json(json.into())),
        Kind::Integer => get(row, at).map(Cell::Integer),
        Kind::Real => get(row, at).map(Cell::Real),
        Kind::Boolean => get(row, at).map(Cell::Boolean),
        Kind::Timestamp => get(row, at).map(Cell::Timestamp),
        Kind::Date => get(row, at).map(Cell::Date),
    };
    cell.unwrap_or(Cell::Null)
}

/// What reads a column in a type that the test knows.
fn shown(name: &str, kind: Kind) -> String {
    match kind {
        Kind::Json => format!("{name}::text"),
        // As an exact number: the calendar is longer than what a float counts in microseconds.
        Kind::Timestamp => format!("(extract(epoch FROM {name}) * 1000000)::int8"),
        Kind::Date => format!("{name} - date '1970-01-01'"),
        _ => name.to_owned(),
    }
}

#[test]
fn every_value_comes_back_bit_by_bit() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let plan = plan("a", every_kind());
    let (site, target, other) = runtime.block_on(async {
        let site = Schema::new().await;
        let (target, other) = (ready(&site, &plan).await, site.other().await);
        (site, target, other)
    });
    let other = tokio::sync::Mutex::new(other);
    let target = tokio::sync::Mutex::new(target);
    let columns: Vec<String> = plan.tables[0].columns.iter().map(|c| shown(&c.name, c.kind)).collect();
    let select = format!("SELECT {} FROM issues ORDER BY code", columns.join(", "));
    let mut config = proptest::test_runner::Config::with_cases(48);
    config.failure_persistence = None;
    proptest::proptest!(config, |(rows in rows())| {
        runtime.block_on(async {
            let (target, other) = (&mut *target.lock().await, &mut *other.lock().await);
            sqlx::raw_sql("DELETE FROM issues").execute(&mut *other).await.unwrap();
            // Twice: once inserted, once overwritten.
            for (sequence, new) in [(1, true), (2, false)] {
                let mut batch = batch(sequence, rows.clone(), vec![]);
                batch.tables[0].new = new;
                target.write(&batch).await.unwrap();
                let stored = sqlx::query(sqlx::AssertSqlSafe(select.as_str())).fetch_all(&mut *other).await.unwrap();
                let stored: Vec<Vec<Cell>> = stored.iter()
                    .map(|row| plan.tables[0].columns.iter().enumerate().map(|(at, c)| read(row, at, c.kind)).collect())
                    .collect();
                assert_eq!(bits(&stored), bits(&rows));
            }
            let keys = rows.iter().map(|row| row[..3].to_vec()).collect();
            target.write(&batch(3, vec![], keys)).await.unwrap();
            let left: i64 = sqlx::query_scalar("SELECT count(*) FROM issues").fetch_one(&mut *other).await.unwrap();
            assert_eq!(left, 0);
        });
    });
    drop(site);
}

/// Rows in which floats are compared bit by bit.
fn bits(rows: &[Vec<Cell>]) -> Vec<Vec<String>> {
    let bits = |cell: &Cell| match cell {
        Cell::Real(float) => format!("{:x}", float.to_bits()),
        cell => format!("{cell:?}"),
    };
    rows.iter().map(|row| row.iter().map(bits).collect()).collect()
}

#[tokio::test]
async fn what_postgres_cannot_store_is_data() {
    let (site, plan) = (Schema::new().await, plan("a", every_kind()));
    let mut target = ready(&site, &plan).await;
    let bad = [
        (3, Cell::Text("a\0b".into()), "U+0000"),
        (6, Cell::Json(r#""a\u0000b""#.into()), "Unicode"),
        (6, Cell::Json("{".into()), "json"),
        (6, Cell::Json("1e200000".into()), "overflow"),
        (6, Cell::Text("[1]".into()), "jsonb"),
        (7, Cell::Timestamp(i64::MIN), "year"),
        (8, Cell::Date(i32::MIN), "year"),
        (8, Cell::Date(i32::MAX), "year"),
        (0, Cell::Text(pseudorandom(4_000).into()), "index row size"),
    ];
    for (place, cell, named) in bad {
        for rows in [1_usize, 300] {
            let mut batch =
                batch(1, (0..).take(rows).map(|code| row(&plan.tables[0], "p", code, "x")).collect(), vec![]);
            batch.tables[0].new = rows > 1;
            batch.tables[0].upserts[rows.div_euclid(2)][place] = cell.clone();
            let text = assert_kind(target.write(&batch).await, TargetErrorKind::Data);
            assert!(text.contains(named), "{named}: {text}");
        }
    }
    assert!(site.dump(CODES).await.is_empty());
    // The connection, or a new one, goes on; a key may hold anything.
    target.put_aside(0, &[Cell::Text("a\0b".into())], "odd").await.unwrap();
    target.write(&batch(1, vec![row(&plan.tables[0], "p", 1, "good")], vec![])).await.unwrap();
    assert_eq!(site.dump(CODES).await, ["1|good"]);
    assert_eq!(site.dump("SELECT key FROM _tributary_aside").await, [r#"["a\u0000b"]"#]);
}

/// Letters that do not compress.
fn pseudorandom(letters: usize) -> String {
    let mut state = 1_u64;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap())
    };
    (0..letters).map(|_| letter()).collect()
}

#[tokio::test]
async fn names_of_any_kind_are_names() {
    let site = Schema::new().await;
    let mut table = every_kind();
    table.name = "Is \"sues\"; DROP TABLE x; --".to_owned();
    table.columns[3].name = "na'me $1 \\ 漢字".to_owned();
    table.columns[4].name = "select".to_owned();
    let plan = Plan { task: "it's \"a\" task".to_owned(), tables: vec![table] };
    let mut target = ready(&site, &plan).await;
    let full = |code| {
        let mut full = row(&plan.tables[0], "p", code, "x");
        full.truncate(plan.tables[0].columns.len());
        full
    };
    target.write(&batch(1, vec![full(1), full(2)], vec![])).await.unwrap();
    target.write(&batch(2, vec![full(2)], vec![key("p", 1)])).await.unwrap();
    assert_eq!(target.ids(0, "acme", "p", None, 9).await.unwrap().len(), 1);
    assert_eq!(site.target().open(&plan).await.unwrap().position, Some(at(2)));
}
