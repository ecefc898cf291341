//! Looks names up, and drops addresses that the base URL gives no leave to reach.
//!
//! A public name may lead to a private address, by mistake or on purpose; so the check of the base URL's text
//! is not enough. Addresses are checked here, right before the connection is made to one of them.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::base_url::{Reach, reach_of_address};

/// All addresses of the name lie outside the allowed reach.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to a private address alone")]
pub(super) struct PrivateAddress;

/// The resolver of one client.
#[derive(Debug)]
pub(super) struct GuardedResolver {
    pub(super) reach: Reach,
    /// The proxy's host, which the operator named and which may well be private.
    pub(super) proxy: Option<String>,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let free = self.proxy.as_deref().is_some_and(|proxy| proxy.eq_ignore_ascii_case(name.as_str()));
        let reach = if free { Reach::Anywhere } else { self.reach };
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let any = !found.is_empty();
            let allowed: Vec<SocketAddr> =
                found.into_iter().filter(|address| allows(reach, *address)).collect();
            if any && allowed.is_empty() {
                return Err(PrivateAddress.into());
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}

fn allows(reach: Reach, address: SocketAddr) -> bool {
    reach == Reach::Anywhere || reach_of_address(address.ip()) == Some(reach)
}

#[cfg(test)]
mod tests {
    use super::{GuardedResolver, PrivateAddress};
    use crate::base_url::Reach;
    use reqwest::dns::Resolve as _;

    async fn check(reach: Reach, proxy: Option<&str>, allowed: bool) {
        let resolver = GuardedResolver { reach, proxy: proxy.map(str::to_owned) };
        // The one name that every machine knows, and that leads to no public address.
        match resolver.resolve("localhost".parse().unwrap()).await {
            Ok(found) => assert!(allowed && found.count() > 0, "{reach:?}"),
            Err(error) => assert!(!allowed && error.is::<PrivateAddress>(), "{reach:?}: {error}"),
        }
    }

    #[tokio::test]
    async fn a_name_is_judged_by_where_it_leads() {
        check(Reach::Public, None, false).await;
        check(Reach::Public, Some("LOCALHOST"), true).await;
        check(Reach::Loopback, None, true).await;
        check(Reach::Anywhere, None, true).await;
    }
}
