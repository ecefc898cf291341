//! Integers inside the fields of a row, without making values of all that lies around them.

use std::fmt;

use memchr::memmem;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{spelled_integer, whole};

/// Reads the integers at `path` into `found`; lists on the way are passed through.
pub(super) struct Inside<'p, 'f> {
    pub(super) path: &'p [&'p str],
    pub(super) found: &'f mut Vec<i64>,
}

impl Inside<'_, '_> {
    /// Whether a value of a row's text may have integers at the path, other than 0. Most parents and epics are unset:
    /// that is seen without reading them. In such a text no name is spelled with escapes that it does not need.
    pub(super) fn may_be_in(&self, raw: &str) -> bool {
        let needs_escapes = |name: &str| name.bytes().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        let Some(name) = self.path.last().filter(|name| !needs_escapes(name)) else { return true };
        let bytes = raw.as_bytes();
        let is_zero = |rest: &[u8]| matches!(rest, [b'"', b':', b'0', b',' | b'}', ..]);
        memmem::find_iter(bytes, name.as_bytes()).any(|at| {
            let quoted = at.checked_sub(1).and_then(|before| bytes.get(before)) == Some(&b'"');
            let rest = bytes.get(at.saturating_add(name.len())..).unwrap_or_default();
            quoted && rest.starts_with(b"\"") && !is_zero(rest)
        })
    }

    /// A value that nothing lies inside of.
    fn add(self, number: Option<i64>) {
        if self.path.is_empty() {
            self.found.extend(number);
        }
    }
}

impl<'de> DeserializeSeed<'de> for Inside<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Inside<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.add(Some(number));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.add(i64::try_from(number).ok());
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.add(whole(number));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.add(spelled_integer(text));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Inside { path, found } = self;
        while list.next_element_seed(Inside { path, found: &mut *found })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let before = self.found.len();
        let (next, path) =
            self.path.split_first().map_or((None, self.path), |(next, path)| (Some(*next), path));
        while let Some(is_next) = map.next_key_seed(Is(next))? {
            if is_next {
                // Where a name stands there twice, the last one counts.
                self.found.truncate(before);
                map.next_value_seed(Inside { path, found: &mut *self.found })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Whether a name is this one.
struct Is<'n>(Option<&'n str>);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(self.0 == Some(name))
    }
}
