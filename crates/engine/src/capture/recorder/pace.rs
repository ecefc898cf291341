//! Lets the tasks keep up with a first reading.
//!
//! What was committed a moment ago is in memory still. A task that has fallen behind that reads each row from the file,
//! unpacks it and reads its text again: then it is slower than the reading, and would never come near any more.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::observation::{Channel, Observation};
use crate::position::Sequence;
use crate::status::{Board, State, Status};

/// Rows that a first reading goes ahead of the tasks that write them: enough for one batch to be made while another is
/// written, and less than a journal keeps in memory.
const AHEAD: i64 = 2_000;
/// How long it waits for them at most, for each row that it brings: a slow target slows it down, none stops it. A page of
/// 500 rows waits 50 ms.
const PATIENCE: Duration = Duration::from_micros(100);

/// Waits, within reason, until the tasks are near `head`, if it is a first reading that comes next. What waits behind it
/// waits as long.
pub(super) async fn keep(next: &[Observation], head: Sequence, board: &Board, cancel: &CancellationToken) {
    let loaded = next.iter().filter(|observation| observation.channel == Channel::Load).count();
    if loaded == 0 {
        return;
    }
    let patience = PATIENCE.saturating_mul(u32::try_from(loaded).unwrap_or(u32::MAX));
    let mut board = board.watch();
    // Cancel-safe: only waits.
    tokio::select! {
        _ = tokio::time::timeout(patience, board.wait_for(|status| !is_one_behind(status, head))) => {}
        () = cancel.cancelled() => {}
    }
}

/// Whether a task that is at work on a first reading is too far from `head`.
fn is_one_behind(status: &Status, head: Sequence) -> bool {
    status
        .tasks
        .values()
        .any(|task| task.activity.state == State::Loading && task.position.saturating_add(AHEAD) < head.0)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::clock::Moment;
    use crate::observation::Seen;
    use crate::row::{ProjectId, RowId, RowKey};
    use crate::schema::TableId;

    const HEAD: Sequence = Sequence(10_000);
    const NEAR: i64 = HEAD.0 - AHEAD;

    fn page(channel: Channel) -> Vec<Observation> {
        let key = |id| RowKey { table: TableId(1), project: ProjectId(1), id: RowId(id) };
        let observation = |id| Observation { key: key(id), sent: Moment(1), channel, seen: Seen::Gone };
        (0..500).map(observation).collect()
    }

    fn tell(board: &Board, task: &str, state: State, position: i64) {
        board.task(task, |status| {
            status.activity.enter(state);
            status.position = position;
        });
    }

    /// How long a page waits; time stands still but for waiting.
    async fn waited(channel: Channel, board: &Board) -> Duration {
        let began = Instant::now();
        keep(&page(channel), HEAD, board, &CancellationToken::new()).await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_reading_waits_for_a_task_that_is_behind_and_not_for_ever() {
        let board = Board::default();
        tell(&board, "near", State::Loading, NEAR);
        assert_eq!(waited(Channel::Load, &board).await, Duration::ZERO);
        tell(&board, "behind", State::Loading, NEAR - 1);
        let whole = waited(Channel::Load, &board).await;
        assert!(whole >= Duration::from_millis(50) && whole < Duration::from_millis(60), "{whole:?}");
        assert_eq!(waited(Channel::Poll, &board).await, Duration::ZERO);
        for state in [State::Starting, State::Rebuilding, State::Following { next: None }, State::Stopped] {
            tell(&board, "behind", state, 0);
            assert_eq!(waited(Channel::Load, &board).await, Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_as_soon_as_the_task_comes_near() {
        let board = Board::default();
        tell(&board, "behind", State::Loading, 0);
        let arrives = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            tell(&board, "behind", State::Loading, NEAR);
        };
        let (waited, ()) = tokio::join!(waited(Channel::Load, &board), arrives);
        assert!(waited >= Duration::from_millis(20) && waited < Duration::from_millis(30), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_wait_when_it_is_cancelled() {
        let (board, cancel) = (Board::default(), CancellationToken::new());
        tell(&board, "behind", State::Loading, 0);
        cancel.cancel();
        let began = Instant::now();
        keep(&page(Channel::Load), HEAD, &board, &cancel).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
