//! A project: its rows and the indexes that keep a page as cheap as its rows.
//!
//! Every change of an issue goes through [`Project::put`] or [`Project::take`], so that orders,
//! children, epics and tallies always agree with the rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::world::issue::Issue;
use crate::world::iteration::Iteration;

/// One project with all of its rows.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) display_name: String,
    pub(crate) description: String,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) labels: Vec<Label>,
    pub(crate) modules: Vec<Module>,
    pub(crate) iterations: BTreeMap<u32, Iteration>,
    /// User id → ids of the roles.
    pub(crate) members: BTreeMap<u32, Vec<u32>>,
    /// The last code given to an iteration.
    pub(crate) last_iteration: u32,
    /// By code; deleted codes are never given again.
    slots: Vec<Option<Box<Issue>>>,
    /// Codes alive, ascending.
    codes: Vec<u32>,
    by_created: Vec<(i64, u32)>,
    by_updated: Vec<(i64, u32)>,
    children: HashMap<u32, BTreeSet<u32>>,
    of_epic: HashMap<u32, BTreeSet<u32>>,
    of_iteration: HashMap<u32, BTreeSet<u32>>,
}

/// A label of a project.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) color: &'static str,
}

/// A module of a project.
#[derive(Clone, Debug)]
pub(crate) struct Module {
    pub(crate) id: u32,
    pub(crate) name: String,
}

impl Project {
    pub(crate) fn new(
        id: u32,
        name: &str,
        display_name: String,
        description: String,
        created_at: i64,
    ) -> Self {
        Self {
            id,
            name: name.to_owned(),
            display_name,
            description,
            created_at,
            updated_at: created_at,
            labels: Vec::new(),
            modules: Vec::new(),
            iterations: BTreeMap::new(),
            members: BTreeMap::new(),
            last_iteration: 0,
            slots: vec![None],
            codes: Vec::new(),
            by_created: Vec::new(),
            by_updated: Vec::new(),
            children: HashMap::new(),
            of_epic: HashMap::new(),
            of_iteration: HashMap::new(),
        }
    }

    /// The issue with this code.
    pub(crate) fn issue(&self, code: u32) -> Option<&Issue> {
        self.slots.get(slot(code))?.as_deref()
    }

    /// The code that the next issue gets.
    pub(crate) fn next_code(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// Codes alive, ascending.
    pub(crate) fn codes(&self) -> &[u32] {
        &self.codes
    }

    /// Creation times and codes, ascending.
    pub(crate) fn by_created(&self) -> &[(i64, u32)] {
        &self.by_created
    }

    /// Update times and codes, ascending.
    pub(crate) fn by_updated(&self) -> &[(i64, u32)] {
        &self.by_updated
    }

    /// Codes of the children of an issue, ascending.
    pub(crate) fn children(&self, code: u32) -> impl Iterator<Item = u32> {
        self.children.get(&code).into_iter().flatten().copied()
    }

    /// Codes of the issues of an epic, ascending.
    pub(crate) fn of_epic(&self, code: u32) -> impl Iterator<Item = u32> {
        self.of_epic.get(&code).into_iter().flatten().copied()
    }

    /// Codes of the issues of an iteration, ascending.
    pub(crate) fn of_iteration(&self, code: u32) -> impl Iterator<Item = u32> {
        self.of_iteration.get(&code).into_iter().flatten().copied()
    }

    /// Adds many new issues at once; their codes must go on from [`Self::next_code`].
    pub(crate) fn fill(&mut self, issues: impl Iterator<Item = Issue>) {
        for issue in issues {
            self.link(&issue);
            self.codes.push(issue.code);
            self.by_created.push((issue.created_at, issue.code));
            self.by_updated.push((issue.updated_at, issue.code));
            self.store(issue);
        }
        self.codes.sort_unstable();
        self.by_created.sort_unstable();
        self.by_updated.sort_unstable();
    }

    /// Inserts or replaces an issue and answers what was there. Orders that do not change are left alone:
    /// an iteration may go from thousands of rows at once.
    pub(crate) fn put(&mut self, issue: Issue) -> Option<Issue> {
        let before = self.slots.get_mut(slot(issue.code)).and_then(Option::take).map(|boxed| *boxed);
        if let Some(old) = &before {
            self.unlink(old);
        }
        self.link(&issue);
        if before.is_none() {
            insert(&mut self.codes, issue.code);
        }
        let created = before.as_ref().map(|old| old.created_at);
        reorder(&mut self.by_created, created, issue.created_at, issue.code);
        let updated = before.as_ref().map(|old| old.updated_at);
        reorder(&mut self.by_updated, updated, issue.updated_at, issue.code);
        self.store(issue);
        before
    }

    /// Removes an issue; references to it are the caller's business.
    pub(crate) fn take(&mut self, code: u32) -> Option<Issue> {
        let issue = *self.slots.get_mut(slot(code))?.take()?;
        remove(&mut self.codes, &code);
        remove(&mut self.by_created, &(issue.created_at, code));
        remove(&mut self.by_updated, &(issue.updated_at, code));
        self.unlink(&issue);
        Some(issue)
    }

    fn unlink(&mut self, issue: &Issue) {
        unlink(&mut self.children, issue.parent, issue.code);
        unlink(&mut self.of_epic, issue.epic, issue.code);
        unlink(&mut self.of_iteration, issue.iteration, issue.code);
        if let Some(iteration) = self.iterations.get_mut(&issue.iteration) {
            iteration.tally.count(issue, -1);
        }
    }

    fn link(&mut self, issue: &Issue) {
        for (index, key) in [
            (&mut self.children, issue.parent),
            (&mut self.of_epic, issue.epic),
            (&mut self.of_iteration, issue.iteration),
        ] {
            if key != 0 {
                index.entry(key).or_default().insert(issue.code);
            }
        }
        if let Some(iteration) = self.iterations.get_mut(&issue.iteration) {
            iteration.tally.count(issue, 1);
        }
    }

    fn store(&mut self, issue: Issue) {
        let at = slot(issue.code);
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || None);
        }
        if let Some(place) = self.slots.get_mut(at) {
            *place = Some(Box::new(issue));
        }
    }
}

fn slot(code: u32) -> usize {
    usize::try_from(code).unwrap_or(usize::MAX)
}

/// Inserting into a sorted vector moves memory, yet a page by position needs no walk; at the rates a
/// mutator runs this is far cheaper than a tree.
fn insert<T: Ord>(order: &mut Vec<T>, item: T) {
    let at = order.partition_point(|other| *other < item);
    order.insert(at, item);
}

fn reorder(order: &mut Vec<(i64, u32)>, before: Option<i64>, now: i64, code: u32) {
    if before == Some(now) {
        return;
    }
    if let Some(before) = before {
        remove(order, &(before, code));
    }
    insert(order, (now, code));
}

fn remove<T: Ord>(order: &mut Vec<T>, item: &T) {
    if let Ok(at) = order.binary_search(item) {
        order.remove(at);
    }
}

fn unlink(index: &mut HashMap<u32, BTreeSet<u32>>, key: u32, code: u32) {
    if let Some(codes) = index.get_mut(&key) {
        codes.remove(&code);
        if codes.is_empty() {
            index.remove(&key);
        }
    }
}
