//! What a perfect reader would hold: every row of a table, one JSON object per line.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::dice::Dice;
use crate::render::{issue_detail, issue_row, iteration_body, project_members};
use crate::texts::LONE_SURROGATE;
use crate::world::World;
use crate::world::project::Project;

/// The tables of the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Table {
    /// Issues of a project.
    Issues,
    /// Iterations of a project.
    Iterations,
    /// Members of a project.
    ProjectMembers,
}

/// Which fields of an issue the truth has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Those of the list row.
    List,
    /// Those of the detail.
    Detail,
    /// Both, the detail on top of the list.
    #[default]
    Full,
}

/// Up to `limit` rows whose code or id is above `after`, ascending, each with its code or id.
///
/// Every row has `TeamName` and `ProjectName` besides its own fields, iterations and members also
/// `ProjectId`. U+0000 and lone surrogates are U+FFFD, which is what a strict reader can hold at best.
pub(crate) fn rows(
    world: &World,
    project: &Project,
    table: Table,
    shape: Shape,
    after: u32,
    limit: usize,
) -> Vec<(u32, Value)> {
    let mut volatile = Dice::of(0, &[u64::from(after)]);
    let place = |value: Value, with_id: bool| {
        let mut row = clean(value);
        if let Value::Object(fields) = &mut row {
            fields.insert("TeamName".to_owned(), Value::from(world.team.as_str()));
            fields.insert("ProjectName".to_owned(), Value::from(project.name.as_str()));
            if with_id {
                fields.insert("ProjectId".to_owned(), Value::from(project.id));
            }
        }
        row
    };
    match table {
        Table::Issues => {
            let codes = project.codes();
            let start = codes.partition_point(|code| *code <= after);
            let issues = codes.iter().skip(start).take(limit).filter_map(|code| project.issue(*code));
            issues
                .map(|issue| {
                    let list = json(&issue_row(world, project, issue));
                    let detail = json(&issue_detail(world, project, issue, &mut volatile));
                    let row = match shape {
                        Shape::List => list,
                        Shape::Detail => detail,
                        Shape::Full => merged(list, detail),
                    };
                    (issue.code, place(row, false))
                })
                .collect()
        }
        Table::Iterations => {
            let later = project.iterations.range(after.saturating_add(1)..).take(limit);
            later.map(|(code, iteration)| (*code, place(json(&iteration_body(iteration)), true))).collect()
        }
        Table::ProjectMembers => {
            let members = project_members(world, project).filter(|member| member.id > after).take(limit);
            members.map(|member| (member.id, place(json(&member), true))).collect()
        }
    }
}

fn json(body: &impl Serialize) -> Value {
    serde_json::to_value(body).expect("plain structs always serialise")
}

/// Lays `top` over `base`; objects are merged member by member, everything else is replaced.
fn merged(base: Value, top: Value) -> Value {
    match (base, top) {
        (Value::Object(mut base), Value::Object(top)) => {
            for (key, value) in top {
                let below = base.remove(&key).unwrap_or(Value::Null);
                base.insert(key, merged(below, value));
            }
            Value::Object(base)
        }
        (_, top) => top,
    }
}

fn clean(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains(['\0', LONE_SURROGATE]) => {
            Value::String(text.replace(['\0', LONE_SURROGATE], "\u{FFFD}"))
        }
        Value::Array(items) => Value::Array(items.into_iter().map(clean).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(key, value)| (key, clean(value))).collect::<Map<_, _>>())
        }
        other => other,
    }
}
