//! How an action is asked for, and how its payload is read.

use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeOwned, DeserializeSeed, Deserializer};

use crate::envelope::{ReadRows, Rows};
use crate::error::ErrorKind;
use crate::row::{Maps, Row, RowExt, RowForm};
use crate::row_by_row;

/// How an action is asked for.
pub(crate) struct Ask {
    /// The payload lies under one of these.
    pub(crate) keys: &'static [&'static str],
    /// Whether asking twice does no harm. Where it does, an attempt whose answer is lost is the last.
    pub(crate) repeatable: bool,
    /// Whether an answer without payload is one; it is read as null.
    pub(crate) bare: bool,
    /// What the request holds and no error may quote.
    pub(crate) secrets: Vec<String>,
    /// So many attempts are made of what may fail because too much is asked for; whoever asks will ask for less.
    pub(crate) attempts_at_this_size: Option<u32>,
    /// Whether rows that cannot be read are put aside, from the second attempt on: the first may have met a passing
    /// fault.
    pub(crate) row_by_row: bool,
}

impl Ask {
    /// As reads are asked for.
    pub(crate) fn read(keys: &'static [&'static str]) -> Self {
        Self {
            keys,
            repeatable: true,
            bare: false,
            secrets: Vec::new(),
            attempts_at_this_size: None,
            row_by_row: false,
        }
    }

    /// The most attempts that are made of a request that ends in errors of this kind.
    pub(super) fn attempts(&self, kind: &ErrorKind, usual: u32) -> u32 {
        match self.attempts_at_this_size {
            Some(most) if kind.may_be_the_size() || (self.row_by_row && kind.is_unreadable()) => {
                most.min(usual)
            }
            _ => usual,
        }
    }
}

/// What reads a payload, from whichever text.
pub(crate) trait ReadPayload<T>:
    for<'de> DeserializeSeed<'de, Value = T> + Clone + Send + Sync + 'static
{
    /// Reads what can be read of the payload of an envelope that holds something unreadable; `None` where that is
    /// nothing.
    fn row_by_row(&self, _text: &str, _keys: &[&str]) -> Option<T> {
        None
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> ReadPayload<T> for PhantomData<T> {}

impl<F: RowForm> ReadPayload<Rows<F::Row>> for ReadRows<F> {
    fn row_by_row(&self, text: &str, keys: &[&str]) -> Option<Rows<F::Row>> {
        row_by_row::rows(&self.form, text, keys).filter(|_| self.row_by_row)
    }
}

/// Reads a list of projects. One that cannot be read must not be taken for one that is out of view.
#[derive(Clone)]
pub(crate) struct ReadProjects;

impl<'de> DeserializeSeed<'de> for ReadProjects {
    type Value = Vec<Row>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Row>, D::Error> {
        Vec::deserialize(deserializer)
    }
}

impl ReadPayload<Vec<Row>> for ReadProjects {
    fn row_by_row(&self, text: &str, keys: &[&str]) -> Option<Vec<Row>> {
        let page = row_by_row::rows(&Maps, text, keys)?;
        let rest = page.unreadable.into_iter().map(|project| project.fields);
        let rest = rest.map(|fields| (fields.id().is_some() && fields.name().is_some()).then_some(fields));
        page.rows.into_iter().map(Some).chain(rest).collect()
    }
}

/// What is wanted of an answer, see [`Ask`].
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub(super) keys: &'static [&'static str],
    pub(super) bare: bool,
    pub(super) row_by_row: bool,
}
