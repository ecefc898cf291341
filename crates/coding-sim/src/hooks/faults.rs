//! What can happen to a hook on its way: shares of deliveries, and standing switches.

use serde::{Deserialize, Serialize};

use crate::dice::Dice;

/// Faults of hooks. As JSON this is what the admin API takes and answers. Shares are 0 to 1, of deliveries;
/// a ping and what is sent again from the log are spared. The same seed strikes the same deliveries.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HookFaults {
    /// Share that is never sent, and is in no log.
    pub drop: f64,
    /// Share that comes once more under the same delivery id.
    pub duplicate_same_id: f64,
    /// Share that comes once more under another delivery id.
    pub duplicate_new_id: f64,
    /// Share that changes places with the next delivery of its hook.
    pub swap: f64,
    /// Share that is sent up to [`Self::delay_max_ms`] later; others overtake it.
    pub delay: f64,
    /// The longest delay; 0 = 1,000 ms.
    pub delay_max_ms: u64,
    /// Share that is sent [`Self::late_ms`] later.
    pub late: f64,
    /// How late that is; 0 = 6,000 ms, more than any sender waits for an answer.
    pub late_ms: u64,
    /// Share whose body is a filled template: JSON, but no event.
    pub template_body: f64,
    /// Share whose body is no JSON.
    pub non_json: f64,
    /// Share of another event than anybody has heard of.
    pub unknown_event: f64,
    /// Share in the format of the older product, as JSON; only issues, members and code have one.
    pub legacy_json: f64,
    /// The same as a form with the JSON in `payload`.
    pub legacy_form: f64,
    /// Share in the format of a group chat.
    pub chat_message: f64,
    /// Share that is signed with another key; only where the hook has a token.
    pub wrong_signature: f64,
    /// Share whose signature lacks its end; only where the hook has a token.
    pub truncated_signature: f64,
    /// Standing: what is raised within so many milliseconds goes out together at their end; 0 = at once.
    pub burst_ms: u64,
    /// Standing: besides its own event, a change of status, assignee, iteration or parent sends
    /// `ISSUE_UPDATED`.
    pub double_events: bool,
    /// Standing: the log shows no `RequestContent`.
    pub log_without_content: bool,
    /// Standing: what is sent again from the log gets another delivery id.
    pub resend_new_id: bool,
    /// Share of the mutator's changes that are followed by a push, a merge request or a build.
    pub code_events: f64,
}

/// What becomes of one delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Fate {
    pub(crate) dropped: bool,
    pub(crate) duplicate_same_id: bool,
    pub(crate) duplicate_new_id: bool,
    pub(crate) body: Option<BodyFault>,
    pub(crate) signature: Signature,
}

/// What becomes of one copy of a delivery on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Straight,
    Swapped,
    Delayed(u64),
    Late(u64),
}

/// A body that is not what the event's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFault {
    Template,
    NonJson,
    UnknownEvent,
    LegacyJson,
    LegacyForm,
    Chat,
}

impl BodyFault {
    /// The name in the counters: that of the field.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Template => "template_body",
            Self::NonJson => "non_json",
            Self::UnknownEvent => "unknown_event",
            Self::LegacyJson => "legacy_json",
            Self::LegacyForm => "legacy_form",
            Self::Chat => "chat_message",
        }
    }
}

/// How a delivery is signed, where the hook has a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Signature {
    #[default]
    Right,
    Wrong,
    Truncated,
}

/// A delay that is not stated.
const DELAY_MS: u64 = 1_000;
/// A lateness that is not stated: above the five seconds that CODING waits for an answer.
const LATE_MS: u64 = 6_000;

impl HookFaults {
    /// Rolls the fate of a delivery. Every roll is made whatever the shares are, so that one share does
    /// not move the others' victims.
    pub(crate) fn fate(&self, dice: &mut Dice) -> Fate {
        let mut roll = |share: f64| dice.chance(share);
        let (dropped, duplicate_same_id) = (roll(self.drop), roll(self.duplicate_same_id));
        let duplicate_new_id = roll(self.duplicate_new_id);
        let (wrong, truncated) = (roll(self.wrong_signature), roll(self.truncated_signature));
        let signature = match (wrong, truncated) {
            (true, _) => Signature::Wrong,
            (false, true) => Signature::Truncated,
            (false, false) => Signature::Right,
        };
        let mut point = dice.unit();
        let bodies = [
            (BodyFault::Template, self.template_body),
            (BodyFault::NonJson, self.non_json),
            (BodyFault::UnknownEvent, self.unknown_event),
            (BodyFault::LegacyJson, self.legacy_json),
            (BodyFault::LegacyForm, self.legacy_form),
            (BodyFault::Chat, self.chat_message),
        ];
        let body = bodies.into_iter().find_map(|(fault, share)| {
            point -= share;
            (point < 0.0).then_some(fault)
        });
        Fate { dropped, duplicate_same_id, duplicate_new_id, body, signature }
    }

    /// Rolls the way of one copy.
    pub(crate) fn way(&self, dice: &mut Dice) -> Way {
        let (late, delayed, swapped) =
            (dice.chance(self.late), dice.chance(self.delay), dice.chance(self.swap));
        let stated = |ms: u64, otherwise: u64| if ms == 0 { otherwise } else { ms };
        let delay = 1 + dice.below(stated(self.delay_max_ms, DELAY_MS));
        match (late, delayed, swapped) {
            (true, ..) => Way::Late(stated(self.late_ms, LATE_MS)),
            (_, true, _) => Way::Delayed(delay),
            (_, _, true) => Way::Swapped,
            _ => Way::Straight,
        }
    }
}
