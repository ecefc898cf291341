//! The rate of one action over time: as configured, lowered when the server refuses for too many requests, and
//! raised again.
//!
//! A refusal does not say whose fault it was. Sending less helps when the requests of this process are too many,
//! for example beside a neighbour who uses most of the team's limit. It does not help when the server refuses some
//! requests at random, and then it would only cost time. So every cut is a **trial**: the share that is refused at
//! the lower rate is compared with what was refused before.
//!
//! - Next to nothing is refused any more: it was us. The rate rises again, and rests a little below where it was
//!   refused once that is known for sure; each rest is twice as long as the one before.
//! - About as much is refused: it was not us, and the rate goes back up at once. The share is then a *background*
//!   that is expected and causes no cut. Where the higher rate proves to be refused clearly more often, it was us
//!   after all.
//! - Much is refused even so: the rate goes further down.
//!
//! Pure arithmetic over instants; no waiting here.

use std::time::Duration;

use tokio::time::Instant;

/// Throttling never takes the rate below this many requests a second: slower than that nothing moves, and the
/// server's window is one second anyway.
const FLOOR: f64 = 2.0;
/// From a lowered rate back to the configured one.
const RECOVERY: Duration = Duration::from_secs(30);
/// After a cut: until the server's sliding second holds requests of the lower rate only, and their answers are here.
const DRAIN: Duration = Duration::from_millis(1_100);
/// Answers that a trial looks at: where 6 % are refused, one time in twenty none of them is ...
const TRIAL: u32 = 48;
/// ... or as many as come within this time ...
const TRIAL_AT_LAST: Duration = Duration::from_secs(8);
/// ... and so many refusals end it before.
const TRIAL_REFUSED: u32 = 5;
/// A share that is refused and bothers nobody.
const TOLERATED: f64 = 0.02;
/// No more than this is tolerated, whatever the background: beside a neighbour a third and more is refused.
const TOLERATED_AT_MOST: f64 = 0.22;
/// The largest background that is believed in.
const LARGEST_BACKGROUND: f64 = 0.2;
/// A share above this in the first trial asks for a second one before it is taken for background ...
const DOUBTFUL: f64 = 0.12;
/// ... and above this the rate goes further down in any case.
const SEVERE: f64 = 0.3;
/// Answers after which a rate that was gone back to has proved itself.
const PROOF: u32 = 60;
/// How long a background is believed in before it is tried again, at first and at last.
const BELIEF: Duration = Duration::from_mins(2);
const BELIEF_AT_LAST: Duration = Duration::from_mins(10);
/// How long the rate rests below the one that was refused, at first and at last.
const REST: Duration = Duration::from_secs(30);
const REST_AT_LAST: Duration = Duration::from_mins(2);

/// Refusals beyond what is tolerated that cause a cut ...
const ALARM: f64 = 3.0;
/// ... while the rate rises towards one that was refused ...
const ALARM_RISING: f64 = 2.0;
/// ... while a rate that was gone back to proves itself ...
const ALARM_PROOF: f64 = 3.5;
/// ... and beyond a background.
const ALARM_BACKGROUND: f64 = 4.5;

/// The rate of one action.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    configured: Option<f64>,
    phase: Phase,
    /// Refusals beyond what is tolerated, of late; never below 0.
    alarm: f64,
    /// The share that is refused whatever the rate, as far as is known.
    background: f64,
    /// Until when that is believed.
    believed_until: Option<Instant>,
    /// How long the next background is believed in.
    belief: Duration,
    /// The rate before the last trials has to prove that it is not refused more often.
    proof: Option<Proof>,
    /// The highest rate at which next to nothing was refused; none where no rate was found to matter.
    quiet: Option<f64>,
    /// The last rest below a rate that was refused.
    rest: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// As configured.
    Full,
    Trial(Trial),
    /// From a lower rate to the configured one; before `since` it rests.
    Rising {
        from: f64,
        since: Instant,
    },
}

#[derive(Clone, Copy, Debug)]
struct Trial {
    rate: f64,
    /// The lowest rate at which too much was refused.
    above: f64,
    /// The rate before the first of the trials.
    top: f64,
    /// Answers count from here on.
    since: Instant,
    tally: Tally,
    /// Trials before this one.
    before: u32,
    /// Whether it is known that the rate matters: the trial only looks for a rate that is low enough.
    ours: bool,
}

#[derive(Clone, Copy, Debug)]
struct Proof {
    /// What the trial at the lower rate showed.
    rate: f64,
    trial: Tally,
    /// What the higher rate shows.
    tally: Tally,
}

/// Answers, and how many of them were refusals for too many requests.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    answered: u32,
    refused: u32,
}

impl Tally {
    fn answered(&mut self) {
        self.answered = self.answered.saturating_add(1);
    }

    /// The answer itself was counted before, or is not.
    fn refused(&mut self) {
        self.refused = self.refused.saturating_add(1);
        self.answered = self.answered.max(self.refused);
    }

    fn share(self) -> f64 {
        f64::from(self.refused) / f64::from(self.answered.max(1))
    }
}

impl Pace {
    pub(super) fn new(rate: Option<u32>) -> Self {
        Self {
            configured: rate.map(f64::from),
            phase: Phase::Full,
            alarm: 0.0,
            background: 0.0,
            believed_until: None,
            belief: BELIEF,
            proof: None,
            quiet: None,
            rest: None,
        }
    }

    pub(super) fn set(&mut self, rate: Option<u32>) {
        self.configured = rate.map(f64::from);
    }

    /// Requests per second that may go out at `now`; `None` for no limit.
    pub(super) fn rate(&self, now: Instant) -> Option<f64> {
        let mut pace = self.clone();
        pace.settle(now);
        Some(pace.current(now, pace.configured?))
    }

    /// How many slots there are at `now`, and the even distance between two requests.
    pub(super) fn slots(&mut self, now: Instant) -> Option<(usize, Duration)> {
        self.settle(now);
        let rate = self.current(now, self.configured?).max(1.0);
        // A broken rate is kept by the distance: one slot more than its whole part, or the last part of it is lost.
        let slots = format!("{:.0}", rate.ceil()).parse().unwrap_or(1);
        Some((slots, Duration::from_secs_f64(1.0 / rate)))
    }

    /// A request was answered, whatever the answer; one that refuses is also [`Pace::throttled`], after this.
    pub(super) fn answered(&mut self, now: Instant) {
        self.settle(now);
        if let Phase::Trial(trial) = &mut self.phase {
            if now >= trial.since {
                trial.tally.answered();
                if trial.tally.answered >= TRIAL {
                    self.decide(now);
                }
            }
            return;
        }
        self.alarm = (self.alarm - (TOLERATED + 1.5 * self.background).min(TOLERATED_AT_MOST)).max(0.0);
        if let Some(proof) = &mut self.proof {
            proof.tally.answered();
            if proof.tally.answered >= PROOF {
                let (refused, answered) = (
                    proof.tally.refused.saturating_add(proof.trial.refused).saturating_add(1),
                    proof.tally.answered.saturating_add(proof.trial.answered),
                );
                self.background = Tally { answered, refused }.share().min(LARGEST_BACKGROUND);
                self.proof = None;
            }
        }
    }

    /// The server refused for too many requests. Without a limit of our own there is nothing to lower; the
    /// caller's backoff does what it can.
    pub(super) fn throttled(&mut self, now: Instant) {
        self.settle(now);
        let Some(configured) = self.configured else { return };
        if let Phase::Trial(trial) = &mut self.phase {
            if now >= trial.since {
                trial.tally.refused();
                if trial.tally.refused >= TRIAL_REFUSED {
                    self.decide(now);
                }
            }
            return;
        }
        if let Some(proof) = &mut self.proof {
            proof.tally.refused();
        }
        self.alarm += 1.0;
        let alarm = match (&self.proof, &self.phase) {
            (Some(_), _) => ALARM_PROOF,
            _ if self.background > 0.0 => ALARM_BACKGROUND,
            (_, Phase::Rising { .. }) => ALARM_RISING,
            _ => ALARM,
        };
        if self.alarm >= alarm {
            self.cut(now, configured);
        }
    }

    fn current(&self, now: Instant, configured: f64) -> f64 {
        match self.phase {
            Phase::Full => configured,
            Phase::Trial(trial) => trial.rate.min(configured),
            Phase::Rising { from, since } => {
                let part = now.saturating_duration_since(since).as_secs_f64() / RECOVERY.as_secs_f64();
                // Carefully towards a rate that was refused more than once.
                let part = if self.rest.is_some() { part * part } else { part };
                (from + (configured - from) * part.min(1.0)).min(configured)
            }
        }
    }

    /// What time alone changes.
    fn settle(&mut self, now: Instant) {
        if self.believed_until.is_some_and(|until| until <= now) {
            self.forget_background();
        }
        if let Phase::Trial(trial) = self.phase
            && let Some(end) = trial.since.checked_add(TRIAL_AT_LAST)
            && end <= now
        {
            self.decide(end);
        }
        if let Phase::Rising { since, .. } = self.phase
            && now.saturating_duration_since(since) >= RECOVERY
        {
            (self.phase, self.quiet, self.rest) = (Phase::Full, None, None);
        }
    }

    fn forget_background(&mut self) {
        (self.background, self.believed_until) = (0.0, None);
    }

    fn believe(&mut self, tally: Tally, now: Instant) {
        // Few refusals say little: rather too much than a cut for nothing.
        let share = (f64::from(tally.refused) + 1.5) / (f64::from(tally.answered) + 5.0);
        self.background = share.min(LARGEST_BACKGROUND);
        self.believed_until = now.checked_add(self.belief);
    }

    fn begin_trial(&mut self, now: Instant, trial: Trial) {
        let rate = trial.rate.max(FLOOR).min(trial.above);
        let since = now.checked_add(DRAIN).unwrap_or(now);
        self.phase = Phase::Trial(Trial { rate, since, tally: Tally::default(), ..trial });
        (self.alarm, self.proof) = (0.0, None);
    }

    /// More is refused than is tolerated.
    fn cut(&mut self, now: Instant, configured: f64) {
        let above = self.current(now, configured);
        let mut trial = Trial {
            rate: above / 2.0,
            above,
            top: above,
            since: now,
            tally: Tally::default(),
            before: 0,
            ours: false,
        };
        if let Some(proof) = self.proof {
            // Clearly more than at the lower rate, and even there it was not quiet.
            self.forget_background();
            self.belief = BELIEF;
            (trial.rate, trial.above, trial.ours) = (proof.rate / 2.0, proof.rate, true);
        } else if let Some(quiet) = self.quiet {
            let resting = matches!(self.phase, Phase::Rising { since, .. } if now < since);
            let known = self.rest.is_some() && !resting && quiet <= 0.8 * above;
            trial.rate = if known { quiet } else { 0.7 * above };
        }
        self.begin_trial(now, trial);
    }

    /// A trial is over.
    fn decide(&mut self, now: Instant) {
        let Phase::Trial(trial) = self.phase else { return };
        let Trial { rate, top, tally, before, ours, .. } = trial;
        let share = tally.share();
        let further = Trial { above: rate, before: before.saturating_add(1), ..trial };
        let severe = if before > 0 || rate <= FLOOR { SEVERE } else { DOUBTFUL };
        // Where it is known which rate is refused, a single refusal is no sign of another reason.
        let clean = tally.refused <= u32::from(self.rest.is_some());
        if share > severe {
            if self.quiet.is_some_and(|quiet| quiet >= rate) {
                (self.quiet, self.rest) = (None, None);
            }
            self.begin_trial(now, Trial { rate: rate / 2.0, ..further });
        } else if clean || ours {
            self.it_was_us(now, trial, clean);
        } else if let Some(quiet) = self.quiet.filter(|quiet| *quiet < rate) {
            // Not as quiet as where it was quiet before: there.
            self.begin_trial(now, Trial { rate: quiet, ..further });
        } else if self.rest.is_some() && rate > FLOOR {
            // Not quiet any more where it was: from the beginning.
            (self.quiet, self.rest) = (None, None);
            self.begin_trial(now, Trial { rate: rate / 2.0, ..further });
        } else {
            // As much as before: it was not us.
            (self.quiet, self.rest) = (None, None);
            self.believe(tally, now);
            self.belief = self.belief.saturating_mul(2).min(BELIEF_AT_LAST);
            self.proof = Some(Proof { rate, trial: tally, tally: Tally::default() });
            self.phase = match self.configured {
                Some(configured) if top < configured => Phase::Rising { from: top, since: now },
                _ => Phase::Full,
            };
            self.alarm = 0.0;
        }
    }

    /// The lower rate helped.
    fn it_was_us(&mut self, now: Instant, trial: Trial, clean: bool) {
        if clean {
            self.forget_background();
            self.belief = BELIEF;
        } else {
            self.believe(trial.tally, now);
        }
        let (mut from, mut since) = (trial.rate, now);
        if self.quiet.is_some() {
            from = (trial.above * 0.85).min(trial.rate * 1.2).max(trial.rate);
            let rest = self.rest.map_or(REST, |rest| rest.saturating_mul(2).min(REST_AT_LAST));
            since = now.checked_add(rest).unwrap_or(now);
            self.rest = Some(rest);
        }
        self.quiet = Some(from);
        self.phase = Phase::Rising { from, since };
        self.alarm = 0.0;
    }
}
