//! A pipeline under a test's hands: carries steps out, keeps the truth beside it, and compares.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coding_sim::{
    AccessLoss, CustomContent, FaultKind, Faults, IssueFields, MutationKind, Operation, ProjectConfig, Shape,
};
use connectors::coding::config::Details;
use connectors::coding::tables::ISSUES;
use engine::capture::Hooks;
use engine::change::{Change, ChangeKind};
use engine::delivery::filter::{Filter, Rule, Test};
use engine::inbox::Inbox;
use engine::journal::{Journal, Limit};
use engine::observation::Channel;
use engine::position::Sequence;
use engine::row::{Row, RowKey};
use engine::status::{Board, Status};
use store::inbox::SqliteInbox;
use store::journal::SqliteJournal;

use super::letters::Letters;
use super::steps::{Edit, Pick, Rules, Step, Trouble};
use super::truth::{Issue, Looks, PROJECTS, Place, Truth, known};
use crate::compare::read;
use crate::harness::{Bench, Following, differences, settled, unlimited};
use crate::place::TargetKind;

/// Between polls, where there are any. A census takes twice as long to come.
const OFTEN: Duration = Duration::from_millis(150);
const NEVER: Duration = Duration::from_hours(1);
/// How long a pipeline that follows may take to become equal.
const PATIENCE: Duration = Duration::from_secs(40);
/// Room for deliveries.
const ROOM: u64 = 1 << 30;
/// Edits that are dated apart begin so long ago.
const LONG_AGO: i64 = -3_600;
/// Everything at once: cases are small.
const ALL: Limit = Limit { rows: 1_000_000, bytes: usize::MAX };
/// A custom field with a plain text.
const FIELD: u32 = 81_001;
/// Rows that are left alone, so that no project runs empty: an emptied table's deletes are held.
const KEEP: usize = 3;

/// Changes shown of a case that fails.
const STORY: i64 = 80;
/// No look-up shows the database id of the parent.
const ONLY_LISTED: &str = "ParentId";

const STATUSES: [u32; 6] = [52_001, 52_002, 52_003, 52_004, 52_005, 52_006];
const ROLES: [&str; 3] = ["ProjectAdmin", "ProjectMember", "ProjectGuest"];

/// A pipeline, its source's hook, and what must be true of both.
pub(super) struct Rig {
    rules: Rules,
    bench: Bench,
    truth: Truth,
    letters: Letters,
    inbox: Option<Arc<SqliteInbox>>,
    following: Option<Following>,
    /// Whether everything has been read once.
    loaded: bool,
    trouble: Trouble,
    filter: u8,
    edits: i64,
    log: Log,
    told: Told,
}

/// What came of the steps, for whoever reads a case that fails.
#[derive(Clone, Default)]
pub(super) struct Told {
    /// In words.
    steps: Arc<Mutex<Vec<String>>>,
    /// The board of the newest run.
    newest: Arc<Mutex<Board>>,
}

impl Told {
    pub(super) fn steps(&self) -> String {
        self.steps.lock().unwrap().join("\n  ")
    }

    pub(super) fn board(&self) -> Status {
        self.newest.lock().unwrap().read()
    }
}

/// What the log has told so far.
#[derive(Default)]
struct Log {
    read: Sequence,
    last: HashMap<RowKey, Option<Row>>,
    effects: HashMap<RowKey, usize>,
}

impl Rig {
    pub(super) async fn new(target: TargetKind, rules: Rules, told: Told) -> Rig {
        let [alpha, beta] = PROJECTS;
        let projects = vec![ProjectConfig::new(alpha, 14, 3, 5), ProjectConfig::new(beta, 6, 2, 4)];
        let mut bench = Bench::new(target, unlimited(projects)).await;
        bench.newest = Arc::clone(&told.newest);
        bench.settings.details = rules.details;
        bench.task.listed_only = rules.details == Details::Off;
        (bench.settings.poll_interval, bench.settings.census_interval) =
            if rules.polls { (OFTEN, OFTEN * 2) } else { (NEVER, NEVER) };
        let letters = Letters::open().await;
        let world = bench.sim.world();
        if rules.hooks {
            for project in PROJECTS {
                world.register_hook(project, &letters.url, "", &[]).unwrap();
            }
        }
        let mut rig = Rig {
            truth: Truth::of(&world),
            rules,
            bench,
            letters,
            inbox: None,
            following: None,
            loaded: false,
            trouble: Trouble::None,
            filter: 0,
            edits: 0,
            log: Log::default(),
            told,
        };
        rig.open_inbox().await;
        if rules.loaded {
            rig.once().await;
        }
        rig
    }

    pub(super) async fn step(&mut self, step: Step) {
        self.tell(format!("{step:?}"));
        match step {
            Step::Edit(edit) => self.edit(edit).await,
            Step::Deliver { which, again } => self.deliver(which, again).await,
            Step::DeliverAll => {
                while self.letters.count() > 0 {
                    self.accept(0, false).await;
                }
            }
            Step::Lose(which) => {
                if let Some(place) = self.letter(which) {
                    drop(self.letters.take(place, false));
                }
            }
            Step::Follow => self.follow().await,
            Step::Stop => self.stop().await,
            Step::Crash => self.crash().await,
            Step::Once => {
                self.stop().await;
                self.once().await;
            }
            // What may happen meanwhile is what the step is for; nothing is waited for.
            Step::Rest(hundredths) => {
                tokio::time::sleep(Duration::from_millis(u64::from(hundredths) * 10)).await
            }
            Step::Filter(filter) => self.filter = filter,
            Step::Trouble(trouble) => self.trouble(trouble),
            Step::Forget => self.forget().await,
            Step::Settle => self.settle().await,
        }
    }

    async fn open_inbox(&mut self) {
        if !self.rules.hooks {
            return;
        }
        std::fs::create_dir_all(self.bench.state()).unwrap();
        let inbox = Arc::new(SqliteInbox::open(&self.bench.state(), ROOM).await.unwrap());
        self.bench.hooks = Some(Hooks {
            inbox: inbox.clone(),
            give_up_after: Duration::from_mins(1),
            missed_after: Duration::from_mins(2),
            keep: Duration::from_hours(1),
            max_bytes: ROOM,
        });
        self.inbox = Some(inbox);
    }

    fn letter(&self, which: Pick) -> Option<usize> {
        which.of(&(0..self.letters.count()).collect::<Vec<_>>())
    }

    async fn deliver(&mut self, which: Pick, again: bool) {
        if let Some(place) = self.letter(which) {
            self.accept(place, again).await;
        }
    }

    async fn accept(&mut self, place: usize, again: bool) {
        let arrival = self.letters.take(place, again);
        self.inbox.as_ref().unwrap().accept(arrival).await.unwrap();
    }

    /// A filter of the step's number: none, or one that rows move in and out of.
    fn rule(&self) -> Vec<Test> {
        match self.filter {
            1 => ["MISSION", "SUB_TASK"].map(|sort| Test::Text(&["Type"], sort.to_owned())).into(),
            2 => vec![Test::Number(&["Iteration", "Code"], 1)],
            3 => vec![Test::Number(&["IssueStatusId"], i64::from(STATUSES[0]))],
            _ => Vec::new(),
        }
    }

    fn wanted(&self, issue: &Issue) -> bool {
        match self.filter {
            1 => ["MISSION", "SUB_TASK"].contains(&issue.sort.as_str()),
            2 => issue.iteration == 1,
            3 => issue.status == STATUSES[0],
            _ => true,
        }
    }

    fn set_filter(&mut self) {
        let any = self.rule();
        let rules = if any.is_empty() { Vec::new() } else { vec![Rule { table: ISSUES, any }] };
        self.bench.task.filter = Filter(rules);
    }

    async fn follow(&mut self) {
        if self.following.is_some() {
            return;
        }
        self.see_all();
        self.set_filter();
        self.following = Some(self.bench.follow().await);
    }

    async fn stop(&mut self) {
        self.see_all();
        let Some(following) = self.following.take() else { return };
        following.stop().await;
        self.check_log().await;
    }

    async fn crash(&mut self) {
        self.see_all();
        let Some(Following { capture, delivery, journal, .. }) = self.following.take() else { return };
        capture.abort();
        delivery.abort();
        for ended in [capture.await.map(drop), delivery.await.map(drop)] {
            if let Err(error) = ended {
                assert!(error.is_cancelled(), "{error}");
            }
        }
        // What a process has begun to write when it is killed is written or is not, before the next one looks.
        let mut journal = journal;
        let journal = loop {
            match Arc::try_unwrap(journal) {
                Ok(alone) => break alone,
                Err(shared) => journal = shared,
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        journal.close().await.unwrap();
        if let Some(inbox) = self.inbox.take() {
            self.bench.hooks = None;
            inbox.close().await.unwrap();
            self.open_inbox().await;
        }
        self.check_log().await;
    }

    /// Everything once, to the end.
    async fn once(&mut self) {
        self.see_all();
        self.set_filter();
        let ran = self.bench.once().await;
        self.loaded = true;
        let complete = ran.outcome.held.is_empty() && ran.outcome.pending == 0;
        assert!(complete || self.trouble != Trouble::None, "{:?}", ran.outcome);
        self.check_log().await;
    }

    async fn forget(&mut self) {
        self.stop().await;
        if !self.loaded {
            return;
        }
        let journal = SqliteJournal::open(&self.bench.state()).await.unwrap();
        journal.prune(Duration::ZERO).await.unwrap();
        journal.close().await.unwrap();
    }

    fn trouble(&mut self, trouble: Trouble) {
        let hidden = matches!(trouble, Trouble::Refused | Trouble::Emptied);
        // A start without a sight of its projects ends with a complaint, and `once` waits for them.
        if hidden && (self.following.is_none() || !self.loaded) {
            return;
        }
        self.trouble = trouble;
        self.bench.sim.world().change_faults(|faults| {
            let hide = |style| [(PROJECTS[0].to_owned(), style)].into();
            (faults.hang_ms, faults.trickle_ms) = (30, 30);
            faults.lost_projects = match trouble {
                Trouble::Refused => hide(AccessLoss::Errors),
                Trouble::Emptied => hide(AccessLoss::EmptyLists),
                _ => Default::default(),
            };
            faults.each = match trouble {
                Trouble::Faults => {
                    let mut each = Faults::transient(0.1).each;
                    // A row that is listed in part and denied when it is looked up is not there, for all anybody
                    // can tell.
                    each.remove(&FaultKind::DetailNotFound);
                    each
                }
                Trouble::Throttling => {
                    Faults::evenly(0.3, &[FaultKind::RequestLimitExceeded, FaultKind::Http429]).each
                }
                _ => Default::default(),
            };
        });
    }

    fn see_all(&mut self) {
        if matches!(self.trouble, Trouble::Refused | Trouble::Emptied) {
            self.trouble(Trouble::None);
        }
    }

    /// Nothing happens any more; whoever follows by polls becomes equal, a run of everything makes equal.
    async fn settle(&mut self) {
        self.trouble(Trouble::None);
        let was_following = self.following.is_some();
        if let (Some(following), true) = (&self.following, self.rules.polls) {
            following.until("the first reading", settled).await;
            let deadline = tokio::time::Instant::now() + PATIENCE;
            loop {
                // The filter of the last start still holds.
                let found = differences(&self.bench).await;
                if found.is_empty() {
                    break;
                }
                let late = tokio::time::Instant::now() > deadline;
                assert!(!late, "following, it stays different: {found:#?}\n{:#?}", following.board.read());
                tokio::time::sleep(OFTEN).await;
            }
            self.loaded = true;
        }
        self.stop().await;
        self.once().await;
        let found = differences(&self.bench).await;
        assert!(found.is_empty(), "{found:#?}\n\nThe log:\n{}", self.story().await);
        self.equals_the_map().await;
        if was_following {
            self.follow().await;
        }
    }

    /// The target holds the rows of the map, and they say what it says.
    async fn equals_the_map(&self) {
        let details = self.rules.details != Details::Off;
        for (index, table) in self.bench.task.tables.iter().enumerate() {
            let expected = self.truth.expected(table.name, details, |issue| self.wanted(issue));
            let held = read(&self.bench.place, &self.bench.task, index).await;
            let keys = (held.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
            assert_eq!(keys.0, keys.1, "the rows of {}", table.name);
            for (place, fields) in &expected {
                assert_eq!(&known(&held[place], fields), fields, "{} {place:?}", table.name);
            }
        }
    }

    /// Where nothing changed, nothing is recorded.
    pub(super) async fn is_quiet(&mut self) {
        self.stop().await;
        let head = async |rig: &Rig| {
            let journal = SqliteJournal::open_read_only(&rig.bench.state()).await.unwrap();
            let head = journal.bounds().await.unwrap().head;
            journal.close().await.unwrap();
            head
        };
        let before = head(self).await;
        self.once().await;
        assert_eq!(head(self).await, before, "nothing happened, and something was recorded");
        if let Some(inbox) = &self.inbox {
            inbox.close().await.unwrap();
        }
    }

    /// The end of the log in words, for whoever reads a case that fails.
    async fn story(&self) -> String {
        let journal = SqliteJournal::open_read_only(&self.bench.state()).await.unwrap();
        let bounds = journal.bounds().await.unwrap();
        let from = bounds.log_floor.max(Sequence(bounds.head.0 - STORY));
        let changes = journal.log_after(from, ALL).await.unwrap();
        journal.close().await.unwrap();
        changes.iter().map(said).collect::<Vec<_>>().join("\n")
    }

    /// Reads what is new in the log. Each change follows from the one before it, and from something that happened.
    async fn check_log(&mut self) {
        let journal = SqliteJournal::open_read_only(&self.bench.state()).await.unwrap();
        let from = self.log.read.max(journal.bounds().await.unwrap().log_floor);
        let changes = journal.log_after(from, ALL).await.unwrap();
        journal.close().await.unwrap();
        for change in &changes {
            let Change { sequence, key, kind, before, after, .. } = change;
            assert!(*sequence > self.log.read, "the log goes forward: {}", said(change));
            self.log.read = *sequence;
            if let Some(last) = self.log.last.insert(*key, after.clone()) {
                assert!(last == *before, "{key:?} does not go on from where it was: {}", said(change));
            }
            let legal = match kind {
                ChangeKind::Insert => before.is_none() && after.is_some(),
                ChangeKind::Update => before.is_some() && after.is_some() && before != after,
                ChangeKind::Detail => before.is_some() && after.is_some(),
                ChangeKind::Delete => before.is_some() && after.is_none(),
            };
            assert!(legal, "not legal: {}", said(change));
            if *kind == ChangeKind::Delete {
                assert!(self.truth.gone(*key) > 0, "{key:?} lives and was deleted");
            }
            if is_effect(change) {
                let effects = self.log.effects.entry(*key).or_default();
                *effects += 1;
                let touched = self.truth.touched(*key);
                let said = said(change);
                assert!(*effects <= touched, "{key:?} was touched {touched} times, this is one more: {said}");
            }
        }
    }

    fn looks(&self) -> Looks {
        let shape = if self.rules.details == Details::Off { Shape::List } else { Shape::Full };
        self.truth.looks(&self.bench.sim.world(), shape)
    }

    async fn edit(&mut self, edit: Edit) {
        let world = self.bench.sim.world();
        if self.rules.apart {
            self.edits += 1;
            let ago = LONG_AGO + self.edits;
            world.change_faults(|faults| faults.updated_at_skew_seconds = ago);
        }
        let before = self.looks();
        self.carry_out(edit);
        let after = self.looks();
        self.truth.note(&before, &after);
        if before == after {
            self.tell("nothing".to_owned());
        }
        world.hooks_settled().await;
    }

    /// Has the simulator do it and, unless that refuses, does it to the map.
    fn carry_out(&mut self, edit: Edit) {
        let issues: Vec<Place> = self.truth.issues.keys().copied().collect();
        let iterations: Vec<Place> = self.truth.iterations.keys().copied().collect();
        let members: Vec<Place> = self.truth.members.iter().copied().collect();
        let users: Vec<u32> = self.truth.users.keys().copied().collect();
        let near = |all: &[Place], place: Place| -> Vec<u32> {
            all.iter().filter(|other| other.0 == place.0).map(|other| other.1).collect()
        };
        let few = |all: &[Place], place: Place| near(all, place).len() <= KEEP;
        let some = IssueFields::default;
        match edit {
            Edit::Create(sort, status, iteration) => {
                let project = PROJECTS[usize::from(sort == "DEFECT")];
                let status = status.of(&STATUSES).unwrap();
                let iteration = iteration.of_or_none(&near(&iterations, (project, 0))).unwrap_or(0);
                let fields = IssueFields {
                    kind: Some(sort.to_owned()),
                    status: Some(status),
                    iteration: Some(iteration),
                    ..some()
                };
                self.create(project, fields);
            }
            Edit::CreateBelow(parent) => {
                let Some((project, code)) = parent.of(&issues) else { return };
                self.create(
                    project,
                    IssueFields { kind: Some("SUB_TASK".to_owned()), parent: Some(code), ..some() },
                );
            }
            Edit::Rename(issue, name) => {
                let name = format!("name {name}");
                self.set(issue.of(&issues), true, IssueFields { name: Some(name), ..some() });
            }
            Edit::Status(issue, status) => {
                self.set(issue.of(&issues), true, IssueFields { status: status.of(&STATUSES), ..some() });
            }
            Edit::Assign(issue, user) => {
                let Some(place) = issue.of(&issues) else { return };
                let user = user.of_or_none(&near(&members, place)).unwrap_or(0);
                self.set(Some(place), true, IssueFields { assignee: Some(user), ..some() });
            }
            Edit::Reparent(issue, parent) => {
                let Some(place) = issue.of(&issues) else { return };
                let parent = parent.of_or_none(&near(&issues, place)).unwrap_or(0);
                self.set(Some(place), true, IssueFields { parent: Some(parent), ..some() });
            }
            Edit::SetEpic(issue, epic) => {
                let Some(place) = issue.of(&issues) else { return };
                let is_epic = |code: &u32| self.truth.issues[&(place.0, *code)].sort == "EPIC";
                let epics: Vec<u32> = near(&issues, place).into_iter().filter(is_epic).collect();
                let epic = epic.of_or_none(&epics).unwrap_or(0);
                self.set(Some(place), true, IssueFields { epic: Some(epic), ..some() });
            }
            Edit::Move(issue, iteration) | Edit::MoveSilently(issue, iteration) => {
                let Some(place) = issue.of(&issues) else { return };
                let iteration = iteration.of_or_none(&near(&iterations, place)).unwrap_or(0);
                let touch = matches!(edit, Edit::Move(..));
                self.set(Some(place), touch, IssueFields { iteration: Some(iteration), ..some() });
            }
            Edit::Watch(issue, user) => {
                let Some(place) = issue.of(&issues) else { return };
                let watchers = user.of_or_none(&near(&members, place)).into_iter().collect();
                self.set(Some(place), true, IssueFields { watchers: Some(watchers), ..some() });
            }
            Edit::Custom(issue, value) | Edit::CustomSilently(issue, value) => {
                let custom = vec![CustomContent { id: FIELD, content: format!("value {value}") }];
                let touch = matches!(edit, Edit::Custom(..));
                self.set(issue.of(&issues), touch, IssueFields { custom, ..some() });
            }
            Edit::Delete(issue) => {
                let Some(place) = issue.of(&issues).filter(|place| !few(&issues, *place)) else { return };
                let (project, code) = (place.0.to_owned(), place.1);
                if self.done(Operation::DeleteIssue { project, code }).is_some() {
                    self.truth.delete_issue(place);
                }
            }
            Edit::CreateIteration(name) => {
                let project = PROJECTS[usize::from(name % 2)];
                let name = format!("iteration {name}");
                let operation = Operation::CreateIteration {
                    project: project.to_owned(),
                    name: name.clone(),
                    goal: String::new(),
                };
                if let Some(code) = self.done(operation) {
                    self.truth.iterations.insert((project, code), name);
                }
            }
            Edit::RenameIteration(iteration, name) => {
                let Some(place) = iteration.of(&iterations) else { return };
                let name = format!("iteration {name}");
                let (project, code) = (place.0.to_owned(), place.1);
                if self.done(Operation::RenameIteration { project, code, name: name.clone() }).is_some() {
                    self.truth.iterations.insert(place, name);
                }
            }
            Edit::ChangeIteration => {
                let _ = self.bench.sim.world().mutate(1, &[MutationKind::EditIteration]);
            }
            Edit::DeleteIteration(iteration) => {
                let Some(place) = iteration.of(&iterations) else { return };
                if near(&iterations, place).len() < 2 {
                    return;
                }
                let (project, code) = (place.0.to_owned(), place.1);
                if self.done(Operation::DeleteIteration { project, code }).is_some() {
                    self.truth.delete_iteration(place);
                }
            }
            Edit::Join(user) => {
                let Some(user) = user.of(&users) else { return };
                for project in PROJECTS {
                    let operation =
                        Operation::AddMember { project: project.to_owned(), user, roles: Vec::new() };
                    if self.done(operation).is_some() {
                        self.truth.members.insert((project, user));
                    }
                }
            }
            Edit::Leave(member) => {
                let Some(place) = member.of(&members).filter(|place| !few(&members, *place)) else { return };
                // Who was renamed stays: gone, nobody would show the new name.
                let (project, user) = (place.0.to_owned(), place.1);
                if !self.truth.renamed.contains(&user)
                    && self.done(Operation::DeleteMember { project, user }).is_some()
                {
                    self.truth.members.remove(&place);
                }
            }
            Edit::ChangeRoles(member, role) => {
                let Some((project, user)) = member.of(&members) else { return };
                let roles = role.of(&ROLES).map(str::to_owned).into_iter().collect();
                self.done(Operation::SetRoles { project: project.to_owned(), user, roles });
            }
            Edit::RenameUser(user) => {
                // Somebody whom every project's member list shows: of others nobody would learn the new name.
                let everywhere =
                    |user: &u32| PROJECTS.iter().all(|project| members.contains(&(project, *user)));
                let users: Vec<u32> = users.into_iter().filter(everywhere).collect();
                let Some(user) = user.of(&users) else { return };
                // Never one that somebody had before: only listings of members show it, without a time of update.
                self.truth.names += 1;
                let name = format!("user {}", self.truth.names);
                self.done(Operation::RenameUser { user, name: name.clone() }).unwrap();
                self.truth.renamed.insert(user);
                self.truth.users.insert(user, name);
            }
        }
    }

    fn create(&mut self, project: &'static str, fields: IssueFields) {
        let (sort, status) = (fields.kind.clone().unwrap(), fields.status.unwrap_or(STATUSES[0]));
        let (iteration, parent) = (fields.iteration.unwrap_or(0), fields.parent.unwrap_or(0));
        let name = "made by the test".to_owned();
        let fields = Box::new(IssueFields { name: Some(name.clone()), ..fields });
        if let Some(code) = self.done(Operation::CreateIssue { project: project.to_owned(), fields }) {
            let issue = Issue { sort, name, status, assignee: 0, iteration, parent, epic: 0 };
            self.truth.issues.insert((project, code), issue);
        }
    }

    /// Sets fields of an issue.
    fn set(&mut self, place: Option<Place>, touch: bool, fields: IssueFields) {
        let Some(place) = place else { return };
        let (project, code) = (place.0.to_owned(), place.1);
        let operation = Operation::SetIssue { project, code, fields: Box::new(fields.clone()), touch };
        if self.done(operation).is_none() {
            return;
        }
        let issue = self.truth.issues.get_mut(&place).unwrap();
        if let Some(name) = fields.name {
            issue.name = name;
        }
        issue.status = fields.status.unwrap_or(issue.status);
        issue.assignee = fields.assignee.unwrap_or(issue.assignee);
        issue.iteration = fields.iteration.unwrap_or(issue.iteration);
        issue.parent = fields.parent.unwrap_or(issue.parent);
        issue.epic = fields.epic.unwrap_or(issue.epic);
    }

    /// The code of the row it was about; nothing where the source refuses.
    fn done(&self, operation: Operation) -> Option<u32> {
        let applied = self.bench.sim.world().apply(&[operation]).ok()?.pop()?;
        self.tell(format!("{} {}/{}", applied.kind, applied.project, applied.key));
        Some(applied.key)
    }

    /// Notes what came of a step, for whoever reads a case that fails.
    fn tell(&self, what: String) {
        self.told.steps.lock().unwrap().push(what);
    }
}

/// Whether a change is one of its own. What a look-up completes and copies that are renewed go with a change that is
/// counted; so does what only listings show, when a look-up was first.
fn is_effect(change: &Change) -> bool {
    let rest = || differing(change).iter().all(|field| field == ONLY_LISTED);
    let is_whole = change.before.is_none() || change.after.is_none();
    change.kind != ChangeKind::Detail && change.channel != Channel::Relation && (is_whole || !rest())
}

/// The fields in which the row differs from what it was.
fn differing(change: &Change) -> Vec<String> {
    let fields = |row: &Option<Row>| row.as_ref().map(|row| row.fields().clone()).unwrap_or_default();
    let (before, after) = (fields(&change.before), fields(&change.after));
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    names.filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}

/// A change in a few words.
fn said(change: &Change) -> String {
    let Change { sequence, key, kind, channel, observed, detailed, before, after, .. } = change;
    let (sequence, RowKey { table, id, project }) = (sequence.0, key);
    let value = |row: &Option<Row>, name: &str| row.as_ref().and_then(|row| row.get(name).cloned());
    let fields = differing(change).into_iter();
    let fields: Vec<String> = fields
        .map(|name| format!("{name}: {:?} → {:?}", value(before, &name), value(after, &name)))
        .collect();
    let (observed, detailed) = (observed.0, detailed.map(|moment| moment.0));
    format!(
        "{sequence}: {kind:?} of {}/{}/{} through {channel:?}, observed {observed}, detailed {detailed:?}\n  {}",
        table.0,
        project.0,
        id.0,
        fields.join("\n  ")
    )
}
