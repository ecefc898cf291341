//! What happens at the source meanwhile: changes by chance, and a book of what went.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use coding_sim::{Applied, MutationKind, Operation, Shape, Table, WorldHandle};
use connectors::coding::tables::{ISSUES, ITERATIONS, PROJECT_MEMBERS};
use engine::row::{ProjectId, RowId, RowKey};
use tokio::time::MissedTickBehavior;

use crate::cells::project_id;
use crate::chaos::Dice;

/// Time between two changes.
const EVERY: Duration = Duration::from_millis(50);
/// Once in so many times many things happen at once ...
const BURST_ONCE_IN: u64 = 60;
/// ... as many as this.
const BURST: usize = 25;
/// Iterations up to this code stay: filters name them.
pub(super) const KEPT_ITERATIONS: i64 = 5;

/// What happens, and how often. Iterations go by order. What goes while kills keep every census from its end is less
/// than what a census would not believe.
const KINDS: [(MutationKind, usize); 19] = [
    (MutationKind::CreateIssue, 12),
    (MutationKind::CreateSubTask, 6),
    (MutationKind::EditIssue, 22),
    (MutationKind::EditCustomField, 10),
    (MutationKind::EditLabels, 5),
    (MutationKind::EditWatchers, 4),
    (MutationKind::SilentEdit, 4),
    (MutationKind::ChangeStatus, 12),
    (MutationKind::MoveIteration, 10),
    (MutationKind::ChangeParent, 4),
    (MutationKind::ChangeEpic, 4),
    (MutationKind::DeleteIssue, 5),
    (MutationKind::CreateIteration, 2),
    (MutationKind::EditIteration, 1),
    (MutationKind::RenameIteration, 1),
    (MutationKind::ChangeRoles, 1),
    (MutationKind::MemberJoin, 2),
    (MutationKind::MemberLeave, 2),
    (MutationKind::RenameUser, 1),
];

/// A source that lives.
pub(super) struct Life {
    world: WorldHandle,
    projects: BTreeMap<String, ProjectId>,
    kinds: Vec<MutationKind>,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    changes: usize,
    /// How often a row went.
    gone: HashMap<RowKey, usize>,
}

impl Life {
    pub(super) fn new(world: WorldHandle) -> Life {
        let id = |name: String| (name.clone(), ProjectId(project_id(&world, &name)));
        let projects = world.projects().into_iter().map(id).collect();
        let kinds = KINDS.iter().flat_map(|(kind, times)| std::iter::repeat_n(*kind, *times)).collect();
        Life { world, projects, kinds, book: Mutex::default() }
    }

    /// Changes things until it is dropped.
    pub(super) async fn go_on(&self, mut dice: Dice) -> ! {
        let mut due = tokio::time::interval(EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            let times = if dice.once_in(BURST_ONCE_IN) { BURST } else { 1 };
            (0..times).for_each(|_| self.change(&mut dice));
        }
    }

    /// Changes something. The book is held meanwhile: nobody reads in it of less than there is to be seen.
    fn change(&self, dice: &mut Dice) {
        let mut book = self.book.lock().unwrap();
        let done = match dice.once_in(100) {
            true => self.delete_iteration(),
            false => self.world.mutate(1, &self.kinds),
        };
        for change in done {
            book.changes += 1;
            if ["delete_issue", "delete_iteration", "member_leave"].contains(&&*change.kind) {
                *book.gone.entry(self.key(&change)).or_default() += 1;
            }
        }
    }

    /// Deletes the newest iteration that no filter names.
    fn delete_iteration(&self) -> Vec<Applied> {
        let newest = self.projects.keys().find_map(|project| {
            let rows = self.world.truth(Table::Iterations, project, Shape::List).unwrap();
            let code = rows.last().and_then(|row| row.get("Code")?.as_i64());
            Some((project.clone(), code.filter(|code| *code > KEPT_ITERATIONS)?))
        });
        newest.map_or_else(Vec::new, |(project, code)| {
            let delete = Operation::DeleteIteration { project, code: u32::try_from(code).unwrap() };
            self.world.apply(&[delete]).unwrap()
        })
    }

    fn key(&self, change: &Applied) -> RowKey {
        let table = match &*change.table {
            "Issues" => ISSUES,
            "Iterations" => ITERATIONS,
            _ => PROJECT_MEMBERS,
        };
        let project = *self.projects.get(&change.project).unwrap();
        RowKey { table, project, id: RowId(change.key.into()) }
    }

    /// Changes made so far.
    pub(super) fn changes(&self) -> usize {
        self.book.lock().unwrap().changes
    }

    /// How often a row has gone so far.
    pub(super) fn went(&self, key: &RowKey) -> usize {
        self.book.lock().unwrap().gone.get(key).copied().unwrap_or(0)
    }
}
