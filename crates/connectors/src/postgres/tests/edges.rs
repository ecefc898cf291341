//! What others put in tributary's way: functions, triggers and tables of theirs, databases that cannot hold the rows,
//! settings, and poolers between it and the server.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use engine::target::{Inspect as _, Target, TargetErrorKind};
use sqlx::{AssertSqlSafe, PgConnection};
use test_postgres::{Cluster, QUICK};
use url::Url;

use super::super::config::check;
use super::place::names;
use super::{SCHEMA, Schema};
use crate::check::Outcome;
use crate::contract::{Deletes, Site, assert_kind, at, batch, issues, key, owned, plan, ready, row};

/// The database of `url` for another user.
fn as_user(url: &Url, user: &str) -> Schema {
    let mut url = url.clone();
    url.set_username(user).unwrap();
    url.set_password(Some("secret")).unwrap();
    Schema::at(url.as_str())
}

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

/// They fit the calls better than PostgreSQL's own, and would be called wherever the schema is in the search path.
#[tokio::test]
async fn functions_of_others_are_not_called() {
    let (site, plan) = (Schema::new().await, plan("a", issues(Deletes::Soft)));
    site.run(
        "CREATE TABLE called (what text); \
         CREATE FUNCTION array_position(smallint[], smallint) RETURNS int LANGUAGE plpgsql AS \
         $$ BEGIN INSERT INTO \"Coding \"\"x\"\"\".called VALUES ('array_position'); RETURN 1; END $$; \
         CREATE FUNCTION hashtext(varchar) RETURNS int LANGUAGE sql AS 'SELECT 1/0'; \
         CREATE FUNCTION alike(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT 1/0 = 1'; \
         CREATE OPERATOR = (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = alike)",
    )
    .await;
    let mut target = ready(&site, &plan).await;
    target.own(&[owned(1, "p")]).await.unwrap();
    let rows = (0..250).map(|code| row(&plan.tables[0], "p", code, "x")).collect();
    target.write(&batch(1, rows, vec![key("p", 7)])).await.unwrap();
    target.look(&plan).await.unwrap();
    target.open(&plan).await.unwrap();
    target.close().await;
    let items = check(&site.place(), "a", &plan.tables, &[owned(1, "p")]).await;
    assert_eq!(names(&items, Outcome::Failed), [""; 0], "{items:?}");
    assert_eq!(site.dump("SELECT count(*) FROM called").await, ["0"]);
}

#[tokio::test]
async fn tables_and_triggers_of_others_are_refused() {
    let cluster = Cluster::start(QUICK).await;
    let database = cluster.database().await;
    let (mut admin, plan) = (database.connect().await, plan("a", issues(Deletes::Hard)));
    let schema = crate::sql::quote(SCHEMA);
    run(
        &mut admin,
        &format!(
            "CREATE ROLE mallory; CREATE SCHEMA {schema}; GRANT USAGE, CREATE ON SCHEMA {schema} TO mallory; \
             CREATE ROLE writer LOGIN PASSWORD 'secret'; GRANT USAGE, CREATE ON SCHEMA {schema} TO writer; \
             SET ROLE mallory; SET search_path = {schema}; CREATE TABLE ran (by text); GRANT ALL ON ran TO PUBLIC; \
             CREATE FUNCTION evil() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN INSERT INTO {schema}.ran VALUES (current_user); RETURN NEW; END $$; \
             CREATE TABLE _tributary_tasks (task text PRIMARY KEY, epoch bigint NOT NULL, writes bigint DEFAULT 0, \
             generation text, sequence bigint, fingerprint text, rebuilding boolean DEFAULT false, \
             updated_at timestamptz NOT NULL); GRANT ALL ON _tributary_tasks TO PUBLIC; \
             CREATE TRIGGER evil BEFORE INSERT ON _tributary_tasks FOR EACH ROW EXECUTE FUNCTION evil(); RESET ROLE"
        ),
    )
    .await;
    // Neither a superuser, who counts as a member of every role, nor another user runs it.
    let sites = [Schema::at(database.url().as_str()), as_user(database.url(), "writer")];
    for site in &sites {
        let text = assert_kind(site.target().open(&plan).await, TargetErrorKind::Shape);
        assert!(
            text.contains("POSTGRES-OWNER") && text.contains("`_tributary_tasks` belongs to `mallory`"),
            "{text}"
        );
        assert_kind(site.target().look(&plan).await, TargetErrorKind::Shape);
        assert_kind(site.target().mend(&plan).await, TargetErrorKind::Shape);
        let items = check(&site.place(), "a", &plan.tables, &[]).await;
        assert_eq!(names(&items, Outcome::Failed), ["target: owner"], "{items:?}");
    }
    run(&mut admin, "DROP TABLE _tributary_tasks").await;
    let target = ready(&sites[1], &plan).await;
    target.close().await;

    // A right that is easily given along with others.
    run(
        &mut admin,
        "GRANT ALL ON ALL TABLES IN SCHEMA \"Coding \"\"x\"\"\" TO mallory; SET ROLE mallory; \
         CREATE TRIGGER evil BEFORE INSERT ON issues FOR EACH ROW EXECUTE FUNCTION evil(); RESET ROLE",
    )
    .await;
    let text = assert_kind(sites[1].target().open(&plan).await, TargetErrorKind::Shape);
    assert!(text.contains("trigger `evil` on table `issues` runs a function of `mallory`"), "{text}");
    let items = check(&sites[1].place(), "a", &plan.tables, &[]).await;
    assert_eq!(names(&items, Outcome::Failed), ["target: owner"], "{items:?}");
    let fix = items.iter().find_map(|item| item.fix.clone()).unwrap();
    run(&mut admin, fix.split_once("run: ").unwrap().1).await;
    let mut target = ready(&sites[1], &plan).await;
    target.write(&batch(1, vec![row(&plan.tables[0], "p", 1, "x")], vec![])).await.unwrap();
    target.close().await;
    // A role that the user was made a member of is trusted.
    run(&mut admin, "ALTER TABLE issues OWNER TO mallory; GRANT mallory TO writer").await;
    sites[1].target().open(&plan).await.unwrap();
    assert_eq!(sites[0].dump("SELECT by FROM ran").await, [""; 0]);
}

#[tokio::test]
async fn a_database_that_lacks_characters_is_refused_at_every_open() {
    let cluster = Cluster::start(QUICK).await;
    let (site, plan) = (Schema::at(cluster.url().as_str()), plan("a", issues(Deletes::Hard)));
    for encoding in ["LATIN1", "SQL_ASCII"] {
        site.run(&format!(
            "CREATE DATABASE {encoding} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        ))
        .await;
        let mut url = cluster.url().clone();
        url.set_path(&encoding.to_lowercase());
        let site = Schema::at(url.as_str());
        let text = assert_kind(site.target().open(&plan).await, TargetErrorKind::Fatal);
        assert!(text.contains("POSTGRES-ENCODING") && text.contains("ENCODING 'UTF8'"), "{text}");
        let items = check(&site.place(), "a", &plan.tables, &[]).await;
        assert_eq!(names(&items, Outcome::Failed), ["target: encoding"], "{items:?}");
        assert_eq!(site.dump("SELECT count(*) FROM pg_tables WHERE tablename LIKE '\\_trib%'").await, ["0"]);
    }
}

#[tokio::test]
async fn rights_on_tables_are_asked_for_at_every_open() {
    let cluster = Cluster::start(QUICK).await;
    let database = cluster.database().await;
    let (owner, mut admin) = (Schema::at(database.url().as_str()), database.connect().await);
    let plan = plan("a", issues(Deletes::Hard));
    ready(&owner, &plan).await.close().await;
    let schema = crate::sql::quote(SCHEMA);
    run(
        &mut admin,
        &format!(
            "CREATE ROLE writer LOGIN PASSWORD 'secret'; GRANT USAGE ON SCHEMA {schema} TO writer; \
             GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA {schema} TO writer"
        ),
    )
    .await;
    let site = as_user(database.url(), "writer");
    // The bookkeeping, then the table, with what helps.
    for table in ["_tributary_tasks", "issues"] {
        let text = assert_kind(site.target().open(&plan).await, TargetErrorKind::ReadOnly);
        assert!(text.contains(&format!("{schema}.\"{table}\"")), "{text}");
        let fix = text.split_once("run: GRANT DELETE ON ").unwrap().1.split_once(';').unwrap().0;
        run(&mut admin, &format!("GRANT DELETE ON {}", fix.replace(", \"Coding \"\"x\"\"\".\"issues\"", "")))
            .await;
    }
    site.target().open(&plan).await.unwrap();
}

#[tokio::test]
async fn types_are_compared_by_what_they_are() {
    let (site, plan) = (Schema::new().await, plan("a", issues(Deletes::Soft)));
    let quoting = Schema::at(&format!("{}?options=-c%20quote_all_identifiers=on", site.url));
    let other = ready(&quoting, &plan).await;
    other.close().await;
    let mut target = ready(&quoting, &plan).await;
    target.write(&batch(1, vec![row(&plan.tables[0], "p", 1, "x")], vec![])).await.unwrap();
    assert!(target.look(&plan).await.unwrap().tables[0].differs.is_empty());
    target.close().await;
    let items = check(&quoting.place(), "a", &plan.tables, &[]).await;
    assert_eq!(names(&items, Outcome::Failed), [""; 0], "{items:?}");
    // Another type of the same name, and the same type cut short, are others.
    let name = &plan.tables[0].columns[3].name;
    for kind in [r#""Coding ""x"""."text""#, "varchar(300)"] {
        site.run(&format!(
            r#"DROP DOMAIN IF EXISTS "Coding ""x"""."text" CASCADE; CREATE DOMAIN "Coding ""x"""."text" AS varchar(400);
               ALTER TABLE issues DROP COLUMN IF EXISTS "{name}"; ALTER TABLE issues ADD COLUMN "{name}" {kind}"#
        ))
        .await;
        let text = assert_kind(site.target().open(&plan).await, TargetErrorKind::Shape);
        assert!(text.contains("instead of text"), "{text}");
    }
}

/// A pooler that runs until it is dropped.
struct Pooler(Child);

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// PgBouncer in front of the server of `url`, at a socket in `folder`. `None` where it is not installed.
fn pooler(folder: &Path, url: &Url, mode: &str) -> Option<Pooler> {
    let programs = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"];
    let Some(program) = programs.into_iter().find(|program| Path::new(program).is_file()) else {
        let _ =
            writeln!(std::io::stderr(), "skipped: there is no pgbouncer (Debian: apt-get install pgbouncer)");
        return None;
    };
    let settings = format!(
        "[databases]\n* = host={} port={} user={} password={}\n\
         [pgbouncer]\nlisten_addr =\nunix_socket_dir = {}\nlisten_port = 6432\nauth_type = any\npool_mode = {mode}\n\
         default_pool_size = 2\n",
        url.host_str().unwrap(),
        url.port().unwrap(),
        url.username(),
        url.password().unwrap(),
        folder.display()
    );
    let file = folder.join("pgbouncer.ini");
    std::fs::write(&file, settings).unwrap();
    let mut command = Command::new(program);
    command.arg("-q").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        // It does not run as root.
        std::fs::set_permissions(folder, Permissions::from_mode(0o777)).unwrap();
        command.args(["-u", "nobody"]);
    }
    let pooler = Pooler(command.spawn().unwrap());
    let deadline = Instant::now() + Duration::from_secs(60);
    while UnixStream::connect(folder.join(".s.PGSQL.6432")).is_err() {
        assert!(Instant::now() < deadline, "pgbouncer does not start");
        std::thread::yield_now();
    }
    Some(pooler)
}

/// Each of its transactions may have another session, and each session has had other users.
#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_may_stand_between() {
    let (direct, folder) = (Schema::new().await, tempfile::tempdir().unwrap());
    let url = Url::parse(&direct.url).unwrap();
    let Some(_pooler) = pooler(folder.path(), &url, "transaction") else { return };
    let site =
        || Schema::at(&format!("postgres://x@{}?host={}&port=6432", url.path(), folder.path().display()));
    let plans = ["a", "b", "c"].map(|task| plan(task, issues(Deletes::Hard)));
    let mut targets = Vec::new();
    for (id, plan) in (1..).zip(&plans) {
        let items = check(&site().place(), &plan.task, &plan.tables, &[]).await;
        assert_eq!(names(&items, Outcome::Failed), [""; 0], "{items:?}");
        assert_eq!(names(&items, Outcome::Warning), [""; 0], "{items:?}");
        let mut target = ready(&site(), plan).await;
        target.own(&[owned(id, &plan.task)]).await.unwrap();
        targets.push(target);
    }
    // All at once through two sessions.
    let writers = targets.into_iter().zip(plans).map(|(mut target, plan)| {
        tokio::spawn(async move {
            for sequence in 1..=20 {
                let codes = sequence * 10..sequence * 10 + if sequence % 5 == 0 { 210 } else { 3 };
                let rows = codes.map(|code| row(&plan.tables[0], &plan.task, code, "x")).collect();
                let mut batch = batch(sequence, rows, vec![key(&plan.task, sequence)]);
                batch.tables[0].new = sequence == 5;
                target.write(&batch).await.unwrap();
            }
            assert_eq!(target.look(&plan).await.unwrap().position, Some(at(20)));
            target.close().await;
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let rows = direct
        .dump("SELECT project_name, count(*), min(code), max(code) FROM issues GROUP BY 1 ORDER BY 1")
        .await;
    let expected =
        ["a", "b", "c"].map(|task| format!("{task}|{}|21|409", rows[0].split('|').nth(1).unwrap()));
    assert_eq!(rows, expected);
}

/// It lets nobody have a transaction.
#[tokio::test]
async fn a_pooler_of_single_statements_is_refused() {
    let (direct, folder) = (Schema::new().await, tempfile::tempdir().unwrap());
    let url = Url::parse(&direct.url).unwrap();
    let Some(_pooler) = pooler(folder.path(), &url, "statement") else { return };
    let site = Schema::at(&format!("postgres://x@{}?host={}&port=6432", url.path(), folder.path().display()));
    let plan = plan("a", issues(Deletes::Hard));
    let text = assert_kind(site.target().open(&plan).await, TargetErrorKind::Fatal);
    assert!(text.contains("POSTGRES-POOLER") && text.contains("transaction"), "{text}");
    let items = check(&site.place(), "a", &plan.tables, &[]).await;
    assert_eq!(names(&items, Outcome::Failed), ["target: connect"], "{items:?}");
}
