//! The seed data: a team as the settings describe it, the same for the same seed.

use crate::calendar::{DAY_MS, UNSET_DAY, day_end, day_start, floor_second};
use crate::config::{ProjectConfig, SimConfig};
use crate::dice::Dice;
use crate::hooks::book::HookBook;
use crate::hooks::post::Post;
use crate::texts::{LONE_SURROGATE, Text, person};
use crate::world::catalog::{
    DEFECT_TYPES, ISSUE_TYPES, Kind, PROJECT_ROLES, Phase, REQUIREMENT_TYPES, STATUSES, system_type,
};
use crate::world::field::{Component, Field, first_fields};
use crate::world::issue::{Custom, File, Issue, Link, Value};
use crate::world::iteration::{Iteration, Tally};
use crate::world::project::{Label, Module, Project};
use crate::world::{User, World};

/// Ids of the first user, project, and so on: apart from each other so that a mix-up shows.
const FIRST_USER: u32 = 8_000_001;
const FIRST_PROJECT: u32 = 90_001;
const TEAM_ID: u32 = 4_200_042;

/// Makes the world of `config`.
pub(crate) fn world(config: &SimConfig) -> World {
    let epoch = floor_second(config.epoch_ms);
    let fields = first_fields(epoch);
    let mut world = World {
        team: config.team.clone(),
        team_id: TEAM_ID,
        created_at: epoch,
        description_bytes: config.description_bytes,
        owner: FIRST_USER,
        users: std::collections::BTreeMap::new(),
        projects: Vec::new(),
        last_issue_id: 1_000_000,
        last_iteration_id: 30_000,
        last_file_id: 600_000,
        last_field_id: fields.last().map_or(0, |field| field.id),
        fields,
        dice: Dice::of(config.seed, &[7]),
        clock_skew_ms: config.faults.updated_at_skew_seconds.saturating_mul(1_000),
        hooks: HookBook::new(std::sync::Arc::new(Post::new(config))),
        undo: std::collections::VecDeque::new(),
    };
    let members = config.projects.iter().map(|project| project.members).max().unwrap_or(0).max(1);
    for number in 0..members.saturating_add(config.outsiders) {
        let user = user(config, number);
        world.users.insert(user.id, user);
    }
    for (number, settings) in (0_u32..).zip(&config.projects) {
        let project = project(config, settings, number, &mut world);
        world.projects.push(project);
    }
    world
}

fn user(config: &SimConfig, number: u32) -> User {
    let mut dice = Dice::of(config.seed, &[3, u64::from(number)]);
    let (name, pinyin) = person(&mut dice);
    let id = FIRST_USER + number;
    User {
        id,
        name,
        avatar: if dice.chance(0.2) {
            format!("/static/fruit_avatar/Fruit-{}.png", dice.below(20))
        } else {
            format!("https://avatars.example.com/{id}.jpg?imageMogr2/cut/400x400x0x0")
        },
        email: if dice.chance(0.2) { String::new() } else { format!("{pinyin}{number}@example.com") },
        phone: if dice.chance(0.3) { String::new() } else { format!("138{:08}", dice.below(100_000_000)) },
        global_key: format!("{pinyin}{}", dice.below(10_000)),
        pinyin,
        status: if number > 2 && dice.chance(0.05) { -1 } else { 1 },
    }
}

fn project(config: &SimConfig, settings: &ProjectConfig, number: u32, world: &mut World) -> Project {
    let id = FIRST_PROJECT + number * 7;
    let mut dice = Dice::of(config.seed, &[4, u64::from(id)]);
    let epoch = world.created_at;
    let span = i64::from(config.spread_days.max(1)) * DAY_MS;
    let display = format!("{} 项目 · \"{}\"", settings.name, number + 1);
    let about = Text::Derived(dice.bits()).description(120).into_owned();
    let mut project = Project::new(id, &settings.name, display, about, epoch);
    for (index, (name, color)) in (1_u32..).zip(LABELS) {
        project.labels.push(Label { id: id * 100 + index, name: name.to_owned(), color });
    }
    for (index, name) in (1_u32..).zip(["客户端", "服务端", "运维 & SRE"]) {
        project.modules.push(Module { id: id * 100 + 50 + index, name: name.to_owned() });
    }
    for member in 0..settings.members {
        let roles = match member {
            0 => vec![PROJECT_ROLES[0].role_id],
            _ => roles(&mut dice),
        };
        project.members.insert(FIRST_USER + member, roles);
    }
    for code in 1..=settings.iterations {
        world.last_iteration_id += 1;
        let iteration = iteration(&mut dice, world.last_iteration_id, code, settings, (epoch, span));
        project.iterations.insert(code, iteration);
        project.last_iteration = code;
    }
    let mut maker = Maker { config, settings, world, project_id: id, epoch, span };
    let issues: Vec<Issue> = (1..=settings.issues).map(|code| maker.issue(code)).collect();
    project.fill(adopt(issues).into_iter());
    project
}

const LABELS: [(&str, &str); 6] = [
    ("紧急", "#E64340"),
    ("tech-debt", "#C6C8CC"),
    ("客户反馈 💬", "#0066FF"),
    ("UI/UX", "#52A5FF"),
    ("\"quoted\", with comma", "#F5A623"),
    ("回归", "#2AC67F"),
];

fn roles(dice: &mut Dice) -> Vec<u32> {
    let mut ids: Vec<u32> = (0..=dice.below(2))
        .filter_map(|_| dice.pick(PROJECT_ROLES.get(1..).unwrap_or(&[])).map(|role| role.role_id))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn iteration(
    dice: &mut Dice,
    id: u32,
    code: u32,
    settings: &ProjectConfig,
    (epoch, span): (i64, i64),
) -> Iteration {
    let count = i64::from(settings.iterations.max(1));
    let begin = epoch + span / count * i64::from(code - 1);
    let phase = match code {
        code if code + 2 < settings.iterations => Phase::Completed,
        code if code < settings.iterations => Phase::Processing,
        _ => Phase::Todo,
    };
    let dated = !dice.chance(0.2);
    let someone = |dice: &mut Dice| FIRST_USER + dice.below_u32(settings.members.max(1));
    let created_at = floor_second(begin - DAY_MS.min(begin - epoch));
    Iteration {
        id,
        code,
        name: format!(
            "{} {code}",
            dice.pick(&["Sprint", "迭代", "第 🚀 期", "v1."]).copied().unwrap_or_default()
        ),
        goal: if dice.chance(0.4) {
            String::new()
        } else {
            Text::Derived(dice.bits()).description(200).into_owned()
        },
        phase,
        start_at: if dated { day_start(begin) } else { UNSET_DAY },
        end_at: if dated { day_end(begin + span / count) } else { UNSET_DAY },
        assignee: if dice.chance(0.3) { 0 } else { someone(dice) },
        creator: someone(dice),
        starter: if phase == Phase::Todo { 0 } else { someone(dice) },
        completer: if phase == Phase::Completed { someone(dice) } else { 0 },
        created_at,
        updated_at: floor_second(created_at + i64::try_from(dice.below(86_400_000)).unwrap_or(0)),
        tally: Tally::default(),
    }
}

/// Makes the issues of one project.
struct Maker<'a> {
    config: &'a SimConfig,
    settings: &'a ProjectConfig,
    world: &'a mut World,
    project_id: u32,
    epoch: i64,
    span: i64,
}

impl Maker<'_> {
    fn issue(&mut self, code: u32) -> Issue {
        let mut dice = Dice::of(self.config.seed, &[5, u64::from(self.project_id), u64::from(code)]);
        self.world.last_issue_id += 1;
        let id = self.world.last_issue_id;
        let kind = match dice.below(20) {
            0 => Kind::Epic,
            1..=6 => Kind::Requirement,
            7..=11 => Kind::Mission,
            12..=15 => Kind::Defect,
            _ if code > 1 => Kind::SubTask,
            _ => Kind::Mission,
        };
        let (parent, epic) = self.relatives(&mut dice, kind, code);
        let types: Vec<u32> =
            ISSUE_TYPES.iter().filter(|entry| entry.kind == kind).map(|entry| entry.id).collect();
        let status = dice.pick(&STATUSES).unwrap_or(&STATUSES[0]);
        let (created_at, updated_at) = self.times(&mut dice, code);
        let (start_date, due_date) = dates(&mut dice, created_at);
        let assignee = if dice.chance(0.15) { 0 } else { self.someone(&mut dice) };
        let mut assignees: Vec<u32> = (assignee != 0).then_some(assignee).into_iter().collect();
        if assignee != 0 && dice.chance(0.1) {
            assignees.push(self.someone(&mut dice));
            assignees.dedup();
        }
        let (name, description) = self.texts(&mut dice, code);
        Issue {
            id,
            code,
            kind,
            type_id: dice.pick(&types).copied().unwrap_or(system_type(kind).id),
            status: status.id,
            priority: u8::try_from(dice.below(5)).unwrap_or(4),
            name,
            description,
            iteration: if dice.chance(0.3) { 0 } else { pick_code(&mut dice, self.settings.iterations) },
            assignee,
            assignees: assignees.into(),
            creator: self.someone(&mut dice),
            start_date,
            due_date,
            working_hours: hours(&mut dice),
            story_point: dice
                .pick(&["", "", "0.5", "1.0", "2.0", "3.0", "5.0", "8.0"])
                .copied()
                .unwrap_or("")
                .into(),
            created_at,
            updated_at,
            completed_at: if status.phase == Phase::Completed { updated_at } else { 0 },
            parent,
            epic,
            module: if dice.chance(0.5) { 0 } else { self.project_id * 100 + 51 + dice.below_u32(3) },
            requirement_type: match kind {
                Kind::Requirement if dice.chance(0.7) => {
                    dice.pick(&REQUIREMENT_TYPES).map_or(0, |entry| entry.id)
                }
                _ => 0,
            },
            defect_type: match kind {
                Kind::Defect if dice.chance(0.7) => dice.pick(&DEFECT_TYPES).map_or(0, |entry| entry.id),
                _ => 0,
            },
            labels: self.labels(&mut dice),
            watchers: self.some_people(&mut dice),
            files: self.files(&mut dice),
            links: links(&mut dice, code),
            custom: self.custom(&mut dice),
        }
    }

    fn someone(&self, dice: &mut Dice) -> u32 {
        FIRST_USER + dice.below_u32(self.settings.members.max(1))
    }

    fn some_people(&self, dice: &mut Dice) -> Box<[u32]> {
        let mut people: Vec<u32> = (0..dice.below(4)).map(|_| self.someone(dice)).collect();
        people.sort_unstable();
        people.dedup();
        people.into()
    }

    /// Codes of the parent and the epic; [`adopt`] drops those that do not fit.
    fn relatives(&self, dice: &mut Dice, kind: Kind, code: u32) -> (u32, u32) {
        // Parents close by, so that sub-tasks cluster as they do in real projects.
        let nearby = |dice: &mut Dice| code.saturating_sub(1 + dice.below_u32(12)).max(1);
        match kind {
            Kind::Epic => (0, 0),
            Kind::SubTask => (nearby(dice), 0),
            Kind::Requirement if code > 1 && dice.chance(0.15) => (nearby(dice), 0),
            _ if dice.chance(0.35) => (0, nearby(dice)),
            _ => (0, 0),
        }
    }

    /// Creation ascends with the code; some updates share one second, as after a bulk edit.
    fn times(&self, dice: &mut Dice, code: u32) -> (i64, i64) {
        let step = self.span / i64::from(self.settings.issues.max(1));
        let jitter = i64::try_from(dice.below(u64::try_from(step.max(1)).unwrap_or(1))).unwrap_or(0);
        let created = self.epoch + step * i64::from(code - 1) + jitter;
        let left = u64::try_from((self.epoch + self.span - created).max(1)).unwrap_or(1);
        let bulk = self.epoch + self.span / 4 * i64::try_from(1 + dice.below(4)).unwrap_or(1);
        let updated = match dice.below(10) {
            0..=2 => created,
            3 if bulk > created => bulk,
            _ => created + i64::try_from(dice.below(left)).unwrap_or(0),
        };
        (floor_second(created), floor_second(updated))
    }

    fn texts(&self, dice: &mut Dice, code: u32) -> (Text, Text) {
        let (name, description) = (Text::Derived(dice.bits()), Text::Derived(dice.bits()));
        match code.checked_rem(self.config.broken_text_one_in) {
            Some(0) => {
                let bad = format!("{} \0 {LONE_SURROGATE} end", name.title());
                (Text::from(bad.clone()), Text::from(format!("<p>{bad}</p>")))
            }
            _ => (name, description),
        }
    }

    fn labels(&self, dice: &mut Dice) -> Box<[u32]> {
        let mut ids: Vec<u32> =
            (0..dice.below(3)).map(|_| self.project_id * 100 + 1 + dice.below_u32(6)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.into()
    }

    fn files(&mut self, dice: &mut Dice) -> Box<[File]> {
        if !dice.chance(0.12) {
            return Box::default();
        }
        (0..=dice.below(2))
            .map(|_| {
                self.world.last_file_id += 1;
                let (name, kind) = dice
                    .pick(&[("日志 (1).txt", 1), ("截图 📷.png", 2), ("dump.bin", 3), ("图标.svg", 4)])
                    .copied()
                    .unwrap_or(("file", 3));
                File { id: self.world.last_file_id, name: name.into(), size: dice.below_u32(8_000_000), kind }
            })
            .collect()
    }

    fn custom(&self, dice: &mut Dice) -> Box<[Custom]> {
        if dice.chance(0.4) {
            return Box::default();
        }
        let fields = self.world.fields.iter();
        fields
            .filter_map(|field| {
                if !dice.chance(0.35) {
                    return None;
                }
                let people = || FIRST_USER..FIRST_USER + self.settings.members.max(1);
                let value = value(dice, field, &people().collect::<Vec<_>>(), self.settings.iterations);
                Some(Custom { field: field.id, value })
            })
            .collect()
    }
}

/// A value for a custom field; also what the mutator writes.
pub(crate) fn value(dice: &mut Dice, field: &Field, people: &[u32], iterations: u32) -> Value {
    if dice.chance(0.08) {
        return Value::Plain(Box::default());
    }
    let plain = |text: String| Value::Plain(text.into_boxed_str());
    let option = |dice: &mut Dice| dice.pick(&field.options).cloned().unwrap_or_default();
    match field.component {
        Component::TextSingleLine => plain(Text::Derived(dice.bits()).title().into_owned()),
        Component::TextMultiLine => plain(Text::Derived(dice.bits()).description(80).into_owned()),
        Component::SelectSingle | Component::Radio | Component::Checkbox => plain(option(dice)),
        Component::SelectMulti => {
            let wanted = dice.bits();
            let chosen = (0_u32..).zip(&field.options).filter(|(index, _)| wanted >> index & 1 == 1);
            Value::Choices(chosen.map(|(_, option)| option.as_str().into()).collect())
        }
        Component::MemberSingle => Value::Member(dice.pick(people).copied().unwrap_or(0)),
        Component::MemberMulti => {
            Value::Members((0..=dice.below(3)).filter_map(|_| dice.pick(people).copied()).collect())
        }
        Component::DateTime => plain((1_750_000_000_000 + dice.below(20_000_000) * 1_000).to_string()),
        Component::Date => plain(format!("2025-{:02}-{:02}", 1 + dice.below(12), 1 + dice.below(28))),
        Component::Integer => plain(dice.below(1_000_000).to_string()),
        Component::Decimal => plain(format!("{}.{:02}", dice.below(1_000), dice.below(100))),
        Component::IterationSingle => plain(pick_code(dice, iterations).to_string()),
        Component::IterationMulti => {
            plain(format!("{},{}", pick_code(dice, iterations), pick_code(dice, iterations)))
        }
    }
}

/// Drops references that no server would hold: an epic that is none, a parent that is an epic or itself a child.
fn adopt(mut issues: Vec<Issue>) -> Vec<Issue> {
    let at = |code: u32| usize::try_from(code).ok().and_then(|code| code.checked_sub(1));
    let kinds: Vec<Kind> = issues.iter().map(|issue| issue.kind).collect();
    let kind_of = |code: u32| at(code).and_then(|at| kinds.get(at)).copied();
    for issue in &mut issues {
        if !matches!(kind_of(issue.parent), Some(Kind::Requirement | Kind::Mission | Kind::Defect)) {
            issue.parent = 0;
        }
        if kind_of(issue.epic) != Some(Kind::Epic) {
            issue.epic = 0;
        }
    }
    // A child is no parent: two levels, as the product has them. Codes only point backwards.
    let mut is_child: Vec<bool> = Vec::with_capacity(issues.len());
    for issue in &mut issues {
        if at(issue.parent).and_then(|at| is_child.get(at)).copied().unwrap_or(false) {
            issue.parent = 0;
        }
        is_child.push(issue.parent != 0);
    }
    issues
}

fn dates(dice: &mut Dice, created_at: i64) -> (i64, i64) {
    let days = |dice: &mut Dice| i64::try_from(dice.below(40)).unwrap_or(0) * DAY_MS;
    let start = if dice.chance(0.5) { 0 } else { day_start(created_at + days(dice)) };
    let due = if dice.chance(0.4) { 0 } else { day_end(created_at + days(dice)) };
    (start, due)
}

fn hours(dice: &mut Dice) -> f64 {
    match dice.below(20) {
        0 => dice.long_float() * 10.0,
        1..=8 => 0.0,
        9..=14 => f64::from(dice.below_u32(40)),
        _ => f64::from(dice.below_u32(80)) / 2.0,
    }
}

fn links(dice: &mut Dice, code: u32) -> Box<[Link]> {
    if !dice.chance(0.05) {
        return Box::default();
    }
    let link = Link {
        id: code + 1_000,
        link: "<iframe src=\"https://prototype.example.com/app/1/embed\" />".into(),
        third_type: "MODAO".into(),
        title: "原型 \"v2\"".into(),
    };
    Box::new([link])
}

fn pick_code(dice: &mut Dice, count: u32) -> u32 {
    if count == 0 { 0 } else { 1 + dice.below_u32(count) }
}
