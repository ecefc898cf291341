//! The connection: made when it is needed, thrown away after an error, never waited for without end.
//!
//! A call takes the connection out, and gives it back when all went well. So a connection that something went wrong
//! on, or whose call was given up in its middle, is never used again: its server end rolls back.

use std::time::Duration;

use engine::problem::Problem;
use engine::target::TargetErrorKind;
use sqlx::{ConnectOptions, Connection, PgConnection, Postgres, Transaction};
use tokio::time::{Instant, timeout};

use super::config::Validated;
use super::nodelay;
use super::tunnel;
use crate::fault::Fault;

/// For the name, the connection, TLS and the password together.
pub(super) const CONNECT: Duration = Duration::from_secs(10);

/// For a whole call: more than its longest statement may take ([`BEGIN`]). What hangs longer has lost its server.
pub(super) const CALL: Duration = Duration::from_secs(6 * 60);

/// A connection that was silent for so long may be gone: servers end sessions that are idle (`idle_session_timeout`),
/// firewalls forget them. To ask is one exchange after a pause.
const SILENT: Duration = Duration::from_secs(1);

/// The way to the database.
#[derive(Debug)]
pub(super) struct Link {
    place: Validated,
    patience: Patience,
    idle: Option<(PgConnection, Instant)>,
    /// Whether the connection sends small packets at once.
    prompt: bool,
}

/// How long something may take before the connection is not believed in any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For a whole call.
    pub(super) call: Duration,
    /// Between two calls.
    pub(super) silent: Duration,
}

impl Link {
    pub(super) fn new(place: Validated) -> Link {
        Link { place, patience: Patience { call: CALL, silent: SILENT }, idle: None, prompt: false }
    }

    #[cfg(test)]
    pub(super) fn with(self, patience: Patience) -> Link {
        Link { patience, ..self }
    }

    /// How long a call may take.
    pub(super) fn patience(&self) -> Duration {
        self.patience.call
    }

    pub(super) fn place(&self) -> &Validated {
        &self.place
    }

    /// The connection: the one there is, or a new one.
    pub(super) async fn take(&mut self) -> Result<PgConnection, Fault> {
        if let Some((mut connection, used)) = self.idle.take() {
            let fresh = used.elapsed() < self.patience.silent;
            if fresh || timeout(CONNECT, connection.ping()).await.is_ok_and(|answer| answer.is_ok()) {
                return Ok(connection);
            }
        }
        let connection = connect(&self.place).await?;
        self.prompt = nodelay::send_at_once(&self.place).await;
        Ok(connection)
    }

    /// Whether the connection that was taken last sends small packets at once: only then copying is faster.
    pub(super) fn is_prompt(&self) -> bool {
        self.prompt
    }

    /// Keeps a connection for the next call.
    pub(super) fn give(&mut self, connection: PgConnection) {
        // A named one would not be there in the next transaction behind a pooler.
        debug_assert_eq!(connection.cached_statements_size(), 0, "all statements are unnamed");
        self.idle = Some((connection, Instant::now()));
    }

    /// Begins the transaction of a call.
    pub(super) async fn begin<'c>(
        &self,
        connection: &'c mut PgConnection,
    ) -> Result<Transaction<'c, Postgres>, Fault> {
        Ok(connection.begin_with(BEGIN).await?)
    }

    /// Says good-bye to the server.
    pub(super) async fn close(self) {
        if let Some((connection, _)) = self.idle
            && !matches!(timeout(CONNECT, connection.close()).await, Ok(Ok(())))
        {
            // Everything was committed before.
            tracing::debug!("the connection to the target was not closed cleanly");
        }
    }
}

/// Does the work of one call, but not for ever.
pub(super) async fn within<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    timeout(patience, work).await.unwrap_or_else(|_| Err(silence()))
}

/// A new connection.
pub(super) async fn connect(place: &Validated) -> Result<PgConnection, Fault> {
    for (name, file) in place.certificates() {
        if let Err(error) = tokio::fs::metadata(&file).await {
            let problem = Problem::new(
                "POSTGRES-CERTIFICATE",
                format!("Cannot connect to PostgreSQL, {}", place.place()),
                format!("the file `{}` of `{name}` cannot be read ({error})", file.display()),
                "Correct the path in the URL; it is relative to the directory in which tributary was started.",
            );
            return Err(Fault::refused(TargetErrorKind::Fatal, problem));
        }
    }
    let options = place.options()?;
    let patience = place.connect_timeout().unwrap_or(CONNECT);
    let connected = async {
        match options.connect().await {
            Err(error) if tunnel::may_help(place, &options, &error) => tunnel::connect(place, options).await,
            connected => connected,
        }
    };
    // Large, and rarely there.
    timeout(patience, Box::pin(connected)).await.unwrap_or_else(|_| Err(timed_out())).map_err(Fault::from)
}

fn silence() -> Fault {
    timed_out().into()
}

fn timed_out() -> sqlx::Error {
    std::io::Error::new(std::io::ErrorKind::TimedOut, "the server does not answer").into()
}

/// How every transaction begins, in one round trip. All of it ends with the transaction, so that it works through a
/// pooler too.
///
/// The search path is PostgreSQL's own catalog: functions and operators that others made are not found, and tables are
/// named in full. Names are printed as they are needed, whatever the user's settings.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
                     SET LOCAL search_path = pg_catalog, pg_temp; \
                     SET LOCAL quote_all_identifiers = off; \
                     SET LOCAL client_min_messages = warning; \
                     SET LOCAL statement_timeout = '5min'; \
                     SET LOCAL lock_timeout = '30s'; \
                     SET LOCAL idle_in_transaction_session_timeout = '10s'; \
                     SELECT set_config('synchronous_commit', 'on', true) \
                     WHERE current_setting('synchronous_commit') = 'off'";
