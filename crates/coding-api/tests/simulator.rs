//! The client against the simulator: its own count of requests, its faults, its truth.

use std::time::Duration;

use coding_api::{
    BaseUrl, Budget, Budgets, Client, Credential, IssueQuery, Listing, OAuthCredential, PageSize, Priority,
    Row, RowExt,
};
use coding_sim::{
    DEFAULT_TOKEN, FaultKind, Faults, OAuthConfig, OffsetStyle, Shape, Sim, SimConfig, Table, TokenConfig,
};
use futures::TryStreamExt;
use secrecy::SecretString;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::server::quick;

pub(crate) fn base(sim: &Sim) -> BaseUrl {
    BaseUrl::parse(&sim.url(), false).unwrap()
}

pub(crate) fn client(sim: &Sim, token: &str, budget: Budget) -> Client {
    let credential = Credential::personal_token(token);
    Client::builder(base(sim), credential).budget(budget).retries(quick()).build().unwrap()
}

pub(crate) fn free(sim: &Sim) -> Client {
    client(sim, DEFAULT_TOKEN, Budgets::new().share(&base(sim), "demo", 0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_credentials_and_several_tasks_stay_within_one_rate() {
    const RATE: u32 = 20;
    const OTHER: &str = "5109a7e000000000000000000000000000000002";
    let defaults = SimConfig::default();
    let sim = Sim::start(SimConfig {
        rate_limit: RATE,
        latency: Duration::from_millis(15),
        more_tokens: vec![TokenConfig {
            token: OTHER.to_owned(),
            scopes: coding_sim::all_scopes(),
            projects: None,
        }],
        ..defaults
    })
    .await
    .unwrap();
    let budgets = Budgets::new();
    let mut set = JoinSet::new();
    for (number, token) in [DEFAULT_TOKEN, OTHER, DEFAULT_TOKEN, OTHER].into_iter().enumerate() {
        // Every connection takes a share of its own; the smallest rate holds.
        let rate = if number == 0 { RATE } else { 100 };
        let client = client(&sim, token, budgets.share(&base(&sim), "demo", rate));
        for task in 0..4 {
            let priority = if task == 0 { Priority::Poll } else { Priority::Detail };
            let client = client.at(priority);
            set.spawn(async move {
                for _ in 0..5 {
                    client.issue("mobile-app", 1).await.unwrap();
                }
                client
            });
        }
    }
    let mut clients = Vec::new();
    while let Some(client) = set.join_next().await {
        clients.push(client.unwrap()); // kept, or the share with the smallest rate would end
    }
    let counters = sim.world().counters();
    assert_eq!(counters.of("DescribeIssue"), 80);
    assert_eq!(counters.throttled, 0);
    let peak = counters.peak_per_second["DescribeIssue"];
    assert!(peak <= u64::from(RATE), "{peak}");
    assert!(peak + 3 >= u64::from(RATE), "the rate is used: {peak}");
    sim.stop().await;
}

#[tokio::test]
async fn throttling_by_others_is_outlived() {
    let sim = Sim::start(SimConfig { rate_limit: 15, ..SimConfig::default() }).await.unwrap();
    // A client that thinks the limit is higher than it is.
    let client = client(&sim, DEFAULT_TOKEN, Budgets::new().share(&base(&sim), "demo", 60));
    let requests = (0..40).map(|_| client.issue("mobile-app", 1));
    for reply in futures::future::join_all(requests).await {
        reply.unwrap();
    }
    assert!(sim.world().counters().throttled > 0);
    sim.stop().await;
}

/// All rows by code or id; the last one seen of each, as a table would have it.
async fn read(listing: &Listing, look_ahead: usize, key: &str) -> Vec<Row> {
    let pages: Vec<_> = listing.stream(look_ahead).try_collect().await.unwrap();
    let mut rows: Vec<Row> = pages.into_iter().flat_map(|page| page.rows).collect();
    rows.sort_by_key(|row| row.integer(key));
    rows.dedup_by_key(|row| row.integer(key));
    rows
}

/// The rows as the API gives them: without the columns that the truth adds for the tables.
fn truth(sim: &Sim, table: Table) -> Vec<Value> {
    let mut rows = sim.world().truth(table, "mobile-app", Shape::List).unwrap();
    for row in &mut rows {
        for added in ["TeamName", "ProjectName", "ProjectId"] {
            row.as_object_mut().unwrap().remove(added);
        }
    }
    rows
}

async fn check(sim: &Sim, look_ahead: usize, case: &str) {
    let client = free(sim);
    let size = |listing: Listing| listing.with_page_size(PageSize::new(50).unwrap());
    let project = client.project_by_name("mobile-app").await.unwrap().value.id().unwrap();
    let tables = [
        (Table::Issues, size(client.issues(IssueQuery::new("mobile-app"))), "Code"),
        (Table::Iterations, size(client.iterations("mobile-app")), "Code"),
        (Table::ProjectMembers, size(client.project_members(project)), "Id"),
    ];
    for (table, listing, key) in tables {
        let found = read(&listing, look_ahead, key).await;
        let truth = truth(sim, table);
        assert!(found.len() == truth.len(), "{case}: {table:?}: {} of {}", found.len(), truth.len());
        for (found, truth) in found.into_iter().zip(truth) {
            assert!(Value::Object(found) == truth, "{case}: {table:?}: {truth}");
        }
    }
}

fn sizes() -> SimConfig {
    let project = coding_sim::ProjectConfig::new("mobile-app", 1_234, 120, 60);
    SimConfig { projects: vec![project], rate_limit: 0, ..SimConfig::default() }
}

#[tokio::test]
async fn every_row_of_every_table_is_read_whatever_the_server_is_like() {
    let servers = [
        ("plain", sizes()),
        ("offset by row", SimConfig { iteration_offset: OffsetStyle::RowOffset, ..sizes() }),
        ("lower-case data", SimConfig { iteration_lower_case_data: true, ..sizes() }),
        ("cut pages", SimConfig { max_page_size: 17, ..sizes() }),
    ];
    for (name, config) in servers {
        let sim = Sim::start(config).await.unwrap();
        check(&sim, 1, name).await;
        check(&sim, 4, name).await;
        sim.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_is_read_through_each_transient_fault() {
    // Not among them: empty and short pages, which lose rows when they strike one page twice. Other tests
    // strike with them once.
    let kinds = [
        FaultKind::Reset,
        FaultKind::Http500,
        FaultKind::Http502,
        FaultKind::Http503,
        FaultKind::Http429,
        FaultKind::Html200,
        FaultKind::Html502,
        FaultKind::TruncatedJson,
        FaultKind::CutOff,
        FaultKind::NullResponse,
        FaultKind::MissingResponse,
        FaultKind::EmptyBody,
        FaultKind::WrongContentType,
        FaultKind::TopLevelError,
        FaultKind::InternalError,
        FaultKind::RequestLimitExceeded,
        FaultKind::ResourceUnavailable,
        FaultKind::LyingTotal,
        FaultKind::CutPageSize,
        FaultKind::DuplicateRows,
        FaultKind::Gzip,
    ];
    let mut set = JoinSet::new();
    for kind in kinds {
        set.spawn(async move {
            let sim = Sim::start(SimConfig { faults: Faults::only(kind, 0.04), ..sizes() }).await.unwrap();
            for look_ahead in [1, 4] {
                check(&sim, look_ahead, &kind.name()).await;
            }
            sim.stop().await;
        });
    }
    while let Some(done) = set.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn rotating_oauth_tokens_are_followed() {
    let sim = Sim::start(SimConfig {
        oauth: Some(OAuthConfig {
            client_id: "app".to_owned(),
            client_secret: "secret".to_owned(),
            code: None,
            access_token: None,
            refresh_token: "first".to_owned(),
            expires_in: 1,
            rotate_refresh_token: true,
            scopes: coding_sim::all_scopes(),
        }),
        rate_limit: 0,
        ..SimConfig::default()
    })
    .await
    .unwrap();
    let credential = Credential::OAuth(OAuthCredential {
        client_id: "app".to_owned(),
        client_secret: SecretString::from("secret"),
        refresh_token: SecretString::from("first"),
        access_token: Some(SecretString::from("Bearer stale")),
    });
    let budget = Budgets::new().share(&base(&sim), "demo", 25);
    let client = Client::builder(base(&sim), credential).budget(budget).build().unwrap();
    // At this rate the requests take longer than two tokens live.
    let requests = (0..60).map(|_| client.issue("mobile-app", 1));
    for reply in futures::future::join_all(requests).await {
        reply.unwrap();
    }
    client.close().await;
    sim.stop().await;
}
