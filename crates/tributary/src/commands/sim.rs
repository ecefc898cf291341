//! `tributary sim`: a simulated CODING on this machine.

use crate::cli::SimArgs;
use crate::exit::{Done, Failure};

/// Runs until a signal.
///
/// # Errors
/// The address is taken.
pub(crate) async fn run(_args: &SimArgs) -> Result<Done, Failure> {
    Err(Failure::unexpected("run this command", "it is not wired yet"))
}
