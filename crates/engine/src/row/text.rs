//! A row as JSON text, and where in it each field stands.
//!
//! Most rows are only passed on: from a page into the journal, from there into a target. As text that costs one
//! reading; values are made of it only where somebody changes or compares them. Every value of the text has been
//! read once, so that reading it later cannot fail.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use memchr::memchr_iter;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Digest;
use super::digest::{self, Named, Plain, Sum, Weight};
use crate::schema::Table;

/// The text of a row.
#[derive(Debug)]
pub(super) struct Text {
    json: Box<str>,
    names: Arc<Names>,
    /// Where the value of each name stands in the text.
    values: Box<[Range<u32>]>,
}

/// The names of a row's fields, in the order in which they were read: without escapes, and the same for all rows of a
/// listing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Names {
    /// One after the other.
    text: String,
    /// Where each ends.
    ends: Vec<u32>,
    /// A tag for each, side by side: a row is asked for many a field, and most of its names are looked over.
    tags: Vec<u32>,
}

impl Names {
    fn with_room() -> Names {
        /// Enough for a row of usual width.
        const FIELDS: usize = 64;
        let (text, ends) = (String::with_capacity(12 * FIELDS), Vec::with_capacity(FIELDS));
        Names { text, ends, tags: Vec::with_capacity(FIELDS) }
    }

    fn push(&mut self, name: &str) {
        self.text.push_str(name);
        self.ends.push(place(self.text.len()));
        self.tags.push(tag(name));
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, at: usize) -> Option<&str> {
        let start = at.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        part(&self.text, &(start..*self.ends.get(at)?))
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    /// Where a name stands: the last of its kind.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        let (wanted, mut end) = (tag(name), self.tags.len());
        while let Some(at) = last_of(self.tags.get(..end)?, wanted) {
            if self.get(at) == Some(name) {
                return Some(at);
            }
            end = at;
        }
        None
    }
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

    /// Its names.
    pub(super) fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// How many fields it has; one that stands there twice counts twice.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// The value of a field: the last of that name.
    pub(super) fn raw(&self, field: &str) -> Option<&str> {
        self.value(self.names.find(field)?)
    }

    /// The value of the name that stands there.
    pub(super) fn value(&self, at: usize) -> Option<&str> {
        part(&self.json, self.values.get(at)?)
    }

    /// Names and values, in the order in which they were read.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names.iter().zip((0..self.len()).filter_map(|at| self.value(at)))
    }
}

fn part<'t>(text: &'t str, place: &Range<u32>) -> Option<&'t str> {
    text.get(usize::try_from(place.start).ok()?..usize::try_from(place.end).ok()?)
}

/// A place in a text; one of more than 4 GiB is refused at its end.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
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

/// As [`kept`], once it has been seen that the value can be read.
fn checked(raw: &str) -> serde_json::Result<Cow<'_, str>> {
    if Plain::of(raw).is_some() {
        return Ok(Cow::Borrowed(raw));
    }
    digest::check(&mut serde_json::Deserializer::from_str(raw))?;
    Ok(kept(raw))
}

/// Room for a text in the making, used for one row after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch {
    json: String,
    values: Vec<Range<u32>>,
    /// The names of the row before: most rows have the same ones, and share them.
    names: Arc<Names>,
    /// What is known of their fields, where a digest is worked out.
    fields: Vec<Field>,
    /// The names of this row, from the first one on that is another one.
    others: Option<Names>,
}

/// What is known of a field of rows that have the same names.
#[derive(Clone, Debug)]
struct Field {
    named: Named,
    /// The nested value that was read last, which needed no change to be kept, and what it weighs. What is unset, or
    /// describes the project, is spelled the same in row after row.
    last: String,
    weight: Weight,
}

impl Scratch {
    fn begin(&mut self) {
        self.json.clear();
        self.values.clear();
        if self.others.take().is_some() {
            // The row before could not be read to its end.
            self.fields.clear();
        }
        self.json.push('{');
    }

    /// Writes a name.
    fn name(&mut self, name: &str) {
        let at = self.values.len();
        if self.others.is_none() && self.names.get(at) != Some(name) {
            self.part_with_names();
        }
        if let Some(others) = &mut self.others {
            others.push(name);
        }
        // All bytes are looked at, many at once: names are short.
        let to_escape = |found, byte| found | matches!(byte, b'"' | b'\\' | 0..0x20);
        if name.bytes().fold(false, to_escape) {
            self.json.push_str(&Value::from(name).to_string());
        } else {
            self.json.extend(["\"", name, "\""]);
        }
        self.json.push(':');
        self.values.push(0..0);
    }

    /// From here on the names are others than those of the row before.
    fn part_with_names(&mut self) {
        let mut others = Names::with_room();
        self.names.iter().take(self.values.len()).for_each(|name| others.push(name));
        self.fields.truncate(self.values.len());
        self.others = Some(others);
    }

    /// What is known of the field of the last name, in rows of `table`.
    fn field(&mut self, table: &Table) -> &mut Field {
        let at = self.values.len().saturating_sub(1);
        while self.fields.len() <= at {
            let name = self.others.as_ref().unwrap_or(&self.names).get(self.fields.len());
            let named = Named::of(table, name.unwrap_or_default());
            self.fields.push(Field { named, last: String::new(), weight: Weight::Unset });
        }
        self.fields.get_mut(at).expect("it is there by now")
    }

    /// Adds the value of the last name to the digest of a row of `table`; says how it is kept.
    fn weigh<'r>(
        &mut self,
        table: &Table,
        sum: &mut Sum<'_>,
        raw: &'r str,
    ) -> serde_json::Result<Cow<'r, str>> {
        /// Bytes of a value that is remembered at most.
        const LONGEST: usize = 2 << 10;
        let field = self.field(table);
        if let Some(plain) = Plain::of(raw) {
            sum.add_plain(field.named, plain);
            return Ok(Cow::Borrowed(raw));
        }
        if field.last == raw {
            sum.add(field.named, field.weight);
            return Ok(Cow::Borrowed(raw));
        }
        let weight = sum.weigh(field.named, &mut serde_json::Deserializer::from_str(raw))?;
        sum.add(field.named, weight);
        let kept = kept(raw);
        if matches!(kept, Cow::Borrowed(_)) && raw.starts_with(['{', '[']) && raw.len() <= LONGEST {
            field.last.replace_range(.., raw);
            field.weight = weight;
        }
        Ok(kept)
    }

    /// Writes the value of the last name.
    fn value(&mut self, raw: &str) {
        let start = self.json.len();
        self.json.push_str(raw);
        let end = self.json.len();
        self.json.push(',');
        if let Some(value) = self.values.last_mut() {
            *value = place(start)..place(end);
        }
    }

    /// `None` when it is too long.
    fn end(&mut self) -> Option<Text> {
        if !self.values.is_empty() {
            self.json.pop();
        }
        self.json.push('}');
        u32::try_from(self.json.len()).ok()?;
        if self.others.is_none() && self.values.len() < self.names.len() {
            self.part_with_names();
        }
        if let Some(others) = self.others.take() {
            self.names = Arc::new(others);
        }
        let (json, values) = (Box::from(self.json.as_str()), Box::from(self.values.as_slice()));
        Some(Text { json, names: Arc::clone(&self.names), values })
    }
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
        let mut sum = table.map(|table| (table, Sum::of(table)));
        scratch.begin();
        while map.next_key_seed(Name(scratch))?.is_some() {
            let raw = map.next_value::<&RawValue>()?.get();
            let kept = match &mut sum {
                Some((table, sum)) => scratch.weigh(table, sum, raw),
                None => checked(raw),
            };
            scratch.value(&kept.map_err(A::Error::custom)?);
        }
        let text = scratch.end().ok_or_else(|| A::Error::custom("a row of 4 GiB"))?;
        Ok((text, sum.map(|(_, sum)| sum.digest())))
    }
}

/// Reads a name into a text.
struct Name<'s>(&'s mut Scratch);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<(), E> {
        self.0.name(name);
        Ok(())
    }
}
