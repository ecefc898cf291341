//! The `webhook` part of a source: where deliveries come in, what they must prove, how long they are kept.
//!
//! [`WebhookConfig`] is the text as it stands in the file; its field docs are written for users.
//! [`WebhookConfig::validate`] is pure and returns all that is wrong at once, or [`WebhookSettings`].

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use coding_api::{BaseUrl, BaseUrlError};
use ipnet::IpNet;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::super::validate::time;
use crate::finding::Finding;

/// The shortest token that is accepted: what is guessed in less is no secret.
const TOKEN_LEAST: usize = 32;
/// The longest token: a longer one does not fit everywhere a URL has to.
const TOKEN_MOST: usize = 256;
/// The shortest secret that is accepted.
const SECRET_LEAST: usize = 16;
/// The smallest inbox: twice the largest body that is taken.
const INBOX_LEAST: u64 = 16 * 1024 * 1024;
/// Addresses that CODING named as those it sends from.
const EXAMPLE_ADDRESSES: &str = "212.129.144.0/24";

/// How CODING's Service Hook reaches tributary, and what becomes of its deliveries.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookConfig {
    /// Where to listen: an address of this machine and a port.
    pub listen: String,
    /// How CODING reaches this machine: `https://` and a public host. The hook's URL lies below it.
    pub public_url: Option<String>,
    /// The last part of the hook's URL: 32 characters or more of `A-Z a-z 0-9 - _ . ~`; made when absent.
    #[schemars(with = "Option<String>")]
    pub token: Option<SecretString>,
    /// The key of the deliveries' signature, 16 characters or more; made when absent.
    #[schemars(with = "Option<String>")]
    pub secret: Option<SecretString>,
    /// Whether tributary makes the hook at CODING (`auto`), or you do by hand (`manual`).
    pub register: Register,
    /// A user and a password that deliveries must bring along, beside the signature.
    #[schemars(with = "BasicConfig")]
    pub basic: Option<BasicConfig>,
    /// Addresses or networks that deliveries may come from; empty = any.
    pub allow_from: Vec<String>,
    /// How long deliveries are kept once they are worked off.
    pub keep: String,
    /// How much room deliveries may take.
    pub max_size: String,
    /// How long a row that a delivery named is looked for, while CODING answers with errors.
    pub give_up_after: String,
}

impl Default for WebhookConfig {
    fn default() -> WebhookConfig {
        WebhookConfig {
            listen: "0.0.0.0:8090".to_owned(),
            public_url: None,
            token: None,
            secret: None,
            register: Register::default(),
            basic: None,
            allow_from: Vec::new(),
            keep: "7d".to_owned(),
            max_size: "1GiB".to_owned(),
            give_up_after: "10m".to_owned(),
        }
    }
}

/// A user and a password.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicConfig {
    /// The user, without a colon.
    pub user: String,
    /// The password.
    #[schemars(with = "String")]
    pub password: SecretString,
}

/// Who makes the hook at CODING.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Register {
    /// tributary, with the source's credential; it needs the scope `service-hook:profile:rw`.
    #[default]
    Auto,
    /// You, on CODING's settings page.
    Manual,
}

/// How hooks are received, validated, with all defaults filled in.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// What hook URLs begin with; its path ends without a slash, but for the root's own.
    pub public_url: Url,
    /// The last part of the hook's URL; `None` = one that is made and remembered.
    pub token: Option<SecretString>,
    /// The signature's key; `None` = one that is made and remembered.
    pub secret: Option<SecretString>,
    /// User and password that deliveries must bring along.
    pub basic: Option<(String, SecretString)>,
    /// Where deliveries may come from; empty = anywhere.
    pub allow_from: Vec<IpNet>,
    /// Who makes the hook at CODING.
    pub register: Register,
    /// How long settled deliveries are kept.
    pub keep: Duration,
    /// How many bytes deliveries may take.
    pub max_bytes: u64,
    /// How long a look-up is tried before its deliveries are given up.
    pub give_up_after: Duration,
}

impl WebhookSettings {
    /// The hook's URL with this token: `https://hooks.example.com/hooks/TOKEN`. As secret as the token is.
    #[must_use]
    pub fn url(&self, token: &SecretString) -> SecretString {
        let base = self.public_url.as_str().trim_end_matches('/');
        SecretString::from(format!("{base}/hooks/{}", token.expose_secret()))
    }

    /// Whether both receive alike. Secrets are compared and never shown.
    pub(in crate::coding) fn same(&self, other: &WebhookSettings) -> bool {
        let secrets = |settings: &WebhookSettings| {
            let text = |secret: &SecretString| secret.expose_secret().to_owned();
            let basic = settings.basic.as_ref().map(|(user, password)| (user.clone(), text(password)));
            (settings.token.as_ref().map(text), settings.secret.as_ref().map(text), basic)
        };
        let plain = |settings: &WebhookSettings| {
            let WebhookSettings { listen, public_url, register, keep, max_bytes, give_up_after, .. } =
                settings;
            let allowed = settings.allow_from.clone();
            (*listen, public_url.clone(), *register, *keep, *max_bytes, *give_up_after, allowed)
        };
        secrets(self) == secrets(other) && plain(self) == plain(other)
    }
}

impl WebhookConfig {
    /// What the configuration means. `at` is its path in the file (`source.webhook`).
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn validate(&self, at: &str, allow_insecure: bool) -> Result<WebhookSettings, Vec<Finding>> {
        let mut findings = Vec::new();
        let found = &mut findings;
        let listen = self.listening(at, found);
        let public_url = self.public(at, allow_insecure, found);
        self.secrets(at, found);
        let allow_from = self.allowed(at, found);
        let keep = time(format!("{at}.keep"), &self.keep, found);
        let give_up_after = time(format!("{at}.give_up_after"), &self.give_up_after, found);
        let max_bytes = self.room(at, found);
        if let (Some(listen), Some(public_url), Some(keep), Some(give_up_after), Some(max_bytes), true) =
            (listen, public_url, keep, give_up_after, max_bytes, findings.is_empty())
        {
            let basic = self.basic.as_ref().map(|basic| (basic.user.clone(), basic.password.clone()));
            return Ok(WebhookSettings {
                listen,
                public_url,
                token: self.token.clone(),
                secret: self.secret.clone(),
                basic,
                allow_from,
                register: self.register,
                keep,
                max_bytes,
                give_up_after,
            });
        }
        Err(findings)
    }

    fn listening(&self, at: &str, findings: &mut Vec<Finding>) -> Option<SocketAddr> {
        let listen = self.listen.trim().parse().ok();
        if listen.is_none() {
            findings.push(Finding::new(
                format!("{at}.listen"),
                "CONFIG-VALUE",
                format!("`{}` is no address to listen on", self.listen),
                "it is not an IP address and a port",
                "Write `0.0.0.0:8090` for every address of this machine, or `127.0.0.1:8090` behind a proxy.",
            ));
        }
        listen
    }

    fn public(&self, at: &str, allow_insecure: bool, findings: &mut Vec<Finding>) -> Option<Url> {
        let path = format!("{at}.public_url");
        let Some(text) = self.public_url.as_deref().map(str::trim) else {
            findings.push(missing_public_url(path));
            return None;
        };
        // The same rules as for the source's own address; only its words are about CODING.
        let why = match BaseUrl::parse(text, allow_insecure) {
            Ok(_) => {
                let full = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
                return Url::parse(full.trim_end_matches('/')).ok();
            }
            Err(BaseUrlError::Scheme(scheme)) => format!("it begins with https://, not {scheme}://"),
            Err(BaseUrlError::Insecure) => "http:// would show the hook's token to the network".to_owned(),
            Err(BaseUrlError::Userinfo) => "user and password have a place of their own: `basic`".to_owned(),
            Err(BaseUrlError::Query) => {
                "it has a `?` or `#`, and the hook's own path is put after it".to_owned()
            }
            Err(BaseUrlError::PrivateHost(host)) => {
                format!("`{host}` is not a public host, so CODING cannot reach it")
            }
            Err(_) => "it is not a URL".to_owned(),
        };
        findings.push(Finding::new(
            path,
            "CONFIG-VALUE",
            "The public address is not usable",
            why,
            "Write it like `https://hooks.example.com`; for a private deployment add \
             `allow_insecure: true` to `source`.",
        ));
        None
    }

    fn secrets(&self, at: &str, findings: &mut Vec<Finding>) {
        let token = self.token.as_ref().map(ExposeSecret::expose_secret);
        let url_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        if let Some(token) = token
            && !((TOKEN_LEAST..=TOKEN_MOST).contains(&token.len()) && token.bytes().all(url_safe))
        {
            findings.push(Finding::new(
                format!("{at}.token"),
                "CONFIG-VALUE",
                "The token is not usable",
                format!(
                    "it has {TOKEN_LEAST} to {TOKEN_MOST} characters: letters, digits and `-`, `_`, `.`, `~`"
                ),
                "Make one with `openssl rand -hex 32`, or take the key out: then one is made.",
            ));
        }
        let secret = self.secret.as_ref().map(ExposeSecret::expose_secret);
        if let Some(secret) = secret
            && (secret.trim() != secret || secret.chars().count() < SECRET_LEAST)
        {
            findings.push(Finding::new(
                format!("{at}.secret"),
                "CONFIG-VALUE",
                "The secret is not usable",
                format!("it has {SECRET_LEAST} characters or more, and no blank before or after them"),
                "Make one with `openssl rand -hex 32`, or take the key out: then one is made.",
            ));
        }
        let Some(basic) = &self.basic else { return };
        if basic.user.is_empty() || basic.user.contains(':') {
            findings.push(Finding::new(
                format!("{at}.basic.user"),
                "CONFIG-VALUE",
                "The user is not usable",
                "it is empty or holds a colon, which HTTP puts between user and password",
                "Write another one.",
            ));
        }
        if basic.password.expose_secret().is_empty() {
            findings.push(Finding::new(
                format!("{at}.basic.password"),
                "CONFIG-VALUE",
                "The password is empty",
                "an empty text stands here, perhaps from an empty environment variable",
                "Set the variable, or write the value.",
            ));
        }
    }

    fn allowed(&self, at: &str, findings: &mut Vec<Finding>) -> Vec<IpNet> {
        let mut nets = Vec::new();
        for (index, text) in self.allow_from.iter().enumerate() {
            let text = text.trim();
            let net = text.parse::<IpNet>().map(|net| net.trunc());
            match net.or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
                Ok(net) => nets.push(net),
                Err(_) => findings.push(Finding::new(
                    format!("{at}.allow_from[{index}]"),
                    "CONFIG-VALUE",
                    format!("`{text}` is no network"),
                    "a network is an IP address, or one with the length of its prefix after a slash",
                    format!("Write it like `{EXAMPLE_ADDRESSES}`."),
                )),
            }
        }
        nets
    }

    fn room(&self, at: &str, findings: &mut Vec<Finding>) -> Option<u64> {
        let (what, why) = match bytes(&self.max_size) {
            Some(bytes) if bytes >= INBOX_LEAST => return Some(bytes),
            Some(_) => (format!("`{}` is too small", self.max_size), "16MiB are the least"),
            None => (
                format!("`{}` is no size", self.max_size),
                "a size is a number with its unit: KiB, MiB, GiB or kB, MB, GB",
            ),
        };
        findings.push(Finding::new(
            format!("{at}.max_size"),
            "CONFIG-VALUE",
            what,
            why,
            "Write a size such as `512MiB` or `1GiB`.",
        ));
        None
    }
}

/// There is no `public_url`.
pub(in crate::coding) fn missing_public_url(path: String) -> Finding {
    Finding::new(
        path,
        "CONFIG-MISSING",
        "There is no public address",
        "CODING sends its deliveries to a URL, and only you know under which one this machine is reached",
        "Add `webhook: { public_url: \"https://hooks.example.com\" }`.",
    )
}

/// Reads a size such as `1GiB`.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}
