//! Words of others, made harmless before anybody reads them.
//!
//! What a server, a sender or a file says may hold two things that must not get through: sequences that a terminal
//! obeys, and one of our own secrets, quoted back at us. This is the one place where both are taken out. Secrets are
//! told to it where they enter the process ([`guard`]); what leaves the process passes [`shown`], [`in_json`] or
//! [`masked`], and every [`Problem`](crate::problem::Problem) is [`one_line`] from the beginning.

use std::borrow::Cow;
use std::sync::{PoisonError, RwLock};

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// Characters from which on a secret is guarded: a shorter one is a syllable of too many words.
const SHORTEST: usize = 6;
/// Characters of a secret's beginning that give it away. A cut message may end within it.
const BEGINNING: usize = 10;

/// Spellings that are kept whatever comes later: what is configured is told first.
const CONFIGURED: u64 = 2_000;
/// Spellings that are kept in all. Tokens that are refreshed every two hours for years are void long before.
const MOST: usize = 4_000;

/// Spellings of the secrets that were told, longest first.
static GUARDED: RwLock<Vec<Spelling>> = RwLock::new(Vec::new());

/// One way to write a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Spelling {
    text: String,
    /// The how many-th it is.
    number: u64,
    /// How many bytes of its beginning are enough to know it by.
    beginning: usize,
}

/// From now on `secret` is masked in all that leaves the process, also in the spellings of JSON and of URLs, and where
/// it is cut short. What is shorter than six characters is not: it would mutilate other words.
pub fn guard(secret: &str) {
    let secret = secret.trim();
    if secret.chars().count() < SHORTEST {
        return;
    }
    let mut guarded = GUARDED.write().unwrap_or_else(PoisonError::into_inner);
    for text in spellings(secret) {
        if guarded.iter().any(|known| known.text == text) {
            continue;
        }
        let enough = BEGINNING.max(text.chars().count().div_ceil(2));
        let beginning = text.char_indices().nth(enough).map_or(text.len(), |(at, _)| at);
        let number = guarded.iter().map(|known| known.number).max().map_or(0, |last| last.saturating_add(1));
        if guarded.len() >= MOST {
            let later = guarded.iter().map(|known| known.number).filter(|number| *number >= CONFIGURED);
            let oldest = later.min();
            guarded.retain(|known| Some(known.number) != oldest);
        }
        guarded.push(Spelling { text, number, beginning });
    }
    guarded.sort_by_key(|spelling| std::cmp::Reverse(spelling.text.len()));
}

/// A secret as it stands in a text, in JSON, and in a URL.
fn spellings(secret: &str) -> Vec<String> {
    let json = serde_json::to_string(secret).unwrap_or_default();
    let json = json.trim_start_matches('"').strip_suffix('"').unwrap_or_default().to_owned();
    let encode = |upper: bool| {
        let mut url = String::with_capacity(secret.len());
        for byte in secret.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    url.push(char::from(byte))
                }
                _ if upper => url.push_str(&format!("%{byte:02X}")),
                _ => url.push_str(&format!("%{byte:02x}")),
            }
        }
        url
    };
    let mut all = vec![secret.to_owned(), json, encode(true), encode(false)];
    all.retain(|text| !text.is_empty());
    all.sort();
    all.dedup();
    all
}

/// `text` without the secrets that were told.
#[must_use]
pub fn masked(text: &str) -> Cow<'_, str> {
    let guarded = GUARDED.read().unwrap_or_else(PoisonError::into_inner);
    let mut masked = Cow::Borrowed(text);
    // Whole ones first: secrets may begin alike, and only the one that is meant covers all that stands there.
    for spelling in guarded.iter().filter(|spelling| text.contains(&spelling.text)) {
        masked = Cow::Owned(masked.replace(&spelling.text, MASK));
    }
    for spelling in guarded.iter() {
        if let Some(without) = spelling.taken_out_of(&masked) {
            masked = Cow::Owned(without);
        }
    }
    masked
}

impl Spelling {
    /// The text without it; `None` where it does not stand in it.
    fn taken_out_of(&self, text: &str) -> Option<String> {
        let beginning = self.text.get(..self.beginning)?;
        let mut parts = text.split(beginning);
        let mut without = parts.next()?.to_owned();
        let rest = self.text.get(self.beginning..)?;
        let mut found = false;
        for part in parts {
            found = true;
            without.push_str(MASK);
            without.push_str(after_common(part, rest));
        }
        found.then_some(without)
    }
}

/// What comes in `text` after what it begins with in common with `other`.
fn after_common<'a>(text: &'a str, other: &str) -> &'a str {
    let common = text.chars().zip(other.chars()).take_while(|(a, b)| a == b);
    text.get(common.map(|(char, _)| char.len_utf8()).sum()..).unwrap_or_default()
}

/// `text` for a terminal: without secrets, and with what would steer the terminal spelled out. Lines and tabs stay.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    spelled_out(
        masked(text),
        |char| !matches!(char, '\n' | '\t'),
        |out, char| {
            out.extend(char.escape_unicode());
        },
    )
}

/// A JSON text for a terminal or a file: without secrets, and with what would steer a terminal as JSON escapes.
#[must_use]
pub fn in_json(json: &str) -> Cow<'_, str> {
    spelled_out(
        masked(json),
        |char| !matches!(char, '\n' | '\t'),
        |out, char| {
            let mut units = [0; 2];
            for unit in char.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        },
    )
}

/// `text` as one line of a message: without secrets, lines joined, and what would steer a terminal spelled out.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    spelled_out(
        masked(text),
        |_| true,
        |out, char| match char {
            '\n' | '\t' => out.push(' '),
            '\r' => {}
            char => out.extend(char.escape_unicode()),
        },
    )
}

/// A line of a log, with its end: without secrets, and with what would steer a terminal spelled out, other lines inside
/// of it included. Where the log is `coloured`, the sequences of its colours stay.
#[must_use]
pub fn log_line(line: &str, coloured: bool) -> String {
    let (text, end) = line.strip_suffix('\n').map_or((line, ""), |text| (text, "\n"));
    let unwelcome = |char| char != '\t' && !(coloured && char == '\u{1b}');
    let text = spelled_out(masked(text), unwelcome, |out, char| out.extend(char.escape_unicode()));
    format!("{text}{end}")
}

/// Whether a character steers a terminal, or has the words around it shown in another order than they stand.
fn steers(char: char) -> bool {
    char.is_control() || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn spelled_out(
    text: Cow<'_, str>,
    unwelcome: impl Fn(char) -> bool,
    spell: impl Fn(&mut String, char),
) -> Cow<'_, str> {
    let bad = |char: char| steers(char) && unwelcome(char);
    if !text.chars().any(bad) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        if bad(char) { spell(&mut out, char) } else { out.push(char) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::{guard, in_json, log_line, masked, one_line, shown};

    #[test]
    fn what_steers_a_terminal_is_spelled_out() {
        let hostile = "a\u{1b}[31mred\u{9b}2J\u{202e}txt\r\n\tb";
        assert_eq!(shown(hostile), "a\\u{1b}[31mred\\u{9b}2J\\u{202e}txt\\u{d}\n\tb");
        assert_eq!(one_line(hostile), "a\\u{1b}[31mred\\u{9b}2J\\u{202e}txt  b");
        assert_eq!(in_json("{\"a\":\"\u{9b}2J\u{7f}\"}"), "{\"a\":\"\\u009b2J\\u007f\"}");
        let line = "\u{1b}[33m WARN\u{1b}[0m a\rb\nc\u{202e}\n";
        assert_eq!(log_line(line, true), "\u{1b}[33m WARN\u{1b}[0m a\\u{d}b\\u{a}c\\u{202e}\n");
        assert_eq!(log_line("a\u{1b}[2J\n", false), "a\\u{1b}[2J\n");
        assert_eq!(shown("资源 «ok» \u{200f}"), "资源 «ok» \u{200f}");
    }

    #[test]
    fn secrets_are_masked_whatever_their_shape() {
        for secret in [
            "0123456789abcdef0123456789abcdef01234567",
            "pl-4n.t3_d~to.k-en",
            "quote\"and\\slash and space",
            "sécrèt-密码-🔑-0815",
            "a+b/c=d&e%f#g?h@i:j",
        ] {
            guard(secret);
            let json = serde_json::to_string(&serde_json::json!({ "said": secret })).unwrap();
            assert_eq!(masked(&format!("the token {secret} is unknown")), "the token *** is unknown");
            assert_eq!(masked(&json), "{\"said\":\"***\"}");
            let cut: String = secret.chars().take(secret.chars().count() - 3).collect();
            assert_eq!(masked(&format!("the token {cut}")), "the token ***");
        }
        assert_eq!(masked("nothing of the kind"), "nothing of the kind");
        assert_eq!(masked("?t=a%2Bb%2Fc%3Dd%26e%25f%23g%3Fh%40i%3Aj&x"), "?t=***&x");
    }

    #[test]
    fn what_is_told_for_years_is_forgotten_before_what_is_configured() {
        guard("configured-secret");
        for number in 0..5_000 {
            guard(&format!("refreshed-{number:010}-token"));
        }
        assert_eq!(masked("configured-secret, configured-secret"), "***, ***");
        assert_eq!(masked("refreshed-0000004999-token"), "***");
        assert!(super::GUARDED.read().unwrap().len() <= super::MOST);
    }

    #[test]
    fn a_short_one_mutilates_no_other_words() {
        guard("app");
        assert_eq!(masked("the application"), "the application");
    }
}
