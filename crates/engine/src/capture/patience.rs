//! How trouble is waited out: passing trouble by trying again, lost access and a refused credential until somebody puts
//! them right. Whoever waits says on the board what for, since when, and when it looks again.

use std::pin::pin;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Capture, CaptureError, Until};
use crate::journal::Journal;
use crate::problem::{Problem, Remedy};
use crate::source::{Source, SourceError, SourceErrorKind};
use crate::status::State;

/// After trouble, look again this often ...
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// ... for so long ...
const LOOK_AGAIN_OFTEN: Duration = Duration::from_mins(10);
/// ... and then this often.
const LOOK_AGAIN_LATER: Duration = Duration::from_mins(1);
/// A source that never answered is given up at start after this time.
const FIRST_ANSWER: Duration = Duration::from_secs(25);
/// With `once`, transient errors are retried for so long without any success.
pub(super) const ONCE_PATIENCE: Duration = Duration::from_mins(10);
/// So many refusals of an action in a row, while the credential sees its projects, are no passing fault.
pub(super) const REFUSALS: u32 = 3;
/// With `once`, time between two tries.
pub(super) const ONCE_PAUSE: Duration = Duration::from_secs(1);

/// After trouble that has lasted for so long, the time until the next look.
pub(super) fn look_again(lasted: Duration, poll_interval: Duration) -> Duration {
    match lasted < LOOK_AGAIN_OFTEN {
        true => LOOK_AGAIN.min(poll_interval.max(ONCE_PAUSE)),
        false => LOOK_AGAIN_LATER,
    }
}

/// How often a wait for the source looks whether anything was answered meanwhile.
const LISTEN: Duration = Duration::from_millis(500);

/// The source took longer than anybody wants to wait for an answer.
fn no_answer(silence: Duration) -> SourceError {
    SourceError {
        kind: SourceErrorKind::Unreachable,
        problem: Problem::new(
            "SOURCE-UNREACHABLE",
            "Cannot reach the source",
            format!("it did not answer within {} seconds", silence.as_secs()),
            "Check `source.team` or `source.base_url`, the network and the proxy.",
        ),
        source: None,
    }
}

/// A step, unless nothing is answered for too long: since `heard`, or since the last answer. Each request has its own
/// patience; a step of many may take as long as it takes. `silent` while there never was an answer.
///
/// # Errors
/// For how long nothing was answered.
async fn unless_silent<T>(
    answers: impl Fn() -> u64,
    mut heard: Instant,
    mut silent: bool,
    step: impl Future<Output = T>,
) -> Result<T, Duration> {
    let mut step = pin!(step);
    let mut known = answers();
    loop {
        // Cancel-safe: the step goes on where it was.
        if let Ok(done) = tokio::time::timeout(LISTEN, &mut step).await {
            return Ok(done);
        }
        let newest = answers();
        if newest != known {
            (known, heard, silent) = (newest, Instant::now(), false);
        }
        let patience = if silent { FIRST_ANSWER } else { ONCE_PATIENCE };
        if heard.elapsed() >= patience {
            return Err(patience);
        }
    }
}

impl<S: Source, J: Journal> Capture<S, J> {
    /// The first contact with the source, or the first after it was `known`.
    pub(super) async fn start(&self, until: Until, known: bool) -> Result<(), CaptureError> {
        let (began, since) = (Instant::now(), Timestamp::now());
        self.remembered_fields().await?;
        // A host that never answered is most likely a mistake, one that answers badly or late is in trouble.
        let (mut silent, answers) = (true, self.source.answers());
        let mut last = None;
        // Somebody waits for the answer; what has followed before is waited for as long as it takes.
        let gives_up = until == Until::Once || !known;
        loop {
            let heard = if gives_up { began } else { Instant::now() };
            let answer = unless_silent(|| self.source.answers(), heard, silent, self.look_around()).await;
            match answer.map_err(|silence| last.take().unwrap_or_else(|| no_answer(silence).into())).flatten()
            {
                Ok(()) => {
                    let lost = self.complain_of_no_access();
                    return if gives_up { lost } else { Ok(()) };
                }
                Err(error) if error.is_passing() => {
                    silent &= error.is_silence() && self.source.answers() == answers;
                    let over = began.elapsed() >= if silent { FIRST_ANSWER } else { ONCE_PATIENCE };
                    if over && gives_up {
                        return Err(error);
                    }
                    self.wait(&error, ONCE_PAUSE, since).await;
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the source refuses an action although the credential sees projects: nothing that comes back by itself.
    async fn is_refused(&self, error: &CaptureError) -> bool {
        error.is_access_lost() && self.look_around_once().await.is_ok()
    }

    /// Repeats a round until it succeeds, waiting out whatever passes or is put right from outside. At a
    /// first start, an action that is refused again and again ends it.
    pub(super) async fn patiently<F>(&self, first: bool, round: impl Fn() -> F) -> Result<(), CaptureError>
    where
        F: Future<Output = Result<(), CaptureError>>,
    {
        let mut trouble: Option<(Instant, Timestamp)> = None;
        let mut refusals = 0_u32;
        loop {
            let error = match round().await {
                Ok(()) => return Ok(()),
                Err(CaptureError::Journal(error)) if error.remedy == Remedy::NeedsHuman => {
                    return Err(CaptureError::Journal(error));
                }
                Err(error) => error,
            };
            refusals = if first && self.is_refused(&error).await { refusals.saturating_add(1) } else { 0 };
            if refusals >= REFUSALS {
                return Err(error);
            }
            let (began, since) = *trouble.get_or_insert_with(|| (Instant::now(), Timestamp::now()));
            let pause = look_again(began.elapsed(), self.settings.poll_interval);
            self.wait(&error, pause, since).await;
            self.in_flight.retry_now();
        }
    }

    /// Says what is wrong and since when, and waits. Whoever shows the board says it once.
    pub(super) async fn wait(&self, error: &CaptureError, pause: Duration, since: Timestamp) {
        let problem = error.problem().clone();
        tracing::debug!(%problem, "waiting");
        let next = Timestamp::now().checked_add(pause).ok();
        self.board.update(|status| status.capture.enter_since(State::Waiting { problem, next }, since));
        tokio::time::sleep(pause).await;
    }

    /// Repeats a step while its errors may pass, but not for ever.
    pub(super) async fn insistently<F>(&self, step: impl Fn() -> F) -> Result<(), CaptureError>
    where
        F: Future<Output = Result<(), CaptureError>>,
    {
        let (deadline, since) = (Instant::now().checked_add(ONCE_PATIENCE), Timestamp::now());
        let mut refusals = 0_u32;
        loop {
            let error = match step().await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            refusals = if self.is_refused(&error).await { refusals.saturating_add(1) } else { 0 };
            if refusals >= REFUSALS {
                return Err(error);
            }
            let over = deadline.is_none_or(|deadline| Instant::now() >= deadline);
            if over || error.remedy() == Remedy::NeedsHuman {
                return Err(error);
            }
            self.wait(&error, ONCE_PAUSE, since).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{FIRST_ANSWER, ONCE_PATIENCE, unless_silent};

    /// A step of `requests` requests, each answered after `each`; then `Ok`, or for how long nothing was heard.
    async fn step(requests: u64, each: Duration) -> Result<(), Duration> {
        let answers = AtomicU64::new(0);
        let asking = async {
            for _ in 0..requests {
                tokio::time::sleep(each).await;
                answers.fetch_add(1, Ordering::Relaxed);
            }
            if requests == 0 {
                std::future::pending::<()>().await;
            }
        };
        unless_silent(|| answers.load(Ordering::Relaxed), Instant::now(), true, asking).await
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_per_request() {
        assert_eq!(step(40, Duration::from_secs(9)).await, Ok(()));
        assert_eq!(step(0, Duration::ZERO).await, Err(FIRST_ANSWER));
        assert_eq!(step(1, FIRST_ANSWER * 2).await, Err(FIRST_ANSWER));
        assert_eq!(step(2, FIRST_ANSWER - Duration::from_secs(1)).await, Ok(()));
        assert!(FIRST_ANSWER < ONCE_PATIENCE);
    }
}
