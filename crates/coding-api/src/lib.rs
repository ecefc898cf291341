//! A typed client for the Open API of CODING DevOps (coding.net).
//!
//! Start with [`Client::builder`]: it takes a [`BaseUrl`] and a [`Credential`]. Every action is a method of
//! [`Client`]; actions that list give a [`Listing`], which reads page by page or as a stream.
//!
//! What the crate takes care of, so that its users need not:
//!
//! - the envelope: errors inside a 200, HTML from a gateway, a cut body; each is one [`ErrorKind`] that knows
//!   its [`Remedy`];
//! - the rate limit of a team, shared by all clients of a process ([`Budgets`]);
//! - OAuth refresh with one writer, persisted before use ([`TokenStore`]);
//! - paging that neither trusts page sizes nor totals ([`Listing`]);
//! - hooks: who sent a delivery, what it says ([`hook`]), and setting hooks up ([`HookSettings`]).
//!
//! It knows nothing of pipelines, tables or SQL, keeps no state on disk, and has no globals. Rows stay as the
//! API gave them ([`Row`]): a field that this crate does not know yet survives.
//!
//! ```no_run
//! use coding_api::{BaseUrl, Client, Credential, IssueQuery};
//! use futures::TryStreamExt;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder(BaseUrl::for_team("acme")?, Credential::personal_token("0123abcd")).build()?;
//! let listing = client.issues(IssueQuery::new("mobile-app"));
//! let mut pages = std::pin::pin!(listing.stream(4));
//! while let Some(page) = pages.try_next().await? {
//!     for row in page.rows {
//!         let _name = row.get("Name");
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod actions;
mod auth;
mod base_url;
mod budget;
mod client;
mod clock;
mod envelope;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod hook;
mod issues;
mod iterations;
mod paging;
mod retry;
mod row;
mod row_by_row;
mod sanitize;
mod service_hooks;
pub mod trust;

pub use auth::credential::{Credential, OAuthCredential};
pub use auth::store::{MemoryTokenStore, RotatedTokens, TokenStore, TokenStoreError};
pub use base_url::{BaseUrl, BaseUrlError};
pub use budget::{Budget, Budgets, DEFAULT_RATE, Permit, Priority};
pub use client::builder::{ClientBuilder, ClientError, Timeouts};
pub use client::{Client, Reply};
pub use clock::{Clock, SystemClock};
pub use error::{Error, ErrorKind, Remedy};
pub use issues::{Condition, IssueQuery, IssueType, Order, PageSize, PageSizeError, SortKey};
pub use iterations::{IterationQuery, IterationStatus};
pub use paging::{Listing, Page};
pub use retry::RetryPolicy;
pub use row::{Maps, Row, RowExt, RowForm};
pub use row_by_row::Unreadable;
pub use service_hooks::{EventOffer, HookLog, HookSettings, ServiceHook};
