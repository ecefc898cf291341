//! A CODING DevOps that runs on your machine, for demos and tests.
//!
//! [`Sim::start`] makes a team with projects, issues, iterations and members out of a seed and serves
//! the Open API over HTTP, with the service's real shapes, limits and quirks, and with every fault that
//! a server can do to a client, on demand. It sends Service Hooks for every change to whom an action or
//! [`WorldHandle::register_hook`] tells it to. [`Sim::world`] changes the data and tells the truth about it;
//! the same is under `/_sim` for other processes.
//!
//! It shares no code with the client that it tests, and must not: an error in common code would cancel
//! itself out.

mod actions;
mod admin;
mod calendar;
mod changes;
mod conditions;
mod config;
mod credentials;
mod dice;
mod distort;
mod failure;
mod faults;
mod handle;
mod hooks;
mod http;
mod listing;
mod mutator;
mod operation;
mod render;
mod request;
mod seed;
mod sim;
mod state;
mod texts;
mod traffic;
mod truth;
mod wire;
mod world;

pub use config::{
    DEFAULT_TOKEN, DOCUMENTED_PAGE, DOCUMENTED_RATE, OAuthConfig, OffsetStyle, ProjectConfig, ProjectToken,
    Refusal, SimConfig, TokenConfig, all_scopes,
};
pub use faults::{AccessLoss, FaultKind, Faults, Outage, Spoil};
pub use handle::WorldHandle;
pub use hooks::book::HookInfo;
pub use hooks::counters::{HookCounters, HookRow, HookTally};
pub use hooks::faults::HookFaults;
pub use hooks::log::HookDelivery;
pub use mutator::MutationKind;
pub use operation::{Applied, CustomContent, IssueFields, Operation, ThirdLink};
pub use sim::{Sim, SimError};
pub use traffic::Counters;
pub use truth::{Shape, Table};
