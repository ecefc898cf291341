//! Ctrl-C, SIGTERM and SIGHUP: the first asks for a graceful stop, the second stops at once.
//!
//! They are heard on a thread of their own: whatever the work waits for, a second signal ends the process.

use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::exit::{self, Failure};

/// What the two signals set off.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    /// Finish what is under way, then end.
    pub(crate) graceful: CancellationToken,
    /// End at once.
    pub(crate) at_once: CancellationToken,
}

/// Until a process that is to end at once is ended from outside its work: longer than that takes when it is asked.
const AT_ONCE: Duration = Duration::from_secs(2);

/// What signals are for. There is one for the process, as there is one kind of signal.
static WATCH: Mutex<Watch> = Mutex::new(Watch { listens: false, stop: None });

struct Watch {
    /// Whether the thread runs.
    listens: bool,
    /// What a signal sets off now. None where no work is under way that could be stopped: then it ends the process.
    stop: Option<Stop>,
}

fn lock() -> MutexGuard<'static, Watch> {
    WATCH.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Signals set off a [`Stop`] until this is dropped.
pub(crate) struct Watching(());

impl Drop for Watching {
    fn drop(&mut self) {
        lock().stop = None;
    }
}

/// Has signals set off `stop`.
///
/// # Errors
/// The system does not let us listen for signals.
pub(crate) fn watch(stop: Stop) -> Result<Watching, Failure> {
    let mut watch = lock();
    if !watch.listens {
        listen().map_err(|error| Failure::unexpected("listen for signals", error))?;
        watch.listens = true;
    }
    watch.stop = Some(stop);
    Ok(Watching(()))
}

/// Starts the thread; when this returns it hears.
fn listen() -> std::io::Result<()> {
    // A runtime of its own, so that it hears when the other one is stuck.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ready, begun) = mpsc::sync_channel(1);
    let hear = move || {
        runtime.block_on(async {
            match Signals::new() {
                Ok(signals) => {
                    let _waits = ready.send(Ok(()));
                    heed(signals).await;
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        });
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(hear)?;
    begun.recv().unwrap_or_else(|_| Err(std::io::Error::other("the thread for them ended")))
}

async fn heed(mut signals: Signals) {
    loop {
        signals.next().await;
        let stop = lock().stop.clone();
        match stop {
            Some(stop) if !stop.graceful.is_cancelled() => {
                tracing::info!("stopping; once more stops at once");
                stop.graceful.cancel();
            }
            Some(stop) if !stop.at_once.is_cancelled() => {
                stop.at_once.cancel();
                tokio::spawn(end());
            }
            // It ends already, or is about to.
            _ => drop(tokio::spawn(end())),
        }
    }
}

/// Ends the process if it does not end by itself: something does not come back.
#[expect(clippy::disallowed_methods, reason = "who could return from main is what does not come back")]
async fn end() {
    tokio::time::sleep(AT_ONCE).await;
    std::process::exit(exit::FAILED.into());
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    /// None where whoever started us wants it ignored, as `nohup` does.
    hang_up: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        let hang_up = match crate::system::is_hang_up_ignored() {
            true => None,
            false => Some(signal(SignalKind::hangup())?),
        };
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up,
        })
    }

    async fn next(&mut self) {
        let hang_up = async {
            match &mut self.hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => std::future::pending().await,
            }
        };
        // Receiving a signal is cancel safe.
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hang_up => {}
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
