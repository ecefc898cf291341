//! Credentials, scopes, OAuth, and projects that get out of sight.

use coding_sim::{AccessLoss, FaultKind, Faults, OAuthConfig, Operation, ProjectToken, Refusal, TokenConfig};
use serde_json::{Value, json};

use crate::client::Bench;

#[tokio::test]
async fn a_wrong_token_is_refused_in_three_styles() {
    for (style, status, code) in [
        (Refusal::AuthFailure, 200, "AuthFailure"),
        (Refusal::UserNotFound, 200, "ResourceNotFound"),
        (Refusal::Http401, 401, "AuthFailure"),
    ] {
        let mut bench = Bench::start(|config| config.refusal = style).await;
        for wrong in ["token nonsense", "Bearer nonsense", "Basic nonsense", "nonsense", ""] {
            bench.authorization = wrong.to_owned();
            let response = bench.send("DescribeTeam", json!({})).await.unwrap();
            assert_eq!(response.status(), status);
            let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
            assert_eq!(body["Response"]["Error"]["Code"], code, "{wrong}");
        }
        bench.sim.stop().await;
    }
}

#[tokio::test]
async fn a_scope_that_is_missing_is_named_by_the_family() {
    let mut bench = Bench::start(|config| {
        config.more_tokens = vec![TokenConfig {
            token: "narrow".to_owned(),
            scopes: vec!["collaboration:issue:ro".to_owned(), "user:profile:ro".to_owned()],
            projects: Some(vec!["backend".to_owned()]),
        }];
        config.project_tokens = vec![ProjectToken {
            user: "pt".to_owned(),
            password: "secret".to_owned(),
            project: "backend".to_owned(),
            scopes: coding_sim::all_scopes(),
        }];
    })
    .await;
    bench.authorization = "token narrow".to_owned();
    bench.ok("DescribeCodingCurrentUser", json!({})).await;
    bench.ok("DescribeIssue", json!({"ProjectName": "backend", "IssueCode": 1})).await;
    for (action, fields) in [
        ("DescribeIssue", json!({"ProjectName": "mobile-app", "IssueCode": 1})),
        ("DescribeProjectByName", json!({"ProjectName": "backend"})),
        ("DescribeProjectMembers", json!({"ProjectId": 90_001, "PageNumber": 1, "PageSize": 10})),
        ("DeleteIssue", json!({"ProjectName": "backend", "IssueCode": 1})),
    ] {
        assert_eq!(bench.refused(action, fields).await, "UnauthorizedOperation", "{action}");
    }
    // pt:secret
    bench.authorization = "Basic cHQ6c2VjcmV0".to_owned();
    bench.ok("DescribeProjectByName", json!({"ProjectName": "backend"})).await;
    assert_eq!(
        bench.refused("DescribeProjectByName", json!({"ProjectName": "mobile-app"})).await,
        "UnauthorizedOperation"
    );
    let listed = bench.ok("DescribeCodingProjects", json!({"PageNumber": 1, "PageSize": 10})).await;
    assert_eq!(listed["Data"]["TotalCount"], 1);
    bench.sim.stop().await;
}

/// How many projects the credential is shown.
async fn roster(bench: &Bench) -> u64 {
    let listed = bench.ok("DescribeCodingProjects", json!({"PageNumber": 1, "PageSize": 10})).await;
    listed["Data"]["TotalCount"].as_u64().unwrap()
}

async fn exchange(bench: &Bench, form: &[(&str, &str)]) -> (u16, Value) {
    let url = format!("{}/api/oauth/access_token", bench.sim.url());
    let response = bench.http.post(url).form(form).send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

#[tokio::test]
async fn a_refresh_voids_the_old_token() {
    for rotate in [false, true] {
        let mut bench = Bench::start(|config| {
            config.oauth = Some(OAuthConfig {
                client_id: "app".to_owned(),
                client_secret: "s".to_owned(),
                code: Some("once".to_owned()),
                access_token: Some("first".to_owned()),
                refresh_token: "r1".to_owned(),
                expires_in: 7_200,
                rotate_refresh_token: rotate,
                scopes: coding_sim::all_scopes(),
            });
        })
        .await;
        bench.authorization = "Bearer first".to_owned();
        bench.ok("DescribeTeam", json!({})).await;
        let app = [("client_id", "app"), ("client_secret", "s")];
        let refresh =
            |token: &'static str| [app[0], app[1], ("grant_type", "refresh_token"), ("refresh_token", token)];
        assert_eq!(exchange(&bench, &refresh("wrong")).await.0, 400);
        bench.ok("DescribeTeam", json!({})).await;
        let (status, tokens) = exchange(&bench, &refresh("r1")).await;
        assert_eq!(
            (status, &tokens["expires_in"], &tokens["token_type"]),
            (200, &json!("7200"), &json!("Bearer"))
        );
        assert!(tokens["scope"].as_str().unwrap().contains(' '));
        assert_eq!(bench.refused("DescribeTeam", json!({})).await, "AuthFailure");
        bench.authorization = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
        bench.ok("DescribeTeam", json!({})).await;
        assert_eq!(exchange(&bench, &refresh("r1")).await.0, if rotate { 400 } else { 200 });
        let code = [app[0], app[1], ("grant_type", "authorization_code"), ("code", "once")];
        assert_eq!(exchange(&bench, &code).await.0, 200);
        assert_eq!(exchange(&bench, &code).await.0, 400);
        bench.sim.stop().await;
    }
}

#[tokio::test]
async fn the_answer_of_a_refresh_can_be_lost() {
    let mut bench = Bench::start(|config| {
        config.oauth = Some(OAuthConfig {
            client_id: "app".to_owned(),
            client_secret: "s".to_owned(),
            code: None,
            access_token: Some("first".to_owned()),
            refresh_token: "r1".to_owned(),
            expires_in: 7_200,
            rotate_refresh_token: false,
            scopes: coding_sim::all_scopes(),
        });
    })
    .await;
    bench.authorization = "Bearer first".to_owned();
    let lost =
        Faults { actions: vec!["oauth/access_token".to_owned()], ..Faults::only(FaultKind::CutOff, 1.0) };
    bench.sim.world().set_faults(lost);
    bench.ok("DescribeTeam", json!({})).await;
    let url = format!("{}/api/oauth/access_token", bench.sim.url());
    let form = [
        ("client_id", "app"),
        ("client_secret", "s"),
        ("grant_type", "refresh_token"),
        ("refresh_token", "r1"),
    ];
    assert!(bench.http.post(url).form(&form).send().await.unwrap().text().await.is_err());
    assert_eq!(
        bench.refused("DescribeTeam", json!({})).await,
        "AuthFailure",
        "the refresh happened all the same"
    );
    bench.sim.stop().await;
}

#[tokio::test]
async fn an_access_token_expires() {
    let mut bench = Bench::start(|config| {
        config.oauth = Some(OAuthConfig {
            client_id: "app".to_owned(),
            client_secret: "s".to_owned(),
            code: None,
            access_token: Some("short".to_owned()),
            refresh_token: "r1".to_owned(),
            expires_in: 0,
            rotate_refresh_token: false,
            scopes: coding_sim::all_scopes(),
        });
    })
    .await;
    bench.authorization = "Bearer short".to_owned();
    assert_eq!(bench.refused("DescribeTeam", json!({})).await, "AuthFailure");
    bench.sim.stop().await;
}

#[tokio::test]
async fn access_is_lost_in_two_styles_and_comes_back() {
    let bench = Bench::start(|_| {}).await;
    let name = json!({"ProjectName": "backend"});
    let project = bench.ok("DescribeProjectByName", name.clone()).await["Project"]["Id"].clone();
    let list = json!({"ProjectName": "backend", "IssueType": "ALL", "PageNumber": 1, "PageSize": 10});
    let issue = json!({"ProjectName": "backend", "IssueCode": 1});
    let members = json!({"ProjectId": project, "PageNumber": 1, "PageSize": 10});
    let lose = |style| Operation::LoseAccess { project: "backend".to_owned(), style };

    bench.sim.world().apply(&[lose(AccessLoss::EmptyLists)]).unwrap();
    assert_eq!(bench.ok("DescribeIssueListWithPage", list.clone()).await["Data"]["TotalCount"], 0);
    assert_eq!(
        bench.ok("DescribeProjectMembers", members.clone()).await["Data"]["ProjectMembers"],
        json!([])
    );
    assert_eq!(bench.ok("DescribeIterationList", name.clone()).await["Data"]["TotalRow"], 0);
    assert_eq!(bench.refused("DescribeIssue", issue.clone()).await, "ResourceNotFound");
    bench.ok("DescribeProjectByName", name.clone()).await;
    assert_eq!(roster(&bench).await, 1);

    bench.sim.world().apply(&[lose(AccessLoss::Errors)]).unwrap();
    for (action, fields) in [
        ("DescribeProjectByName", name.clone()),
        ("DescribeIssueListWithPage", list.clone()),
        ("DescribeIssue", issue),
        ("DescribeProjectMembers", members),
    ] {
        assert_eq!(bench.refused(action, fields).await, "UnauthorizedOperation", "{action}");
    }
    assert_eq!(roster(&bench).await, 1);

    bench.admin("apply", json!({"op": "restore_access", "project": "backend"})).await;
    assert_eq!(roster(&bench).await, 2);
    assert_ne!(bench.ok("DescribeIssueListWithPage", list).await["Data"]["TotalCount"], 0);
    bench.sim.stop().await;
}
