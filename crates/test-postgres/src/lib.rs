//! An empty PostgreSQL database for a test, on a real server.
//!
//! [`database()`] gives one and drops it at the end. The server is the one that `TRIBUTARY_TEST_POSTGRES_URL` names;
//! without it, one is started from the installed binaries and shared by all tests that run at the time, whichever
//! process they are in. It ends some seconds after the last of them, also when that was killed. A test that stops
//! its server, and a benchmark that sets it up in its own way, start their own [`Cluster`]. Where there is no
//! server to start, both panic and say what to install: nothing is skipped.
//!
//! Start with `database.rs`; how a server starts, is shared and ends is in `server.rs` and `warden.sh`.
#![expect(clippy::panic, reason = "without a server a test cannot go on, and says why")]

mod binaries;
mod cluster;
mod database;
mod server;
mod user;

pub use cluster::{Cluster, QUICK};
pub use database::{Database, URL_VARIABLE, database};

/// What to do where no server can be started.
const INSTALL: &str = "Install PostgreSQL's server (Debian and Ubuntu: `apt-get install postgresql`), \
                       or name a server with TRIBUTARY_TEST_POSTGRES_URL";
