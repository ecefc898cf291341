//! CODING's Service Hook: how it is set up, what its deliveries say, how it is registered.
//!
//! A delivery is a hint to go and look at a row, never the row itself: `hear` says which. Where deliveries come in
//! and are kept is not known here. [`register`] makes, finds again and mends the hook at CODING; [`settings`] is
//! what a user configures of all this.

pub mod check;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod hear;
pub mod log;
mod manual;
pub mod offer;
pub mod register;
pub mod settings;

#[cfg(test)]
mod tests;

pub use coding_api::hook::{Proof, Refused, Unverified, Verified, has_few_values};

pub(super) use hear::{hear, touched};
