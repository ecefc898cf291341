//! Who sent a delivery: its address, its credentials, its signature. Nothing is parsed here but those.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;

/// A delivery as it arrived: nobody knows yet who sent it. Its body is out of reach until it is verified.
pub struct Unverified {
    headers: Vec<(String, String)>,
    body: Bytes,
    from: Option<IpAddr>,
}

/// What a delivery must prove; what is not set is not asked for. Debug output shows no secret.
#[derive(Clone, Debug, Default)]
pub struct Proof {
    /// The key of the signature: the hook's token. An empty one is no key, and refuses every delivery.
    pub secret: Option<SecretString>,
    /// User and password of HTTP Basic.
    pub basic: Option<(String, SecretString)>,
    /// The addresses that a delivery may come from; none listed means anywhere.
    pub allow_from: Vec<IpNet>,
}

/// A delivery that proved what it had to.
#[derive(Clone, PartialEq)]
pub struct Verified {
    /// The headers, names in lower case, without those that hold a proof: credentials, cookies, signature.
    pub headers: Vec<(String, String)>,
    /// The bytes as they arrived.
    pub body: Bytes,
}

/// Why a delivery was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refused {
    /// It does not come from an allowed address.
    Address,
    /// Something about its Basic credentials.
    Basic(BasicFault),
    /// Something about its signature.
    Signature(SignatureFault),
}

/// What is wrong with Basic credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BasicFault {
    /// There are none.
    Missing,
    /// Other ones, or none that can be read.
    Wrong,
}

/// What is wrong with a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignatureFault {
    /// There is none.
    Missing,
    /// Not `sha1=` and 40 hexadecimal digits: bare hex, cut off, another algorithm.
    Form,
    /// Made with another key, or over another body.
    Wrong,
}

const SIGNATURE: &str = "x-coding-signature";

/// Some senders leave the padding out.
const BASIC: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The longest delivery id that is taken; CODING's has 36 characters.
const LONGEST_ID: usize = 128;

impl Proof {
    /// Checks what can be known before the body is read: the address, the Basic credentials, and that there is a
    /// signature at all. A body is worth its room only after that.
    ///
    /// # Errors
    /// The first proof that is missing.
    pub fn check_head(&self, headers: &[(String, String)], from: Option<IpAddr>) -> Result<(), Refused> {
        if !self.allow_from.is_empty() && !from.is_some_and(|from| self.is_listed(from)) {
            return Err(Refused::Address);
        }
        if let Some((user, password)) = &self.basic {
            check_basic(headers, user, password).map_err(Refused::Basic)?;
        }
        if self.secret.is_some() {
            signature_of(headers).map_err(Refused::Signature)?;
        }
        Ok(())
    }

    /// Whether an address is among those that are allowed by name.
    #[must_use]
    pub fn is_listed(&self, from: IpAddr) -> bool {
        // A socket that listens for both families prints `::ffff:192.0.2.1` for 192.0.2.1.
        let from = from.to_canonical();
        self.allow_from.iter().any(|net| net.contains(&from))
    }
}

impl Unverified {
    /// A delivery from `from`, where that is known.
    #[must_use]
    pub fn new(headers: Vec<(String, String)>, body: Bytes, from: Option<IpAddr>) -> Self {
        Self { headers, body, from }
    }

    /// Checks address, Basic credentials, then signature, in constant time and over the raw bytes, before
    /// anything is parsed.
    ///
    /// The signature of a form-encoded delivery may be over the form or over the JSON in it: CODING does not
    /// say which.
    ///
    /// # Errors
    /// The first proof that is missing.
    pub fn verify(self, proof: &Proof) -> Result<Verified, Refused> {
        let Self { headers, body, from } = self;
        proof.check_head(&headers, from)?;
        if let Some(secret) = &proof.secret {
            check_signature(&headers, &body, secret).map_err(Refused::Signature)?;
        }
        let headers = headers
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .filter(|(name, _)| is_kept(name))
            .collect();
        Ok(Verified { headers, body })
    }
}

impl fmt::Debug for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified")
            .field("from", &self.from)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Verified {
    /// CODING's id of this delivery (`X-Coding-Delivery`), if it is one that can be kept and shown.
    #[must_use]
    pub fn delivery_id(&self) -> Option<&str> {
        let id = super::header(&self.headers, "x-coding-delivery")?;
        (id.len() <= LONGEST_ID && id.bytes().all(|byte| byte.is_ascii_graphic())).then_some(id)
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("delivery_id", &self.delivery_id())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Whether a header of this name (in lower case) may be kept: not one that proves something to somebody.
pub(crate) fn is_kept(name: &str) -> bool {
    !matches!(name, "authorization" | "proxy-authorization" | "cookie" | SIGNATURE)
}

fn check_basic(headers: &[(String, String)], user: &str, password: &SecretString) -> Result<(), BasicFault> {
    let value = super::header(headers, "authorization").ok_or(BasicFault::Missing)?;
    let (scheme, code) = value.split_once(' ').ok_or(BasicFault::Wrong)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(BasicFault::Wrong);
    }
    let given = BASIC.decode(code.trim()).map_err(|_| BasicFault::Wrong)?;
    let expected = SecretString::from(format!("{user}:{}", password.expose_secret()));
    // Digests are compared instead of texts, so that the time tells neither length nor common beginning.
    let digest = |text: &[u8]| keyed(b"basic credentials", text);
    let given = digest(&given).finalize().into_bytes();
    digest(expected.expose_secret().as_bytes()).verify_slice(&given).map_err(|_| BasicFault::Wrong)
}

fn check_signature(
    headers: &[(String, String)],
    body: &[u8],
    secret: &SecretString,
) -> Result<(), SignatureFault> {
    let given = signature_of(headers)?;
    let key = secret.expose_secret().as_bytes();
    if key.is_empty() {
        return Err(SignatureFault::Wrong);
    }
    let signs = |message: &[u8]| keyed(key, message).verify_slice(&given).is_ok();
    let signed =
        signs(body) || super::is_form(headers) && super::form_payload(body).is_some_and(|json| signs(&json));
    if signed { Ok(()) } else { Err(SignatureFault::Wrong) }
}

/// The signature that a delivery brings, whatever it is worth.
fn signature_of(headers: &[(String, String)]) -> Result<[u8; 20], SignatureFault> {
    let value = super::header(headers, SIGNATURE).ok_or(SignatureFault::Missing)?;
    value.strip_prefix("sha1=").and_then(digest_of).ok_or(SignatureFault::Form)
}

fn keyed(key: &[u8], message: &[u8]) -> Hmac<Sha1> {
    Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes keys of any length").chain_update(message)
}

/// Twenty bytes from forty hexadecimal digits.
fn digest_of(hex: &str) -> Option<[u8; 20]> {
    let mut digest = [0; 20];
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    if pairs.len() != digest.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
        let digit = |digit: &u8| char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(high)? * 16 + digit(low)?;
    }
    Some(digest)
}

impl Refused {
    /// A stable code, for counters and answers.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Address => "address_not_allowed",
            Self::Basic(BasicFault::Missing) => "basic_missing",
            Self::Basic(BasicFault::Wrong) => "basic_wrong",
            Self::Signature(SignatureFault::Missing) => "signature_missing",
            Self::Signature(SignatureFault::Form) => "signature_form",
            Self::Signature(SignatureFault::Wrong) => "signature_wrong",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => {
                "it comes from an address that is not allowed; if it is CODING's or your proxy's, allow it"
            }
            Self::Basic(BasicFault::Missing) => {
                "it brings no user and password; enter them in the hook's settings in CODING"
            }
            Self::Basic(BasicFault::Wrong) => {
                "user or password are others than those expected; enter them again in the hook's settings in CODING"
            }
            Self::Signature(SignatureFault::Missing) => {
                "it is not signed; enter the secret as token in the hook's settings in CODING"
            }
            Self::Signature(SignatureFault::Form) => {
                "its signature is not `sha1=` and 40 hexadecimal digits, so it was not signed by CODING or was \
                 changed on the way"
            }
            Self::Signature(SignatureFault::Wrong) => {
                "its signature does not match; the hook in CODING has another token, or the body was changed on \
                 the way"
            }
        })
    }
}

impl std::error::Error for Refused {}
