//! Ctrl-C and SIGTERM: the first asks for a graceful stop, the second stops at once.

use tokio_util::sync::CancellationToken;

use crate::exit::Failure;

/// What the two signals set off.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    /// Finish what is under way, then end.
    pub(crate) graceful: CancellationToken,
    /// End at once.
    pub(crate) at_once: CancellationToken,
}

/// Waits for signals until it is dropped. The caller runs it beside its work.
///
/// # Errors
/// The system does not let us listen for signals.
pub(crate) async fn watch(stop: Stop) -> Result<(), Failure> {
    let mut signals = Signals::new().map_err(|error| Failure::unexpected("listen for signals", error))?;
    signals.next().await;
    tracing::info!("stopping; once more stops at once");
    stop.graceful.cancel();
    signals.next().await;
    stop.at_once.cancel();
    Ok(())
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        // Receiving a signal is cancel safe.
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
