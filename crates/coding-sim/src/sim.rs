//! Starting and stopping a simulator.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::SimConfig;
use crate::failure::Failure;
use crate::handle::WorldHandle;
use crate::hooks::send;
use crate::http;
use crate::mutator::mutate;
use crate::state::Shared;

/// A running simulator. Dropping it ends it at once; [`Sim::stop`] waits for the end.
#[derive(Debug)]
pub struct Sim {
    shared: Arc<Shared>,
    address: SocketAddr,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

/// Why the simulator does not start, or refuses a change.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: is the port in use?")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A change or a question that the world does not allow.
    #[error("the simulator refuses: {code}: {message}")]
    Refused {
        /// The code that the API would answer.
        code: &'static str,
        /// The reason.
        message: String,
    },
}

impl From<Failure> for SimError {
    fn from(failure: Failure) -> Self {
        Self::Refused { code: failure.code, message: failure.message.into_owned() }
    }
}

impl Sim {
    /// Makes the data and serves it.
    ///
    /// # Errors
    /// `Listen` when the address is taken or not ours.
    pub async fn start(config: SimConfig) -> Result<Self, SimError> {
        let listen = config.listen;
        let failed = |source| SimError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared::new(config));
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(http::serve(listener, Arc::clone(&shared), cancel.clone()));
        tasks.spawn(send::run(shared.post(), cancel.clone()));
        tasks.spawn(keep_changing(Arc::clone(&shared), cancel.clone()));
        Ok(Self { shared, address, cancel, tasks })
    }

    /// The base URL, for example `http://127.0.0.1:7070`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address that is listened on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A handle with what the admin API offers.
    #[must_use]
    pub fn world(&self) -> WorldHandle {
        WorldHandle(Arc::clone(&self.shared))
    }

    /// Ends all connections and waits until nothing of the simulator runs.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// The mutator's task: so many changes per second as the rate says, evenly.
async fn keep_changing(shared: Arc<Shared>, cancel: CancellationToken) {
    /// At high rates several changes share a tick.
    const TICK: Duration = Duration::from_millis(10);
    let mut rate = shared.rate.subscribe();
    loop {
        let per_second = *rate.borrow_and_update();
        let mut due = 0.0_f64;
        let mut next = Instant::now();
        loop {
            // Every arm may be dropped: none has begun anything.
            tokio::select! {
                () = cancel.cancelled() => return,
                changed = rate.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                () = sleep_until(next), if per_second > 0.0 => {
                    next += TICK;
                    due += per_second * TICK.as_secs_f64();
                    while due >= 1.0 {
                        due -= 1.0;
                        mutate(&mut shared.world_mut(), &[]);
                    }
                }
            }
        }
    }
}
