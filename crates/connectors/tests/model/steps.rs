//! What may happen, in words that shrink: a case is a list of steps, and which row a step is about is settled when it is
//! its turn.

use std::fmt;

use connectors::coding::config::Details;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Picks one of as many as there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pick(u8);

impl Pick {
    pub(super) fn of<T: Copy>(self, all: &[T]) -> Option<T> {
        all.get(usize::from(self.0) % all.len().max(1)).copied()
    }

    /// One of them, or none.
    pub(super) fn of_or_none<T: Copy>(self, all: &[T]) -> Option<T> {
        if self.0.is_multiple_of(4) { None } else { self.of(all) }
    }
}

/// What somebody does at the source.
#[derive(Clone, Copy, Debug)]
pub(super) enum Edit {
    /// A new issue of a type, of a status, in an iteration.
    Create(&'static str, Pick, Pick),
    CreateBelow(Pick),
    /// Of few names, so that old ones come back.
    Rename(Pick, u8),
    Status(Pick, Pick),
    Assign(Pick, Pick),
    Reparent(Pick, Pick),
    SetEpic(Pick, Pick),
    Move(Pick, Pick),
    Watch(Pick, Pick),
    Custom(Pick, u8),
    /// Without a new time of update.
    MoveSilently(Pick, Pick),
    CustomSilently(Pick, u8),
    Delete(Pick),
    CreateIteration(u8),
    RenameIteration(Pick, u8),
    /// Goal, dates or status, by chance.
    ChangeIteration,
    DeleteIteration(Pick),
    Join(Pick),
    Leave(Pick),
    ChangeRoles(Pick, Pick),
    RenameUser(Pick),
}

/// What goes wrong at the source, until something else does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    None,
    /// One request in ten fails or is answered badly.
    Faults,
    /// Every third request is throttled.
    Throttling,
    /// A project is out of sight: its requests are refused.
    Refused,
    /// A project is out of sight: its listings are empty, its rows not found.
    Emptied,
}

/// One step of a case.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Edit(Edit),
    /// A delivery of the hook arrives, whichever; it may come again.
    Deliver {
        which: Pick,
        again: bool,
    },
    DeliverAll,
    Lose(Pick),
    /// Follows from here on: the first poll and census come at once.
    Follow,
    Stop,
    /// Ends without being asked, wherever it is.
    Crash,
    /// Everything once: a poll, a census, and what is due.
    Once,
    /// Hundredths of a second.
    Rest(u8),
    /// Another filter from the next start on.
    Filter(u8),
    Trouble(Trouble),
    /// The log's retention has passed.
    Forget,
    /// Nothing happens any more: all must be equal.
    Settle,
}

/// What holds for a whole case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) details: Details,
    pub(super) hooks: bool,
    /// Polls and censuses several times a second, or only at starts.
    pub(super) polls: bool,
    /// Edits are dated seconds apart, and long over; otherwise as they come.
    pub(super) apart: bool,
    /// Whether everything is read before the first step.
    pub(super) loaded: bool,
}

/// A case, readable when it fails.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) rules: Rules,
    pub(super) steps: Vec<Step>,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}", self.rules)?;
        self.steps.iter().enumerate().try_for_each(|(number, step)| match step {
            Step::Edit(edit) => writeln!(f, "{:>4} {edit:?}", number + 1),
            step => writeln!(f, "{:>4} {step:?}", number + 1),
        })
    }
}

fn pick() -> impl Strategy<Value = Pick> {
    any::<u8>().prop_map(Pick)
}

fn edit() -> impl Strategy<Value = Edit> {
    let sort = || select(vec!["MISSION", "REQUIREMENT", "DEFECT", "EPIC"]);
    let two = || (pick(), pick());
    let number = || (pick(), 0..3_u8);
    prop_oneof![
        3 => (sort(), pick(), pick()).prop_map(|(sort, status, iteration)| Edit::Create(sort, status, iteration)),
        3 => pick().prop_map(Edit::CreateBelow),
        4 => number().prop_map(|(issue, name)| Edit::Rename(issue, name)),
        3 => two().prop_map(|(issue, status)| Edit::Status(issue, status)),
        2 => two().prop_map(|(issue, user)| Edit::Assign(issue, user)),
        4 => two().prop_map(|(issue, parent)| Edit::Reparent(issue, parent)),
        3 => two().prop_map(|(issue, epic)| Edit::SetEpic(issue, epic)),
        2 => two().prop_map(|(issue, iteration)| Edit::Move(issue, iteration)),
        1 => two().prop_map(|(issue, user)| Edit::Watch(issue, user)),
        1 => number().prop_map(|(issue, value)| Edit::Custom(issue, value)),
        1 => two().prop_map(|(issue, iteration)| Edit::MoveSilently(issue, iteration)),
        1 => number().prop_map(|(issue, value)| Edit::CustomSilently(issue, value)),
        4 => pick().prop_map(Edit::Delete),
        1 => (0..6_u8).prop_map(Edit::CreateIteration),
        2 => (pick(), 0..6_u8).prop_map(|(iteration, name)| Edit::RenameIteration(iteration, name)),
        1 => Just(Edit::ChangeIteration),
        1 => pick().prop_map(Edit::DeleteIteration),
        1 => pick().prop_map(Edit::Join),
        1 => pick().prop_map(Edit::Leave),
        1 => two().prop_map(|(member, role)| Edit::ChangeRoles(member, role)),
        1 => pick().prop_map(Edit::RenameUser),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let trouble =
        select(vec![Trouble::None, Trouble::Faults, Trouble::Throttling, Trouble::Refused, Trouble::Emptied]);
    prop_oneof![
        40 => edit().prop_map(Step::Edit),
        8 => (pick(), any::<bool>()).prop_map(|(which, again)| Step::Deliver { which, again }),
        2 => Just(Step::DeliverAll),
        2 => pick().prop_map(Step::Lose),
        6 => Just(Step::Follow),
        1 => Just(Step::Stop),
        3 => Just(Step::Crash),
        1 => Just(Step::Once),
        10 => (0..30_u8).prop_map(Step::Rest),
        1 => (0..4_u8).prop_map(Step::Filter),
        3 => trouble.prop_map(Step::Trouble),
        1 => Just(Step::Forget),
        1 => Just(Step::Settle),
    ]
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    let details = select(vec![
        Details::Background,
        Details::Background,
        Details::Background,
        Details::Eager,
        Details::Off,
    ]);
    let rules = (details, any::<bool>(), any::<bool>(), prop::bool::weighted(0.7), any::<bool>())
        .prop_map(|(details, hooks, polls, apart, loaded)| Rules { details, hooks, polls, apart, loaded });
    (rules, vec(step(), 4..60)).prop_map(|(rules, steps)| Case { rules, steps })
}
