//! What the server's codes mean: who refuses a row, what passes by itself, and what is damage.

use std::time::Duration;

use engine::target::{Cell, Target, TargetErrorKind as Kind};
use sqlx::{AssertSqlSafe, Executor};
use test_postgres::{Cluster, QUICK};

use super::{SCHEMA, Schema};
use crate::contract::{CODES, Deletes, Site, assert_kind, at, batch, column, issues, key, plan, ready, row};

/// Raises what the trigger's argument says.
const RAISES: &str = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
                      $$ BEGIN RAISE EXCEPTION 'said no' USING ERRCODE = TG_ARGV[0]; END $$";

fn trigger(kind: &str, when: &str, raised: &str) -> String {
    let late = if kind.is_empty() { "" } else { "DEFERRABLE INITIALLY DEFERRED" };
    format!(
        "DROP TRIGGER IF EXISTS refuses ON issues; CREATE {kind} TRIGGER refuses {when} ON issues {late} \
         FOR EACH ROW EXECUTE FUNCTION refuse('{raised}')"
    )
}

#[tokio::test]
async fn what_a_trigger_raises_is_a_matter_of_the_row() {
    let (site, plan) = (Schema::new().await, plan("a", issues(Deletes::Hard)));
    let mut target = ready(&site, &plan).await;
    let write = batch(1, vec![row(&plan.tables[0], "p", 1, "x")], vec![]);
    target.write(&write).await.unwrap();
    site.run(RAISES).await;
    let of_the_row = [
        "P0001", "P0002", "P0003", "P0004", "09000", "20000", "21000", "22012", "23514", "27000", "2D000",
        "2F000", "38000", "38001", "39000", "39P01", "44000", "54000", "0A000", "45000", "U0001",
    ];
    let of_others = [
        ("40001", Kind::Transient),
        ("57014", Kind::Transient),
        ("XX000", Kind::Transient),
        ("55000", Kind::NotReady),
        ("53100", Kind::Full),
        ("XX002", Kind::Fatal),
    ];
    let all = of_the_row.map(|code| (code, Kind::Data)).into_iter().chain(of_others);
    for (raised, kind) in all {
        site.run(&trigger("", "BEFORE INSERT OR UPDATE OR DELETE", raised)).await;
        for batch in [write.clone(), batch(1, vec![], vec![key("p", 1)])] {
            let text = assert_kind(target.write(&batch).await, kind);
            assert!(text.contains("said no"), "{raised}: {text}");
        }
        // What is checked at the end only is a matter of a row, too.
        site.run(&trigger("CONSTRAINT", "AFTER INSERT OR UPDATE", raised)).await;
        assert_kind(target.write(&write).await, kind);
    }
    // Rows that are copied.
    site.run(&trigger("", "BEFORE INSERT", "P0001")).await;
    let mut load = batch(1, (0..300).map(|code| row(&plan.tables[0], "q", code, "x")).collect(), vec![]);
    load.tables[0].new = true;
    assert_kind(target.write(&load).await, Kind::Data);
    site.run("DROP TRIGGER refuses ON issues").await;
    target.write(&load).await.unwrap();
    assert_eq!(site.dump(CODES).await.len(), 301);
}

#[tokio::test]
async fn what_is_no_row_is_not_called_one() {
    let (site, mut plan) = (Schema::new().await, plan("a", issues(Deletes::Hard)));
    let mut target = ready(&site, &plan).await;
    let before = plan.clone();
    plan.tables[0].columns.extend((0..1_600).map(|at| column(&format!("c{at}"), engine::schema::Kind::Text)));
    let text = assert_kind(target.prepare(&plan, None, &at(0)).await, Kind::Fatal);
    assert!(text.contains("POSTGRES-LIMIT") && !text.contains("row"), "{text}");

    // A trigger on what is made, not on rows; then a trigger of rows that is itself broken.
    site.run(
        "CREATE FUNCTION no_ddl() RETURNS event_trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'nobody makes tables'; END $$; \
         CREATE EVENT TRIGGER no_ddl ON ddl_command_start WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION no_ddl()",
    )
    .await;
    plan.tables[0].columns.truncate(9);
    let text = assert_kind(target.prepare(&plan, None, &at(0)).await, Kind::Fatal);
    assert!(text.contains("POSTGRES-TRIGGER") && text.contains("nobody makes tables"), "{text}");
    site.run(
        "DROP EVENT TRIGGER no_ddl; CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN INSERT INTO not_there VALUES (1); RETURN NEW; END $$; \
         CREATE TRIGGER broken BEFORE INSERT ON issues FOR EACH ROW EXECUTE FUNCTION broken()",
    )
    .await;
    let text = assert_kind(
        target.write(&batch(1, vec![row(&before.tables[0], "p", 1, "x")], vec![])).await,
        Kind::Fatal,
    );
    assert!(text.contains("POSTGRES-TRIGGER") && text.contains("not_there"), "{text}");
}

#[tokio::test]
async fn a_grant_beside_a_new_column_passes_by_itself() {
    let (site, mut plan) = (Schema::new().await, plan("a", issues(Deletes::Hard)));
    let mut target = ready(&site, &plan).await;
    plan.tables[0].columns.push(column("later", engine::schema::Kind::Text));
    let mut other = site.other().await;
    other.execute("BEGIN; GRANT SELECT ON issues TO PUBLIC").await.unwrap();
    let (wider, position) = (plan.clone(), at(0));
    let prepared = tokio::spawn(async move {
        let prepared = target.prepare(&wider, None, &position).await;
        (target, prepared)
    });
    let waits = "SELECT count(*) || '' FROM pg_stat_activity WHERE datname = current_database() \
                 AND wait_event_type = 'Lock' AND query LIKE 'ALTER TABLE%'";
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while site.dump(waits).await != ["1"] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap();
    other.execute("COMMIT").await.unwrap();
    let (mut target, prepared) = prepared.await.unwrap();
    let text = assert_kind(prepared, Kind::Transient);
    assert!(text.contains("POSTGRES-INTERNAL") && text.contains("concurrently updated"), "{text}");
    target.prepare(&plan, None, &at(0)).await.unwrap();
}

#[tokio::test]
async fn an_object_in_the_wrong_state_is_waited_for() {
    let (site, plan) = (Schema::new().await, plan("a", issues(Deletes::Hard)));
    let mut target = ready(&site, &plan).await;
    target.write(&batch(1, vec![row(&plan.tables[0], "p", 1, "x")], vec![])).await.unwrap();
    site.run("ALTER TABLE issues REPLICA IDENTITY NOTHING; CREATE PUBLICATION all_of_it FOR TABLE issues")
        .await;
    let delete = batch(2, vec![], vec![key("p", 1)]);
    let text = assert_kind(target.write(&delete).await, Kind::NotReady);
    assert!(text.contains("POSTGRES-STATE") && text.contains("replica identity"), "{text}");
    site.run("ALTER TABLE issues REPLICA IDENTITY DEFAULT").await;
    target.write(&delete).await.unwrap();
    assert!(site.dump(CODES).await.is_empty());
}

#[tokio::test]
async fn under_row_level_security_rows_are_inserted() {
    let cluster = Cluster::start(QUICK).await;
    let database = cluster.database().await;
    let mut admin = database.connect().await;
    let mut run = async |sql: String| sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut admin).await.unwrap();
    let schema = crate::sql::quote(SCHEMA);
    run(format!("CREATE ROLE writer LOGIN PASSWORD 'w'; CREATE SCHEMA {schema} AUTHORIZATION writer")).await;
    let mut url = database.url().clone();
    url.set_username("writer").unwrap();
    url.set_password(Some("w")).unwrap();
    let (site, plan) = (Schema::at(url.as_str()), plan("a", issues(Deletes::Hard)));
    let mut target = ready(&site, &plan).await;
    run(format!(
        "ALTER TABLE {schema}.issues ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; \
         CREATE POLICY anybody ON {schema}.issues USING (true) WITH CHECK (name <> 'secret')"
    ))
    .await;
    let rows = |name: &str| (0..300).map(|code| row(&plan.tables[0], "p", code, name)).collect::<Vec<_>>();
    let mut load = batch(1, rows("x"), vec![]);
    load.tables[0].new = true;
    target.write(&load).await.unwrap();
    assert_eq!(site.dump(CODES).await.len(), 300);
    let mut secret = batch(2, rows("x"), vec![]);
    secret.tables[0].upserts[7][3] = Cell::Text("secret".into());
    let text = assert_kind(target.write(&secret).await, Kind::ReadOnly);
    assert!(text.contains("BYPASSRLS") && !text.contains("GRANT USAGE"), "{text}");
}
