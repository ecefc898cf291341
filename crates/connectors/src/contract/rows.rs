//! Rows and the position they lead to.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::position::{Position, RebuildReason};
use engine::row::RowId;
use engine::target::{Cell, Effect, Opened, Plan, Target, TargetErrorKind};

use super::{CODES, Deletes, NOW, Site, assert_kind, at, batch, issues, key, owned, plan, ready, row};

pub(crate) async fn rows_and_position_are_there_together<S: Site>() {
    let (site, plan) = (S::new().await, plan("a", issues(Deletes::Hard)));
    let mut target = site.target();
    let Opened { position, owned, .. } = target.open(&plan).await.unwrap();
    assert_eq!((position, owned), (None, vec![]));
    let rebuilding = Position { rebuilding: true, ..at(0) };
    target.prepare(&plan, Some(RebuildReason::New), &rebuilding).await.unwrap();
    target.own(&[self::owned(7, "p")]).await.unwrap();
    target.write(&batch(5, vec![row(&plan.tables[0], "p", 1, "one")], vec![])).await.unwrap();
    target.close().await;
    assert_eq!(
        site.dump("SELECT code || '', name, hours || '', CASE WHEN done THEN 'done' END, labels, _synced_at FROM issues").await,
        [format!("1|one|0.1|done|[1]|{}", S::moment(NOW))]
    );
    let opened = site.target().open(&plan).await.unwrap();
    assert_eq!(opened.position, Some(at(5)));
    assert_eq!(opened.owned, [self::owned(7, "p")]);
}

pub(crate) async fn a_repeated_batch_leaves_the_same<S: Site>() {
    let (site, plan) = (S::new().await, plan("a", issues(Deletes::Hard)));
    let mut target = ready(&site, &plan).await;
    let rows: Vec<_> = (0..150).map(|code| row(&plan.tables[0], "p", code, "old")).collect();
    assert_eq!(target.write(&batch(1, rows, vec![])).await.unwrap(), [Effect { inserted: 150, deleted: 0 }]);
    let changes: Vec<_> = (100..230).map(|code| row(&plan.tables[0], "p", code, "new")).collect();
    let change = batch(2, changes, (0..90).map(|code| key("p", code)).collect());
    assert_eq!(target.write(&change).await.unwrap(), [Effect { inserted: 80, deleted: 90 }]);
    let once = site.dump(CODES).await;
    assert_eq!(once.len(), 140);
    assert_eq!((once[0].as_str(), once[10].as_str(), once[139].as_str()), ("90|old", "100|new", "229|new"));
    assert_eq!(target.write(&change).await.unwrap(), [Effect { inserted: 0, deleted: 0 }]);
    assert_eq!(site.dump(CODES).await, once);
}

pub(crate) async fn a_hint_that_rows_are_new_may_be_wrong<S: Site>() {
    let (site, plan) = (S::new().await, plan("a", issues(Deletes::Hard)));
    let mut target = ready(&site, &plan).await;
    let load = |sequence, name, codes: std::ops::Range<i64>| {
        let rows = codes.map(|code| row(&plan.tables[0], "p", code, name)).collect();
        let mut load = batch(sequence, rows, vec![]);
        load.tables[0].new = true;
        load
    };
    for (sequence, name, codes, inserted) in [
        (1, "first", 0..300, 300),
        // Repeated, as after a lost reply; then some of both; then a handful.
        (1, "again", 0..300, 0),
        (2, "mixed", 200..500, 200),
        (3, "few", 499..502, 2),
    ] {
        let effects = target.write(&load(sequence, name, codes)).await.unwrap();
        assert_eq!(effects, [Effect { inserted, deleted: 0 }], "{name}");
    }
    let names = "SELECT name, count(*) || '' FROM issues GROUP BY name ORDER BY name";
    assert_eq!(site.dump(names).await, ["again|200", "few|3", "mixed|299"]);
    assert_eq!(site.target().open(&plan).await.unwrap().position, Some(at(3)));
}

pub(crate) async fn invariant_6_a_later_opener_fences_the_earlier_one<S: Site>() {
    let (site, plan) = (S::new().await, plan("a", issues(Deletes::Hard)));
    let mut stale = ready(&site, &plan).await;
    let mut current = site.target();
    assert_eq!(current.open(&plan).await.unwrap().position, Some(at(0)));
    let rows = batch(9, vec![row(&plan.tables[0], "p", 1, "stale")], vec![]);
    let fenced = TargetErrorKind::Fenced;
    assert_kind(stale.write(&rows).await, fenced);
    assert_kind(stale.own(&[owned(1, "p")]).await, fenced);
    assert_kind(stale.disown(&[owned(1, "p")]).await, fenced);
    assert_kind(stale.put_aside(0, &key("p", 1), "x").await, fenced);
    assert_kind(stale.prepare(&plan, Some(RebuildReason::Asked), &at(9)).await, fenced);
    assert!(site.dump(CODES).await.is_empty());
    assert!(site.dump("SELECT task FROM _tributary_owners").await.is_empty());
    current.prepare(&plan, None, &at(0)).await.unwrap();
    current.write(&batch(1, vec![row(&plan.tables[0], "p", 1, "current")], vec![])).await.unwrap();
    assert_eq!(site.dump(CODES).await, ["1|current"]);
    // Another task in the same place fences nobody.
    let other = Plan { task: "b".to_owned(), ..plan };
    ready(&site, &other).await;
    current.write(&batch(2, vec![], vec![key("p", 1)])).await.unwrap();
    assert!(site.dump(CODES).await.is_empty());
}

pub(crate) async fn soft_deletes_mark_once_and_a_new_insert_clears<S: Site>() {
    let (site, plan) = (S::new().await, plan("a", issues(Deletes::Soft)));
    let mut target = ready(&site, &plan).await;
    let rows = (1..=3).map(|code| row(&plan.tables[0], "p", code, "x")).collect();
    target.write(&batch(1, rows, vec![])).await.unwrap();
    let mut delete = batch(2, vec![], vec![key("p", 2), key("p", 99)]);
    delete.tables[0].now = NOW + 1_000_000;
    assert_eq!(target.write(&delete).await.unwrap(), [Effect { inserted: 0, deleted: 1 }]);
    let marked = "SELECT code || '', _deleted_at, _synced_at FROM issues ORDER BY code";
    let alive = |code| format!("{code}|NULL|{}", S::moment(NOW));
    let deleted = format!("2|{0}|{0}", S::moment(NOW + 1_000_000));
    assert_eq!(site.dump(marked).await, [alive(1), deleted.clone(), alive(3)]);
    delete.tables[0].now += 5_000_000;
    assert_eq!(target.write(&delete).await.unwrap(), [Effect::default()]);
    assert_eq!(site.dump(marked).await, [alive(1), deleted, alive(3)]);
    assert_eq!(target.ids(0, "acme", "p", None, 10).await.unwrap(), [RowId(1), RowId(3)]);
    assert_eq!(target.count(0, &[owned(1, "p")]).await.unwrap(), 2);
    target.write(&batch(3, vec![row(&plan.tables[0], "p", 2, "back")], vec![])).await.unwrap();
    assert_eq!(site.dump(marked).await, [alive(1), alive(2), alive(3)]);
}

pub(crate) async fn ids_come_in_pages_and_counts_by_project<S: Site>() {
    let (site, plan) = (S::new().await, plan("a", issues(Deletes::Hard)));
    let mut target = ready(&site, &plan).await;
    let mut rows: Vec<_> = (0..25).map(|n| row(&plan.tables[0], "p", n * 3 - 9, "x")).collect();
    rows.extend((0..4).map(|code| row(&plan.tables[0], "q", code, "x")));
    rows.push(row(&plan.tables[0], "p", i64::MIN, "x"));
    target.write(&batch(1, rows, vec![])).await.unwrap();
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = target.ids(0, "acme", "p", after, 10).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(*last);
        all.extend(page);
    }
    let expected: Vec<_> = [i64::MIN].into_iter().chain((0..25).map(|n| n * 3 - 9)).map(RowId).collect();
    assert_eq!(all, expected);
    assert_eq!(target.ids(0, "other", "p", None, 10).await.unwrap(), []);
    assert_eq!(target.count(0, &[owned(1, "p")]).await.unwrap(), 26);
    let both = [owned(1, "p"), owned(2, "q"), owned(3, "q"), owned(4, "none")];
    assert_eq!(target.count(0, &both).await.unwrap(), 30);
}

pub(crate) async fn a_row_that_does_not_fit_is_data_and_can_be_put_aside<S: Site>() {
    let (site, plan) = (S::new().await, plan("a", issues(Deletes::Hard)));
    let mut target = ready(&site, &plan).await;
    let good = row(&plan.tables[0], "p", 1, "good");
    let spoilt = |at: usize, cell: Cell| {
        let mut row = row(&plan.tables[0], "p", 2, "bad");
        row[at] = cell;
        row
    };
    let bad = [
        spoilt(1, Cell::Null),
        spoilt(2, Cell::Text("007".into())),
        spoilt(3, Cell::Integer(7)),
        spoilt(4, Cell::Integer(1)),
        spoilt(5, Cell::Real(1.0)),
        spoilt(7, Cell::Timestamp(i64::MIN)),
        key("p", 2),
    ];
    for bad in bad {
        let result = target.write(&batch(1, vec![good.clone(), bad], vec![])).await;
        assert_kind(result, TargetErrorKind::Data);
    }
    assert!(site.dump(CODES).await.is_empty());
    target.put_aside(0, &key("p", 2), "too odd").await.unwrap();
    target.put_aside(0, &key("p", 2), "still too odd").await.unwrap();
    target.write(&batch(1, vec![good], vec![])).await.unwrap();
    assert_eq!(site.dump(CODES).await, ["1|good"]);
    let aside = "SELECT task, table_name, key, reason FROM _tributary_aside";
    assert_eq!(site.dump(aside).await, [r#"a|issues|["acme","p",2]|still too odd"#]);
    assert_eq!(target.aside().await.unwrap(), [1]);
    // It is aside until it is written, or deleted, or its project goes; also for who opens the target anew.
    target.write(&batch(2, vec![row(&plan.tables[0], "p", 3, "other")], vec![key("p", 4)])).await.unwrap();
    assert_eq!(target.aside().await.unwrap(), [1]);
    let mut target = site.target();
    target.open(&plan).await.unwrap();
    target.prepare(&plan, None, &at(2)).await.unwrap();
    assert_eq!(target.aside().await.unwrap(), [1]);
    target.write(&batch(3, vec![row(&plan.tables[0], "p", 2, "good")], vec![])).await.unwrap();
    assert_eq!(target.aside().await.unwrap(), [0]);
    for project in ["p", "p,", "pq"] {
        target.put_aside(0, &key(project, 2), "odd").await.unwrap();
    }
    target.write(&batch(4, vec![], vec![key("p,", 2)])).await.unwrap();
    assert_eq!(target.aside().await.unwrap(), [2]);
    target.disown(&[owned(7, "p")]).await.unwrap();
    assert_eq!(site.dump(aside).await, [r#"a|issues|["acme","pq",2]|odd"#]);
    target.prepare(&plan, Some(RebuildReason::Asked), &at(1)).await.unwrap();
    assert!(site.dump(aside).await.is_empty());
}

pub(crate) async fn a_write_that_is_given_up_leaves_all_or_nothing<S: Site>() {
    let (site, plan) = (S::new().await, plan("a", issues(Deletes::Hard)));
    let mut target = ready(&site, &plan).await;
    let mut unfinished = 0;
    for patience in 0..40 {
        let rows = (0..200).map(|code| row(&plan.tables[0], "p", code, &patience.to_string())).collect();
        let write = batch(patience, rows, vec![]);
        let written = tokio::select! {
            biased;
            () = async { for _ in 0..4 * patience * patience { tokio::task::yield_now().await } } => false,
            written = target.write(&write) => { written.unwrap(); true }
        };
        unfinished += i32::from(!written);
        // In one look: what was given up may still be committed.
        let stored: BTreeSet<_> = site
            .dump("SELECT name, sequence || '' FROM issues, _tributary_tasks")
            .await
            .into_iter()
            .collect();
        assert!(stored.len() <= 1, "{stored:?}");
        for stored in stored {
            let (name, sequence) = stored.split_once('|').unwrap();
            assert_eq!(name, sequence);
        }
    }
    assert!(unfinished > 0);
    target.write(&batch(99, vec![row(&plan.tables[0], "p", 0, "99")], vec![])).await.unwrap();
}

pub(crate) async fn tasks_share_a_place<S: Site>() {
    let site = Arc::new(S::new().await);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4_i64 {
        let (site, plan) = (site.clone(), plan(&format!("task {task}"), issues(Deletes::Hard)));
        tasks.spawn(async move {
            let project = format!("p{task}");
            let mut target = ready(&*site, &plan).await;
            target.own(&[owned(task, &project)]).await.unwrap();
            for step in 0..10 {
                let rows = (0..30).map(|n| row(&plan.tables[0], &project, step * 30 + n, "x")).collect();
                target.write(&batch(step, rows, vec![])).await.unwrap();
            }
            assert_eq!(target.count(0, &[owned(task, &project)]).await.unwrap(), 300);
            target.close().await;
        });
    }
    tasks.join_all().await;
    assert_eq!(site.dump(CODES).await.len(), 1200);
    site.assert_tidy();
}
