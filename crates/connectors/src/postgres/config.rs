//! The `postgres` part of a configuration: what a user writes, what it means, and whether it works.
//!
//! [`PostgresConfig::validate`] is pure. [`check`] really connects and writes, and leaves the database as it was.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use ::url::Url;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

pub use super::check::check;
use super::url::{self, PUBLIC_AUTHORITIES, Parameters};
use crate::finding::Finding;
use crate::sql::quote;

/// What PostgreSQL cuts names at, in bytes.
const LONGEST_NAME: usize = 63;

/// A PostgreSQL database to write tables into.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresConfig {
    /// Where it is, as libpq writes it: `postgres://user:password@host:5432/database?sslmode=verify-full`. Other
    /// parameters: `sslrootcert`, `sslcert`, `sslkey` (files), `host` (also the directory of a Unix socket), `options`,
    /// `connect_timeout`. libpq's other form, `host=… dbname=…`, will do too.
    #[schemars(with = "String")]
    pub url: SecretString,
    /// The schema for the tables, made when it does not exist.
    #[serde(default = "public")]
    pub schema: String,
}

fn public() -> String {
    "public".to_owned()
}

/// A configuration without findings.
#[derive(Clone, Debug)]
pub struct Validated {
    parameters: Arc<Parameters>,
    schema: String,
    /// Database, server and user, for people.
    place: String,
}

impl PostgresConfig {
    /// All that is wrong with the configuration, or what to connect to. Touches no file and no network.
    ///
    /// # Errors
    /// Findings under `target.postgres.url` and `target.postgres.schema`.
    pub fn validate(&self) -> Result<Validated, Vec<Finding>> {
        let mut findings = Vec::new();
        let parameters = url::parse(self.url.expose_secret());
        if let Err(wrong) = &parameters {
            findings.extend(wrong.iter().map(|wrong| {
                let what = "Cannot use the URL of the PostgreSQL database";
                Finding::new("target.postgres.url", "POSTGRES-URL", what, &wrong.why, &wrong.fix)
            }));
        }
        self.schema(&mut findings);
        match parameters {
            Ok(parameters) if findings.is_empty() => {
                let place = place(&parameters);
                Ok(Validated { parameters: Arc::new(parameters), schema: self.schema.clone(), place })
            }
            _ => Err(findings),
        }
    }

    fn schema(&self, findings: &mut Vec<Finding>) {
        let mut found = |why: String| {
            let what = format!("Cannot use `{}` as a schema", self.schema.escape_default());
            let fix = "Name a schema for these tables, for example `schema: coding`.";
            findings.push(Finding::new("target.postgres.schema", "POSTGRES-SCHEMA", what, why, fix));
        };
        if self.schema.trim().is_empty() {
            found("the name is empty".to_owned());
        } else if self.schema.contains('\0') {
            found("the name contains a NUL character".to_owned());
        } else if self.schema.len() > LONGEST_NAME {
            found(format!("the name is longer than {LONGEST_NAME} bytes"));
        } else if self.schema.starts_with("pg_") || self.schema == "information_schema" {
            found("such names belong to PostgreSQL itself".to_owned());
        }
    }
}

impl Validated {
    /// The database, for people: its name, where it is, as whom.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The user, as an identifier.
    pub(super) fn user(&self) -> String {
        self.options().map_or_else(|_| "CURRENT_USER".to_owned(), |options| quote(options.get_username()))
    }

    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// How long to wait for a connection, if the user says so.
    pub(super) fn connect_timeout(&self) -> Option<Duration> {
        self.parameters.connect_timeout
    }

    /// How every connection is made. May read `~/.pgpass`, as libpq does.
    ///
    /// libpq's rules where the driver has others: `require` with a root certificate verifies it; public authorities
    /// are called `system`; a Unix socket needs no TLS. `allow` is served by `prefer`.
    pub(super) fn options(&self) -> Result<PgConnectOptions, sqlx::Error> {
        let said = &self.parameters;
        let port = said.port.map(|port| port.to_string());
        let password = said.password.as_ref().map(|password| password.expose_secret());
        let authority = said.sslrootcert.as_deref().filter(|file| *file != PUBLIC_AUTHORITIES);
        let parameters = [
            ("host", said.host.as_deref().filter(|_| said.hostaddr.is_none())),
            ("hostaddr", said.hostaddr.as_deref()),
            ("port", port.as_deref()),
            ("dbname", Some(said.database.as_str())),
            ("user", said.user.as_deref()),
            ("password", password),
            ("sslmode", said.sslmode.as_deref()),
            ("sslrootcert", authority),
            ("sslcert", said.sslcert.as_deref()),
            ("sslkey", said.sslkey.as_deref()),
            ("options", said.options.as_deref()),
        ];
        // Through the driver's own parser, because that alone looks into `~/.pgpass` at its end.
        let mut url = Url::parse("postgres:///").map_err(|error| sqlx::Error::Configuration(error.into()))?;
        let parameters = parameters.into_iter().filter_map(|(name, value)| Some((name, value?)));
        url.query_pairs_mut().extend_pairs(parameters);
        let options = PgConnectOptions::from_str(url.as_str())?;
        let mode = match options.get_ssl_mode() {
            _ if said.socket().is_some() => PgSslMode::Disable,
            PgSslMode::Allow => PgSslMode::Prefer,
            PgSslMode::Require if authority.is_some() => PgSslMode::VerifyCa,
            mode => mode,
        };
        Ok(options
            .ssl_mode(mode)
            .application_name(said.application_name.as_deref().unwrap_or("tributary"))
            // Values come in binary; poolers refuse a setting that they do not know.
            .extra_float_digits(None)
            .disable_statement_logging())
    }

    /// Files that the URL names, by parameter.
    pub(super) fn certificates(&self) -> Vec<(&'static str, PathBuf)> {
        let said = &self.parameters;
        let files =
            [("sslrootcert", &said.sslrootcert), ("sslcert", &said.sslcert), ("sslkey", &said.sslkey)];
        let files = files.into_iter().filter_map(|(name, file)| Some((name, file.as_ref()?)));
        let named = files.filter(|(_, file)| *file != PUBLIC_AUTHORITIES);
        named.map(|(name, file)| (name, PathBuf::from(file))).collect()
    }
}

/// What of a URL may be shown: database, server and user.
fn place(said: &Parameters) -> String {
    let port = said.port.unwrap_or(5432);
    let at = match (said.socket(), said.hostaddr.as_deref().or(said.host.as_deref())) {
        (Some(socket), _) => format!("the socket in {socket}"),
        (None, None) => "the local server".to_owned(),
        (None, Some(host)) if host.contains(':') => format!("[{host}]:{port}"),
        (None, Some(host)) => format!("{host}:{port}"),
    };
    let by = said.user.as_ref().map_or_else(String::new, |user| format!(", user `{user}`"));
    format!("database `{}` ({at}{by})", said.database)
}
