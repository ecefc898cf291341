//! CODING's Service Hook: how it is set up, what its deliveries say, how it is registered.
//!
//! A delivery is a hint to go and look at a row, never the row itself: `hear` says which. Where deliveries come in
//! and are kept is not known here. `register` makes, finds again and mends the hook at CODING, `log` fetches
//! what it could not deliver; [`settings`] is what a user configures of all this.

mod check;
mod hear;
mod log;
mod manual;
mod offer;
mod register;
pub mod settings;

#[cfg(test)]
mod tests;

pub use coding_api::hook::{Proof, Refused, Unverified, Verified};

pub use check::HookMemory;
pub use manual::{hook_page, manual_steps};
pub use offer::WantedEvents;
pub use register::{HookPlan, HookStanding, How, Registered};

pub(super) use hear::{hear, neighbours};
