//! The digest of a canonical row: numbers by value, keys in any order, unset and volatile parts left out.
//!
//! Worked out while a text is read, without making values of it: each member of an object weighs something, and the
//! object is the sum of its members, so that their order means nothing.

use std::fmt;

use memchr::memchr;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor, value};
use serde::forward_to_deserialize_any;
use serde_json::{Number, Value};
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

use super::{Digest, UNSET_DAY_MS, whole};
use crate::schema::Table;

/// How deep a value may be nested: as deep as in a look-up's answer, and no deeper than the values of a whole row can be
/// read again.
const DEEPEST: usize = 125;

/// The name by which the JSON library knows a piece of text that it is to take for a value. In foreign input it would
/// be read as something else than it says.
const RESERVED: &str = "$serde_json::private::RawValue";

/// A digest in the making.
pub(super) struct Sum<'t> {
    table: &'t Table,
    sum: u128,
}

impl<'t> Sum<'t> {
    /// Of a row of `table`, without any field yet.
    pub(super) fn of(table: &'t Table) -> Sum<'t> {
        Sum { table, sum: 0 }
    }

    /// What the value of a field weighs. Reads all of it: one that cannot be read is an error.
    pub(super) fn weigh<'de, D: Deserializer<'de>>(
        &self,
        named: Named,
        value: D,
    ) -> Result<Weight, D::Error> {
        let trail = Trail { table: self.table, depth: 1, along: named.along };
        Weigh { trail, nesting: 0, numeric: named.numeric }.deserialize(value)
    }

    /// Adds a field, by what its value weighs.
    pub(super) fn add(&mut self, named: Named, weight: Weight) {
        if !named.volatile {
            self.sum = self.sum.wrapping_add(weight.of_member(named.hash));
        }
    }

    /// Adds a field whose value needs no parser.
    pub(super) fn add_plain(&mut self, named: Named, value: Plain<'_>) {
        // Nothing plain is nested too deep.
        let weight = self.weigh(named, value).unwrap_or(Weight::Unset);
        self.add(named, weight);
    }

    /// Adds a field by its value.
    pub(super) fn add_value(&mut self, name: &str, value: &Value) {
        let named = Named::of(self.table, name);
        // A value nested too deep to be weighed is none that a text was read into; it says nothing, then.
        let weight = self.weigh(named, value).unwrap_or(Weight::Unset);
        self.add(named, weight);
    }

    pub(super) fn digest(self) -> Digest {
        Digest(xxh3_128(&self.sum.to_le_bytes()).to_le_bytes())
    }
}

/// What a field's name alone says: the same in every row of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    hash: u128,
    /// As a [`Trail`] has it.
    along: u64,
    volatile: bool,
    numeric: bool,
}

impl Named {
    /// Of a field of `table`.
    pub(super) fn of(table: &Table, name: &str) -> Named {
        let (trail, volatile) = Trail::of(table).enter(name);
        let (hash, numeric) = (xxh3_128(name.as_bytes()), table.kind(name).is_number());
        Named { hash, along: trail.along, volatile, numeric }
    }
}

/// A value that most fields have, and that needs no parser.
#[derive(Clone, Copy)]
pub(super) enum Plain<'r> {
    Null,
    Flag(bool),
    Integer(i64),
    /// A text without escapes.
    Text(&'r str),
}

impl<'r> Plain<'r> {
    /// `raw` is a value of JSON; `None` when it has to be parsed.
    pub(super) fn of(raw: &'r str) -> Option<Plain<'r>> {
        match raw.as_bytes() {
            [b'"', text @ .., b'"'] if memchr(b'\\', text).is_none() => {
                raw.get(1..raw.len().saturating_sub(1)).map(Plain::Text)
            }
            b"null" => Some(Plain::Null),
            b"true" => Some(Plain::Flag(true)),
            b"false" => Some(Plain::Flag(false)),
            [b'-' | b'0'..=b'9', ..] => raw.parse().ok().map(Plain::Integer),
            _ => None,
        }
    }
}

impl<'de> Deserializer<'de> for Plain<'_> {
    type Error = value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, value::Error> {
        match self {
            Plain::Null => visitor.visit_unit(),
            Plain::Flag(flag) => visitor.visit_bool(flag),
            Plain::Integer(number) => visitor.visit_i64(number),
            Plain::Text(text) => visitor.visit_str(text),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Reads a value as [`Sum::weigh`] does, for nothing but to see that it can be read.
pub(super) fn check<'de, D: Deserializer<'de>>(value: D) -> Result<(), D::Error> {
    Check { nesting: 0 }.deserialize(value)
}

/// What a value adds to that which holds it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Weight {
    /// Nothing: it says "unset".
    Unset,
    /// It is `false`, which an object of nothing else counts as "unset".
    False,
    /// It says something.
    Is(u128),
}

/// So that the same bytes as text, number, list and object weigh differently.
const TEXT: u64 = 1;
const INTEGER: u64 = 2;
const LARGE: u64 = 3;
const REAL: u64 = 4;
const FALSE: u128 = 5;
const TRUE: u128 = 6;
const LIST: u128 = 7;
const OBJECT: u64 = 8;

impl Weight {
    fn of_text(text: &str) -> Weight {
        if text.is_empty() { Weight::Unset } else { Weight::Is(xxh3_128_with_seed(text.as_bytes(), TEXT)) }
    }

    fn of_integer(number: i64) -> Weight {
        if number == 0 || number == UNSET_DAY {
            return Weight::Unset;
        }
        Weight::Is(xxh3_128_with_seed(&number.to_le_bytes(), INTEGER))
    }

    fn of_large(number: u64) -> Weight {
        match i64::try_from(number) {
            Ok(number) => Weight::of_integer(number),
            Err(_) => Weight::Is(xxh3_128_with_seed(&number.to_le_bytes(), LARGE)),
        }
    }

    fn of_real(number: f64) -> Weight {
        match whole(number) {
            Some(number) => Weight::of_integer(number),
            None => Weight::Is(xxh3_128_with_seed(&number.to_le_bytes(), REAL)),
        }
    }

    fn of_number(number: &Number) -> Weight {
        match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Weight::of_integer(number),
            (None, Some(number)) => Weight::of_large(number),
            (None, None) => Weight::of_real(number.as_f64().unwrap_or(f64::NAN)),
        }
    }

    /// As an item of a list, where "unset" has a place too.
    fn of_item(self) -> u128 {
        match self {
            Weight::Unset => 0,
            Weight::False => FALSE,
            Weight::Is(weight) => weight,
        }
    }

    /// As a member of an object; `name` is the hash of its name.
    fn of_member(self, name: u128) -> u128 {
        match self {
            Weight::Unset => 0,
            other => both(name, other.of_item()),
        }
    }
}

/// [`UNSET_DAY_MS`], to be compared with integers.
const UNSET_DAY: i64 = -28_800_000;
const _: () = assert!(UNSET_DAY_MS == -28_800_000.0);

/// The hash of two, in this order.
fn both(one: u128, other: u128) -> u128 {
    let mut bytes = [0; 32];
    let (first, second) = bytes.split_at_mut(16);
    first.copy_from_slice(&one.to_le_bytes());
    second.copy_from_slice(&other.to_le_bytes());
    xxh3_128(&bytes)
}

/// How far the way to a value goes along the volatile paths of a table; lists on the way are passed through.
#[derive(Clone, Copy)]
struct Trail<'t> {
    table: &'t Table,
    depth: usize,
    /// A bit for each of the first volatile paths that the way has followed so far.
    along: u64,
}

impl<'t> Trail<'t> {
    fn of(table: &'t Table) -> Trail<'t> {
        Trail { table, depth: 0, along: if table.volatile.is_empty() { 0 } else { u64::MAX } }
    }

    /// The way on into a member, and whether that is volatile.
    fn enter(self, name: &str) -> (Trail<'t>, bool) {
        let (depth, mut along, mut volatile) = (self.depth.saturating_add(1), 0, false);
        if self.along != 0 {
            for (at, path) in self.table.volatile.iter().enumerate().take(64) {
                let bit = 1_u64 << at;
                if self.along & bit != 0 && path.get(self.depth) == Some(&name) {
                    along |= bit;
                    volatile |= path.len() == depth;
                }
            }
        }
        (Trail { table: self.table, depth, along }, volatile)
    }
}

/// Weighs a value.
#[derive(Clone, Copy)]
struct Weigh<'t> {
    trail: Trail<'t>,
    nesting: usize,
    /// Whether it is the value of a field that is a number: then texts that spell numbers count as numbers.
    numeric: bool,
}

impl Weigh<'_> {
    /// The same for what lies inside.
    fn inside<E: Error>(self) -> Result<Self, E> {
        Ok(Weigh { nesting: deeper(self.nesting)?, numeric: false, ..self })
    }
}

fn deeper<E: Error>(nesting: usize) -> Result<usize, E> {
    if nesting < DEEPEST { Ok(nesting.saturating_add(1)) } else { Err(E::custom("nested too deep")) }
}

impl<'de> DeserializeSeed<'de> for Weigh<'_> {
    type Value = Weight;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Weight, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Weigh<'_> {
    type Value = Weight;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Weight, E> {
        Ok(Weight::Unset)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Weight, E> {
        Ok(if flag { Weight::Is(TRUE) } else { Weight::False })
    }

    fn visit_i64<E>(self, number: i64) -> Result<Weight, E> {
        Ok(Weight::of_integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Weight, E> {
        Ok(Weight::of_large(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Weight, E> {
        Ok(Weight::of_real(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Weight, E> {
        let number = if self.numeric { text.trim().parse::<Number>().ok() } else { None };
        Ok(number.map_or_else(|| Weight::of_text(text), |number| Weight::of_number(&number)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Weight, A::Error> {
        let inside = self.inside()?;
        let mut sum = None;
        while let Some(item) = list.next_element_seed(inside)? {
            sum = Some(both(sum.unwrap_or(LIST), item.of_item()));
        }
        Ok(sum.map_or(Weight::Unset, Weight::Is))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Weight, A::Error> {
        let inside: Weigh<'_> = self.inside()?;
        let (mut sum, mut says_something) = (0_u128, false);
        while let Some((name, trail, volatile)) = map.next_key_seed(Name(self.trail))? {
            let weight = map.next_value_seed(Weigh { trail, ..inside })?;
            says_something |= matches!(weight, Weight::Is(_));
            if !volatile {
                sum = sum.wrapping_add(weight.of_member(name));
            }
        }
        if !says_something {
            return Ok(Weight::Unset);
        }
        Ok(Weight::Is(xxh3_128_with_seed(&sum.to_le_bytes(), OBJECT)))
    }
}

/// Reads a member's name: its hash, and where it leads.
struct Name<'t>(Trail<'t>);

impl<'de, 't> DeserializeSeed<'de> for Name<'t> {
    type Value = (u128, Trail<'t>, bool);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'t> Visitor<'_> for Name<'t> {
    type Value = (u128, Trail<'t>, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        admitted(name)?;
        let (trail, volatile) = self.0.enter(name);
        Ok((xxh3_128(name.as_bytes()), trail, volatile))
    }
}

/// Reads a value and forgets it.
#[derive(Clone, Copy)]
struct Check {
    nesting: usize,
}

impl<'de> DeserializeSeed<'de> for Check {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check {
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

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let nesting = deeper(self.nesting)?;
        while list.next_element_seed(Check { nesting })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let nesting = deeper(self.nesting)?;
        while map.next_key_seed(CheckName)?.is_some() {
            map.next_value_seed(Check { nesting })?;
        }
        Ok(())
    }
}

/// Reads a member's name and forgets it.
struct CheckName;

impl<'de> DeserializeSeed<'de> for CheckName {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for CheckName {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<(), E> {
        admitted(name)
    }
}

fn admitted<E: Error>(name: &str) -> Result<(), E> {
    if name == RESERVED { Err(E::custom("a reserved name")) } else { Ok(()) }
}
