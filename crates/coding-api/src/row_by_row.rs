//! Reads a page row by row when it cannot be read as a whole: one value that is no JSON must not cost all other rows.
//!
//! Where a row begins and ends is found by brackets and quotes alone; the row itself is read as ever. Outside of texts
//! nothing is passed over that values are not made of, so that a page whose quotes do not match is refused and not
//! taken apart at the wrong places. Start with [`rows`].

use std::borrow::Cow;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};

use memchr::memchr2;
use serde_json::{Deserializer, Value};

use crate::envelope::{ROW_KEYS, Rows, count};
use crate::error::showable;
use crate::row::{Row, RowForm, integer};

/// A row of a page that cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Unreadable {
    /// Which row of the listing it is, from 1, by the page on which it stands.
    pub row: u64,
    /// Those of its fields that can be read; nested ones are left out.
    pub fields: Row,
    /// Why it cannot be read; holds none of its values.
    pub why: String,
    /// By what it is known again where its key cannot be read.
    text: u64,
}

impl Unreadable {
    /// One of which nothing is known but its place.
    pub(crate) fn unseen(row: u64, why: String) -> Self {
        Self { row, fields: Row::new(), why, text: row }
    }

    /// Its number, where the field `key` can be read.
    #[must_use]
    pub fn key(&self, key: &str) -> Option<i64> {
        self.fields.get(key).and_then(integer)
    }

    /// Hashes what it is known again by, as [`RowForm::mark`] does.
    pub(crate) fn mark<H: Hasher>(&self, key: &str, hasher: &mut H) {
        match self.key(key) {
            Some(number) => number.hash(hasher),
            None => self.text.hash(hasher),
        }
    }

    fn of(row: u64, text: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let why = if text.starts_with('{') { "it is no JSON" } else { "it is no object" };
        let mut found = Self { row, fields: Row::new(), why: why.to_owned(), text: hasher.finish() };
        let mut unread = None;
        for (name, value) in first_members(text).0 {
            let Ok(name) = serde_json::from_str::<String>(&mended(name)) else { continue };
            match serde_json::from_str::<Value>(&mended(value)) {
                Ok(Value::Object(_) | Value::Array(_)) => {}
                Ok(value) => drop(found.fields.insert(name, value)),
                Err(error) => {
                    // The parser quotes no values of what is no JSON; the place within the value says nothing.
                    let said = error.to_string();
                    let what = said.split(" at line ").next().unwrap_or_default().to_owned();
                    unread.get_or_insert_with(|| format!("`{}`: {what}", showable(&name)));
                }
            }
        }
        found.why = unread.unwrap_or(found.why);
        found
    }
}

/// The rows of a page whose payload lies under one of `keys`, and those that cannot be read; `None` when it cannot be
/// told where they begin and end, or when there is no page.
pub(crate) fn rows<F: RowForm>(form: &F, text: &str, keys: &[&str]) -> Option<Rows<F::Row>> {
    let top = members(text)?;
    let inside = match find(&top, "Response") {
        Some(response) => members(response)?,
        None => top,
    };
    if find(&inside, "Error").is_some_and(|error| error != "null") {
        return None;
    }
    let payload = keys.iter().find_map(|key| find(&inside, key))?;
    let said = if payload.starts_with('[') { Vec::new() } else { members(payload)? };
    let list = match payload.starts_with('[') {
        true => payload,
        false => ROW_KEYS.iter().find_map(|key| find(&said, key))?,
    };
    let number = |name: &str| count(&serde_json::from_str(find(&said, name)?).ok()?);
    let mut page = Rows {
        rows: Vec::new(),
        page_size: number("PageSize").filter(|size| *size > 0),
        total: number("TotalCount").or_else(|| number("TotalRow")),
        unreadable: Vec::new(),
    };
    let mut reader = form.clone();
    for (place, element) in (1..).zip(elements(list)?) {
        match read(&mut reader, element) {
            Some(row) => page.rows.push(row),
            None => {
                // What it was about to remember of the row must not meet the next one.
                reader = form.clone();
                page.unreadable.push(Unreadable::of(place, element));
            }
        }
    }
    Some(page)
}

fn read<F: RowForm>(form: &mut F, text: &str) -> Option<F::Row> {
    let text = mended(text);
    let mut json = Deserializer::from_str(&text);
    let row = form.read(&mut json).ok()?;
    json.end().ok()?;
    Some(row)
}

/// With control characters inside of texts escaped: nothing is lost by it, only U+0000 cannot be stored.
fn mended(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte < 0x20) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().saturating_add(64));
    let (mut inside, mut escaped) = (false, false);
    for letter in text.chars() {
        match letter {
            '\0' if inside => out.push(char::REPLACEMENT_CHARACTER),
            '\0'..='\u{1f}' if inside && !escaped => {
                // Writing to a text cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            _ => out.push(letter),
        }
        (inside, escaped) = match letter {
            '"' if !escaped => (!inside, false),
            '\\' if inside => (inside, !escaped),
            _ => (inside, false),
        };
    }
    Cow::Owned(out)
}

fn find<'t>(members: &[(&'t str, &'t str)], name: &str) -> Option<&'t str> {
    // The name with its quotes.
    let is_it = |found: &str| found.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) == Some(name);
    members.iter().rev().find(|(found, _)| is_it(found)).map(|(_, value)| *value)
}

/// The members of an object that is the whole text: names in their quotes, and values.
fn members(text: &str) -> Option<Vec<(&str, &str)>> {
    let (members, whole) = first_members(text);
    whole.then_some(members)
}

/// The members of an object up to where it is none any more, and whether that is the end of the text.
fn first_members(text: &str) -> (Vec<(&str, &str)>, bool) {
    let mut cursor = Cursor { text, at: 0 };
    let mut members = Vec::new();
    let whole = members_at(&mut cursor, &mut members).is_some() && cursor.is_at_end();
    (members, whole)
}

fn members_at<'t>(cursor: &mut Cursor<'t>, members: &mut Vec<(&'t str, &'t str)>) -> Option<()> {
    cursor.take(b'{')?;
    if cursor.take(b'}').is_some() {
        return Some(());
    }
    loop {
        let name = cursor.value().filter(|name| name.starts_with('"'))?;
        cursor.take(b':')?;
        members.push((name, cursor.value()?));
        if cursor.take(b',').is_none() {
            return cursor.take(b'}');
        }
    }
}

/// The elements of a list that is the whole text.
fn elements(text: &str) -> Option<Vec<&str>> {
    let mut cursor = Cursor { text, at: 0 };
    let mut elements = Vec::new();
    cursor.take(b'[')?;
    if cursor.take(b']').is_none() {
        loop {
            elements.push(cursor.value()?);
            if cursor.take(b',').is_none() {
                break;
            }
        }
        cursor.take(b']')?;
    }
    cursor.is_at_end().then_some(elements)
}

/// A place in a text.
struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn pass(&mut self, passes: impl Fn(u8) -> bool) {
        while self.byte().is_some_and(&passes) {
            self.at = self.at.saturating_add(1);
        }
    }

    fn is_at_end(&mut self) -> bool {
        self.pass(|byte| byte.is_ascii_whitespace());
        self.byte().is_none()
    }

    /// Passes over this byte, and over space before it.
    fn take(&mut self, wanted: u8) -> Option<()> {
        self.pass(|byte| byte.is_ascii_whitespace());
        (self.byte()? == wanted).then(|| self.at = self.at.saturating_add(1))
    }

    /// Passes over a text, whose first quote is behind.
    fn text(&mut self) -> Option<()> {
        loop {
            let rest = self.text.as_bytes().get(self.at..)?;
            let at = self.at.saturating_add(memchr2(b'"', b'\\', rest)?);
            let is_end = self.text.as_bytes().get(at) == Some(&b'"');
            self.at = at.saturating_add(if is_end { 1 } else { 2 });
            if is_end {
                return Some(());
            }
        }
    }

    /// Passes over a value, however deep; gives its text.
    fn value(&mut self) -> Option<&'t str> {
        self.pass(|byte| byte.is_ascii_whitespace());
        let (start, mut depth) = (self.at, 0_usize);
        loop {
            let byte = self.byte()?;
            match byte {
                b'"' => {
                    self.at = self.at.saturating_add(1);
                    self.text()?;
                }
                b'{' | b'[' => {
                    self.at = self.at.saturating_add(1);
                    depth = depth.saturating_add(1);
                }
                b'}' | b']' => {
                    self.at = self.at.saturating_add(1);
                    depth = depth.checked_sub(1)?;
                }
                b',' | b':' if depth > 0 => self.at = self.at.saturating_add(1),
                _ if byte.is_ascii_whitespace() && depth > 0 => self.at = self.at.saturating_add(1),
                _ if is_plain(byte) => self.pass(is_plain),
                _ => return None,
            }
            if depth == 0 {
                return self.text.get(start..self.at);
            }
        }
    }
}

/// What numbers and words are made of, those too that are no JSON.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_')
}

#[cfg(test)]
mod tests {
    use super::rows;
    use crate::row::{Maps, RowExt};

    /// Place, code and why of a row that cannot be read.
    type Aside = (u64, Option<i64>, String);

    /// Codes of the rows, and what cannot be read.
    fn read(list: &str) -> Option<(Vec<i64>, Vec<Aside>)> {
        let body = format!(r#"{{"Response":{{"RequestId":"r","Data":{{"TotalCount":9,"List":{list}}}}}}}"#);
        let page = rows(&Maps, &body, &["Data", "data"])?;
        assert_eq!(page.total, Some(9));
        let codes = page.rows.iter().filter_map(RowExt::code).collect();
        let aside = page.unreadable.into_iter();
        Some((codes, aside.map(|row| (row.row, row.key("Code"), row.why)).collect()))
    }

    fn one_of_three(row: &str, code: Option<i64>, why: &str) {
        let list = format!(r#"[{{"Code":1,"Name":"a}}]{{\"b"}},{row}, {{"Code":3}}]"#);
        assert_eq!(read(&list), Some((vec![1, 3], vec![(2, code, why.to_owned())])), "{row}");
    }

    #[test]
    fn one_row_that_cannot_be_read_costs_no_other_row() {
        one_of_three(r#"{"Code":2,"Hours":NaN}"#, Some(2), "`Hours`: expected value");
        one_of_three(r#"{"Code":2,"Hours":-Infinity}"#, Some(2), "`Hours`: invalid number");
        one_of_three(r#"{"Hours":1e400,"Code":"2"}"#, Some(2), "`Hours`: number out of range");
        one_of_three(r#"{"Code":NaN,"Name":"x"}"#, None, "`Code`: expected value");
        let deep = format!(r#"{{"Code":2,"Deep":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
        one_of_three(&deep, Some(2), "`Deep`: recursion limit exceeded");
        one_of_three(r#"{"Code":2,"Name":"\q"}"#, Some(2), "`Name`: invalid escape");
        one_of_three(r#"{"Code":2,"Name":"a "b c" d"}"#, Some(2), "it is no JSON");
        one_of_three("null", None, "it is no object");
        one_of_three("7", None, "it is no object");
        one_of_three(r#"{"Code":2,"Deep":{"a":1]}"#, Some(2), "`Deep`: expected `,` or `}`");
    }

    #[test]
    fn control_characters_in_a_text_cost_nothing() {
        let body = "{\"Data\":{\"TotalCount\":1,\"List\":[{\"Code\":1,\n\t\"Name\":\"a\tb\\\"\nc\0\"}]}}";
        let page = rows(&Maps, body, &["Data"]).unwrap();
        assert_eq!(page.rows.first().and_then(|row| row.text("Name")), Some("a\tb\"\nc\u{fffd}"));
        assert!(page.unreadable.is_empty());
    }

    #[test]
    fn where_rows_cannot_be_told_apart_nothing_is_guessed() {
        assert_eq!(read(r#"[{"Code":1,"Name":"a " d"},{"Code":2}]"#), None);
        assert_eq!(read(r#"[{"Code":1},{"Code":2"#), None);
        assert_eq!(read(r#"{"Code":1}"#), None);
        assert_eq!(read(r#"[{"Code":1} {"Code":2}]"#), None);
        let refused = r#"{"Response":{"Error":{"Code":"A"},"Data":{"List":[{"Code":NaN}]}}}"#;
        assert_eq!(rows(&Maps, refused, &["Data"]), None);
        assert_eq!(rows(&Maps, "<html>", &["Data"]), None);
        assert_eq!(rows(&Maps, r#"{"Response":null}"#, &["Data"]), None);
    }
}
