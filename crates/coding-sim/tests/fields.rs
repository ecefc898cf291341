//! Custom fields that come, are renamed and go.

use std::collections::BTreeMap;

use coding_sim::{CustomContent, IssueFields, MutationKind, Operation, Shape, SimError, Table};
use serde_json::{Value, json};

use crate::client::Bench;

const PROJECT: &str = "backend";

/// Name, component and options of the custom fields that the project lists, by id.
async fn listed(bench: &Bench, issue_type: &str) -> BTreeMap<u64, (String, String, Vec<String>)> {
    let request = json!({"ProjectName": PROJECT, "IssueType": issue_type});
    let answer = bench.ok("DescribeProjectIssueFieldList", request).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let fields = answer["ProjectIssueFieldList"].as_array().unwrap().iter();
    fields
        .map(|entry| &entry["IssueField"])
        .filter(|field| field["Type"] == "CUSTOM")
        .map(|field| {
            let options = field["Options"].as_array().unwrap().iter();
            let options = options.map(|option| text(&option["Value"])).collect();
            (field["Id"].as_u64().unwrap(), (text(&field["Name"]), text(&field["ComponentType"]), options))
        })
        .collect()
}

/// What the list, the look-up and the truth show of an issue; they must agree on the custom fields.
async fn row(bench: &Bench, code: u32) -> Value {
    let request = json!({"ProjectName": PROJECT, "IssueType": "ALL", "ShowSubIssues": true, "PageNumber": 1, "PageSize": 500});
    let page = bench.ok("DescribeIssueListWithPage", request).await;
    let row = page["Data"]["List"].as_array().unwrap().iter().find(|row| row["Code"] == code).unwrap();
    let detail = bench.ok("DescribeIssue", json!({"ProjectName": PROJECT, "IssueCode": code})).await;
    let truth = bench.sim.world().truth(Table::Issues, PROJECT, Shape::Full).unwrap();
    let truth = truth.iter().find(|row| row["Code"] == code).unwrap();
    for other in [&detail["Issue"], truth] {
        assert_eq!(other["CustomFields"], row["CustomFields"]);
        assert_eq!(other["UpdatedAt"], row["UpdatedAt"]);
    }
    row.clone()
}

/// Name and text of one custom field of a row.
fn shown(row: &Value, field: u32) -> Option<(String, String)> {
    let field = row["CustomFields"].as_array().unwrap().iter().find(|entry| entry["Id"] == field)?;
    Some((field["Name"].as_str().unwrap().to_owned(), field["ValueString"].as_str().unwrap().to_owned()))
}

/// Orders a field through the admin API.
async fn add(bench: &Bench, name: &str, component: &str, options: &[&str]) -> u32 {
    let order = json!({"op": "add_field", "name": name, "component": component, "options": options});
    let done = bench.admin("apply", order).await;
    assert_eq!(done[0]["table"], "Fields", "{done}");
    u32::try_from(done[0]["key"].as_u64().unwrap()).unwrap()
}

fn set(code: u32, field: u32, content: &str) -> Operation {
    let custom = vec![CustomContent { id: field, content: content.to_owned() }];
    let fields = Box::new(IssueFields { custom, ..IssueFields::default() });
    Operation::SetIssue { project: PROJECT.to_owned(), code, fields, touch: false }
}

async fn found(bench: &Bench, condition: Value) -> u64 {
    let request = json!({
        "ProjectName": PROJECT, "IssueType": "ALL", "ShowSubIssues": true, "PageNumber": 1, "PageSize": 1,
        "Conditions": [condition],
    });
    bench.ok("DescribeIssueListWithPage", request).await["Data"]["TotalCount"].as_u64().unwrap()
}

#[tokio::test]
async fn a_field_is_added_and_takes_values() {
    let bench = Bench::start(|_| {}).await;
    let before = listed(&bench, "DEFECT").await;
    let number = add(&bench, "故障时长", "TEXT_INTEGER", &[]).await;
    let choices = add(&bench, "故障时长", "SELECT_MULTI", &["a", "b"]).await;
    assert_ne!(number, choices, "a name may repeat, an id may not");
    for issue_type in ["DEFECT", "MISSION", "SUB_TASK"] {
        let mut fields = listed(&bench, issue_type).await;
        let name = "故障时长".to_owned();
        assert_eq!(
            fields.remove(&u64::from(number)),
            Some((name.clone(), "TEXT_INTEGER".to_owned(), Vec::new()))
        );
        assert_eq!(
            fields.remove(&u64::from(choices)),
            Some((name, "SELECT_MULTI".to_owned(), vec!["a".to_owned(), "b".to_owned()]))
        );
        assert_eq!(fields, before, "{issue_type}");
    }
    assert_eq!(shown(&row(&bench, 7).await, number), None);
    bench.sim.world().apply(&[set(7, number, "42"), set(7, choices, "a,b")]).unwrap();
    let row = row(&bench, 7).await;
    assert_eq!(shown(&row, number), Some(("故障时长".to_owned(), "42".to_owned())));
    assert_eq!(shown(&row, choices), Some(("故障时长".to_owned(), "[\"a\",\"b\"]".to_owned())));
    assert_eq!(found(&bench, json!({"Key": "CUSTOM", "CustomFieldId": number, "Value": "42"})).await, 1);
    let wrong = Operation::AddField { name: "x".to_owned(), component: "COLOUR".to_owned(), options: vec![] };
    assert!(matches!(bench.sim.world().apply(&[wrong]), Err(SimError::Refused { .. })));
    bench.sim.stop().await;
}

#[tokio::test]
async fn a_renamed_field_touches_no_issue() {
    let bench = Bench::start(|_| {}).await;
    let field = add(&bench, "one", "TEXT_SINGLE_LINE", &[]).await;
    let world = bench.sim.world();
    world.apply(&[set(7, field, "text")]).unwrap();
    let before = row(&bench, 7).await;
    assert_eq!(shown(&before, field), Some(("one".to_owned(), "text".to_owned())));
    world.apply(&[Operation::RenameField { field, name: "other".to_owned() }]).unwrap();
    let after = row(&bench, 7).await;
    assert_eq!(shown(&after, field), Some(("other".to_owned(), "text".to_owned())));
    assert_eq!(after["UpdatedAt"], before["UpdatedAt"]);
    assert_eq!(listed(&bench, "MISSION").await[&u64::from(field)].0, "other");
    let unknown = Operation::RenameField { field: field + 1, name: "n".to_owned() };
    assert!(matches!(world.apply(&[unknown]), Err(SimError::Refused { code: "ResourceNotFound", .. })));
    bench.sim.stop().await;
}

#[tokio::test]
async fn a_removed_field_is_gone_everywhere_and_for_good() {
    let bench = Bench::start(|_| {}).await;
    let before = listed(&bench, "MISSION").await;
    let field = add(&bench, "one", "TEXT_SINGLE_LINE", &[]).await;
    let world = bench.sim.world();
    world.apply(&[set(7, field, "text")]).unwrap();
    let updated_at = row(&bench, 7).await["UpdatedAt"].clone();
    world.apply(&[Operation::RemoveField { field }]).unwrap();
    let after = row(&bench, 7).await;
    assert_eq!(shown(&after, field), None);
    assert_eq!(after["UpdatedAt"], updated_at);
    assert_eq!(listed(&bench, "MISSION").await, before);
    assert_eq!(found(&bench, json!({"Key": "CUSTOM", "CustomFieldId": field, "Value": "text"})).await, 0);
    let unset = json!({"Key": "CUSTOM", "CustomFieldId": field, "ConstValue": "UNSPECIFIC"});
    assert_eq!(found(&bench, unset).await, 120);
    assert!(world.apply(&[set(7, field, "again")]).is_err());
    assert!(world.apply(&[Operation::RemoveField { field }]).is_err());
    let next = add(&bench, "one", "TEXT_SINGLE_LINE", &[]).await;
    assert!(next > field, "ids are never given again");
    assert_eq!(shown(&row(&bench, 7).await, next), None);
    bench.sim.stop().await;
}

#[tokio::test]
async fn the_first_fields_go_like_any_other() {
    let bench = Bench::start(|_| {}).await;
    let world = bench.sim.world();
    for field in listed(&bench, "EPIC").await.into_keys() {
        world.apply(&[Operation::RemoveField { field: u32::try_from(field).unwrap() }]).unwrap();
    }
    assert!(listed(&bench, "EPIC").await.is_empty());
    let rows = world.truth(Table::Issues, PROJECT, Shape::Full).unwrap();
    assert!(rows.iter().all(|row| row["CustomFields"] == json!([])));
    assert_eq!(world.mutate(1, &[MutationKind::EditCustomField]), []);
    add(&bench, "only", "TEXT_DATE", &[]).await;
    assert_eq!(world.mutate(1, &[MutationKind::EditCustomField]).len(), 1);
    bench.sim.stop().await;
}
