//! A row as JSON text, and where in it each field stands.
//!
//! Most rows are only passed on: from a page into the journal, from there into a target. As text that costs one
//! reading; values are made of it only where somebody changes or compares them. Every value of the text has been
//! read once, so that reading it later cannot fail.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use memchr::memchr_iter;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Digest;
use super::digest::{self, Plain, Sum};
use crate::schema::Table;

/// The text of a row.
#[derive(Debug)]
pub(super) struct Text {
    json: Box<str>,
    members: Box<[Member]>,
    /// A tag for each name, side by side: a row is asked for every column, and most of its names are looked over.
    tags: Box<[u32]>,
}

/// Where a field stands in the text.
#[derive(Clone, Debug)]
struct Member {
    /// Of its name, without quotes.
    name: Range<u32>,
    /// Of its value.
    value: Range<u32>,
}

impl Text {
    /// Reads an object that stands in a text; of a row of `table` also its digest.
    pub(super) fn read<'de, D: Deserializer<'de>>(
        table: Option<&Table>,
        scratch: &mut Scratch,
        deserializer: D,
    ) -> Result<(Text, Option<Digest>), D::Error> {
        deserializer.deserialize_map(Reading { table, scratch })
    }

    /// The text of fields.
    pub(super) fn of(fields: &Map<String, Value>) -> Text {
        let mut scratch = Scratch::default();
        scratch.begin();
        for (name, value) in fields {
            scratch.name(name);
            scratch.value(&value.to_string());
        }
        scratch.end().expect("a row is no longer than memory")
    }

    /// All of it.
    pub(super) fn json(&self) -> &str {
        &self.json
    }

    /// How many fields it has; one that stands there twice counts twice.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// The value of a field: the last of that name.
    pub(super) fn raw(&self, field: &str) -> Option<&str> {
        let (wanted, mut end) = (tag(field), self.tags.len());
        while let Some(at) = last_of(self.tags.get(..end)?, wanted) {
            let member = self.members.get(at)?;
            if spelled_out(self.part(&member.name)) == field {
                return Some(self.part(&member.value));
            }
            end = at;
        }
        None
    }

    /// Names and values, in the order in which they were read.
    pub(super) fn members(&self) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
        self.members.iter().map(|member| (spelled_out(self.part(&member.name)), self.part(&member.value)))
    }

    fn part(&self, place: &Range<u32>) -> &str {
        part(&self.json, place)
    }
}

fn part<'j>(json: &'j str, place: &Range<u32>) -> &'j str {
    let place = usize::try_from(place.start).ok().zip(usize::try_from(place.end).ok());
    place.and_then(|(start, end)| json.get(start..end)).unwrap_or_default()
}

/// Where the last of these tags stands. Many are looked at at once, as vectors: most are not the one.
fn last_of(tags: &[u32], wanted: u32) -> Option<usize> {
    const AT_ONCE: usize = 16;
    let mut end = tags.len();
    for some in tags.rchunks(AT_ONCE) {
        let start = end.saturating_sub(some.len());
        if some.iter().fold(false, |found, tag| found | (*tag == wanted)) {
            return Some(start.saturating_add(some.iter().rposition(|tag| *tag == wanted)?));
        }
        end = start;
    }
    None
}

/// Length, first, middle and last byte of a name: tells most names apart.
fn tag(name: &str) -> u32 {
    let (bytes, length) = (name.as_bytes(), name.len());
    let at = |at: usize| bytes.get(at).copied().unwrap_or_default();
    let length_byte = u8::try_from(length).unwrap_or(u8::MAX);
    u32::from_le_bytes([length_byte, at(0), at(length / 2), at(length.saturating_sub(1))])
}

/// A name as it stands between quotes, without escapes.
fn spelled_out(name: &str) -> Cow<'_, str> {
    let text = name.contains('\\').then(|| serde_json::from_str::<String>(&format!("\"{name}\"")));
    text.and_then(Result::ok).map_or(Cow::Borrowed(name), Cow::Owned)
}

/// A value's text as it is kept: as it was read, unless it is spelled as people would not find it again in a
/// target: with escapes of what needs none, or laid out over lines.
fn kept(raw: &str) -> Cow<'_, str> {
    let bytes = raw.as_bytes();
    if !matches!(bytes.first(), Some(b'"' | b'{' | b'[')) {
        return Cow::Borrowed(raw);
    }
    let needless = |at: usize| match bytes.get(at.saturating_add(1)..) {
        Some([b'/', ..]) => true,
        // Control characters need it.
        Some([b'u', rest @ ..]) => !rest.starts_with(b"000") && !rest.starts_with(b"001"),
        _ => false,
    };
    let escaped = || memchr_iter(b'\\', bytes).any(needless);
    let laid_out = || bytes.get(1).is_some_and(u8::is_ascii_whitespace);
    if laid_out() || escaped() {
        let value = serde_json::from_str::<Value>(raw).map(|value| value.to_string());
        return value.map_or(Cow::Borrowed(raw), Cow::Owned);
    }
    Cow::Borrowed(raw)
}

/// Room for a text in the making, used for one row after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch {
    json: String,
    members: Vec<Member>,
    tags: Vec<u32>,
}

impl Scratch {
    fn begin(&mut self) {
        self.json.clear();
        self.members.clear();
        self.tags.clear();
        self.json.push('{');
    }

    /// Writes a name.
    fn name(&mut self, name: &str) {
        let start = self.json.len();
        // All bytes are looked at, many at once: names are short.
        let to_escape = |found, byte| found | matches!(byte, b'"' | b'\\' | 0..0x20);
        if name.bytes().fold(false, to_escape) {
            self.json.push_str(&Value::from(name).to_string());
        } else {
            self.json.extend(["\"", name, "\""]);
        }
        let end = self.json.len();
        self.json.push(':');
        let name_at = place(start.saturating_add(1)..end.saturating_sub(1));
        self.members.push(Member { name: name_at, value: 0..0 });
        self.tags.push(tag(name));
    }

    /// The last name, without escapes.
    fn last_name(&self) -> Cow<'_, str> {
        self.members.last().map_or(Cow::default(), |member| spelled_out(part(&self.json, &member.name)))
    }

    /// Writes the value of the last name.
    fn value(&mut self, raw: &str) {
        let start = self.json.len();
        self.json.push_str(raw);
        let end = self.json.len();
        self.json.push(',');
        if let Some(member) = self.members.last_mut() {
            member.value = place(start..end);
        }
    }

    /// `None` when it is too long.
    fn end(&mut self) -> Option<Text> {
        if !self.members.is_empty() {
            self.json.pop();
        }
        self.json.push('}');
        u32::try_from(self.json.len()).ok()?;
        let (members, tags) = (Box::from(self.members.as_slice()), Box::from(self.tags.as_slice()));
        Some(Text { json: Box::from(self.json.as_str()), members, tags })
    }
}

/// A place in a text; one of more than 4 GiB is refused at its end.
fn place(at: Range<usize>) -> Range<u32> {
    let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    number(at.start)..number(at.end)
}

struct Reading<'r> {
    table: Option<&'r Table>,
    scratch: &'r mut Scratch,
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = (Text, Option<Digest>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Reading { table, scratch } = self;
        let mut sum = table.map(Sum::of);
        scratch.begin();
        while map.next_key_seed(Named(scratch))?.is_some() {
            let raw = map.next_value::<&RawValue>()?.get();
            if let Some(plain) = Plain::of(raw) {
                if let Some(sum) = &mut sum {
                    sum.add_plain(&scratch.last_name(), plain);
                }
                scratch.value(raw);
                continue;
            }
            let mut json = serde_json::Deserializer::from_str(raw);
            let read = match &mut sum {
                Some(sum) => sum.add(&scratch.last_name(), &mut json),
                None => digest::check(&mut json),
            };
            read.map_err(A::Error::custom)?;
            scratch.value(&kept(raw));
        }
        let text = scratch.end().ok_or_else(|| A::Error::custom("a row of 4 GiB"))?;
        Ok((text, sum.map(Sum::digest)))
    }
}

/// Reads a name into a text.
struct Named<'s>(&'s mut Scratch);

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Named<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<(), E> {
        self.0.name(name);
        Ok(())
    }
}
