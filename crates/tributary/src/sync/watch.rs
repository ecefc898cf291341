//! Whether the state is still where it was opened.

use std::time::Duration;

use engine::problem::Problem;
use store::state_dir::StateDir;
use tokio_util::sync::CancellationToken;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks until `ended` whether the state is still in its place; else everything ends, for nothing that is written is
/// found again, and another process may have begun on a state that took its place.
pub(super) async fn watch_state(
    dir: &StateDir,
    ended: &CancellationToken,
    failed: &CancellationToken,
) -> Option<Problem> {
    loop {
        if let Err(error) = tokio::task::block_in_place(|| dir.in_place()) {
            tracing::error!(problem = %error.problem, "the sync ends");
            failed.cancel();
            return Some(error.problem);
        }
        // Both arms only wait.
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = ended.cancelled() => return None,
        }
    }
}
