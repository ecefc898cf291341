//! Looking into a target beside whoever writes, and mending what somebody broke.

use engine::journal::Limit;
use engine::row::RowId;
use engine::schema::Kind;
use engine::target::{Cell, Column, Inspect, Plan, TableLook, Target, TargetErrorKind, TargetTable};

use super::{
    CODES, Deletes, NOW, Site, assert_kind, at, batch, column, issues, key, owned, plan, ready, row,
};

const PAGE: Limit = Limit { rows: 10, bytes: usize::MAX };

/// A column of every kind.
fn all_kinds() -> TargetTable {
    let mut table = issues(Deletes::Hard);
    table.columns.extend([column("day", Kind::Date), column("estimate", Kind::Integer)]);
    table
}

pub(crate) async fn what_was_written_is_read_back_as_it_was<S: Site>() {
    let (site, plan) = (S::new().await, plan("a", all_kinds()));
    let mut target = ready(&site, &plan).await;
    let full = |code, name: &str, real, json: &str, micros, day, number| {
        let mut cells = key("p", code);
        cells.extend([
            Cell::Text(name.into()),
            Cell::Real(real),
            Cell::Boolean(code % 2 == 0),
            Cell::Json(json.into()),
            Cell::Timestamp(micros),
            Cell::Date(day),
            Cell::Integer(number),
        ]);
        cells
    };
    let mut none = key("p", 9);
    none.resize(all_kinds().columns.len(), Cell::Null);
    let rows = vec![
        full(-3, "", 0.1, "[]", 0, 0, 0),
        full(1, "字 'x'\n\\", -1.5e300, "\"x\"", NOW, -1, i64::MIN),
        full(2, "007", 7.0, "{\"a\": null}", -1, 20_000, i64::MAX),
        none,
    ];
    target.write(&batch(1, rows.clone(), vec![])).await.unwrap();
    let mut eye = site.target();
    eye.look(&plan).await.unwrap();
    let found = eye.read(0, "acme", "p", None, PAGE).await.unwrap();
    let cells: Vec<_> = found.rows.into_iter().map(|(_, cells)| cells).collect();
    assert_eq!(cells, rows);
}

pub(crate) async fn rows_are_read_in_pages_and_by_key_without_taking_over<S: Site>() {
    let (site, plan) = (S::new().await, plan("a", issues(Deletes::Soft)));
    let mut target = ready(&site, &plan).await;
    target.own(&[owned(7, "p")]).await.unwrap();
    let table = &plan.tables[0];
    let mut rows: Vec<_> = (0..25).map(|code| row(table, "p", code * 2, "x")).collect();
    rows.extend([row(table, "q", 1, "x"), row(table, "p", i64::MIN, "x")]);
    target.write(&batch(1, rows, vec![])).await.unwrap();
    target.write(&batch(2, vec![], vec![key("p", 4)])).await.unwrap();
    target.put_aside(0, &key("p", 99), "too odd").await.unwrap();

    let mut eye = site.target();
    let looked = eye.look(&plan).await.unwrap();
    assert_eq!(looked.tables, [TableLook { readable: true, ..TableLook::default() }]);
    assert_eq!((looked.position, looked.owned, looked.put_aside), (Some(at(2)), vec![owned(7, "p")], 1));
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let found = eye.read(0, "acme", "p", after, PAGE).await.unwrap();
        assert_eq!(found.position, Some(at(2)));
        let Some((last, _)) = found.rows.last() else { break };
        after = Some(*last);
        all.extend(found.rows.iter().map(|(id, _)| id.0));
    }
    let alive = (0..25).map(|code| code * 2).filter(|code| *code != 4);
    assert_eq!(all, [i64::MIN].into_iter().chain(alive).collect::<Vec<_>>());
    // Cut by bytes, a page has one row at least.
    let found = eye.read(0, "acme", "p", None, Limit { rows: 10, bytes: 1 }).await.unwrap();
    assert_eq!(found.rows.len(), 1);
    let found = eye.read_some(0, "acme", "p", &[6, 4, 3, 2].map(RowId)).await.unwrap();
    assert_eq!(found.rows.iter().map(|(id, _)| id.0).collect::<Vec<_>>(), [2, 6]);
    assert!(eye.read(0, "other", "p", None, PAGE).await.unwrap().rows.is_empty());
    // Whoever wrote goes on.
    target.write(&batch(3, vec![row(table, "p", 1, "new")], vec![])).await.unwrap();
    assert_eq!(eye.read(0, "acme", "p", None, PAGE).await.unwrap().position, Some(at(3)));
}

pub(crate) async fn a_changed_table_is_told_and_read_as_far_as_it_can_be<S: Site>() {
    let (site, plan) = (S::new().await, plan("a", issues(Deletes::Hard)));
    let mut target = ready(&site, &plan).await;
    target.write(&batch(1, vec![row(&plan.tables[0], "p", 1, "one")], vec![])).await.unwrap();
    let [_, integer, _] = S::TYPES;
    site.run("ALTER TABLE issues DROP COLUMN name").await;
    site.run(&format!("ALTER TABLE issues ADD COLUMN name {integer}")).await;
    site.run("ALTER TABLE issues DROP COLUMN hours").await;
    site.run(&format!("ALTER TABLE issues ADD COLUMN own {integer}")).await;
    let mut more = plan.clone();
    more.tables[0].columns.push(column("fresh", Kind::Text));
    let mut eye = site.target();
    let looked = eye.look(&more).await.unwrap();
    let TableLook { differs, unreadable, readable } = &looked.tables[0];
    for point in ["`name` is", "`hours`", "`own`", "`fresh` is new"] {
        assert!(differs.iter().any(|differs| differs.contains(point)), "{point}: {differs:?}");
    }
    assert_eq!((differs.len(), &unreadable[..], *readable), (4, &[3, 4, 8][..], true));
    let found = eye.read(0, "acme", "p", None, PAGE).await.unwrap();
    let [(RowId(1), cells)] = &found.rows[..] else { panic!("{found:?}") };
    assert_eq!((&cells[3], &cells[4], &cells[5]), (&Cell::Null, &Cell::Null, &Cell::Boolean(true)));

    site.run("DROP TABLE issues").await;
    let looked = eye.look(&plan).await.unwrap();
    assert_eq!((looked.tables[0].readable, looked.position), (false, Some(at(1))));
    assert!(eye.read(0, "acme", "p", None, PAGE).await.unwrap().rows.is_empty());
}

pub(crate) async fn broken_columns_are_mended_and_their_rows_asked_for_again<S: Site>() {
    let (site, plan_a) = (S::new().await, plan("a", issues(Deletes::Hard)));
    let plan_b = Plan { task: "b".to_owned(), ..plan_a.clone() };
    let mut a = ready(&site, &plan_a).await;
    a.own(&[owned(1, "p")]).await.unwrap();
    a.write(&batch(1, vec![row(&plan_a.tables[0], "p", 1, "one")], vec![])).await.unwrap();
    let mut b = ready(&site, &plan_b).await;
    b.own(&[owned(2, "q")]).await.unwrap();
    let mut eye = site.target();
    assert_eq!(eye.mend(&plan_a).await.unwrap(), 0, "nothing is broken");
    a.write(&batch(2, vec![], vec![])).await.unwrap();

    let [_, integer, _] = S::TYPES;
    site.run("ALTER TABLE issues DROP COLUMN name").await;
    site.run(&format!("ALTER TABLE issues ADD COLUMN name {integer}")).await;
    site.run("ALTER TABLE issues DROP COLUMN hours").await;
    assert_eq!(eye.mend(&plan_a).await.unwrap(), 2);
    assert_kind(a.write(&batch(3, vec![], vec![])).await, TargetErrorKind::Fenced);
    assert_eq!(site.dump(CODES).await, ["1|NULL"]);
    for plan in [&plan_a, &plan_b] {
        let opened = site.target().open(plan).await.unwrap();
        assert_eq!(opened.position, None, "its rows are to be written again");
    }
    // Only what tributary made is mended.
    let Column { name, .. } = column("own", Kind::Text);
    site.run(&format!("ALTER TABLE issues ADD COLUMN {name} {integer}")).await;
    site.run("ALTER TABLE issues DROP COLUMN name").await;
    assert_kind(eye.mend(&plan_a).await, TargetErrorKind::Shape);
    assert_kind(site.target().open(&plan_a).await, TargetErrorKind::Shape);
}
