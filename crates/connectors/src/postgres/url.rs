//! Where a database is, as libpq writes it: a URL, or keywords with their values.
//!
//! Read as libpq reads it, so that what works with `psql` works here; where a URL means nothing to libpq, an `@` in a
//! password is forgiven. What is wrong is never repeated: it may be a part of the password.

use std::time::Duration;

use secrecy::SecretString;

/// Ways to use TLS, as libpq spells them.
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// What `sslrootcert` says for "the authorities that everybody trusts".
pub(super) const PUBLIC_AUTHORITIES: &str = "system";

/// Parameters that are understood, as libpq spells them.
const UNDERSTOOD: &str = "host, hostaddr, port, dbname, user, password, sslmode, sslrootcert, sslcert, sslkey, options, \
                          application_name, connect_timeout, target_session_attrs, channel_binding, gssencmode, \
                          client_encoding";

/// Further ones of libpq: names that can be shown.
const NOT_UNDERSTOOD: [&str; 27] = [
    "passfile",
    "require_auth",
    "fallback_application_name",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "replication",
    "requiressl",
    "sslnegotiation",
    "sslcompression",
    "sslpassword",
    "sslcertmode",
    "sslcrl",
    "sslcrldir",
    "sslsni",
    "sslkeylogfile",
    "requirepeer",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "krbsrvname",
    "gsslib",
    "gssdelegation",
    "service",
    "load_balance_hosts",
    "max_protocol_version",
];

/// How to write it.
const SPELL: &str = "Write `postgres://user:password@host:5432/database`, or `postgres://user@/database?host=/run/postgresql` \
                     for a Unix socket; in user and password, characters such as `@ : / # ? %` are written as `%40` and \
                     so on.";

/// libpq takes the first of several that answers; a target is one server.
const ONE_HOST: &str = "Name one, which takes writes.";

/// What is wrong, and how to put it right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) why: String,
    pub(super) fix: String,
}

fn wrong(why: impl Into<String>, fix: impl Into<String>) -> Wrong {
    Wrong { why: why.into(), fix: fix.into() }
}

/// What a URL says. An empty value is none.
#[derive(Clone, Debug, Default)]
pub(super) struct Parameters {
    /// A name, an address, or the directory of a Unix socket.
    pub(super) host: Option<String>,
    /// The address to connect to instead of looking up the host.
    pub(super) hostaddr: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) database: String,
    pub(super) user: Option<String>,
    pub(super) password: Option<SecretString>,
    pub(super) sslmode: Option<String>,
    pub(super) sslrootcert: Option<String>,
    pub(super) sslcert: Option<String>,
    pub(super) sslkey: Option<String>,
    pub(super) options: Option<String>,
    pub(super) application_name: Option<String>,
    /// For name, connection, TLS and password together.
    pub(super) connect_timeout: Option<Duration>,
}

/// Reads what a user wrote; or all that is wrong with it.
pub(super) fn parse(text: &str) -> Result<Parameters, Vec<Wrong>> {
    let pairs = pairs(text.trim()).map_err(|wrong| vec![wrong])?;
    let (mut parameters, mut found) = (Parameters::default(), Vec::new());
    for (name, value) in pairs {
        if let Err(wrong) = parameters.take(&name, value) {
            found.push(wrong);
        }
    }
    if parameters.sslrootcert.as_deref() == Some(PUBLIC_AUTHORITIES)
        && parameters.sslmode.as_deref() != Some("verify-full")
    {
        let why = format!("`sslrootcert={PUBLIC_AUTHORITIES}` trusts every public authority, for any host");
        found.push(wrong(why, "Add `sslmode=verify-full`."));
    }
    if parameters.host.is_some()
        && parameters.hostaddr.is_some()
        && parameters.sslmode.as_deref() == Some("verify-full")
    {
        let why = "beside `hostaddr` the name of the host cannot be verified";
        found.push(wrong(why, "Leave `hostaddr` out, or use `sslmode=verify-ca`."));
    }
    if parameters.database.is_empty() && found.is_empty() {
        let fix = "Write `postgres://user:password@host:5432/database`; libpq would take the user's name.";
        found.push(wrong("it names no database", fix));
    }
    if found.is_empty() { Ok(parameters) } else { Err(found) }
}

impl Parameters {
    /// The directory of the Unix socket, if it is one.
    pub(super) fn socket(&self) -> Option<&str> {
        self.host.as_deref().filter(|host| host.starts_with('/') && self.hostaddr.is_none())
    }

    fn take(&mut self, name: &str, value: String) -> Result<(), Wrong> {
        if value.is_empty() {
            return Ok(());
        }
        match name {
            "host" | "hostaddr" | "port" if value.contains(',') => {
                return Err(wrong("it names several hosts", ONE_HOST));
            }
            "host" => self.host = Some(value),
            "hostaddr" if value.parse::<std::net::IpAddr>().is_err() => {
                return Err(wrong("`hostaddr` is no address", "Name the server with `host` instead."));
            }
            "hostaddr" => self.hostaddr = Some(value),
            "port" => {
                let port = value.parse().ok().filter(|port| *port > 0);
                self.port = Some(port.ok_or_else(|| wrong("its port is no number from 1 to 65535", SPELL))?);
            }
            "dbname" => self.database = value,
            "user" => self.user = Some(value),
            "password" => self.password = Some(value.into()),
            "sslmode" if !SSL_MODES.contains(&value.as_str()) => {
                let fix = format!("Use one of: {}.", SSL_MODES.join(", "));
                return Err(wrong("its `sslmode` is none", fix));
            }
            "sslmode" => self.sslmode = Some(value),
            // As JDBC has it; libpq takes it for this.
            "ssl" if value == "true" => self.sslmode = Some("require".to_owned()),
            "sslrootcert" => self.sslrootcert = Some(value),
            "sslcert" => self.sslcert = Some(value),
            "sslkey" => self.sslkey = Some(value),
            "options" => self.options = Some(value),
            "application_name" => self.application_name = Some(value),
            "connect_timeout" => {
                let seconds: i32 = value.parse().map_err(|_| {
                    wrong("its `connect_timeout` is no number", "Write seconds, for example `10`.")
                })?;
                // Zero and less is no limit to libpq, and the usual one here.
                let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
                self.connect_timeout = seconds.map(Duration::from_secs);
            }
            // What is written on is found out with the first write.
            "target_session_attrs" if ["any", "read-write", "primary"].contains(&value.as_str()) => {}
            "target_session_attrs" => {
                return Err(wrong("its `target_session_attrs` is for readers", "Use `read-write`."));
            }
            "channel_binding" | "gssencmode" if ["disable", "prefer"].contains(&value.as_str()) => {}
            "channel_binding" | "gssencmode" => {
                let fix =
                    "Leave it out; `sslmode=verify-full` keeps others from listening and from answering.";
                return Err(wrong(format!("`{name}` cannot be required"), fix));
            }
            "client_encoding" if ["utf8", "utf-8", "unicode", "auto"].contains(&&*value.to_lowercase()) => {}
            "client_encoding" => return Err(wrong("its `client_encoding` is not UTF8", "Leave it out.")),
            known if NOT_UNDERSTOOD.contains(&known) => {
                let fix = format!("Leave it out; known are: {UNDERSTOOD}.");
                return Err(wrong(format!("the parameter `{known}` is not known"), fix));
            }
            _ => {
                let fix = format!("Known are: {UNDERSTOOD}. {SPELL}");
                return Err(wrong("it has a parameter that is none", fix));
            }
        }
        Ok(())
    }
}

/// Names and values, in the order in which they count.
fn pairs(text: &str) -> Result<Vec<(String, String)>, Wrong> {
    if text.is_empty() {
        return Err(wrong("it is empty", SPELL));
    }
    match text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://")) {
        Some(rest) => of_url(rest),
        None if text.contains("://") => Err(wrong("it does not begin with `postgres://`", SPELL)),
        None if text.contains('=') => of_keywords(text),
        None => Err(wrong("it is not a URL", SPELL)),
    }
}

/// What follows `postgres://`: `user:password@host:port/database?name=value&…`, each part of which may be missing.
fn of_url(text: &str) -> Result<Vec<(String, String)>, Wrong> {
    let cut_short = || wrong("it is cut short by a character that has a meaning in URLs", SPELL);
    let mut pairs = Vec::new();
    let mut pair = |name: &str, value: &str| -> Result<(), Wrong> {
        pairs.push((decoded(name)?, decoded(value)?));
        Ok(())
    };
    let (credentials, text) = credentials(text);
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    pair("user", user)?;
    pair("password", password)?;
    let (place, query) = text.split_once('?').unwrap_or((text, ""));
    let (host, database) = place.split_once('/').unwrap_or((place, ""));
    if host.contains(',') {
        return Err(wrong("it names several hosts", ONE_HOST));
    }
    let (host, port) = match host.strip_prefix('[') {
        // An IPv6 address.
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(cut_short)?;
            match port.strip_prefix(':') {
                Some(port) => (host, port),
                None if port.is_empty() => (host, ""),
                None => return Err(cut_short()),
            }
        }
        None => host.split_once(':').unwrap_or((host, "")),
    };
    pair("host", host)?;
    pair("port", port)?;
    if database.contains(['/', '@', ':']) {
        return Err(cut_short());
    }
    pair("dbname", database)?;
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').ok_or_else(cut_short)?;
        pair(name, value)?;
    }
    Ok(pairs)
}

/// User and password, and what follows them. libpq ends them at the first `@` before a slash; a later one in what would
/// be the host shows that the first belongs to the password.
fn credentials(text: &str) -> (&str, &str) {
    let head = text.split('/').next().unwrap_or(text);
    let Some(first) = head.find('@') else { return ("", text) };
    let host = head.split_at_checked(first.saturating_add(1)).map_or("", |(_, host)| host);
    let host = host.split('?').next().unwrap_or(host);
    let further = host.rfind('@').map_or(0, |at| at.saturating_add(1));
    let (credentials, rest) = text.split_at_checked(first.saturating_add(further)).unwrap_or(("", text));
    (credentials, rest.strip_prefix('@').unwrap_or(rest))
}

/// Words such as `host=localhost dbname='my data'`; a backslash makes the character behind it an ordinary one.
fn of_keywords(text: &str) -> Result<Vec<(String, String)>, Wrong> {
    let spell = "Write `host=… dbname=… user=…`, values with blanks in single quotes, or a URL.";
    let mut pairs = Vec::new();
    let mut rest = text.chars().peekable();
    loop {
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        if rest.peek().is_none() {
            return Ok(pairs);
        }
        let mut name = String::new();
        while let Some(c) = rest.next_if(|c| *c != '=' && !c.is_whitespace()) {
            name.push(c);
        }
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        if rest.next() != Some('=') {
            return Err(wrong("a word of it has no `=`", spell));
        }
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        let quoted = rest.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        loop {
            match rest.next() {
                Some('\\') => value.extend(rest.next()),
                Some('\'') if quoted => break,
                Some(c) if !quoted && c.is_whitespace() => break,
                Some(c) => value.push(c),
                None if quoted => return Err(wrong("a quote in it does not end", spell)),
                None => break,
            }
        }
        pairs.push((name, value));
    }
}

/// `text` with what `%` and two digits stand for.
fn decoded(text: &str) -> Result<String, Wrong> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let code = after.split_at_checked(2).and_then(|(digits, after)| {
            let digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(digits)?;
            Some((u8::from_str_radix(digits, 16).ok()?, after))
        });
        // A sign that stands for nothing else is itself.
        let (byte, after) = code.unwrap_or((b'%', after));
        bytes.push(byte);
        rest = after;
    }
    bytes.extend_from_slice(rest.as_bytes());
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(wrong("a part of it is no text", SPELL)),
    }
}
