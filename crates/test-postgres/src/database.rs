//! A database of one's own, on a server that others use too.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use url::Url;

use crate::cluster::QUICK;
use crate::server::{Server, blocking};
use crate::user::User;

/// Names a server to make databases on, as a URL: `postgres://user:password@host:port/database`.
pub const URL_VARIABLE: &str = "TRIBUTARY_TEST_POSTGRES_URL";

/// The shared server outlasts a pause between two tests, so that it is started once for a run of many.
const LINGER: Duration = Duration::from_secs(10);

/// An empty database, dropped with this.
#[derive(Debug)]
pub struct Database {
    url: Url,
    name: String,
    /// Where it is dropped: the maintenance database of a server that stays.
    drop_at: Option<Url>,
    /// Keeps the shared server alive.
    _server: Option<Server>,
}

/// An empty database, for a user who may do anything with it.
///
/// # Panics
/// When there is no server, or it does not make one.
pub async fn database() -> Database {
    if let Some(given) = std::env::var_os(URL_VARIABLE).filter(|url| !url.is_empty()) {
        let given = given.to_str().and_then(|url| Url::parse(url).ok());
        let server = given.unwrap_or_else(|| panic!("{URL_VARIABLE} holds no URL"));
        return Database::create(server.clone(), Some(server), None).await;
    }
    let folder = std::env::temp_dir().join(format!("tributary-postgres-{}", User::me().uid));
    let server = blocking(move || Server::join(&folder, QUICK, LINGER)).await;
    Database::create(server.url().clone(), Some(server.url().clone()), Some(server)).await
}

impl Database {
    /// Makes one on the server whose maintenance database is `at`.
    pub(crate) async fn create(at: Url, drop_at: Option<Url>, server: Option<Server>) -> Database {
        let name = format!("tributary_test_{:016x}", rand::random::<u64>());
        // What somebody put into template1 is nobody's expectation.
        let sql = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'");
        if let Err(error) = execute(&at, &sql).await {
            let place = format!("{}:{}", at.host_str().unwrap_or("localhost"), at.port().unwrap_or(5432));
            panic!(
                "cannot make a database for a test on the server at {place}: {error}. It must take connections, \
                 and the user `{}` needs the right to make databases (ALTER ROLE … CREATEDB)",
                at.username()
            );
        }
        let mut url = at;
        url.set_path(&name);
        Database { url, name, drop_at, _server: server }
    }

    /// Where it is, with everything needed to connect, for example `postgres://user:password@host:port/name`.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// A new connection to it.
    ///
    /// # Panics
    /// When it cannot be reached.
    pub async fn connect(&self) -> PgConnection {
        let connected = PgConnection::connect(self.url.as_str()).await;
        connected.unwrap_or_else(|error| panic!("cannot connect to the database of a test: {error}"))
    }
}

impl Drop for Database {
    /// Ends whatever connections are left, and drops the database.
    fn drop(&mut self) {
        let Some(server) = self.drop_at.take() else { return };
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        // A runtime of its own: the test's may be ending.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(sqlx::Error::Io)?.block_on(execute(&server, &sql))
        })
        .join();
        if !std::thread::panicking() {
            dropped.expect("dropping a database does not panic").expect("a database of ours can be dropped");
        }
    }
}

async fn execute(server: &Url, sql: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(server.as_str()).await?;
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await?;
    connection.close().await
}
