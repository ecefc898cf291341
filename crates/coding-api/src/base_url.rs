//! Where a CODING lives, and which hosts a client may be pointed at.
//!
//! A base URL comes from people and from configuration files, so it must not lead a server into its own
//! network: only https and public hosts are accepted. Loopback opts in by itself (the simulator), everything
//! else private needs `allow_insecure`. Names that resolve to private addresses are caught at connect time, in
//! `client/resolve.rs`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// The base address of a CODING, for example `https://acme.coding.net`.
///
/// ```
/// use coding_api::BaseUrl;
///
/// let base = BaseUrl::parse("https://acme.coding.net/open-api/", false)?;
/// assert_eq!(base, BaseUrl::for_team("acme")?);
/// assert_eq!(base.to_string(), "https://acme.coding.net");
/// # Ok::<(), coding_api::BaseUrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BaseUrl {
    /// Normalised: lower-case host, no trailing slash, no `/open-api`.
    text: String,
    reach: Reach,
}

/// Which addresses a connection may go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reach {
    /// Public addresses alone.
    Public,
    /// This machine alone.
    Loopback,
    /// Whatever the name resolves to; the operator opted in.
    Anywhere,
}

/// Why a text is no usable base URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BaseUrlError {
    /// Not a URL at all.
    #[error("`{0}` is not a URL; write it like https://acme.coding.net")]
    Invalid(String),
    /// A team name that cannot be a host label.
    #[error(
        "`{0}` is not a team domain; it is the first part of https://<team>.coding.net: letters, digits and hyphens"
    )]
    Team(String),
    /// Neither https nor (where allowed) http.
    #[error("a base URL begins with https://, not {0}://")]
    Scheme(String),
    /// Plain http to a host that is not this machine.
    #[error(
        "http:// would send the credential unencrypted; use https://, or allow insecure hosts for a private deployment"
    )]
    Insecure,
    /// User name or password inside the URL.
    #[error("a base URL holds no user name or password; give the credential separately")]
    Userinfo,
    /// A query or fragment.
    #[error("a base URL ends with its path; take off everything from `?` or `#` on")]
    Query,
    /// A host that is not public.
    #[error("`{0}` is not a public host; allow insecure hosts if this is a private deployment")]
    PrivateHost(String),
}

/// Endings of host names that are only known inside a network.
const PRIVATE_SUFFIXES: [&str; 8] =
    [".local", ".internal", ".intranet", ".lan", ".corp", ".home", ".private", ".home.arpa"];

impl BaseUrl {
    /// The base URL of a team on coding.net: `acme` gives `https://acme.coding.net`.
    ///
    /// # Errors
    /// [`BaseUrlError::Team`] when the text is no host label.
    pub fn for_team(team: &str) -> Result<Self, BaseUrlError> {
        let label = team.trim().to_ascii_lowercase();
        let fits = !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !fits {
            return Err(BaseUrlError::Team(without_userinfo(team)));
        }
        Ok(Self { text: format!("https://{label}.coding.net"), reach: Reach::Public })
    }

    /// Reads a base URL as people paste it: a trailing slash and `/open-api` are taken off, a missing
    /// `https://` is added. Other paths stay (a private deployment may live below one).
    ///
    /// `allow_insecure` admits http and hosts that are not public. Loopback needs no leave.
    ///
    /// # Errors
    /// One kind per rule, see [`BaseUrlError`].
    pub fn parse(text: &str, allow_insecure: bool) -> Result<Self, BaseUrlError> {
        let text = text.trim();
        let invalid = || BaseUrlError::Invalid(without_userinfo(text));
        let full = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let url = Url::parse(&full).map_err(|_| invalid())?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(BaseUrlError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BaseUrlError::Userinfo);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BaseUrlError::Query);
        }
        let host = url.host().ok_or_else(invalid)?;
        let reach = match (reach_of(&host), allow_insecure) {
            (Some(Reach::Loopback), _) => Reach::Loopback,
            (_, true) => Reach::Anywhere,
            (Some(reach), false) => reach,
            (None, false) => return Err(BaseUrlError::PrivateHost(host.to_string())),
        };
        if url.scheme() == "http" && reach == Reach::Public {
            return Err(BaseUrlError::Insecure);
        }
        let path = url.path().trim_end_matches('/');
        let path = path.strip_suffix("/open-api").unwrap_or(path).trim_end_matches('/');
        Ok(Self { text: format!("{}{path}", url.origin().ascii_serialization()), reach })
    }

    /// Where actions are posted to.
    pub(crate) fn api(&self) -> String {
        format!("{}/open-api", self.text)
    }

    /// Where OAuth tokens are refreshed.
    pub(crate) fn oauth(&self) -> String {
        format!("{}/api/oauth/access_token", self.text)
    }

    /// The address without path additions, for example `https://acme.coding.net`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn reach(&self) -> Reach {
        self.reach
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A text that was meant as a URL, without the user and the password that may stand in it. What cannot be read as a URL
/// may be cut anywhere, so everything up to the last `@` goes.
fn without_userinfo(text: &str) -> String {
    let (scheme, rest) = text.find("://").map_or(("", text), |at| text.split_at(at + 3));
    match rest.rsplit_once('@') {
        Some((_, place)) => format!("{scheme}…@{place}"),
        None => text.to_owned(),
    }
}

/// How far a host reaches by what it is called; `None` for a private one.
fn reach_of(host: &Host<&str>) -> Option<Reach> {
    match host {
        Host::Ipv4(address) => reach_of_address(IpAddr::V4(*address)),
        Host::Ipv6(address) => reach_of_address(IpAddr::V6(*address)),
        Host::Domain(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            if name == "localhost" || name.ends_with(".localhost") {
                return Some(Reach::Loopback);
            }
            // A name without a dot is completed by the resolver's search list: it is never a public host.
            let private = !name.contains('.') || PRIVATE_SUFFIXES.iter().any(|end| name.ends_with(end));
            (!private).then_some(Reach::Public)
        }
    }
}

/// How far an address reaches; `None` for a private, link-local, multicast or reserved one.
pub(crate) fn reach_of_address(address: IpAddr) -> Option<Reach> {
    match address {
        IpAddr::V4(v4) => reach_of_v4(v4),
        IpAddr::V6(v6) => reach_of_v6(v6),
    }
}

fn reach_of_v4(address: Ipv4Addr) -> Option<Reach> {
    let [a, b, c, _] = address.octets();
    if address.is_loopback() {
        return Some(Reach::Loopback);
    }
    let private = address.is_private()
        || address.is_link_local() // also the metadata services of the clouds
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b)) // carrier-grade NAT, and one cloud's metadata service
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19)); // benchmarking
    (!private).then_some(Reach::Public)
}

fn reach_of_v6(address: Ipv6Addr) -> Option<Reach> {
    if address.is_loopback() {
        return Some(Reach::Loopback);
    }
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([w, x], [y, z]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(w, x, y, z)
    };
    match (a, b) {
        // Addresses that carry an IPv4 one are judged by it: mapped and compatible, NAT64, 6to4.
        (0, 0) if c == 0 && d == 0 && e == 0 && (f == 0 || f == 0xffff) => reach_of_v4(v4(g, h)),
        (0x64, 0xff9b) => reach_of_v4(v4(g, h)),
        (0x2002, _) => reach_of_v4(v4(b, c)),
        (0x2001, 0 | 0xdb8) => None, // Teredo hides its target; documentation
        // Global unicast is 2000::/3; all else is local, multicast or reserved.
        _ if (0x2000..0x4000).contains(&a) => Some(Reach::Public),
        _ => None,
    }
}
