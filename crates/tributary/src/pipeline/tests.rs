//! Golden tests: the very sentences that a user reads.

mod fuzzing;
#[path = "../../../../fuzz/replay.rs"]
mod replay;

use std::path::{Path, PathBuf};
use std::time::Duration;

use connectors::coding::config::{Details, Projects};

use super::config::{Deletes, Naming, TableName};
use super::{Pipeline, TargetSettings, load, read};

const GOOD: &str = r#"
source:
  team: acme
  projects: [mobile-app]
  auth: { token: "${CODING_TOKEN}" }
target:
  sqlite: { path: coding.db }
"#;

fn variable(name: &str) -> Option<String> {
    match name {
        "CODING_TOKEN" => Some("0123secret".to_owned()),
        "OTHER_TOKEN" => Some("4567secret".to_owned()),
        "RATE" => Some("7".to_owned()),
        "WORD" => Some("seven".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn good(text: &str) -> Pipeline {
    read(Path::new("conf/mobile.yaml"), text, &variable).expect("the file is good")
}

fn wrong(text: &str) -> Vec<String> {
    let findings = read(Path::new("conf/mobile.yaml"), text, &variable).expect_err("the file is wrong");
    findings.into_iter().map(|f| format!("{}: {}", f.path, f.problem)).collect()
}

/// The good file with one block replaced or added: `source: {…}` and so on.
fn with(source: &str, rest: &str) -> String {
    format!(
        "source:\n  team: acme\n  projects: [a]\n  auth: {{ token: x }}\n{source}target: {{ sqlite: {{ path: c.db }} }}\n{rest}"
    )
}

#[test]
fn exclude_leaves_projects_out_of_all_of_them() {
    let text = |projects: &str, exclude: &str| {
        format!(
            "source: {{ team: acme, projects: {projects}, exclude: {exclude}, auth: {{ token: t }} }}\n\
             target: {{ sqlite: {{ path: c.db }} }}\n"
        )
    };
    let parse = |text: &str| read(Path::new("p.yaml"), text, &|_| None);
    let pipeline = parse(&text("[\"*\"]", "[old, sandbox]")).unwrap();
    assert_eq!(pipeline.source.projects, Projects::AllBut(vec!["old".to_owned(), "sandbox".to_owned()]));
    assert_eq!(parse(&text("[\"*\"]", "[]")).unwrap().source.projects, Projects::All);
    let wrong = |projects: &str, exclude: &str| {
        let found = parse(&text(projects, exclude)).unwrap_err();
        found.into_iter().map(|finding| (finding.path, finding.problem.code)).collect::<Vec<_>>()
    };
    let one = |path: &str, code: &str| vec![(path.to_owned(), code.to_owned())];
    assert_eq!(wrong("[app]", "[old]"), one("source.exclude", "CONFIG-CONTRADICTION"));
    assert_eq!(wrong("[\"*\"]", "[\"a*\"]"), one("source.exclude[0]", "CONFIG-VALUE"));
    assert_eq!(wrong("[\"*\"]", "[a, a]"), one("source.exclude[1]", "CONFIG-CONTRADICTION"));
}

#[test]
fn what_is_not_said_has_the_documented_default() {
    let pipeline = good(GOOD);
    assert_eq!(pipeline.name, "mobile");
    assert_eq!(pipeline.state, PathBuf::from("conf/coding.state"));
    assert_eq!(pipeline.retention, Duration::from_hours(7 * 24));
    let source = &pipeline.source;
    assert_eq!(source.base_url.as_str(), "https://acme.coding.net");
    assert_eq!(source.team, "acme");
    assert_eq!(source.projects, Projects::Named(vec!["mobile-app".to_owned()]));
    assert_eq!(source.poll_interval, Duration::from_secs(60));
    assert_eq!(source.census_interval, Duration::from_secs(15 * 60));
    assert_eq!(source.look_back, Duration::from_secs(24 * 60 * 60));
    assert_eq!(source.details, Details::Background);
    assert_eq!(source.rate_limit, Some(25));
    assert_eq!(pipeline.task.tables, [TableName::Issues, TableName::Iterations, TableName::ProjectMembers]);
    assert_eq!(pipeline.task.issue_types, None);
    assert_eq!(pipeline.task.iterations, None);
    assert_eq!((pipeline.task.naming, pipeline.task.deletes), (Naming::SnakeCase, Deletes::Hard));
    let TargetSettings::Sqlite(sqlite) = &pipeline.target else { panic!("{:?}", pipeline.target) };
    assert_eq!(sqlite.path(), Path::new("conf/coding.db"));
}

#[test]
fn what_is_said_counts() {
    let pipeline = good(
        r#"
name: everything
source:
  team: Acme
  base_url: http://127.0.0.1:7070/open-api
  projects: ["*"]
  auth: { oauth: { client_id: a, client_secret: b, refresh_token: c, access_token: d } }
  incremental: polling
  polling: { interval: 1s, census_interval: 1h30m, look_back: 5 minutes }
  details: off
  rate_limit: "${RATE}"
  ca_file: ca.pem
  proxy: http://user:pass@proxy.example.com:3128
task:
  tables: [Issues]
  issue_types: [DEFECT, 12, Spike]
  iterations: [3, 1]
  mode: document
  naming: original
  deletes: soft
target:
  sqlite: { path: /data/c.db }
state: /data/state
retention: 2m
"#,
    );
    assert_eq!(pipeline.name, "everything");
    let source = &pipeline.source;
    assert_eq!((source.team.as_str(), source.base_url.as_str()), ("acme", "http://127.0.0.1:7070"));
    assert_eq!(source.projects, Projects::All);
    assert_eq!(source.census_interval, Duration::from_secs(5_400));
    assert_eq!(source.look_back, Duration::from_secs(300));
    assert_eq!(source.details, Details::Off);
    assert_eq!(source.rate_limit, Some(7));
    assert_eq!(source.ca_file, Some(PathBuf::from("conf/ca.pem")));
    assert_eq!(pipeline.task.issue_types, Some(["DEFECT", "12", "Spike"].map(str::to_owned).to_vec()));
    assert_eq!(pipeline.task.iterations, Some([1, 3].into()));
    assert_eq!(pipeline.state, PathBuf::from("/data/state"));
    assert_eq!(pipeline.retention, Duration::from_secs(120));
}

#[test]
fn secrets_are_never_shown() {
    let shown = format!("{:?}", good(GOOD));
    assert!(!shown.contains("secret"), "{shown}");
    for problem in wrong("source:\n  auth: { token: [\"${CODING_TOKEN}\"] }\n  team: \"${CODING_TOKEN}!\"\n")
    {
        assert!(!problem.contains("0123secret") || problem.starts_with("source.team"), "{problem}");
    }
}

#[test]
fn rate_limit_zero_lifts_the_limit() {
    assert_eq!(good(&with("  rate_limit: 0\n", "")).source.rate_limit, None);
}

#[test]
fn an_address_of_coding_net_names_its_team_and_others_do_not() {
    let source = |text: &str| with("", "").replace("team: acme", text);
    assert_eq!(good(&source("base_url: https://Acme.coding.net/open-api/")).source.team, "acme");
    assert_eq!(
        wrong(&source("base_url: https://e.coding.net")),
        [
            "source.team: There is no team: this address does not name it, and it is part of the key of every row. \
          Add `team: NAME` beside `base_url`. [CONFIG-MISSING]"
        ]
    );
    assert_eq!(
        wrong(&source("base_url: https://acme.coding.net\n  team: other")),
        [
            "source.team: `team` and `base_url` name two teams, `other` and `acme`: an address of coding.net belongs \
          to the team in its name. Leave one of the two out. [CONFIG-CONTRADICTION]"
        ]
    );
    assert_eq!(
        wrong(&source("details: eager")),
        ["source.team: There is no team: neither `team` nor `base_url` is given. Write `team: acme` for \
          https://acme.coding.net. [CONFIG-MISSING]"]
    );
}

#[test]
fn all_problems_come_at_once_each_with_its_place_and_remedy() {
    let problems = wrong(
        r#"
source:
  teem: acme
  projects: mobile-app
  auth: { token: "${NOPE}", tokn: x }
  incremental: hybrid
  polling: { intervall: 5s, census_interval: 10, look_back: 24 hours and a bit }
  details: eagr
  rate_limit: -1
task:
  tables: [Isues, Iterations]
  iterations: [one]
  mode: flat
  deletes: 5
target:
  mysql: { url: x }
status: x
"#,
    );
    assert_eq!(
        problems,
        [
            "source.auth.token: The variable NOPE is not set: its value belongs here. Set it before the start, for \
             example `export NOPE=…`. [CONFIG-VARIABLE]",
            "source.auth.tokn: The key `tokn` is unknown: `source.auth` has no such key. Did you mean `token`? \
             [CONFIG-KEY]",
            "source.details: `eagr` cannot stand here: it is not one of `background`, `eager` and `off`. Did you \
             mean `eager`? [CONFIG-VALUE]",
            "source.polling.census_interval: This is a number: a text is expected. Put it in quotes. [CONFIG-TYPE]",
            "source.polling.intervall: The key `intervall` is unknown: `source.polling` has no such key. Did you \
             mean `interval`? [CONFIG-KEY]",
            "source.polling.look_back: `24 hours and a bit` is no time: a time is a number with its unit: s, m, \
             h or d. Write a time such as `60s`, `15m` or `1h30m`. [CONFIG-VALUE]",
            "source.projects: This is a text: a list is expected. Put it in brackets: `[…]`. [CONFIG-TYPE]",
            "source.rate_limit: -1 is too small: 0 is the least. Write a number from 0 up. [CONFIG-VALUE]",
            "source.teem: The key `teem` is unknown: `source` has no such key. Did you mean `team`? [CONFIG-KEY]",
            "source.webhook.public_url: There is no public address: CODING sends its deliveries to a URL, and only you \
             know under which one this machine is reached. Add `webhook: { public_url: \"https://hooks.example.com\" \
             }`. [CONFIG-MISSING]",
            "status: The key `status` is unknown: a pipeline has no such key. Did you mean `state`? [CONFIG-KEY]",
            "target.mysql: The key `mysql` is unknown: `target` has no such key. Take it out, or write \
             `sqlite` or `postgres`. [CONFIG-KEY]",
            "task.deletes: This is a number: a text is expected. Put it in quotes. [CONFIG-TYPE]",
            "task.iterations[0]: This is a text: a whole number is expected. Change the value. [CONFIG-TYPE]",
            "task.tables[0]: `Isues` cannot stand here: it is not one of `Issues`, `Iterations`, \
             `ProjectMembers` and `Events`. Did you mean `Issues`? [CONFIG-VALUE]",
        ]
    );
}

#[test]
fn a_retention_is_a_time() {
    for (text, why) in [
        ("7", "This is a number: a text is expected. Put it in quotes. [CONFIG-TYPE]"),
        (
            "seven",
            "`seven` is no time: a time is a number with its unit: s, m, h or d. Write a time such as `60s`, `15m` or \
             `1h30m`. [CONFIG-VALUE]",
        ),
        (
            "0s",
            "`0s` is too short: one second is the least. Write a time such as `60s`, `15m` or `1h30m`. [CONFIG-VALUE]",
        ),
    ] {
        assert_eq!(wrong(&with("", &format!("retention: {text}\n"))), [format!("retention: {why}")]);
    }
}

#[test]
fn an_almost_empty_file_is_told_what_it_needs() {
    assert_eq!(
        wrong("name: x\n"),
        [
            "source: There is no source: the block `source` is missing. Add it: `team`, `projects` and `auth` are \
             enough. [CONFIG-MISSING]",
            "target: There is no target: the block `target` is missing. Add it, for example `target: { sqlite: { \
             path: coding.db } }`. [CONFIG-MISSING]",
        ]
    );
}

#[test]
fn a_credential_is_one_of_three() {
    let auth = |text: &str| with("", "").replace("auth: { token: x }", text);
    assert_eq!(
        wrong(&auth("auth: { token: x, project_token: { user: a, password: b } }")),
        [
            "source.auth: `token` and `project_token` stand side by side: only one of them can be meant. Keep one. \
          [CONFIG-CONTRADICTION]"
        ]
    );
    assert_eq!(
        wrong(&auth("auth: { project_token: { user: a, pasword: b } }")),
        [
            "source.auth.project_token.pasword: The key `pasword` is unknown: `source.auth.project_token` has no such \
          key. Did you mean `password`? [CONFIG-KEY]"
        ]
    );
    assert_eq!(
        wrong(&auth("auth: { project_token: { user: a } }")),
        [
            "source.auth.project_token.password: `password` is missing: `source.auth.project_token` needs it. Add it. \
          [CONFIG-MISSING]"
        ]
    );
    assert_eq!(
        wrong(&auth("auth: \"${CODING_TOKEN}\"")),
        [
            "source.auth: This is a text: the key `token`, `project_token` or `oauth` is expected. Write `token`, \
          `project_token` or `oauth` and its value below. [CONFIG-TYPE]"
        ]
    );
    assert_eq!(
        wrong(&auth("auth: {}")),
        [
            "source.auth: Nothing is chosen: `token`, `project_token` or `oauth` is expected. Add one of them. \
          [CONFIG-MISSING]"
        ]
    );
    assert_eq!(
        wrong(&auth("auth: { token: \"${EMPTY}\" }")),
        [
            "source.auth.token: The credential is empty: an empty text stands here, perhaps from an empty environment \
          variable. Set the variable, or write the value. [CONFIG-VALUE]"
        ]
    );
    assert_eq!(
        wrong(&auth("auth:")),
        [
            "source.auth: This is nothing: the key `token`, `project_token` or `oauth` is expected. Write `token`, \
          `project_token` or `oauth` and its value below. [CONFIG-TYPE]"
        ]
    );
}

#[test]
fn contradictions_are_found() {
    assert_eq!(
        wrong(&with("", "task: { tables: [ProjectMembers], issue_types: [DEFECT], iterations: [1] }\n")),
        [
            "task.issue_types: Issue types are chosen, but not the table Issues: the choice would have no effect. \
             Add `Issues` to `tables`, or take `issue_types` out. [CONFIG-CONTRADICTION]",
            "task.iterations: Iterations are chosen, but neither the table Issues nor the table Iterations: the \
             choice would have no effect. Add one of them to `tables`, or take `iterations` out. \
             [CONFIG-CONTRADICTION]",
        ]
    );
    assert_eq!(
        wrong(&with("", "task: { issue_types: [ALL, DEFECT] }\n").replace("[a]", "[\"*\", a]")),
        [
            "source.projects: `*` stands beside other projects: it already means all that the credential sees. \
             Write `[\"*\"]` alone, or name the projects without it. [CONFIG-CONTRADICTION]",
            "task.issue_types: `ALL` stands beside other types: it already means every type. Write `[ALL]` alone, \
             or name the types without it. [CONFIG-CONTRADICTION]",
        ]
    );
    for (state, database) in
        [(".", "./c.db"), (".", "c.db"), ("sub/../sub", "sub/c.db"), ("./s", "other/../s/c.db")]
    {
        assert_eq!(
            wrong(&with("", &format!("state: {state}\n")).replace("c.db", database)),
            [
                "target.sqlite.path: The database lies in the state directory: that directory belongs to tributary \
                 alone. Give the database a place outside of `state`. [CONFIG-CONTRADICTION]"
            ],
            "{state} {database}"
        );
    }
}

#[test]
fn events_are_kept_where_hooks_are_received() {
    let rest = "task: { tables: [Issues, Events] }\n";
    assert_eq!(
        wrong(&with("", rest)),
        [
            "task.tables[1]: The table Events is chosen, but no hooks: its rows are the deliveries of CODING's Service \
             Hook, and `incremental: polling` receives none. Write `incremental: hybrid` below `source`, or take \
             `Events` out. [CONFIG-CONTRADICTION]"
        ]
    );
    let hooks = "  incremental: hybrid\n  webhook: { public_url: https://hooks.example.com, secret: 0123456789abcdef }\n";
    let pipeline = good(&with(hooks, rest));
    assert_eq!(pipeline.task.tables, [TableName::Issues, TableName::Events]);
    assert_eq!(pipeline.source.poll_interval, Duration::from_secs(600));
    assert!(pipeline.source.webhook.is_some());
    assert!(!format!("{pipeline:?}").contains("0123456789abcdef"));
    assert_eq!(
        wrong(&with(
            "  incremental: webhook\n  webhook: { public_ur: https://hooks.example.com, keep: 7 }\n",
            ""
        )),
        [
            "source.webhook.keep: This is a number: a text is expected. Put it in quotes. [CONFIG-TYPE]",
            "source.webhook.public_ur: The key `public_ur` is unknown: `source.webhook` has no such key. Did you mean \
             `public_url`? [CONFIG-KEY]",
        ]
    );
    assert_eq!(
        wrong(&with(
            "  incremental: webhook\n  webhook: { public_url: https://hooks.example.com, basic: { user: a } }\n",
            ""
        )),
        ["source.webhook.basic.password: `password` is missing: `source.webhook.basic` needs it. Add it. \
             [CONFIG-MISSING]"]
    );
}

#[test]
fn times_are_one_second_or_more() {
    let interval = |text: &str| with(&format!("  polling: {{ interval: {text} }}\n"), "");
    assert_eq!(good(&interval("1s")).source.poll_interval, Duration::from_secs(1));
    assert_eq!(
        wrong(&interval("500ms")),
        [
            "source.polling.interval: `500ms` is too short: one second is the least. Write a time such as `60s`, \
          `15m` or `1h30m`. [CONFIG-VALUE]"
        ]
    );
    assert_eq!(
        wrong(&interval("-5s")),
        [
            "source.polling.interval: `-5s` is too short: one second is the least. Write a time such as `60s`, `15m` \
          or `1h30m`. [CONFIG-VALUE]"
        ]
    );
}

#[test]
fn addresses_that_would_leak_or_reach_inside_are_refused() {
    let url = |text: &str| with(&format!("  base_url: {text}\n"), "");
    assert!(
        wrong(&url("http://coding.example.com"))[0]
            .starts_with("source.base_url: The address is not usable: ")
    );
    assert!(wrong(&url("https://10.0.0.1"))[0].contains("allow_insecure: true"));
    assert_eq!(
        good(&url("http://10.0.0.1\n  allow_insecure: true")).source.base_url.as_str(),
        "http://10.0.0.1"
    );
}

#[test]
fn a_variable_may_hold_a_number_but_no_word_for_one() {
    assert_eq!(
        wrong(&with("  rate_limit: \"${WORD}\"\n", "")),
        ["source.rate_limit: This is a text: a whole number is expected. Change the value. [CONFIG-TYPE]"]
    );
}

#[test]
fn files_that_share_a_state_share_the_source() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let a = file("a.yaml", GOOD);
    // The same source in other words.
    let b = file(
        "b.yaml",
        &GOOD.replace("team: acme", "base_url: https://acme.coding.net").replace("coding.db", "b.db"),
    );
    let c = file("c.yaml", &GOOD.replace("CODING_TOKEN", "OTHER_TOKEN").replace("mobile-app", "backend"));
    let d = file("d.yaml", &format!("name: a\nstate: ./x/../coding.state\n{GOOD}"));
    assert_eq!(load(&[a.clone(), b], &variable).expect("they fit together").len(), 2);
    let e = file("e.yaml", &format!("retention: 1h\n{GOOD}"));
    let other = load(&[a.clone(), e.clone()], &variable).unwrap_err();
    assert_eq!(
        other.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [format!(
            "{}: retention: Two retentions for one state directory: {} has the same `state` and another `retention`. \
             Write the same in both, or give one of them another `state`. [CONFIG-CONTRADICTION]",
            e.display(),
            a.display()
        )]
    );
    let wrong: Vec<String> = load(&[a.clone(), c.clone(), d.clone()], &variable)
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        wrong,
        [
            format!(
                "{}: state: One state directory for two sources: {} has the same `state`, but its `source` differs \
                 in `projects` and `auth`. Make the sources equal, or give one of them another `state`. \
                 [CONFIG-CONTRADICTION]",
                c.display(),
                a.display()
            ),
            format!(
                "{}: name: Two tasks are called `a`: {} has this name too, and a task is known by its name. Give \
                 one of them another `name`. [CONFIG-CONTRADICTION]",
                d.display(),
                a.display()
            ),
        ]
    );
}

#[test]
fn a_file_that_is_not_there_is_one_problem_among_others() {
    let dir = tempfile::tempdir().unwrap();
    let gone = dir.path().join("gone.yaml");
    let findings = load(&[gone], &variable).unwrap_err();
    assert_eq!(findings[0].finding.problem.what, "The file cannot be read");
    assert_eq!(findings[0].finding.problem.fix, "Check the path.");
}

#[test]
fn a_postgresql_target_shows_no_password() {
    let file = |target: &str| with("", "").replace("{ sqlite: { path: c.db } }", target);
    let good = "{ postgres: { url: 'postgres://me:s3cret@db.example.org/bi', schema: coding } }";
    let pipeline = read(Path::new("p.yaml"), &file(good), &|_| None).unwrap();
    let TargetSettings::Postgres(postgres) = &pipeline.target else { panic!("{:?}", pipeline.target) };
    assert_eq!(
        (postgres.schema(), postgres.place()),
        ("coding", "database `bi` (db.example.org:5432, user `me`)")
    );
    assert!(!format!("{pipeline:?}").contains("s3cret"), "{pipeline:?}");
    for bad in [
        "{ postgres: { url: 'mysql://me:s3cret@db/bi' } }",
        "{ postgres: { url: ['postgres://me:s3cret@db/bi'] } }",
        "{ postgres: { url: 'postgres://me:s3cret@db/bi', schema: '' } }",
        "{ postgres: { url: 'postgres://me:s3cret@db/bi', sslmode: require } }",
        "{ postgres: { url: 'postgres://me:s3cret@db/bi?sslmode=yes' } }",
        "{ postgres: { url: 'postgres://me:s3cret@db/bi' }, sqlite: { path: c.db } }",
        "{ postgres: { schema: s3cret } }",
    ] {
        let problems = wrong(&file(bad));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(!problems[0].contains("s3cret"), "{problems:?}");
    }
    assert_eq!(
        wrong(&file("{ postgres: { schema: x } }")),
        ["target.postgres.url: `url` is missing: `target.postgres` needs it. Add it. [CONFIG-MISSING]"]
    );
    assert_eq!(
        wrong(&file("{}")),
        ["target: Nothing is chosen: `sqlite` or `postgres` is expected. Add one of them. [CONFIG-MISSING]"]
    );
}

/// The seeds of the fuzz target, once each: what a fuzzer found is kept there, and is not found again.
#[test]
fn every_seed_of_the_fuzz_target_is_read() {
    replay::replay("pipeline_yaml", |bytes| fuzzing::pipeline_yaml(&String::from_utf8_lossy(bytes)));
}
