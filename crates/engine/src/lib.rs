//! What turns observations of a source into changes, and changes into writes to targets.
//!
//! The engine knows nothing of CODING, of SQL drivers or of HTTP servers: a [`source::Source`] shows it rows,
//! a [`journal::Journal`] keeps what it learns, a [`target::Target`] takes what it delivers.
//!
//! Start with [`capture`] (from observation to journal) and [`delivery`] (from journal to target); the words
//! they share are in [`row`], [`schema`], [`observation`], [`change`] and [`position`].
//! [`failpoint`] names the steps that tests have fail; [`words`] makes harmless what others say.

pub mod capture;
pub mod change;
pub mod clock;
pub mod custom;
pub mod delivery;
pub mod failpoint;
pub mod inbox;
pub mod journal;
pub mod lack;
pub mod observation;
pub mod position;
pub mod problem;
pub mod row;
pub mod schema;
pub mod source;
pub mod status;
pub mod target;
pub mod verify;
pub mod words;
