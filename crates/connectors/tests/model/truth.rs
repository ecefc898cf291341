//! What there is at the source, as a plain map that the test keeps from what it does itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use coding_sim::{Shape, Table, WorldHandle};
use connectors::coding::tables::{ISSUES, ITERATIONS, PROJECT_MEMBERS};
use engine::row::{ProjectId, RowId, RowKey};
use engine::schema::TableId;
use serde_json::{Map, Value, json};

/// A project's identifier, and a code or id in it.
pub(super) type Place = (&'static str, u32);

/// Projects by identifier.
pub(super) const PROJECTS: [&str; 2] = ["alpha", "beta"];

const TABLES: [(Table, TableId, &str); 3] = [
    (Table::Issues, ISSUES, "Code"),
    (Table::Iterations, ITERATIONS, "Code"),
    (Table::ProjectMembers, PROJECT_MEMBERS, "Id"),
];

/// What the test knows of an issue.
#[derive(Clone, Debug)]
pub(super) struct Issue {
    pub(super) sort: String,
    pub(super) name: String,
    pub(super) status: u32,
    pub(super) assignee: u32,
    pub(super) iteration: u32,
    pub(super) parent: u32,
    pub(super) epic: u32,
}

/// The whole world.
#[derive(Debug, Default)]
pub(super) struct Truth {
    pub(super) issues: BTreeMap<Place, Issue>,
    pub(super) iterations: BTreeMap<Place, String>,
    /// Who is in a project.
    pub(super) members: BTreeSet<Place>,
    /// Names of users.
    pub(super) users: BTreeMap<u32, String>,
    /// Users whose name is not the one they began with, and how many such names there were.
    pub(super) renamed: BTreeSet<u32>,
    pub(super) names: usize,
    /// How often each row went.
    gone: HashMap<RowKey, usize>,
    /// How often each row came to look otherwise, or came, or went.
    touched: HashMap<RowKey, usize>,
    ids: BTreeMap<&'static str, ProjectId>,
}

impl Truth {
    /// The world as it is before anything is done.
    pub(super) fn of(world: &WorldHandle) -> Truth {
        let mut truth = Truth::default();
        for project in PROJECTS {
            for row in world.truth(Table::Issues, project, Shape::Full).unwrap() {
                let issue = Issue {
                    sort: text(&row, "Type"),
                    name: text(&row, "Name"),
                    status: number(&row["IssueStatusId"]),
                    assignee: number(&row["AssigneeId"]),
                    iteration: number(&row["Iteration"]["Code"]),
                    parent: number(&row["ParentCode"]),
                    epic: number(&row["Epic"]["Code"]),
                };
                truth.issues.insert((project, number(&row["Code"])), issue);
            }
            for row in world.truth(Table::Iterations, project, Shape::Full).unwrap() {
                truth.iterations.insert((project, number(&row["Code"])), text(&row, "Name"));
            }
            for row in world.truth(Table::ProjectMembers, project, Shape::Full).unwrap() {
                truth.members.insert((project, number(&row["Id"])));
                truth.users.insert(number(&row["Id"]), text(&row, "Name"));
                truth.ids.insert(project, ProjectId(row["ProjectId"].as_i64().unwrap()));
            }
        }
        truth
    }

    /// The issue goes, its children lose their parent and its members their epic.
    pub(super) fn delete_issue(&mut self, place: Place) {
        self.issues.remove(&place);
        let near = self.issues.iter_mut().filter(|((project, _), _)| *project == place.0);
        for (_, issue) in near {
            if issue.parent == place.1 {
                issue.parent = 0;
            }
            if issue.epic == place.1 {
                issue.epic = 0;
            }
        }
    }

    /// The iteration goes, its issues are in none.
    pub(super) fn delete_iteration(&mut self, place: Place) {
        self.iterations.remove(&place);
        let inside = self.issues.iter_mut();
        let inside = inside.filter(|((project, _), issue)| *project == place.0 && issue.iteration == place.1);
        inside.for_each(|(_, issue)| issue.iteration = 0);
    }

    /// Notes which rows look otherwise than before.
    pub(super) fn note(&mut self, before: &Looks, after: &Looks) {
        for key in before.keys().chain(after.keys().filter(|key| !before.contains_key(key))) {
            if before.get(key) != after.get(key) {
                *self.touched.entry(*key).or_default() += 1;
            }
            if !after.contains_key(key) {
                *self.gone.entry(*key).or_default() += 1;
            }
        }
    }

    /// How often a row went so far.
    pub(super) fn gone(&self, key: RowKey) -> usize {
        self.gone.get(&key).copied().unwrap_or(0)
    }

    /// How often a row came, changed or went so far.
    pub(super) fn touched(&self, key: RowKey) -> usize {
        self.touched.get(&key).copied().unwrap_or(0)
    }

    /// How the rows look by the source's own account, temporary URLs aside.
    pub(super) fn looks(&self, world: &WorldHandle, shape: Shape) -> Looks {
        let mut looks = Looks::new();
        for (project, id) in &self.ids {
            for (table, number, key_field) in TABLES {
                for mut row in world.truth(table, project, shape).unwrap() {
                    row.as_object_mut().unwrap().remove("Files");
                    let id = (number, *id, RowId(row[key_field].as_i64().unwrap()));
                    looks.insert(RowKey { table: id.0, project: id.1, id: id.2 }, row);
                }
            }
        }
        looks
    }

    /// What a task that wants the issues that pass `wanted` holds of a table, by project and id: of each row the
    /// fields that the test knows.
    pub(super) fn expected(
        &self,
        table: &str,
        details: bool,
        wanted: impl Fn(&Issue) -> bool,
    ) -> BTreeMap<(String, i64), Map<String, Value>> {
        let fields = |value: Value| value.as_object().unwrap().clone();
        let place = |(project, id): &Place| ((*project).to_owned(), i64::from(*id));
        match table {
            "Issues" => self
                .issues
                .iter()
                .filter(|(_, issue)| wanted(issue))
                .map(|(at, issue)| {
                    let mut row = json!({
                        "Type": issue.sort, "Name": issue.name, "IssueStatusId": issue.status,
                        "AssigneeId": issue.assignee, "Iteration": issue.iteration, "ParentCode": issue.parent,
                    });
                    if details {
                        row["Epic"] = issue.epic.into();
                        row["Parent"] = issue.parent.into();
                        row["SubTasks"] = self.children(*at).into();
                    }
                    (place(at), fields(row))
                })
                .collect(),
            "Iterations" => {
                self.iterations.iter().map(|(at, name)| (place(at), fields(json!({"Name": name})))).collect()
            }
            _ => {
                let named = |at: &Place| fields(json!({"Name": self.users[&at.1]}));
                self.members.iter().map(|at| (place(at), named(at))).collect()
            }
        }
    }

    fn children(&self, parent: Place) -> Vec<u32> {
        let below = |(place, issue): (&Place, &Issue)| {
            (place.0 == parent.0 && issue.parent == parent.1).then_some(place.1)
        };
        self.issues.iter().filter_map(below).collect()
    }
}

/// Rows as the source shows them.
pub(super) type Looks = HashMap<RowKey, Value>;

/// What [`Truth::expected`] says of a row, from a row of a target.
pub(super) fn known(row: &Map<String, Value>, fields: &Map<String, Value>) -> Map<String, Value> {
    let field = |name: &String| match (name.as_str(), row.get(name).cloned().unwrap_or_default()) {
        ("Iteration" | "Epic" | "Parent", copy) if copy["Code"].is_null() => 0.into(),
        ("Iteration" | "Epic" | "Parent", copy) => copy["Code"].clone(),
        ("SubTasks", copies) => copies.as_array().unwrap().iter().map(|copy| copy["Code"].clone()).collect(),
        (_, value) => value,
    };
    fields.keys().map(|name| (name.clone(), field(name))).collect()
}

fn text(row: &Value, field: &str) -> String {
    row[field].as_str().unwrap().to_owned()
}

fn number(value: &Value) -> u32 {
    u32::try_from(value.as_i64().unwrap()).unwrap()
}
