//! A server of one's own.

use std::time::Duration;

use url::Url;

use crate::database::Database;
use crate::server::{self, Server, blocking};

/// Settings for tests: nothing waits for the disk. What is committed still survives a killed server; only the
/// machine must not go down.
pub const QUICK: &[(&str, &str)] = &[("fsync", "off"), ("full_page_writes", "off")];

/// A server that belongs to one test or benchmark, which may stop it or end its connections as it likes. Nothing is
/// left of it after it is dropped, or after the process was killed.
#[derive(Debug)]
pub struct Cluster(Option<Server>);

impl Cluster {
    /// Starts a server with PostgreSQL's own settings and these instead, for example [`QUICK`]. Takes about a second.
    ///
    /// # Panics
    /// When no server is installed, or it does not start.
    pub async fn start(settings: &[(&str, &str)]) -> Cluster {
        let owned: Vec<(String, String)> =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let folder = tempfile::Builder::new().prefix("tributary-postgres-").tempdir();
        // From here on the server's warden removes it.
        let folder = folder.expect("the temporary folder can be written to").keep();
        let server = blocking(move || {
            let settings: Vec<(&str, &str)> = owned.iter().map(|(name, value)| (&**name, &**value)).collect();
            Server::join(&folder, &settings, Duration::ZERO)
        });
        Cluster(Some(server.await))
    }

    /// An empty database on it.
    ///
    /// # Panics
    /// When the server does not make one.
    pub async fn database(&self) -> Database {
        Database::create(self.url().clone(), None, None).await
    }

    /// Its maintenance database, with the password of a superuser.
    #[must_use]
    pub fn url(&self) -> &Url {
        self.server().url()
    }

    /// The id of the server's first process; all others are its children.
    ///
    /// # Panics
    /// While the server is stopped.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server().pid()
    }

    /// Stops the server as a crash would: every connection ends where it is.
    ///
    /// # Panics
    /// When it does not stop.
    pub async fn stop(&self) {
        self.control(&["stop", "--mode", "immediate"]).await;
    }

    /// Starts the stopped server again, at the same address.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_again(&self) {
        self.control(&["start", "--log", "server.log"]).await;
    }

    async fn control(&self, arguments: &'static [&'static str]) {
        let folder = self.server().folder().to_owned();
        blocking(move || server::control(&folder, arguments)).await;
    }

    fn server(&self) -> &Server {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(server) = self.0.take() {
            server.end();
        }
    }
}
