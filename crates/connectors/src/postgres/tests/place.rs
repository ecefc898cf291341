//! The configuration, and what a server lets one do: rights, TLS, check.

use engine::position::RebuildReason;
use engine::target::{Cell, Target, TargetErrorKind};
use sqlx::{AssertSqlSafe, Row};
use test_postgres::{Cluster, QUICK};

use super::super::config::{PostgresConfig, check};
use super::super::encode::Statements;
use super::{SCHEMA, Schema};
use crate::check::{CheckItem, Outcome};
use crate::contract::{Deletes, Site, assert_kind, at, batch, issues, owned, plan, ready, row};

fn config(url: &str, schema: &str) -> PostgresConfig {
    PostgresConfig { url: url.into(), schema: schema.to_owned() }
}

#[test]
fn the_configuration_is_judged_without_a_network() {
    let good = [
        ("postgres://u:p@db.example:5433/data", "database `data` (db.example:5433, user `u`)"),
        ("postgresql://[::1]/data?user=u&password=p@", "database `data` ([::1]:5432, user `u`)"),
        ("postgres:///data?host=/var/run/postgresql", "database `data` (the socket in /var/run/postgresql)"),
        ("postgres:///data", "database `data` (the local server)"),
        // All forms of libpq's manual that name a database and one server that takes writes.
        ("postgresql://localhost/data", "database `data` (localhost:5432)"),
        (
            "postgresql://other@localhost/data?connect_timeout=10&application_name=myapp",
            "database `data` (localhost:5432, user `other`)",
        ),
        (
            "postgresql://host1:123/data?target_session_attrs=any&application_name=myapp",
            "database `data` (host1:123)",
        ),
        (
            "postgresql://user@localhost:5433/data?options=-c%20synchronous_commit%3Doff",
            "database `data` (localhost:5433, user `user`)",
        ),
        ("postgresql:///data?host=localhost&port=5433", "database `data` (localhost:5433)"),
        ("postgresql://[2001:db8::1234]/data", "database `data` ([2001:db8::1234]:5432)"),
        (
            "postgresql:///data?host=/var/lib/postgresql",
            "database `data` (the socket in /var/lib/postgresql)",
        ),
        (
            "postgresql://%2Fvar%2Flib%2Fpostgresql/data",
            "database `data` (the socket in /var/lib/postgresql)",
        ),
        (
            "postgres://user@/data?host=/run/postgresql",
            "database `data` (the socket in /run/postgresql, user `user`)",
        ),
        ("postgres://u:p@/data?host=h&ssl=true", "database `data` (h:5432, user `u`)"),
        ("host=localhost port=5433 dbname=data connect_timeout=10", "database `data` (localhost:5433)"),
        (
            "dbname = 'da\\'ta' user=u\\ v host='' password='a b'",
            "database `da'ta` (the local server, user `u v`)",
        ),
        // What means something elsewhere in a URL is a part of the password here, as for libpq.
        ("postgres://u:1#2@h/data", "database `data` (h:5432, user `u`)"),
        ("postgres://u:1?2@h/data", "database `data` (h:5432, user `u`)"),
        ("postgres://u:1@2@h/data", "database `data` (h:5432, user `u`)"),
        (
            "postgres://u@h/?dbname=data&sslmode=verify-full&sslrootcert=system",
            "database `data` (h:5432, user `u`)",
        ),
    ];
    for (url, place) in good {
        let validated = config(url, "coding").validate().unwrap();
        assert_eq!(validated.place(), place, "{url}");
        assert!(!format!("{validated:?}").contains(":p@"), "the password is not shown");
        validated.options().unwrap();
    }
    let bad = [
        "",
        " ",
        "secret",
        "mysql://u:secret@h/d",
        "postgres://u:secret@h",
        "postgres://u:secret@h/",
        "postgres://u:se/secret@h/d",
        "postgres:u:secret@h/d",
        "postgres:/u:secret@h/d",
        "postgres://u:12/secret@h/d",
        "postgres://u:12?s=/secret@h/d",
        "postgres://u:p@h:secret/d",
        "postgres://h/d?sslmode=secret",
        "postgres://h/d?target_session_attrs=standby",
        "postgres://h/d?channel_binding=require",
        "host=h dbname=d secret",
        "host=h dbname=d secret=x",
        "host=h dbname='secret",
        "postgres://h/d?sslmode=on",
        "postgres://h/d?port=x",
        "postgres://u:secret@h1:5432,h2:5433/d",
        "postgres://u:secret@h1,h2/d",
        "postgres:///d?host=h1,h2",
        "postgres://u:a,secret/c@h/d",
        "postgres://h/d?passwd=secret",
        "postgres://h/d?sslrootcert=system",
        "postgres://h/d?sslmode=require&sslrootcert=system",
    ];
    for url in bad {
        let findings = config(url, "coding").validate().unwrap_err();
        assert_eq!(findings.len(), 1, "{url}: {findings:?}");
        assert_eq!(findings[0].path, "target.postgres.url");
        assert!(!format!("{findings:?}").contains("secret"), "{findings:?}");
    }
    for schema in ["", " ", "a\0b", "pg_mine", "information_schema", &"x".repeat(64)] {
        let findings = config("postgres://h/d", schema).validate().unwrap_err();
        assert_eq!(findings[0].path, "target.postgres.schema", "{schema:?}");
    }
    assert_eq!(config("http://h?a=b", "").validate().unwrap_err().len(), 2, "everything at once");
    let parsed: PostgresConfig = serde_json::from_str(r#"{"url": "postgres://h/d"}"#).unwrap();
    assert_eq!(parsed.validate().unwrap().schema(), "public");
    assert!(serde_json::from_str::<PostgresConfig>(r#"{"url": "x", "mode": 1}"#).is_err());
}

pub(super) fn names(items: &[CheckItem], outcome: Outcome) -> Vec<&str> {
    items.iter().filter(|item| item.outcome == outcome).map(|item| item.name.as_str()).collect()
}

#[tokio::test]
async fn check_tries_everything_and_leaves_nothing() {
    let site = Schema::new().await;
    let objects = "SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_namespace)";
    let before = site.dump(objects).await;
    let items = check(&site.place(), "a", &[], &[]).await;
    assert_eq!(names(&items, Outcome::Failed), [""; 0], "{items:?}");
    assert_eq!(names(&items, Outcome::Ok), ["target: connect", "target: write"], "{items:?}");
    assert_eq!(site.dump(objects).await, before);
    for (url, fix) in [
        (site.url.replace("//postgres:", "//postgres:wrong"), "pg_hba.conf"),
        (format!("{}_not", site.url), "CREATE DATABASE"),
        ("postgres://h@127.0.0.1:1/d".to_owned(), "whether the server runs"),
        (format!("{}?sslmode=verify-full&sslrootcert=/no/such.pem", site.url), "relative"),
    ] {
        let items = check(&config(&url, "coding").validate().unwrap(), "a", &[], &[]).await;
        assert_eq!(names(&items, Outcome::Failed), ["target: connect"], "{items:?}");
        assert!(items[0].fix.as_ref().unwrap().contains(fix), "{items:?}");
        assert!(!format!("{items:?}").contains("wrong"), "{items:?}");
    }
}

#[tokio::test]
async fn check_finds_what_stands_where_the_tables_belong() {
    let (site, plan) = (Schema::new().await, plan("a", issues(Deletes::Hard)));
    let tables = async || {
        let items = check(&site.place(), "a", &plan.tables, &[owned(1, "p")]).await;
        items.into_iter().find(|item| item.name == "target: tables").unwrap()
    };
    assert_eq!(tables().await, CheckItem::ok("target: tables", "issues can be filled"), "there is no schema");
    site.run("CREATE VIEW issues AS SELECT 1 AS x").await;
    let item = tables().await;
    assert_eq!(item.outcome, Outcome::Failed);
    assert!(item.detail.contains("a view of this name"), "{item:?}");
    site.run("DROP VIEW issues; CREATE TABLE issues (mine text); INSERT INTO issues VALUES ('x')").await;
    let item = tables().await;
    assert!(item.detail.contains("tributary did not make") && item.detail.contains("`mine`"), "{item:?}");
    assert!(item.fix.unwrap().contains("rename or drop"));
    assert_eq!(site.dump("SELECT mine FROM issues").await, ["x"]);
    site.run("DROP TABLE issues").await;
    let mut target = ready(&site, &plan).await;
    target.own(&[owned(1, "p")]).await.unwrap();
    target.close().await;
    assert_eq!(tables().await.outcome, Outcome::Ok);
    let items = check(&site.place(), "b", &plan.tables, &[owned(1, "p")]).await;
    assert_eq!(names(&items, Outcome::Failed), ["target: tables"], "{items:?}");
    assert!(format!("{items:?}").contains("task `a` fills that table"), "{items:?}");
    site.run("ALTER TABLE issues ADD COLUMN note text").await;
    let item = tables().await;
    assert!(
        item.detail.contains("somebody has changed the table") && item.detail.contains("`note`"),
        "{item:?}"
    );
}

#[tokio::test]
async fn what_may_not_be_written_is_named_with_what_helps() {
    let cluster = Cluster::start(QUICK).await;
    let database = cluster.database().await;
    let mut admin = database.connect().await;
    let mut run = async |sql: String| sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut admin).await.map(|_| ());
    run("CREATE ROLE writer LOGIN PASSWORD 'w'".to_owned()).await.unwrap();
    let mut url = database.url().clone();
    url.set_username("writer").unwrap();
    url.set_password(Some("w")).unwrap();
    let (site, plan) = (Schema::at(url.as_str()), plan("a", issues(Deletes::Hard)));
    let schema = crate::sql::quote(SCHEMA);

    // No schema, and no right to make one. What is said to help helps.
    let text = assert_kind(site.target().open(&plan).await, TargetErrorKind::ReadOnly);
    let items = check(&site.place(), "a", &[], &[]).await;
    assert_eq!(names(&items, Outcome::Failed), ["target: write"], "{items:?}");
    let help = format!("CREATE SCHEMA {schema} AUTHORIZATION \"writer\";");
    assert!(text.contains(&help) && format!("{items:?}").contains("AUTHORIZATION"), "{text}");
    run(help).await.unwrap();
    assert_eq!(names(&check(&site.place(), "a", &[], &[]).await, Outcome::Failed), [""; 0]);
    ready(&site, &plan).await.close().await;

    // A schema of somebody else.
    run(format!("DROP SCHEMA {schema} CASCADE; CREATE SCHEMA {schema}")).await.unwrap();
    let text = assert_kind(site.target().open(&plan).await, TargetErrorKind::ReadOnly);
    let help = format!("GRANT USAGE, CREATE ON SCHEMA {schema} TO \"writer\"");
    assert!(text.contains(&help), "{text}");
    assert_eq!(names(&check(&site.place(), "a", &[], &[]).await, Outcome::Failed), ["target: write"]);
    run(help).await.unwrap();
    let mut target = ready(&site, &plan).await;

    // Once the tables are there, nothing need be made any more.
    run(format!("REVOKE CREATE ON SCHEMA {schema} FROM writer")).await.unwrap();
    let items = check(&site.place(), "a", &plan.tables, &[]).await;
    assert_eq!(names(&items, Outcome::Failed), [""; 0], "{items:?}");
    assert_eq!(names(&items, Outcome::Warning), ["target: write"], "{items:?}");
    target.open(&plan).await.unwrap();
    target.prepare(&plan, None, &at(0)).await.unwrap();
    target.write(&batch(1, vec![row(&plan.tables[0], "p", 1, "x")], vec![])).await.unwrap();

    // Read-only, and one connection too many.
    let read_only = Schema::at(&format!("{url}?options=-c%20default_transaction_read_only=on"));
    let text = assert_kind(read_only.target().open(&plan).await, TargetErrorKind::ReadOnly);
    assert!(text.contains("POSTGRES-READONLY"), "{text}");
    let items = check(&read_only.place(), "a", &[], &[]).await;
    assert_eq!(names(&items, Outcome::Warning), ["target: role"], "{items:?}");
    assert_eq!(names(&items, Outcome::Failed), ["target: write"], "{items:?}");
    run("ALTER ROLE writer CONNECTION LIMIT 0".to_owned()).await.unwrap();
    let text = assert_kind(site.target().open(&plan).await, TargetErrorKind::Transient);
    assert!(text.contains("POSTGRES-CONNECTIONS"), "{text}");
    target.close().await;
}

/// The user of another schema: `check` says what a start would stumble over, and its words help.
#[tokio::test]
async fn check_names_rights_on_tables_and_owners() {
    let cluster = Cluster::start(QUICK).await;
    let database = cluster.database().await;
    let (owner, mut admin) = (Schema::at(database.url().as_str()), database.connect().await);
    let mut run =
        async |sql: &str| sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut admin).await.map(|_| ());
    let (hard, soft) = (plan("a", issues(Deletes::Hard)), plan("a", issues(Deletes::Soft)));
    ready(&owner, &hard).await.close().await;
    let schema = crate::sql::quote(SCHEMA);
    run(&format!(
        "CREATE ROLE reader LOGIN PASSWORD 'r'; GRANT USAGE, CREATE ON SCHEMA {schema} TO reader; \
         GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader; REVOKE SELECT ON {schema}.issues FROM reader"
    ))
    .await
    .unwrap();
    let mut url = database.url().clone();
    url.set_username("reader").unwrap();
    url.set_password(Some("r")).unwrap();
    let site = Schema::at(url.as_str());
    // Runs what is said to help.
    let fix = |item: &CheckItem| {
        let fix = item.fix.clone().unwrap();
        fix.split_once("run: ").unwrap().1.to_owned()
    };
    let items = check(&site.place(), "a", &hard.tables, &[]).await;
    assert_eq!(names(&items, Outcome::Failed), ["target: rights"], "{items:?}");
    let item = items.iter().find(|item| item.name == "target: rights").unwrap();
    assert!(item.detail.contains("may not SELECT, INSERT, UPDATE, DELETE in issues"), "{item:?}");
    assert!(item.detail.contains("may not INSERT, UPDATE, DELETE in _tributary_aside, "), "{item:?}");
    run(&fix(item)).await.unwrap();

    // All can be written, and nothing changed: only what comes later needs the owner.
    let items = check(&site.place(), "a", &hard.tables, &[]).await;
    assert_eq!(names(&items, Outcome::Failed), [""; 0], "{items:?}");
    assert_eq!(names(&items, Outcome::Warning), ["target: owner"], "{items:?}");
    let mut target = ready(&site, &hard).await;
    target.write(&batch(1, vec![row(&hard.tables[0], "p", 1, "x")], vec![])).await.unwrap();

    // A table that must be made anew: that is for its owner, or for the schema's.
    let items = check(&site.place(), "a", &soft.tables, &[]).await;
    assert_eq!(names(&items, Outcome::Failed), ["target: tables"], "{items:?}");
    target.open(&soft).await.unwrap();
    let text = assert_kind(
        target.prepare(&soft, Some(RebuildReason::Reshaped), &at(2)).await,
        TargetErrorKind::ReadOnly,
    );
    assert!(text.contains("must be owner of table issues") && text.contains("OWNER TO \"reader\""), "{text}");
    run(&format!("ALTER SCHEMA {schema} OWNER TO reader")).await.unwrap();
    let items = check(&site.place(), "a", &soft.tables, &[]).await;
    assert_eq!(names(&items, Outcome::Failed), [""; 0], "{items:?}");
    assert_eq!(names(&items, Outcome::Warning), ["target: tables"], "{items:?}");

    // Nor may it be made anew without a right to make tables.
    run(&format!(
        "ALTER SCHEMA {schema} OWNER TO postgres; ALTER TABLE {schema}.issues OWNER TO reader; \
         GRANT USAGE ON SCHEMA {schema} TO reader; REVOKE CREATE ON SCHEMA {schema} FROM reader"
    ))
    .await
    .unwrap();
    let items = check(&site.place(), "a", &soft.tables, &[]).await;
    assert_eq!(names(&items, Outcome::Failed), ["target: tables"], "{items:?}");
    assert!(format!("{items:?}").contains("permission denied for schema"), "{items:?}");

    // While somebody reads the table it cannot be tried.
    run(&format!("BEGIN; LOCK {schema}.issues IN ACCESS SHARE MODE")).await.unwrap();
    let items = check(&site.place(), "a", &soft.tables, &[]).await;
    assert_eq!(names(&items, Outcome::Failed), [""; 0], "{items:?}");
    assert!(format!("{items:?}").contains("could not be tried"), "{items:?}");
    run(&format!("COMMIT; GRANT CREATE ON SCHEMA {schema} TO reader")).await.unwrap();
    target.open(&soft).await.unwrap();
    target.prepare(&soft, Some(RebuildReason::Reshaped), &at(2)).await.unwrap();
    target.close().await;

    // Whoever may not look into the schema hears of nothing else.
    run(&format!("REVOKE USAGE ON SCHEMA {schema} FROM reader")).await.unwrap();
    let items = check(&site.place(), "a", &soft.tables, &[]).await;
    assert_eq!(names(&items, Outcome::Failed), ["target: write"], "{items:?}");
    assert_eq!(names(&items, Outcome::Ok), ["target: connect"], "{items:?}");
}

/// What the engine does about an error, by the code that the server sends: a trigger sends them all.
#[tokio::test]
async fn the_server_s_codes_are_understood() {
    use TargetErrorKind as Kind;
    let (site, plan) = (Schema::new().await, plan("a", issues(Deletes::Hard)));
    let mut target = ready(&site, &plan).await;
    let write = batch(1, vec![row(&plan.tables[0], "p", 1, "x")], vec![]);
    for (code, kind) in [
        ("53100", Kind::Full),
        ("53200", Kind::Transient),
        ("53300", Kind::Transient),
        ("40001", Kind::Transient),
        ("40P01", Kind::Transient),
        ("55P03", Kind::Transient),
        ("57014", Kind::Transient),
        ("57P01", Kind::Transient),
        ("57P03", Kind::Transient),
        ("08006", Kind::Transient),
        ("58030", Kind::Transient),
        ("25P03", Kind::Transient),
        ("25006", Kind::ReadOnly),
        ("42501", Kind::ReadOnly),
        ("28000", Kind::Fatal),
        ("3D000", Kind::Fatal),
        ("40002", Kind::Transient),
        ("72000", Kind::Transient),
        ("55000", Kind::NotReady),
        ("HV000", Kind::NotReady),
        ("XX000", Kind::Transient),
        ("XX001", Kind::Fatal),
        ("XX002", Kind::Fatal),
        ("54011", Kind::Fatal),
        ("42P01", Kind::Fatal),
        ("22001", Kind::Data),
        ("23514", Kind::Data),
        ("P0001", Kind::Data),
        ("38000", Kind::Data),
        ("39P01", Kind::Data),
        ("54000", Kind::Data),
    ] {
        site.run(&format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE 'refused' USING ERRCODE = '{code}', DETAIL = 'a value'; END $$; \
             CREATE TRIGGER refuse BEFORE INSERT ON issues EXECUTE FUNCTION refuse()"
        ))
        .await;
        let text = assert_kind(target.write(&write).await, kind);
        assert!(text.contains("refused") && !text.contains("a value"), "{code}: {text}");
        site.run("DROP FUNCTION refuse CASCADE").await;
    }
    target.write(&write).await.unwrap();
}

#[tokio::test]
async fn a_newer_version_and_what_depends_on_a_table_need_a_person() {
    let (site, hard) = (Schema::new().await, plan("a", issues(Deletes::Hard)));
    let mut target = ready(&site, &hard).await;
    site.run("CREATE VIEW mine AS SELECT code FROM issues").await;
    let soft = plan("a", issues(Deletes::Soft));
    let tables = async || {
        let items = check(&site.place(), "a", &soft.tables, &[]).await;
        items.into_iter().find(|item| item.name == "target: tables").unwrap()
    };
    let item = tables().await;
    assert!(item.outcome == Outcome::Failed && item.detail.contains("mine depends on table"), "{item:?}");
    target.open(&soft).await.unwrap();
    let rebuilt = target.prepare(&soft, Some(RebuildReason::Reshaped), &at(1)).await;
    let text = assert_kind(rebuilt, TargetErrorKind::Shape);
    assert!(text.contains("mine"), "{text}");
    site.run("DROP VIEW mine").await;
    let item = tables().await;
    assert!(item.outcome == Outcome::Warning && item.detail.contains("anew"), "{item:?}");
    target.prepare(&soft, Some(RebuildReason::Reshaped), &at(1)).await.unwrap();
    site.run("UPDATE _tributary_format SET version = 1000").await;
    let text = assert_kind(site.target().open(&soft).await, TargetErrorKind::Fatal);
    assert!(text.contains("version 1000"), "{text}");
    let item = tables().await;
    assert!(item.outcome == Outcome::Failed && item.detail.contains("version 1000"), "{item:?}");
}

#[tokio::test]
async fn keys_are_looked_up_and_never_searched_for() {
    for deletes in [Deletes::Hard, Deletes::Soft] {
        let (site, plan) = (Schema::new().await, plan("a", issues(deletes)));
        let mut target = ready(&site, &plan).await;
        let rows = (0..5_000).map(|code| row(&plan.tables[0], "p", code, "x")).collect();
        target.write(&batch(1, rows, vec![])).await.unwrap();
        site.run("ANALYZE issues").await;
        let mut other = site.other().await;
        // As planned without a look at the values, which is what happens from the sixth time on.
        sqlx::raw_sql("SET plan_cache_mode = force_generic_plan").execute(&mut other).await.unwrap();
        let statement = Statements::of(&site.place(), &plan.tables[0], &[]).delete;
        let prepare = format!("PREPARE gone AS {statement}");
        sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut other).await.unwrap();
        let now = if deletes == Deletes::Soft { ", now()" } else { "" };
        let explain = format!("EXPLAIN EXECUTE gone (array['acme'], array['p'], array[7]{now})");
        let steps = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut other).await.unwrap();
        let steps: Vec<String> = steps.iter().map(|row| row.get_unchecked(0)).collect();
        assert!(steps.iter().any(|step| step.contains("Index Scan using issues_pkey")), "{steps:?}");
        assert!(steps.iter().all(|step| !step.contains("Seq Scan")), "{steps:?}");
    }
}

#[tokio::test]
async fn a_unix_socket_will_do() {
    let cluster = Cluster::start(QUICK).await;
    let url = cluster.url();
    let tcp = Schema::at(url.as_str());
    let folder = tcp.dump("SHOW unix_socket_directories").await.remove(0);
    let (port, password) = (url.port().unwrap(), url.password().unwrap());
    let site = Schema::at(&format!(
        "postgres:///postgres?host={folder}&port={port}&user=postgres&password={password}"
    ));
    let plan = plan("a", issues(Deletes::Hard));
    let mut target = ready(&site, &plan).await;
    let mut rows = vec![row(&plan.tables[0], "p", 1, "x")];
    rows[0][3] = Cell::Null;
    target.write(&batch(1, rows, vec![])).await.unwrap();
    assert_eq!(names(&check(&site.place(), "a", &[], &[]).await, Outcome::Failed), [""; 0]);
}
