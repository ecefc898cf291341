//! Small packets are sent at once.
//!
//! A COPY is several messages without an answer in between. TCP holds the last one back until the server has confirmed
//! the one before, and the server takes its time: up to 40 ms a batch. `TCP_NODELAY` ends that; the driver (sqlx 0.9.0)
//! does not set it and gives its socket to nobody. So it is set on the duplicates that the system gives of this
//! process' own sockets. Where it does not (another system, a container's profile), rows are not copied.

use super::config::Validated;

/// Has the connection to `place` send small packets at once. Whether it does.
pub(super) async fn send_at_once(place: &Validated) -> bool {
    let Ok(options) = place.options() else { return false };
    if options.get_socket().is_some() || options.get_host().starts_with('/') {
        // A Unix socket holds nothing back.
        return true;
    }
    let port = options.get_port();
    let set = tokio::task::spawn_blocking(move || system::set(port)).await.unwrap_or(false);
    if !set {
        tracing::debug!("TCP_NODELAY cannot be set here: rows are merged and not copied");
    }
    set
}

#[cfg(target_os = "linux")]
mod system {
    use std::net::SocketAddr;
    use std::os::fd::{OwnedFd, RawFd};
    use std::path::Path;

    use rustix::io::Errno;
    use rustix::net::sockopt::{set_tcp_nodelay, socket_type};
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

    /// Sets the option on all connections of this process to the port `port` of any host: which of them is meant
    /// cannot be known, and it does no other one harm. Whether there is one, and all of them have it.
    pub(super) fn set(port: u16) -> bool {
        let Ok(this) = pidfd_open(getpid(), PidfdFlags::empty()) else { return false };
        let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return false };
        let mut found = false;
        for entry in open.flatten() {
            let number = entry.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
            let (Some(number), true) = (number, is_socket(&entry.path())) else { continue };
            let duplicate = match pidfd_getfd(&this, number, PidfdGetfdFlags::empty()) {
                Ok(duplicate) => duplicate,
                // Closed meanwhile.
                Err(Errno::BADF) => continue,
                Err(_) => return false,
            };
            if socket_type(&duplicate).is_err() {
                // The number has become another file's since. Closing a duplicate of a database file would take the
                // locks that this process holds on it: better it stays open.
                std::mem::forget(duplicate);
                continue;
            }
            if leads_to(&duplicate, port) {
                if set_tcp_nodelay(&duplicate, true).is_err() {
                    return false;
                }
                found = true;
            }
        }
        found
    }

    fn is_socket(entry: &Path) -> bool {
        std::fs::read_link(entry).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
    }

    fn leads_to(socket: &OwnedFd, port: u16) -> bool {
        let peer = rustix::net::getpeername(socket).ok().flatten();
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
        peer.is_some_and(|peer| peer.port() == port)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn set(_port: u16) -> bool {
        false
    }
}
