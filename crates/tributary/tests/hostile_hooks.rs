//! Hooks that are lost, repeated, swapped and late, healed by polls: at the end the target is exact, nothing was
//! recorded twice, and the share of missed hooks that is shown is the one that was lost.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail loudly")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coding_sim::{FaultKind, Faults, HookFaults, IssueFields, Operation, ProjectConfig};
use connectors::coding::BaseUrl;
use connectors::coding::config::{Details, Projects};
use connectors::coding::hook::Proof;
use engine::capture::Hooks;
use engine::change::{Change, ChangeKind};
use engine::inbox::{Inbox, InboxCounts, Query, Standing, StandingKind};
use engine::journal::{Journal, Limit};
use engine::observation::Channel;
use engine::position::Sequence;
use engine::row::RowKey;
use engine::status::{Board, Status};
use secrecy::SecretString;
use server::receiver::{Door, DoorToken, Receiver};
use store::inbox::SqliteInbox;
use store::journal::SqliteJournal;
use test_faults::Proxy;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::chaos;
use crate::harness::{Bench, Following, assert_equal, differences, issue_requests, unlimited};
use crate::place::{TargetKind, on_each_target};
use crate::support::until;

on_each_target!(
    every_event_of_every_table_arrives_within_a_moment,
    lost_repeated_and_late_hooks_are_healed_and_counted,
    a_burst_of_events_on_one_issue_costs_two_looks,
    what_cannot_be_looked_up_goes_aside_and_is_replayed,
    deliveries_of_the_first_reading_lose_nothing,
    without_details_and_with_eager_ones_it_is_the_same,
);

const TOKEN: &str = "a-token-of-more-than-thirty-two-characters";
const SECRET: &str = "the key of the signatures";
const ROOM: u64 = 1 << 30;

/// A receiver and its inbox, with a board of its own.
struct Reception {
    url: String,
    hooks: Hooks,
    inbox: Arc<SqliteInbox>,
    cancel: CancellationToken,
    serving: JoinHandle<()>,
}

impl Reception {
    async fn open(dir: &Path, missed_after: Duration) -> Reception {
        std::fs::create_dir_all(dir).unwrap();
        let inbox = Arc::new(SqliteInbox::open(dir, ROOM).await.unwrap());
        let receiver = Receiver::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let url = format!("http://{}/hooks/{TOKEN}", receiver.address());
        receiver.doors().set(Door {
            connection: "test".to_owned(),
            tokens: vec![DoorToken { text: SecretString::from(TOKEN), until: None }],
            proof: Proof { secret: Some(SecretString::from(SECRET)), ..Proof::default() },
            inbox: inbox.clone(),
            board: Board::default(),
        });
        let cancel = CancellationToken::new();
        let serving = tokio::spawn(receiver.run(cancel.clone()));
        let hooks = Hooks {
            inbox: inbox.clone(),
            give_up_after: Duration::from_mins(1),
            missed_after,
            keep: Duration::from_hours(1),
            max_bytes: ROOM,
        };
        Reception { url, hooks, inbox, cancel, serving }
    }

    async fn close(self) {
        self.cancel.cancel();
        self.serving.await.unwrap();
        drop(self.hooks);
        self.inbox.close().await.unwrap();
    }
}

/// A team with hooks on every project, and a pipeline that follows it.
/// Waits until no delivery waits.
async fn worked_off(reception: &Reception) -> InboxCounts {
    let settled = async || {
        let counts = reception.inbox.counts().await.unwrap();
        (counts.waiting == 0).then_some(counts)
    };
    until("all deliveries are settled", settled).await
}

async fn stage(
    target: TargetKind,
    projects: Vec<ProjectConfig>,
    poll: Duration,
    missed_after: Duration,
) -> (Bench, Reception) {
    let mut bench = Bench::new(target, unlimited(projects)).await;
    let reception = Reception::open(&bench.state(), missed_after).await;
    bench.hooks = Some(reception.hooks.clone());
    (bench.settings.poll_interval, bench.settings.census_interval) = (poll, poll);
    for project in bench.sim.world().projects() {
        bench.sim.world().register_hook(&project, &reception.url, SECRET, &[]).unwrap();
    }
    (bench, reception)
}

/// Waits until everything has been read once, and the board tells of hooks.
async fn loaded(following: &Following) {
    following.first_reading().await;
    following.until("the hooks", |status| status.hooks.is_some()).await;
}

async fn becomes_equal(bench: &Bench, following: &Following) {
    let mut found = Vec::new();
    for _ in 0..600 {
        found = differences(bench).await;
        if found.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let found: Vec<_> = found.into_iter().take(10).collect();
    panic!("still different: {found:#?}\n{:#?}", following.board.read());
}

/// Polls are so far apart that only hooks can have brought what arrives.
async fn every_event_of_every_table_arrives_within_a_moment(target: TargetKind) {
    let projects =
        vec![ProjectConfig::new("mobile-app", 120, 8, 12), ProjectConfig::new("backend", 40, 4, 6)];
    let far = Duration::from_hours(1);
    let (bench, reception) = stage(target, projects, far, Duration::from_mins(2)).await;
    let following = bench.follow().await;
    loaded(&following).await;
    assert_equal(&bench).await;
    let world = bench.sim.world();
    let project = || "mobile-app".to_owned();
    let fields = |name: &str| Box::new(IssueFields { name: Some(name.to_owned()), ..IssueFields::default() });
    let member =
        world.truth(coding_sim::Table::ProjectMembers, "mobile-app", coding_sim::Shape::List).unwrap();
    let member = u32::try_from(member[3]["Id"].as_i64().unwrap()).unwrap();
    let moved =
        IssueFields { iteration: Some(2), story_point: Some("8".to_owned()), ..IssueFields::default() };
    let pointed = IssueFields { story_point: Some("13".to_owned()), ..IssueFields::default() };
    world
        .apply(&[
            Operation::CreateIssue { project: project(), fields: fields("a new one") },
            Operation::SetIssue { project: project(), code: 3, fields: fields("renamed"), touch: true },
            Operation::SetIssue { project: project(), code: 4, fields: Box::new(moved), touch: true },
            Operation::SetIssue { project: project(), code: 5, fields: Box::new(pointed), touch: true },
            Operation::DeleteIssue { project: project(), code: 9 },
            Operation::CreateIteration {
                project: project(),
                name: "another".to_owned(),
                goal: String::new(),
            },
            Operation::RenameIteration { project: project(), code: 1, name: "first".to_owned() },
            Operation::DeleteMember { project: project(), user: member },
        ])
        .unwrap();
    becomes_equal(&bench, &following).await;
    let ran = following.stop().await;
    assert_eq!(ran.written("Issues").deleted, 1);
    assert_eq!(ran.written("ProjectMembers").deleted, 1);
    assert!(ran.outcome.held.is_empty() && ran.requests("DescribeIssue") > 0);
    reception.close().await;
}

/// Changes per key of the log, in order, but for those that only filled details in or renewed copies.
async fn changes(journal: &SqliteJournal) -> HashMap<RowKey, Vec<Change>> {
    let mut found: HashMap<RowKey, Vec<Change>> = HashMap::new();
    let mut after = journal.bounds().await.unwrap().log_floor;
    loop {
        let limit = Limit { rows: 500, bytes: 16 << 20 };
        let page = journal.log_after(after, limit).await.unwrap();
        let Some(last) = page.last() else { return found };
        after = Sequence(last.sequence.0);
        for change in page {
            if change.kind != ChangeKind::Detail && change.channel != Channel::Relation {
                found.entry(change.key).or_default().push(change);
            }
        }
    }
}

async fn lost_repeated_and_late_hooks_are_healed_and_counted(target: TargetKind) {
    const CHANGED: u32 = 320;
    let projects = vec![ProjectConfig::new("mobile-app", 400, 6, 8)];
    // `make chaos` waits as long as the real thing does.
    let full = chaos::is_full();
    // What is late comes long before it counts as missed, on a busy machine as well.
    let (longest_delay, poll, missed_after) = match full {
        true => (30_000, Duration::from_secs(119), Duration::from_mins(2)),
        false => (1_500, Duration::from_secs(3), Duration::from_secs(12)),
    };
    let (bench, reception) = stage(target, projects, poll, missed_after).await;
    let following = bench.follow().await;
    loaded(&following).await;
    let begun = changes(&following.journal).await.values().map(Vec::len).sum::<usize>();
    let world = bench.sim.world();
    world.set_hook_faults(HookFaults {
        drop: 0.3,
        duplicate_same_id: 0.15,
        duplicate_new_id: 0.15,
        swap: 0.2,
        delay: 0.3,
        delay_max_ms: longest_delay,
        burst_ms: 200,
        ..HookFaults::default()
    });
    for chunk in (1..=CHANGED).collect::<Vec<u32>>().chunks(40) {
        let rename = |code: &u32| Operation::SetIssue {
            project: "mobile-app".to_owned(),
            code: *code,
            fields: Box::new(IssueFields { name: Some(format!("renamed {code}")), ..IssueFields::default() }),
            touch: true,
        };
        world.apply(&chunk.iter().map(rename).collect::<Vec<_>>()).unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    world.hooks_settled().await;
    becomes_equal(&bench, &following).await;
    if full {
        tokio::time::sleep(missed_after).await;
    }
    let counted = following
        .until("every change has been counted", |status| {
            status.hooks.as_ref().is_some_and(|hooks| hooks.changes >= u64::from(CHANGED))
        })
        .await;
    assert_equal(&bench).await;
    let log = changes(&following.journal).await;
    let all: usize = log.values().map(Vec::len).sum();
    assert_eq!(all - begun, usize::try_from(CHANGED).unwrap(), "each change is in the log once");
    let counters = world.hook_counters();
    let lost = u32::try_from(counters.missed().count()).unwrap();
    assert!(lost > 60, "the simulator lost {lost}");
    let truth = f64::from(lost) / f64::from(CHANGED);
    let shown = counted.hooks.as_ref().unwrap().missed_rate().unwrap();
    assert!((shown - truth).abs() <= 0.05, "shown {shown}, lost {truth}: {:?}", counted.hooks);
    following.stop().await;
    reception.close().await;
}

async fn a_burst_of_events_on_one_issue_costs_two_looks(target: TargetKind) {
    const BURST: u64 = 20;
    let far = Duration::from_hours(1);
    let projects = vec![ProjectConfig::new("mobile-app", 60, 4, 6)];
    let (mut bench, reception) = stage(target, projects, far, Duration::from_mins(2)).await;
    let proxy = Proxy::to(&bench.sim.url()).await;
    bench.settings.base_url = BaseUrl::parse(proxy.url(), false).unwrap();
    bench.once().await;
    let following = bench.follow().await;
    loaded(&following).await;
    let world = bench.sim.world();
    world.reset_counters();
    // The first look waits for its answer until all have come: so the burst is one however busy the machine is.
    proxy.silence(true);
    let edits: Vec<Operation> = (0..BURST).map(|edit| rename(7, &format!("edit {edit}"))).collect();
    world.apply(&edits).unwrap();
    let all_wait = |status: &Status| status.hooks.as_ref().is_some_and(|hooks| hooks.waiting == BURST);
    following.until("all deliveries are in the inbox", all_wait).await;
    proxy.silence(false);
    becomes_equal(&bench, &following).await;
    world.hooks_settled().await;
    let counts = worked_off(&reception).await;
    assert_eq!(counts.applied + counts.unchanged, BURST, "{counts:?}");
    // Were another look to come, it would come within this time.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let looks = world.counters().requests.get("DescribeIssue").copied().unwrap_or(0);
    let requests = world.counters().requests;
    assert!((1..=2).contains(&looks), "{looks} looks: {requests:?}");
    assert!(issue_requests(&requests) <= 4, "a listing for each look: {requests:?}");
    following.stop().await;
    reception.close().await;
}

fn rename(code: u32, name: &str) -> Operation {
    Operation::SetIssue {
        project: "mobile-app".to_owned(),
        code,
        fields: Box::new(IssueFields { name: Some(name.to_owned()), ..IssueFields::default() }),
        touch: true,
    }
}

async fn what_cannot_be_looked_up_goes_aside_and_is_replayed(target: TargetKind) {
    let far = Duration::from_hours(1);
    let projects = vec![ProjectConfig::new("mobile-app", 60, 4, 6)];
    let (mut bench, mut reception) = stage(target, projects, far, Duration::from_mins(2)).await;
    reception.hooks.give_up_after = Duration::from_secs(1);
    bench.hooks = Some(reception.hooks.clone());
    let following = bench.follow().await;
    loaded(&following).await;
    let world = bench.sim.world();
    world.set_faults(Faults {
        each: [(FaultKind::Http403, 1.0)].into(),
        actions: vec!["DescribeIssue".to_owned()],
        ..Faults::default()
    });
    world.apply(&[rename(7, "a new name")]).unwrap();
    let mut number = 0;
    let dead = async || {
        // The stream goes on: other rows are looked at meanwhile.
        number += 1;
        let name = format!("iteration {number}");
        let other = Operation::RenameIteration { project: "mobile-app".to_owned(), code: 1, name };
        world.apply(&[other]).unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let query = Query { standing: Some(StandingKind::Dead), before: None, limit: 10 };
        reception.inbox.list(query).await.unwrap().pop()
    };
    let dead = until("the delivery is given up", dead).await;
    assert!(matches!(&dead.standing, Standing::Dead { reason } if !reason.is_empty()), "{dead:?}");
    assert_eq!(dead.summary.unwrap().entity.as_deref(), Some("issue 7"));
    assert!(differences(&bench).await.iter().any(|difference| difference.contains("Name")));
    world.set_faults(Faults::default());
    assert_eq!(reception.inbox.replay(vec![dead.number]).await.unwrap(), 1);
    becomes_equal(&bench, &following).await;
    let counts = worked_off(&reception).await;
    assert_eq!(counts.dead, 0);
    let found = reception.inbox.find(dead.number.0.to_string()).await.unwrap().unwrap();
    assert_eq!((found.entry.standing, found.entry.replays), (Standing::Applied, 1));
    following.stop().await;
    reception.close().await;
}

async fn deliveries_of_the_first_reading_lose_nothing(target: TargetKind) {
    let far = Duration::from_hours(1);
    let projects = vec![ProjectConfig::new("mobile-app", 1_200, 8, 10)];
    let (bench, reception) = stage(target, projects, far, Duration::from_mins(2)).await;
    let world = bench.sim.world();
    world.set_hook_faults(HookFaults {
        duplicate_same_id: 0.2,
        duplicate_new_id: 0.2,
        swap: 0.3,
        ..HookFaults::default()
    });
    let following = bench.follow().await;
    for round in 0..40_u32 {
        let edits = [rename(round * 29 + 1, &format!("round {round}")), rename(1_200 - round, "from behind")];
        world.apply(&edits).unwrap();
        world
            .apply(&[Operation::DeleteIssue { project: "mobile-app".to_owned(), code: round * 29 + 2 }])
            .unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.hooks_settled().await;
    loaded(&following).await;
    worked_off(&reception).await;
    becomes_equal(&bench, &following).await;
    let ran = following.stop().await;
    assert!(ran.outcome.held.is_empty());
    reception.close().await;
}

async fn without_details_and_with_eager_ones_it_is_the_same(target: TargetKind) {
    for details in [Details::Off, Details::Eager] {
        let far = Duration::from_hours(1);
        let projects =
            vec![ProjectConfig::new("mobile-app", 80, 4, 6), ProjectConfig::new("backend", 20, 2, 4)];
        let (mut bench, mut reception) = stage(target, projects, far, Duration::from_mins(2)).await;
        bench.settings.details = details;
        bench.task.listed_only = details == Details::Off;
        // Of one project only: what is told of the other is kept aside.
        bench.settings.projects = Projects::Named(vec!["mobile-app".to_owned()]);
        reception.hooks.keep = Duration::from_mins(5);
        let following = bench.follow().await;
        loaded(&following).await;
        let world = bench.sim.world();
        let fields = IssueFields { name: Some("made".to_owned()), ..IssueFields::default() };
        world
            .apply(&[
                Operation::CreateIssue { project: "mobile-app".to_owned(), fields: Box::new(fields) },
                rename(5, "changed"),
                Operation::DeleteIssue { project: "mobile-app".to_owned(), code: 6 },
                Operation::DeleteIssue { project: "backend".to_owned(), code: 6 },
            ])
            .unwrap();
        let arrived = async || {
            let of_project =
                |difference: &String| difference.contains("mobile-app") || !difference.contains("backend");
            (!differences(&bench).await.iter().any(of_project)).then_some(())
        };
        until("the changes have arrived", arrived).await;
        let ignored = async || {
            let query = Query { standing: Some(StandingKind::Ignored), before: None, limit: 10 };
            reception.inbox.list(query).await.unwrap().pop()
        };
        let aside = until("the other project's delivery is kept aside", ignored).await;
        assert_eq!(
            aside.standing,
            Standing::Ignored { reason: "project `backend` is not one of this connection's".to_owned() }
        );
        following.stop().await;
        reception.close().await;
    }
}
