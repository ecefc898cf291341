//! Changes by chance: what happens in a living team, seeded, always legal.

use serde::{Deserialize, Serialize};

use crate::calendar::{DAY_MS, day_end, day_start, floor_second};
use crate::changes::{applied, put_custom};
use crate::dice::Dice;
use crate::failure::Failure;
use crate::operation::{Applied, IssueFields, Operation};
use crate::seed::value;
use crate::texts::{Text, person};
use crate::world::World;
use crate::world::catalog::{Kind, PROJECT_ROLES, Phase, STATUSES, status};
use crate::world::issue::Issue;

/// A sort of change that the mutator makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MutationKind {
    /// A new issue.
    CreateIssue,
    /// A new sub-task of some issue.
    CreateSubTask,
    /// Title, description, dates, hours, points, priority or assignee of an issue.
    EditIssue,
    /// A custom field of an issue.
    EditCustomField,
    /// The labels of an issue.
    EditLabels,
    /// The watchers of an issue.
    EditWatchers,
    /// An edit that leaves `UpdatedAt` as it is, of something that lists show. (Without a new time and in
    /// look-ups only, nobody but a hook could tell of it.)
    SilentEdit,
    /// The status of an issue.
    ChangeStatus,
    /// The iteration of an issue.
    MoveIteration,
    /// The parent of an issue.
    ChangeParent,
    /// The epic of an issue.
    ChangeEpic,
    /// An issue goes.
    DeleteIssue,
    /// A new iteration.
    CreateIteration,
    /// Goal, dates or status of an iteration.
    EditIteration,
    /// The name of an iteration, which its issues copy.
    RenameIteration,
    /// An iteration goes.
    DeleteIteration,
    /// The roles of a member.
    ChangeRoles,
    /// A user of the team joins a project.
    MemberJoin,
    /// A member leaves.
    MemberLeave,
    /// A user gets another name, which issues copy.
    RenameUser,
}

/// How often each kind comes up when none is asked for.
const WEIGHTS: [(MutationKind, u64); 20] = [
    (MutationKind::CreateIssue, 12),
    (MutationKind::CreateSubTask, 6),
    (MutationKind::EditIssue, 25),
    (MutationKind::EditCustomField, 10),
    (MutationKind::EditLabels, 5),
    (MutationKind::EditWatchers, 4),
    (MutationKind::SilentEdit, 4),
    (MutationKind::ChangeStatus, 12),
    (MutationKind::MoveIteration, 6),
    (MutationKind::ChangeParent, 3),
    (MutationKind::ChangeEpic, 3),
    (MutationKind::DeleteIssue, 5),
    (MutationKind::CreateIteration, 1),
    (MutationKind::EditIteration, 1),
    (MutationKind::RenameIteration, 1),
    (MutationKind::DeleteIteration, 1),
    (MutationKind::ChangeRoles, 1),
    (MutationKind::MemberJoin, 1),
    (MutationKind::MemberLeave, 1),
    (MutationKind::RenameUser, 1),
];

/// A kind that cannot happen just now (nothing left to delete) is rolled anew this often.
const ATTEMPTS: u32 = 40;

/// Rows that deleting leaves in peace, so that no project runs empty.
const KEEP_ISSUES: usize = 5;
const KEEP_ITERATIONS: usize = 1;
const KEEP_MEMBERS: usize = 2;

/// Makes one change out of `kinds` (empty = all by weight) and says which; nothing when none is possible.
pub(crate) fn mutate(world: &mut World, kinds: &[MutationKind]) -> Option<Applied> {
    let mut dice = world.dice.clone();
    let mut done = None;
    for _ in 0..ATTEMPTS {
        let Some(kind) = dice.pick(kinds).copied().or_else(|| by_weight(&mut dice)) else { break };
        let Some(project) = dice.pick(&world.projects).map(|project| project.name.clone()) else { break };
        if let Ok(Some(change)) = (Turn { world, dice: &mut dice, project: &project }).make(kind) {
            done = Some(change);
            break;
        }
    }
    world.dice = dice;
    world.raise_code_by_chance();
    done
}

fn by_weight(dice: &mut Dice) -> Option<MutationKind> {
    let mut point = dice.below(WEIGHTS.iter().map(|(_, weight)| weight).sum());
    WEIGHTS.iter().find_map(|(kind, weight)| match point.checked_sub(*weight) {
        None => Some(*kind),
        Some(rest) => {
            point = rest;
            None
        }
    })
}

/// One attempt in one project.
struct Turn<'a> {
    world: &'a mut World,
    dice: &'a mut Dice,
    project: &'a str,
}

impl Turn<'_> {
    fn make(&mut self, kind: MutationKind) -> Result<Option<Applied>, Failure> {
        let name = serde_json::to_value(kind).ok();
        let name = name.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let project = self.project.to_owned();
        let row = |table: &str, key: Option<u32>| key.map(|key| applied(&name, table, &project, key));
        Ok(match kind {
            MutationKind::CreateIssue => row("Issues", self.create(None)?),
            MutationKind::CreateSubTask => {
                let parent =
                    self.find(|issue| issue.parent == 0 && !matches!(issue.kind, Kind::Epic | Kind::SubTask));
                let Some(parent) = parent else { return Ok(None) };
                row("Issues", self.create(Some(parent.code))?)
            }
            MutationKind::EditIssue => row("Issues", self.edit(true, Self::edit_field)?),
            MutationKind::EditCustomField => row("Issues", self.edit(true, Self::edit_custom)?),
            MutationKind::EditLabels => row("Issues", self.edit(true, Self::edit_labels)?),
            MutationKind::EditWatchers => row("Issues", self.edit(true, Self::edit_watchers)?),
            MutationKind::SilentEdit => row("Issues", self.edit(false, Self::edit_silently)?),
            MutationKind::ChangeStatus => row("Issues", self.edit(true, Self::edit_status)?),
            MutationKind::MoveIteration => row("Issues", self.edit(true, Self::edit_iteration_of)?),
            MutationKind::ChangeParent => row("Issues", self.edit(true, Self::edit_parent)?),
            MutationKind::ChangeEpic => row("Issues", self.edit(true, Self::edit_epic)?),
            MutationKind::DeleteIssue => {
                let codes = self.world.need(self.project)?.codes();
                if codes.len() <= KEEP_ISSUES {
                    return Ok(None);
                }
                let Some(code) = self.dice.pick(codes).copied() else { return Ok(None) };
                self.world.delete_issue(self.project, code)?;
                row("Issues", Some(code))
            }
            MutationKind::CreateIteration
            | MutationKind::EditIteration
            | MutationKind::RenameIteration
            | MutationKind::DeleteIteration => row("Iterations", self.change_iteration(kind)?),
            MutationKind::ChangeRoles | MutationKind::MemberJoin | MutationKind::MemberLeave => {
                row("ProjectMembers", self.change_member(kind)?)
            }
            MutationKind::RenameUser => {
                // Somebody whom every project's member list shows: of others nobody would learn the new name.
                let everywhere =
                    |user: &u32| self.world.projects.iter().all(|project| project.members.contains_key(user));
                let users: Vec<u32> = self.world.users.keys().copied().filter(everywhere).collect();
                let Some(user) = self.dice.pick(&users).copied() else { return Ok(None) };
                let name = format!("{} {}", person(self.dice).0, self.dice.below(1_000));
                self.world.apply(&Operation::RenameUser { user, name }).map(|mut change| {
                    change.project.clear();
                    Some(change)
                })?
            }
        })
    }

    /// Some issue that passes the test.
    fn find(&mut self, test: impl Fn(&Issue) -> bool) -> Option<Issue> {
        let place = self.world.project(self.project)?;
        (0..8).find_map(|_| {
            let code = self.dice.pick(place.codes())?;
            place.issue(*code).filter(|issue| test(issue)).cloned()
        })
    }

    fn create(&mut self, parent: Option<u32>) -> Result<Option<u32>, Failure> {
        let kinds = [Kind::Requirement, Kind::Mission, Kind::Defect, Kind::Epic];
        let kind =
            if parent.is_some() { Kind::SubTask } else { *self.dice.pick(&kinds).unwrap_or(&Kind::Mission) };
        let fields = IssueFields {
            kind: Some(kind.as_str().to_owned()),
            description: Some(self.some_text().into()),
            parent,
            assignee: self.some_user(),
            iteration: self.some_iteration(),
            working_hours: Some(f64::from(self.dice.below_u32(32)) / 4.0),
            ..IssueFields::default()
        };
        Ok(Some(self.world.create_issue(self.project, &fields)?.0))
    }

    fn edit(
        &mut self,
        touch: bool,
        change: fn(&mut Self, &mut Issue) -> bool,
    ) -> Result<Option<u32>, Failure> {
        let Some(before) = self.find(|_| true) else { return Ok(None) };
        let mut issue = before.clone();
        if !change(self, &mut issue) || issue == before {
            return Ok(None);
        }
        if touch {
            issue.updated_at = floor_second(self.world.now());
        }
        self.world.write(self.project, issue)?;
        Ok(Some(before.code))
    }

    fn some_text(&mut self) -> Box<str> {
        Text::Derived(self.dice.bits()).description(300).into()
    }

    fn some_user(&mut self) -> Option<u32> {
        let members: Vec<u32> = self.world.project(self.project)?.members.keys().copied().collect();
        self.dice.pick(&members).copied()
    }

    fn some_iteration(&mut self) -> Option<u32> {
        let codes: Vec<u32> = self.world.project(self.project)?.iterations.keys().copied().collect();
        if self.dice.chance(0.2) { Some(0) } else { self.dice.pick(&codes).copied() }
    }

    fn edit_field(&mut self, issue: &mut Issue) -> bool {
        let day = i64::try_from(self.dice.below(60)).unwrap_or(0) * DAY_MS;
        match self.dice.below(8) {
            0 => issue.name = Text::Derived(self.dice.bits()),
            1 => issue.description = Text::Own(self.some_text()),
            2 => issue.priority = u8::try_from(self.dice.below(5)).unwrap_or(4),
            3 => issue.start_date = if issue.start_date == 0 { day_start(issue.created_at + day) } else { 0 },
            4 => issue.due_date = if issue.due_date == 0 { day_end(issue.created_at + day) } else { 0 },
            5 => issue.working_hours = self.dice.long_float() * 8.0,
            6 => {
                issue.story_point = (*self.dice.pick(&["", "0.5", "1.0", "3.0", "8.0"]).unwrap_or(&"")).into()
            }
            _ => {
                issue.assignee = if self.dice.chance(0.2) { 0 } else { self.some_user().unwrap_or(0) };
                issue.assignees = (issue.assignee != 0).then_some(issue.assignee).into_iter().collect();
            }
        }
        true
    }

    fn edit_custom(&mut self, issue: &mut Issue) -> bool {
        let Some(place) = self.world.project(self.project) else { return false };
        let people: Vec<u32> = place.members.keys().copied().collect();
        let Some(field) = self.dice.pick(&self.world.fields) else { return false };
        let value = value(self.dice, field, &people, place.last_iteration);
        put_custom(issue, field.id, value);
        true
    }

    fn edit_labels(&mut self, issue: &mut Issue) -> bool {
        let Some(place) = self.world.project(self.project) else { return false };
        let Some(label) = self.dice.pick(&place.labels).map(|label| label.id) else { return false };
        issue.labels = toggled(&issue.labels, label);
        true
    }

    fn edit_watchers(&mut self, issue: &mut Issue) -> bool {
        let Some(user) = self.some_user() else { return false };
        issue.watchers = toggled(&issue.watchers, user);
        true
    }

    fn edit_silently(&mut self, issue: &mut Issue) -> bool {
        match self.dice.below(3) {
            0 => self.edit_labels(issue),
            1 => self.edit_iteration_of(issue),
            _ => self.edit_custom(issue),
        }
    }

    fn edit_status(&mut self, issue: &mut Issue) -> bool {
        issue.status = self.dice.pick(&STATUSES).map_or(issue.status, |entry| entry.id);
        let done = status(issue.status).phase == Phase::Completed;
        issue.completed_at = if done { floor_second(self.world.now()) } else { 0 };
        true
    }

    fn edit_iteration_of(&mut self, issue: &mut Issue) -> bool {
        issue.iteration = self.some_iteration().unwrap_or(0);
        true
    }

    fn edit_parent(&mut self, issue: &mut Issue) -> bool {
        let may = matches!(issue.kind, Kind::SubTask | Kind::Requirement);
        let childless =
            self.world.project(self.project).is_some_and(|p| p.children(issue.code).next().is_none());
        if !may || !childless {
            return false;
        }
        let code = issue.code;
        let fit = |other: &Issue| {
            other.code != code && other.parent == 0 && !matches!(other.kind, Kind::Epic | Kind::SubTask)
        };
        issue.parent = self.find(fit).map_or(0, |parent| parent.code);
        true
    }

    fn edit_epic(&mut self, issue: &mut Issue) -> bool {
        if matches!(issue.kind, Kind::Epic | Kind::SubTask) {
            return false;
        }
        issue.epic = self.find(|other| other.kind == Kind::Epic).map_or(0, |epic| epic.code);
        true
    }

    fn change_iteration(&mut self, kind: MutationKind) -> Result<Option<u32>, Failure> {
        let title = format!("迭代 {} 🏁", self.dice.below(1_000_000));
        let goal: Box<str> = self.some_text();
        if kind == MutationKind::CreateIteration {
            return Ok(Some(self.world.create_iteration(self.project, &title, &goal, |_| {})?.0));
        }
        let codes: Vec<u32> = self.world.need(self.project)?.iterations.keys().copied().collect();
        let Some(code) = self.dice.pick(&codes).copied() else { return Ok(None) };
        match kind {
            MutationKind::RenameIteration => {
                self.world.rename_iteration(self.project, code, &title, |_| {})?;
            }
            MutationKind::DeleteIteration if codes.len() <= KEEP_ITERATIONS => return Ok(None),
            MutationKind::DeleteIteration => self.world.delete_iteration(self.project, code)?,
            _ => {
                let phase = *self
                    .dice
                    .pick(&[Phase::Todo, Phase::Processing, Phase::Completed])
                    .unwrap_or(&Phase::Todo);
                self.world.edit_iteration(self.project, code, |iteration| {
                    iteration.goal = goal.into();
                    iteration.phase = phase;
                })?;
            }
        }
        Ok(Some(code))
    }

    fn change_member(&mut self, kind: MutationKind) -> Result<Option<u32>, Failure> {
        let place = self.world.need(self.project)?;
        let members: Vec<u32> = place.members.keys().copied().collect();
        let outside: Vec<u32> =
            self.world.users.keys().copied().filter(|user| !place.members.contains_key(user)).collect();
        let role = self.dice.pick(&PROJECT_ROLES).map_or_else(String::new, |role| role.role_type.to_owned());
        match kind {
            MutationKind::MemberJoin => {
                let Some(user) = self.dice.pick(&outside).copied() else { return Ok(None) };
                self.world.set_roles(self.project, user, &[role], true)?;
                Ok(Some(user))
            }
            MutationKind::MemberLeave if members.len() <= KEEP_MEMBERS => Ok(None),
            MutationKind::MemberLeave => {
                // Who was renamed stays: gone, nobody would show the new name.
                let unchanged = |user: &u32| {
                    let name = self.world.users.get(user).map_or("", |user| &user.name);
                    !name.ends_with(|letter: char| letter.is_ascii_digit())
                };
                let members: Vec<u32> = members.iter().copied().filter(unchanged).collect();
                let Some(user) = self.dice.pick(&members).copied() else { return Ok(None) };
                self.world.apply(&Operation::DeleteMember { project: self.project.to_owned(), user })?;
                Ok(Some(user))
            }
            _ => {
                let Some(user) = self.dice.pick(&members).copied() else { return Ok(None) };
                self.world.set_roles(self.project, user, &[role], false)?;
                Ok(Some(user))
            }
        }
    }
}

/// The ids with one more, or one less if it was there.
fn toggled(ids: &[u32], id: u32) -> Box<[u32]> {
    let mut all: Vec<u32> = ids.iter().copied().filter(|known| *known != id).collect();
    if all.len() == ids.len() {
        all.push(id);
        all.sort_unstable();
    }
    all.into()
}
