//! The state of the simulated team. Start with [`World`]; [`crate::changes`] is the only place that
//! changes it, [`crate::seed`] makes it.

pub(crate) mod catalog;
pub(crate) mod field;
pub(crate) mod issue;
pub(crate) mod iteration;
pub(crate) mod project;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::config::SimConfig;
use crate::dice::Dice;
use crate::hooks::book::HookBook;
use crate::world::field::Field;
use crate::world::issue::Issue;
use crate::world::project::Project;

/// One team with everything in it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) team: String,
    pub(crate) team_id: u32,
    pub(crate) created_at: i64,
    /// Typical size of a derived description.
    pub(crate) description_bytes: usize,
    /// The user behind the personal tokens.
    pub(crate) owner: u32,
    pub(crate) users: BTreeMap<u32, User>,
    pub(crate) projects: Vec<Project>,
    /// Custom fields, ascending by id.
    pub(crate) fields: Vec<Field>,
    pub(crate) last_issue_id: u32,
    pub(crate) last_iteration_id: u32,
    pub(crate) last_file_id: u32,
    pub(crate) last_field_id: u32,
    /// Drives the built-in mutator.
    pub(crate) dice: Dice,
    /// Added to the clock when a row is stamped.
    pub(crate) clock_skew_ms: i64,
    /// Who is told of changes.
    pub(crate) hooks: HookBook,
    /// What rows were before their latest changes, newest last; lets listings lag behind.
    pub(crate) undo: VecDeque<Undo>,
}

/// How a row was before a change.
#[derive(Debug)]
pub(crate) struct Undo {
    pub(crate) at: Instant,
    pub(crate) project: u32,
    pub(crate) code: u32,
    pub(crate) before: Option<Issue>,
}

/// Lagging listings look back this far at most; bounds the memory of the undo log.
const UNDO_FOR: Duration = Duration::from_secs(600);
/// And over this many changes.
const UNDO_ROWS: usize = 20_000;

/// A user of the team.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) pinyin: String,
    pub(crate) avatar: String,
    pub(crate) email: String,
    pub(crate) phone: String,
    pub(crate) global_key: String,
    pub(crate) status: i8,
}

impl World {
    /// The world that the settings describe.
    pub(crate) fn new(config: &SimConfig) -> Self {
        crate::seed::world(config)
    }

    /// The project with this identifier.
    pub(crate) fn project(&self, name: &str) -> Option<&Project> {
        self.projects.iter().find(|project| project.name == name)
    }

    /// The project with this identifier, to change it.
    pub(crate) fn project_mut(&mut self, name: &str) -> Option<&mut Project> {
        self.projects.iter_mut().find(|project| project.name == name)
    }

    /// The project with this id.
    pub(crate) fn project_by_id(&self, id: u32) -> Option<&Project> {
        self.projects.iter().find(|project| project.id == id)
    }

    /// The custom field with this id.
    pub(crate) fn field(&self, id: u32) -> Option<&Field> {
        let at = self.fields.binary_search_by_key(&id, |field| field.id).ok()?;
        self.fields.get(at)
    }

    /// The custom field with this id, to change it.
    pub(crate) fn field_mut(&mut self, id: u32) -> Option<&mut Field> {
        let at = self.fields.binary_search_by_key(&id, |field| field.id).ok()?;
        self.fields.get_mut(at)
    }

    /// Remembers how a row was before a change that happens now.
    pub(crate) fn remember(&mut self, project: u32, code: u32, before: Option<Issue>) {
        let now = Instant::now();
        while self.undo.len() >= UNDO_ROWS
            || self.undo.front().is_some_and(|first| now.duration_since(first.at) > UNDO_FOR)
        {
            self.undo.pop_front();
        }
        self.undo.push_back(Undo { at: now, project, code, before });
    }

    /// Rows of a project as they were `age` ago, where they differ from now; `None` = not there.
    pub(crate) fn as_of(&self, project: u32, age: Duration) -> HashMap<u32, Option<&Issue>> {
        let now = Instant::now();
        let first = self.undo.partition_point(|entry| now.duration_since(entry.at) >= age);
        let mut rows = HashMap::new();
        for entry in self.undo.range(first..).filter(|entry| entry.project == project) {
            rows.entry(entry.code).or_insert(entry.before.as_ref());
        }
        rows
    }
}
