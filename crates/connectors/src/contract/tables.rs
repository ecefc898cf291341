//! Tables that were changed, are of another shape, or shared between tasks.

use engine::position::RebuildReason;
use engine::schema::Kind;
use engine::target::{Cell, Plan, Target, TargetErrorKind};

use super::{CODES, Deletes, Site, assert_kind, at, batch, column, issues, owned, plan, ready, row};

pub(crate) async fn a_foreign_table_is_refused_and_untouched<S: Site>() {
    let (site, plan) = (S::new().await, plan("a", issues(Deletes::Hard)));
    site.run("CREATE TABLE issues (code TEXT PRIMARY KEY, mine TEXT); INSERT INTO issues VALUES ('1', 'x')")
        .await;
    let mut target = site.target();
    let text = assert_kind(target.open(&plan).await, TargetErrorKind::Shape);
    let [text_type, integer, _] = S::TYPES;
    let wrong = format!("`code` is {text_type} instead of {integer}");
    let missing = format!("`team_name` ({text_type}) is missing");
    for named in ["`issues`", &wrong, &missing, "`mine`"] {
        assert!(text.contains(named), "{named}: {text}");
    }
    target.close().await;
    assert_eq!(site.dump("SELECT code, mine FROM issues").await, ["1|x"]);
    // Nothing of ours was made: there is room for it.
    site.run("CREATE TABLE _tributary_tasks (x TEXT); DROP TABLE _tributary_tasks").await;
    // A view of that name, or a table of the very same columns, is no more ours.
    site.run("DROP TABLE issues; CREATE VIEW issues AS SELECT 1 AS x").await;
    assert_kind(site.target().open(&plan).await, TargetErrorKind::Shape);
    site.run("DROP VIEW issues").await;
    site.run(&S::create_table(&plan.tables[0])).await;
    assert_kind(site.target().open(&plan).await, TargetErrorKind::Shape);
    site.run("DROP TABLE issues").await;
    site.target().open(&plan).await.unwrap();
}

pub(crate) async fn a_table_that_somebody_changed_is_refused_and_a_dropped_one_made_anew<S: Site>() {
    let (site, plan_a) = (S::new().await, plan("a", issues(Deletes::Hard)));
    let plan_b = plan("b", issues(Deletes::Hard));
    ready(&site, &plan_a).await.own(&[owned(1, "p")]).await.unwrap();
    ready(&site, &plan_b).await.own(&[owned(2, "q")]).await.unwrap();
    site.run("ALTER TABLE issues ADD COLUMN note TEXT; ALTER TABLE issues DROP COLUMN hours").await;
    let mut target = site.target();
    let text = assert_kind(target.open(&plan_a).await, TargetErrorKind::Shape);
    let missing = format!("`hours` ({}) is missing", S::TYPES[2]);
    assert!(text.contains("`note`") && text.contains(&missing), "{text}");
    site.run("DROP TABLE issues").await;
    let opened = target.open(&plan_a).await.unwrap();
    assert_eq!(opened.position, None, "what is gone must be written again");
    target.prepare(&plan_a, Some(RebuildReason::New), &at(4)).await.unwrap();
    target.write(&batch(5, vec![row(&plan_a.tables[0], "p", 1, "x")], vec![])).await.unwrap();
    let opened = site.target().open(&plan_b).await.unwrap();
    assert_eq!(opened.position, None, "the other task's rows are gone as well");
}

pub(crate) async fn another_shape_is_made_only_in_a_rebuild_of_the_only_owner<S: Site>() {
    let (site, hard) = (S::new().await, plan("a", issues(Deletes::Hard)));
    let mut target = ready(&site, &hard).await;
    target.own(&[owned(1, "p")]).await.unwrap();
    target.write(&batch(1, vec![row(&hard.tables[0], "p", 1, "x")], vec![])).await.unwrap();
    let mut table = issues(Deletes::Soft);
    table.columns[3].kind = Kind::Integer;
    let soft = plan("a", table);
    let opened = target.open(&soft).await.unwrap();
    assert_eq!(opened.position, Some(at(1)));
    let text = assert_kind(target.prepare(&soft, None, &at(1)).await, TargetErrorKind::Shape);
    assert!(text.contains("`name` holds text instead of integer") && text.contains("hard"), "{text}");
    assert_eq!(site.dump(CODES).await, ["1|x"]);
    target.prepare(&soft, Some(RebuildReason::Reshaped), &at(0)).await.unwrap();
    assert!(site.dump(CODES).await.is_empty());
    // The new column takes numbers.
    let mut seven = row(&soft.tables[0], "p", 1, "");
    seven[3] = Cell::Integer(7);
    target.write(&batch(2, vec![seven], vec![])).await.unwrap();
    assert_eq!(site.dump("SELECT name + 1 || '' FROM issues").await, ["8"]);

    let mut second = site.target();
    let text = assert_kind(second.open(&plan("b", issues(Deletes::Hard))).await, TargetErrorKind::Shape);
    assert!(text.contains("task `a`"), "{text}");
    let soft = Plan { task: "b".to_owned(), ..soft };
    second.open(&soft).await.unwrap();
    second.prepare(&soft, Some(RebuildReason::New), &at(0)).await.unwrap();
    second.own(&[owned(2, "q")]).await.unwrap();
    let text = assert_kind(target.open(&hard).await, TargetErrorKind::Shape);
    assert!(text.contains("task `b`"), "{text}");
}

pub(crate) async fn new_columns_are_added_and_unknown_ones_emptied<S: Site>() {
    let (site, old) = (S::new().await, plan("a", issues(Deletes::Hard)));
    let mut target = ready(&site, &old).await;
    target.write(&batch(1, vec![row(&old.tables[0], "p", 1, "x")], vec![])).await.unwrap();
    let mut table = issues(Deletes::Hard);
    table.columns.insert(4, column("status", Kind::Text));
    table.synced_at += 1;
    let new = plan("a", table);
    let mut filled = row(&old.tables[0], "p", 1, "y");
    filled.insert(4, Cell::Text("open".into()));
    target.open(&new).await.unwrap();
    target.prepare(&new, None, &at(1)).await.unwrap();
    assert_eq!(site.dump("SELECT name, status FROM issues").await, ["x|NULL"]);
    target.write(&batch(2, vec![filled], vec![])).await.unwrap();
    assert_eq!(site.dump("SELECT name, status FROM issues").await, ["y|open"]);
    // Back to the older version: what it does not know, it does not leave behind in a row it writes.
    target.open(&old).await.unwrap();
    target.prepare(&old, None, &at(2)).await.unwrap();
    target.write(&batch(3, vec![row(&old.tables[0], "p", 1, "z")], vec![])).await.unwrap();
    assert_eq!(site.dump("SELECT name, status FROM issues").await, ["z|NULL"]);
    // The new version again: the columns are all there.
    target.open(&new).await.unwrap();
    target.prepare(&new, None, &at(3)).await.unwrap();
}

pub(crate) async fn a_project_of_a_table_belongs_to_one_task<S: Site>() {
    let (site, plan_a) = (S::new().await, plan("a", issues(Deletes::Hard)));
    let mut a = ready(&site, &plan_a).await;
    let mut b = ready(&site, &plan("b", issues(Deletes::Hard))).await;
    a.own(&[owned(1, "p"), owned(2, "q")]).await.unwrap();
    b.own(&[owned(3, "r")]).await.unwrap();
    let text = assert_kind(b.own(&[owned(4, "s"), owned(2, "renamed")]).await, TargetErrorKind::Shape);
    assert!(text.contains("task `a`") && text.contains("`renamed`"), "{text}");
    assert_kind(b.own(&[owned(9, "q")]).await, TargetErrorKind::Shape);
    let of_b = "SELECT project FROM _tributary_owners WHERE task = 'b'";
    assert_eq!(site.dump(of_b).await, ["r"], "a refusal notes nothing");
    a.disown(&[owned(2, "q")]).await.unwrap();
    b.own(&[owned(2, "q")]).await.unwrap();
    // A task that does not fill the table any more leaves it to others.
    let mut elsewhere = issues(Deletes::Hard);
    elsewhere.name = "elsewhere".to_owned();
    let elsewhere = plan("a", elsewhere);
    assert_eq!(a.open(&elsewhere).await.unwrap().owned, [owned(1, "p")]);
    a.prepare(&elsewhere, Some(RebuildReason::Reshaped), &at(0)).await.unwrap();
    b.own(&[owned(1, "p")]).await.unwrap();
    let of_a = "SELECT table_name, project FROM _tributary_owners WHERE task = 'a'";
    assert_eq!(site.dump(of_a).await, ["elsewhere|p"]);
}
