//! From what a pipeline wishes to what a delivery does: tables, filter, form.

use connectors::coding::config::Details;
use engine::delivery::filter::{Filter, Rule, Test};
use engine::delivery::shape::{Deletes as ShapeDeletes, Naming as ShapeNaming, Task};
use engine::schema::Table;

use crate::pipeline::Pipeline;
use crate::pipeline::config::{Deletes, Naming, TableName};
use crate::pipeline::task::TaskSettings;

/// CODING's own issue types: values of a row's `Type`. Any other name is that of a custom type.
const BUILT_IN_TYPES: [&str; 5] = ["DEFECT", "REQUIREMENT", "MISSION", "EPIC", "SUB_TASK"];

/// The tables that any of the pipelines wants, in the source's order.
pub(crate) fn tables<'a>(
    pipelines: impl Iterator<Item = &'a Pipeline>,
    offered: &'static [Table],
) -> Vec<&'static Table> {
    let wanted: Vec<&str> = pipelines.flat_map(|p| &p.task.tables).map(|table| table.as_str()).collect();
    offered.iter().filter(|table| wanted.contains(&table.name)).collect()
}

/// What the delivery of a pipeline does.
pub(crate) fn task(pipeline: &Pipeline, offered: &'static [Table]) -> Task {
    Task {
        name: pipeline.name.clone(),
        team: pipeline.source.team.clone(),
        tables: tables(std::iter::once(pipeline), offered),
        filter: filter(&pipeline.task, offered),
        naming: match pipeline.task.naming {
            Naming::SnakeCase => ShapeNaming::SnakeCase,
            Naming::Original => ShapeNaming::Original,
        },
        deletes: match pipeline.task.deletes {
            Deletes::Hard => ShapeDeletes::Hard,
            Deletes::Soft => ShapeDeletes::Soft,
        },
        listed_only: pipeline.source.details == Details::Off,
    }
}

fn filter(wishes: &TaskSettings, offered: &'static [Table]) -> Filter {
    let mut rules = Vec::new();
    let mut rule = |table: TableName, any: Vec<Test>| {
        rules.extend(offered.iter().find(|t| t.name == table.as_str()).map(|t| Rule { table: t.id, any }));
    };
    if let Some(types) = &wishes.issue_types {
        rule(TableName::Issues, types.iter().map(|name| type_test(name)).collect());
    }
    if let Some(codes) = &wishes.iterations {
        let tests =
            |path: &'static [&'static str]| codes.iter().map(|code| Test::Number(path, *code)).collect();
        rule(TableName::Issues, tests(&["Iteration", "Code"]));
        rule(TableName::Iterations, tests(&["Code"]));
    }
    Filter(rules)
}

fn type_test(name: &str) -> Test {
    if BUILT_IN_TYPES.contains(&name) {
        return Test::Text(&["Type"], name.to_owned());
    }
    match name.parse() {
        Ok(id) => Test::Number(&["IssueTypeId"], id),
        Err(_) => Test::Text(&["IssueTypeDetail", "Name"], name.to_owned()),
    }
}
