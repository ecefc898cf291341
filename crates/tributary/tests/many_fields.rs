//! More custom fields than a table can have columns, or than a row has room for: as many columns as it takes, always the
//! same, the rest in `_extra`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail loudly")]

use std::path::Path;

use coding_sim::{CustomContent, IssueFields, Operation};
use serde_json::{Value, json};

use crate::place::{Place, TargetKind, on_each_target};
use crate::support::{Ended, Stage, run, tributary};

on_each_target!(
    fields_beyond_the_columns_stand_in_extra,
    a_field_that_comes_later_takes_no_column_away,
    rows_of_many_short_values_are_stored_whole
);

const FLAT: &str = "task: { mode: flat, tables: [Issues] }\n";

async fn with(stage: &Stage, command_name: &str, file: &Path, arguments: &[&str]) -> Ended {
    let mut command = tributary(stage.dir.path());
    command.arg(command_name).arg(file).args(arguments);
    run(command).await
}

/// How many columns a table may have.
fn most(target: TargetKind) -> i64 {
    match target {
        TargetKind::Sqlite => 2_000,
        TargetKind::Postgres => 1_600,
    }
}

/// How many columns the table of issues has.
async fn columns(place: &Place) -> i64 {
    match place {
        Place::Sqlite(_) => place.number("SELECT count(*) FROM pragma_table_info('issues')").await,
        Place::Postgres { .. } => {
            place.number("SELECT count(*) FROM information_schema.columns WHERE table_name = 'issues'").await
        }
    }
}

/// Adds so many custom fields; gives their numbers.
fn add(stage: &Stage, fields: usize, name: &str) -> Vec<u32> {
    let field = |at| Operation::AddField {
        name: format!("{name} {at}"),
        component: "TEXT_SINGLE_LINE".to_owned(),
        options: Vec::new(),
    };
    let added = stage.sim.world().apply(&(0..fields).map(field).collect::<Vec<_>>()).unwrap();
    added.iter().map(|added| added.key).collect()
}

/// Gives the issue these values.
fn give(stage: &Stage, code: u32, values: &[(u32, &str)]) {
    let content = |(id, content): &(u32, &str)| CustomContent { id: *id, content: (*content).to_owned() };
    let fields = IssueFields { custom: values.iter().map(content).collect(), ..IssueFields::default() };
    let set = Operation::SetIssue { project: "app".to_owned(), code, fields: Box::new(fields), touch: true };
    stage.sim.world().apply(&[set]).unwrap();
}

/// The values of custom fields of an issue that stand in `_extra`, by number.
async fn beside(place: &Place, code: u32) -> Vec<(u64, String)> {
    let found = place.texts(&format!("SELECT _extra FROM issues WHERE code = {code}")).await;
    let extra: Value = found[0].as_deref().map_or(json!({}), |extra| serde_json::from_str(extra).unwrap());
    let entries = extra["CustomFields"].as_array().cloned().unwrap_or_default();
    let entry =
        |entry: &Value| (entry["Id"].as_u64().unwrap(), entry["ValueString"].as_str().unwrap().to_owned());
    entries.iter().map(entry).collect()
}

/// What stands in the column of a field.
async fn column(place: &Place, field: u32, code: u32) -> Option<String> {
    let named = format!("SELECT column_name FROM _tributary_fields WHERE field_id = {field}");
    let name = place.texts(&named).await.pop()??;
    place.texts(&format!("SELECT \"{name}\" FROM issues WHERE code = {code}")).await.pop()?
}

/// Everything is as it should be, and nothing is aside.
async fn assert_well(stage: &Stage, place: &Place, file: &Path) {
    with(stage, "verify", file, &[]).await.expect(0);
    assert_eq!(place.number("SELECT count(*) FROM _tributary_aside").await, 0);
}

async fn fields_beyond_the_columns_stand_in_extra(target: TargetKind) {
    let stage = Stage::new(6).await;
    let place = Place::new(target, stage.dir.path()).await;
    let file = stage.pipeline_into(&place, "app", "", FLAT);
    let fields = add(&stage, usize::try_from(most(target)).unwrap(), "field");
    let (first, last) = (fields[0], *fields.last().unwrap());
    give(&stage, 1, &[(first, "one"), (last, "two")]);
    // It is foretold, and nothing stands in the way.
    let checked = with(&stage, "check", &file, &[]).await.expect(0);
    assert!(checked.stdout.contains("custom fields of issues get no column"), "{checked:?}");
    let ran = with(&stage, "sync", &file, &["--once"]).await.expect(0);
    assert_eq!(ran.stderr.matches("custom fields have no column").count(), 1, "{ran:?}");
    assert_eq!(columns(&place).await, most(target));
    assert_eq!(place.number("SELECT count(*) FROM issues").await, 6);
    assert_eq!(column(&place, first, 1).await.as_deref(), Some("one"));
    assert_eq!(column(&place, last, 1).await, None);
    assert_eq!(beside(&place, 1).await, [(u64::from(last), "two".to_owned())]);
    assert_well(&stage, &place, &file).await;

    // Said again by check for what is there, and no field changes places.
    let checked = with(&stage, "check", &file, &[]).await.expect(0);
    assert!(checked.stdout.contains("custom fields of issues get no column"), "{checked:?}");
    give(&stage, 1, &[(first, "three"), (last, "four")]);
    let ran = with(&stage, "sync", &file, &["--once", "--json"]).await.expect(0).json();
    assert_eq!(ran["tables"]["Issues"]["updated"], json!(1), "nothing is rebuilt: {ran}");
    assert_eq!(column(&place, first, 1).await.as_deref(), Some("three"));
    assert_eq!(beside(&place, 1).await, [(u64::from(last), "four".to_owned())]);
    stage.sim.stop().await;
}

async fn a_field_that_comes_later_takes_no_column_away(target: TargetKind) {
    let stage = Stage::new(6).await;
    let place = Place::new(target, stage.dir.path()).await;
    let file = stage.pipeline_into(&place, "app", "", FLAT);
    with(&stage, "sync", &file, &["--once"]).await.expect(0);
    // Somebody else's columns leave room for two.
    let left = most(target) - columns(&place).await - 2;
    let before = add(&stage, usize::try_from(left).unwrap(), "before");
    with(&stage, "sync", &file, &["--once"]).await.expect(0);
    assert_eq!(columns(&place).await, most(target) - 2);
    let later = add(&stage, 5, "later");
    for (code, field) in (1_u32..).zip(&later) {
        give(&stage, code, &[(before[0], "mine"), (*field, "late")]);
    }
    let ran = with(&stage, "sync", &file, &["--once"]).await.expect(0);
    assert_eq!(ran.stderr.matches("3 custom fields have no column").count(), 1, "{ran:?}");
    assert_eq!(columns(&place).await, most(target));
    for (code, field) in (1_u32..).zip(&later) {
        assert_eq!(column(&place, before[0], code).await.as_deref(), Some("mine"));
        if code <= 2 {
            assert_eq!(column(&place, *field, code).await.as_deref(), Some("late"));
        } else {
            assert_eq!(beside(&place, code).await, [(u64::from(*field), "late".to_owned())]);
        }
    }
    assert_well(&stage, &place, &file).await;
    stage.sim.stop().await;
}

async fn rows_of_many_short_values_are_stored_whole(target: TargetKind) {
    let stage = Stage::new(6).await;
    let place = Place::new(target, stage.dir.path()).await;
    let file = stage.pipeline_into(&place, "app", "", FLAT);
    let fields = add(&stage, 1_500, "field");
    // The longest that are not moved out of the row, then some that are.
    let short: Vec<(u32, &str)> = fields.iter().map(|field| (*field, "twelve bytes")).collect();
    give(&stage, 1, &short);
    let longer = "x".repeat(60);
    let longer: Vec<(u32, &str)> = fields.iter().map(|field| (*field, longer.as_str())).collect();
    give(&stage, 2, &longer);
    give(&stage, 3, &short[..3]);
    let is_postgres = target == TargetKind::Postgres;
    let checked = with(&stage, "check", &file, &[]).await.expect(0);
    assert_eq!(checked.stdout.contains("is longer than the target can store"), is_postgres, "{checked:?}");
    let ran = with(&stage, "sync", &file, &["--once"]).await.expect(0);
    let said = ran.stderr.matches("a row has more values than the target can store in columns").count();
    assert_eq!(said, usize::from(is_postgres), "once: {ran:?}");
    for (code, given) in [(1_u32, &short), (2, &longer)] {
        let beside = beside(&place, code).await;
        // As many columns as it takes, the rest in the order of the numbers.
        let kept = fields.len() - beside.len();
        assert_eq!(is_postgres, kept < fields.len(), "{kept}");
        assert!(kept >= 350, "{kept}");
        for (field, (id, text)) in fields[kept..].iter().zip(&beside) {
            assert_eq!((u64::from(*field), given[0].1), (*id, text.as_str()));
        }
        for field in [fields[0], fields[kept - 1]] {
            assert_eq!(column(&place, field, code).await.as_deref(), Some(given[0].1), "{code}");
        }
    }
    assert_eq!(beside(&place, 3).await, []);
    assert_well(&stage, &place, &file).await;
    stage.sim.stop().await;
}
