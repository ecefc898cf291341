//! List row and detail: how they differ, and that they agree where both speak.

use std::collections::BTreeMap;

use coding_sim::{IssueFields, MutationKind, Operation, Shape, SimConfig, Table};
use serde_json::{Value, json};

use crate::client::Bench;

const ONLY_LIST: [&str; 4] = ["AssigneeId", "CreatorId", "ParentCode", "ParentId"];
const ONLY_DETAIL: [&str; 12] = [
    "Assignee",
    "Creator",
    "DefectType",
    "Epic",
    "Files",
    "Parent",
    "Project",
    "ProjectModule",
    "RequirementType",
    "SubTasks",
    "ThirdLinks",
    "Watchers",
];

async fn rows(bench: &Bench) -> BTreeMap<u64, Value> {
    let fields = json!({"ProjectName": "mobile-app", "IssueType": "ALL", "PageNumber": 1, "PageSize": 500, "ShowSubIssues": true});
    let list = bench.ok("DescribeIssueListWithPage", fields).await["Data"]["List"].clone();
    list.as_array().unwrap().iter().map(|row| (row["Code"].as_u64().unwrap(), row.clone())).collect()
}

async fn detail(bench: &Bench, code: u64) -> Value {
    bench.ok("DescribeIssue", json!({"ProjectName": "mobile-app", "IssueCode": code})).await["Issue"].clone()
}

fn keys(value: &Value) -> Vec<&String> {
    value.as_object().unwrap().keys().collect()
}

#[tokio::test]
async fn list_and_detail_differ_only_where_the_service_does() {
    let bench = Bench::start(|_| {}).await;
    let rows = rows(&bench).await;
    for (code, row) in &rows {
        let detail = detail(&bench, *code).await;
        let only_list: Vec<&String> =
            keys(row).into_iter().filter(|key| detail.get(*key).is_none()).collect();
        assert_eq!(only_list, ONLY_LIST);
        let only_detail: Vec<&String> =
            keys(&detail).into_iter().filter(|key| row.get(*key).is_none()).collect();
        assert_eq!(only_detail, ONLY_DETAIL);
        assert!(detail["Iteration"].get("Id").is_none());
        assert_eq!(row["Iteration"]["Id"], row["IterationId"]);
        for key in keys(row).into_iter().filter(|key| !ONLY_LIST.contains(&key.as_str())) {
            let mut expected = row[key].clone();
            if key == "Iteration" {
                expected.as_object_mut().unwrap().remove("Id");
            }
            assert_eq!(detail[key], expected, "{key} of {code}");
        }
        assert_eq!(detail["Assignee"]["Id"], row["AssigneeId"]);
        assert_eq!(detail["Creator"]["Id"], row["CreatorId"]);
        assert_eq!(detail["Parent"]["Code"], row["ParentCode"]);
        let own_or_parents = match row["ParentCode"].as_u64().unwrap() {
            0 => &row["Type"],
            parent => &rows[&parent]["Type"],
        };
        assert_eq!(&row["ParentType"], own_or_parents);
        for key in ["CreatedAt", "UpdatedAt", "CompletedAt", "StartDate", "DueDate"] {
            assert_eq!(row[key].as_i64().unwrap() % 1_000, 0, "{key} has second precision");
        }
    }
    bench.sim.stop().await;
}

#[tokio::test]
async fn the_seed_has_everything_that_breaks_readers() {
    let bench = Bench::start(|config| {
        config.projects[0].issues = 3_000;
        config.projects[0].iterations = 20;
    })
    .await;
    let all = bench.sim.world().truth(Table::Issues, "mobile-app", Shape::Full).unwrap();
    let some = |test: &dyn Fn(&Value) -> bool| assert!(all.iter().any(test));
    for kind in ["REQUIREMENT", "MISSION", "DEFECT", "EPIC", "SUB_TASK"] {
        some(&|row| row["Type"] == kind);
    }
    some(&|row| row["IssueTypeDetail"]["IsSystem"] == false);
    some(&|row| row["Name"] == "null");
    some(&|row| row["Description"].as_str().unwrap().len() > 60_000);
    some(&|row| row["Description"] == "");
    some(&|row| row["Description"].as_str().unwrap().contains(['\u{200B}', '\u{FEFF}']));
    some(&|row| row["WorkingHours"].to_string().len() > 16);
    for unset in ["IterationId", "AssigneeId", "StartDate", "DueDate", "CompletedAt", "ParentCode"] {
        some(&|row| row[unset] == 0);
        some(&|row| row[unset].as_i64().unwrap() > 0);
    }
    for empty in ["Priority", "StoryPoint"] {
        some(&|row| row[empty] == "");
    }
    for list in ["Files", "Watchers", "Labels", "ThirdLinks", "SubTasks", "CustomFields"] {
        some(&|row| row[list].as_array().unwrap().is_empty());
        some(&|row| row[list].as_array().unwrap().len() == 1);
    }
    some(&|row| row["Epic"]["Code"].as_i64().unwrap() > 0);
    some(&|row| row["Epic"]["Code"] == 0 && row["Epic"]["Assignee"]["Id"] == 0);
    let field = |name: &str| -> Vec<String> {
        let fields = all.iter().flat_map(|row| row["CustomFields"].as_array().unwrap());
        fields.filter(|f| f["Name"] == name).map(|f| f["ValueString"].as_str().unwrap().to_owned()).collect()
    };
    let is_texts: fn(&str) -> bool = |text| serde_json::from_str::<Vec<String>>(text).is_ok();
    let is_user: fn(&str) -> bool =
        |text| serde_json::from_str::<Value>(text).is_ok_and(|user| user["Id"].is_u64());
    let is_list: fn(&str) -> bool = |text| serde_json::from_str::<Vec<Value>>(text).is_ok();
    for (name, check) in [("影响平台", is_texts), ("测试负责人", is_user), ("评审人", is_list)] {
        let texts = field(name);
        assert!(texts.len() > 100, "{name}");
        assert!(texts.iter().all(|text| text.is_empty() || check(text)), "{name}");
    }
    let iterations = bench.sim.world().truth(Table::Iterations, "mobile-app", Shape::Full).unwrap();
    assert!(iterations.iter().any(|row| row["StartAt"] == -28_800_000));
    assert!(iterations.iter().all(|row| row["ProjectId"].is_u64() && row["TeamName"] == "demo"));
    bench.sim.stop().await;
}

#[tokio::test]
async fn links_to_files_differ_at_every_answer() {
    let bench = Bench::start(|_| {}).await;
    let all = bench.sim.world().truth(Table::Issues, "mobile-app", Shape::Detail).unwrap();
    let row = all.iter().find(|row| !row["Files"].as_array().unwrap().is_empty()).unwrap();
    let code = row["Code"].as_u64().unwrap();
    let (one, other) = (detail(&bench, code).await, detail(&bench, code).await);
    assert_ne!(one["Files"][0]["Url"], other["Files"][0]["Url"]);
    assert_eq!(one["Files"][0]["FileId"], other["Files"][0]["FileId"]);
    bench.sim.stop().await;
}

#[tokio::test]
async fn copies_follow_the_other_row_without_a_touch() {
    let bench = Bench::start(|_| {}).await;
    let world = bench.sim.world();
    let before = rows(&bench).await;
    let child = before.values().find(|row| row["ParentCode"] != 0 && row["IterationId"] != 0).unwrap();
    let (code, parent) = (child["Code"].as_u64().unwrap(), child["ParentCode"].as_u64().unwrap());
    let iteration = u32::try_from(child["Iteration"]["Code"].as_u64().unwrap()).unwrap();
    let name = IssueFields { name: Some("新的父事项".to_owned()), ..IssueFields::default() };
    let project = "mobile-app".to_owned();
    world
        .apply(&[
            Operation::SetIssue {
                project: project.clone(),
                code: u32::try_from(parent).unwrap(),
                fields: Box::new(name),
                touch: true,
            },
            Operation::RenameIteration {
                project: project.clone(),
                code: iteration,
                name: "renamed".to_owned(),
            },
        ])
        .unwrap();
    let after = detail(&bench, code).await;
    assert_eq!(after["Parent"]["Name"], "新的父事项");
    assert_eq!(after["Iteration"]["Name"], "renamed");
    assert_eq!(after["UpdatedAt"], child["UpdatedAt"]);
    let children = detail(&bench, parent).await["SubTasks"].clone();
    let codes: Vec<u64> =
        children.as_array().unwrap().iter().map(|task| task["Code"].as_u64().unwrap()).collect();
    assert!(codes.contains(&code) && codes.is_sorted());

    world
        .apply(&[Operation::DeleteIssue { project: project.clone(), code: u32::try_from(parent).unwrap() }])
        .unwrap();
    world.apply(&[Operation::DeleteIteration { project, code: iteration }]).unwrap();
    let orphan = detail(&bench, code).await;
    assert_eq!(orphan["Parent"]["Code"], 0);
    assert_eq!(orphan["ParentType"], orphan["Type"]);
    assert_eq!(orphan["IterationId"], 0);
    assert_eq!(orphan["UpdatedAt"], child["UpdatedAt"]);
    bench.sim.stop().await;
}

#[tokio::test]
async fn the_same_seed_gives_the_same_bytes() {
    let truth = |config: SimConfig| async move {
        let sim = coding_sim::Sim::start(config).await.unwrap();
        let _ = sim.world().mutate(0, &[MutationKind::EditIssue]);
        let mut all = Vec::new();
        for project in sim.world().projects() {
            for table in [Table::Issues, Table::Iterations, Table::ProjectMembers] {
                all.push(
                    serde_json::to_string(&sim.world().truth(table, &project, Shape::Full).unwrap()).unwrap(),
                );
            }
        }
        sim.stop().await;
        all
    };
    let one = truth(SimConfig::default()).await;
    assert_eq!(one, truth(SimConfig::default()).await);
    assert_ne!(one, truth(SimConfig { seed: 2, ..SimConfig::default() }).await);
}

#[tokio::test]
async fn the_truth_is_the_union_of_both_shapes() {
    let bench = Bench::start(|_| {}).await;
    let url = format!("{}/_sim/truth?table=Issues&project=mobile-app", bench.sim.url());
    let lines = bench.http.get(url).send().await.unwrap().text().await.unwrap();
    let rows = rows(&bench).await;
    assert_eq!(lines.lines().count(), rows.len());
    for line in lines.lines() {
        let truth: Value = serde_json::from_str(line).unwrap();
        let row = &rows[&truth["Code"].as_u64().unwrap()];
        assert_eq!(truth["AssigneeId"], row["AssigneeId"]);
        assert_eq!(truth["Iteration"], row["Iteration"]);
        assert_eq!(truth["Assignee"]["Id"], row["AssigneeId"]);
        assert_eq!(truth["ProjectName"], "mobile-app");
    }
    bench.sim.stop().await;
}

#[tokio::test]
async fn broken_texts_are_on_the_wire_and_clean_in_the_truth() {
    let bench = Bench::start(|config| config.broken_text_one_in = 50).await;
    let fields = json!({"ProjectName": "mobile-app", "IssueCode": 50});
    let text = bench.send("DescribeIssue", fields).await.unwrap().text().await.unwrap();
    assert!(text.contains("\\ud800") && text.contains("\\u0000"), "{text}");
    let truth = bench.sim.world().truth(Table::Issues, "mobile-app", Shape::Full).unwrap();
    assert!(truth[49]["Name"].as_str().unwrap().contains("\u{FFFD} \u{FFFD} end"));
    bench.sim.stop().await;
}
