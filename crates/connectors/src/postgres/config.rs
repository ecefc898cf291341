//! The `postgres` part of a configuration: what a user writes, what it means, and whether it works.
//!
//! [`PostgresConfig::validate`] is pure. [`check`] really connects and writes, and leaves the database as it was.

use std::path::PathBuf;
use std::str::FromStr as _;

use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

pub use super::check::check;
use crate::finding::Finding;
use crate::sql::quote;

/// What PostgreSQL cuts names at, in bytes.
const LONGEST_NAME: usize = 63;

/// Parameters of the URL that are understood, as libpq spells them.
const PARAMETERS: [&str; 11] = [
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "options",
];

/// Ways to use TLS, as libpq spells them.
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// What `sslrootcert` says for "the authorities that everybody trusts".
const PUBLIC_AUTHORITIES: &str = "system";

/// A PostgreSQL database to write tables into.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresConfig {
    /// Where it is, as libpq writes it: `postgres://user:password@host:5432/database?sslmode=verify-full`. Other
    /// parameters: `sslrootcert`, `sslcert`, `sslkey` (files), `host` (also the directory of a Unix socket), `options`.
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
    url: SecretString,
    schema: String,
    place: Place,
}

/// What of the URL may be shown.
#[derive(Clone, Debug)]
struct Place {
    /// Database, server and user, for people.
    text: String,
}

impl PostgresConfig {
    /// All that is wrong with the configuration, or what to connect to. Touches no file and no network.
    ///
    /// # Errors
    /// Findings under `target.postgres.url` and `target.postgres.schema`.
    pub fn validate(&self) -> Result<Validated, Vec<Finding>> {
        let mut findings = Vec::new();
        let place = self.place(&mut findings);
        self.schema(&mut findings);
        match place {
            Some(place) if findings.is_empty() => {
                Ok(Validated { url: self.url.clone(), schema: self.schema.clone(), place })
            }
            _ => Err(findings),
        }
    }

    fn place(&self, findings: &mut Vec<Finding>) -> Option<Place> {
        let mut found = |why: String, fix: &str| {
            let what = "Cannot use the URL of the PostgreSQL database";
            findings.push(Finding::new("target.postgres.url", "POSTGRES-URL", what, why, fix));
        };
        let text = self.url.expose_secret();
        let spell = "Write `postgres://user:password@host:5432/database`; in user and password, characters such as \
                     `@ : / # ? %` are written as `%40` and so on.";
        if text.trim().is_empty() {
            found("it is empty".to_owned(), spell);
            return None;
        }
        // libpq takes the first of several that answers; a target is one server.
        let one_host = "Name one, which takes writes.";
        let place = text.split_once("://").map_or("", |(_, rest)| rest.split('?').next().unwrap_or(""));
        let hosts = place.rsplit('@').next().and_then(|rest| rest.split('/').next());
        if hosts.is_some_and(|hosts| hosts.contains(',')) {
            found("it names several hosts".to_owned(), one_host);
            return None;
        }
        // What is wrong is not repeated: the parser may have taken a part of the password for something else.
        let Ok(url) = Url::parse(text) else {
            found("it is not a URL".to_owned(), spell);
            return None;
        };
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            found("it does not begin with `postgres://`".to_owned(), spell);
            return None;
        }
        // Where a password is cut short by one of its characters, its rest is taken for something else.
        let rest = url.path().trim_start_matches('/');
        if rest.contains(['/', '@', ':'])
            || url.fragment().is_some()
            || url.query().is_some_and(|q| q.contains('@'))
        {
            found("it is cut short by a character that has a meaning in URLs".to_owned(), spell);
            return None;
        }
        let mut database = rest.to_owned();
        let mut host = url.host_str().unwrap_or_default().to_owned();
        let mut port = url.port().unwrap_or(5432);
        let mut user = url.username().to_owned();
        let (mut mode, mut authority) = (None, None);
        for (name, value) in url.query_pairs() {
            match &*name {
                "dbname" => database = value.into_owned(),
                "host" | "hostaddr" if value.contains(',') => {
                    found("it names several hosts".to_owned(), one_host);
                }
                "host" | "hostaddr" => host = value.into_owned(),
                "user" => user = value.into_owned(),
                "sslmode" if SSL_MODES.contains(&&*value) => mode = Some(value.into_owned()),
                "sslmode" => found(
                    format!("`{value}` is no sslmode"),
                    &format!("Use one of: {}.", SSL_MODES.join(", ")),
                ),
                "sslrootcert" => authority = Some(value.into_owned()),
                "port" => match value.parse() {
                    Ok(number) => port = number,
                    Err(_) => found(format!("`{value}` is no port"), "Write a number, for example `5432`."),
                },
                known if PARAMETERS.contains(&known) => {}
                unknown => found(
                    format!("the parameter `{unknown}` is not known"),
                    &format!("Leave it out; known are: {}.", PARAMETERS.join(", ")),
                ),
            }
        }
        if authority.as_deref() == Some(PUBLIC_AUTHORITIES) && mode.as_deref() != Some("verify-full") {
            found(
                format!("`sslrootcert={PUBLIC_AUTHORITIES}` trusts every public authority, for any host"),
                "Add `sslmode=verify-full`.",
            );
        }
        if database.is_empty() {
            found("it names no database".to_owned(), spell);
            return None;
        }
        let at = match host.as_str() {
            "" => "the local server".to_owned(),
            socket if socket.starts_with('/') || socket.starts_with("%2F") => {
                format!("the socket in {}", socket.replace("%2F", "/"))
            }
            host => format!("{host}:{port}"),
        };
        let by = if user.is_empty() { String::new() } else { format!(", user `{user}`") };
        Some(Place { text: format!("database `{database}` ({at}{by})") })
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
        &self.place.text
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

    /// How every connection is made. May read `~/.pgpass`, as libpq does.
    ///
    /// libpq's rules where the driver has others: `require` with a root certificate verifies it; public authorities
    /// are called `system`. `allow` is served by `prefer`.
    pub(super) fn options(&self) -> Result<PgConnectOptions, sqlx::Error> {
        let wrong = |error: url::ParseError| sqlx::Error::Configuration(error.into());
        let mut url = Url::parse(self.url.expose_secret()).map_err(wrong)?;
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let is_public =
            |(name, value): &&(String, String)| name == "sslrootcert" && value == PUBLIC_AUTHORITIES;
        url.query_pairs_mut().clear().extend_pairs(pairs.iter().filter(|pair| !is_public(pair)));
        let options = PgConnectOptions::from_str(url.as_str())?;
        let verifies = self.certificates().into_iter().any(|(name, _)| name == "sslrootcert");
        let mode = match options.get_ssl_mode() {
            PgSslMode::Allow => PgSslMode::Prefer,
            PgSslMode::Require if verifies => PgSslMode::VerifyCa,
            mode => mode,
        };
        // In a URL an IPv6 address stands in brackets.
        let host = options.get_host().trim_matches(['[', ']']).to_owned();
        Ok(options
            .host(&host)
            .ssl_mode(mode)
            .application_name("tributary")
            // Values come in binary; poolers refuse a setting that they do not know.
            .extra_float_digits(None)
            .disable_statement_logging())
    }

    /// Files that the URL names, by parameter.
    pub(super) fn certificates(&self) -> Vec<(String, PathBuf)> {
        let Ok(url) = Url::parse(self.url.expose_secret()) else { return Vec::new() };
        let files = ["sslrootcert", "sslcert", "sslkey"];
        url.query_pairs()
            .filter(|(name, value)| files.contains(&&**name) && value != PUBLIC_AUTHORITIES)
            .map(|(name, value)| (name.into_owned(), PathBuf::from(&*value)))
            .collect()
    }
}
